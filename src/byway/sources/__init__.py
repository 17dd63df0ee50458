"""Where resources come from: memory, files, store. All are one `Source`, and pass one conformance suite."""

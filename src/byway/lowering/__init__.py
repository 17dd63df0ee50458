"""Pure functions from kinds to the model, with diagnostics."""

"""Leaf nouns without a mesh word: clock, duration, digest, diagnostics, errors."""

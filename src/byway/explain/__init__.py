"""Answers to why, from the engine's records."""

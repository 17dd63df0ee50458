"""Byway's own kinds, lowered."""

"""Byway's own kinds, only where Istio has none."""

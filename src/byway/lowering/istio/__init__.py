"""Istio's kinds, lowered."""

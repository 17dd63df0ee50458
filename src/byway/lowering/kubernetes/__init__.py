"""Kubernetes' kinds, lowered."""

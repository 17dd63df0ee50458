"""Istio's kinds: networking and security, with the fields that Byway supports."""

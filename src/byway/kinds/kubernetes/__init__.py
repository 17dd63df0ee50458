"""Kubernetes' own kinds, as far as the mesh reads them."""

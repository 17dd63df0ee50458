"""The queries that derive what each sidecar needs."""

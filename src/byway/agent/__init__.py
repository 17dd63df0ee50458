"""Beside the workloads: Envoy, interception, DNS, SDS, relay."""

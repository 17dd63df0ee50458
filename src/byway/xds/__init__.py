"""The model as Envoy resources: the only place that builds Envoy messages."""

"""The host of all resources, its changes and its index."""

"""What the gRPC library does of a mesh's rules where it is a client by itself; the rest of the table is in docs/grpc.md."""

from __future__ import annotations

from typing import Final

RETRIED: Final = ("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable")
"""The words of `retryOn` that it knows."""

MOST_RETRIES: Final = 4
"""Attempts after the first that it makes, whatever is asked (gRFC A44)."""

MOST_ABSENT: Final = 4
"""`withoutHeaders` of one match that also hold for calls without the header: each doubles the routes that say so."""

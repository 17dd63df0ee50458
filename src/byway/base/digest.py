"""Content hashes: the version of a resource is the hash of its bytes, so replicas agree without talking."""

from __future__ import annotations

import hashlib


def digest(content: bytes) -> str:
    """A 16-character hexadecimal BLAKE2b hash of `content`."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()

"""ServiceAccount: the name behind a workload's identity; the mesh reads nothing else of it."""

from __future__ import annotations

from byway.kinds.message import Message


class ServiceAccount(Message, frozen=True, kw_only=True):
    """Has no spec: its namespace and name are all there is."""

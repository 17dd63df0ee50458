"""The root of Byway's exceptions; each room derives its own, named for what happened.

BywayError
├── UsageError      the caller's fault: what to do is in the message
└── FaultError      a part of the system failed (a process, a socket, a disk)
"""

from __future__ import annotations


class BywayError(Exception):
    """Anything that Byway raises on purpose; its message is one line with the next step in it."""


class UsageError(BywayError):
    """The caller asked for what cannot be had."""


class FaultError(BywayError):
    """Something that Byway relies on failed."""

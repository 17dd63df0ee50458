"""What each workload is known to call: learned, remembered for a day after it was last seen, and bounded.

It is kept by workload, not by instance, so that a new instance knows what its siblings call. Where there is no room for
another call, the one that was not seen for longest goes: the workload's own at its limit, at the limit of all any.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from byway.model.egress import Call
from byway.model.names import service_host
from byway.telemetry.flow import UNKNOWN, Flow

FORGOTTEN_S: Final = 24 * 3600.0
"""A call that was not seen for so long is not expected any more."""
PER_WORKLOAD: Final = 200
IN_ALL: Final = 10_000

_SOURCE: Final = "source"
_TCP: Final = "tcp"


class Caller(msgspec.Struct, frozen=True, order=True):
    """A workload."""

    namespace: str
    workload: str


class Remembered(msgspec.Struct, frozen=True):
    """A call as it is kept; `seen_at` in seconds since the epoch."""

    caller: Caller
    call: Call
    seen_at: float


class Sighting(msgspec.Struct, frozen=True):
    """A workload's proxy has reported calls of a service; which port of it, and under which name, no report says."""

    caller: Caller
    host: str
    is_tcp: bool
    idle_s: float


class Calls:
    """The book of known calls; times are seconds since the epoch."""

    def __init__(
        self, *, forgotten_s: float = FORGOTTEN_S, per_workload: int = PER_WORKLOAD, in_all: int = IN_ALL
    ) -> None:
        self._forgotten_s = forgotten_s
        self._per_workload = per_workload
        self._in_all = in_all
        self._seen_at: OrderedDict[tuple[Caller, Call], float] = OrderedDict()  # the longest unseen first
        self._of: dict[Caller, OrderedDict[Call, None]] = {}  # in the same order

    def __len__(self) -> int:
        return len(self._seen_at)

    def seen(self, caller: Caller, call: Call, at: float) -> bool:
        """`caller` calls this; returns whether it was not known before."""
        before = self._seen_at.get((caller, call))
        if before is not None and before >= at:
            return False
        own = self._of.setdefault(caller, OrderedDict())
        if before is None and len(own) >= self._per_workload:
            self._forget(caller, next(iter(own)))
        if before is None and len(self) >= self._in_all:
            self._forget(*next(iter(self._seen_at)))
        own = self._of.setdefault(caller, own)
        self._seen_at[caller, call] = at
        self._seen_at.move_to_end((caller, call))
        own[call] = None
        own.move_to_end(call)
        return before is None

    def of(self, caller: Caller) -> tuple[Call, ...]:
        """What `caller` is known to call, the last seen first."""
        return tuple(reversed(self._of.get(caller, OrderedDict())))

    def expire(self, now: float) -> int:
        """Forgets what was not seen for long; returns how much that was."""
        horizon = now - self._forgotten_s
        old = [key for key, at in self._seen_at.items() if at < horizon]
        for caller, call in old:
            self._forget(caller, call)
        return len(old)

    def remembered(self) -> tuple[Remembered, ...]:
        """All of it, the longest unseen first: what `restore` takes."""
        return tuple(Remembered(caller, call, at) for (caller, call), at in self._seen_at.items())

    def restore(self, kept: Iterable[Remembered], now: float) -> None:
        """Takes what was kept; nothing was seen later than `now`."""
        for one in sorted(kept, key=lambda one: one.seen_at):
            self.seen(one.caller, one.call, min(one.seen_at, now))
        self.expire(now)

    def _forget(self, caller: Caller, call: Call) -> None:
        del self._seen_at[caller, call]
        own = self._of[caller]
        del own[call]
        if not own:
            del self._of[caller]


def sighting(flow: Flow, idle_s: float) -> Sighting | None:
    """What a flow says of its caller; None where the server reported it, or where no service is known."""
    if flow.reporter != _SOURCE or UNKNOWN in (flow.destination_service, flow.destination_service_namespace):
        return None
    return Sighting(
        caller=Caller(flow.source_namespace, flow.source_workload),
        host=service_host(flow.destination_service, flow.destination_service_namespace),
        is_tcp=flow.protocol == _TCP,
        idle_s=idle_s,
    )

"""One change on its way to the fleet: who is affected, who has acknowledged, who refused.

Affected are the proxies that are connected and hold, or asked for, something that the change touches. One that goes away
meanwhile is affected no more: it gets the newest state when it comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from byway.ads.action import Refused
from byway.ads.catalogue import Proxy


class Nack(msgspec.Struct, frozen=True, kw_only=True):
    """One refusal by a proxy's Envoy, with Envoy's own words."""

    proxy: Proxy
    type_url: str
    name: str
    reason: str


class RolloutResult(msgspec.Struct, frozen=True, kw_only=True):
    """How far a change has come when it was looked at."""

    n_affected: int
    n_acked: int
    n_connected: int
    seconds: float
    refusals: tuple[Nack, ...] = ()
    n_resources_sent: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether every affected proxy took all of it."""
        return self.n_acked == self.n_affected and not self.refusals


class Rollout:
    """The state of one publication; proxies are told apart by any hashable token, one per stream."""

    def __init__(self, revision: int, affected: Iterable[object], n_connected: int, now: float) -> None:
        self.revision = revision
        self.started_at = now
        self.n_connected = n_connected
        self._waiting: set[object] = set(affected)
        self._affected: set[object] = set(self._waiting)
        self._acked: set[object] = set()
        self._n_resources_sent = 0
        self._refusals: list[Nack] = []
        self._refusing: set[object] = set()
        self._ended_at: float | None = None
        self._ended = asyncio.Event()
        self._end_if_complete(now)

    def sent(self, n_resources: int) -> None:
        """That many resources went out for it."""
        self._n_resources_sent += n_resources

    def refused(self, stream: object, proxy: Proxy, refused: Refused) -> None:
        """One proxy refused a part of it."""
        self._refusing.add(stream)
        self._refusals.append(Nack(proxy=proxy, type_url=refused.type_url, name=refused.name, reason=refused.reason))

    def reached(self, stream: object, now: float) -> None:
        """One proxy has answered to all of it."""
        if stream in self._waiting:
            self._waiting.discard(stream)
            if stream not in self._refusing:
                self._acked.add(stream)
            self._end_if_complete(now)

    def left(self, stream: object, now: float) -> None:
        """One proxy went away."""
        if stream in self._waiting:
            self._waiting.discard(stream)
            self._affected.discard(stream)
            self._end_if_complete(now)

    async def done(self, timeout_s: float, earlier: Sequence[Rollout] = ()) -> RolloutResult:
        """How far it has come once every affected proxy answered, at the latest after `timeout_s`.

        `earlier` are those that it ends the sequence of: the result is of all of them.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()
        except TimeoutError:
            return _joined((*earlier, self), self.started_at + timeout_s)
        return _joined((*earlier, self), self.started_at)

    def result(self, now: float) -> RolloutResult:
        """How far it has come."""
        return _joined((self,), now)

    def _end_if_complete(self, now: float) -> None:
        if not self._waiting and self._ended_at is None:
            self._ended_at = now
            self._ended.set()


def _joined(rollouts: Sequence[Rollout], now: float) -> RolloutResult:
    """A proxy counts once, and has acknowledged if it has acknowledged all."""
    affected = {stream for rollout in rollouts for stream in rollout._affected}
    lagging = {stream for rollout in rollouts for stream in rollout._affected - rollout._acked}
    ended_at = [now if rollout._ended_at is None else rollout._ended_at for rollout in rollouts]
    return RolloutResult(
        n_affected=len(affected),
        n_acked=len(affected - lagging),
        n_connected=rollouts[-1].n_connected,
        seconds=max(ended_at) - rollouts[0].started_at,
        refusals=tuple(nack for rollout in rollouts for nack in rollout._refusals),
        n_resources_sent=sum(rollout._n_resources_sent for rollout in rollouts),
    )

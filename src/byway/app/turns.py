"""Turns: who is told of a change first, the workloads that are called or those that call.

Most changes are told to everybody at once. Where doors move (see `byway.derive.transition`), those that open come first,
then all callers, then those that shut; each turn waits until the one before was acknowledged, and not for ever: a proxy that
does not answer must not keep a door open.

Where several control planes share a source, each takes the same turns with its own proxies, and waits at each for as long
as the others may be behind: they hear of a commit within a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec

from byway.ads.catalogue import Key
from byway.ads.hub import Hub
from byway.ads.rollout import Rollout, RolloutResult
from byway.derive.listeners import wanted_inbound
from byway.derive.transition import STILL_OPEN, Who, opens
from byway.engine import Database, Root
from byway.model.listener import Inbound
from byway.xds import resources

_ACK_LIMIT_S = 10.0
_TURN_LIMIT_S = 5.0
OTHERS_S = 2.0
"""So long other control planes may need to hear of a commit, judge it and have it acknowledged."""
_SETTLE_S = 0.25
"""Envoy acknowledges in its main thread. Its workers follow, and what they sent before is still on its way."""


class _Shares(msgspec.Struct):
    """The keys of a change by their turns."""

    opening: set[Key] = msgspec.field(default_factory=set)
    calling: set[Key] = msgspec.field(default_factory=set)
    shutting: set[Key] = msgspec.field(default_factory=set)


class Turns:
    """Publishes changes, one after another; its caller holds the only lock."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._hub = hub
        self.others_s = 0.0  # how far other control planes may be behind with the same change; 0: there are none

    async def publish(
        self, changed: frozenset[Root], moved: Mapping[Who, Inbound], tell_names: Callable[[], None]
    ) -> RolloutResult:
        """Tells the fleet. Names come before their callers' configuration, and after the doors that they lead to."""
        if not moved:
            tell_names()
            return await self._hub.publish(changed).done(_ACK_LIMIT_S)
        shares = self._shares(changed, moved)
        rollouts: list[Rollout] = []
        try:
            await self._turn(shares.opening, rollouts)
            tell_names()
            await self._turn(shares.calling, rollouts)
        finally:
            # Also where this is given up half way: what is stored goes out.
            last = self._hub.publish(shares.opening | shares.calling | shares.shutting | self._shut(moved))
        return await last.done(_ACK_LIMIT_S, rollouts)

    async def _turn(self, keys: set[Key], rollouts: list[Rollout]) -> None:
        wait_s = max(_SETTLE_S, self.others_s) if keys else self.others_s
        if keys:
            rollouts.append(self._hub.publish(keys))
            keys.clear()
            await rollouts[-1].done(_TURN_LIMIT_S)
        await asyncio.sleep(wait_s)

    def _shares(self, changed: frozenset[Root], moved: Mapping[Who, Inbound]) -> _Shares:
        with self._database.write():
            for who, before in moved.items():
                self._database.set(STILL_OPEN, who, before)
        shares = _Shares()
        opening = {who for who, before in moved.items() if self._is_opened(who, before)}
        for key in {*changed, *self._database.changed()}:
            owner = _door_of(key)
            is_shutting = owner in moved and owner not in opening
            share = shares.calling if owner is None else shares.shutting if is_shutting else shares.opening
            share.add(key)
        return shares

    def _is_opened(self, who: Who, before: Inbound) -> bool:
        after = wanted_inbound(self._database, *who)
        return after is not None and opens(before, after)

    def _shut(self, moved: Iterable[Who]) -> set[Key]:
        with self._database.write():
            for who in moved:
                self._database.remove(STILL_OPEN, who)
        return set(self._database.changed())


def _door_of(key: Root) -> Who | None:
    """The instance whose server side the key is about; None where it is about a caller's."""
    *who, name = key.args if len(key.args) == 3 else (*key.args, "")
    is_door = key.query in (resources.outline, resources.instance_cluster_resource) or (
        key.query in (resources.listener_resource, resources.route_resource) and str(name).startswith("inbound/")
    )
    return (str(who[0]), str(who[1])) if is_door else None

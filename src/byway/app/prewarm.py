"""What a starting proxy is given before it asks: what its workload was seen to call, and what a Sidecar names.

Learned from two sides. What a proxy asks for on demand tells the very name and port that is called, once in its life; what it
reports of its traffic tells that the call still happens, but neither port nor name. So the one teaches, the other keeps from
being forgotten, and teaches where the first was missed (the state was lost). Nothing of this is an input of the database: it
is read when a process starts, so a call that is learned sends nothing to anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import structlog

from byway.ads.catalogue import Proxy
from byway.authority.private_files import write_atomically
from byway.base.clock import Clock
from byway.base.errors import FaultError
from byway.base.json import decoded
from byway.derive.clusters import ClusterName
from byway.derive.egress import egress, may_call, named_calls
from byway.derive.endpoints import workload
from byway.derive.routes import virtual_host
from byway.derive.services import service, service_at
from byway.engine import Database
from byway.model.egress import Call
from byway.model.host import authority_parts
from byway.model.listener import View
from byway.model.names import ON_DEMAND_CLUSTER, TYPE_CLUSTER, TYPE_VIRTUAL_HOST
from byway.model.workload import Interception, Workload
from byway.telemetry.calls import FORGOTTEN_S, Caller, Calls, Remembered, Sighting, sighting
from byway.telemetry.flow import Windows

KNOWN_LIMIT: Final = 500
"""Names that one proxy is given; the last seen first, then those of a Sidecar."""
_LOOK_S: Final = 10.0
_GATHER_S: Final = 0.5
"""A starting fleet asks for many names at once, which become one write."""
_KEEP_S: Final = 300.0
"""How late a time that is written may be, where nothing but times has changed."""
_AT_ONCE: Final = 200
_HOSTS: Final = "out/"
_log = structlog.get_logger("byway.prewarm")


class Prewarm:
    """See the module. `path` is where it survives the process; times are the wall clock's."""

    def __init__(self, database: Database, clock: Clock, path: Path) -> None:
        self._database = database
        self._clock = clock
        self._path = path
        self._calls = Calls()
        self._news = asyncio.Event()
        self._writing = asyncio.Lock()
        self._is_changed = False
        self._looked_at = self._kept_at = clock.monotonic()

    @property
    def n_known(self) -> int:
        """How many calls are known, of all workloads."""
        return len(self._calls)

    # --- for the catalogue ---

    def known(self, proxy: Proxy) -> tuple[tuple[str, str], ...]:
        """Type and name of all that the proxy's workload is known to call."""
        found = workload(self._database, proxy.namespace, proxy.instance)
        if found is None or proxy.kind != "sidecar":
            return ()
        learned = self._calls.of(Caller(found.namespace, found.name))
        named = named_calls(self._database, found.namespace, found.labels)
        questions = (self._question(found, call) for call in (*learned, *named))
        return tuple(islice(dict.fromkeys(q for q in questions if q is not None), KNOWN_LIMIT))

    def asked(self, proxy: Proxy, type_url: str, name: str) -> None:
        """The proxy had to ask for this resource, so its workload calls it."""
        found = workload(self._database, proxy.namespace, proxy.instance)
        call = self._call(type_url, name)
        if found is not None and call is not None and proxy.kind == "sidecar":
            self._seen(Caller(found.namespace, found.name), call, self._clock.now().timestamp())

    # --- life ---

    async def load(self) -> None:
        """Takes what an earlier process kept; without it calls are learned anew, so nothing here is fatal."""
        try:
            content = await asyncio.to_thread(self._path.read_bytes)
            kept = decoded(content, tuple[Remembered, ...])
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as fault:
            _log.warning("known calls are lost", file=str(self._path), fault=str(fault))
            return
        self._calls.restore(kept, self._clock.now().timestamp())
        _log.info("known calls loaded", n=len(self._calls))

    async def run(self, windows: Windows, settled: Callable[[], Awaitable[None]]) -> None:
        """Learns from `windows` and keeps what is known, until cancelled; looks at no mesh that is not `settled`."""
        while True:
            with contextlib.suppress(TimeoutError):  # which means that it is time to look
                async with asyncio.timeout(_LOOK_S):
                    await self._news.wait()
            await asyncio.sleep(_GATHER_S)
            self._news.clear()
            now_s = self._clock.monotonic()
            if now_s - self._looked_at >= _LOOK_S:
                self._looked_at = now_s
                await self.look(windows, settled)
            if self._is_changed or now_s - self._kept_at >= _KEEP_S:
                await self.save()

    async def look(self, windows: Windows, settled: Callable[[], Awaitable[None]]) -> None:
        """Learns from what proxies have reported, and forgets what was not seen for long."""
        now_s, now = self._clock.monotonic(), self._clock.now().timestamp()
        for n, (flow, seen_s) in enumerate(windows.seen()):
            if n % _AT_ONCE == 0:
                await asyncio.sleep(0)  # streams have their turn
                await settled()
            found = sighting(flow, now_s - seen_s)
            if found is not None and found.idle_s < FORGOTTEN_S:
                self._sighted(found, now - found.idle_s)
        self._is_changed |= bool(self._calls.expire(now))

    async def save(self) -> None:
        """Keeps what is known; a failure is told in the log and tried again later."""
        async with self._writing:
            self._is_changed, self._kept_at = False, self._clock.monotonic()
            try:
                await asyncio.to_thread(_write, self._path, self._calls.remembered())
            except FaultError as fault:
                self._is_changed = True
                _log.warning("known calls are not kept", fault=str(fault))

    # --- calls and names ---

    def _seen(self, caller: Caller, call: Call, at: float) -> None:
        if self._calls.seen(caller, call, at):
            self._is_changed = True
            self._news.set()

    def _sighted(self, found: Sighting, at: float) -> None:
        known = [call for call in self._calls.of(found.caller) if call.is_tcp is found.is_tcp]
        meant = [call for call in known if call.host == found.host]
        meant = meant or [call for call in known if self._leads_to(found.caller, call, found.host)]
        for call in meant or self._calls_of(found):
            self._seen(found.caller, call, at)

    def _calls_of(self, found: Sighting) -> Iterator[Call]:
        """Every call that may have been seen, where none is known."""
        there = service(self._database, found.host)
        for port in there.ports if there else ():
            if port.protocol.is_http is not found.is_tcp:
                yield Call(found.host, port.number, found.is_tcp)

    def _leads_to(self, caller: Caller, call: Call, host: str) -> bool:
        """Whether routes send some of these calls to the service `host`."""
        if call.is_tcp:
            return False
        routed = virtual_host(self._database, View(caller.namespace), _authority(call))
        clusters = (split.cluster for route in (routed.routes if routed else ()) for split in route.clusters)
        return any(parts is not None and parts.host == host for parts in map(ClusterName.parse, clusters))

    def _question(self, found: Workload, call: Call) -> tuple[str, str] | None:
        if not call.is_tcp:
            return TYPE_VIRTUAL_HOST, _HOSTS + _authority(call)
        there = service(self._database, call.host)
        if there is None or not there.vip or there.port(call.port) is None:
            return None
        hosts = egress(self._database, found.namespace, found.labels)
        is_refused = hosts is not None and not may_call(self._database, hosts, call.host)
        if is_refused or found.interception is Interception.EXPLICIT:  # where proxying is explicit there is only HTTP
            return None
        return TYPE_CLUSTER, f"{ON_DEMAND_CLUSTER}{there.vip}:{call.port}"

    def _call(self, type_url: str, name: str) -> Call | None:
        if type_url == TYPE_VIRTUAL_HOST:
            return Call(*authority_parts(name.removeprefix(_HOSTS)))
        address, _, port = name.removeprefix(ON_DEMAND_CLUSTER).rpartition(":")
        there = service_at(self._database, address) if port.isdigit() else None
        is_there = there is not None and there.port(int(port)) is not None
        return Call(there.host, int(port), is_tcp=True) if there is not None and is_there else None


def _authority(call: Call) -> str:
    return f"{call.host}:{call.port}" if call.port else call.host


def _write(path: Path, remembered: tuple[Remembered, ...]) -> None:
    write_atomically(path, msgspec.json.encode(remembered), 0o600)

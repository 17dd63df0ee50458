"""The recording of a real Envoy on a scripted stream: `python -m tests.real.ads.recorded` writes it down anew."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Final

import httpx
import msgspec

from byway.ads.action import Entry
from byway.ads.catalogue import PLACEHOLDER
from byway.model import names
from byway.testing.recording import Step
from byway.xds.resource import Resource
from tests.real.ads.envoys import (
    ADS,
    Sidecar,
    application,
    cluster,
    endpoints,
    free_port,
    outbound_http,
    outbound_tcp,
    resource,
    static_cluster,
    virtual_host,
)
from tests.real.ads.script import Script

STORED: Final = Path(__file__).parents[2] / "unit" / "testing" / "envoy.json"
PLACE = resource(names.TYPE_VIRTUAL_HOST, PLACEHOLDER, {"name": PLACEHOLDER, "domains": ["placeholder.invalid"]})
LINKS = "outbound|links"


def routes(name: str = "out") -> Resource:
    """A route configuration whose virtual hosts come on demand."""
    return resource(names.TYPE_ROUTE, name, {"name": name, "vhds": {"config_source": ADS}})


def links(*domains: str, **route: object) -> Resource:
    """The virtual host of `links`."""
    return virtual_host("out/links.default", ("links", "links.default", *domains), LINKS, **route)


async def recorded(folder: Path) -> tuple[Step, ...]:
    """What an Envoy says to all of it; also checks what its callers get meanwhile."""
    script = Script(folder / "ads.sock")
    sidecar = Sidecar(folder, folder / "ads.sock", "--drain-time-s", "2")
    async with script.served(), application("one") as app:
        await sidecar.start()
        try:
            await _Recording(script, app).run()
        finally:
            await sidecar.stop()
    return tuple(script.steps)


class _Recording:
    """The script, chapter by chapter."""

    def __init__(self, script: Script, app: int) -> None:
        self._script = script
        self._app = app
        self._http, self._tcp = free_port(), free_port()
        url = f"http://127.0.0.1:{self._http}"
        self._client = httpx.AsyncClient(base_url=url, timeout=30, headers={"connection": "close"})

    async def run(self) -> None:
        """All of it."""
        async with self._client:
            await self._starts()
            await self._asks_on_demand()
            await self._warms()
            await self._refuses()
            await self._breaks_while_warm()
            await self._breaks_between()
            await self._removes()
            await self._drains()

    async def _starts(self) -> None:
        script = self._script
        await script.stream("it starts")
        await script.sends(
            "clusters", static_cluster("passthrough", self._app), static_cluster("tcp|127.0.0.8", self._app)
        )
        await script.sends("listeners", outbound_http(self._http), self._outbound_tcp())
        await script.sends("a route configuration", routes())
        await script.sends("the placeholder", PLACE)

    def _outbound_tcp(self) -> Resource:
        return outbound_tcp(self._tcp, "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%")

    async def _asks_on_demand(self) -> None:
        script = self._script
        call = self._call("links")
        await script.called("a first call", "out/links")
        await script.sends("its cluster", cluster(LINKS))
        await script.sends("its endpoints", endpoints(LINKS, self._app))
        await script.sends_host("its virtual host", links(), "out/links")
        assert await call == (200, "one")
        call = self._call("Links.Far")
        await script.called("a call by another spelling", "out/links.far")
        await script.sends_host("the same virtual host", links("links.far"), "out/links", "out/links.far")
        assert await call == (200, "one")
        call = self._call("nobody")
        await script.called("a call of nobody", "out/nobody")
        nobody = Entry("out/nobody", "absent", None, ("out/nobody",))
        await script.answers("no such host", names.TYPE_VIRTUAL_HOST, nobody)
        assert await call == (404, "")
        spoken = self._speak("127.0.0.9")
        await script.called("a first TCP connection", "tcp|127.0.0.9", is_cluster=True)
        await script.sends("its TCP cluster", static_cluster("tcp|127.0.0.9", self._app))
        assert await spoken == "one"
        assert await self._speak("127.0.0.8") == "one", "what came unasked is there"
        await script.sends_host("a virtual host that nobody asked for", virtual_host("out/known", ("known",), LINKS))
        assert await self._call("known") == (200, "one")

    async def _warms(self) -> None:
        """A cluster that is sent anew, and what can go out until its endpoints come."""
        script = self._script
        await script.sends("two clusters anew", cluster(LINKS, connect_timeout="2s"), cluster("outbound|other"))
        assert await self._call("links") == (200, "one")
        call = self._call("other")
        await script.called("a first call meanwhile", "out/other")
        await script.sends("a third cluster meanwhile", static_cluster("passthrough", self._app, self._app))
        await script.sends("a bad one meanwhile", cluster("outbound|bad", connect_timeout="-1s"), bad=("outbound|bad",))
        await script.sends("the endpoints of one", endpoints(LINKS, self._app))
        await script.sends("the endpoints of the other", endpoints("outbound|other", self._app))
        await script.sends_host(
            "the virtual host meanwhile called", virtual_host("out/other", ("other",), "outbound|other")
        )
        assert await call == (200, "one")
        await script.sends("its endpoints changed", endpoints("outbound|other", self._app, self._app))

    async def _refuses(self) -> None:
        script = self._script
        clusters = (cluster("outbound|good"), cluster("outbound|bad", connect_timeout="-1s"))
        await script.sends("a good cluster beside a bad one", *clusters, bad=("outbound|bad",))
        bad = links(match={"safe_regex": {"regex": "("}})
        await script.sends_host("a bad virtual host", bad, "out/links", "out/links.far", bad=True)
        wrong = resource(names.TYPE_ENDPOINTS, LINKS, {"cluster_name": "outbound|wrong"})
        await script.sends("bad endpoints", wrong, bad=(LINKS,))
        await script.sends("endpoints that nobody asked for", endpoints("outbound|nobody", self._app))
        listener = resource(names.TYPE_LISTENER, "bad", {"name": "bad"})
        await script.sends("a bad listener", listener, bad=("bad",))
        assert await self._call("links") == (200, "one")

    async def _breaks_while_warm(self) -> None:
        script = self._script
        call = self._call("late")
        await script.called("a call that is not answered", "out/late")
        await script.stream("the stream breaks")
        await script.answers(
            "no such host now", names.TYPE_VIRTUAL_HOST, Entry("out/late", "absent", None, ("out/late",))
        )
        assert await call == (404, "")

    async def _breaks_between(self) -> None:
        """After a cluster, before its endpoints: it says nothing of clusters until they come, or for 15 s."""
        script = self._script
        await script.sends("a cluster anew, 1", cluster(LINKS, connect_timeout="3s"))
        await script.stream("the stream breaks before the endpoints, 1")
        assert await self._call("links") == (200, "one")
        await script.sends("the endpoints as they were", endpoints(LINKS, self._app))
        assert await self._call("links") == (200, "one")
        await script.sends("a cluster anew, 2", cluster(LINKS, connect_timeout="4s"))
        await script.stream("the stream breaks before the endpoints, 2")
        await script.waits("it waits no longer", "patience")
        assert await self._call("links") == (200, "one"), "by the endpoints that it had"
        await script.sends("a new cluster", cluster("outbound|new"))
        await script.stream("the stream breaks before the first endpoints")
        await script.sends("the first endpoints", endpoints("outbound|new", self._app))

    async def _removes(self) -> None:
        script = self._script
        await script.sends("a cluster that knows its endpoints", static_cluster("outbound|new", self._app))
        await script.sends("a cluster that does not", cluster("outbound|new"))
        await script.sends("its endpoints once more", endpoints("outbound|new", self._app))
        await script.sends("the cluster removed", removed=((names.TYPE_CLUSTER, "outbound|new"),))
        await script.sends("a virtual host removed", removed=((names.TYPE_VIRTUAL_HOST, "out/links.default"),))
        assert await self._call("links") == (404, "")
        await script.stream("the stream breaks after removals")
        await script.sends_host("it is back", links("links.far"), "out/links", "out/links.far")
        assert await self._call("links") == (200, "one")

    async def _drains(self) -> None:
        script = self._script
        await script.sends("the listener removed", removed=((names.TYPE_LISTENER, "http"),))
        await script.waits("its connections have drained", "drained")
        await script.sends("the listener back", outbound_http(self._http))
        await script.sends("its route configuration back", routes())

    def _call(self, host: str) -> Awaitable[tuple[int, str]]:
        async def call() -> tuple[int, str]:
            answer = await self._client.get("/", headers={"host": host})
            return answer.status_code, answer.text

        return asyncio.create_task(call())

    def _speak(self, address: str) -> Awaitable[str]:
        async def speak() -> str:
            reader, writer = await asyncio.open_connection(address, self._tcp)
            writer.write(b"hello\r\n\r\n")
            found = await reader.readuntil(b"one")
            writer.close()
            return found[-3:].decode()

        return asyncio.create_task(speak())


def main() -> None:
    """Writes it."""
    with tempfile.TemporaryDirectory(prefix="byway-") as folder:
        steps = asyncio.run(recorded(Path(folder)))
    STORED.write_bytes(msgspec.json.format(msgspec.json.encode(steps), indent=1) + b"\n")
    sys.stdout.write(f"{len(steps)} steps: {STORED.name}\n")


if __name__ == "__main__":
    main()

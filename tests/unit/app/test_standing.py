"""What proxies refuse is told of the objects behind it, and holds nothing back."""

from __future__ import annotations

import pytest

from byway.ads.catalogue import Proxy
from byway.ads.event import Requested
from byway.app.standing import status
from byway.base.diagnostics import Diagnostic, Severity
from byway.model import names
from byway.testing.fake_proxy import sent
from byway.testing.mesh import instance
from tests.unit.app.mesh_in_memory import SERVICES, MeshInMemory, route, route_id

HOST = "out/link-service.default.svc.cluster.local:8080"
INSTANCES = instance("web-1", app="web", address="10.0.0.7") + instance("web-2", app="web", address="10.0.0.8")


async def refuses(setting: MeshInMemory, name: str, reason: str) -> None:
    """One proxy that asks for the host's routes and will not have them."""
    proxy = Proxy(instance=name, namespace="default", identity="spiffe://cluster.local/ns/default/sa/web")
    stream = await setting.hub.connect(proxy)
    for request in (
        Requested(type_url=names.TYPE_CLUSTER, subscribe=("*",)),
        Requested(type_url=names.TYPE_VIRTUAL_HOST, subscribe=(HOST,)),
    ):
        await setting.hub.receive(stream, request)
    while stream.outbox.n_bytes:
        message = await stream.outbox.next()
        assert message is not None
        response = sent(message)
        is_it = any(entry.name == HOST and entry.body for entry in response.entries)
        answer = Requested(type_url=response.type_url, nonce=response.nonce, error=reason if is_it else None)
        await setting.hub.receive(stream, answer)
        if response.type_url == names.TYPE_CLUSTER:
            outbound = [e.name for e in response.entries if e.name.startswith("outbound|")]
            await setting.hub.receive(stream, Requested(type_url=names.TYPE_ENDPOINTS, subscribe=tuple(outbound)))
    assert list(stream.session.rejections())


async def test_the_object_behind_what_proxies_refuse_is_named_with_their_number() -> None:
    setting = MeshInMemory()
    await setting.apply(SERVICES + INSTANCES + route("r", "strange") + route("other", "fine", host="user-service"))
    for name in ("web-1", "web-2"):
        await refuses(setting, name, "I do not like 'strange'")
    (trouble,) = await setting.standing.troubles()
    assert (trouble.kind, trouble.name, trouble.state, trouble.n_proxies) == (
        "VirtualService",
        "r",
        "refused-by-proxies",
        2,
    )
    assert "refused by 2 proxies: I do not like 'strange'" in trouble.diagnostic.message
    assert trouble.diagnostic.severity is Severity.WARNING
    assert trouble.diagnostic.position is not None
    (body,) = await setting.standing.bodies("VirtualService", "default", "r")
    assert body["status"]["conditions"][0]["reason"] == "RefusedByProxies"
    assert "refused-by-proxies" in {d.code for d in await setting.standing.analysis()}


async def test_a_proxys_word_holds_nothing_back() -> None:
    setting = MeshInMemory()
    await setting.apply(SERVICES + INSTANCES + route("r", "strange"))
    await refuses(setting, "web-1", "no")
    assert len(setting.quarantine) == 0
    assert (await setting.apply(route("r", "stranger"))).is_accepted
    assert setting.headers("r") == {"x-stranger"}


async def test_a_list_says_how_each_object_stands_and_one_by_name_what_analysis_finds() -> None:
    setting = MeshInMemory()
    await setting.apply(SERVICES + route("r", "a") + route("lost", "b", host="nobody"))
    listed = await setting.standing.bodies("VirtualService", "", "")
    assert [b["status"]["conditions"][0]["status"] for b in listed] == ["True", "True"]
    (lost,) = await setting.standing.bodies("VirtualService", "", "lost")
    reconciled, analyzed = lost["status"]["conditions"]
    assert (reconciled["status"], analyzed["type"], analyzed["reason"]) == ("True", "PassedAnalysis", "WarningsFound")
    assert [m["type"]["code"] for m in lost["status"]["validationMessages"]] == ["unknown-destination"]
    assert setting.world.resource(route_id("lost")) is not None


@pytest.mark.parametrize(("severity", "passed"), [(Severity.ERROR, "False"), (Severity.WARNING, "True")])
def test_only_errors_fail_the_analysis(severity: Severity, passed: str) -> None:
    found = status(None, [Diagnostic(severity=severity, code="some-code", message="something")])
    assert found["conditions"][1]["status"] == passed
    assert found["validationMessages"][0]["type"]["name"] == "SomeCode"

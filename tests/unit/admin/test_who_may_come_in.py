"""The door: tokens, hosts, sizes, and how much at once."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from byway.admin import security
from byway.admin.security import Door, Doorkeeper, is_loopback_host

WRITES = ("/api/apply", "/api/delete")
BODY = {"sources": [{"file": "a.yaml", "text": "x"}]}


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic a-secret-token", "a-secret-token", "Bearer é"],
)
async def test_writing_needs_the_token(
    anyone: httpx.AsyncClient, mesh: Any, path: str, authorization: str | None
) -> None:
    """And nothing else will do."""
    headers = {} if authorization is None else {"authorization": authorization.encode()}
    answer = await anyone.post(path, json=BODY, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert "Bearer" in answer.json()["error"]
    assert not mesh.applied


async def test_two_authorizations_are_none(anyone: httpx.AsyncClient) -> None:
    """Whoever reads the first and whoever reads the last must agree."""
    headers = [("authorization", "Bearer a-secret-token"), ("authorization", "Bearer a-secret-token")]
    assert (await anyone.post("/api/apply", json=BODY, headers=headers)).status_code == 401


async def test_an_empty_token_opens_nothing(mesh: Any, observatory: Any) -> None:
    """A control plane without a token takes no writes, rather than any."""
    app = security.Doorkeeper(_never, Door(token=""))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as caller:
        assert (await caller.post("/api/apply", headers={"authorization": "Bearer "})).status_code == 401


async def _never(*_: Any) -> None:
    raise AssertionError("the request came through")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:15014", "", "localhost.evil.example:15014"]
)
@pytest.mark.parametrize("path", ["/api/status", "/metrics", "/"])
async def test_a_rebound_name_is_refused(operator: httpx.AsyncClient, host: str, path: str) -> None:
    """A web page that makes its own name mean 127.0.0.1 still says its name (DNS rebinding)."""
    answer = await operator.get(path, headers={"host": host})
    assert answer.status_code == 403
    assert "Host header" in answer.json()["error"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST:15014", True),
        ("127.0.0.1", True),
        ("127.8.8.8:1", True),
        ("[::1]:15014", True),
        ("[::1]", True),
        ("0.0.0.0:15014", False),
        ("2130706433", False),
        ("127.0.0.1:x", False),
        ("localhost.", False),
    ],
)
def test_loopback_hosts(host: str, *, expected: bool) -> None:
    """Names and numbers that nobody but this machine can have."""
    assert is_loopback_host(host) is expected


@pytest.mark.parametrize("path", ["/api/status", "/api/graph", "/api/resources/virtualservices", "/debug/syncz"])
async def test_beyond_loopback_reading_needs_the_token_too(remote: httpx.AsyncClient, path: str) -> None:
    """Configuration is not shown to the network."""
    assert (await remote.get(path)).status_code == 401
    remote.headers["authorization"] = "Bearer a-secret-token"
    assert (await remote.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/version"])
async def test_health_and_metrics_stay_open_to_probes(remote: httpx.AsyncClient, path: str) -> None:
    """Prometheus and load balancers have no token."""
    assert (await remote.get(path)).status_code == 200


async def test_no_answer_may_be_read_by_a_web_page(operator: httpx.AsyncClient) -> None:
    """No CORS header, and a preflight is refused."""
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    preflight = await operator.options("/api/apply", headers=headers)
    read = await operator.get("/api/status", headers=headers)
    assert preflight.status_code == 405
    for answer in (preflight, read):
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_body_over_the_limit_is_refused(operator: httpx.AsyncClient, mesh: Any) -> None:
    """Also when it comes in pieces and does not say its length."""

    async def pieces() -> Any:
        for _ in range(9):
            yield b" " * 2**20

    answer = await operator.post("/api/apply", content=pieces())
    assert answer.status_code == 413
    assert answer.json()["error"] == "the body may have at most 8 MiB"
    assert not mesh.applied


async def test_too_many_requests_at_once_are_turned_away() -> None:
    """The 65th is told to try again, and room is made when one ends; who asks for health is answered all the same."""
    release = asyncio.Event()

    async def slow(scope: Any, _: Any, send: Any) -> None:
        if scope["path"] == "/":
            await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = Doorkeeper(slow, Door(token="t"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as caller:
        waiting = [asyncio.create_task(caller.get("/")) for _ in range(security.IN_FLIGHT_LIMIT)]
        turned_away = await asyncio.create_task(caller.get("/"))
        assert turned_away.status_code == 503
        assert {(await caller.get(path)).status_code for path in security.HEALTH_PATHS} == {200}
        release.set()
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
        assert (await caller.get("/")).status_code == 200

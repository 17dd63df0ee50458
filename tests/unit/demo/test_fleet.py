"""The whole fleet, as processes, over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from byway.demo import graph
from byway.demo.connections import Reply
from byway.demo.peers import PASSED_ON

pytestmark = pytest.mark.timeout(90)


def body(reply: Reply) -> Any:
    return json.loads(reply.content)


def made(fleet: Any, url: str = "https://example.com/some/page") -> str:
    reply = fleet.ask("POST", "/api/links", {"url": url})
    assert reply.status == 201, reply.content
    return str(body(reply)["code"])


def test_a_link_is_made_followed_and_counted(fleet: Any) -> None:
    code = made(fleet, "HTTPS://Example.com:443/some/page")
    for _ in range(3):
        followed = fleet.ask("GET", f"/{code}", headers={"x-forwarded-for": "203.0.113.9, 10.0.0.1"})
        assert followed.status == 302
        assert followed.headers["location"] == "https://example.com/some/page"
    assert body(fleet.ask("GET", f"/api/stats/{code}")) == {
        "code": code,
        "clicks": 3,
        "countries": {"Grand Fenwick": 3},
    }
    assert b"clicks: 3" in fleet.ask("GET", f"/badge/{code}").content


def test_a_link_made_by_any_instance_of_link_service_is_found_by_all(fleet: Any) -> None:
    replies = [fleet.ask("POST", "/api/links", {"url": "https://example.org/"}) for _ in range(30)]
    assert {body(reply)["made_by"] for reply in replies} == {
        "link-service-stable-1",
        "link-service-stable-2",
        "link-service-canary-1",
    }
    assert {fleet.ask("GET", f"/{body(reply)['code']}").status for reply in replies} == {302}


def test_every_instance_tells_its_version_and_signs_its_answers(fleet: Any) -> None:
    n_instances = 0
    for service, places in fleet.instances.items():
        for number in range(len(places)):
            reply = fleet.instance(service, "GET", "/version", number=number)
            told = body(reply)
            assert reply.status == 200
            assert told["service"] == service
            assert told["instance"] == reply.headers["x-served-by"]
            assert told["version"] == ("v1" if service != "link-service" else told["instance"].split("-")[2])
            missing = fleet.instance(service, "GET", "/no/such/page", number=number)
            assert (missing.status, missing.headers["x-served-by"]) == (404, told["instance"])
            n_instances += 1
    assert n_instances == 22


def test_each_request_calls_exactly_what_the_graph_documents(fleet: Any) -> None:
    fleet.seen.clear()
    code = made(fleet)
    for _ in range(10):
        fleet.ask("GET", f"/{code}")
    fleet.ask("POST", "/api/sessions", {"user": "ada"})
    for path in (f"/api/stats/{code}", "/api/search?q=page", "/api/report", f"/badge/{code}"):
        assert fleet.ask("GET", path).status == 200
    assert {(seen.caller, seen.served, seen.callee) for seen in fleet.seen} == set(graph.CALLS)


def test_headers_that_identify_a_request_reach_every_service_that_works_for_it(fleet: Any) -> None:
    code = made(fleet)
    fleet.seen.clear()
    identifying = {name: f"value of {name}" for name in PASSED_ON if name != "x-request-id"}
    fleet.ask("GET", f"/{code}", headers={**identifying, "x-secret": "not for others"})
    assert len({seen.callee for seen in fleet.seen}) >= 4
    for seen in fleet.seen:
        assert identifying.items() <= seen.headers.items()
        assert "x-secret" not in seen.headers


def test_a_failed_dependency_is_answered_honestly_and_recovers(fleet: Any) -> None:
    code = made(fleet)
    switched = fleet.instance("geo-service", "POST", "/admin/behaviour", {"fail_rate": 1, "status": 503, "for_s": 60})
    assert switched.status == 200
    failed = fleet.ask("GET", f"/{code}")
    assert failed.status == 502
    assert body(failed) == {"error": "answered 502", "dependency": "redirect-service"}
    fleet.instance("geo-service", "DELETE", "/admin/behaviour")
    assert fleet.ask("GET", f"/{code}").status == 302


def test_what_visitors_get_wrong_is_answered_4xx(fleet: Any) -> None:
    assert fleet.ask("GET", "/zzzzzzz").status == 404
    assert fleet.ask("GET", "/favicon.ico").status == 404
    assert fleet.ask("POST", "/api/links", {"url": "javascript:alert(1)"}).status == 422
    assert fleet.ask("POST", "/api/links", {"url": "http://casino.example/free-money"}).status == 422
    assert fleet.ask("POST", "/api/links", {}).status == 400
    assert fleet.ask("POST", "/api/sessions", {"user": "No Name!"}).status == 400
    unknown = {"Authorization": "Bearer nobody"}
    assert (
        fleet.ask(
            "POST", "/api/links", {"url": "https://example.com"}, headers={k.lower(): v for k, v in unknown.items()}
        ).status
        == 401
    )


def test_a_user_who_signed_in_owns_the_links_and_hears_of_them(fleet: Any) -> None:
    token = body(fleet.ask("POST", "/api/sessions", {"user": "grace"}))["token"]
    headers = {"authorization": f"Bearer {token}"}
    link = body(fleet.ask("POST", "/api/links", {"url": "https://example.com/mine"}, headers=headers))
    assert link["owner"] == "grace"
    fleet.ask("GET", f"/{link['code']}")
    letters = body(fleet.instance("notification-service", "GET", "/inboxes/grace"))["letters"]
    assert f"Dear Grace, your link {link['code']} was followed 1 times" in letters


def test_links_are_found_by_their_words_and_the_audit_chain_is_whole(fleet: Any) -> None:
    code = made(fleet, "https://example.net/zeppelin/hangar")
    results = body(fleet.ask("GET", "/api/search?q=zeppelin+hangar"))["results"]
    assert results == [{"code": code, "title": "Example Zeppelin Hangar", "url": "https://example.net/zeppelin/hangar"}]
    chain = body(fleet.instance("audit-service", "GET", "/events"))
    assert chain["is_whole"]
    assert chain["events"][-1]["code"] == code


def test_the_load_reaches_every_service_by_exactly_the_documented_edges_and_nothing_fails(
    fleet: Any, tmp_path: Path
) -> None:
    fleet.seen.clear()
    place = fleet.instances["web"][0]
    command = [sys.executable, "-P", "-m", "byway.demo.load", "--url", f"http://{place}", "--rate", "100", "--for", "2"]
    done = subprocess.run(
        [*command, "--report", str(tmp_path / "report.json")], capture_output=True, text=True, timeout=60
    )
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (report["failures"], report["last_failures"]) == (0, [])
    assert report["requests"] + report["skipped"] >= 100
    assert 0 < report["p50_ms"] <= report["p99_ms"]
    assert {(seen.caller, seen.callee) for seen in fleet.seen} == graph.EDGES
    assert {callee for _, callee in graph.EDGES} | {graph.ENTRY} == set(graph.SERVICES)
    assert json.loads((tmp_path / "report.json").read_text())["requests"] == report["requests"]
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]

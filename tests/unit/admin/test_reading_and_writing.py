"""What the admin API answers."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from byway.admin.api import MOST_DIAGNOSTICS, _outcome
from byway.admin.port import Outcome
from byway.base.diagnostics import Diagnostic, Severity
from byway.telemetry.observatory import Observatory
from byway.telemetry.traces import Span


async def test_apply_answers_with_changes_and_how_far_they_went(operator: httpx.AsyncClient, mesh: Any) -> None:
    """As the CLI prints it: 2 of 2 proxies in 38 ms."""
    sources = [{"file": "a.yaml", "text": "kind: VirtualService"}]
    answer = await operator.post("/api/apply", json={"sources": sources, "namespace": "shop"})
    assert answer.status_code == 200
    assert answer.json()["changes"] == [
        {"kind": "VirtualService", "namespace": "shop", "name": "a.yaml", "action": "created"}
    ]
    assert answer.json()["rollout"]["n_acked"] == 2
    assert mesh.applied == {"a.yaml": "kind: VirtualService"}


async def test_a_dry_run_changes_nothing(operator: httpx.AsyncClient, mesh: Any) -> None:
    """And has no rollout."""
    body = {"sources": [{"file": "a.yaml", "text": "x"}], "dry_run": True}
    answer = await operator.post("/api/apply", json=body)
    assert answer.json()["rollout"] is None
    assert not mesh.applied


async def test_a_mistake_in_a_file_is_422_with_its_place(operator: httpx.AsyncClient) -> None:
    """The error names file, line and column, and what to do."""
    answer = await operator.post("/api/apply", json={"sources": [{"file": "c.yaml", "text": "bad"}]})
    assert answer.status_code == 422
    assert answer.json()["error"] == "c.yaml:3:1: spec.hosts is missing (add hosts: [link-service])"
    assert answer.json()["diagnostics"][0]["position"] == {"file": "c.yaml", "line": 3, "column": 1}


async def test_delete_takes_documents_or_names(operator: httpx.AsyncClient, mesh: Any) -> None:
    """One of the two, never both and never neither."""
    target = {"kind": "VirtualService", "name": "a"}
    by_name = await operator.post("/api/delete", json={"targets": [target]})
    assert by_name.json()["changes"][0]["namespace"] == "default"
    assert [found.name for found in mesh.deleted] == ["a"]
    by_document = await operator.post("/api/delete", json={"sources": [{"file": "a.yaml", "text": "x"}]})
    assert by_document.json()["changes"][0]["action"] == "deleted"
    for body in ({}, {"targets": [target], "sources": [{"file": "a", "text": "x"}]}):
        assert (await operator.post("/api/delete", json=body)).status_code == 400


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"sources": 1}', b'{"sources": [], "dryrun": true}', b"[" * 100_000]
)
async def test_a_body_that_is_none_is_a_readable_400(operator: httpx.AsyncClient, body: bytes) -> None:
    """Broken JSON, wrong types, unknown fields, endless nesting."""
    answer = await operator.post("/api/apply", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the body is")


async def test_an_exception_inside_shows_nothing_of_itself(operator: httpx.AsyncClient) -> None:
    """The caller gets one sentence; the log gets the traceback."""
    answer = await operator.post("/api/apply", json={"sources": [{"file": "a", "text": "broken"}]})
    assert answer.status_code == 500
    assert answer.json() == {"error": "internal error (the control plane's log has the cause)"}


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/api/resources/pods", 404, "no kind 'pods' is known"),
        ("/api/proxy-config/asleep/routes", 503, "the agent of asleep does not answer"),
        ("/api/proxy-config/web/secret-keys", 404, "no section 'secret-keys'"),
        ("/api/traces/0123", 404, "no such trace"),
        ("/api/traces?limit=0", 400, "limit must be a number from 1 to 200"),
        ("/api/traces?limit=1000000000000", 400, "limit must be"),
        ("/api/traces?errors=maybe", 400, "errors must be true or false"),
        ("/api/graph?window=soon", 400, "window must be a duration"),
        ("/nothing/here", 404, "not found"),
        ("/api/apply", 405, "method not allowed"),
    ],
)
async def test_every_error_is_json_with_a_reason(anyone: httpx.AsyncClient, path: str, status: int, error: str) -> None:
    """Whoever is at fault."""
    answer = await anyone.get(path)
    assert answer.status_code == status
    assert error in answer.json()["error"]


async def test_reads_show_the_mesh(anyone: httpx.AsyncClient) -> None:
    """Each path with the shape that the CLI and the dashboard rely on."""

    async def read(path: str) -> Any:
        answer = await anyone.get(path)
        assert answer.status_code == 200, path
        return answer.json()

    assert (await read("/api/status"))["proxies"][0]["workload"] == "web"
    assert (await read("/api/resources/virtualservices/a?namespace=shop"))["items"][0]["metadata"] == {
        "name": "a",
        "namespace": "shop",
    }
    assert (await read("/api/resources/virtualservices"))["items"][0]["metadata"]["namespace"] == "any"
    assert (await read("/api/proxy-config/web/routes"))["config"] == [{"name": "web-routes"}]
    assert (await read("/api/graph"))["edges"] == []
    assert (await read("/api/top?window=5m")) == {"window_s": 300.0, "signals": []}
    assert (await read("/api/debug/engine"))["queries"][0]["n_computed"] == 5
    assert (await read("/api/certs"))["certificates"][0]["kind"] == "root"
    assert (await read("/api/version"))["envoy"] == "1.40.0"
    assert (await read("/api/prometheus/targets")) == [{"targets": ["127.0.0.1:15020"], "labels": {"workload": "web"}}]
    assert (await anyone.get("/version")).text == "0.1.0"
    assert "byway_telemetry_series 0" in (await anyone.get("/metrics")).text
    assert "/api/status" in (await anyone.get("/")).text


async def test_traces_are_listed_and_shown_as_trees(anyone: httpx.AsyncClient, observatory: Observatory) -> None:
    """By service, and one by its id."""
    for span_id, parent in (("a", ""), ("b", "a")):
        observatory.traces.add(
            Span(
                trace_id="t1",
                span_id=span_id,
                parent_id=parent,
                service="web.default",
                operation="GET /",
                start_unix_ns=10,
                duration_ms=2.0,
            )
        )
    (found,) = (await anyone.get("/api/traces?service=web&min_duration=1ms")).json()["traces"]
    trace = (await anyone.get(f"/api/traces/{found['trace_id']}")).json()
    assert trace["roots"][0]["children"][0]["span"]["span_id"] == "b"


async def test_readiness_is_503_until_the_mesh_is_ready(anyone: httpx.AsyncClient, mesh: Any) -> None:
    """With the reason; being alive is another question."""
    assert (await anyone.get("/readyz")).status_code == 200
    mesh.is_ready = False
    answer = await anyone.get("/readyz")
    assert (answer.status_code, answer.json()["reason"]) == (503, "the prover has not started")
    assert (await anyone.get("/healthz")).status_code == 200


async def test_syncz_has_istios_shape(anyone: httpx.AsyncClient) -> None:
    """Sent and acknowledged are equal where a proxy is in sync; proxies that are away do not appear."""
    (entry,) = (await anyone.get("/debug/syncz")).json()
    assert entry["proxy"] == "web-1.default"
    assert entry["listener_sent"] == entry["listener_acked"] != ""
    assert entry["route_sent"] != entry["route_acked"]
    assert entry["endpoint_sent"] == entry["endpoint_acked"] == ""


@pytest.mark.parametrize("content", [b"\xff", b'{"sources": [{"file": "a", "text": "\xff"}]}', b"[" * 100_000])
@pytest.mark.parametrize("path", ["/api/apply", "/api/delete"])
async def test_a_body_that_is_no_json_is_the_callers_mistake(
    operator: httpx.AsyncClient, path: str, content: bytes
) -> None:
    answer = await operator.post(path, content=content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the body is not what is expected here: ")


@pytest.mark.parametrize("n_errors", [0, 1, 600])
def test_an_answer_tells_only_as_many_findings_as_anybody_reads(n_errors: int) -> None:
    """Errors stay, whatever must go; the last finding says how many are not told."""
    warnings = tuple(Diagnostic(severity=Severity.WARNING, code="w", message=f"w{n}") for n in range(5000))
    errors = tuple(Diagnostic(code="e", message=f"e{n}") for n in range(n_errors))
    answer = _outcome(Outcome(diagnostics=(*warnings, *errors)))
    told = json.loads(bytes(answer.body))["diagnostics"]
    assert answer.status_code == (422 if n_errors else 200)
    assert len(told) == MOST_DIAGNOSTICS + 1
    assert sum(d["code"] == "e" for d in told) == min(n_errors, MOST_DIAGNOSTICS)
    assert told[-1]["message"] == f"{5000 + n_errors - MOST_DIAGNOSTICS} more findings are not listed here"
    assert told[-1]["severity"] == ("error" if n_errors > MOST_DIAGNOSTICS else "warning")

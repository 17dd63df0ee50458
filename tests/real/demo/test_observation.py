"""What the mesh shows of itself: the graph, metrics, traces, certificates, and nothing in the clear."""

from __future__ import annotations

import json
import subprocess
import uuid
from typing import Any

from cryptography import x509

from byway.demo import graph as demo_graph
from tests.real.demo.conftest import Demo


def test_the_graph_holds_exactly_the_edges_that_services_call(demo: Demo) -> None:
    ingress = ("ingress", demo_graph.ENTRY)
    expected = {*demo_graph.EDGES, ingress}

    def seen() -> set[tuple[str, str]]:
        edges = demo.json("graph")["edges"]
        # What another test called a while ago is still known, but idle.
        return {(_app(e["source"]), _app(e["destination"])) for e in edges if e["idle_s"] < 20}

    demo.wait(lambda: seen() == expected, 90)
    for edge in demo.json("graph")["edges"]:
        assert edge["requests_per_s"] >= 0
        assert edge["p99_ms"] is None or edge["p99_ms"] >= edge["p50_ms"] >= 0
        assert 0 <= edge["error_rate"] <= 1


def _app(node: dict[str, str]) -> str:
    name = node["name"]
    return "link-service" if name.startswith("link-service-") else name


def test_metrics_have_istios_names_and_labels(demo: Demo) -> None:
    demo.wait(lambda: "istio_request_duration_milliseconds_bucket{" in demo.get("/metrics").text, 60)
    text = demo.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("istio_requests_total{")]
    assert lines
    by_reporter = {r: [line for line in lines if f'reporter="{r}"' in line] for r in ("source", "destination")}
    assert by_reporter["source"]
    found = next(
        line
        for line in by_reporter["destination"]
        if 'destination_workload="analytics-service"' in line and 'response_code="200"' in line
    )
    for label in (
        'destination_principal="spiffe://cluster.local/ns/default/sa/analytics-service"',
        'connection_security_policy="mutual_tls"',
        'destination_service="analytics-service.default.svc.cluster.local"',
        'response_flags="-"',
        'request_protocol="http"',
    ):
        assert label in found
    assert 'source_principal="spiffe://cluster.local/ns/default/sa/' in found
    assert 'source_workload="unknown"' not in found


def test_a_request_through_four_services_is_one_tree(demo: Demo) -> None:
    def deep() -> Any:
        for summary in demo.json("traces", "--limit", "100"):
            trace = demo.json("traces", summary["trace_id"])
            if len(services_of(trace)) >= 4 and len(trace["roots"]) == 1:
                return trace
        return None

    def services_of(trace: dict[str, Any]) -> set[str]:
        found, todo = set(), list(trace["roots"])
        while todo:
            node = todo.pop()
            found.add(node["span"]["service"])
            todo.extend(node.get("children", ()))
        return found

    demo.wait(deep, 60)


def test_certificates_carry_the_right_identities(demo: Demo) -> None:
    content = demo.json("proxy-config", "web", "secrets")
    text = json.dumps(content)
    assert "spiffe://cluster.local/ns/default/sa/web" in text or "certificate_chain" in text
    leaves = [c for c in demo.json("certs") if c["kind"] == "leaf"]
    identities = {c["identity"] for c in leaves}
    for service in demo_graph.SERVICES:
        assert f"spiffe://cluster.local/ns/default/sa/{service}" in identities
    root = x509.load_pem_x509_certificate((demo.state / "root-cert.pem").read_bytes())
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (demo.state / "ca" / "root-key.pem").stat().st_mode & 0o077 == 0


def test_nothing_on_the_bridge_is_in_the_clear(demo: Demo) -> None:
    marker = f"marker-{uuid.uuid4().hex}"
    subnet = json.loads((demo.state / "plan.json").read_text())["network"]["subnet"]
    capture = subprocess.Popen(
        ["tcpdump", "-i", "any", "-s", "0", "-U", "--immediate-mode", "-w", "-", "tcp", "and", "net", subnet],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert capture.stderr is not None
    while b"listening on" not in capture.stderr.readline():
        assert capture.poll() is None, "the capture has begun"
    got = demo.call("web", f"http://link-service:8080/version?{marker}", 20, headers=(f"X-Marker:{marker}",))
    capture.terminate()
    content, _ = capture.communicate(timeout=20)
    assert got["by_status"] == {"200": 20}
    assert len(content) > 5000, "the capture saw the traffic"
    assert marker.encode() not in content
    assert b"HTTP/1.1" not in content
    assert b"x-served-by" not in content


def test_a_fresh_sidecar_holds_no_cluster_of_another_service(demo: Demo) -> None:
    # This service calls nobody, whatever the load does.
    leaf = next(s for s in demo_graph.SERVICES if not demo_graph.callees(s))
    text = json.dumps(demo.json("proxy-config", leaf, "clusters"))
    assert "inbound|8080||" in text
    assert "outbound|" not in text


def test_every_reading_command_answers(demo: Demo) -> None:
    for words in (["status"], ["top"], ["graph"], ["traces"], ["certs"], ["version"], ["get", "virtualservices"]):
        result = demo.cli(*words)
        assert result.returncode == 0, (words, result.stderr)
        assert result.stdout.strip(), words
        json.loads(demo.cli(*words, "-o", "json").stdout)
    for section in ("listeners", "routes", "clusters", "endpoints", "secrets", "bootstrap"):
        result = demo.cli("proxy-config", "web", section)
        assert result.returncode == 0, (section, result.stderr)

"""A plain gRPC program without a sidecar is routed, split, retried, authenticated and judged like everybody else."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import grpc
import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from byway.ads.relay import ADS
from byway.agent.plan import read_plan
from byway.model.names import TYPE_LISTENER, TYPE_ROUTE
from tests.real.demo.conftest import Demo
from tests.real.grpc.conftest import TARGET, Client, Plain

N = 600
CLIENT_ID = "spiffe://cluster.local/ns/default/sa/client"
RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: link-service}
spec:
  hosts: [link-service]
  http:
  - match: [{headers: {x-user: {exact: jason}}}]
    route: [{destination: {host: link-service, subset: canary}}]
  - match: [{headers: {x-fault: {exact: "yes"}}}]
    fault: {abort: {httpStatus: 503, percentage: {value: 100}}}
    route: [{destination: {host: link-service, subset: stable}}]
    retries: {attempts: 0}
  - match: [{headers: {x-new: {exact: "yes"}}, withoutHeaders: {x-old: {exact: "yes"}}}]
    route: [{destination: {host: link-service, subset: canary}}]
  - route: [{destination: {host: link-service, subset: stable}}]
"""

HEADERS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: link-service}
spec: {hosts: [link-service], http: [{route: [{destination: {host: link-service}}], headers: {request: {set: {x-set: "yes"}}}}]}
"""


def is_share(found: dict[str, int], version: str, share: float) -> bool:
    """Whether so many calls went to a version as 999 of 1,000 fair draws have it, and none failed."""
    n = sum(found.values())
    spread = 3.29 * math.sqrt(n * share * (1 - share))
    return found.keys() <= {"stable", "canary"} and abs(found.get(version, 0) - n * share) <= spread


def policy(principal: str) -> str:
    """A rule that lets in only `principal`."""
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: callers}}
spec:
  selector: {{matchLabels: {{app: link-service}}}}
  action: ALLOW
  rules: [{{from: [{{source: {{principals: ["{principal}"]}}}}]}}]
"""


def test_calls_are_split_and_the_split_is_changed_under_an_open_channel(plain: Plain) -> None:
    plain.route(95, 5)
    with plain.client() as client:
        found = client.counts(N)
        assert is_share(found, "canary", 0.05), found
        plain.route(50, 50)  # returns once the client has acknowledged it
        found = client.counts(N)
        assert is_share(found, "canary", 0.5), found


def test_rules_on_headers_hold(plain: Plain) -> None:
    plain.route(100, 0)
    plain.write("apply", RULES)
    with plain.client() as client:
        assert client.counts(3) == {"stable": 3}
        assert client.counts(3, x_user="jason") == {"canary": 3}
        assert client.counts(3, x_fault="yes") == {"UNAVAILABLE": 3}
        assert client.counts(3, x_new="yes") == {"canary": 3}
        assert client.counts(3, x_new="yes", x_old="no") == {"canary": 3}
        assert client.counts(3, x_new="yes", x_old="yes") == {"stable": 3}


def test_retries_hide_most_of_the_failures_of_a_server(plain: Plain) -> None:
    """Three in ten fail; after three more attempts that is 0.8 in a hundred."""
    plain.route(100, 0, ", retries: {attempts: 0}")
    with plain.client() as client:
        bare = client.counts(N // 2, fails_percent="30")
        assert bare["UNAVAILABLE"] > N / 2 * 0.2, bare
        plain.route(100, 0, ", retries: {attempts: 3, retryOn: unavailable}")
        retried = client.counts(N // 2, fails_percent="30")
        assert retried.get("UNAVAILABLE", 0) < N / 2 * 0.05, retried


def test_what_the_client_ignores_is_noted_at_the_field(plain: Plain) -> None:
    """The header is not set for this client, and whoever writes the rule is told so."""
    plain.route(100, 0)
    told = plain.write("analyze", HEADERS)
    assert "resources.yaml:5:85: note: gRPC clients without a sidecar (such as client in namespace default)" in told
    assert "do not change headers" in told
    plain.write("apply", HEADERS)
    try:
        with plain.client() as client:
            assert "x-set" not in client.calls(1)["reply"]
        assert "[ignored-by-grpc-clients]" in plain.cli("analyze")
    finally:
        plain.route(100, 0)
    assert "ignored-by-grpc-clients" not in plain.cli("analyze")


def test_the_server_knows_the_client_by_its_certificate_and_its_rules_hold(plain: Plain) -> None:
    plain.route(100, 0)
    with plain.client() as client:
        reply = client.calls(1)["reply"]
        assert f"URI={CLIENT_ID}" in reply["x-forwarded-client-cert"]
        plain.write("apply", policy("cluster.local/ns/default/sa/somebody"))
        assert client.counts(5) == {"PERMISSION_DENIED": 5}
        plain.write("apply", policy("cluster.local/ns/default/sa/client"))
        assert client.counts(5) == {"stable": 5}
    plain.write("delete", policy("cluster.local/ns/default/sa/client"))


def test_without_its_certificate_nobody_gets_in(plain: Plain) -> None:
    with plain.client(credentials="insecure") as client:
        assert client.counts(3, timeout=5) == {"UNAVAILABLE": 3}


@pytest.mark.parametrize("mode", ["PERMISSIVE", "DISABLE"])
def test_servers_that_take_plain_text_are_called_as_well(plain: Plain, mode: str) -> None:
    laxer = f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default}}
spec: {{mtls: {{mode: {mode}}}}}
"""
    plain.route(100, 0)
    plain.write("apply", laxer)
    with plain.client() as client, plain.client(credentials="insecure") as bare:
        reply = client.calls(1)["reply"]
        assert ("x-forwarded-client-cert" in reply) is (mode == "PERMISSIVE")
        assert bare.counts(3, timeout=5) == {"stable": 3}
        plain.write("delete", laxer)
        assert client.counts(3) == {"stable": 3}


def test_a_server_with_another_identity_is_not_believed(plain: Plain) -> None:
    """The mesh says that the instances run as somebody else than their certificates say."""
    plain.route(100, 0)
    entries = json.loads(plain.cli("get", "workloadentry", "-o", "json"))
    servers = [entry for entry in entries if entry["metadata"]["name"].startswith("link-service-")]
    honest = "\n---\n".join(map(json.dumps, servers))
    plain.write("apply", honest.replace('"serviceAccount": "link-service"', '"serviceAccount": "impostor"'))
    try:
        with plain.client() as client:
            outcome = client.calls(2, timeout=5)
            assert outcome["counts"] == {"UNAVAILABLE": 2}
            assert "CERTIFICATE_VERIFY_FAILED" in outcome["said"] or "SAN" in outcome["said"], outcome["said"]
    finally:
        plain.write("apply", honest)
    with plain.client() as client:
        assert client.counts(2) == {"stable": 2}


def test_a_program_started_by_hand_is_the_same_client(plain: Plain) -> None:
    bootstrap = plain.folder / "bootstrap.json"
    plain.cli("grpc-bootstrap", "client", "-o", str(bootstrap))
    words = (sys.executable, str(plain.folder / "client.py"), TARGET, "xds")
    with Client(words, {**os.environ, "GRPC_XDS_BOOTSTRAP": str(bootstrap)}) as client:
        assert f"URI={CLIENT_ID}" in client.calls(1)["reply"]["x-forwarded-client-cert"]


def test_the_door_of_one_workload_is_not_anothers(plain: Plain) -> None:
    bootstrap = plain.folder / "other.json"
    plain.cli("grpc-bootstrap", "client", "-o", str(bootstrap))
    bootstrap.write_text(bootstrap.read_text().replace("~client-1.", "~link-service-stable-1."))
    words = (sys.executable, str(plain.folder / "client.py"), TARGET, "xds")
    with Client(words, {**os.environ, "GRPC_XDS_BOOTSTRAP": str(bootstrap)}) as client:
        outcome = client.calls(1)
        assert outcome["counts"] == {"UNAVAILABLE": 1}
        assert "may not speak for default/link-service-stable-1" in outcome["said"]


def test_status_tells_whether_the_client_holds_what_it_should(plain: Plain) -> None:
    assert plain.config("client-1") == "no channel"
    with plain.client() as client:
        client.calls(1)
        Demo.wait(lambda: plain.config("client-1") == "in sync")
    Demo.wait(lambda: plain.config("client-1") == "no channel")


@pytest.mark.parametrize("record", ["control-plane.process", "run/.agent.process"])
def test_an_open_channel_outlives_those_who_tell_it_and_hears_of_the_next_change(plain: Plain, record: str) -> None:
    plain.route(100, 0)
    with plain.client() as client:
        assert client.counts(5) == {"stable": 5}
        pid = json.loads((plain.state / record).read_text())["pid"]
        os.kill(pid, signal.SIGKILL)
        assert client.counts(20) == {"stable": 20}
        Demo.wait(lambda: json.loads((plain.state / record).read_text())["pid"] != pid)
        Demo.wait(lambda: plain.config("client-1") == "in sync")
        plain.route(0, 100)
        assert client.counts(5) == {"canary": 5}


def test_a_client_may_ask_incrementally_as_well(plain: Plain) -> None:
    """The same answers by the other variant, at the same door; from then on it hears of what changes alone."""
    plain.route(100, 0)
    planned = read_plan(plain.state / "plan.json").workload("client")
    asked: SimpleQueue[bytes | None] = SimpleQueue()

    def ask(type_url: str, nonce: str = "", names: tuple[str, ...] = ()) -> None:
        request = DeltaDiscoveryRequest(type_url=type_url, response_nonce=nonce, resource_names_subscribe=names)
        request.node.id = planned.proxy_id
        asked.put(request.SerializeToString())

    door = plain.state / "run" / planned.instance / "grpc" / "agent.sock"
    with grpc.insecure_channel(f"unix:{door}") as channel:
        call = iter(channel.stream_stream(ADS.path, bytes, bytes)(iter(asked.get, None), timeout=20))
        ask(TYPE_LISTENER, names=("link-service:8080",))
        answer = DeltaDiscoveryResponse.FromString(next(call))
        assert [r.name for r in answer.resources] == ["link-service:8080"]
        ask(TYPE_LISTENER, answer.nonce)
        ask(TYPE_ROUTE, names=("link-service:8080",))
        before = DeltaDiscoveryResponse.FromString(next(call))
        ask(TYPE_ROUTE, before.nonce)
        with ThreadPoolExecutor() as pool:
            routing = pool.submit(plain.route, 0, 100)
            after = DeltaDiscoveryResponse.FromString(next(call))
            ask(TYPE_ROUTE, after.nonce)
            routing.result(timeout=30)
        assert [r.name for r in after.resources] == ["link-service:8080"]
        assert after.resources[0].version != before.resources[0].version
        asked.put(None)

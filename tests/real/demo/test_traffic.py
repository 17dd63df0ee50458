"""What the seed's resources do to traffic, seen by requests through real Envoys."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.demo.conftest import CALLER, Demo

LINK = "http://link-service:8080/version"
ANALYTICS = "http://analytics-service:8080/version"
SEED = Path(__file__).parents[4] / "shared" / "seed" / "canary.yaml"


@pytest.fixture(autouse=True)
def leaves_no_resource(demo: Demo) -> Iterator[None]:
    """Each test finds and leaves the demo as it starts."""
    yield
    for name in ("canary", "beta", "fault", "mesh-config", "circuit-breaker", "deny", "allow"):
        demo.delete(f"{name}.yaml")


def binomial_bounds(n: int, share: float) -> tuple[float, float]:
    """The 99.9 % interval of a binomial count, by the normal approximation (|z| ≤ 3.2905)."""
    spread = 3.2905 * (n * share * (1 - share)) ** 0.5
    return n * share - spread, n * share + spread


def test_canary_gets_its_share_and_a_new_split_holds_at_once_without_a_failed_call(demo: Demo) -> None:
    demo.apply("canary.yaml")
    got = demo.call("web", LINK, 2000, threads=4)
    low, high = binomial_bounds(2000, 0.05)
    assert got["by_status"] == {"200": 2000}
    assert low <= got["by_version"].get("canary", 0) <= high
    during: list[Any] = []
    caller = threading.Thread(target=lambda: during.append(demo.call("web", LINK, 4000, threads=2)))
    caller.start()
    demo.apply("canary-50.yaml")
    after = demo.call("web", LINK, 2000, threads=2)
    caller.join()
    low, high = binomial_bounds(2000, 0.5)
    assert low <= after["by_version"]["canary"] <= high
    assert during[0]["by_status"] == {"200": 4000}


def test_beta_users_always_get_the_canary_and_others_never(demo: Demo) -> None:
    demo.apply("beta.yaml")
    assert demo.call("web", LINK, 200, headers=("X-Beta-User:true",))["by_version"] == {"canary": 200}
    assert demo.call("web", LINK, 200)["by_version"] == {"stable": 200}


def test_a_tenth_of_the_calls_is_delayed_and_delete_ends_it_at_once(demo: Demo) -> None:
    demo.apply("fault.yaml")
    got = demo.call("web", ANALYTICS, 400, threads=40)
    slow = [s for s in got["seconds"] if s >= 4.99]  # Envoy's clock ticks in milliseconds
    low, high = binomial_bounds(400, 0.1)
    assert got["by_status"] == {"200": 400}
    assert low <= len(slow) <= high
    assert sorted(s for s in got["seconds"] if 2.5 < s < 4.99) == []
    demo.delete("fault.yaml")
    assert max(demo.call("web", ANALYTICS, 200, threads=4)["seconds"]) < 2.5


def test_one_mesh_config_makes_every_caller_see_far_fewer_errors(demo: Demo) -> None:
    callers = ("web", "redirect-service")
    demo.behave("geo-service", fail_rate=0.3, status=503)
    try:
        url = "http://geo-service:8080/version"
        before = [demo.call(w, url, 300, threads=3)["by_status"].get("503", 0) for w in callers]
        demo.apply("mesh-config.yaml")
        after = [demo.call(w, url, 300, threads=3)["by_status"].get("503", 0) for w in callers]
    finally:
        demo.behave("geo-service")
    assert min(before) > 50
    assert max(after) < min(before) / 4


def test_a_circuit_breaker_for_all_reaches_every_instance_and_fails_fast(demo: Demo) -> None:
    output = demo.apply("circuit-breaker.yaml")
    n_instances = len(demo.json("status"))
    counts = [line for line in output.splitlines() if "proxies in" in line]
    assert counts, output
    acked, total = counts[0].split()[0].split("/")
    assert acked == total
    assert 20 <= int(acked) <= n_instances
    demo.behave("report-service", delay_ms=3000)
    try:
        got = demo.call("web", "http://report-service:8080/version", 300, threads=150)
    finally:
        demo.behave("report-service")
    assert got["by_status"].get("503", 0) > 0
    fast = sorted(got["seconds"])[: got["by_status"]["503"]]
    assert fast[len(fast) // 2] < 1.0
    demo.wait(lambda: 'response_flags="UO"' in demo.get("/metrics").text)


def test_a_seed_file_without_hosts_is_answered_with_what_was_probably_meant(demo: Demo) -> None:
    if not SEED.exists():
        pytest.skip("the seed's file is not beside this checkout")
    result = demo.cli("apply", "-f", str(SEED))
    assert result.returncode == 1
    assert f"{SEED}:" in result.stderr
    assert "hosts" in result.stderr
    assert "link-service" in result.stderr


def test_a_resource_that_envoy_refuses_never_reaches_the_fleet(demo: Demo, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: too-much}\nspec:\n"
        f"  hosts: [link-service]\n  http:\n  - match:\n    - uri: {{regex: '/{'[a-z]{1,1000}' * 17}'}}\n"
        "    route: [{destination: {host: link-service}}]\n"
    )
    result = demo.cli("apply", "-f", str(bad))
    assert result.returncode == 1, result.stdout
    assert f"{bad}:8:" in result.stderr or f"{bad}:4:" in result.stderr, result.stderr
    assert "program size" in result.stderr, "Envoy's own words"
    assert demo.call("web", LINK, 50)["by_status"] == {"200": 50}
    assert all(p["in_sync"] and not p["last_error"] for p in demo.json("status"))


def test_a_host_called_before_it_exists_works_once_it_is_created(demo: Demo, tmp_path: Path) -> None:
    url = "http://late-service:8080/version"
    file = tmp_path / "late.yaml"
    file.write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: late-service}\n"
        "spec: {selector: {app: geo-service}, ports: [{name: http, port: 8080}]}\n"
    )
    demo.apply(str(file))
    assert demo.call("web", url, 20)["by_status"] == {"200": 20}
    demo.delete(str(file))
    vip = {"Host:late-service:8080"}
    gone = demo.call("web", LINK, 5, headers=tuple(vip))
    assert gone["by_status"] == {"404": 5}
    demo.apply(str(file))
    assert demo.call("web", url, 20)["by_status"] == {"200": 20}
    demo.delete(str(file))


def test_access_rules_take_effect_when_apply_returns(demo: Demo, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    text = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: test}}
spec:
  selector: {{matchLabels: {{app: link-service}}}}
  action: {action}
  rules:
  - from: [{{source: {{principals: [cluster.local/ns/default/sa/web]}}}}]
    to: [{{operation: {{paths: [/version]}}}}]
"""
    policy.write_text(text.format(action="DENY"))
    demo.apply(str(policy))
    assert demo.call("web", LINK, 60)["by_status"] == {"403": 60}
    assert demo.call("redirect-service", LINK, 60)["by_status"] == {"200": 60}
    policy.write_text(text.format(action="ALLOW"))
    demo.apply(str(policy))
    assert demo.call("web", LINK, 60)["by_status"] == {"200": 60}
    assert demo.call("redirect-service", LINK, 60)["by_status"] == {"403": 60}
    demo.delete(str(policy))
    assert demo.call("redirect-service", LINK, 60)["by_status"] == {"200": 60}


def test_an_instance_that_fails_is_ejected_and_comes_back(demo: Demo) -> None:
    demo.apply("circuit-breaker.yaml")
    demo.behave("link-service-stable-1", fail_rate=1.0, status=500)
    try:
        demo.call("web", LINK, 200, threads=2)
        demo.wait(lambda: demo.call("web", LINK, 60)["by_status"] == {"200": 60}, 20)
    finally:
        demo.behave("link-service-stable-1")

    def served() -> set[str]:
        script = (
            "import urllib.request,json;"
            f"print(json.dumps([urllib.request.urlopen('{LINK}',timeout=5).headers['x-served-by'] for _ in range(40)]))"
        )
        result = demo.cli("exec", "web", "--", sys.executable, "-c", script)
        return set(json.loads(result.stdout)) if result.returncode == 0 else set()

    demo.wait(lambda: "link-service-stable-1" in served(), 60)


def test_a_process_outside_the_mesh_is_refused_by_every_workload(demo: Demo) -> None:
    plan = json.loads((demo.state / "plan.json").read_text())
    addresses = [w["address"] for w in plan["workloads"] if w["interception"] == "iptables"]
    assert len(addresses) == 22
    for address in addresses:
        for port in (8080, 15001, 15006, 15020, 15021, 15090, 9999):
            got = subprocess.run(
                [sys.executable, str(CALLER), f"http://{address}:{port}/version", "1"],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            assert "200" not in json.loads(got.stdout)["by_status"], (address, port, got.stdout)


BYPASSES = (
    *("//version", "/./version", "/x/../version", "/%2e/version", "/%2fversion", "/x%2f..%2fversion", "/\\version"),
    *("/version/", "/version?x=1", "/version#x", "/version;x", "/%76ersion", "/VERSION/../version", "/version//"),
    *("/%2e%2e/version", "/.//version", "/x/..//version", "/%5cversion", "/version%00", "/version%20", "/%252fversion"),
)


def test_no_spelling_of_a_denied_path_gets_through(demo: Demo, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: test}\nspec:\n"
        "  selector: {matchLabels: {app: link-service}}\n  action: DENY\n"
        "  rules: [{to: [{operation: {paths: [/version]}}]}]\n"
    )
    script = (
        "import http.client,json,sys\nout={}\n"
        "for path in json.loads(sys.argv[1]):\n"
        "  c=http.client.HTTPConnection('link-service',8080,timeout=10)\n"
        "  c._validate_path=lambda url:None\n"
        "  c.request('GET',path)\n  r=c.getresponse()\n  out[path]=[r.status,r.read().decode()]\n"
        "print(json.dumps(out))"
    )

    def answers(paths: tuple[str, ...]) -> dict[str, tuple[int, str]]:
        result = demo.cli("exec", "web", "--", sys.executable, "-c", script, json.dumps(paths))
        assert result.returncode == 0, result.stderr
        found: dict[str, tuple[int, str]] = json.loads(result.stdout)
        return found

    assert answers(("/version",))["/version"][0] == 200
    demo.apply(str(policy))
    try:
        found = answers(("/version", *BYPASSES, "/healthz"))
    finally:
        demo.delete(str(policy))
    assert found["/version"][0] == 403
    assert found["/healthz"][0] == 200
    leaks = {path: answer for path, answer in found.items() if '"version"' in answer[1]}
    assert leaks == {}


def test_whoever_switches_mutual_tls_off_is_called_in_the_clear_and_then_not_any_more(
    demo: Demo, tmp_path: Path
) -> None:
    policy = tmp_path / "peer.yaml"
    text = (
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: geo}\nspec:\n"
        "  selector: {matchLabels: {app: geo-service}}\n  mtls: {mode: MODE}\n"
    )
    plan = json.loads((demo.state / "plan.json").read_text())
    address = next(w["address"] for w in plan["workloads"] if w["instance"] == "geo-service-1")

    def outsider() -> bool:
        command = [sys.executable, str(CALLER), f"http://{address}:8080/version", "1"]
        got = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return bool(json.loads(got.stdout)["by_status"] == {"200": 1})

    def insiders() -> bool:
        return bool(demo.call("web", "http://geo-service:8080/version", 30)["by_status"] == {"200": 30})

    assert not outsider()
    try:
        for mode, is_open in (("PERMISSIVE", True), ("DISABLE", True), ("STRICT", False)):
            policy.write_text(text.replace("MODE", mode))
            demo.apply(str(policy))
            demo.wait(lambda: insiders() and outsider() is is_open, 20)  # noqa: B023 - called at once
    finally:
        demo.delete(str(policy))
    demo.wait(lambda: insiders() and not outsider(), 20)

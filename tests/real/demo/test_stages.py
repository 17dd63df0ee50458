"""`apply --staged` on the running fleet: a good change reaches all, one that makes requests fail is taken back by itself."""

from __future__ import annotations

from pathlib import Path

from tests.real.demo.conftest import Demo

ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: staged, namespace: default}}
spec:
  hosts: [link-service]
  http:
  - {fault}route: [{{destination: {{host: link-service}}}}]
    headers: {{request: {{set: {{x-staged: "yes"}}}}}}
"""


def written(folder: Path, fault: str = "") -> Path:
    path = folder / "staged.yaml"
    path.write_text(ROUTE.format(fault=fault))
    return path


def test_a_good_change_goes_to_all_by_stages(demo: Demo, tmp_path: Path) -> None:
    file = written(tmp_path)
    try:
        result = demo.cli("apply", "--staged", "--bake", "3s", "-f", str(file), timeout=120)
        assert result.returncode == 0, result.stderr
        lines = result.stdout.splitlines()
        assert lines[1].startswith("1 proxy: ")
        assert all("0 % failed" in line for line in lines[1:-1])
        n_acked, n_affected = lines[-1].split(" ")[0].split("/")
        assert n_acked == n_affected
        assert "x-staged" in demo.cli("proxy-config", "web", "routes", "-o", "json").stdout
    finally:
        demo.delete(str(file))


def test_a_change_that_makes_requests_fail_is_taken_back(demo: Demo, tmp_path: Path) -> None:
    """Half of the calls to link-service are aborted at the first proxies that have it; then nobody has it."""
    file = written(tmp_path, "fault: {abort: {percentage: {value: 50}, httpStatus: 500}}\n    ")
    demo.call("web", "http://link-service:8080/version", 20)
    result = demo.cli("apply", "--staged", "--bake", "15s", "-f", str(file), timeout=120)
    assert result.returncode == 1
    assert "requests failed" in result.stderr
    assert f"{file}:" in result.stderr
    assert demo.call("web", "http://link-service:8080/version", 200)["by_status"] == {"200": 200}
    assert demo.cli("get", "vs", "staged").returncode == 1
    assert "x-staged" not in demo.cli("proxy-config", "web", "routes", "-o", "json").stdout


def test_what_servers_accept_cannot_be_staged(demo: Demo, tmp_path: Path) -> None:
    """Callers and servers must follow one another."""
    file = tmp_path / "doors.yaml"
    file.write_text(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: doors, namespace: default}\n"
        "spec: {mtls: {mode: DISABLE}}\n"
    )
    result = demo.cli("apply", "--staged", "-f", str(file))
    assert result.returncode == 1
    assert "without --staged" in result.stderr

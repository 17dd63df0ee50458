"""What a gRPC client finds: a bootstrap that leads to its own door, and files that only its user may read."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from byway.agent import surroundings
from byway.agent.credentials import Credential
from byway.agent.grpc_client import ClientFiles, bootstrap_json
from byway.agent.layout import Layout
from byway.agent.plan import Plan, WorkloadPlan
from byway.base.errors import UsageError
from byway.identity.certificate import CertificateFacts
from byway.identity.spiffe import workload_id

CLIENT = WorkloadPlan(instance="client-1", workload="client", kind="grpc", address="10.0.0.9", command=("run",))
PLAN = Plan(mesh="shop", node="here", workloads=(CLIENT,))


def credential(serial: str) -> Credential:
    identity = workload_id("cluster.local", "default", "client")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    facts = CertificateFacts(identity=identity, serial=serial, issuer="ca", not_before=now, not_after=now)
    return Credential(
        identity=identity,
        key_pem=f"key {serial}".encode(),
        chain_pem=f"chain {serial}".encode(),
        bundle_pem=b"roots",
        facts=facts,
    )


def test_the_bootstrap_names_the_workload_its_door_and_its_files(tmp_path: Path) -> None:
    document = json.loads(bootstrap_json(CLIENT, tmp_path))
    assert document["node"]["id"] == "grpc~10.0.0.9~client-1.default~default.svc.cluster.local"
    assert document["xds_servers"][0]["server_uri"] == f"unix:{tmp_path}/agent.sock"
    config = document["certificate_providers"]["default"]["config"]
    files = ClientFiles(tmp_path, None)
    files.rotate(credential("1"))
    assert Path(config["private_key_file"]).read_bytes() == b"key 1"
    assert Path(config["certificate_file"]).read_bytes() == b"chain 1"
    assert Path(config["ca_certificate_file"]).read_bytes() == b"roots"


def test_a_rotation_replaces_the_files_and_nobody_else_may_read_them(tmp_path: Path) -> None:
    files = ClientFiles(tmp_path / "grpc", None)
    files.prepare(b"{}")
    files.rotate(credential("1"))
    files.rotate(credential("2"))
    assert (files.folder / "key.pem").read_bytes() == b"key 2"
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in files.folder.iterdir()} == {0o600}


def test_a_workload_with_an_envoy_has_no_such_bootstrap(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"write `proxy: grpc` under services.client"):
        bootstrap_json(msgspec.structs.replace(CLIENT, kind="sidecar"), tmp_path)


def test_a_socket_that_nobody_could_dial_is_said_so() -> None:
    with pytest.raises(UsageError, match="too long for a socket"):
        bootstrap_json(CLIENT, Path("/") / ("x" * 100))


@pytest.mark.parametrize("interception", ["iptables", "explicit"])
def test_its_application_is_told_the_bootstrap_and_no_proxy(tmp_path: Path, interception: str) -> None:
    layout = Layout(tmp_path).workload("client-1")
    client = msgspec.convert(msgspec.to_builtins(CLIENT) | {"interception": interception}, WorkloadPlan)
    launch = surroundings.application(PLAN, client, layout, ("run",))
    seen = Path(launch.env["GRPC_XDS_BOOTSTRAP"])
    laid = {target: source for source, target in launch.binds}
    assert Path(laid.get(str(seen.parent), str(seen.parent))) == layout.client
    assert "http_proxy" not in launch.env

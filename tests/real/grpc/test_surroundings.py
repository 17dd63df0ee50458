"""Where a gRPC client finds its certificate: fresh, readable by its own user, with namespaces or without."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from tests.real.demo.conftest import Demo, require_root
from tests.real.demo.meshes import Tiny, traces
from tests.real.grpc.conftest import Plain

SOMEBODY = 12_345
ALONE = "mesh: alone\nservices:\n  client: {proxy: grpc, command: [sleep, infinity]}\n"


class Somebodys(Tiny):
    """A mesh whose applications run as the user who called `sudo byway up`."""

    @property
    def command(self) -> list[str]:
        """The command line."""
        return ["env", f"SUDO_UID={SOMEBODY}", f"SUDO_GID={SOMEBODY}", *super().command]


@contextmanager
def running(mesh: Tiny, *options: str) -> Iterator[None]:
    """The mesh, up until the end of the block, and then gone without a trace."""
    require_root()
    try:
        mesh.start(*options)
        yield
    finally:
        mesh.end()
    name = mesh.file.read_text().splitlines()[0].removeprefix("mesh: ")
    assert traces(name, mesh.state) == []


def serial(folder: Path) -> int:
    """The serial number of the certificate that lies there."""
    return x509.load_pem_x509_certificate((folder / "cert-chain.pem").read_bytes()).serial_number


def test_a_channel_lives_on_after_its_first_certificate_has_ended(tmp_path: Path) -> None:
    mesh = Plain(tmp_path / "mesh")
    with running(mesh, "--certificate-life", "20s"), mesh.client() as client:
        folder = mesh.state / "run" / "client-1" / "grpc"
        mesh.route(100, 0)
        first = x509.load_pem_x509_certificate((folder / "cert-chain.pem").read_bytes())
        assert client.counts(3) == {"stable": 3}
        end = first.not_valid_after_utc.timestamp()
        Demo.wait(lambda: client.counts(20) == {"stable": 20} and time.time() > end, 40)
        assert serial(folder) != first.serial_number
        mesh.route(0, 100)
        assert client.counts(3) == {"canary": 3}
        with mesh.client() as fresh:
            assert fresh.counts(3) == {"canary": 3}


def test_without_namespaces_it_is_all_the_same(tmp_path: Path) -> None:
    mesh = Plain(tmp_path / "mesh")
    with running(mesh, "--proxy", "explicit"), mesh.client() as client:
        mesh.route(0, 100)
        reply = client.calls(1)["reply"]
        assert reply["version"] == "canary"
        assert "URI=spiffe://cluster.local/ns/default/sa/client" in reply["x-forwarded-client-cert"]


@pytest.mark.parametrize("options", [(), ("--proxy", "explicit")])
def test_an_application_of_another_user_reads_its_own_files_and_nobody_elses(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    mesh = Somebodys(tmp_path / "mesh", ALONE)
    with running(mesh, *options):
        folder = mesh.state / "run" / "client-1" / "grpc"
        found = folder.stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (SOMEBODY, 0o700)
        said = mesh.cli(
            "exec",
            "client",
            "--",
            "sh",
            "-c",
            "id -u; test -S /run/byway/agent.sock; cat $GRPC_XDS_BOOTSTRAP /run/byway/key.pem",
        )
        assert said.startswith(f"{SOMEBODY}\n")
        assert '"server_uri": "unix:/run/byway/agent.sock"' in said
        assert "BEGIN PRIVATE KEY" in said

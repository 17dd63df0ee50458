"""A stored object that Envoy refuses is held and shown, everything else goes out and requests flow, until it is mended.

The store is written around the admission, as another Byway with another Envoy may write it. Byway's own decoding takes the
bad route: that `%PROTOCOL%` has no parameters, only Envoy knows.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from byway.kinds.text import documents
from byway.sources.source import Put
from byway.sources.store import StoreSource
from tests.real.demo.meshes import BYWAY, Tiny, members

pytestmark = pytest.mark.real

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {host}, namespace: default}}
spec:
  hosts: [{host}]
  http:
  - headers: {{request: {{set: {{x-{host}: "{value}"}}}}}}
    route: [{{destination: {{host: {host}}}}}]
"""
BAD = ROUTE.format(host="back", value="%PROTOCOL(x)%")
GOOD = ROUTE.format(host="back", value="%PROTOCOL%")
OTHER = ROUTE.format(host="front", value="fine")


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    """A mesh that was ended after its store had been written."""
    made = Tiny(tmp_path / "tiny")
    try:
        yield made
    finally:
        made.end()


def run(mesh: Tiny, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command, however it ends."""
    environment = {**os.environ, "BYWAY_SERVER": f"http://{mesh.admin}", "BYWAY_STATE": str(mesh.state)}
    return subprocess.run(
        [*BYWAY, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def interrupted(mesh: Tiny) -> None:
    """Ends the mesh, as Ctrl-C does; its state stays."""
    assert mesh.process is not None
    mesh.process.send_signal(signal.SIGINT)
    mesh.process.wait(60)


def store(mesh: Tiny, *texts: str) -> None:
    """Commits documents without asking anybody."""

    async def commit() -> None:
        source = await StoreSource.open(mesh.state / "store.sqlite")
        try:
            await source.commit([Put(d) for n, text in enumerate(texts) for d in documents(text, f"{n}.yaml").value])
        finally:
            await source.close()

    asyncio.run(commit())


def reconciled(mesh: Tiny, name: str) -> dict[str, Any]:
    """The condition that says how an object stands."""
    body = json.loads(mesh.cli("get", "vs", name, "-o", "json"))
    (found,) = [dict(c) for c in body["status"]["conditions"] if c["type"] == "Reconciled"]
    return found


def test_a_refused_object_is_held_alone_and_freed_by_a_good_version(tiny: Tiny, tmp_path: Path) -> None:
    tiny.start()
    interrupted(tiny)
    store(tiny, BAD, OTHER)
    tiny.start()
    assert tiny.fetched("front", "http://back:9000/") == "the back answers"
    assert tiny.fetched("back", "http://front:8000/") == "front: the back answers"
    assert "x-front" in tiny.cli("proxy-config", "back", "routes", "-o", "json")
    assert "x-back" not in tiny.cli("proxy-config", "front", "routes", "-o", "json")

    analysis = run(tiny, "analyze")
    assert analysis.returncode == 1
    assert "0.yaml:7:31: in quarantine, nothing of it is in force: Envoy refuses out/back" in analysis.stdout
    assert "PROTOCOL does not take any parameters" in analysis.stdout
    assert "1 object in trouble:\nVirtualService default/back: 0.yaml:7:31: in quarantine" in tiny.cli("status")
    condition = reconciled(tiny, "back")
    assert (condition["status"], condition["reason"]) == ("False", "Quarantined")
    assert reconciled(tiny, "front")["status"] == "True"

    good = tmp_path / "good.yaml"
    good.write_text(GOOD)
    tiny.cli("apply", "-f", str(good))
    assert reconciled(tiny, "back")["status"] == "True"
    assert run(tiny, "analyze").returncode == 0
    assert "in trouble" not in tiny.cli("status")
    tiny.fetched("front", "http://back:9000/")
    assert "x-back" in tiny.cli("proxy-config", "front", "routes", "-o", "json")


def test_an_apply_with_a_bad_object_names_it_and_can_keep_going(tiny: Tiny, tmp_path: Path) -> None:
    """And it does so though the proving Envoy is killed in between; what was printed can be applied again."""
    tiny.start()
    file = tmp_path / "both.yaml"
    file.write_text(f"{BAD}---\n{OTHER}")
    refused = run(tiny, "apply", "-f", str(file))
    assert refused.returncode == 1
    assert f"{file}:7:31: Envoy refuses out/back.default.svc.cluster.local:9000" in refused.stderr
    assert "nothing is wrong with VirtualService default/front" in refused.stderr
    assert run(tiny, "get", "vs", "front").returncode == 1

    os.kill(prover(tiny), signal.SIGKILL)
    partial = run(tiny, "apply", "--keep-going", "-f", str(file))
    assert partial.returncode == 1
    assert "left out, not stored: VirtualService default/back" in partial.stdout
    assert "virtualservice.networking.istio.io/front created" in partial.stdout
    printed = tmp_path / "printed.yaml"
    printed.write_text(tiny.cli("get", "vs", "-o", "yaml"))
    assert "Reconciled" in printed.read_text()
    assert "unchanged" in tiny.cli("apply", "-f", str(printed))


def prover(mesh: Tiny) -> int:
    """The proving Envoy of that mesh: a child of its control plane."""
    (parent,) = [pid for pid in members(mesh.state) if b"control-plane" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (found,) = [int(c) for c in children if b"byway-prover-" in Path(f"/proc/{c}/cmdline").read_bytes()]
    return found

"""Random edits under a steady load, through five real Envoys: does any of them fail a request?

Two workloads call three by HTTP/1.1 (over kept and over new connections; between the Envoys it is HTTP/2) and by TCP, while
one edit after another is written by the HTTP API, the next as soon as the one before was acknowledged. Every answer counts:
its status, and who gave it. Who may give it is known for calls that began after an edit was acknowledged and ended before
the next was written; for others, any version will do.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
import yaml

from bench.edits_server import TCP
from bench.mesh import LIFE_S, BenchMesh, mesh_name, running_mesh
from bench.process import BenchFailed
from bench.result import Goal, Result, Sample, figure
from bench.scope import Progress, Scope
from bench.writer import BACK, SHOP, Edit, Writer

GROUP: Final = "What a change costs"
_HERE: Final = Path(__file__).parent
_RATE: Final = 12
_END_S: Final = 60.0
_SETTLE_S: Final = 0.3
"""Envoy acknowledges in its main thread; its workers follow."""
_PAUSED: Final = 0.2
"""The share of edits after which the next one waits, so that there are calls of which it is known who may answer."""
_SHOWN: Final = 5
_CALLS: Final = {
    "front": (
        f"kept=http://back:{BACK}/", f"new=http://back.default:{BACK}/rewritten", f"kept=http://shop:{SHOP}/",
        "kept=http://inside/", f"tcp=echo:{TCP}",
    ),
    "shop": (f"kept=http://back.default.svc.cluster.local:{BACK}/", "new=http://inside/", f"tcp=echo:{TCP}"),
}  # fmt: skip
_VERSIONS: Final = {"shop": frozenset({"v1"})}


class Call(msgspec.Struct, frozen=True):
    """One call of the load, and what came of it."""

    workload: str
    call: str
    began: float
    ended: float
    status: str
    said: str

    @property
    def host(self) -> str:
        """The service that was called."""
        return self.call.partition("=")[2].removeprefix("http://").partition("/")[0].partition(":")[0].partition(".")[0]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """An edit, when it was written and acknowledged, and who may answer from then on."""

    edit: Edit
    began: float
    acked: float
    rollout_ms: float
    allowed: dict[str, frozenset[str]]


class Found(msgspec.Struct, frozen=True):
    """All that was written and called."""

    written: tuple[Written, ...]
    calls: tuple[Call, ...]

    def failures(self) -> list[str]:
        """The calls that failed, each with the edit that was the last before it ended."""
        begins = [w.began for w in self.written]
        return [
            f"{call.workload} {call.call}: {why} at edit {last} ({self.written[last].edit.title})"
            for call in self.calls
            if (why := self._fault(call, last := max(0, bisect_right(begins, call.ended) - 1)))
        ]

    def n_judged(self) -> int:
        """How many calls of some host were held against what the last edit says of it."""
        begins = [w.began for w in self.written]
        return sum(self._is_settled(call, max(0, bisect_right(begins, call.ended) - 1)) for call in self.calls)

    def _fault(self, call: Call, last: int) -> str:
        if call.status != "200":
            return f"{call.status} {call.said}".strip()
        allowed = _VERSIONS.get(call.host, frozenset({"v1", "v2"}))
        if self._is_settled(call, last):
            allowed = self.written[last].allowed[call.host]
        return "" if call.said in allowed else f"answered by {call.said!r}, which is not one of {sorted(allowed)}"

    def _is_settled(self, call: Call, last: int) -> bool:
        return call.began > self.written[last].acked + _SETTLE_S


def results(scope: Scope, folder: Path, progress: Progress) -> tuple[Result, ...]:
    """The figures."""
    progress.say(f"edits: {scope.n_edits} random edits under load")
    found = measured(scope.n_edits, folder, seed=1)
    failures = found.failures()
    times = Sample.of([w.rollout_ms for w in found.written])
    kinds = Counter(d["kind"] for w in found.written for d in w.edit.puts)
    n_deleted = sum(len(w.edit.deletes) for w in found.written)
    told = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    how = (
        f"{len(found.written)} random valid writes ({told}; {n_deleted} deletions), one after another, through 5 real sidecars, "
        f"under {len(found.calls)} calls at a steady rate, HTTP/1.1 and TCP; each answer's status and version are looked at, "
        f"that of {found.n_judged()} against what the last edit says"
    )
    return (
        Result(
            name="edits_failed_requests", value=len(failures), unit="requests", goal=Goal(0), how=how,
            detail="; ".join(failures[:_SHOWN]), group=GROUP,
        ),
        Result(
            name="edits_last_ack_ms", value=round(times.median, 1), unit="ms", group=GROUP, detail=f"edits {times.spread}",
            how=f"published to last ACK, median of the same edits; 99 of 100 within {figure(_p99(times.values))} ms",
        ),
    )  # fmt: skip


def _p99(values: tuple[float, ...]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def measured(n_edits: int, folder: Path, *, seed: int, last: tuple[Edit, ...] = ()) -> Found:
    """Runs a mesh of its own, the load, so many random edits, and the `last` ones."""
    place = folder / "edits"
    place.mkdir()
    writer, chance = Writer(seed), random.Random(seed)  # noqa: S311 - no secret: the same each time
    written: list[Written] = []
    with running_mesh(_described(place), place, life_s=LIFE_S + n_edits) as mesh:
        _write(mesh, writer, writer.first())
        with _load(mesh, place) as calls:
            for edit in chain((writer.next() for _ in range(n_edits)), last):
                written.append(_write(mesh, writer, edit))
                if chance.random() < _PAUSED or edit in last:
                    time.sleep(2 * _SETTLE_S)
            time.sleep(2 * _SETTLE_S)
    return Found(tuple(written), tuple(calls))


def _described(folder: Path) -> Path:
    server = ["${python}", str(_HERE / "edits_server.py")]
    versions = {v: {"env": {"VERSION": v}} for v in ("v1", "v2")}
    services = {
        "front": {"command": ["sleep", "infinity"]},
        "back": {"port": BACK, "command": server, "versions": {**versions, "v1": {**versions["v1"], "instances": 2}}},
        "shop": {"port": SHOP, "command": server},
    }
    file = folder / "mesh.yaml"
    file.write_text(yaml.safe_dump({"mesh": mesh_name("edits"), "services": services}, sort_keys=False))
    return file


def _write(mesh: BenchMesh, writer: Writer, edit: Edit) -> Written:
    began = time.monotonic()
    if edit.puts:
        rollout = mesh.apply(yaml.safe_dump_all(edit.puts))
    else:
        rollout = mesh.delete_all([(kind, name, namespace) for kind, namespace, name in edit.deletes])
    if rollout["n_acked"] != rollout["n_affected"] or rollout["refusals"]:
        raise BenchFailed(f"{edit.title} did not reach everybody: {rollout}")
    return Written(
        edit=edit, began=began, acked=time.monotonic(), rollout_ms=rollout["seconds"] * 1000,
        allowed={host: writer.versions(host) for host in ("back", "shop", "inside", "echo")},
    )  # fmt: skip


@contextlib.contextmanager
def _load(mesh: BenchMesh, folder: Path) -> Iterator[list[Call]]:
    """The load, from its first calls on; what came of it is there once it has ended."""
    calls: list[Call] = []
    command = (sys.executable, str(_HERE / "steady.py"), str(_RATE))
    with contextlib.ExitStack() as stack:
        callers = {}
        for workload, called in _CALLS.items():
            output = stack.enter_context((folder / f"{workload}.calls").open("w+"))
            process = subprocess.Popen(
                [*mesh.entered(workload), *command, *called], stdin=subprocess.PIPE, stdout=output, text=True
            )
            stack.callback(process.kill)
            callers[workload] = (process, output)
        yield calls
        for workload, (process, output) in callers.items():
            process.communicate(timeout=_END_S)
            output.seek(0)
            calls += (_call(workload, line) for line in output)


def _call(workload: str, line: str) -> Call:
    call, began, ended, status, said = line.rstrip("\n").split("\t")
    return Call(workload, call, float(began), float(ended), status, said)

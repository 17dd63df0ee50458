"""What a run leaves behind: docs/benchmarks.md for people, results/latest.json for programs and for the next run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import msgspec

from bench.machine import Machine
from bench.result import Curve, Goal, Result, figure, quantity
from bench.scope import Scope

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "benchmarks.md"
LATEST: Final = ROOT / "bench" / "results" / "latest.json"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run as it is kept."""

    machine: Machine
    scope: Scope
    seconds: float
    results: tuple[Result, ...]
    began: str = ""
    kept: tuple[Result, ...] = ()
    """Of the stored run before, what was not measured this time."""

    @property
    def everything(self) -> tuple[Result, ...]:
        """What was measured and what is kept, group by group; a figure that was measured anew is not kept."""
        names = {result.name for result in self.results}
        marked = (msgspec.structs.replace(result, measured=self.began) for result in self.results)
        together = (*marked, *(result for result in self.kept if result.name not in names))
        groups = list(dict.fromkeys(result.group for result in (*self.kept, *self.results)))
        return tuple(sorted(together, key=lambda result: groups.index(result.group)))


def write(run: Run) -> None:
    """Writes both files; what the stored run before had is shown beside the new figures."""
    before = {result.name: result.value for result in stored()}
    PAGE.write_text(page(run, before))
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_bytes(msgspec.json.format(msgspec.json.encode(document(run)), indent=2) + b"\n")


def page(run: Run, before: dict[str, float]) -> str:
    """The page: the machine, then a table for each group of figures."""
    parts = [_HEAD, _about(run)]
    measured = {result.name for result in run.results}
    for group, members in groupby(run.everything, key=lambda result: result.group):
        results = list(members)
        parts.append(f"## {group}\n\n{_table(results, before, measured)}\n")
        parts += [_picture(result.curve) for result in results if result.curve is not None]
    return "\n".join([*parts, _TAIL])


def _about(run: Run) -> str:
    machine = run.machine
    return (
        f"Machine: {machine.processor}, {machine.n_cores} cores, {machine.memory_gb:g} GB, Linux {machine.kernel}, Python "
        f"{machine.python}, Envoy {machine.envoy}. The {run.scope.name} set, {run.seconds:.0f} s. Load before the run: "
        f"{machine.load_before:g} (0 is a quiet machine), after it {machine.load_after:g}; processor time stolen by the "
        f"hypervisor: {machine.stolen_percent:.1f} %.\n"
    )


def _table(results: Sequence[Result], before: dict[str, float], measured: set[str]) -> str:
    lines = ["| name | value | goal | last run | absolute, spread | how |", "|---|---|---|---|---|---|"]
    for result in results:
        goal = f"≤ {_amount(result.goal.at_most, result)}: {_marked(result.verdict)}" if result.goal else ""
        last = _amount(before[result.name], result) if result.name in before else ""
        if result.name not in measured:
            last = f"kept, {result.measured}" if result.measured else "kept"
        value = quantity(result.value, result.unit)
        lines.append(f"| `{result.name}` | {value} | {goal} | {last} | {result.detail} | {result.how} |")
    return "\n".join(lines)


def _amount(value: float, beside: Result) -> str:
    """A number in the columns beside a result's value: seconds bring their unit, since short ones become milliseconds."""
    return quantity(value, "s") if beside.unit == "s" else figure(value)


def _picture(curve: Curve) -> str:
    """A drawing that the page's reader makes of it; the colours of its lines are told, since it has no legend."""
    named = ", ".join(f"{name} ({colour})" for name, (colour, _) in zip(curve.lines, _COLOURS, strict=False))
    palette = ", ".join(code for _, code in _COLOURS)
    theme = f'%%{{init: {{"themeVariables": {{"xyChart": {{"plotColorPalette": "{palette}"}}}}}}}}%%'
    lines = "\n".join(f"    line [{', '.join(f'{value:g}' for value in values)}]" for values in curve.lines.values())
    top = max(value for values in curve.lines.values() for value in values)
    return (
        f"{curve.title}, by {curve.x_axis}: {named}.\n\n```mermaid\n{theme}\nxychart-beta\n"
        f'    title "{curve.title}"\n'
        f'    x-axis "{curve.x_axis}" [{", ".join(_quoted(x) for x in curve.x)}]\n'
        f'    y-axis "{curve.unit}" 0 --> {1.1 * top:.0f}\n{lines}\n```\n'
    )


def _quoted(text: str) -> str:
    return f'"{text}"'


def _marked(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "missed" else verdict


def document(run: Run) -> dict[str, Any]:
    """What is stored of a run, for programs and for the next one."""
    return {
        "machine": msgspec.to_builtins(run.machine),
        "scope": run.scope.name,
        "seconds": round(run.seconds),
        "results": {
            result.name: {
                "value": result.value,
                "unit": result.unit,
                "goal": result.goal.at_most if result.goal else None,
                "how": result.how,
                "detail": result.detail,
                "group": result.group,
                "measured": result.measured,
                "curve": msgspec.to_builtins(result.curve),
            }
            for result in run.everything
        },
    }


def stored() -> tuple[Result, ...]:
    """The figures of the stored run; none where there is no run."""
    try:
        return results_in(msgspec.json.decode(LATEST.read_bytes()))
    except (FileNotFoundError, msgspec.DecodeError):
        return ()


def results_in(kept: dict[str, Any]) -> tuple[Result, ...]:
    """The figures of a stored run's content."""
    return tuple(_result(name, found) for name, found in kept.get("results", {}).items())


def _result(name: str, found: dict[str, Any]) -> Result:
    goal = found.get("goal")
    return Result(
        name=name,
        value=float(found["value"]),
        unit=found["unit"],
        how=found["how"],
        goal=None if goal is None else Goal(goal),
        detail=found.get("detail", ""),
        group=found.get("group", ""),
        measured=found.get("measured", ""),
        curve=msgspec.convert(found.get("curve"), Curve | None),
    )


_COLOURS: Final = (("blue", "#1f77b4"), ("orange", "#ff7f0e"), ("green", "#2ca02c"), ("red", "#d62728"))

_HEAD: Final = """# Benchmarks

Made by `make bench`; what was written here before is in the column "last run" ("kept": not
measured again; with the time, in UTC, at which its run began).

Everything runs on one machine at a time: callers, proxies, applications and control plane share its cores. Trust ratios and
counts; times in milliseconds are this machine's, in this hour. A goal that was missed is said to be missed.
"""

_TAIL: Final = """## How it is set up

- *direct*: a caller and a server in two network namespaces on a bridge. The server is an Envoy that answers 1 KB by itself.
- *bare*: the same, with two Envoys written by hand: static configuration, the same interception, mutual TLS 1.3 with SPIFFE ids
  checked on both sides, HTTP/2 between them; no control plane, statistics, traces, retries or filters.
- *byway*: the same in a mesh started by `byway up`, with its defaults: STRICT mutual TLS, Istio's metrics, no traces (a
  MeshConfig asks for them), no access log. The caller calls the server by its name.
- *twins* (`python -m bench cost`, `python -m bench instructions`): static copies of the live pair, read from its Envoys, one
  whole and one for each piece that it lacks, or has besides. All stand at once and take their turns in an order drawn by lot;
  a burst during which others used the machine is repeated. Under valgrind each is run alone.
- All Envoys have one worker. The ways are measured in turn, another one first in each round.
- The direct way's p50 jumps between some 25 µs and some 60 µs from round to round, probably by where the kernel puts caller and
  server. What Byway costs is better read from the ratio to the bare pair.
- p99 is the first to suffer from other work on the machine: the spread over the rounds says how far to trust it. Processor time
  suffers least.
- Fake proxies speak delta ADS as Envoy does (`byway.testing.fake_envoy`, held against a recording of a real one). A thousand
  of them share one process; the control plane, or the bare server, is another. Nothing is bound to a core: both share the
  machine with whatever else runs on it. Generated meshes (`byway.testing.population`) have teams of twenty services, calls by
  a power law, two versions and policies.
- The quick set has a smaller mesh and a shorter churn: figures whose goal names a size or a time have no goal there.
- Memory is `RssAnon`: a process's own pages. The pages of Envoy's binary, some 50 MB, are shared by all Envoys of a host.
"""

"""The answer to a write (apply, delete, or a dry run), told line by line as kubectl does, then how far it has come."""

from __future__ import annotations

import sys
from typing import Any

from byway.admin.port import Change, RolloutReport, Stage
from byway.base.wording import counted
from byway.cli.answers import WriteAnswer
from byway.cli.control_plane import understood
from byway.cli.options import Format
from byway.cli.output import show
from byway.cli.wording import finding_line, milliseconds, percent


def told(content: Any, output: Format, *, dry_run: bool) -> int:
    """Prints the answer (data on stdout, what is wrong on stderr) and answers the exit code."""
    answer = understood(content, WriteAnswer)
    for finding in answer.diagnostics:
        print(finding_line(finding), file=sys.stderr)
    is_refused = answer.has_errors and not answer.is_partial
    show(content, output, lambda: "nothing changed" if is_refused else _lines(answer, dry_run=dry_run))
    for refusal in answer.rollout.refusals if answer.rollout else ():
        print(f"byway: Envoy of {refusal.instance}.{refusal.namespace} refuses it: {refusal.message}", file=sys.stderr)
    return 1 if answer.has_errors or not answer.has_arrived else 0


def _lines(answer: WriteAnswer, *, dry_run: bool) -> str:
    suffix = " (dry run)" if dry_run else ""
    left_out = [change for change in answer.changes if change.action == "left out"]
    lines = [f"{reference(change)} {change.action}{suffix}" for change in answer.changes if change not in left_out]
    if all(change.action in ("unchanged", "left out") for change in answer.changes):
        lines.append("nothing changed")
    elif answer.rollout and not dry_run:
        lines.extend(map(stage_line, answer.stages))
        is_deletion = all(change.action == "deleted" for change in answer.changes)
        lines.append(rollout_line(answer.rollout, "deleted" if is_deletion else "stored"))
    lines += [f"left out, not stored: {change.kind} {_place(change)}" for change in left_out]
    if left_out:
        lines.append(f"{counted(len(left_out), 'object')} of {len(answer.changes)} left out")
    return "\n".join(lines)


def _place(change: Change) -> str:
    return f"{change.namespace}/{change.name}" if change.namespace else change.name


def reference(change: Change) -> str:
    """A resource as kubectl names it: `virtualservice.networking.istio.io/link-service`."""
    from byway.kinds.registry import BY_NAME

    group = BY_NAME[change.kind].group if change.kind in BY_NAME else ""
    return f"{change.kind.lower()}{f'.{group}' if group else ''}/{change.name}"


def stage_line(stage: Stage) -> str:
    """What a stage came to: `1 proxy: 40 requests, 0 % failed`."""
    requests = f"{counted(round(stage.n_requests), 'request', 'requests')}, {percent(stage.failure_share)} failed"
    return f"{counted(stage.n_proxies, 'proxy', 'proxies')}: {requests}"


def rollout_line(rollout: RolloutReport, done: str = "stored") -> str:
    """How far a change has come: `20/20 proxies in 38 ms`; `done` is what is true in any case."""
    n_others = rollout.n_connected - rollout.n_affected
    if rollout.n_connected == 0 and rollout.may_be_elsewhere:
        return f"{done}; no proxy is at this control plane, those at others take it from the store"
    if rollout.n_connected == 0:
        return f"{done}; no proxy is connected yet"
    if rollout.n_affected == 0:
        verb = "used" if done == "deleted" else "uses"
        return f"{done}; none of {counted(rollout.n_connected, 'proxy', 'proxies')} {verb} it"
    line = f"{rollout.n_acked}/{rollout.n_affected} proxies in {milliseconds(rollout.seconds)}"
    if n_late := rollout.n_affected - rollout.n_acked - len(rollout.refusals):
        line += f"; {n_late} {'has' if n_late == 1 else 'have'} not answered (see: byway status)"
    return f"{line} ({n_others} {'does' if n_others == 1 else 'do'} not use it)" if n_others > 0 else line

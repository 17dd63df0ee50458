"""A check-up: what was looked at, how it stands, and how to mend it; printed as `linkerd check` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final, Literal

import msgspec

Verdict = Literal["ok", "warning", "failed"]

_MARKS: Final = {"ok": "√", "warning": "‼", "failed": "×"}


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at; `mend` is empty only where nothing is wrong."""

    group: str
    verdict: Verdict
    finding: str
    mend: str = ""


def checkup_text(checks: Sequence[Check]) -> str:
    """The checks under the heading of their group, and a last line with the overall verdict."""
    lines: list[str] = []
    for group, members in groupby(checks, key=lambda check: check.group):
        lines += [group, "-" * len(group)]
        for check in members:
            lines.append(f"{_MARKS[check.verdict]} {check.finding}")
            if check.mend:
                lines.append(f"    {check.mend}")
        lines.append("")
    return "\n".join([*lines, _summary(checks)])


def _summary(checks: Sequence[Check]) -> str:
    n_failed = sum(check.verdict == "failed" for check in checks)
    n_warnings = sum(check.verdict == "warning" for check in checks)
    if n_failed:
        return f"× {n_failed} of {len(checks)} checks failed"
    return f"√ {len(checks)} checks, nothing failed" + (f", {n_warnings} to look at" if n_warnings else "")

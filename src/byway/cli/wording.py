"""How the command line words its lines: errors, diagnostics and the small units people read."""

from __future__ import annotations

from byway.base.diagnostics import Diagnostic, Severity
from byway.base.errors import UsageError


class WrongUsageError(UsageError):
    """The command line itself is wrong (exit code 2), as opposed to what it asked for."""


class FileError(UsageError):
    """A file is at fault; the message begins with its name, as compilers' messages do."""


def finding_line(finding: Diagnostic) -> str:
    """A diagnostic as compilers print it: `file:line:column: what is wrong (what to do) [code]`."""
    place = str(finding.position or finding.subject)
    severity = {Severity.ERROR: "", Severity.WARNING: "warning: ", Severity.INFO: "note: "}[finding.severity]
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"{place}{': ' if place else ''}{severity}{finding.message}{hint} [{finding.code}]"


def milliseconds(seconds: float) -> str:
    """A short time as people read it: `0.4 ms`, `38 ms`, `1.25 s`."""
    ms = seconds * 1000
    if ms < 10:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 1000 else f"{seconds:.2f} s"


def span(seconds: float) -> str:
    """A long time in its two largest units: `23h59m`, `9d4h`, `45s`."""
    left = max(0, int(seconds))
    units = [(left // 86400, "d"), (left % 86400 // 3600, "h"), (left % 3600 // 60, "m"), (left % 60, "s")]
    while len(units) > 1 and units[0][0] == 0:
        units.pop(0)
    return "".join(f"{n}{unit}" for n, unit in units[:2] if n) or "0s"


def percent(share: float) -> str:
    """A share of one as a percentage with two decimals at most: `100 %`, `95.3 %`."""
    return f"{share * 100:.2f}".rstrip("0").rstrip(".") + " %"


def latency(ms: float | None) -> str:
    """A latency in milliseconds, `-` where nothing was timed."""
    return "-" if ms is None else milliseconds(ms / 1000)

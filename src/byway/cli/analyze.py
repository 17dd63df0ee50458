"""`byway analyze`: what `apply` would say, without applying; without files, what is wrong with the running mesh."""

from __future__ import annotations

from collections.abc import Sequence

from byway.base.diagnostics import Diagnostic, Severity
from byway.base.wording import counted
from byway.cli.answers import Analysis, WriteAnswer
from byway.cli.control_plane import ControlPlane, understood
from byway.cli.files import source_texts
from byway.cli.options import Files, Namespace, Output, Server, State
from byway.cli.output import show
from byway.cli.progress import Progress
from byway.cli.wording import finding_line


def command(
    *,
    file: Files = None,
    namespace: Namespace = None,
    output: Output = "table",
    server: Server = None,
    state: State = None,
) -> int:
    """Find mistakes in resource files before they are applied, or in what the mesh has.

    Files are checked against the running mesh and its Envoy, as `apply --dry-run` does. Without -f the mesh's own
    resources are: what Envoy does not take and is in quarantine, what proxies refuse, what leads nowhere. Exits with 1
    where an error is found; warnings and notes alone exit with 0.
    """
    if not file:
        return _mesh(namespace, output, ControlPlane(server, state))
    texts = source_texts(file)
    body = {
        "sources": texts,
        "namespace": namespace or "default",
        "dry_run": True,
    }
    with Progress("checking"):
        content = ControlPlane(server, state).write("/api/apply", body)
    return _told(understood(content, WriteAnswer).diagnostics, output, counted(len(texts), "file"))


def _mesh(namespace: str | None, output: Output, control_plane: ControlPlane) -> int:
    with Progress("checking"):
        found = understood(control_plane.answer("/api/analysis"), Analysis).diagnostics
    inside = f" {namespace}/"
    return _told([d for d in found if namespace is None or inside in d.subject], output, "the mesh")


def _told(findings: Sequence[Diagnostic], output: Output, where: str) -> int:
    show(findings, output, lambda: _lines(findings, where))
    return 1 if any(finding.severity is Severity.ERROR for finding in findings) else 0


def _lines(findings: Sequence[Diagnostic], where: str) -> str:
    if not findings:
        return f"nothing wrong in {where}"
    n_errors = sum(finding.severity is Severity.ERROR for finding in findings)
    n_warnings = sum(finding.severity is Severity.WARNING for finding in findings)
    summary = f"{counted(n_errors, 'error')}, {counted(n_warnings, 'warning')} in {where}"
    return "\n".join([*map(finding_line, findings), summary])

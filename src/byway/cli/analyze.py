"""`byway analyze`: what `apply` would say, without applying."""

from __future__ import annotations

from byway.base.diagnostics import Severity
from byway.cli.answers import WriteAnswer
from byway.cli.control_plane import ControlPlane, understood
from byway.cli.files import source_texts
from byway.cli.options import DEFAULT_SERVER, Files, Namespace, Output, Server, State
from byway.cli.output import show
from byway.cli.progress import Progress
from byway.cli.wording import WrongUsageError, counted, finding_line


def command(
    *,
    file: Files = None,
    namespace: Namespace = None,
    output: Output = "table",
    server: Server = DEFAULT_SERVER,
    state: State = None,
) -> int:
    """Find mistakes in resource files before they are applied.

    The files are checked against the running mesh and its Envoy, as `apply --dry-run` does. Exits with 1 where an
    error is found; warnings and notes alone exit with 0.
    """
    if not file:
        raise WrongUsageError("analyze: name at least one file or folder with -f")
    texts = source_texts(file)
    body = {
        "sources": texts,
        "namespace": namespace or "default",
        "dry_run": True,
    }
    with Progress("checking"):
        content = ControlPlane(server, state).write("/api/apply", body)
    answer = understood(content, WriteAnswer)
    show(answer.diagnostics, output, lambda: _findings(answer, len(texts)))
    return 1 if answer.has_errors else 0


def _findings(answer: WriteAnswer, n_files: int) -> str:
    if not answer.diagnostics:
        return f"nothing wrong in {counted(n_files, 'file')}"
    n_errors = sum(finding.severity is Severity.ERROR for finding in answer.diagnostics)
    n_warnings = sum(finding.severity is Severity.WARNING for finding in answer.diagnostics)
    summary = f"{counted(n_errors, 'error')}, {counted(n_warnings, 'warning')} in {counted(n_files, 'file')}"
    return "\n".join([*map(finding_line, answer.diagnostics), summary])

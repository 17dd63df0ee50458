"""`byway apply`: all files or none; it answers when the fleet holds the change."""

from __future__ import annotations

from byway.cli.control_plane import ControlPlane
from byway.cli.files import source_texts
from byway.cli.options import DEFAULT_SERVER, DryRun, Files, Namespace, Output, Server, State
from byway.cli.outcome import told
from byway.cli.progress import Progress
from byway.cli.wording import WrongUsageError


def command(
    *,
    file: Files = None,
    dry_run: DryRun = False,
    namespace: Namespace = None,
    output: Output = "table",
    server: Server = DEFAULT_SERVER,
    state: State = None,
) -> int:
    """Create or change resources, and wait until the fleet holds them.

    All files are taken or none: where one resource is wrong, nothing changes and each mistake is named at its line.
    The last line says how many of the proxies that use the resources have acknowledged them, and in what time.
    """
    if not file:
        raise WrongUsageError("apply: name at least one file or folder with -f")
    body = {
        "sources": source_texts(file),
        "namespace": namespace or "default",
        "dry_run": dry_run,
    }
    with Progress("waiting for the fleet to acknowledge"):
        content = ControlPlane(server, state).write("/api/apply", body)
    return told(content, output, dry_run=dry_run)

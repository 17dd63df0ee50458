"""`byway apply`: all files or none; it answers when the fleet holds the change."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from byway.cli.control_plane import ControlPlane
from byway.cli.files import source_texts
from byway.cli.options import DryRun, Files, Namespace, Output, Server, State
from byway.cli.outcome import told
from byway.cli.progress import Progress
from byway.cli.values import seconds
from byway.cli.wording import WrongUsageError


def command(
    *,
    file: Files = None,
    dry_run: DryRun = False,
    staged: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    bake: str = "10s",
    keep_going: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    namespace: Namespace = None,
    output: Output = "table",
    server: Server = None,
    state: State = None,
) -> int:
    """Create or change resources, and wait until the fleet holds them.

    All files are taken or none: where one resource is wrong, nothing changes and each mistake is named at its line.
    The last line says how many of the proxies that use the resources have acknowledged them, and in what time.

    Parameters
    ----------
    staged
        Give the change to one proxy, then to a quarter of those that it concerns, then to all. After each stage the
        proxies must have acknowledged it, and their requests must not fail more often than before; else the change is
        taken back, and the exit code is 1.
    bake
        How long each stage is watched, with --staged.
    keep_going
        Leave out what is wrong and take the rest. What is left out is told and not stored, and the exit code is 1.
    """
    if not file:
        raise WrongUsageError("apply: name at least one file or folder with -f")
    body = {"sources": source_texts(file), "namespace": namespace or "default", "dry_run": dry_run}
    if staged:
        body["bake_s"] = seconds("--bake", bake)
    if keep_going:
        body["keep_going"] = True
    with Progress("watching the stages" if staged else "waiting for the fleet to acknowledge"):
        content = ControlPlane(server, state).write("/api/apply", body)
    return told(content, output, dry_run=dry_run)

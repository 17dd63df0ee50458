"""`byway delete`: by file or by name; it answers when the fleet has let go."""

from __future__ import annotations

from typing import Any

from byway.cli.control_plane import ControlPlane
from byway.cli.files import source_texts
from byway.cli.options import DryRun, Files, Namespace, Output, Server, State
from byway.cli.outcome import told
from byway.cli.progress import Progress
from byway.cli.wording import WrongUsageError


def command(
    kind: str | None = None,
    name: str | None = None,
    /,
    *,
    file: Files = None,
    dry_run: DryRun = False,
    namespace: Namespace = None,
    output: Output = "table",
    server: Server = None,
    state: State = None,
) -> int:
    """Delete the resources that files name, or one resource by kind and name.

    Parameters
    ----------
    kind
        The resource's kind in any spelling: VirtualService, virtualservices, vs.
    name
        The resource's name.
    """
    body: dict[str, Any] = {"namespace": namespace or "default", "dry_run": dry_run}
    match (kind, name, file):
        case (None, None, [_, *_] as paths):
            body["sources"] = source_texts(paths)
        case (str(), str(), None | []):
            body["targets"] = [{"kind": kind, "name": name}]
        case _:
            raise WrongUsageError("delete: name what to delete with -f FILE…, or with KIND NAME")
    with Progress("waiting for the fleet to let go"):
        content = ControlPlane(server, state).write("/api/delete", body)
    return told(content, output, dry_run=dry_run)

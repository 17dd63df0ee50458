"""`byway proxy-config`: what a workload's Envoy really holds, as it says itself."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from byway.admin.port import SECTIONS
from byway.cli.control_plane import ControlPlane, segment
from byway.cli.envoy_tables import TABLES
from byway.cli.options import Namespace, Output, Server, State
from byway.cli.output import json_text, show
from byway.cli.wording import WrongUsageError


def command(
    workload: str,
    sections: Annotated[
        str, Parameter(name="SECTION", help=f"{', '.join(SECTIONS)}; several with commas.")
    ] = "clusters,routes",
    /,
    *,
    namespace: Namespace = None,
    output: Output = "table",
    server: Server = None,
    state: State = None,
) -> int:
    """Show what a workload's Envoy really holds.

    Parameters
    ----------
    workload
        The workload's name (its first instance is asked), or the name of an instance.
    """
    wanted = [name.strip() for name in sections.split(",") if name.strip()]
    if not wanted or not set(wanted) <= set(SECTIONS):
        raise WrongUsageError(f"proxy-config: `{sections}` is not among {', '.join(SECTIONS)}")
    target = f"{workload}.{namespace}" if namespace and "." not in workload else workload
    control_plane = ControlPlane(server, state)
    held = {name: control_plane.answer(f"/api/proxy-config/{segment(target)}/{name}")["config"] for name in wanted}
    show(held if len(held) > 1 else next(iter(held.values())), output, lambda: _tables(held))
    return 0


def _tables(held: dict[str, Any]) -> str:
    parts = []
    for name, content in held.items():
        body = TABLES[name](content) if name in TABLES else json_text(content)
        parts.append(f"{name.upper()}\n{body}" if len(held) > 1 else body)
    return "\n\n".join(parts)

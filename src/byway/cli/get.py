"""`byway get`: resources as they were applied, with the columns that kubectl shows for their kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from byway.cli.control_plane import ControlPlane, segment
from byway.cli.options import Namespace, Output, Server, State
from byway.cli.output import json_text, table, yaml_text

Body = Mapping[str, Any]
Column = Callable[[Body], str]


def _listed(*path: str) -> Column:
    def cell(spec: Body) -> str:
        return ",".join(map(str, _at(spec, path) or ()))

    return cell


def _text(*path: str, default: str = "") -> Column:
    def cell(spec: Body) -> str:
        return str(_at(spec, path) or default)

    return cell


def _at(spec: Body, path: tuple[str, ...]) -> Any:
    value: Any = spec
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _ports(spec: Body) -> str:
    return ",".join(
        f"{port.get('port')}/{port.get('appProtocol') or port.get('name') or 'tcp'}" for port in spec.get("ports") or ()
    )


def _pairs(*path: str) -> Column:
    def cell(spec: Body) -> str:
        return ",".join(f"{key}={value}" for key, value in sorted((_at(spec, path) or {}).items()))

    return cell


COLUMNS: Final[Mapping[str, Mapping[str, Column]]] = {
    "VirtualService": {"GATEWAYS": _listed("gateways"), "HOSTS": _listed("hosts")},
    "DestinationRule": {"HOST": _text("host")},
    "Gateway": {"SELECTOR": _pairs("selector")},
    "PeerAuthentication": {"MODE": _text("mtls", "mode", default="UNSET")},
    "AuthorizationPolicy": {"ACTION": _text("action", default="ALLOW"), "SELECTOR": _pairs("selector", "matchLabels")},
    "WorkloadEntry": {"ADDRESS": _text("address"), "LABELS": _pairs("labels")},
    "Service": {"CLUSTER-IP": _text("clusterIP"), "PORTS": _ports, "SELECTOR": _pairs("selector")},
}


def command(
    kind: str,
    name: str | None = None,
    /,
    *,
    namespace: Namespace = None,
    output: Output = "table",
    server: Server = None,
    state: State = None,
) -> int:
    """Show resources as they were applied, with their status.

    Of a resource in quarantine the version that was applied is shown, and `status.conditions` says what is in force.
    Of one resource, asked for by name, the status has what the analysis finds as well (PassedAnalysis).
    With `-o yaml` the output can be changed and applied again: `byway get vs -o yaml | byway apply -f -`.

    Parameters
    ----------
    kind
        The kind in any spelling: VirtualService, virtualservices, vs.
    name
        The name of one resource; without it, all of the kind.
    """
    path = f"/api/resources/{segment(kind)}" + (f"/{segment(name)}" if name else "")
    answer = ControlPlane(server, state).answer(path, namespace=namespace)
    bodies: list[Body] = answer["items"]
    if output == "json":
        print(json_text(bodies[0] if name and len(bodies) == 1 else bodies))
    elif output == "yaml":
        print("".join(f"---\n{yaml_text(body)}" for body in bodies), end="")  # what is printed in a row stays apart
    else:
        print(_table(bodies) if bodies else f"no {kind} is there" + (f" in {namespace}" if namespace else ""))
    return 0


def _table(bodies: list[Body]) -> str:
    kinds = {str(body.get("kind")) for body in bodies}
    columns = COLUMNS.get(kinds.pop(), {}) if len(kinds) == 1 else {}
    rows = []
    for body in bodies:
        meta = body.get("metadata") or {}
        row = [str(meta.get("namespace") or "-"), str(meta.get("name", ""))]
        rows.append(row + [cell(body.get("spec") or {}) or "-" for cell in columns.values()])
    return table(["NAMESPACE", "NAME", *columns], rows)

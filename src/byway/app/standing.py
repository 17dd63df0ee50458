"""Standing: how each object stands: in force as it is stored, in quarantine, or refused by proxies.

A proxy's word is told and no more: nobody's configuration is held back because one proxy, which may be hostile or broken,
refuses it. The object behind what is refused is found by what it was derived from, and by what Envoy's words repeat of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from byway.admin.port import Trouble
from byway.ads.hub import Hub
from byway.ads.rollout import Nack
from byway.app.catalogue import MeshCatalogue
from byway.app.quarantine import Held, Quarantine, in_force
from byway.base.diagnostics import Diagnostic, Severity
from byway.base.wording import counted
from byway.derive.analysis import findings
from byway.engine import Database, Root
from byway.explain.causes import causes
from byway.explain.fields import field_named
from byway.kinds.registry import KINDS
from byway.kinds.resource import Resource, ResourceId
from byway.model.names import (
    TYPE_CLUSTER,
    TYPE_ENDPOINTS,
    TYPE_LISTENER,
    TYPE_ROUTE,
    TYPE_VIRTUAL_HOST,
)
from byway.world.host import World

SHAPES: Final = {
    TYPE_LISTENER: ("Gateway", "PeerAuthentication", "AuthorizationPolicy", "Service", "MeshConfig"),
    TYPE_ROUTE: ("VirtualService", "AuthorizationPolicy", "PeerAuthentication"),
    TYPE_VIRTUAL_HOST: ("VirtualService", "MeshConfig"),
    TYPE_CLUSTER: ("DestinationRule", "Service", "PeerAuthentication"),
    TYPE_ENDPOINTS: ("WorkloadEntry", "Service"),
}
"""Which kinds shape a resource of a type, those with most of the operator's own words first."""
_MOST_REFUSALS: Final = 200
_MOST_BEHIND: Final = 5
_AT_ONCE: Final = 50

Refusals = dict[tuple[Root, str], list[Nack]]


class Standing:
    """Answers from the database, the quarantine and the sessions."""

    def __init__(
        self, database: Database, world: World, catalogue: MeshCatalogue, hub: Hub, quarantine: Quarantine
    ) -> None:
        self._database = database
        self._world = world
        self._catalogue = catalogue
        self._hub = hub
        self._quarantine = quarantine

    async def troubles(self) -> tuple[Trouble, ...]:
        """Every object that is not in force as it is stored, or of which proxies refuse what was made of it."""
        await self._catalogue.settled()
        held = [_held(held) for held in self._quarantine.held()]
        return (*held, *self._refused())

    async def analysis(self) -> tuple[Diagnostic, ...]:
        """All that is wrong with the resources of the mesh; streams have their turn in between."""
        found = [trouble.diagnostic for trouble in await self.troubles()]
        for kind in KINDS:
            for n, resource in enumerate(self._world.resources(kind.name)):
                if n % _AT_ONCE == 0:
                    await asyncio.sleep(0)
                    await self._catalogue.settled()
                found.extend(findings(self._database, resource.id))
        return tuple(found)

    async def bodies(self, kind: str, namespace: str, name: str) -> tuple[dict[str, Any], ...]:
        """The bodies of a kind's objects as they are stored, each with its status; an empty namespace or name means all.

        Of an object that is asked for by name the status has what the analysis finds, too.
        """
        troubles = {ResourceId(t.kind, t.namespace, t.name): t for t in await self.troubles()}
        written: dict[ResourceId, Mapping[str, Any]] = {
            r.id: r.document.body for r in self._world.resources(kind, namespace, name)
        }
        for held in self._quarantine.held(kind):
            if namespace in ("", held.id.namespace) and name in ("", held.id.name):
                written[held.id] = held.document.body
        return tuple(
            {**body, "status": status(troubles.get(i), findings(self._database, i) if name else None)}
            for i, body in sorted(written.items(), key=lambda item: item[0])
        )

    def _refused(self) -> list[Trouble]:
        """The objects behind what proxies refuse at present."""
        grouped: Refusals = {}
        for nack in self._hub.refusals():
            root = self._catalogue.root(nack.proxy, nack.type_url, nack.name)
            if root is not None and ((root, nack.reason) in grouped or len(grouped) < _MOST_REFUSALS):
                grouped.setdefault((root, nack.reason), []).append(nack)
        told: dict[ResourceId, dict[str, list[Nack]]] = {}
        for (root, reason), nacks in grouped.items():
            for resource in self._behind(root, nacks[0].type_url, reason):
                told.setdefault(resource.id, {}).setdefault(reason, []).extend(nacks)
        return [self._trouble(i, told[i]) for i in sorted(told)]

    def _behind(self, root: Root, type_url: str, reason: str) -> list[Resource]:
        shaping = SHAPES.get(type_url, ())
        read = (self._world.resource(i) for i in causes(self._database, root) if i.kind in shaping)
        found = [resource for resource in read if resource is not None]
        repeated = [r for r in found if field_named(r.document, reason) != "spec"]
        first = min((shaping.index(r.id.kind) for r in found), default=0)
        return (repeated or [r for r in found if r.id.kind == shaping[first]])[:_MOST_BEHIND]

    def _trouble(self, resource_id: ResourceId, refused: Mapping[str, list[Nack]]) -> Trouble:
        proxies = {nack.proxy for nacks in refused.values() for nack in nacks}
        reason, nacks = max(refused.items(), key=lambda item: len(item[1]))
        resource = self._world.resource(resource_id)
        who = counted(len(proxies), "proxy", "proxies")
        return Trouble(
            kind=resource_id.kind,
            namespace=resource_id.namespace,
            name=resource_id.name,
            state="refused-by-proxies",
            in_force="it is in force, but for these proxies",
            n_proxies=len(proxies),
            diagnostic=Diagnostic(
                severity=Severity.WARNING,
                code="refused-by-proxies",
                message=f"{nacks[0].name}, which comes of this, is refused by {who}: {reason}",
                position=resource.position(field_named(resource.document, reason)) if resource else None,
                hint="they keep what they had; see `byway status` for which",
                subject=str(resource_id),
            ),
        )


def _held(held: Held) -> Trouble:
    return Trouble(
        kind=held.id.kind,
        namespace=held.id.namespace,
        name=held.id.name,
        state="quarantined",
        in_force=in_force(held),
        since=held.since,
        diagnostic=held.diagnostic,
    )


def status(trouble: Trouble | None, found: Iterable[Diagnostic] | None) -> dict[str, Any]:
    """An object's `status` in Istio's form (IstioStatus: conditions and validationMessages); `found` None: not analyzed."""
    condition = {"type": "Reconciled", "status": "True", "reason": "InForce", "message": "in force as it is stored"}
    messages = [] if found is None else list(found)
    if trouble is not None:
        reason = "Quarantined" if trouble.state == "quarantined" else "RefusedByProxies"
        condition |= {"status": "False", "reason": reason, "message": trouble.diagnostic.message}
        condition |= {"lastTransitionTime": trouble.since} if trouble.since else {}
        messages.insert(0, trouble.diagnostic)
    conditions = [condition] if found is None else [condition, _analyzed(messages)]
    told = [_message(diagnostic) for diagnostic in messages]
    return {"conditions": conditions, **({"validationMessages": told} if told else {})}


def _analyzed(messages: Iterable[Diagnostic]) -> dict[str, str]:
    counts = {s: sum(m.severity is s for m in messages) for s in (Severity.ERROR, Severity.WARNING)}
    n_errors, n_warnings = counts.values()
    said = f"{n_errors} errors and {n_warnings} warnings found; see validationMessages"
    is_good = not (n_errors or n_warnings)
    return {
        "type": "PassedAnalysis",
        "status": "False" if n_errors else "True",
        "reason": "NothingFound" if is_good else "ErrorsFound" if n_errors else "WarningsFound",
        "message": "nothing found" if is_good else said,
    }


def _message(diagnostic: Diagnostic) -> dict[str, Any]:
    name = "".join(part.capitalize() for part in diagnostic.code.split("-"))
    level = diagnostic.severity.name
    return {"type": {"name": name, "code": diagnostic.code}, "level": level, "message": str(diagnostic)}

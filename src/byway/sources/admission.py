"""Admission: what happens to documents on their way into a source.

A Service without clusterIP gets a virtual address out of the mesh's own range: the one that its full name hashes to,
or the next free one. It is written into the document, so the Service keeps it through every later update, and any
replica that assigns at the same state assigns the same. An explicit address is taken, unless another Service has it;
`None` (headless) stays without.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from byway.base.diagnostics import Diagnostic
from byway.base.digest import digest
from byway.kinds.decode import resource_id
from byway.kinds.document import Document
from byway.kinds.kubernetes.service import HEADLESS
from byway.kinds.resource import ResourceId
from byway.model.names import VIP_NETWORK, service_host
from byway.sources.errors import CommitRefused
from byway.sources.source import Change, Put, Remove

_NETWORK: Final = ipaddress.IPv4Network(VIP_NETWORK)
_FIRST: Final = int(_NETWORK.network_address) + 1
_N_ADDRESSES: Final = _NETWORK.num_addresses - 2
"""Without the network's own address and its broadcast address."""

Addresses = Mapping[ResourceId, str]
"""The virtual address of each Service that has one."""


class Admitted(msgspec.Struct, frozen=True):
    """The changes as they are to be stored, and the addresses afterwards."""

    changes: tuple[Change, ...]
    addresses: dict[ResourceId, str]


def identified(document: Document) -> ResourceId:
    """The document's id; `CommitRefused` for a document that has none (decode it first: that says more)."""
    identifier = resource_id(document)
    if identifier is not None:
        return identifier
    raise CommitRefused(
        (
            Diagnostic(
                code="unidentified-document",
                message="the document names no resource that Byway stores",
                position=document.position("kind"),
                hint="it needs a supported apiVersion and kind, and metadata.name",
            ),
        )
    )


def addresses(documents: Iterable[Document]) -> dict[ResourceId, str]:
    """The addresses that stored documents hold; the first of two Services with the same one."""
    owners: dict[str, ResourceId] = {}
    for document in documents:
        identifier = resource_id(document)
        address = _written(document)
        if identifier and identifier.kind == "Service" and address not in ("", HEADLESS):
            owners.setdefault(address, identifier)
    return {identifier: address for address, identifier in owners.items()}


def admitted(changes: Sequence[Change], taken: Addresses) -> Admitted:
    """The changes with every address assigned; `CommitRefused` where two Services would share one.

    Of several changes to one resource the last counts.
    """
    final: dict[ResourceId, Change] = {}
    for change in changes:
        identifier = change.id if isinstance(change, Remove) else identified(change.document)
        final.pop(identifier, None)
        final[identifier] = change
    services = {key: change for key, change in final.items() if key.kind == "Service"}
    if not services:
        return Admitted(tuple(final.values()), dict(taken))
    owners = {address: key for key, address in taken.items() if _is_kept(services.get(key))}
    _take_explicit(services, owners)
    _assign(services, owners)
    given = {key: address for address, key in owners.items()}
    return Admitted(tuple(_filled(key, change, given) for key, change in final.items()), given)


def with_namespace(document: Document, namespace: str) -> Document:
    """The document with `namespace` written into it where its kind has one and it names none; one too many is dropped."""
    identifier = resource_id(document, namespace)
    meta = document.body.get("metadata")
    if identifier is None or not isinstance(meta, dict):
        return document
    if not identifier.namespace and "namespace" in meta:
        wanted = {key: value for key, value in meta.items() if key != "namespace"}
    elif identifier.namespace and not meta.get("namespace"):
        wanted = {**meta, "namespace": namespace}
    else:
        return document
    return msgspec.structs.replace(document, body={**document.body, "metadata": wanted})


def _written(document: Document) -> str:
    spec = document.body.get("spec")
    address = spec.get("clusterIP") if isinstance(spec, dict) else None
    return address if isinstance(address, str) else ""


def _take_explicit(services: Mapping[ResourceId, Change], owners: dict[str, ResourceId]) -> None:
    refusals = []
    for key, change in services.items():
        address = _written(change.document) if isinstance(change, Put) else ""
        if isinstance(change, Put) and address not in ("", HEADLESS) and owners.setdefault(address, key) != key:
            refusals.append(
                Diagnostic(
                    code="address-taken",
                    message=f"clusterIP {address} belongs to {owners[address]}",
                    position=change.document.position("spec.clusterIP"),
                    hint="leave clusterIP out and Byway assigns one",
                    subject=str(key),
                )
            )
    if refusals:
        raise CommitRefused(tuple(refusals))


def _is_kept(change: Change | None) -> bool:
    """Whether a Service keeps its address: it is not touched, or put again without asking for another one."""
    return change is None or (isinstance(change, Put) and not _written(change.document))


def _assign(services: Mapping[ResourceId, Change], owners: dict[str, ResourceId]) -> None:
    have = set(owners.values())
    for key in sorted(services):
        change = services[key]
        if isinstance(change, Put) and not _written(change.document) and key not in have:
            owners[_free(key, change.document, owners)] = key


def _free(key: ResourceId, document: Document, owners: Mapping[str, ResourceId]) -> str:
    """The address that the name hashes to, or the next one that is free."""
    start = int(digest(service_host(key.name, key.namespace).encode()), 16)
    for step in range(_N_ADDRESSES):
        address = str(ipaddress.IPv4Address(_FIRST + (start + step) % _N_ADDRESSES))
        if address not in owners:
            return address
    message = f"no address is free in {VIP_NETWORK}"
    hint = "remove services, or give this one a clusterIP of its own"
    position = document.position("")
    raise CommitRefused(
        (Diagnostic(code="no-address", message=message, position=position, hint=hint, subject=str(key)),)
    )


def _filled(key: ResourceId, change: Change, given: Addresses) -> Change:
    """The change with its assigned address written into the document."""
    if isinstance(change, Remove) or key not in given or _written(change.document):
        return change
    body = change.document.body
    spec: Any = body.get("spec")
    if spec is not None and not isinstance(spec, dict):
        return change
    return Put(
        msgspec.structs.replace(change.document, body={**body, "spec": {**(spec or {}), "clusterIP": given[key]}})
    )

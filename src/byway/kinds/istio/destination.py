"""Destination: the service that a route leads to, and the port of it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from byway.kinds.hosts import destination_host, subset_name
from byway.kinds.message import Check, Message, Port


class PortSelector(Message, frozen=True, kw_only=True):
    """One port of a service, by number."""

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.PortSelector"
    REQUIRED: ClassVar[tuple[str, ...]] = ("number",)

    number: Port = 0


class Destination(Message, frozen=True, kw_only=True):
    """A host as the registry knows it (short names are seen from the rule's namespace); without a port, the service
    has just one.
    """

    MESSAGE: ClassVar[str] = "istio.networking.v1alpha3.Destination"
    REQUIRED: ClassVar[tuple[str, ...]] = ("host",)

    host: Annotated[str, Check(destination_host)] = ""
    subset: Annotated[str, Check(subset_name)] = ""
    port: PortSelector | None = None

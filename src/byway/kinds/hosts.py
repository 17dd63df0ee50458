"""Hosts and addresses as operators write them: full names, short names, wildcards, IP addresses.

Source: Istio's reference of VirtualService.hosts, DestinationRule.host and Server.hosts. Names are ASCII in lower
case without a trailing dot; anything else would never be matched, or be matched by accident.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence

from byway.kinds.labels import MAX_LABEL, MAX_NAME, is_dns_label, shown
from byway.kinds.message import Problem

_PART = re.compile(r"[a-z0-9_](?:[-a-z0-9_]*[a-z0-9_])?")
_SUBSET = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?")
_IANA_NAME = re.compile(r"(?=.*[a-z])[a-z0-9](?:-?[a-z0-9]){0,14}")


def is_ip(value: str) -> bool:
    """Whether it is an IPv4 or IPv6 address without a zone."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return "%" not in value and address is not None


def _name(value: str) -> Problem | None:
    """A name without wildcard."""
    if len(value) > MAX_NAME:
        return Problem(message=f"host {shown(value)} is longer than {MAX_NAME} characters", hint="shorten it")
    if not value.isascii():
        return Problem(message=f"host {shown(value)} is not ASCII", hint="write international names in their xn-- form")
    if value != value.lower():
        return Problem(message=f"host {shown(value)} has capital letters", hint=f'write "{value.lower()}"')
    if value.endswith("."):
        return Problem(message=f"host {shown(value)} ends with a dot", hint="remove the dot")
    if ":" in value and not is_ip(value):
        return Problem(
            message=f"host {shown(value)} has a port or a scheme in it",
            hint="write the bare name; ports have a field of their own",
        )
    if "*" in value:
        return Problem(
            message=f"host {shown(value)} has a wildcard inside",
            hint='a wildcard is "*" alone, or "*." before a domain',
        )
    if all(len(part) <= MAX_LABEL and _PART.fullmatch(part) for part in value.split(".")):
        return None
    return Problem(
        message=f"host {shown(value)} is no valid name", hint="use lower-case letters, digits, hyphens and dots"
    )


def _wildcard(value: str) -> Problem | None:
    """A name, `*.` before a domain, or `*`."""
    return None if value == "*" else _name(value.removeprefix("*."))


def route_host(value: str) -> Problem | None:
    """A host of a VirtualService."""
    return None if is_ip(value) else _wildcard(value)


def rule_host(value: str) -> Problem | None:
    """The host of a DestinationRule."""
    return _wildcard(value)


def server_host(value: str) -> Problem | None:
    """A host of a Gateway's server, with the namespace whose VirtualServices may bind to it, if any."""
    namespace, slash, host = value.rpartition("/")
    if slash and namespace not in ("*", ".") and not is_dns_label(namespace):
        return Problem(
            message=f"{shown(value)} has no valid namespace", hint='before the slash stands a namespace, "." or "*"'
        )
    return _wildcard(host)


def egress_host(value: str) -> Problem | None:
    """A service that a workload may call: `namespace/host`, where either may be `*`."""
    namespace, slash, host = value.partition("/")
    if not slash:
        return Problem(
            message=f"{shown(value)} names no namespace", hint=f'write "{"*" if "." in value else "."}/{value}"'
        )
    if namespace not in ("*", ".", "~") and not is_dns_label(namespace):
        return Problem(
            message=f"{shown(value)} has no valid namespace",
            hint='before the slash stands a namespace, ".", "*" or "~"',
        )
    if namespace == "*" and "." not in host and host != "*":
        return Problem(
            message=f"{shown(value)} is a short name in any namespace",
            hint=f'write "./{host}", or the full name as in "*/{host}.default.svc.cluster.local"',
        )
    return _wildcard(host)


def destination_host(value: str) -> Problem | None:
    """The host that a route leads to: one service, so no wildcard."""
    if value.startswith("*"):
        return Problem(message=f"destination {shown(value)} is no single service", hint="name one service")
    return None if is_ip(value) else _name(value)


def subset_name(value: str) -> Problem | None:
    """The name of a subset; empty counts as absent."""
    if not value or (len(value) <= MAX_LABEL and _SUBSET.fullmatch(value)):
        return None
    return Problem(message=f"{shown(value)} is no subset name", hint="use letters, digits and hyphens, at most 63")


def sni(value: str) -> Problem | None:
    """The server name that a TLS client asks for."""
    return _name(value) if value else None


def trust_domain(value: str) -> Problem | None:
    """The first part of every identity; empty counts as absent."""
    return _name(value) if value else None


def ip_address(value: str) -> Problem | None:
    """An instance's address."""
    if not value or is_ip(value):
        return None
    if value.startswith("unix:") or _name(value) is None:
        return Problem(
            code="unsupported-value", message=f"address {shown(value)} is not supported yet", hint="write an IP address"
        )
    return Problem(message=f"{shown(value)} is no IP address", hint="write it as 10.0.0.7")


def cluster_ip(value: str) -> Problem | None:
    """A service's virtual address: IPv4, `None` for headless, or empty."""
    if value in ("", "None"):
        return None
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:
        return Problem(
            message=f"clusterIP {shown(value)} is no IPv4 address", hint="leave it out and Byway assigns one"
        )
    if address.is_loopback or address.is_multicast or address.is_unspecified or address.is_link_local:
        return Problem(
            message=f"clusterIP {value} cannot be a service's address", hint="leave it out and Byway assigns one"
        )
    return None


def target_port(value: int | str) -> Problem | None:
    """The workload's port: its number, or its name."""
    if isinstance(value, int):
        return None if 1 <= value <= 65535 else Problem(message=f"{value} is no port", hint="use 1 to 65535")
    if len(value) <= 15 and _IANA_NAME.fullmatch(value):
        return None
    return Problem(
        message=f"{shown(value)} is no port name",
        hint="use a number, or at most 15 lower-case letters, digits and hyphens",
    )


def overlaps(hosts: Sequence[str], at: str) -> Iterator[Problem]:
    """Hosts of one list that are there twice, or that a wildcard of the same list covers."""
    wildcards = {host for host in hosts if host.startswith("*")}
    seen: set[str] = set()
    for index, host in enumerate(hosts):
        if host in seen:
            yield Problem(message=f"host {shown(host)} is there twice", hint="remove one of them", at=f"{at}[{index}]")
        seen.add(host)
        cover = next((wildcard for wildcard in _covers(host) if wildcard in wildcards), None)
        if cover and len(hosts) > 1:
            hint = f"remove it, or move {shown(cover)} to another VirtualService"
            yield Problem(message=f"host {shown(host)} is covered by {shown(cover)}", hint=hint, at=f"{at}[{index}]")


def _covers(host: str) -> Iterator[str]:
    """The wildcards that cover the host, itself not among them."""
    parts = host.removeprefix("*").removeprefix(".").split(".")
    first = 0 if host.startswith("*.") else 1
    yield from (
        "*." + ".".join(parts[index:]) for index in range(first, len(parts)) if "*." + ".".join(parts[index:]) != host
    )
    if host != "*":
        yield "*"

"""The address plan: one subnet a mesh, free of everything that the host already routes, and one address in it for
each instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network
from typing import Final

CANDIDATES: Final = tuple(f"10.{n}.0.0/16" for n in range(77, 100)) + tuple(f"172.{n}.0.0/16" for n in range(28, 32))


def free_subnets(taken: Iterable[str], candidates: Sequence[str] = CANDIDATES) -> tuple[str, ...]:
    """The candidates that overlap no network of `taken` (routes and addresses of the host)."""
    networks = [n for n in (network(t) for t in taken) if n is not None and n.prefixlen > 0]
    return tuple(c for c in candidates if not any(IPv4Network(c).overlaps(n) for n in networks))


def free_subnet(taken: Iterable[str], candidates: Sequence[str] = CANDIDATES) -> str | None:
    """The first of them, or None."""
    return next(iter(free_subnets(taken, candidates)), None)


def network(text: str) -> IPv4Network | None:
    """The IPv4 network that a route's destination spells; None for a default route, IPv6 and anything else."""
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        return None


def gateway_address(subnet: str) -> str:
    """The bridge's own address: the first of the subnet."""
    return str(IPv4Network(subnet).network_address + 1)


def workload_addresses(subnet: str, instances: Sequence[str]) -> dict[str, str]:
    """An address for each instance, in order, after the bridge's."""
    span = IPv4Network(subnet)
    if len(instances) > span.num_addresses - 3:
        raise ValueError(f"{len(instances)} instances do not fit into {subnet}")
    return {instance: str(span.network_address + 2 + n) for n, instance in enumerate(instances)}

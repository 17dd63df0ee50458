"""Who lives in a generated mesh: teams of services, their instances, and who calls whom. The same for the same size and seed.

A team is a namespace of twenty services. What a team is, and what it calls among itself, depends on the seed and on the
mean number of instances a service has, never on how many teams there are: so meshes of 100 and of 10,000 services have
their first teams in common, and what is measured in them can be compared. Calls lead along a team's list of services
(there is no ring), few services are called by many (a power law), and to other teams they lead only to the services that
a team shares.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

import msgspec

from byway.model.names import service_host

TEAM: Final = 20
HTTP_PORT: Final = 8080
GRPC_PORT: Final = 9090
TCP_PORT: Final = 5432
ENTRY: Final = "web"
"""Each team's first service; it calls five others of its team."""
_NAMES: Final = (
    ENTRY, "cart", "checkout", "orders", "payments", "prices", "search", "profile", "reviews", "stock",
    "shipping", "mail", "coupons", "images", "session", "audit", "ranking", "ledger", "directory", "store",
)  # fmt: skip
_GRPC: Final = frozenset({"ranking", "directory"})
_TCP: Final = frozenset({"store"})
_SHARED: Final = frozenset({"ledger", "directory"})
_MOST_CALLS: Final = 6
_N_ENTRY_CALLS: Final = 5
_LOCALITIES: Final = ("eu-west/a", "eu-west/b", "us-east/a", "us-east/b")


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How big a mesh is: services up to some 60,000 (their addresses run out), endpoints not fewer than services."""

    n_services: int
    n_endpoints: int
    seed: int = 0


class Inhabitant(msgspec.Struct, frozen=True, kw_only=True):
    """One service: `first` is the number of its first instance in the whole mesh; `calls` are other services' numbers."""

    number: int
    name: str
    namespace: str
    n_instances: int
    first: int
    calls: tuple[int, ...]

    @property
    def host(self) -> str:
        """The full name."""
        return service_host(self.name, self.namespace)

    @property
    def vip(self) -> str:
        """The virtual address."""
        high, low = divmod(self.number + 1, 250)
        return f"240.240.{high}.{low + 1}"

    @property
    def port(self) -> int:
        """The port under which it is called."""
        return TCP_PORT if self.is_tcp else GRPC_PORT if self.is_grpc else HTTP_PORT

    @property
    def is_tcp(self) -> bool:
        """Whether it speaks no HTTP."""
        return self.name in _TCP

    @property
    def is_grpc(self) -> bool:
        """Whether it speaks gRPC."""
        return self.name in _GRPC

    @property
    def is_shared(self) -> bool:
        """Whether other teams may call it."""
        return self.name in _SHARED

    @property
    def has_canary(self) -> bool:
        """Whether the last of its instances are of another version."""
        return self.n_instances > 1


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One running copy of a service."""

    name: str
    namespace: str
    service: str
    version: str
    address: str
    locality: str


class Population:
    """All services of a mesh; `services[n]` has the number n."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.services: tuple[Inhabitant, ...] = tuple(_inhabitants(size))

    @property
    def n_teams(self) -> int:
        """How many namespaces there are; the last one may be small."""
        return _n_teams(self.size)

    def instances(self) -> Iterator[Instance]:
        """Every instance, team after team."""
        for service in self.services:
            yield from instances_of(service)

    def callees(self, service: Inhabitant) -> tuple[Inhabitant, ...]:
        """The services that it calls."""
        return tuple(self.services[number] for number in service.calls)

    def questions(self, service: Inhabitant) -> tuple[tuple[bool, str], ...]:
        """What a sidecar beside it asks for when it calls all that it calls: whether that is a cluster, and the name."""
        return tuple(_question(service, called) for called in self.callees(service))


def team_name(number: int) -> str:
    """The namespace of a team."""
    return f"team-{number}"


def instances_of(service: Inhabitant) -> Iterator[Instance]:
    """The running copies of a service."""
    n_canaries = max(1, service.n_instances // 5) if service.has_canary else 0
    for n in range(service.n_instances):
        number = service.first + n + 1
        yield Instance(
            name=f"{service.name}-{n}",
            namespace=service.namespace,
            service=service.name,
            version="v2" if n >= service.n_instances - n_canaries else "v1",
            address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            locality=_LOCALITIES[number % len(_LOCALITIES)],
        )


def _question(caller: Inhabitant, called: Inhabitant) -> tuple[bool, str]:
    if called.is_tcp:
        return True, f"tcp|{called.vip}:{called.port}"
    name = called.name if called.namespace == caller.namespace else f"{called.name}.{called.namespace}"
    return False, f"out/{name}:{called.port}"


def _n_teams(size: Size) -> int:
    return -(-size.n_services // TEAM)


def _inhabitants(size: Size) -> Iterator[Inhabitant]:
    first = 0
    mean = size.n_endpoints / size.n_services
    for team in range(_n_teams(size)):
        chance = random.Random(f"{size.seed}/{team}")  # noqa: S311 - chance that can be had again
        n_members = min(TEAM, size.n_services - team * TEAM)
        n_instances = _shares(round(n_members * mean), n_members, chance)
        for rank in range(n_members):
            yield Inhabitant(
                number=team * TEAM + rank,
                name=_NAMES[rank],
                namespace=team_name(team),
                n_instances=n_instances[rank],
                first=first,
                calls=_calls(team, rank, n_members, chance),
            )
            first += n_instances[rank]


def _shares(total: int, n_members: int, chance: random.Random) -> list[int]:
    """`total` instances over a team: one for each, the rest by a power law whose order is chance."""
    weights = [1 / (place + 1) ** 0.8 for place in range(n_members)]
    chance.shuffle(weights)
    rest = max(0, total - n_members)
    shares = [1 + int(rest * weight / sum(weights)) for weight in weights]
    shares[weights.index(max(weights))] += rest + n_members - sum(shares)
    return shares


def _calls(team: int, rank: int, n_members: int, chance: random.Random) -> tuple[int, ...]:
    """Later services of the own team, the last ones most of all, and sometimes what an earlier team shares."""
    own = range(rank + 1, n_members)
    n_wanted = _N_ENTRY_CALLS if rank == 0 else min(_MOST_CALLS, int(chance.paretovariate(1.2)))
    n_calls = min(len(own), n_wanted)
    chosen: dict[int, None] = {}
    while len(chosen) < n_calls:
        chosen[own[-1 - min(int(chance.paretovariate(0.7)) - 1, len(own) - 1)]] = None
    calls = [team * TEAM + member for member in sorted(chosen)]
    if team and rank and chance.random() < 0.3:
        of_team = min(int(chance.paretovariate(0.6)) - 1, team - 1)
        shared = [n for n, name in enumerate(_NAMES) if name in _SHARED]
        calls.insert(0, of_team * TEAM + chance.choice(shared))
    return tuple(calls)

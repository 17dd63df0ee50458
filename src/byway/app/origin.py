"""The origin: where a control plane has its resources and its root from, and that both are of one mesh.

Alone, it has both in its state directory. Control planes that share a store must sign under one root as well, or their
proxies would not believe each other: the store keeps the root's fingerprint (no key), and the mesh's name; whoever comes
with a CA that does not believe in that root, or for another mesh, is refused before it signs anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from byway.authority.private_files import private_directory
from byway.authority.signer import Signer, UnusableAuthority
from byway.authority.vault import fingerprint, opened_signer
from byway.base.errors import FaultError, UsageError
from byway.identity.spiffe import TrustDomain
from byway.sources.errors import StoreFault
from byway.sources.source import Source
from byway.sources.store import StoreSource

if TYPE_CHECKING:
    from byway.sources.postgresql import PostgresSource

_SHOWN = 16


class Origin(msgspec.Struct, frozen=True):
    """An open source, and the signer that its mesh trusts; `check` raises where the source is another mesh's by now.

    `name` says in words where the source is, without a password.
    """

    source: Source
    signer: Signer
    check: Callable[[], Awaitable[None]]
    name: str
    away_since: Callable[[], datetime | None] = lambda: None


async def opened_origin(
    state: Path, store: str, ca: str, trust_domain: TrustDomain, now: datetime, *, mesh: str
) -> Origin:
    """Opens both; `store` is a `postgresql://` URL and `ca` a directory, "" for what is in `state`."""
    private_directory(state)
    given = Path(ca) if ca else None
    if not store:
        signer = opened_signer(state, trust_domain, now, given=given)
        path = state / "store.sqlite"
        return Origin(await StoreSource.open(path), signer, _nothing, f"store {path}")
    from byway.sources.postgresql import PostgresSource  # its client is for those alone that need it

    source = await PostgresSource.open(store)
    try:
        claimed = await source.root()
        try:
            signer = opened_signer(state, trust_domain, now, given=given, may_make=not claimed)
        except UnusableAuthority as fault:
            raise _hinted(fault, claimed) if claimed else fault from fault
        await _claim(source, signer, mesh)
    except BaseException:
        await source.close()
        raise

    async def check() -> None:
        if await source.root() not in _believed(signer):
            raise StoreFault("the store is not this mesh's any more: restore it, or start the control planes anew")

    return Origin(source, signer, check, source.name, lambda: source.away_since or source.unread_since)


async def _claim(source: PostgresSource, signer: Signer, mesh: str) -> None:
    own, believed = fingerprint(signer.root), _believed(signer)
    other = await source.claim(mesh, own, believed)
    if other is None:
        return
    if other.root not in ("", *believed):
        raise UnusableAuthority(
            f"the store belongs to a mesh whose root has the SHA-256 fingerprint {other.root[:_SHOWN]}…, the CA here is under "
            f"{own[:_SHOWN]}… (give this control plane the others' CA by --ca, or a store of its own by --store)"
        )
    raise UsageError(
        f"the store belongs to the mesh {other.mesh}, this control plane is of {mesh} "
        f"(start it with --mesh {other.mesh}, or give it a store of its own by --store)"
    )


def _believed(signer: Signer) -> list[str]:
    return [fingerprint(root) for root in signer.bundle.certificates]


def _hinted(fault: FaultError, claimed: str) -> UnusableAuthority:
    return UnusableAuthority(
        f"{fault}; the store belongs to a mesh whose root has the SHA-256 fingerprint {claimed[:_SHOWN]}… "
        "(give this control plane the others' CA by --ca)"
    )


async def _nothing() -> None:
    """A store in the state directory is this process's alone."""

"""What can happen to a session; a closed set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from byway.ads.catalogue import Key


class Requested(msgspec.Struct, frozen=True, kw_only=True):
    """The proxy sent one request: a subscription, an acknowledgement, or both. `error` is Envoy's text of a refusal."""

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = {}
    nonce: str = ""
    error: str | None = None


class Changed(msgspec.Struct, frozen=True):
    """The catalogue's answers under these keys may differ from now on; `revision` numbers the publication."""

    keys: frozenset[Key]
    revision: int


class Tick(msgspec.Struct, frozen=True):
    """Time has passed; nothing else."""


Event: TypeAlias = Requested | Changed | Tick

"""A catalogue that is a few dictionaries: every edit returns the keys to publish."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TypeAlias

from byway.ads.catalogue import PLACEHOLDER, Key, Lookup, Offer, Proxy, Refusal
from byway.model import names
from byway.xds.resource import Resource

Keys: TypeAlias = frozenset[Key]

_ROOTS = "roots"
_OFFER = "offer"


class MemoryCatalogue:
    """Every proxy sees the same resources."""

    def __init__(self) -> None:
        self.resources: dict[tuple[str, str], Resource] = {}
        self.spellings: dict[str, str] = {}  # virtual host asked for → its resource's name
        self.root_listeners: tuple[str, ...] = ()
        self.root_clusters: tuple[str, ...] = ()
        self.offered = Offer(_OFFER)
        self.known_names: tuple[tuple[str, str], ...] = ()
        self.asked_names: list[tuple[str, str]] = []
        self.n_lookups = 0
        self.is_settled = asyncio.Event()
        self.is_settled.set()
        self.put(Resource.of(names.TYPE_VIRTUAL_HOST, PLACEHOLDER, b""))  # an empty Any: enough for a fake

    # --- the catalogue ---

    def admit(self, peer: str, node_id: str, metadata: Mapping[str, str]) -> Proxy | Refusal:
        """Admits `peer` as the instance named like the last part of its SPIFFE id."""
        instance = peer.rsplit("/", 1)[-1]
        if node_id.split(".", 1)[0] != instance:
            return Refusal(f"{peer} may not speak for {node_id}")
        return Proxy(instance=instance, namespace="default", identity=peer, epoch=metadata.get("EPOCH", ""))

    def listeners(self, proxy: Proxy) -> tuple[str, ...]:
        """The names on the wildcard subscription to listeners."""
        return self.root_listeners

    def clusters(self, proxy: Proxy) -> tuple[str, ...]:
        """The names always on the wildcard subscription to clusters."""
        return self.root_clusters

    def lookup(self, proxy: Proxy, type_url: str, name: str) -> Lookup:
        """The resource `name`, under a key of its own."""
        self.n_lookups += 1
        actual = self.spellings.get(name, name) if type_url == names.TYPE_VIRTUAL_HOST else name
        return Lookup((type_url, name), self.resources.get((type_url, actual)))

    def roots(self, proxy: Proxy) -> Key:
        """One key for all."""
        return _ROOTS

    def offer(self, proxy: Proxy) -> Offer:
        """What a test set."""
        return self.offered

    def known(self, proxy: Proxy) -> tuple[tuple[str, str], ...]:
        """What a test set."""
        return self.known_names

    def asked(self, proxy: Proxy, type_url: str, name: str) -> None:
        """Keeps it for the test."""
        self.asked_names.append((type_url, name))

    async def settled(self) -> None:
        """Waits while a test says that a proposal is being proved."""
        await self.is_settled.wait()

    # --- edits ---

    def put(self, *resources: Resource) -> Keys:
        """Set resources."""
        for resource in resources:
            self.resources[resource.type_url, resource.name] = resource
        return self._keys(*((r.type_url, r.name) for r in resources))

    def remove(self, *questions: tuple[str, str]) -> Keys:
        """Drop resources."""
        for question in questions:
            self.resources.pop(question, None)
        return self._keys(*questions)

    def spell(self, name: str, *spellings: str) -> Keys:
        """Serve the virtual host `name` under these names, too."""
        self.spellings.update(dict.fromkeys(spellings, name))
        return self._keys((names.TYPE_VIRTUAL_HOST, name))

    def set_roots(self, *, listeners: tuple[str, ...] = (), clusters: tuple[str, ...] = ()) -> Keys:
        """Set what the wildcard subscriptions hold."""
        self.root_listeners, self.root_clusters = listeners, clusters
        return frozenset({_ROOTS})

    def set_offer(self, *, clusters: tuple[str, ...] = (), virtual_hosts: tuple[str, ...] = ()) -> Keys:
        """Set what is held without being asked for."""
        self.offered = Offer(_OFFER, clusters, virtual_hosts)
        return frozenset({_OFFER})

    def _keys(self, *questions: tuple[str, str]) -> Keys:
        keys: set[Key] = set(questions)
        for type_url, name in questions:
            if type_url == names.TYPE_VIRTUAL_HOST:
                keys.update((type_url, asked) for asked, actual in self.spellings.items() if actual == name)
        return frozenset(keys)

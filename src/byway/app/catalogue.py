"""The mesh as the discovery service sees it: names of xDS resources become queries, and a query is its own key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from typing import Literal

from byway.ads.catalogue import Lookup, Offer, Proxy, Refusal
from byway.app.prewarm import Prewarm
from byway.derive.discovery import given
from byway.derive.egress import egress
from byway.derive.endpoints import workload
from byway.derive.lowered import mesh_defaults
from byway.engine import Database, Root
from byway.identity.spiffe import workload_id
from byway.model.names import (
    ON_DEMAND_CLUSTER,
    TYPE_CLUSTER,
    TYPE_ENDPOINTS,
    TYPE_LISTENER,
    TYPE_ROUTE,
    TYPE_VIRTUAL_HOST,
)
from byway.model.workload import Interception
from byway.xds import resources
from byway.xds.grpc_resources import client_root


class MeshCatalogue:
    """Answers lookups from the database and keeps subscribed what some proxy holds.

    While a proposal is being proved the database holds what may yet be refused: `settled` then waits, so that no proxy
    sees it.
    """

    def __init__(self, database: Database, prewarm: Prewarm | None = None) -> None:
        self._database = database
        self._prewarm = prewarm
        self._held: set[Root] = set()
        self._settled = asyncio.Event()
        self._settled.set()

    def admit(self, peer: str, node_id: str, metadata: Mapping[str, str]) -> Proxy | Refusal:
        """The proxy that `node_id` names, if `peer` is the identity of the instance that it stands beside."""
        parts = node_id.split("~")
        if len(parts) != 4 or parts[0] not in ("sidecar", "router", "grpc"):
            return Refusal(f"node id {node_id[:200]!r} is not `sidecar~<ip>~<instance>.<namespace>~<domain>`")
        instance, _, namespace = parts[2].rpartition(".")
        found = workload(self._database, namespace, instance)
        if found is None:
            return Refusal(f"the mesh has no workload {namespace}/{instance}")
        trust_domain = mesh_defaults(self._database).trust_domain
        expected = str(workload_id(trust_domain, namespace, found.service_account))
        if peer != expected:
            return Refusal(f"{peer} may not speak for {namespace}/{instance}, which is {expected}")
        kind: Literal["sidecar", "router", "grpc"] = "router" if found.interception is Interception.NONE else "sidecar"
        if parts[0] == "grpc":
            kind = "grpc"
        return Proxy(instance=instance, namespace=namespace, identity=peer, kind=kind, epoch=metadata.get("EPOCH", ""))

    def listeners(self, proxy: Proxy) -> tuple[str, ...]:
        """The names of the proxy's listeners."""
        return resources.outline(self._database, proxy.namespace, proxy.instance)[0]

    def clusters(self, proxy: Proxy) -> tuple[str, ...]:
        """The names of the clusters that the proxy always holds."""
        return resources.outline(self._database, proxy.namespace, proxy.instance)[1]

    def roots(self, proxy: Proxy) -> Hashable:
        """The query whose change means that the proxy's listeners or standing clusters may differ."""
        root = Root(resources.outline, (proxy.namespace, proxy.instance))
        root.value(self._database)
        return self._hold(root)

    def offer(self, proxy: Proxy) -> Offer:
        """What the proxy holds of other services without asking."""
        root = Root(given, (proxy.namespace, proxy.instance))
        found = root.value(self._database)
        return Offer(self._hold(root), found.clusters, found.virtual_hosts)

    def lookup(self, proxy: Proxy, type_url: str, name: str) -> Lookup:
        """The resource of this name as `proxy` may see it."""
        root = self.root(proxy, type_url, name)
        if root is None:
            return Lookup((type_url, name))
        # Asked before it is held: what is held unasked would be reported as changed once.
        value = root.value(self._database)
        return Lookup(self._hold(root), value)

    def known(self, proxy: Proxy) -> tuple[tuple[str, str], ...]:
        """What the proxy's workload is known to call."""
        return self._prewarm.known(proxy) if self._prewarm is not None else ()

    def asked(self, proxy: Proxy, type_url: str, name: str) -> None:
        """Has it remembered that the proxy's workload calls this."""
        if self._prewarm is not None:
            self._prewarm.asked(proxy, type_url, name)

    def is_read(self, namespace: str, instance: str) -> bool:
        """Whether some proxy stands beside this instance and holds what belongs there."""
        return Root(resources.outline, (namespace, instance)) in self._held

    async def settled(self) -> None:
        """Waits while a proposal is being proved."""
        await self._settled.wait()

    def unsettle(self) -> None:
        """Has every session wait: the database is about to hold a proposal."""
        self._settled.clear()

    def settle(self) -> None:
        """Lets the sessions go on: the proposal is decided."""
        self._settled.set()

    def release(self, is_read: Callable[[Hashable], bool]) -> int:
        """Forgets what nobody reads any more, and returns how many results were discarded."""
        for root in [root for root in self._held if not is_read(root)]:
            self._held.discard(root)
            self._database.unsubscribe(root.query, *root.args)
        return self._database.sweep()

    def _hold(self, root: Root) -> Root:
        if root not in self._held:
            self._held.add(root)
            self._database.subscribe(root.query, *root.args)
        return root

    def root(self, proxy: Proxy, type_url: str, name: str) -> Root | None:
        """The query that answers `lookup`; None: it is not known here."""
        if proxy.kind == "grpc":
            return client_root(proxy.namespace, proxy.instance, type_url, name)
        where = (proxy.namespace, proxy.instance, name)
        if type_url == TYPE_LISTENER:
            return Root(resources.listener_resource, where)
        if type_url == TYPE_CLUSTER:
            if name.startswith(ON_DEMAND_CLUSTER):
                return Root(resources.called_cluster, where)
            if name.startswith("outbound|"):
                return Root(resources.cluster_resource, (proxy.namespace, name))
            return Root(resources.instance_cluster_resource, where)
        if type_url == TYPE_ENDPOINTS:
            return self._endpoints_root(proxy, name)
        if type_url == TYPE_VIRTUAL_HOST:
            return Root(resources.virtual_host_for, where)
        if type_url == TYPE_ROUTE:
            return Root(resources.route_resource, where)
        return None

    def _endpoints_root(self, proxy: Proxy, name: str) -> Root:
        """Shared as widely as can be, since endpoints change most.

        What the proxy may call is in the key as it is now: where that changes what it gets, its cluster changes, and Envoy asks
        for endpoints anew.
        """
        if name.startswith(ON_DEMAND_CLUSTER):
            found = workload(self._database, proxy.namespace, proxy.instance)
            hosts = egress(self._database, proxy.namespace, found.labels if found else ())
            if hosts is not None:
                return Root(resources.called_endpoints, (proxy.namespace, hosts, name))
        return Root(resources.endpoints_resource, (proxy.namespace, name))

"""Random valid writes to the mesh of `bench.edits`, none of which by its own meaning fails a call of its load.

The writer knows what it has written: what refers to something is never there without it. Whatever it writes, `versions`
says who may answer a call afterwards. A seed gives the same writes each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import msgspec

from bench.edits_server import SECOND, TCP

Json = dict[str, Any]
Target = tuple[str, str, str]
"""Kind, namespace, name."""

ROOT: Final = "istio-system"
BACK, SHOP = 9000, 9100
_BOTH: Final = frozenset({"v1", "v2"})
_KINDS: Final = {
    "VirtualService": "networking.istio.io/v1", "DestinationRule": "networking.istio.io/v1",
    "Sidecar": "networking.istio.io/v1", "PeerAuthentication": "security.istio.io/v1",
    "AuthorizationPolicy": "security.istio.io/v1", "MeshConfig": "byway.dev/v1alpha1", "Service": "v1",
}  # fmt: skip


class Edit(msgspec.Struct, frozen=True):
    """One write: what is applied at once, or what is deleted at once."""

    puts: tuple[Json, ...] = ()
    deletes: tuple[Target, ...] = ()

    @property
    def title(self) -> str:
        """What it is about, for whoever looks for the reason of a failure."""
        puts = [f"+{d['kind']}/{d['metadata']['name']}" for d in self.puts]
        return " ".join([*puts, *(f"-{kind}/{name}" for kind, _, name in self.deletes)])


class Writer:
    """See the module. `first` is what must be there before the load begins."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - no secret: the same each time
        self.present: dict[Target, Json] = {}
        self._kinds: tuple[tuple[int, Callable[[], Edit]], ...] = (
            (5, self._routes), (2, self._route_of_shop), (4, self._rule), (2, self._pair), (2, self._rule_of_another),
            (3, self._peers), (3, self._access), (1, self._sidecar), (1, self._defaults),
            (3, self._inside), (1, self._echo), (2, self._spare), (5, self._delete),
        )  # fmt: skip

    def first(self) -> Edit:
        """The services that the load calls besides those of the mesh file."""
        return self._written(Edit((self._inside_service(BACK, {"app": "back"}), self._echo_service({"app": "back"}))))

    def next(self) -> Edit:
        """One more write."""
        weights = [weight for weight, _ in self._kinds]
        (kind,) = self._chance.choices([kind for _, kind in self._kinds], weights)
        return self._written(kind())

    def versions(self, host: str) -> frozenset[str]:
        """Who may answer a call to a host of the load."""
        if host in ("inside", "echo"):
            version = self.present["Service", "default", host]["spec"]["selector"].get("version")
            return frozenset({version}) if version else _BOTH
        route = self.present.get(("VirtualService", "default", host))
        if host != "back" or route is None:
            return _BOTH if host == "back" else frozenset({"v1"})
        ends = [end for rule in route["spec"]["http"] for end in rule["route"] if end.get("weight", 100)]
        return frozenset(v for end in ends for v in ([end["destination"].get("subset")] if _subset(end) else _BOTH))

    def _written(self, edit: Edit) -> Edit:
        for document in edit.puts:
            meta = document["metadata"]
            self.present[document["kind"], meta["namespace"], meta["name"]] = document
        for target in edit.deletes:
            self.present.pop(target, None)
        return edit

    # --- routes and how hosts are treated ---

    def _routes(self) -> Edit:
        return Edit((self._route("back", with_subsets=self._has_subsets()),))

    def _route_of_shop(self) -> Edit:
        return Edit((self._route("shop", with_subsets=False),))

    def _rule(self) -> Edit:
        return Edit((self._rule_of("back", with_subsets=self._needs_subsets() or self._is()),))

    def _pair(self) -> Edit:
        """Both at once, in either order; and what refers goes before or with what it refers to."""
        rule, route = ("DestinationRule", "default", "back"), ("VirtualService", "default", "back")
        if rule in self.present and route in self.present and self._is():
            return Edit(deletes=tuple(self._shuffled([rule, route])))
        with_subsets = self._is()
        both = [self._rule_of("back", with_subsets=with_subsets), self._route("back", with_subsets=with_subsets)]
        return Edit(tuple(self._shuffled(both)))

    def _rule_of_another(self) -> Edit:
        return Edit((self._rule_of(self._one("shop", "inside", "echo"), with_subsets=False),))

    def _route(self, host: str, *, with_subsets: bool) -> Json:
        rules: list[Json] = []
        if self._is():
            turn = {"headers": {"x-turn": {"exact": self._one("0", "1")}}}
            path = {"uri": {"prefix": "/rewritten"}}
            match = [turn] if self._is() else [turn, path]
            rules.append({"name": "some", "match": match, **self._manners(), "route": self._ends(host, with_subsets)})
        rules.append({**self._manners(), "route": self._ends(host, with_subsets)})
        hosts = [self._one(host, f"{host}.default.svc.cluster.local")]
        return _document("VirtualService", host, {"hosts": hosts, "http": rules})

    def _ends(self, host: str, with_subsets: bool) -> list[Json]:
        name = self._one(host, f"{host}.default.svc.cluster.local")
        if not with_subsets:
            ends: list[Json] = [{"destination": {"host": name}}]
        elif self._is():
            ends = [{"destination": {"host": name, "subset": self._one("v1", "v2")}}]
        else:
            share = self._one(0, 1, 50, 99, 100)
            ends = [
                {"destination": {"host": name, "subset": subset}, "weight": weight}
                for subset, weight in (("v1", share), ("v2", 100 - share))
            ]
        if self._is():
            ends[0]["headers"] = {"request": {"set": {"x-told": str(self._chance.randrange(100))}}}
        return ends

    def _manners(self) -> Json:
        found: Json = {}
        if self._is():
            found["timeout"] = self._one("0s", "8s", "9s")
        if self._is():
            more = {"perTryTimeout": "4s", "retryOn": self._one("5xx", "connect-failure,refused-stream,503")}
            attempts = self._one(0, 1, 3)
            found["retries"] = {"attempts": attempts, **(more if attempts else {})}
        if self._is():
            found["rewrite"] = {"uri": self._one("/", "/elsewhere")}
        if self._is():
            found["headers"] = {"response": {"add": {"x-seen": "yes"}}, "request": {"remove": ["x-old"]}}
        if self._is(0.1):
            found["fault"] = {"delay": {"percentage": {"value": 10}, "fixedDelay": "0.01s"}}
        return found

    def _rule_of(self, host: str, *, with_subsets: bool) -> Json:
        spec: Json = {"host": self._one(host, f"{host}.default.svc.cluster.local")}
        if self._is(0.8):
            spec["trafficPolicy"] = self._treatment()
        if with_subsets:
            spec["subsets"] = self._shuffled([{"name": v, "labels": {"version": v}} for v in sorted(_BOTH)])
            if self._is():
                spec["subsets"].append({"name": "v3", "labels": {"version": "v3"}})
            if self._is():
                spec["subsets"][0]["trafficPolicy"] = self._treatment()
        return _document("DestinationRule", host, spec)

    def _treatment(self) -> Json:
        found: Json = {"tls": {"mode": "ISTIO_MUTUAL"}} if self._is(0.3) else {}
        if self._is() or not found:
            found["loadBalancer"] = {"simple": self._one("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM")}
        if self._is():
            most = self._one(100, 200, 300)
            http = {"http2MaxRequests": most, "http1MaxPendingRequests": most, "idleTimeout": self._one("60s", "90s")}
            if self._is():
                http["maxRequestsPerConnection"] = self._one(0, 5, 50)
            found["connectionPool"] = {"tcp": {"maxConnections": most, "connectTimeout": "3s"}, "http": http}
        if self._is():
            times = {"interval": self._one("5s", "10s"), "baseEjectionTime": "5s", "maxEjectionPercent": 50}
            found["outlierDetection"] = {"consecutive5xxErrors": self._one(20, 30), **times}
        return found

    def _has_subsets(self) -> bool:
        rule = self.present.get(("DestinationRule", "default", "back"))
        return rule is not None and "subsets" in rule["spec"] and self._is(0.8)

    def _needs_subsets(self) -> bool:
        route = self.present.get(("VirtualService", "default", "back"))
        return route is not None and any(_subset(end) for rule in route["spec"]["http"] for end in rule["route"])

    # --- who may come in ---

    def _peers(self) -> Edit:
        """Mutual TLS is not switched off: callers that are told to use it would fail, and rules by caller would not match."""
        modes = ("PERMISSIVE", "STRICT", "UNSET")
        if self._is():
            return Edit((_document("PeerAuthentication", "default", {"mtls": {"mode": self._one(*modes[:2])}}, ROOT),))
        app = self._one("back", "shop")
        spec: Json = {"selector": {"matchLabels": {"app": app}}, "mtls": {"mode": self._one(*modes)}}
        if self._is():
            spec["portLevelMtls"] = {str(self._one(BACK, SECOND, SHOP)): {"mode": self._one(*modes[:2])}}
        return Edit((_document("PeerAuthentication", app, spec),))

    def _access(self) -> Edit:
        """What is allowed is more than the load; what is denied it never asks for."""
        app = self._one("back", "shop")
        chosen: Json = {"selector": {"matchLabels": {"app": app}}} if self._is(0.8) else {}
        if self._is():
            paths = [f"/secret-{self._chance.randrange(9)}/*"]
            ports = [str(self._one(BACK, SHOP))]
            rules: list[Json] = [{"to": [{"operation": {"paths": paths, "ports": ports}}]}]
            return Edit(
                (_document("AuthorizationPolicy", f"{app}-deny", {**chosen, "action": "DENY", "rules": rules}),)
            )
        source = {"source": self._one({"namespaces": ["default"]}, {"principals": ["cluster.local/ns/default/*"]})}
        rules = [{"from": [source], "to": [{"operation": {"methods": ["GET", "HEAD"]}}]}]
        rules.append({"from": [source], "to": [{"operation": {"ports": [str(TCP)]}}]})
        rules += [{"to": [{"operation": {"paths": ["/status"], "ports": [str(BACK)]}}]}] if self._is() else []
        return Edit((_document("AuthorizationPolicy", f"{app}-allow", {**chosen, "rules": self._shuffled(rules)}),))

    # --- what the mesh is like ---

    def _sidecar(self) -> Edit:
        hosts = self._one(
            ["./*"], ["*/*"], [f"./{h}.default.svc.cluster.local" for h in ("back", "shop", "inside", "echo")]
        )
        return Edit((_document("Sidecar", "default", {"egress": [{"hosts": hosts}]}),))

    def _defaults(self) -> Edit:
        spec: Json = {"defaultHttpTimeout": self._one("8s", "9s", "10s")}
        if self._is():
            spec["defaultHttpRetryPolicy"] = {
                "attempts": self._one(2, 3),
                "retryOn": "connect-failure,refused-stream,503",
            }
        if self._is():
            spec["outboundTrafficPolicy"] = {"mode": self._one("ALLOW_ANY", "REGISTRY_ONLY")}
        if self._is():
            spec["enableTracing"] = True
            spec["defaultConfig"] = {"tracing": {"sampling": self._one(1, 10)}}
        if self._is():
            spec["connectTimeout"] = self._one("3s", "5s")
        if self._is(0.3):
            spec["discovery"] = self._one("lazy", "eager")
        if self._is(0.3):
            spec["accessLogFile"] = "/dev/stdout"
        return Edit((_document("MeshConfig", "default", spec, ROOT),))

    # --- services and who is behind them ---

    def _inside(self) -> Edit:
        """Its port leads now here, now there; now all instances are behind it, now those of one version."""
        return Edit((self._inside_service(self._one(BACK, SECOND), self._selector()),))

    def _echo(self) -> Edit:
        return Edit((self._echo_service(self._selector()),))

    def _spare(self) -> Edit:
        """One that nobody calls."""
        ports = [{"name": "http", "port": 80, "targetPort": self._one(BACK, SECOND)}]
        ports += [{"name": "tcp-more", "port": 81, "targetPort": TCP}] if self._is() else []
        name = f"spare-{self._chance.randrange(3)}"
        return Edit((_document("Service", name, {"selector": self._selector(), "ports": ports}),))

    def _inside_service(self, target: int, selector: Json) -> Json:
        ports = [{"name": self._one("http", "http-web"), "port": 80, "targetPort": target}]
        ports += [{"name": "http-more", "port": 8080, "targetPort": SECOND}] if self._is() else []
        return _document("Service", "inside", {"selector": selector, "ports": ports})

    def _echo_service(self, selector: Json) -> Json:
        return _document("Service", "echo", {"selector": selector, "ports": [{"name": "tcp", "port": TCP}]})

    def _selector(self) -> Json:
        return {"app": "back", **({"version": self._one("v1", "v2")} if self._is() else {})}

    # --- deleting ---

    def _delete(self) -> Edit:
        """Something that nothing needs; one time in three two of them at once."""
        kept = {("Service", "default", "inside"), ("Service", "default", "echo")}
        if self._needs_subsets():
            kept.add(("DestinationRule", "default", "back"))
        free = [target for target in sorted(self.present) if target not in kept]
        chosen = self._chance.sample(free, min(len(free), self._one(1, 1, 2)))
        return Edit(deletes=tuple(chosen)) if chosen else self._spare()

    # --- chance ---

    def _is(self, share: float = 0.5) -> bool:
        return self._chance.random() < share

    def _one(self, *options: Any) -> Any:
        return self._chance.choice(options)

    def _shuffled(self, items: list[Any]) -> list[Any]:
        return self._chance.sample(items, len(items))


def _document(kind: str, name: str, spec: Json, namespace: str = "default") -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": _KINDS[kind], "kind": kind, "metadata": metadata, "spec": spec}


def _subset(end: Json) -> str:
    subset: str = end["destination"].get("subset", "")
    return subset

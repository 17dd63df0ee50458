"""What a workload demands of its callers: mutual TLS and access rules.

Decided per workload, never per route: nothing that a client's proxy holds, and nothing delivered on demand, can open a door.
"""

from __future__ import annotations

from byway.derive.lowered import access_policy_of, is_stand_in, mesh_defaults, peer_policy_of, selector_of
from byway.engine import Database, query
from byway.kinds.resource import ResourceId
from byway.model.labels import Labels, selects
from byway.model.policy import Access, AccessOperation, AccessPolicy, AccessRule, MutualTls, PeerPolicy
from byway.world.index import INDEX

DEFAULT_MUTUAL_TLS = MutualTls.STRICT


@query
def access(db: Database, namespace: str, labels: Labels) -> Access:
    """All access policies that apply to workloads with `labels` in `namespace`."""
    ids = sorted(_selected(db, "AuthorizationPolicy", namespace, labels))
    policies = [policy for policy in (access_policy_of(db, i) for i in ids) if policy is not None]
    return Access(tuple(p for p in policies if p.is_deny), tuple(p for p in policies if not p.is_deny))


def access_at(everything: Access, port: int | None, *, is_http: bool) -> Access:
    """The same rules for calls to one port: its number is already decided, and what cannot be seen there fails closed.

    Without a port the rules keep what they say about ports.

    On a TCP port no method or path is seen: an ALLOW rule that asks for one never matches, a DENY rule matches without it.
    """
    return Access(
        tuple(_at(policy, port, is_http=is_http) for policy in everything.deny),
        tuple(_at(policy, port, is_http=is_http) for policy in everything.allow),
    )


@query
def mutual_tls(db: Database, namespace: str, labels: Labels, port: int) -> MutualTls:
    """What the workload's port accepts: the most specific policy that says anything, else STRICT.

    Of several as specific the first by its name counts, but a stand-in before all.
    """
    root = mesh_defaults(db).root_namespace
    ids = sorted(_selected(db, "PeerAuthentication", namespace, labels))
    ranked = sorted(ids, key=lambda i: (not selector_of(db, i), i.namespace == root, not is_stand_in(db, i), i))
    policies = [(i, policy) for i in ranked if (policy := peer_policy_of(db, i)) is not None]
    for resource_id, policy in policies:
        mode = _mode(policy, port if selector_of(db, resource_id) else 0)
        if mode is not None:
            return mode
    return DEFAULT_MUTUAL_TLS


def _mode(policy: PeerPolicy, port: int) -> MutualTls | None:
    return dict(policy.ports).get(port) or policy.mode


def _selected(db: Database, kind: str, namespace: str, labels: Labels) -> set[ResourceId]:
    root = mesh_defaults(db).root_namespace
    ids: set[ResourceId] = set()
    for where in {namespace, root}:
        ids |= INDEX(db, ("policy", kind, where))
        for pair in labels:
            ids |= INDEX(db, ("policy", kind, where, *pair))
    return {i for i in ids if selects(selector_of(db, i), labels)}


def _at(policy: AccessPolicy, port: int | None, *, is_http: bool) -> AccessPolicy:
    rules = (_rule_at(rule, port, is_http=is_http, is_deny=policy.is_deny) for rule in policy.rules)
    return AccessPolicy(
        source=policy.source, is_deny=policy.is_deny, rules=tuple(rule for rule in rules if rule is not None)
    )


def _rule_at(rule: AccessRule, port: int | None, *, is_http: bool, is_deny: bool) -> AccessRule | None:
    if not rule.operations:
        return rule
    kept = []
    for operation in rule.operations:
        if port is not None and ((operation.ports and port not in operation.ports) or port in operation.not_ports):
            continue
        if operation.is_http and not is_http and not is_deny:
            continue
        without_ports = AccessOperation(
            methods=operation.methods if is_http else (),
            not_methods=operation.not_methods if is_http else (),
            paths=operation.paths if is_http else (),
            not_paths=operation.not_paths if is_http else (),
            ports=operation.ports if port is None else (),
            not_ports=operation.not_ports if port is None else (),
        )
        kept.append(without_ports)
    if not kept:
        return None
    everything = AccessOperation() in kept
    return AccessRule(rule.sources, () if everything else tuple(kept))

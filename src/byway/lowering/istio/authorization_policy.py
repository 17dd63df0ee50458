"""AuthorizationPolicy → access policy."""

from __future__ import annotations

from byway.base.diagnostics import Derived
from byway.kinds.istio.authorization_policy import AuthorizationPolicy, Rule
from byway.kinds.resource import Resource
from byway.model.policy import AccessOperation, AccessPolicy, AccessRule, AccessSource


def access_policy(resource: Resource) -> Derived[AccessPolicy]:
    """What an AuthorizationPolicy lets through, or refuses."""
    spec = resource.spec
    assert isinstance(spec, AuthorizationPolicy)
    policy = AccessPolicy(
        source=str(resource.id), is_deny=spec.action == "DENY", rules=tuple(_rule(rule) for rule in spec.rules)
    )
    return Derived(policy)


def _rule(rule: Rule) -> AccessRule:
    sources = tuple(
        AccessSource(
            principals=tuple(source.principals),
            not_principals=tuple(source.not_principals),
            namespaces=tuple(source.namespaces),
            not_namespaces=tuple(source.not_namespaces),
        )
        for source in (origin.source for origin in rule.from_)
        if source is not None
    )
    operations = tuple(
        AccessOperation(
            methods=tuple(operation.methods),
            not_methods=tuple(operation.not_methods),
            paths=tuple(operation.paths),
            not_paths=tuple(operation.not_paths),
            ports=tuple(int(port) for port in operation.ports),
            not_ports=tuple(int(port) for port in operation.not_ports),
        )
        for operation in (target.operation for target in rule.to)
        if operation is not None
    )
    return AccessRule(sources, operations)

"""Access rules → Envoy's RBAC filters; DENY is judged first, then ALLOW.

A peer's identity is the URI SAN of its verified certificate and nothing else.
Envoy: https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/rbac/v3/rbac.proto
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from envoy.config.rbac.v3.rbac_pb2 import RBAC, Permission, Policy, Principal
from envoy.config.route.v3.route_components_pb2 import FilterConfig, HeaderMatcher
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac
from envoy.type.matcher.v3.path_pb2 import PathMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from byway.model.policy import Access, AccessOperation, AccessPolicy, AccessRule, AccessSource

T = TypeVar("T", Permission, Principal)
PLAIN_FILTER = "byway.filters.http.plain"
DENY_FILTER = "byway.filters.http.deny"
ALLOW_FILTER = "byway.filters.http.allow"
_AMBIGUOUS = Permission(
    url_path=PathMatcher(path=StringMatcher(safe_regex=RegexMatcher(regex=r".*(//|\\|%2[fF]|%5[cC]).*")))
)
_SPECIAL = frozenset("\\.+*?()|[]{}^$")


def rule_sets(access: Access) -> tuple[RBAC | None, RBAC | None]:
    """The DENY rules and the ALLOW rules, in the order in which they are judged; None where everything passes."""
    deny = _rules(RBAC.Action.DENY, access.deny) if any(policy.rules for policy in access.deny) else None
    allow = _rules(RBAC.Action.ALLOW, access.allow) if access.allow else None
    if access.reads_paths:
        # Rules on paths must see the path that the application will see: what could be read in two ways is refused.
        deny = deny or RBAC(action=RBAC.Action.DENY)
        deny.policies["a path that could be read in two ways"].CopyFrom(
            Policy(permissions=[_AMBIGUOUS], principals=[Principal(any=True)])
        )
    return deny, allow


def per_route(access: Access, *, needs_mutual_tls: bool = False) -> dict[str, http_rbac.RBACPerRoute | FilterConfig]:
    """The rules for each of the HTTP filters, as the override of a route; where there are none, it takes the filter out.

    Where mutual TLS is needed, the listener lets nobody else connect; but who was connected before is judged here, by a
    filter that only chains for plain text have.
    """
    deny, allow = rule_sets(access)
    plain = RBAC(action=RBAC.Action.ALLOW) if needs_mutual_tls else None
    return {
        name: http_rbac.RBACPerRoute(rbac=http_rbac.RBAC(rules=rules))
        if rules is not None
        else FilterConfig(disabled=True)
        for name, rules in ((PLAIN_FILTER, plain), (DENY_FILTER, deny), (ALLOW_FILTER, allow))
    }


def _rules(action: RBAC.Action.ValueType, policies: Iterable[AccessPolicy]) -> RBAC:
    named = {
        f"{policy.source} rule {index}": Policy(
            permissions=[_permission(rule)], principals=[_any_of(rule.sources, _source, Principal(any=True))]
        )
        for policy in policies
        for index, rule in enumerate(policy.rules)
    }
    return RBAC(action=action, policies=named)


def _permission(rule: AccessRule) -> Permission:
    return _any_of(rule.operations, _operation, Permission(any=True))


def _any_of(items: tuple[object, ...], build: Callable[..., T], everything: T) -> T:
    built = [build(item) for item in items]
    if not built:
        return everything
    if len(built) == 1:
        return built[0]
    message = type(everything)()
    getattr(message, "or_rules" if isinstance(everything, Permission) else "or_ids").CopyFrom(
        Permission.Set(rules=built) if isinstance(everything, Permission) else Principal.Set(ids=built)
    )
    return message


def _source(source: AccessSource) -> Principal:
    conditions = []
    for values, build in ((source.principals, _principal), (source.namespaces, _namespace)):
        if values:
            conditions.append(Principal(or_ids=Principal.Set(ids=[build(value) for value in values])))
    for values, build in ((source.not_principals, _principal), (source.not_namespaces, _namespace)):
        if values:
            any_id = Principal(or_ids=Principal.Set(ids=[build(value) for value in values]))
            conditions.append(Principal(not_id=any_id))
    return Principal(and_ids=Principal.Set(ids=conditions)) if conditions else Principal(any=True)


def _principal(pattern: str) -> Principal:
    if pattern == "*":
        matcher = StringMatcher(safe_regex=RegexMatcher(regex="spiffe://.+"))
    elif pattern.startswith("*"):
        matcher = StringMatcher(suffix=pattern[1:])
    elif pattern.endswith("*"):
        matcher = StringMatcher(prefix=f"spiffe://{pattern[:-1]}")
    else:
        matcher = StringMatcher(exact=f"spiffe://{pattern}")
    return Principal(authenticated=Principal.Authenticated(principal_name=matcher))


def _namespace(pattern: str) -> Principal:
    # Labels of a namespace hold no slash, so a wildcard must not reach over one.
    regex = f"spiffe://[^/]+/ns/{_wildcard_regex(pattern)}/sa/.+"
    matcher = StringMatcher(safe_regex=RegexMatcher(regex=regex))
    return Principal(authenticated=Principal.Authenticated(principal_name=matcher))


def _wildcard_regex(pattern: str) -> str:
    return "".join("[^/]*" if c == "*" else (f"\\{c}" if c in _SPECIAL else c) for c in pattern)


def _operation(operation: AccessOperation) -> Permission:
    wanted = (
        [_method(value) for value in operation.methods],
        [_path(value) for value in operation.paths],
        [_port(value) for value in operation.ports],
    )
    unwanted = (
        [_method(value) for value in operation.not_methods],
        [_path(value) for value in operation.not_paths],
        [_port(value) for value in operation.not_ports],
    )
    conditions = [Permission(or_rules=Permission.Set(rules=rules)) for rules in wanted if rules]
    conditions += [Permission(not_rule=Permission(or_rules=Permission.Set(rules=rules))) for rules in unwanted if rules]
    return Permission(and_rules=Permission.Set(rules=conditions)) if conditions else Permission(any=True)


def _method(pattern: str) -> Permission:
    return Permission(header=HeaderMatcher(name=":method", string_match=_pattern(pattern)))


def _path(pattern: str) -> Permission:
    return Permission(url_path=PathMatcher(path=_pattern(pattern)))


def _port(number: int) -> Permission:
    return Permission(destination_port=number)


def _pattern(pattern: str) -> StringMatcher:
    if pattern == "*":
        return StringMatcher(safe_regex=RegexMatcher(regex=".+"))
    if pattern.startswith("*"):
        return StringMatcher(suffix=pattern[1:])
    if pattern.endswith("*"):
        return StringMatcher(prefix=pattern[:-1])
    return StringMatcher(exact=pattern)

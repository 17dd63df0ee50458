"""Access rules as Envoy is told them."""

from __future__ import annotations

import re2
from envoy.config.rbac.v3.rbac_pb2 import RBAC
from envoy.config.route.v3.route_components_pb2 import FilterConfig
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBACPerRoute

from byway.model.policy import Access, AccessOperation, AccessPolicy, AccessRule, AccessSource
from byway.xds.authorization import ALLOW_FILTER, DENY_FILTER, PLAIN_FILTER, per_route, rule_sets


def policy(*rules: AccessRule, is_deny: bool = False) -> AccessPolicy:
    return AccessPolicy(source="AuthorizationPolicy default/x", is_deny=is_deny, rules=rules)


def principals(**source: tuple[str, ...]) -> object:
    _, allow = rule_sets(Access((), (policy(AccessRule((AccessSource(**source),))),)))
    assert allow is not None
    (found,) = allow.policies["AuthorizationPolicy default/x rule 0"].principals
    return found.and_ids.ids[0]


def test_without_policies_everything_passes() -> None:
    assert rule_sets(Access()) == (None, None)
    out = FilterConfig(disabled=True)
    assert per_route(Access()) == {PLAIN_FILTER: out, DENY_FILTER: out, ALLOW_FILTER: out}


def test_where_mutual_tls_is_needed_a_connection_without_it_carries_nothing() -> None:
    overrides = per_route(Access(), needs_mutual_tls=True)
    plain = overrides[PLAIN_FILTER]
    assert isinstance(plain, RBACPerRoute)
    assert plain.rbac.rules == RBAC(action=RBAC.Action.ALLOW)  # and nobody is named
    assert overrides[DENY_FILTER] == FilterConfig(disabled=True)


def test_an_allow_policy_without_rules_lets_nobody_in() -> None:
    _, allow = rule_sets(Access((), (policy(),)))
    assert allow == RBAC(action=RBAC.Action.ALLOW)


def test_a_deny_policy_without_rules_refuses_nobody() -> None:
    assert rule_sets(Access((policy(is_deny=True),), ())) == (None, None)


def test_an_empty_rule_matches_everybody() -> None:
    deny, _ = rule_sets(Access((policy(AccessRule(), is_deny=True),), ()))
    assert deny is not None
    (found,) = deny.policies.values()
    assert (found.permissions[0].any, found.principals[0].any) == (True, True)


def test_a_principal_is_compared_whole_or_at_one_end() -> None:
    exact = principals(principals=("cluster.local/ns/default/sa/web",)).or_ids.ids[0]  # type: ignore[attr-defined]
    prefix = principals(principals=("cluster.local/ns/default/*",)).or_ids.ids[0]  # type: ignore[attr-defined]
    suffix = principals(principals=("*/sa/web",)).or_ids.ids[0]  # type: ignore[attr-defined]
    assert exact.authenticated.principal_name.exact == "spiffe://cluster.local/ns/default/sa/web"
    assert prefix.authenticated.principal_name.prefix == "spiffe://cluster.local/ns/default/"
    assert suffix.authenticated.principal_name.suffix == "/sa/web"


def test_a_dot_in_a_namespace_is_a_dot_and_a_wildcard_reaches_over_no_slash() -> None:
    found = principals(namespaces=("a.b*",)).or_ids.ids[0]  # type: ignore[attr-defined]
    regex = found.authenticated.principal_name.safe_regex.regex
    assert re2.fullmatch(regex, "spiffe://cluster.local/ns/a.bc/sa/web")
    assert not re2.fullmatch(regex, "spiffe://cluster.local/ns/axbc/sa/web")
    assert not re2.fullmatch(regex, "spiffe://cluster.local/ns/x/sa/ns/a.b/sa/web")


def test_rules_on_paths_refuse_what_could_be_read_in_two_ways() -> None:
    rule = AccessRule((), (AccessOperation(paths=("/public",)),))
    deny, _ = rule_sets(Access((), (policy(rule),)))
    assert deny is not None
    regex = deny.policies["a path that could be read in two ways"].permissions[0].url_path.path.safe_regex.regex
    for path in ("//admin", "/a//b", "/a%2fb", "/a%2Fb", "/a%5cb", "/a\\b"):
        assert re2.fullmatch(regex, path), path
    for path in ("/", "/a/b", "/a%20b", "/2f"):
        assert not re2.fullmatch(regex, path), path

"""Access rules: whatever could never match, or would match everything by accident, is refused."""

from __future__ import annotations

# ruff: noqa: E501  # one line is one case
from typing import Any

import pytest

from byway.kinds.istio.peer_authentication import MutualTLS


def test_every_supported_field_of_an_authorization_policy_is_read(reading: Any) -> None:
    spec = reading.spec(
        "AuthorizationPolicy",
        "action: DENY\nselector: {matchLabels: {app: docs}}\nrules:\n- from:\n"
        "  - source: {principals: [cluster.local/ns/default/sa/web], notPrincipals: ['*/sa/x'], namespaces: [a*], notNamespaces: [b]}\n"
        "  to:\n  - operation: {ports: ['80'], notPorts: ['81'], methods: [GET], notMethods: [PUT], paths: [/a*, '*'], notPaths: [/b]}\n",
    )
    (rule,) = spec.rules
    assert (spec.action, spec.selector.match_labels) == ("DENY", {"app": "docs"})
    source, operation = rule.from_[0].source, rule.to[0].operation
    assert (source.principals, source.not_principals) == (("cluster.local/ns/default/sa/web",), ("*/sa/x",))
    assert (source.namespaces, source.not_namespaces) == (("a*",), ("b",))
    assert (operation.ports, operation.not_ports, operation.methods) == (("80",), ("81",), ("GET",))
    assert (operation.not_methods, operation.paths, operation.not_paths) == (("PUT",), ("/a*", "*"), ("/b",))


def test_a_policy_without_rules_and_one_with_an_empty_rule_are_two_things(reading: Any) -> None:
    assert reading.spec("AuthorizationPolicy", "{}").rules == ()
    (rule,) = reading.spec("AuthorizationPolicy", "rules: [{}]").rules
    assert (rule.from_, rule.to) == ((), ())


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("action: DENY", ": a DENY without rules denies nothing (add rules (one `{}` denies everything))"),
        ("action: AUDIT", ".action: AUDIT is not supported yet (use one of ALLOW, DENY)"),
        ("action: CUSTOM", ".action: CUSTOM is not supported yet (use one of ALLOW, DENY)"),
        ("action: deny", '.action: "deny" is not one of ALLOW, DENY (did you mean "DENY"?)'),
        ("provider: {name: x}", ".provider is not supported yet (remove it)"),
        ("targetRefs: []", ".targetRefs is not supported yet (remove it)"),
        ("rules: [null]", ".rules[0]: expected a mapping, got nothing (write name: value pairs)"),
        ("rules: [{from: []}]", ".rules[0].from: is empty, which would match everything (fill it or remove it)"),
        ("rules: [{to: []}]", ".rules[0].to: is empty, which would match everything (fill it or remove it)"),
        ("rules: [{when: [{key: x}]}]", ".rules[0].when is not supported yet (without it the rule would match more; say it by principals, namespaces, methods, paths or ports)"),
        ("rules: [{from: [{}]}]", ".rules[0].from[0].source is missing (add it)"),
        ("rules: [{from: [{source: {principals: []}}]}]", ".rules[0].from[0].source: the source is empty, so it would be every caller (set a field, or remove from)"),
        ("rules: [{to: [{operation: {paths: []}}]}]", ".rules[0].to[0].operation: the operation is empty, so it would be every request (set a field, or remove to)"),
        ("rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}]", ".rules[0].from[0].source.ipBlocks is not supported yet (without it the rule would match more; say it by principals, namespaces, methods, paths or ports)"),
        ("rules: [{from: [{source: {requestPrincipals: ['*']}}]}]", ".rules[0].from[0].source.requestPrincipals is not supported yet (without it the rule would match more; say it by principals, namespaces, methods, paths or ports)"),
        ("rules: [{from: [{source: {serviceAccounts: [a]}}]}]", ".rules[0].from[0].source.serviceAccounts is not supported yet (without it the rule would match more; say it by principals, namespaces, methods, paths or ports)"),
        ("rules: [{to: [{operation: {hosts: [a]}}]}]", ".rules[0].to[0].operation.hosts is not supported yet (without it the rule would match more; say it by principals, namespaces, methods, paths or ports)"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_authorization_policy_is_refused_at_its_field(spec: str, expected: str, faults: Any) -> None:
    assert faults("AuthorizationPolicy", spec) == ["spec" + expected]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("principals", "spiffe://cluster.local/ns/a/sa/b", 'principal "spiffe://cluster.local/ns/a/sa/b" would never match (write "cluster.local/ns/a/sa/b")'),
        ("principals", "web", 'principal "web" would never match (write it as cluster.local/ns/NAMESPACE/sa/ACCOUNT)'),
        ("principals", "a*b", 'principal "a*b" has a wildcard inside (put one * at the start or at the end)'),
        ("principals", "*a*", 'principal "*a*" has a wildcard inside (put one * at the start or at the end)'),
        ("principals", "", "the principal is empty, so it matches nothing (write it or remove it)"),
        ("principals", "a\\0*", 'principal "a\\u0000*" has a control character in it (remove it)'),
        ("namespaces", "Blue", 'namespace "Blue" would never match (use lower-case letters, digits and hyphens)'),
    ],
)  # fmt: skip
def test_a_source_that_could_never_match_is_refused(field: str, value: str, expected: str, faults: Any) -> None:
    for name in (field, "not" + field[0].upper() + field[1:]):
        spec = f'rules: [{{from: [{{source: {{{name}: ["{value}"]}}}}]}}]'
        assert faults("AuthorizationPolicy", spec) == [f"spec.rules[0].from[0].source.{name}[0]: {expected}"]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("methods", "get", 'method "get" would never match (write "GET")'),
        ("methods", "GET POST", 'method "GET POST" would never match (write it as GET)'),
        ("paths", "admin", 'path "admin" would never match (write "/admin")'),
        ("paths", "/a?b=c", 'path "/a?b=c" would never match (leave out what follows ? or #; only the path is compared)'),
        ("paths", "/a/{*}/b", 'path templates as in "/a/{*}/b" are not supported yet (use a * at the end)'),
        ("paths", "/a/*/b", 'path "/a/*/b" has a wildcard inside (put one * at the start or at the end)'),
        ("ports", "http", '"http" is no port (use 1 to 65535)'),
        ("ports", "0", '"0" is no port (use 1 to 65535)'),
        ("ports", "65536", '"65536" is no port (use 1 to 65535)'),
    ],
)  # fmt: skip
def test_an_operation_that_could_never_match_is_refused(field: str, value: str, expected: str, faults: Any) -> None:
    for name in (field, "not" + field[0].upper() + field[1:]):
        spec = f'rules: [{{to: [{{operation: {{{name}: ["{value}"]}}}}]}}]'
        assert faults("AuthorizationPolicy", spec) == [f"spec.rules[0].to[0].operation.{name}[0]: {expected}"]


def test_ports_of_a_rule_are_text_as_in_istio(faults: Any) -> None:
    assert faults("AuthorizationPolicy", "rules: [{to: [{operation: {ports: [80]}}]}]") == [
        'spec.rules[0].to[0].operation.ports[0]: expected text, got the number 80 (put it in quotes: "80")'
    ]


def test_every_supported_field_of_a_peer_authentication_is_read(reading: Any) -> None:
    text = "selector: {matchLabels: {app: docs}}\nmtls: {mode: STRICT}\nportLevelMtls:\n  8080: {mode: DISABLE}\n  '81': {}\n"
    spec = reading.spec("PeerAuthentication", text)
    assert spec.mtls == MutualTLS(mode="STRICT")
    assert spec.port_level_mtls == {8080: MutualTLS(mode="DISABLE"), 81: MutualTLS()}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("mtls: {mode: strict}", '.mtls.mode: "strict" is not one of UNSET, DISABLE, PERMISSIVE, STRICT (did you mean "STRICT"?)'),
        ("mtls: STRICT", '.mtls: expected a mapping, got the text "STRICT" (write name: value pairs)'),
        ("portLevelMtls: {80: {mode: STRICT}}", ".portLevelMtls: portLevelMtls needs a workload (add selector.matchLabels)"),
        (
            "selector: {matchLabels: {a: b}}\nportLevelMtls: {http: {mode: STRICT}}",
            '.portLevelMtls.http: expected a port number as the key, got the text "http" (write the number before the colon)',
        ),
        (
            "selector: {matchLabels: {a: b}}\nportLevelMtls: {70000: {mode: STRICT}}",
            '.portLevelMtls["70000"]: 70000 is out of range (use 1 to 65535)',
        ),
        ("mtls: {mode: true}", ".mtls.mode: expected one of UNSET, DISABLE, PERMISSIVE, STRICT, got true (write one of them)"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_peer_authentication_is_refused_at_its_field(spec: str, expected: str, faults: Any) -> None:
    assert faults("PeerAuthentication", spec) == ["spec" + expected]

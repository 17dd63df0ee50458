"""What a workload demands of its callers."""

from __future__ import annotations

from byway.derive.authorization import access, access_at, mutual_tls
from byway.model.policy import AccessOperation, AccessPolicy, AccessRule, AccessSource, MutualTls
from byway.testing.mesh import TestMesh

WEB = (("app", "web"),)


def peer_authentication(name: str, mode: str, namespace: str = "default", selector: str = "", ports: str = "") -> str:
    selects = f"\n  selector: {{matchLabels: {{{selector}}}}}" if selector else ""
    levels = f"\n  portLevelMtls: {ports}" if ports else ""
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec:{selects}
  mtls: {{mode: {mode}}}{levels}
"""


def test_mutual_tls_is_strict_where_nothing_is_said() -> None:
    assert mutual_tls(TestMesh().database, "default", WEB, 8080) is MutualTls.STRICT


def test_the_most_specific_peer_policy_wins() -> None:
    mesh = TestMesh(strict=True)
    mesh.apply(peer_authentication("mesh", "DISABLE", "istio-system"))
    assert mutual_tls(mesh.database, "default", WEB, 8080) is MutualTls.DISABLE
    mesh.apply(peer_authentication("here", "PERMISSIVE"))
    assert mutual_tls(mesh.database, "default", WEB, 8080) is MutualTls.PERMISSIVE
    assert mutual_tls(mesh.database, "elsewhere", WEB, 8080) is MutualTls.DISABLE
    mesh.apply(peer_authentication("web", "UNSET", selector="app: web", ports="{9090: {mode: STRICT}}"))
    assert mutual_tls(mesh.database, "default", WEB, 9090) is MutualTls.STRICT
    assert mutual_tls(mesh.database, "default", WEB, 8080) is MutualTls.PERMISSIVE


def test_policies_of_the_namespace_and_of_the_root_apply_if_they_select_the_workload() -> None:
    mesh = TestMesh(strict=True)
    for name, namespace, app in (("a", "default", "web"), ("b", "istio-system", "web"), ("c", "default", "other")):
        mesh.apply(f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{action: DENY, selector: {{matchLabels: {{app: {app}}}}}, rules: [{{}}]}}
""")
    assert [p.source for p in access(mesh.database, "default", WEB).deny] == [
        "AuthorizationPolicy default/a",
        "AuthorizationPolicy istio-system/b",
    ]


def policy(*operations: AccessOperation, is_deny: bool = False) -> AccessPolicy:
    rule = AccessRule((AccessSource(principals=("*",)),), operations)
    return AccessPolicy(source="x", is_deny=is_deny, rules=(rule,))


def at(found: AccessPolicy, port: int, *, is_http: bool) -> tuple[AccessRule, ...]:
    from byway.model.policy import Access

    given = Access((found,), ()) if found.is_deny else Access((), (found,))
    seen = access_at(given, port, is_http=is_http)
    return (seen.deny or seen.allow)[0].rules


def test_an_allow_rule_for_another_port_never_matches_here() -> None:
    assert at(policy(AccessOperation(ports=(9090,))), 8080, is_http=True) == ()
    assert at(policy(AccessOperation(not_ports=(8080,))), 8080, is_http=True) == ()
    assert at(policy(AccessOperation(ports=(8080,))), 8080, is_http=True)[0].operations == ()


def test_what_a_tcp_port_cannot_see_fails_closed() -> None:
    on_path = AccessOperation(paths=("/admin",), ports=(3306,))
    assert at(policy(on_path), 3306, is_http=False) == ()
    assert at(policy(on_path, is_deny=True), 3306, is_http=False)[0].operations == ()


def test_a_policy_that_selects_nobody_is_told() -> None:
    mesh = TestMesh()
    found = mesh.apply(peer_authentication("web", "STRICT", selector="app: wbe"))
    assert [(d.code, d.severity.value) for d in found] == [("selector-matches-nothing", "warning")]

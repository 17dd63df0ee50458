"""The doors of a sidecar as Envoy is told them."""

from __future__ import annotations

import pytest

from byway.derive.listeners import inbound
from byway.testing.mesh import TestMesh, instance, service
from byway.xds.listeners import inbound_listeners
from byway.xds.tls import MESH_ALPN


@pytest.mark.parametrize(
    ("mode", "plain", "alpn"), [("STRICT", False, ()), ("PERMISSIVE", True, MESH_ALPN), ("DISABLE", True, MESH_ALPN)]
)
def test_mutual_tls_is_let_in_whatever_the_mode(mode: str, plain: bool, alpn: tuple[str, ...]) -> None:
    """A caller that has not heard of DISABLE yet must not be refused for it."""
    mesh = TestMesh()
    mesh.apply(service("back") + instance("back-1", app="back", address="10.0.0.2"))
    mesh.apply(f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: back}}
spec: {{mtls: {{mode: {mode}}}}}
""")
    side = inbound(mesh.database, "default", "back-1")
    assert side is not None
    (listener,) = inbound_listeners("inbound/default/back-1", side)
    chains = {chain.name: chain.filter_chain_match for chain in listener.filter_chains}
    for name in ("http", "other"):
        assert (f"{name}-plain" in chains) is plain
        mutual = chains[f"{name}-mutual"]
        # No application's own TLS could be read as HTTP, so on such a port all of it is taken for the mesh's.
        assert (mutual.transport_protocol, tuple(mutual.application_protocols)) == (
            "tls",
            alpn if name == "other" else (),
        )

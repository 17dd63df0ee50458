"""PeerAuthentication → peer policy."""

from __future__ import annotations

from byway.base.diagnostics import Derived
from byway.kinds.istio.peer_authentication import MutualTLS, PeerAuthentication
from byway.kinds.resource import Resource
from byway.model.policy import MutualTls, PeerPolicy

_MODES = {"STRICT": MutualTls.STRICT, "PERMISSIVE": MutualTls.PERMISSIVE, "DISABLE": MutualTls.DISABLE}


def peer_policy(resource: Resource) -> Derived[PeerPolicy]:
    """What a PeerAuthentication demands; UNSET leaves the mode to the wider policy."""
    spec = resource.spec
    assert isinstance(spec, PeerAuthentication)
    ports = tuple(sorted((int(port), _mode(mtls)) for port, mtls in spec.port_level_mtls.items()))
    return Derived(PeerPolicy(source=str(resource.id), mode=_mode(spec.mtls), ports=ports))


def _mode(mtls: MutualTLS | None) -> MutualTls | None:
    return _MODES.get(mtls.mode) if mtls else None

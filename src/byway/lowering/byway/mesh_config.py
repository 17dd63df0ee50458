"""MeshConfig → mesh defaults."""

from __future__ import annotations

from byway.base.diagnostics import Derived, Diagnostic
from byway.kinds.byway.mesh_config import MeshConfig
from byway.kinds.resource import Resource
from byway.lowering.istio.retries import retries
from byway.model.mesh import ISTIO_SAMPLING, Discovery, MeshDefaults


def mesh_defaults(resource: Resource, base: MeshDefaults) -> Derived[MeshDefaults]:
    """The defaults that a MeshConfig sets, over those that the control plane was started with.

    Trust domain and root namespace are settled when a mesh is made: certificates and policies already rest on them.
    """
    spec = resource.spec
    assert isinstance(spec, MeshConfig)
    tracing = spec.default_config.tracing if spec.default_config else None
    outbound = spec.outbound_traffic_policy
    defaults = MeshDefaults(
        retries=retries(spec.default_http_retry_policy) or base.retries,
        timeout=spec.default_http_timeout or base.timeout,
        access_log=spec.access_log_file or base.access_log,
        allows_unknown_destinations=outbound.mode != "REGISTRY_ONLY" if outbound else base.allows_unknown_destinations,
        trust_domain=base.trust_domain,
        root_namespace=base.root_namespace,
        is_tracing=spec.enable_tracing if _says(resource, "enableTracing") else base.is_tracing,
        sampling=tracing.sampling if tracing and tracing.sampling else base.sampling or _usual_sampling(spec),
        connect_timeout=spec.connect_timeout or base.connect_timeout,
        discovery=Discovery(spec.discovery) if spec.discovery else base.discovery,
    )
    return Derived(defaults, tuple(_settled(resource, spec, base)))


def _usual_sampling(spec: MeshConfig) -> float:
    """Who asks for tracing and does not say how much gets Istio's share."""
    return ISTIO_SAMPLING if spec.enable_tracing else 0.0


def _settled(resource: Resource, spec: MeshConfig, base: MeshDefaults) -> list[Diagnostic]:
    pairs = (
        ("trustDomain", spec.trust_domain, base.trust_domain),
        ("rootNamespace", spec.root_namespace, base.root_namespace),
    )
    return [
        Diagnostic(
            code="settled-at-start",
            message=f"spec.{field} is {asked}, but this mesh was started with {running}",
            position=resource.position(f"spec.{field}"),
            hint="leave the field out, or start the mesh anew with that name",
            subject=str(resource.id),
        )
        for field, asked, running in pairs
        if asked and asked != running
    ]


def _says(resource: Resource, field: str) -> bool:
    spec = resource.document.body.get("spec")
    return isinstance(spec, dict) and field in spec

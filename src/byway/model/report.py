"""A sidecar's report on a request, as one short text: written by the configuration of Envoy, read by telemetry.

Envoy's stats access logger evaluates and hashes every tag of every metric on every request; twenty-odd labels would cost
more than all the filters together. So each metric carries one tag, whose text holds what differs between requests. What
is the same for all of them, the reporter's own workload, is not sent: telemetry knows it of the admitted sender.

    source|unknown|200|-||<service>|<the server>|<the server's principal>
    destination|mutual_tls|200|-||<service>|<the client's principal>|<the client>

A service is `host,name,namespace`, a peer its `PEER_FIELDS` in order. What a peer may claim stands last, so that no text
in it can pass for another part.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

TAG: Final = "report"
"""The name of the tag."""
SEPARATOR: Final = "|"
PEER_FIELDS: Final = ("workload", "namespace", "app", "version", "canonical_service", "canonical_revision")

PEER_LENGTH: Final = 400
"""Characters of a peer that a report holds at most: what peers claim must not fill an Envoy's memory."""

_COMMA: Final = ","
_N_PARTS: Final = 8
_NOT_PLAIN: Final = re.compile(r"[^!-~]|[,|]")

ReporterSide = Literal["source", "destination"]
Security = Literal["mutual_tls", "none", "unknown"]


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a request, as Istio's labels name it; `principal` is its SPIFFE id."""

    workload: str
    namespace: str
    app: str = ""
    version: str = ""
    canonical_service: str = ""
    canonical_revision: str = ""
    principal: str = ""

    @property
    def service(self) -> str:
        """The canonical service: what was said, else the app, else the workload itself."""
        return self.canonical_service or self.app or self.workload

    @property
    def revision(self) -> str:
        """The canonical revision: what was said, else the version; a workload that is known has at least the usual one."""
        return self.canonical_revision or self.version or ("latest" if self.workload else "")

    @property
    def text(self) -> str:
        """Its `PEER_FIELDS` as one text; what would not be plain in a header or a report is written as `_`."""
        canonical = {"canonical_service": self.service, "canonical_revision": self.revision}
        return _COMMA.join(_plain(canonical.get(name) or getattr(self, name)) for name in PEER_FIELDS)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one tag says. Texts are empty where Envoy knows nothing; `peer` is the other side."""

    reporter: ReporterSide
    security: str
    response_code: str
    response_flags: str
    grpc_status: str
    service_host: str
    service_name: str
    service_namespace: str
    peer: Peer


def service_text(host: str, name: str, namespace: str) -> str:
    """A service as one text."""
    return _COMMA.join(map(_plain, (host, name, namespace)))


def report(text: str) -> Report | None:
    """What the tag `text` says; None where no sidecar of the mesh would have written it."""
    parts = text.split(SEPARATOR, _N_PARTS - 1)
    if len(parts) != _N_PARTS:
        return None
    reporter, security, code, flags, grpc_status, service, *others = parts
    if reporter not in ("source", "destination"):
        return None
    peer, principal = others if reporter == "source" else reversed(others)
    host, name, namespace = _fields(service, 3)
    values = dict(zip(PEER_FIELDS, _fields(peer, len(PEER_FIELDS)), strict=True))
    return Report(
        reporter="source" if reporter == "source" else "destination",
        security=security,
        response_code=code,
        response_flags=flags,
        grpc_status=grpc_status,
        service_host=host,
        service_name=name,
        service_namespace=namespace,
        peer=Peer(**values, principal=principal),
    )


def _fields(text: str, n: int) -> list[str]:
    found = text.split(_COMMA)
    return found if len(found) == n else [""] * n


def _plain(text: str) -> str:
    return _NOT_PLAIN.sub("_", text)

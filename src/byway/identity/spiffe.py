"""The SPIFFE id: who a workload is, as `spiffe://<trust domain>/<path>`.

The rules are those of the SPIFFE-ID standard (https://spiffe.io/docs/latest/spiffe-specs/spiffe-id/) taken strictly:
nothing is normalised, so two ids are equal exactly when their texts are, and a text that could be read in two ways
(upper-case scheme, percent-encoding, empty or dotted segments, a NUL) is no id at all. A malformed id cannot be
constructed.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from byway.base.errors import UsageError

_SCHEME: Final = "spiffe://"
_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+")
_MAX_BYTES: Final = 2048
_SHOWN: Final = 120


class MalformedSpiffeId(UsageError):
    """A text that is no SPIFFE id; the message says which rule it breaks."""


class TrustDomain(msgspec.Struct, frozen=True, order=True):
    """The name of one root of trust, such as `cluster.local`."""

    name: str

    def __post_init__(self) -> None:
        if _TRUST_DOMAIN.fullmatch(self.name) is None:
            raise MalformedSpiffeId(f"trust domain {shown(self.name)} is not 1 to 255 of a-z, 0-9, '.', '-' and '_'")

    def __str__(self) -> str:
        return self.name


class SpiffeId(msgspec.Struct, frozen=True, order=True):
    """One identity. `path` is empty (the trust domain itself) or starts with `/`."""

    trust_domain: TrustDomain
    path: str = ""

    def __post_init__(self) -> None:
        fault = _path_fault(self.path)
        if fault:
            raise MalformedSpiffeId(f"SPIFFE id path {shown(self.path)} {fault}")
        if len(str(self)) > _MAX_BYTES:  # all characters are ASCII by now
            raise MalformedSpiffeId(f"SPIFFE id is longer than {_MAX_BYTES} bytes")

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}{self.path}"

    @property
    def workload(self) -> tuple[str, str] | None:
        """The namespace and service account of `/ns/<namespace>/sa/<service account>`, None for any other path."""
        match self.path.split("/"):
            case ["", "ns", namespace, "sa", service_account]:
                return namespace, service_account
            case _:
                return None


def parse_spiffe_id(text: str) -> SpiffeId:
    """The id that `text` spells; raises `MalformedSpiffeId`."""
    if len(text) > _MAX_BYTES:
        raise MalformedSpiffeId(f"SPIFFE id is longer than {_MAX_BYTES} bytes")
    if not text.startswith(_SCHEME):
        raise MalformedSpiffeId(f"SPIFFE id {shown(text)} does not start with {_SCHEME}")
    trust_domain, slash, path = text.removeprefix(_SCHEME).partition("/")
    return SpiffeId(TrustDomain(trust_domain), slash + path)


def workload_id(trust_domain: TrustDomain | str, namespace: str, service_account: str) -> SpiffeId:
    """The identity of a service account; raises `MalformedSpiffeId` where a name is not one path segment."""
    for name in (namespace, service_account):
        if "/" in name:
            raise MalformedSpiffeId(f"name {shown(name)} contains a slash")
    domain = trust_domain if isinstance(trust_domain, TrustDomain) else TrustDomain(trust_domain)
    return SpiffeId(domain, f"/ns/{namespace}/sa/{service_account}")


def shown(text: str) -> str:
    """`text` as one bounded line that is safe in a message or a log."""
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def _path_fault(path: str) -> str:
    if not path:
        return ""
    if not path.startswith("/"):
        return "does not start with a slash"
    for segment in path[1:].split("/"):
        if not segment:
            return "has an empty segment"
        if segment in (".", ".."):
            return "has a relative segment"
        if _SEGMENT.fullmatch(segment) is None:
            return "has a segment with other characters than letters, digits, '.', '-' and '_'"
    return ""

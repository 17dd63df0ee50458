"""Host names as operators and clients write them, and how they match.

Short names mean a service in the namespace of whoever wrote them (as in Istio); wildcards are a leading `*`.
Host names are compared in lower case: DNS and HTTP authorities are case-insensitive (RFC 4343, RFC 9110 §4.2.3).
"""

from __future__ import annotations

from byway.model.names import DOMAIN_SUFFIX, service_host


def full_host(host: str, namespace: str) -> str:
    """`host` as a full name: a name without a dot is a service in `namespace`; all else stands for itself."""
    host = host.lower()
    return host if "." in host or host == "*" else service_host(host, namespace)


def matches_host(pattern: str, host: str) -> bool:
    """Whether `pattern` (exact, `*`, or `*.suffix`) covers `host`, which may itself be a pattern."""
    if pattern.startswith("*"):
        return host.endswith(pattern[1:])
    return pattern == host


def wildcards_over(host: str) -> tuple[str, ...]:
    """The wildcard patterns that cover `host`, the most specific first: `*.b.c`, `*.c`, `*`."""
    parts = host.split(".")
    return (*(f"*.{'.'.join(parts[i:])}" for i in range(1, len(parts))), "*")


def authority_parts(authority: str) -> tuple[str, int]:
    """The host and the port of an HTTP authority; port 0 where it names none, or none that can be.

    IPv6 literals keep their brackets. A trailing dot of a fully qualified name is dropped.
    """
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        return authority.lower().removesuffix("."), 0
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    return host.lower().removesuffix("."), number


def candidate_services(host: str, namespace: str) -> tuple[str, ...]:
    """The full names that a client in `namespace` may mean by `host`, the likeliest first."""
    parts = host.split(".")
    if len(parts) == 1:
        return (service_host(host, namespace), host)
    if len(parts) == 2 or (len(parts) == 3 and parts[2] == "svc"):
        return (f"{parts[0]}.{parts[1]}.svc.{DOMAIN_SUFFIX}", host)
    return (host,)


def spellings(host: str, namespace: str) -> tuple[str, ...]:
    """Every way in which a client in `namespace` may write the service `host`, sorted."""
    parts = host.split(".")
    names = {host}
    if host.endswith(f".svc.{DOMAIN_SUFFIX}") and len(parts) == 3 + DOMAIN_SUFFIX.count(".") + 1:
        name, its_namespace = parts[0], parts[1]
        names |= {f"{name}.{its_namespace}", f"{name}.{its_namespace}.svc"}
        if its_namespace == namespace:
            names.add(name)
    return tuple(sorted(names))

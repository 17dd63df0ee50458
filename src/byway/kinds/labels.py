"""Names as Kubernetes has them: labels of DNS, names and namespaces of objects, keys and values of labels.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ (RFC 1123) and …/labels/.
"""

from __future__ import annotations

import re
from typing import Final

from byway.kinds.message import Problem

MAX_LABEL: Final = 63
MAX_NAME: Final = 253
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_ALPHABET = "use lower-case letters, digits and hyphens, with a letter or digit at both ends"


def is_dns_label(value: str) -> bool:
    """Whether it is one DNS-1123 label."""
    return len(value) <= MAX_LABEL and _LABEL.fullmatch(value) is not None


def dns_label(value: str) -> Problem | None:
    """A DNS-1123 label; empty counts as absent."""
    if not value or is_dns_label(value):
        return None
    if len(value) > MAX_LABEL:
        return Problem(message=f"{shown(value)} is longer than {MAX_LABEL} characters", hint="shorten it")
    return Problem(message=f"{shown(value)} is no valid name", hint=_ALPHABET)


def dns_name(value: str) -> Problem | None:
    """A DNS-1123 subdomain: labels with dots between them, 253 characters in all."""
    if len(value) > MAX_NAME:
        return Problem(message=f"{shown(value)} is longer than {MAX_NAME} characters", hint="shorten it")
    if all(_LABEL.fullmatch(part) for part in value.split(".")):
        return None
    return Problem(
        message=f"{shown(value)} is no valid name", hint=_ALPHABET + ", or several such parts with dots between them"
    )


def optional_dns_name(value: str) -> Problem | None:
    """As `dns_name`; empty counts as absent."""
    return dns_name(value) if value else None


def label_key(value: str) -> Problem | None:
    """A label's key: a name of at most 63 characters, after an optional `domain/`."""
    prefix, slash, name = value.rpartition("/")
    if slash and (not prefix or dns_name(prefix)):
        return Problem(
            message=f"{shown(value)} has no valid domain before the slash", hint="write it as example.com/name"
        )
    if len(name) > MAX_LABEL or not _QUALIFIED.fullmatch(name):
        return Problem(
            message=f"{shown(value)} is no valid label key", hint="use letters, digits, - _ . and at most 63 characters"
        )
    return None


def label_value(value: str) -> Problem | None:
    """A label's value: at most 63 characters, or empty."""
    if not value or (len(value) <= MAX_LABEL and _QUALIFIED.fullmatch(value)):
        return None
    return Problem(
        message=f"{shown(value)} is no valid label value", hint="use letters, digits, - _ . and at most 63 characters"
    )


def gateway_name(value: str) -> Problem | None:
    """`mesh`, a Gateway's name, or `namespace/name`."""
    namespace, slash, name = value.rpartition("/")
    if (slash and not is_dns_label(namespace)) or not name or dns_name(name):
        return Problem(
            message=f"{shown(value)} is no gateway", hint='write a Gateway\'s name, "namespace/name" or "mesh"'
        )
    return None


def shown(value: str) -> str:
    """The value quoted for a message: one line, printable, not too long."""
    text = value if len(value) <= 80 else value[:77] + "…"
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text) + '"'

"""Scalars of YAML: what a plain word means.

Numbers, null and merge keys are read as Kubernetes' own reader (sigs.k8s.io/yaml, YAML 1.1) reads them: `0777` is
octal, `1_000` is a number, `1:30` and dates are text. One deliberate difference: only the spellings of true and false
are booleans. YAML 1.1 also takes `on`, `off`, `yes`, `no` (`y`, `n`); Byway keeps them as text, so that a label
`version: on` stays what was written, while a boolean field that is given `yes` is refused with a hint. So no word is
ever taken for something that Istio reads differently: one of the two refuses it.
"""

from __future__ import annotations

# errors are named for what happened, without a suffix
import math
import re
from typing import Final

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
LOOSE_BOOLEANS: Final = frozenset(
    spelling for word in ("on", "off", "yes", "no", "y", "n") for spelling in (word, word.capitalize(), word.upper())
)
"""Words that other readers take for booleans; written out, they are quoted."""
_INTEGER = re.compile(
    r"([-+]?)(?:0[bB]([01][01_]*)|0[xX]([0-9a-fA-F][0-9a-fA-F_]*)|0o?([0-7][0-7_]*)|(0|[1-9][0-9_]*))"
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]{1,6})?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MAX_DIGITS = 64

Scalar = str | int | float | bool | None


class OutOfRange(ValueError):
    """The word is a number that JSON, or 64 bits, cannot hold."""


def plain_scalar(text: str) -> Scalar:
    """What the unquoted word means; `OutOfRange` for a number that cannot be held."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in "-+.0123456789":
        return text
    integer = _INTEGER.fullmatch(text)
    if integer:
        return _integer(text, *integer.groups())
    if _NOT_FINITE.fullmatch(text):
        raise OutOfRange(text)
    if _FLOAT.fullmatch(text) and not _is_zero_led(text):
        value = float(text.replace("_", ""))
        if math.isinf(value):
            raise OutOfRange(text)
        return value
    return text


def _is_zero_led(text: str) -> bool:
    """Whether it is digits only, with a 0 before them (`08`): no octal number, and no decimal one either, so text."""
    return text.lstrip("-+").replace("_", "").isdecimal() and text.lstrip("-+")[0] == "0"


def _integer(text: str, sign: str, *digits: str | None) -> int:
    base, body = next((base, body) for base, body in zip((2, 16, 8, 10), digits, strict=True) if body is not None)
    if len(body) > _MAX_DIGITS:
        raise OutOfRange(text)
    value = int(body.replace("_", ""), base) * (-1 if sign == "-" else 1)
    if not -(2**63) <= value < 2**64:
        raise OutOfRange(text)
    return value

"""JSON from elsewhere: a file, a socket, a caller. Whatever is wrong with it is one exception.

msgspec speaks of malformed text as DecodeError, but lets the error of a byte that is no UTF-8, of a lone surrogate and of too
deep nesting through as they are: who expects only the first dies of the others. So nothing else in Byway decodes JSON.
"""

from __future__ import annotations

import functools
from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")


@overload
def decoded(raw: bytes | str) -> Any: ...
@overload
def decoded(raw: bytes | str, kind: type[T]) -> T: ...
@overload
def decoded(raw: bytes | str, kind: Any) -> Any: ...
def decoded(raw: bytes | str, kind: Any = Any) -> Any:
    """The value of type `kind` that `raw` spells; raises msgspec.DecodeError where it spells none, whatever the reason."""
    try:
        return _decoder(kind).decode(raw)
    except RecursionError as wrong:
        raise msgspec.DecodeError("JSON is nested too deeply") from wrong
    except UnicodeError as wrong:
        raise msgspec.DecodeError("JSON is not valid UTF-8") from wrong


@functools.cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)

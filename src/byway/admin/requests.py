"""What callers send: bodies and query parameters as strict values, mistakes as `UsageError`."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from starlette.requests import Request

from byway.admin.port import SourceText, Target
from byway.base.duration import parse_duration
from byway.base.errors import UsageError
from byway.base.json import decoded

B = TypeVar("B")
_Named = Annotated[str, msgspec.Meta(min_length=1)]


class ApplyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /api/apply."""

    sources: tuple[SourceText, ...]
    namespace: _Named = "default"
    dry_run: bool = False
    bake_s: Annotated[float, msgspec.Meta(ge=1, le=600)] | None = None
    keep_going: bool = False


class DeleteRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /api/delete: documents or names, not both."""

    sources: tuple[SourceText, ...] = ()
    targets: tuple[Target, ...] = ()
    namespace: _Named = "default"
    dry_run: bool = False


async def body(request: Request, kind: type[B]) -> B:
    """The request's JSON body as that struct."""
    try:
        return decoded(await request.body(), kind)
    except msgspec.DecodeError as wrong:
        raise UsageError(f"the body is not what is expected here: {wrong}") from wrong


def seconds(request: Request, name: str, default_s: float) -> float:
    """A query parameter that is a duration (`90s`, `5m`, or plain seconds)."""
    text = request.query_params.get(name, "")
    if not text:
        return default_s
    duration = parse_duration(text if not text.replace(".", "", 1).isdigit() else f"{text}s")
    if duration is None:
        raise UsageError(f"{name} must be a duration such as 60s or 5m, not {text[:40]!r}")
    return duration.seconds


def count(request: Request, name: str, default: int, most: int) -> int:
    """A query parameter that is a whole number from 1 to `most`."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise UsageError(f"{name} must be a number from 1 to {most}, not {text[:40]!r}")
    return int(text)


def flag(request: Request, name: str) -> bool:
    """A query parameter that is true or false; absent is false."""
    text = request.query_params.get(name, "false").lower()
    if text not in ("true", "false", "1", "0", ""):
        raise UsageError(f"{name} must be true or false, not {text[:40]!r}")
    return text in ("true", "1")

"""Protobuf plumbing: messages packed and serialized so that equal content gives equal bytes."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration as DurationMessage
from google.protobuf.message import Message

from byway.base.duration import Duration
from byway.xds.resource import Resource


def packed(message: Message) -> Any:
    """`message` in an Any, serialized deterministically."""
    wrapped = Any()
    wrapped.Pack(message, deterministic=True)
    return wrapped


def duration(value: Duration) -> DurationMessage:
    """The protobuf form of a duration."""
    seconds, nanos = divmod(value.nanoseconds, 1_000_000_000)
    return DurationMessage(seconds=seconds, nanos=nanos)


def seconds(value: float) -> DurationMessage:
    """The protobuf form of so many seconds."""
    return duration(Duration.of(seconds=value))


def resource(name: str, message: Message, requires: tuple[str, ...] = ()) -> Resource:
    """The resource that carries `message`."""
    wrapped = packed(message)
    return Resource.of(wrapped.type_url, name, wrapped.SerializeToString(deterministic=True), requires)

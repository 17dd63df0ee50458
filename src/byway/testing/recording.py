"""What an Envoy said on its streams of delta ADS, step by step, and the same steps done to a `FakeEnvoy`.

A step is one thing that happens to a proxy: a stream opens, a response comes, an application calls something. A recording
has for each step the requests that a real Envoy sent because of it. Freedom: names within a request are in no order, and
a refusal's text is Envoy's own. All else is compared as it is, the order of the requests of one step included.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from byway.ads.event import Requested
from byway.testing.fake_envoy import FakeEnvoy, ProtobufContent
from byway.testing.fake_proxy import sent


class Spoken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request, as far as two Envoys must agree on it."""

    type: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    nonce: str = ""
    is_refusal: bool = False

    @classmethod
    def of(cls, request: Requested) -> Spoken:
        """The request without what is free."""
        return cls(
            type=request.type_url.rpartition(".")[2],
            subscribe=tuple(sorted(request.subscribe)),
            unsubscribe=tuple(sorted(request.unsubscribe)),
            versions=dict(sorted(request.initial_versions.items())),
            nonce=request.nonce,
            is_refusal=request.error is not None,
        )


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened, and what Envoy said to it.

    `content` is a response (its bytes, in base 64), or the name called; `bad` names what is wrong with that response, so that a
    fake refuses it.
    """

    title: str
    what: Literal["stream", "response", "host", "address", "patience", "drained"]
    content: str = ""
    bad: tuple[str, ...] = ()
    said: tuple[Spoken, ...] = ()

    @property
    def without_bodies(self) -> Step:
        """What is the same in every run: a response's resources name ports."""
        return msgspec.structs.replace(self, content="") if self.what == "response" else self

    @property
    def response(self) -> bytes:
        """The response of such a step."""
        return base64.b64decode(self.content)


def replayed(steps: Iterable[Step]) -> Iterator[Step]:
    """The same steps as a `FakeEnvoy` takes them."""
    envoy = FakeEnvoy(content=ProtobufContent())
    for step in steps:
        bad = step.bad
        envoy.refuses = lambda _, name, __, bad=bad: "it is bad" if name in bad else None  # type: ignore[misc]
        said = tuple(Spoken.of(request) for request in _requests(envoy, step))
        yield msgspec.structs.replace(step, said=said)


def _requests(envoy: FakeEnvoy, step: Step) -> list[Requested]:
    match step.what:
        case "stream":
            return envoy.connect()
        case "response":
            return envoy.receive(sent(step.response))
        case "host":
            return envoy.ask_virtual_host(step.content)
        case "address":
            return envoy.ask_cluster(step.content)
        case "patience":
            return envoy.give_up_warming()
        case "drained":
            return envoy.end_draining()

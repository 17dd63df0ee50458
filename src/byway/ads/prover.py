"""What a real Envoy says to a resource, before any proxy sees it.

A resident Envoy is sent each resource in a response of its own, answers, and has it taken away again: it holds only what
is being proved, so neither its memory nor the time of a proof grows with the mesh. The removal follows at once, without
waiting for the answer, because Envoy does not acknowledge a cluster before it is warm, and here nothing ever warms.

An Envoy that dies or hangs is started again, and the proof is tried once more, now one resource after another, so that
the one to blame is known. What is then still without an answer is asked of `envoy --mode validate`. Where that has none
either, it is `Unproven`, which is not the same as refused: whoever asked decides. Listeners are to be given without a
port to bind; two proofs at a time never happen.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, TypeAlias

import msgspec

from byway.ads.dock import OUTBOUND_ROUTE, Dock, EnvoyLost, endpoints_cluster, outbound_route, route_listener
from byway.ads.resident import EnvoyNotStarted, ResidentEnvoy
from byway.ads.validation import NotValidated, refusal
from byway.base.errors import FaultError
from byway.model import names
from byway.xds.resource import Resource

START_S: Final = 15.0
ANSWER_S: Final = 5.0
N_TOGETHER: Final = 32
N_FAILURES: Final = 3  # of one proof, before the rest of it counts as unproven


class Rejection(msgspec.Struct, frozen=True):
    """Envoy refuses this resource, in its own words."""

    resource: Resource
    reason: str


class Unproven(msgspec.Struct, frozen=True):
    """Envoy gave no answer about this resource, and why."""

    resource: Resource
    reason: str


class EnvoyFailed(FaultError):
    """Envoy gave no answer."""


Finding: TypeAlias = Rejection | Unproven


class EnvoyProver:
    """Used as `async with`; Envoy starts with the first proof."""

    def __init__(self, binary: Path, *, start_s: float = START_S, answer_s: float = ANSWER_S) -> None:
        self.n_starts = 0
        self._start_s = start_s
        self._answer_s = answer_s
        self._envoy = ResidentEnvoy(binary)
        self._dock: Dock | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> EnvoyProver:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()
        await self._envoy.close()

    @property
    def pid(self) -> int | None:
        """The process id of the resident Envoy, while it runs."""
        return self._envoy.pid

    async def prove(self, resources: Sequence[Resource]) -> tuple[Finding, ...]:
        """What Envoy has against these resources; nothing if it takes them all."""
        async with self._turn:
            answers: dict[int, str | None] = {}
            numbered = list(enumerate(resources))
            with contextlib.suppress(EnvoyFailed):  # then those without an answer are tried one by one
                for start in range(0, len(numbered), N_TOGETHER):
                    await self._tried(numbered[start : start + N_TOGETHER], answers)
            failures = await self._one_by_one([(n, r) for n, r in numbered if n not in answers], answers)
            failures = await self._validated([(n, r) for n, r in numbered if n in failures], answers, failures)
            return tuple(
                Unproven(resource, failures[n]) if n in failures else Rejection(resource, str(answers[n]))
                for n, resource in numbered
                if answers.get(n, "") is not None
            )

    async def _one_by_one(
        self, resources: list[tuple[int, Resource]], answers: dict[int, str | None]
    ) -> dict[int, str]:
        """Fill in the answers that can be had; returns why the others cannot."""
        failures: dict[int, str] = {}
        for n, resource in resources:
            if len(failures) >= N_FAILURES:
                failures[n] = "Envoy failed too often"
                continue
            try:
                await self._tried([(n, resource)], answers)
            except EnvoyFailed as failed:
                failures[n] = str(failed)
        return failures

    async def _validated(
        self, resources: list[tuple[int, Resource]], answers: dict[int, str | None], failures: dict[int, str]
    ) -> dict[int, str]:
        """Fill in what a process of its own says to each; returns why the others have no answer."""
        left: dict[int, str] = {}
        for n, resource in resources:
            try:
                answers[n] = await refusal(self._envoy.binary, resource)
            except NotValidated as failed:
                left[n] = f"{failures[n]}; {failed}"
        return left

    async def _tried(self, resources: list[tuple[int, Resource]], answers: dict[int, str | None]) -> None:
        try:
            dock = await self._running()
            async with asyncio.timeout(self._answer_s):
                await self._answered(dock, resources, answers)
        except EnvoyLost:
            await self._stop()
            raise EnvoyFailed("Envoy ended while it was asked") from None
        except TimeoutError:
            await self._stop()
            raise EnvoyFailed(f"Envoy did not answer within {self._answer_s:g} s") from None

    async def _answered(
        self, dock: Dock, resources: list[tuple[int, Resource]], answers: dict[int, str | None]
    ) -> None:
        """Fill in the answers to some resources, sent without waiting in between where that is possible."""
        plain = [(n, r) for n, r in resources if r.type_url not in (names.TYPE_ROUTE, names.TYPE_ENDPOINTS)]
        sent = [(n, dock.send(r.type_url, r), dock.send(r.type_url, removed=(r.name,))) for n, r in plain]
        for n, answer, removal in sent:
            answers[n] = await answer
            await removal
        for n, resource in resources:
            if resource.type_url == names.TYPE_ROUTE:
                answers[n] = await self._route_answer(dock, resource)
            elif resource.type_url == names.TYPE_ENDPOINTS:
                answers[n] = await self._endpoints_answer(dock, resource)

    async def _route_answer(self, dock: Dock, route: Resource) -> str | None:
        if route.name == OUTBOUND_ROUTE:
            answer = await dock.send(names.TYPE_ROUTE, route)
            await dock.send(names.TYPE_ROUTE, outbound_route())
            return answer
        listener = route_listener(route.name)
        refusal = await dock.send(names.TYPE_LISTENER, listener)
        assert refusal is None, refusal
        await dock.until_asked(names.TYPE_ROUTE, route.name)
        answer = await dock.send(names.TYPE_ROUTE, route)
        await dock.send(names.TYPE_LISTENER, removed=(listener.name,))
        return answer

    async def _endpoints_answer(self, dock: Dock, endpoints: Resource) -> str | None:
        added = dock.send(names.TYPE_CLUSTER, endpoints_cluster(endpoints.name))
        await dock.until_asked(names.TYPE_ENDPOINTS, endpoints.name)
        answer = await dock.send(names.TYPE_ENDPOINTS, endpoints)
        await dock.send(names.TYPE_CLUSTER, removed=(endpoints.name,))
        await added
        return answer

    async def _running(self) -> Dock:
        if self._dock is not None and self._envoy.is_running:
            return self._dock
        await self._stop()
        self._dock = dock = Dock()
        self._envoy.socket.unlink(missing_ok=True)
        await dock.open(self._envoy.socket)
        self.n_starts += 1
        try:
            await self._envoy.start()
        except EnvoyNotStarted as error:
            raise EnvoyFailed(str(error)) from None
        ready, ended = asyncio.create_task(dock.until_ready()), asyncio.create_task(self._envoy.wait())
        try:
            await asyncio.wait({ready, ended}, timeout=self._start_s, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                words = ended.result() if ended.done() else f"it was not ready within {self._start_s:g} s"
                await self._stop()
                raise EnvoyFailed(f"the proving Envoy did not start: {words}")
        finally:
            for task in (ready, ended):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        return dock

    async def _stop(self) -> None:
        await self._envoy.stop()
        if self._dock is not None:
            await self._dock.close()
            self._dock = None

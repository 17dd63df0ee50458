"""The control plane's end of the control channel: the desk at which all agents report, are told names, and can be
asked.

Who may come to the desk is read from the client certificate: the agents' identity, on the node that the certificate
names. An agent speaks for the workloads that it reports; a second connection of the same node replaces the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import grpc
import grpc.aio
import msgspec
import structlog

from byway.agent import frames
from byway.agent.frames import Answer, Ask, Hello, Names, Report, WorkloadReport
from byway.authority.attestation import Unattested, mutual_tls_caller
from byway.base.clock import Clock
from byway.base.digest import digest
from byway.base.errors import FaultError, UsageError
from byway.identity.certificate import CertificateFacts
from byway.identity.roles import agent_id
from byway.identity.spiffe import TrustDomain

_QUEUE_LIMIT: Final = 64
_BODY_LIMIT_BYTES: Final = 128 * 1024 * 1024
_HELLO_LIMIT_S: Final = 10.0

log = structlog.get_logger(__name__)


class UnknownInstance(UsageError):
    """No connected agent runs such an instance."""


class NotAnswered(FaultError):
    """The agent did not answer, or had nothing to say but why not."""


class _Agent:
    """One connected agent."""

    def __init__(self, node: str, context: Any, certificate: CertificateFacts | None) -> None:
        self.node = node
        self.certificate = certificate
        self.context = context
        self.workloads: tuple[WorkloadReport, ...] = ()
        self.questions: dict[int, asyncio.Future[bytes]] = {}
        self.parts: dict[int, list[bytes]] = {}
        self.outbox: asyncio.Queue[Ask] = asyncio.Queue(_QUEUE_LIMIT)
        self.wake = asyncio.Event()
        self.names_version: str | None = None  # an empty table is told as well: an agent waits for its first

    def take(self, answer: Answer) -> None:
        """Collects the part of an answer, and hands the whole to whoever asked; parts nobody waits for are dropped."""
        waiting = self.questions.get(answer.id)
        if waiting is None or waiting.done():
            self.parts.pop(answer.id, None)
            return
        parts = self.parts.setdefault(answer.id, [])
        parts.append(answer.body)
        if answer.fault or answer.status != 200:
            reason = answer.fault or f"Envoy answered {answer.status}: {answer.body[:200].decode(errors='replace')}"
            waiting.set_exception(NotAnswered(reason))
        elif sum(map(len, parts)) > _BODY_LIMIT_BYTES:
            waiting.set_exception(NotAnswered("the answer is too long"))
        elif not answer.has_more:
            waiting.set_result(b"".join(parts))

    def leave(self) -> None:
        """Tells everybody who waits that no answer will come."""
        for waiting in self.questions.values():
            if not waiting.done():
                waiting.set_exception(NotAnswered(f"the agent of node {self.node} went away"))


class AgentDesk:
    """All agents of a mesh, as the control plane sees them."""

    def __init__(self, trust_domain: TrustDomain, clock: Clock) -> None:
        self._trust_domain = trust_domain
        self._clock = clock
        self._agents: dict[str, _Agent] = {}
        self._names = Names("", {})
        self._n_questions = 0
        self._changed = asyncio.Event()

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """What a gRPC server is to serve; the port must demand client certificates."""
        service, _, method = frames.METHOD.removeprefix("/").partition("/")
        return grpc.method_handlers_generic_handler(
            service, {method: grpc.stream_stream_rpc_method_handler(self._serve)}
        )

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes whose agents are connected."""
        return tuple(sorted(self._agents))

    def certificates(self) -> Mapping[str, CertificateFacts]:
        """The certificates that connected agents came with, by node; a channel may outlive its own."""
        return {node: agent.certificate for node, agent in self._agents.items() if agent.certificate}

    def publish_names(self, names: Mapping[str, str]) -> None:
        """Tells all agents the mesh's names (full name → virtual address), now and whenever one connects."""
        table = dict(names)
        self._names = Names(digest(msgspec.json.encode(sorted(table.items()))), table)
        for agent in self._agents.values():
            agent.wake.set()

    def states(self) -> Mapping[str, WorkloadReport]:
        """What connected agents last reported, by instance."""
        return {w.instance: w for agent in self._agents.values() for w in agent.workloads}

    async def changed(self) -> None:
        """Waits for the next report, arrival or departure."""
        await self._changed.wait()

    async def ask(self, instance: str, path: str, *, timeout_s: float = 10.0) -> bytes:
        """What the Envoy of `instance` answers on its admin interface; raises UnknownInstance or NotAnswered."""
        agent = next((a for a in self._agents.values() if any(w.instance == instance for w in a.workloads)), None)
        if agent is None:
            raise UnknownInstance(f"no connected agent runs {instance!r} (see `byway status`)")
        self._n_questions += 1
        question = self._n_questions
        waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        agent.questions[question] = waiting
        try:
            agent.outbox.put_nowait(Ask(id=question, instance=instance, path=path))
            agent.wake.set()
            async with asyncio.timeout(timeout_s):
                return await waiting
        except asyncio.QueueFull:
            raise NotAnswered(f"the agent of node {agent.node} is asked too much at once") from None
        except TimeoutError:
            raise NotAnswered(f"the agent of node {agent.node} did not answer in {timeout_s:g} s") from None
        finally:
            agent.questions.pop(question, None)
            agent.parts.pop(question, None)

    async def _serve(self, _: AsyncIterator[bytes], context: Any) -> None:
        try:
            caller = mutual_tls_caller(context.auth_context(), self._trust_domain, self._clock.now())
            if caller.identity != agent_id(self._trust_domain):
                raise Unattested(f"{caller.identity} is no agent")
            async with asyncio.timeout(_HELLO_LIMIT_S):
                hello = frames.from_agent(await context.read())
        except (Unattested, msgspec.DecodeError, TimeoutError, TypeError) as fault:
            log.warning("agent refused", peer=context.peer(), reason=str(fault))
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not an agent of this mesh")
        if not isinstance(hello, Hello) or hello.node != caller.node:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "the certificate names another node")
        await self._attend(_Agent(caller.node, context, caller.certificate))

    async def _attend(self, agent: _Agent) -> None:
        former = self._agents.get(agent.node)
        self._agents[agent.node] = agent
        if former is not None:
            former.context.cancel()
        self._tell_change()
        agent.wake.set()
        reading, writing = asyncio.create_task(self._read(agent)), asyncio.create_task(self._write(agent))
        try:
            done, _ = await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if isinstance(task.exception(), msgspec.DecodeError):
                    log.warning("agent sent an unreadable frame", node=agent.node, error=str(task.exception()))
        finally:
            reading.cancel()
            writing.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            agent.leave()
            if self._agents.get(agent.node) is agent:
                del self._agents[agent.node]
            self._tell_change()

    async def _read(self, agent: _Agent) -> None:
        while isinstance(content := await agent.context.read(), bytes):
            match frames.from_agent(content):
                case Report(workloads):
                    agent.workloads = workloads
                    self._tell_change()
                case Answer() as answer:
                    agent.take(answer)
                case Hello():
                    return

    async def _write(self, agent: _Agent) -> None:
        while True:
            await agent.wake.wait()
            agent.wake.clear()
            if agent.names_version != self._names.version:
                agent.names_version = self._names.version
                await agent.context.write(frames.encoded(self._names))
            while not agent.outbox.empty():
                await agent.context.write(frames.encoded(agent.outbox.get_nowait()))

    def _tell_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

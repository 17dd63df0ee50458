"""The control channel's frames: what an agent and its control plane tell each other over
`byway.agent.v1.Agent/Watch`.

One two-way stream, JSON in each message. The control plane publishes the name table and asks questions; the agent
reports the state of its workloads and answers. Long answers come in parts.
"""

from __future__ import annotations

from typing import Final

import msgspec

from byway.base.json import decoded

METHOD: Final = "/byway.agent.v1.Agent/Watch"
PART_BYTES: Final = 512 * 1024


class ProcessReport(msgspec.Struct, frozen=True, kw_only=True):
    """One process: `phase` is planned, starting, ready, backoff, draining or stopped."""

    phase: str
    pid: int = 0
    n_restarts: int = 0
    last_exit: str = ""


class WorkloadReport(msgspec.Struct, frozen=True, kw_only=True):
    """One workload instance as its agent sees it; `begins` and `expires` are its certificate's times in ISO 8601 and
    `serial` its number in hexadecimal, empty without one.

    No `envoy`: the application is a client of the mesh by its gRPC library.
    """

    instance: str
    workload: str
    namespace: str
    identity: str
    proxy_id: str
    envoy: ProcessReport | None = None
    application: ProcessReport | None = None
    begins: str = ""
    expires: str = ""
    serial: str = ""
    fault: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether it takes and does work."""
        return all(process is None or process.phase == "ready" for process in (self.envoy, self.application))


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The agent's first frame."""

    node: str
    mesh: str


class Report(msgspec.Struct, frozen=True, tag="report"):
    """The state of all workloads of the agent, at every change."""

    workloads: tuple[WorkloadReport, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag="answer"):
    """A part of the answer to a question; `fault` says why there is none."""

    id: int
    status: int = 0
    body: bytes = b""
    has_more: bool = False
    fault: str = ""


class Names(msgspec.Struct, frozen=True, tag="names"):
    """The mesh's names and their virtual addresses, whole; the version is the digest of the table."""

    version: str
    names: dict[str, str]


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask"):
    """A question about a workload's Envoy: a `GET` on its admin interface."""

    id: int
    instance: str
    path: str


FromAgent = Hello | Report | Answer
ToAgent = Names | Ask


def encoded(frame: FromAgent | ToAgent) -> bytes:
    """A frame as bytes."""
    return msgspec.json.encode(frame)


def from_agent(content: bytes) -> FromAgent:
    """The frame of an agent that `content` spells; raises msgspec.DecodeError."""
    frame: FromAgent = decoded(content, FromAgent)
    return frame


def to_agent(content: bytes) -> ToAgent:
    """The frame of a control plane that `content` spells; raises msgspec.DecodeError."""
    frame: ToAgent = decoded(content, ToAgent)
    return frame

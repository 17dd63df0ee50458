"""The control channel's frames, and answers in parts."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byway.agent import frames
from byway.agent.control import answer_parts
from byway.agent.envoy_admin import AdminAnswer
from byway.agent.frames import Ask, Hello, Names, ProcessReport, Report, WorkloadReport

REPORT = WorkloadReport(
    instance="web-1",
    workload="web",
    namespace="default",
    identity="spiffe://cluster.local/ns/default/sa/web",
    proxy_id="sidecar~10.77.0.2~web-1.default~default.svc.cluster.local",
    envoy=ProcessReport(phase="ready", pid=7),
)


def test_frames_survive_the_wire() -> None:
    """Each side reads what the other one writes, and nothing else."""
    answers = answer_parts(1, AdminAnswer(200, b"\x00\xff"))
    sent: tuple[frames.FromAgent, ...] = (Hello("here", "demo"), Report((REPORT,)), *answers)
    for frame in sent:
        assert frames.from_agent(frames.encoded(frame)) == frame
    for order in (Names("v", {"a": "b"}), Ask(id=1, instance="web-1", path="/stats")):
        assert frames.to_agent(frames.encoded(order)) == order
        with pytest.raises(msgspec.ValidationError):
            frames.from_agent(frames.encoded(order))


@given(st.integers(0, 3 * frames.PART_BYTES + 5))
def test_a_long_answer_comes_in_parts_that_add_up(n_bytes: int) -> None:
    """Only the last part says that nothing follows; an empty answer is one part."""
    body = bytes(n_bytes)
    parts = answer_parts(3, AdminAnswer(200, body))
    assert b"".join(p.body for p in parts) == body
    assert [p.has_more for p in parts] == [True] * (len(parts) - 1) + [False]


def test_an_answer_that_cannot_be_had_says_why() -> None:
    """A reason in place of a body."""
    assert [p.fault for p in answer_parts(1, "no Envoy")] == ["no Envoy"]


def test_a_workload_is_ready_when_both_its_processes_are() -> None:
    """A gateway has Envoy only."""
    assert REPORT.is_ready
    for phase, is_ready in (("ready", True), ("starting", False), ("backoff", False)):
        both = msgspec.structs.replace(REPORT, application=ProcessReport(phase=phase))
        assert both.is_ready is is_ready

"""A fake Envoy says, step by step, what a real one said. (`tests/real/ads/test_recording.py` makes that recording anew.)"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from byway.testing.recording import Step, replayed

RECORDED = msgspec.json.decode(Path(__file__).with_name("envoy.json").read_bytes(), type=tuple[Step, ...])


@pytest.mark.parametrize(
    ("recorded", "said"),
    list(zip(RECORDED, replayed(RECORDED), strict=True)),
    ids=[step.title for step in RECORDED],
)
def test_a_fake_envoy_says_what_a_real_one_said(recorded: Step, said: Step) -> None:
    assert said.said == recorded.said


def test_the_recording_has_every_kind_of_step_and_every_way_to_answer() -> None:
    assert {step.what for step in RECORDED} == {"stream", "response", "host", "address", "patience", "drained"}
    said = [spoken for step in RECORDED for spoken in step.said]
    refused = {spoken.type for spoken in said if spoken.is_refusal}
    assert refused == {"Cluster", "ClusterLoadAssignment", "Listener", "VirtualHost"}
    assert any(spoken.unsubscribe for spoken in said)
    assert any(spoken.subscribe and spoken.versions for spoken in said)

"""A real Envoy and a fake one go through the same script, and say the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from byway.testing.recording import Step, replayed
from tests.real.ads.recorded import STORED, recorded

pytestmark = pytest.mark.real


async def test_a_fake_envoy_says_what_a_real_one_says(tmp_path: Path) -> None:
    """Also what is stored is what this Envoy says."""
    steps = await recorded(tmp_path)
    told = list(replayed(steps))
    for real, fake in zip(steps, told, strict=True):
        assert fake.said == real.said, real.title
    stored = msgspec.json.decode(STORED.read_bytes(), type=tuple[Step, ...])
    assert [step.without_bodies for step in steps] == [step.without_bodies for step in stored]

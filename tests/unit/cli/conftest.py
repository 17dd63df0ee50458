"""What the command line's tests share: a recorded control plane, and `byway` run in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from textwrap import dedent

import msgspec
import pytest

from byway.cli.main import exit_code
from tests.unit.cli.recorded import RecordedControlPlane, recorded_control_plane


class Run(msgspec.Struct, frozen=True):
    """How one command line ended."""

    code: int
    out: str
    err: str


Byway = Callable[..., Run]


@pytest.fixture
def control_plane() -> Iterator[RecordedControlPlane]:
    with recorded_control_plane() as recorded:
        yield recorded


@pytest.fixture
def byway(capsys: pytest.CaptureFixture[str]) -> Byway:
    """Runs one command line; words are given as they would be typed."""

    def run(*words: str) -> Run:
        capsys.readouterr()
        code = exit_code(words)
        out, err = capsys.readouterr()
        return Run(code, out, err)

    return run


def block(text: str) -> str:
    """An indented block of expected output."""
    return dedent(text).strip("\n") + "\n"

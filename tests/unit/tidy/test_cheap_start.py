"""What a start of `byway` costs is decided by what it imports; so that is what is looked at, not a clock."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

HEAVY: Final = frozenset(
    {"grpc", "google", "envoy", "cryptography", "httpx", "uvicorn", "starlette", "asyncio", "yaml", "rich"}
)


def imported_by(statement: str) -> set[str]:
    """The top-level modules that are there after a fresh interpreter has run the statement."""
    program = f"import sys; {statement}; print('\\n' + ' '.join(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(ended.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("statement", ["import byway", "import byway.cli.main"])
def test_importing_byway_brings_in_nothing_heavy(statement: str) -> None:
    assert imported_by(statement) & HEAVY == set()


def test_the_root_help_needs_no_parser_and_no_verb() -> None:
    there = imported_by("from byway.cli.main import exit_code; exit_code(['--help'])")
    assert there & (HEAVY | {"cyclopts", "attrs"}) == set()


@pytest.mark.parametrize("verb", ["version", "status", "apply", "get", "graph", "top", "traces", "certs", "check"])
def test_no_verb_that_asks_the_control_plane_brings_in_grpc_or_envoys_messages(verb: str) -> None:
    there = imported_by(f"from byway.cli.main import exit_code; exit_code(['{verb}', '--help'])")
    assert there & {"grpc", "google", "envoy", "cryptography", "uvicorn", "starlette"} == set()

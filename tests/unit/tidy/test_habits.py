"""Habits of the house that a linter does not know."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.unit.tidy.tree import ROOT, name, python_files, syntax, text_files

# Spelled in parts, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|NotImplemented" r"Error)\b|not yet " r"implemented")
MOCKS = re.compile(r"unittest\." r"mock|Magic" r"Mock|monkey" r"patch|mark\.x" r"fail")
# Ada is who examples are about.
FOREIGN_PATHS = re.compile(r"(?<![\w.])/(work|Users|home(?!/ada/))/[\w.-]+/")


def lines(files: tuple[Path, ...], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name(file)}:{number}"
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_half_done() -> None:
    assert lines(python_files(), UNFINISHED) == []


def test_tests_use_no_mocks_and_patch_nothing() -> None:
    assert lines(python_files("tests"), MOCKS) == []


def test_no_test_sleeps() -> None:
    """A test waits for what it wants to see, with a bound; a sleep is a guess."""
    assert [f"{name(file)}:{call.lineno}" for file in python_files("tests") for call in _sleeps(syntax(file))] == []


def _sleeps(tree: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep", "sleep"}:
            is_a_yield = [ast.unparse(argument) for argument in node.args] == ["0"]
            if not is_a_yield:
                yield node


def test_no_exception_is_swallowed_unseen() -> None:
    """`except Exception: pass`, or a bare except, hides what went wrong."""
    silent = [
        f"{name(file)}:{node.lineno}"
        for file in python_files("src")
        for node in ast.walk(syntax(file))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
        and all(isinstance(statement, ast.Pass) for statement in node.body)
    ]
    assert silent == []


def test_no_path_of_one_machine_is_written_down() -> None:
    assert lines(text_files(), FOREIGN_PATHS) == []
    assert lines(text_files(), re.compile(re.escape(str(ROOT)) + r"(?![\w])")) == []


def test_importing_any_module_has_no_effect_at_its_top() -> None:
    """No module below the package starts a thread, a process or a loop, or reads the environment, when it is imported."""
    effects = re.compile(r"^(os\.environ|os\.getenv|threading\.Thread\(|subprocess\.|asyncio\.(run|get_event_loop))")
    found = []
    for file in python_files("src"):
        for statement in syntax(file).body:
            value = getattr(statement, "value", None)
            if isinstance(value, ast.Call | ast.Subscript) and effects.match(ast.unparse(value)):
                found.append(f"{name(file)}:{statement.lineno}")
    assert found == []


def test_json_is_decoded_in_one_place() -> None:
    """msgspec's own decoder raises more than its DecodeError; `byway.base.json` does not."""
    decoders = re.compile(r"msgspec\.json\.(decode\b|Decoder\b)|from msgspec\.json import")
    assert [line for line in lines(python_files("src"), decoders) if "/base/json.py:" not in line] == []

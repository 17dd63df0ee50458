"""The repository as the house checks see it: its files and their syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]
_PYTHON_ROOTS: Final = ("src", "tests", "scripts", "bench")
_TEXT_SUFFIXES: Final = frozenset({".py", ".md", ".toml", ".yaml", ".yml", ".json", ".sh", ".txt", ""})
_NOT_OURS: Final = frozenset({".git", ".venv", "__pycache__", "dist", "build"})


def python_files(*roots: str) -> tuple[Path, ...]:
    """Every Python file below these folders of the repository (all of them when none is named)."""
    return tuple(
        file
        for root in roots or _PYTHON_ROOTS
        for file in sorted((ROOT / root).rglob("*.py"))
        if not _NOT_OURS & set(file.parts)
    )


@cache
def syntax(file: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(file.read_text(), str(file))


def name(file: Path) -> str:
    """A file as it is named in a complaint: seen from the repository."""
    return str(file.relative_to(ROOT))


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file."""
    for node in ast.walk(syntax(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@cache
def text_files() -> tuple[Path, ...]:
    """Every file of the repository that people write, whatever its language."""
    found: list[Path] = []
    folders = [ROOT, ROOT / ".ci"]
    while folders:
        for entry in sorted(folders.pop().iterdir()):
            if entry.name.startswith(".") or entry.name in _NOT_OURS or entry.name.endswith(".egg-info"):
                continue
            if entry.is_dir():
                folders.append(entry)
            elif entry.suffix in _TEXT_SUFFIXES:
                found.append(entry)
    return tuple(found)

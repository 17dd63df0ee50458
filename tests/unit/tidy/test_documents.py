"""Documents say what is true: generated ones are fresh, commands exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

import pytest

from byway.cli.main import verb_app
from byway.cli.verbs import VERBS
from byway.kinds.registry import KINDS, Kind
from byway.kinds.schema import plan
from scripts.docs import documents
from tests.unit.tidy.tree import ROOT, name, text_files

MARKDOWN: Final = tuple(file for file in text_files() if file.suffix == ".md" and "news" not in file.parts)
_SHELL: Final = frozenset({"sh", "bash", "console"})
_LINK: Final = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
_TARGET: Final = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


@pytest.mark.parametrize("path", documents(), ids=name)
def test_a_generated_document_is_fresh(path: Path) -> None:
    """Otherwise: run `make docs`."""
    assert path.read_text() == documents()[path]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_of_a_kind_is_in_the_reference_of_kinds(kind: Kind) -> None:
    """What the decoder reads at the top of the spec, and what the reference lists there, are the same."""
    text = (ROOT / "docs" / "kinds.md").read_text()
    section = text.partition(f"\n## {kind.name}\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `spec\.(\w+)`", section, re.MULTILINE)) == plan(kind.spec).fields.keys()
    assert all(f"{kind.group}/{version}".strip("/") in section for version in kind.versions)


def commands(file: Path) -> Iterator[list[str]]:
    """The command lines in the shell blocks of a document: one for each part of a pipe, without prompt and comment."""
    for line in _shell_lines(file.read_text()):
        words = shlex.split(line.removeprefix("$ "), comments=True)
        for is_bar, part in groupby(words, key=lambda word: word in {"|", "&&", ";"}):
            program = list(part)
            if not is_bar and program[0] in {"byway", "make"}:
                yield program


def _shell_lines(text: str) -> Iterator[str]:
    fence: str | None = None
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            fence = line.removeprefix("```").strip() if fence is None else None
        elif fence in _SHELL:
            yield line


def test_every_byway_command_in_the_documents_is_understood() -> None:
    """Verb and options are parsed as they would be on a terminal; nothing is run."""
    verbs = {verb.name: verb for verb in VERBS}
    wrong = []
    for file in MARKDOWN:
        for words in commands(file):
            if words[0] == "byway" and len(words) > 1 and not words[1].startswith("-"):
                arguments = ["/dev/stdin" if word == "-" else word for word in words[2:]]
                try:
                    verb_app(verbs[words[1]]).parse_args(arguments)
                except Exception as error:  # noqa: BLE001 the parser has many ways to say no
                    wrong.append(f"{name(file)}: {' '.join(words)}: {error!s:.200}")
    assert wrong == []


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text()))
    used = {words[1] for file in MARKDOWN for words in commands(file) if words[0] == "make" and len(words) > 1}
    assert used <= targets
    assert {"demo", "test", "check", "bench", "docs", "setup"} <= targets


def test_every_link_between_documents_leads_somewhere() -> None:
    broken = [
        f"{name(file)}: {link}"
        for file in MARKDOWN
        for link in _LINK.findall(file.read_text())
        if not (file.parent / link).exists()
    ]
    assert broken == []


def test_the_continuous_integration_runs_what_developers_run() -> None:
    assert "make check" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "0000-index.md").read_text()
    assert [
        f.name for f in sorted(folder.glob("*.md")) if f.name != "0000-index.md" and f"({f.name})" not in index
    ] == []


def test_every_package_is_on_the_code_map() -> None:
    code_map = (ROOT / "ARCHITECTURE.md").read_text()
    packages = [p.name for p in sorted((ROOT / "src" / "byway").iterdir()) if (p / "__init__.py").exists()]
    assert [package for package in packages if f"`{package}/`" not in code_map] == []


def test_news_fragments_are_named_by_issue_and_kind() -> None:
    fragments = [f.name for f in (ROOT / "news").iterdir() if f.name != "README.md"]
    assert [f for f in fragments if not re.fullmatch(r"\d+\.(feature|bugfix|removal|doc|misc)\.md", f)] == []

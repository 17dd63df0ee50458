"""The resource files that `-f` names: all of them are read before anything is sent."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from byway.admin.port import SourceText
from byway.cli.wording import FileError
from byway.kinds.document import MAX_BYTES

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
STDIN: Final = "/dev/stdin"


def source_texts(paths: Sequence[str]) -> tuple[SourceText, ...]:
    """The texts of files, of the resource files right in folders, and of the standard input; each file once."""
    texts, seen = [], set()
    for path in paths:
        if path == STDIN:
            texts.append(SourceText("<stdin>", _decoded("<stdin>", sys.stdin.buffer.read(MAX_BYTES + 1))))
            continue
        for file in _files(Path(path)):
            if (real := file.resolve()) not in seen:
                seen.add(real)
                texts.append(SourceText(str(file), _text(file)))
    return tuple(texts)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    try:
        found = sorted(child for child in path.iterdir() if child.suffix in SUFFIXES and child.is_file())
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error
    if not found:
        raise FileError(f"{path}: no *.yaml, *.yml or *.json in this folder (name the files, or another folder)")
    yield from found


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return _decoded(str(file), stream.read(MAX_BYTES + 1))
    except FileNotFoundError as error:
        raise FileError(f"{file}: no such file") from error
    except OSError as error:
        raise FileError(f"{file}: {error.strerror}") from error


def _decoded(name: str, content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise FileError(f"{name}: larger than {MAX_BYTES // 1024 // 1024} MiB (split it)")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        raise FileError(f"{name}:{line}:{column}: not UTF-8 text (is it a resource file?)") from error

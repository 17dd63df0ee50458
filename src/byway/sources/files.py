"""Files: a folder of YAML as a source. It is written with an editor (or git), and read here.

The folder is looked at when somebody loads it, and regularly while somebody watches. A file that cannot be read keeps
what was last read from it: what is invalid is not absent. Hidden files and folders are left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from byway.base.diagnostics import Diagnostic, Position
from byway.kinds.decode import decode, resource_id
from byway.kinds.document import MAX_BYTES, Document
from byway.kinds.resource import ResourceId
from byway.kinds.text import documents
from byway.sources.admission import addresses, admitted, identified
from byway.sources.errors import CommitRefused, ReadOnlySource, StoreFault
from byway.sources.history import Bell, History
from byway.sources.source import Batch, Change, Put, Remove, Snapshot

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_MAX_FILES: Final = 10_000


class _File(msgspec.Struct, frozen=True):
    """What a file held when it last was sound, and what was wrong with it since."""

    signature: tuple[int, int, int]
    documents: tuple[Document, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


class FileSource:
    """A `Source` that mirrors a folder; `interval_s` is how often it looks while it is watched."""

    def __init__(self, folder: Path, *, interval_s: float = 1.0) -> None:
        self._folder = folder
        self._interval_s = interval_s
        self._files: dict[Path, _File] = {}
        self._documents: dict[ResourceId, Document] = {}
        self._diagnostics: tuple[Diagnostic, ...] = ()
        self._revision = 0
        self._history = History(0)
        self._bell = Bell()
        self._lock = asyncio.Lock()

    async def load(self) -> Snapshot:
        """Everything, as the folder is now."""
        await self.refresh()
        found = tuple(document for _, document in sorted(self._documents.items()))
        return Snapshot(self._revision, found, self._diagnostics)

    async def commit(self, changes: Sequence[Change], *, expected: int | None = None) -> int:
        """Always `ReadOnlySource`."""
        raise ReadOnlySource(f"{self._folder} is read only: change its files, and Byway follows")

    async def watch(self, since: int) -> AsyncGenerator[Batch, None]:
        """Every change after `since`; see `Source.watch`."""
        while not self._bell.is_closed:
            heard = self._bell.heard()
            batch = self._history.next_after(since)
            if batch is None:
                await self._rung(heard)
            else:
                yield batch
                since = batch.revision

    async def close(self) -> None:
        """Watchers end."""
        self._bell.close()

    async def refresh(self) -> None:
        """Look at the folder now; one revision for everything that is new."""
        async with self._lock:
            self._files = await asyncio.to_thread(_read, self._folder, self._files)
            wanted, self._diagnostics = _united(self._files, addresses(tuple(self._documents.values())))
            changes: list[Change] = [Remove(key) for key in self._documents if key not in wanted]
            changes += [Put(document) for key, document in wanted.items() if self._documents.get(key) != document]
            if changes:
                self._documents = wanted
                self._revision += 1
                self._history.append(self._revision, changes)
                self._bell.ring()

    async def _rung(self, heard: asyncio.Event) -> None:
        """Wait for the bell, at most an interval, then look for oneself."""
        try:
            await asyncio.wait_for(heard.wait(), self._interval_s)
        except TimeoutError:
            await self.refresh()


def _read(folder: Path, before: dict[Path, _File]) -> dict[Path, _File]:
    """Every file, anew only if it changed."""
    try:
        paths = sorted(_paths(folder))
    except OSError as error:
        raise StoreFault(f"{folder}: {error.strerror}: check that the folder exists and may be read") from error
    if len(paths) > _MAX_FILES:
        raise StoreFault(f"{folder}: more than {_MAX_FILES} files: use a folder of its own for the mesh")
    return {path: _file(path, before.get(path)) for path in paths}


def _paths(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _paths(path)
        elif path.suffix in _SUFFIXES and path.is_file():
            yield path


def _file(path: Path, before: _File | None) -> _File:
    sound = before.documents if before else ()
    try:
        status = path.stat()
        signature = (status.st_mtime_ns, status.st_size, status.st_ino)
        if before and before.signature == signature:
            return before
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        diagnostic = Diagnostic(code="unreadable-file", message=problem, position=Position(str(path), 1, 1))
        return _File((0, 0, 0), sound, (diagnostic,))
    found = documents(content, str(path))
    return _File(signature, sound if found.has_errors else found.value, found.diagnostics)


def _united(
    files: dict[Path, _File], taken: dict[ResourceId, str]
) -> tuple[dict[ResourceId, Document], tuple[Diagnostic, ...]]:
    """The documents of all files by id, addresses assigned; the first of two with one id counts."""
    wanted: dict[ResourceId, Document] = {}
    diagnostics: list[Diagnostic] = []
    for file in files.values():
        diagnostics += file.diagnostics
        for document in file.documents:
            identifier = resource_id(document)
            if identifier is None:
                diagnostics += decode(document).diagnostics
            elif identifier in wanted:
                diagnostics.append(_twice(identifier, document, wanted[identifier]))
            else:
                wanted[identifier] = document
    return _addressed(wanted, taken, diagnostics)


def _twice(identifier: ResourceId, document: Document, first: Document) -> Diagnostic:
    message = f"{identifier} is there twice; the one at {first.position('')} counts"
    return Diagnostic(
        code="duplicate-resource",
        message=message,
        position=document.position(""),
        hint="remove one",
        subject=str(identifier),
    )


def _addressed(
    wanted: dict[ResourceId, Document], taken: dict[ResourceId, str], diagnostics: list[Diagnostic]
) -> tuple[dict[ResourceId, Document], tuple[Diagnostic, ...]]:
    gone = [Remove(key) for key in taken if key not in wanted]
    while True:
        try:
            admission = admitted([*gone, *(Put(document) for document in wanted.values())], taken)
        except CommitRefused as refusal:
            # A Service that is refused is left out; each round leaves out at least one, so this ends.
            diagnostics += refusal.diagnostics
            refused = {diagnostic.subject for diagnostic in refusal.diagnostics}
            wanted = {key: document for key, document in wanted.items() if str(key) not in refused}
            continue
        puts = [change.document for change in admission.changes if isinstance(change, Put)]
        return {identified(document): document for document in puts}, tuple(diagnostics)

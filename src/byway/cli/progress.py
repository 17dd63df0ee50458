"""A sign of life on the terminal, for whatever takes longer than a second."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import Final, Self, TextIO

PATIENCE_S: Final = 1.0


class Progress:
    """While it is entered, shows what is waited for and since when; shows nothing where stderr is no terminal."""

    def __init__(self, waiting_for: str, stream: TextIO | None = None, *, patience_s: float = PATIENCE_S) -> None:
        self._waiting_for = waiting_for
        self._stream = stream or sys.stderr
        self._patience_s = patience_s
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._stream.isatty():
            self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        if self._thread:
            self._thread.join()

    def _tick(self) -> None:
        n_seconds = 0
        while not self._is_over.wait(self._patience_s):
            n_seconds += 1
            self._stream.write(f"\r\x1b[K{self._waiting_for} … {n_seconds} s")
            self._stream.flush()
        if n_seconds:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

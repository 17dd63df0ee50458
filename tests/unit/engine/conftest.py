from __future__ import annotations

import pytest

from byway.engine import Database, Event


class Log:
    """A database and the events that it reports, as sentences."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.db = Database(on_event=self.events.append)

    def take(self) -> list[str]:
        """The events since the last call."""
        taken = [str(event) for event in self.events]
        self.events.clear()
        return taken

    def work(self) -> list[str]:
        """The runs since the last call, without what was only reused."""
        return [line for line in self.take() if line.startswith("will compute")]


@pytest.fixture
def log() -> Log:
    return Log()

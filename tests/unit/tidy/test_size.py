"""The size budget: whatever is long hides more than one noun. Exceptions are listed here, and only ever removed."""

from __future__ import annotations

from typing import Final

from tests.unit.tidy.tree import functions, name, python_files

FILE_LINES: Final = 400
FUNCTION_LINES: Final = 40
LONG_FILES: Final[frozenset[str]] = frozenset()
LONG_FUNCTIONS: Final[frozenset[str]] = frozenset()


def test_no_file_is_longer_than_the_budget() -> None:
    long = {name(file) for file in python_files() if len(file.read_text().splitlines()) > FILE_LINES}
    assert long == LONG_FILES


def test_no_function_is_longer_than_the_budget() -> None:
    long = {
        f"{name(file)}:{function.name}"
        for file in python_files()
        for function in functions(file)
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES
    }
    assert long == LONG_FUNCTIONS

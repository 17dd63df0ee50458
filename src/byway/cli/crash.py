"""What is left of a mistake of Byway's own: a file with the traceback, and one line that says where it is."""

from __future__ import annotations

import os
import platform
import tempfile
import traceback
from collections.abc import Sequence

import byway


def crash_report(error: Exception, arguments: Sequence[str]) -> str:
    """Writes the traceback to a file of its own and answers the line for the user."""
    headline = " ".join(f"{type(error).__name__}: {error}".split())
    try:
        with tempfile.NamedTemporaryFile("w", prefix="byway-crash-", suffix=".log", delete=False) as report:
            report.write(f"byway {byway.__version__}, Python {platform.python_version()}, {platform.platform()}\n")
            report.write(f"verb: {next(iter(arguments), '')}, process {os.getpid()}\n\n")  # arguments may hold secrets
            report.writelines(traceback.format_exception(error))
    except OSError as unwritable:
        why = unwritable.strerror
        return f"stopped by a mistake of its own: {headline} (and its traceback could not be written: {why})"
    return f"stopped by a mistake of its own: {headline} (please report it with {report.name})"

"""Printing data: as a table for people, as JSON or YAML for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from byway.cli.options import Format


def show(data: Any, output: Format, table: Callable[[], str]) -> None:
    """Prints `data` as `output` asks; the table is only made when it is wanted."""
    if output == "json":
        sys.stdout.write(json_text(data) + "\n")
    elif output == "yaml":
        sys.stdout.write(yaml_text(data))
    elif text := table():
        sys.stdout.write(text.rstrip("\n") + "\n")


def json_text(data: Any) -> str:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode()


def yaml_text(data: Any) -> str:
    """YAML in block style, keys in the order they came."""
    import yaml

    plain = msgspec.to_builtins(data)
    text: str = yaml.dump(plain, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return text


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns with three spaces between them, as kubectl and istioctl print theirs."""
    widths = [max(len(line[at]) for line in (headers, *rows)) for at in range(len(headers))]
    lines = (
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (headers, *rows)
    )
    return "\n".join(line.rstrip() for line in lines)

"""Writes the documents that are made from the code (`make docs`); a tidy test checks that they are fresh."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from scripts.diagnostic_codes import Finding, findings
from scripts.kinds_reference import kinds_reference

ROOT = Path(__file__).resolve().parent.parent
_SEVERITIES = ("error", "warning", "info")
_EXAMPLES = 6


def documents() -> Mapping[Path, str]:
    """Each generated document's path and what should stand in it."""
    return {
        ROOT / "docs" / "cli.md": cli_reference(),
        ROOT / "docs" / "decisions" / "0000-index.md": decisions_index(ROOT / "docs" / "decisions"),
        ROOT / "docs" / "diagnostics.md": diagnostics_reference(findings(ROOT / "src" / "byway")),
        ROOT / "docs" / "kinds.md": kinds_reference(),
    }


def cli_reference() -> str:
    """The reference of the command line, verb by verb."""
    from byway.cli.main import verb_app
    from byway.cli.verbs import GROUPS, VERBS

    parts = [_CLI_HEAD]
    for group in GROUPS:
        members = [verb for verb in VERBS if verb.group == group]
        parts.append(f"## {group}\n")
        for verb in members:
            generated = verb_app(verb).generate_docs(output_format="markdown")
            body = generated.split("```", 2)[2].replace(f"byway {verb.name} {verb.name}", f"byway {verb.name}")
            parts.append(f"### byway {verb.name}\n\n{body.strip()}\n")
    return "\n".join(parts)


def diagnostics_reference(found: tuple[Finding, ...]) -> str:
    """The reference of the diagnostics, code by code."""
    parts = [_DIAGNOSTICS_HEAD]
    for code, group in groupby(sorted(found, key=lambda finding: finding.code), key=lambda finding: finding.code):
        members = list(group)
        severities = sorted({finding.severity for finding in members} & set(_SEVERITIES), key=_SEVERITIES.index)
        rooms = sorted({finding.file.split("/")[0] for finding in members})
        parts.append(f"## {code}\n\n{' or '.join(severities).capitalize()}, found by `{'`, `'.join(rooms)}`.\n")
        examples = dict.fromkeys((f.message, f.hint) for f in members if f.message)
        parts += [f"- {_example(*example)}" for example in list(examples)[:_EXAMPLES]]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _example(message: str, hint: str) -> str:
    message = f"… {message}" if message.startswith("is ") else message
    return f"`{message.replace('`', chr(39))}`" + (f" → {hint}" if hint.strip("… ") else "")


def decisions_index(folder: Path) -> str:
    """The list of the decisions, by number."""
    parts = [_DECISIONS_HEAD]
    for file in sorted(folder.glob("[0-9]*.md")):
        title = file.read_text().partition("\n")[0].removeprefix("# ")
        if not file.name.startswith("0000-"):
            parts.append(f"- [{file.name[:4]}]({file.name}): {title}")
    return "\n".join(parts) + "\n"


_CLI_HEAD = """# The command line

Made from the code by `make docs`.

Every verb exits with 0 when it has done what it was asked, 1 when that failed, and 2 when the command line is wrong.
Errors go to the standard error, one a line, as `file:line:column: what is wrong (what to do)`. `-o json` and `-o yaml`
print the data for programs; the tables are for people and may change.
"""

_DECISIONS_HEAD = """# Decisions

Made from the files beside it by `make docs`.

What closes a door, and why. A decision is not edited after the fact; a later one replaces it and says so.
"""

_DIAGNOSTICS_HEAD = """# Diagnostics

Made from the code by `make docs`.

What Byway says about resources. Each line on the terminal ends with one of these codes; they are stable, so scripts can
rely on them. An error refuses the resource (and all files of the same `apply`); a warning or a note does not. `…` stands for
what is filled in.
"""


def main() -> None:
    """Writes every generated document that is not fresh."""
    for path, text in documents().items():
        is_fresh = path.exists() and path.read_text() == text
        if not is_fresh:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        print(f"{path.relative_to(ROOT)}: {'fresh' if is_fresh else 'written'}")


if __name__ == "__main__":
    main()

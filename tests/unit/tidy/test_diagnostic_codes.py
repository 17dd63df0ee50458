"""Diagnostics are part of the contract: their codes are stable words, and each is documented."""

from __future__ import annotations

import re

from scripts.diagnostic_codes import KEBAB, findings
from tests.unit.tidy.tree import ROOT

FOUND = findings(ROOT / "src" / "byway")


def test_codes_are_found_at_all() -> None:
    codes = {finding.code for finding in FOUND}
    assert {"unknown-field", "invalid-value"} <= codes


def test_every_code_is_kebab_case() -> None:
    assert [f"{finding.file}: {finding.code}" for finding in FOUND if not KEBAB.fullmatch(finding.code)] == []


def test_every_code_has_a_line_in_the_documentation_and_none_is_left_over() -> None:
    documented = re.findall(r"^## (\S+)$", (ROOT / "docs" / "diagnostics.md").read_text(), re.MULTILINE)
    assert documented == sorted({finding.code for finding in FOUND})


def test_messages_begin_in_lower_case_and_end_without_a_full_stop() -> None:
    """Names of fields and kinds keep their own spelling; a sentence does not begin with a capital."""
    loud = re.compile(r"(The|A|An|No|This|Field|Unknown|Invalid|Missing|Cannot)\b.*|.*[^.…]\.")
    assert [f"{finding.file}: {finding.message}" for finding in FOUND if loud.fullmatch(finding.message)] == []

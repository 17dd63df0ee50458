"""Names and docstrings: a module is one noun that a reader would look for, and says in a sentence what it is."""

from __future__ import annotations

import ast
import re
from typing import Final

from tests.unit.tidy.tree import functions, name, python_files, syntax

EMPTY_NAMES: Final = frozenset(
    {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handler", "core", "base_utils"}
)
EMPTY_VERBS: Final = re.compile(r"_*(get|compute|do|handle)_")
# Names that another library calls, not ours to choose.
CALLED_BY_OTHERS: Final = frozenset({"do_GET", "do_POST", "handle_error"})


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [name(f) for f in python_files("src") if {f.stem, f.parent.name} & EMPTY_NAMES] == []


def test_every_module_opens_with_what_it_is() -> None:
    assert [name(f) for f in python_files("src", "scripts") if not ast.get_docstring(syntax(f))] == []


def test_every_public_class_and_function_of_the_package_says_what_it_is() -> None:
    silent = [
        f"{name(file)}:{node.name}"
        for file in python_files("src")
        for node in syntax(file).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and "overload" not in map(ast.unparse, node.decorator_list)
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_functions_are_named_for_what_they_return_or_do() -> None:
    vague = [
        f"{name(file)}:{function.name}"
        for file in python_files("src")
        for function in functions(file)
        if EMPTY_VERBS.match(function.name) and function.name not in CALLED_BY_OTHERS
    ]
    assert vague == []


def test_every_test_file_says_what_it_claims() -> None:
    tests = [f for f in python_files("tests") if f.name.startswith("test_")]
    assert [name(f) for f in tests if not ast.get_docstring(syntax(f))] == []

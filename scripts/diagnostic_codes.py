"""The diagnostic codes of Byway, read from its source: every call that makes a finding, with the code it names.

A code is given by keyword (`code="unknown-field"`), by position to a function or class of the same module that has a
parameter named `code`, or as a struct's default.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

Defaults: TypeAlias = Mapping[str, Mapping[str, ast.expr]]
KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Finding(NamedTuple):
    """One place where a finding with that code is made; texts are templates with `…` for what is filled in."""

    code: str
    severity: str
    message: str
    hint: str
    file: str


def findings(source: Path) -> tuple[Finding, ...]:
    """Every finding that code below `source` can make, in the order of files and lines."""
    trees = {
        str(file.relative_to(source)): ast.parse(file.read_text(), str(file)) for file in sorted(source.rglob("*.py"))
    }
    defaults = {name: said for tree in trees.values() for name, said in _struct_defaults(tree)}
    found: dict[tuple[str, int, int], Finding] = {}
    for file, tree in trees.items():
        for call, finding in _module_findings(tree, defaults, file):
            found[file, call.lineno, call.col_offset] = finding
    return tuple(found.values())


def _struct_defaults(tree: ast.Module) -> Iterator[tuple[str, Mapping[str, ast.expr]]]:
    """The structs that have a code of their own, with it and the severity that goes with it."""
    for node in ast.walk(tree):
        fields = node.body if isinstance(node, ast.ClassDef) else ()
        said = {_name(f.target): f.value for f in fields if isinstance(f, ast.AnnAssign) and f.value is not None}
        if isinstance(said.get("code"), ast.Constant):
            yield _name(node), {name: value for name, value in said.items() if name in ("code", "severity")}


def _module_findings(tree: ast.Module, defaults: Defaults, file: str) -> Iterator[tuple[ast.Call, Finding]]:
    takers = _code_takers(tree)
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef):
            for node in ast.walk(scope):
                if isinstance(node, ast.Call) and (finding := _call_finding(node, takers, defaults, scope, file)):
                    yield node, finding


def _code_takers(tree: ast.Module) -> dict[str, list[str]]:
    """Functions and classes of the module with a parameter `code`: their parameters' names in order, without self."""
    takers: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    takers[node.name] = [a.arg for a in method.args.args[1:]]
        elif isinstance(node, ast.FunctionDef) and node.name != "__init__":
            names = [a.arg for a in node.args.args]
            takers[node.name] = names[1:] if names[:1] in (["self"], ["cls"]) else names
    return {name: names for name, names in takers.items() if "code" in names}


def _call_finding(
    call: ast.Call, takers: Mapping[str, list[str]], defaults: Defaults, scope: ast.FunctionDef, file: str
) -> Finding | None:
    callee = _name(call.func)
    arguments = dict(defaults.get(callee, {}))
    arguments |= dict(zip(takers.get(callee, ()), call.args, strict=False))
    arguments |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    code = arguments.get("code")
    if not (isinstance(code, ast.Constant) and isinstance(code.value, str)):
        return None
    texts = _assigned_texts(scope, call.lineno)
    words = {name: _template(value, texts) for name, value in arguments.items()}
    severity = "warning" if callee == "_warning" else _name(arguments.get("severity")).lower() or "error"
    return Finding(code.value, severity, words.get("message") or words.get("text", ""), words.get("hint", ""), file)


def _assigned_texts(scope: ast.FunctionDef, before: int) -> dict[str, str]:
    """What the names of the function were last given, above that line."""
    assigned = [node for node in ast.walk(scope) if isinstance(node, ast.Assign) and len(node.targets) == 1]
    above = sorted((node for node in assigned if node.lineno < before), key=lambda node: node.lineno)
    return {_name(node.targets[0]): _template(node.value, {}) for node in above}


def _template(node: ast.expr, texts: Mapping[str, str]) -> str:
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_template(part, {}) if isinstance(part, ast.Constant) else "…" for part in parts)
        case ast.Name(id=name):
            return texts.get(name, "")
        case ast.BinOp(left=left, right=right):
            return _template(left, texts) + _template(right, texts)
        case _:
            return ""


def _name(node: ast.AST | None) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.ClassDef(name=name):
            return name
        case _:
            return ""

"""The verbs of `byway`, as data: the root help is printed from here, so no verb's module is imported before it is
called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple


class Verb(NamedTuple):
    """One verb: the module `byway.cli.<name>` holds it in a function `command`."""

    name: str
    summary: str
    group: str

    def function(self) -> Callable[..., Any]:
        """The function that does it; imports its module."""
        from importlib import import_module

        command: Callable[..., Any] = import_module(f"byway.cli.{self.name.replace('-', '_')}").command
        return command


_RUN: Final = "Run a mesh"
_STEER: Final = "Steer it"
_SEE: Final = "See it"
_MEND: Final = "Mend it"

GROUPS: Final = (_RUN, _STEER, _SEE, _MEND)

VERBS: Final = (
    Verb("demo", "Run the packaged fleet of 20 services under load, until Ctrl-C.", _RUN),
    Verb("up", "Run a mesh of your own local processes, described in one file, until Ctrl-C.", _RUN),
    Verb("down", "Stop a local mesh and clean up whatever it left on this machine.", _RUN),
    Verb("plan", "Write the agent's plan of a mesh file, and print the mesh's resources.", _RUN),
    Verb("serve", "Run the control plane alone.", _RUN),
    Verb("agent", "Run this host's agent alone.", _RUN),
    Verb("apply", "Create or change resources, and wait until the fleet holds them.", _STEER),
    Verb("delete", "Delete resources, by file or by name.", _STEER),
    Verb("get", "Show resources as they were applied.", _STEER),
    Verb("analyze", "Find mistakes in resource files before they are applied.", _STEER),
    Verb("exec", "Run a command as a workload's application would run it.", _STEER),
    Verb("grpc-bootstrap", "Print the bootstrap of a workload's gRPC client, which then needs no Envoy.", _STEER),
    Verb("status", "Show every proxy: identity, certificate, configuration in sync or not, last error.", _SEE),
    Verb("proxy-config", "Show what a workload's Envoy really holds.", _SEE),
    Verb("top", "Show the golden signals of every service.", _SEE),
    Verb("graph", "Show who calls whom, how often, how fast, and with how many errors.", _SEE),
    Verb("traces", "Show recent traces, or one trace as a tree.", _SEE),
    Verb("certs", "Show the certificates in use and when they expire.", _SEE),
    Verb("debug", "Show the inside of the running control plane.", _MEND),
    Verb("check", "Check this machine and the running mesh, and say how to mend what is wrong.", _MEND),
    Verb("version", "Show the versions of Byway, Envoy and the running control plane.", _MEND),
)


def root_help() -> str:
    """What `byway --help` prints."""
    lines = [
        "Usage: byway VERB [ARGUMENTS]",
        "",
        "A service mesh with Envoy as its data plane. `byway demo` shows it at work.",
    ]
    for group in GROUPS:
        lines += ["", f"{group}:"]
        lines += [f"  {verb.name:<16}{verb.summary}" for verb in VERBS if verb.group == group]
    lines += ["", "`byway VERB --help` explains a verb. Exit codes: 0 done, 1 failed, 2 wrong usage."]
    return "\n".join(lines)


def unknown_verb(word: str) -> str:
    """The complaint about a verb that there is not, with the one that was probably meant."""
    from difflib import get_close_matches

    close = get_close_matches(word, [verb.name for verb in VERBS], n=1)
    return f"there is no verb `{word}` ({f'did you mean `{close[0]}`?' if close else 'see: byway --help'})"

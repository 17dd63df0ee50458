"""The entry point: which verb is called, and what becomes of its outcome.

Importing it must stay cheap, since every call of `byway` pays for it: the root help is printed from `verbs`, a
verb's module is imported when it is called, and gRPC, protobuf and httpx only where they are needed. A verb returns
its exit code (None means 0); what it raises on purpose is one line on stderr; anything else is a mistake of Byway's
own, written to a file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from byway.base.errors import BywayError
from byway.cli.verbs import VERBS, Verb, root_help, unknown_verb
from byway.cli.wording import FileError, WrongUsageError

if TYPE_CHECKING:
    from cyclopts import App

EXIT_FAILED: Final = 1
EXIT_WRONG_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_PIPE_CLOSED: Final = 141


def exit_code(arguments: Sequence[str]) -> int:
    """Runs one command line and answers the code that the process should exit with."""
    try:
        outcome = _outcome(list(arguments))
        sys.stdout.flush()
        return outcome or 0
    except FileError as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    except WrongUsageError as error:
        return _complain(str(error), EXIT_WRONG_USAGE)
    except BywayError as error:
        return _complain(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 the crash guard: a user never sees a traceback
        from byway.cli.crash import crash_report

        return _complain(crash_report(error, arguments), EXIT_FAILED)


def _complain(message: str, code: int) -> int:
    print(f"byway: {message}", file=sys.stderr)
    return code


def _outcome(arguments: list[str]) -> int | None:
    first = arguments[0] if arguments else "--help"
    if first in {"--help", "-h", "help"} and len(arguments) < 2:
        print(root_help())
        return 0
    if first == "help":
        first, arguments = arguments[1], [*arguments[1:], "--help"]
    if first == "--version":
        first, arguments = "version", ["version", *arguments[1:]]
    verb = next((verb for verb in VERBS if verb.name == first), None)
    if verb is None:
        raise WrongUsageError(unknown_verb(first))
    return _called(verb, arguments[1:])


def _called(verb: Verb, arguments: list[str]) -> int | None:
    from cyclopts import CycloptsError

    try:
        outcome = verb_app(verb)(_with_standard_input(arguments))
    except CycloptsError as error:
        raise WrongUsageError(_usage_message(str(error), verb)) from error
    return outcome if isinstance(outcome, int) else None


def _with_standard_input(arguments: list[str]) -> list[str]:
    """Spells a lone `-` as the file it stands for, since the parser would take it for an option; not after `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return ["/dev/stdin" if word == "-" else word for word in arguments[:end]] + arguments[end:]


def verb_app(verb: Verb) -> App:
    """The parser of one verb's own arguments; imports the verb's module."""
    from cyclopts import App

    app = App(
        name=f"byway {verb.name}",
        help_format="plaintext",
        help_formatter="plain",
        version_flags=(),
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    app.default(verb.function())
    return app


def _usage_message(sentence: str, verb: Verb) -> str:
    words = " ".join(sentence.split()).rstrip(".")
    return f"{verb.name}: {words[:1].lower()}{words[1:]} (see: byway {verb.name} --help)"


def main() -> None:
    """Runs `byway` with the arguments of this process."""
    sys.exit(exit_code(sys.argv[1:]))


if __name__ == "__main__":
    main()

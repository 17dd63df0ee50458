"""`byway exec`: this process becomes the command, where the workload's application lives."""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import Parameter

from byway.base.errors import FaultError, UsageError
from byway.cli.options import State
from byway.cli.state import running_state
from byway.cli.wording import WrongUsageError
from byway.cli.workload import is_running, planned


def command(
    workload: str,
    /,
    *words: Annotated[str, Parameter(allow_leading_hyphen=True, help="The command and its arguments, after `--`.")],
    state: State = None,
) -> None:
    """Run a command as a workload's application would run it.

    The command runs in the workload's network namespace, with its interception, resolver, user and environment, so
    what it calls goes through the workload's Envoy: `byway exec web -- curl http://link-service:8080/version`. The
    exit code is the command's.

    Parameters
    ----------
    workload
        The name of a workload (its first instance is meant), of a service, or of an instance, with or without `.NAMESPACE`.
    """
    if not words:
        raise WrongUsageError("exec: say what to run: byway exec WORKLOAD -- CMD…")
    from byway.agent.exec import exec_command
    from byway.agent.layout import Layout
    from byway.agent.plan import read_plan

    folder = running_state(state)
    layout = Layout(folder)
    try:
        plan = read_plan(layout.plan)
        instance = planned(plan, workload).instance
        if not is_running(layout, instance):
            raise UsageError(f"the mesh {plan.mesh} is not running (start it with {_start(plan.mesh, state)})")
        line = exec_command(plan, instance, words, layout)
        os.execvp(line[0], line)  # noqa: S606 the user's own command, and no shell
    except PermissionError as error:
        raise FaultError(f"the mesh in {folder} is another user's (run this with sudo)") from error
    except OSError as error:
        raise FaultError(f"cannot run {words[0]}: {error.strerror}") from error


def _start(mesh: str, state: str | None) -> str:
    from byway.cli.demo import MESH

    return f"`byway {'demo' if mesh == MESH else 'up'}{f' --state {state}' if state else ''}`"

"""`byway exec`: a command as the workload's application would run it, in its namespace, with its resolver, user and
environment.
"""

from __future__ import annotations

from byway.agent import surroundings
from byway.agent.layout import Layout
from byway.agent.plan import Plan
from byway.base.errors import UsageError


def exec_command(plan: Plan, instance: str, argv: tuple[str, ...] | list[str], layout: Layout) -> list[str]:
    """The command line that runs `argv` as the application of `instance` (an instance's or a workload's name)."""
    if not argv:
        raise UsageError("no command to run (byway exec WORKLOAD -- CMD…)")
    workload = plan.workload(instance)
    return surroundings.application(plan, workload, layout.workload(workload.instance), tuple(argv)).command()

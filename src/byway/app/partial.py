"""Partial: what becomes of a change of which some objects may not stand: all of it is refused, or they are left out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from byway.admin.port import Change as Reported
from byway.admin.port import Outcome
from byway.app.proposal import Judged, LeftOut
from byway.base.diagnostics import Diagnostic, Severity
from byway.kinds.resource import Resource, ResourceId
from byway.world.change import Change

_MOST_NAMED: Final = 10


def answered(
    diagnostics: tuple[Diagnostic, ...], changes: tuple[Reported, ...], verdict: Judged, *, keep_going: bool
) -> Outcome:
    """The answer to a write as it was judged, before anything is done."""
    is_wrong = any(d.severity is Severity.ERROR for d in diagnostics)
    told = reported(changes, verdict.left_out)
    stands = verdict.is_sound_without_left_out and any(change.action != "left out" for change in told)
    if is_wrong and not (keep_going and stands):
        return Outcome(diagnostics=(*diagnostics, *others_fine(verdict.change)))
    return Outcome(diagnostics=diagnostics, changes=told, is_partial=is_wrong)


def missing(named: Iterable[ResourceId], changes: Iterable[Reported]) -> tuple[Reported, ...]:
    """What was named and is not among the changes: it could not be read or admitted, and is left out."""
    there = {ResourceId(c.kind, c.namespace, c.name) for c in changes}
    return tuple(Reported(i.kind, i.namespace, i.name, "left out") for i in named if i not in there)


def others_fine(fine: Change) -> tuple[Diagnostic, ...]:
    """A note about the objects of a refused change that nothing was found against; nothing where there are none."""
    names = [str(i) for i in sorted(fine.ids)]
    if not names:
        return ()
    listed = ", ".join(names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    note = Diagnostic(
        severity=Severity.INFO,
        code="others-fine",
        message=f"nothing was changed; nothing is wrong with {listed}{more}",
        hint="mend the others, or apply with --keep-going, which leaves them out",
    )
    return (note,)


def reported(changes: Iterable[Reported], left_out: Iterable[LeftOut]) -> tuple[Reported, ...]:
    """What is told of each object, those that were left out included."""
    out = {o.id for o in left_out}
    return tuple(
        Reported(c.kind, c.namespace, c.name, "left out") if ResourceId(c.kind, c.namespace, c.name) in out else c
        for c in changes
    )


def without_refused(puts: tuple[Resource, ...], diagnostics: Iterable[Diagnostic]) -> tuple[Resource, ...]:
    """The resources that none of these errors is about."""
    refused = {d.subject for d in diagnostics if d.severity is Severity.ERROR}
    return tuple(resource for resource in puts if str(resource.id) not in refused)

"""Of a change that Envoy refuses exactly the guilty objects are named, at their lines; the others are said to be fine."""

from __future__ import annotations

import math

import pytest

from byway.base.diagnostics import Severity
from tests.unit.app.mesh_in_memory import SERVICES, MeshInMemory, route, route_id

GOOD = [route(f"r{n:02}", f"good{n:02}") for n in range(16)]
BAD = route("bad", "wrong")


async def mesh() -> MeshInMemory:
    made = MeshInMemory()
    made.prover.groups = [("wrong",)]
    await made.apply(SERVICES)
    made.prover.n_proofs = 0
    return made


async def test_one_bad_object_among_many_on_one_host_is_named_at_its_field() -> None:
    """They all make one virtual host, so only trying tells who it is."""
    setting = await mesh()
    outcome = await setting.apply("".join([*GOOD[:9], BAD, *GOOD[9:]]))
    (finding,) = [d for d in outcome.diagnostics if d.severity is Severity.ERROR]
    assert (finding.code, finding.subject) == ("refused-by-envoy", "VirtualService default/bad")
    text = "".join([*GOOD[:9], BAD]).splitlines()
    assert finding.position is not None
    assert text[finding.position.line - 1][finding.position.column - 1 :].startswith("x-wrong")
    assert setting.prover.n_proofs <= math.log2(17) + 6
    assert await setting.stored() == set()


async def test_two_that_are_refused_only_together_are_both_named() -> None:
    setting = await mesh()
    setting.prover.groups = [("one", "other")]
    outcome = await setting.apply("".join([*GOOD[:4], route("a", "one"), *GOOD[4:], route("b", "other")]))
    errors = {d.subject: d.message for d in outcome.diagnostics if d.severity is Severity.ERROR}
    assert errors.keys() == {"VirtualService default/a", "VirtualService default/b"}
    assert "together with VirtualService default/b" in errors["VirtualService default/a"]
    assert "together with VirtualService default/a" in errors["VirtualService default/b"]
    assert setting.prover.n_proofs <= 2 * math.log2(18) + 8


async def test_several_bad_objects_are_all_named_at_once() -> None:
    setting = await mesh()
    outcome = await setting.apply(
        BAD + GOOD[0] + route("worse", "wrong", host="user-service") + route("again", "wrong")
    )
    errors = {d.subject.rpartition("/")[2] for d in outcome.diagnostics if d.severity is Severity.ERROR}
    assert errors == {"bad", "worse", "again"}


async def test_a_refused_apply_says_which_objects_were_fine() -> None:
    setting = await mesh()
    outcome = await setting.apply(GOOD[0] + BAD + GOOD[1])
    (note,) = [d for d in outcome.diagnostics if d.code == "others-fine"]
    assert note.severity is Severity.INFO
    assert note.message.endswith("VirtualService default/r00, VirtualService default/r01")
    assert (outcome.changes, outcome.rollout, outcome.is_accepted) == ((), None, False)
    assert setting.world.resource(route_id("r00")) is None


async def test_what_comes_into_conflict_with_what_is_there_is_to_blame_alone() -> None:
    setting = await mesh()
    setting.prover.groups = [("one", "other")]
    assert (await setting.apply(route("a", "one"))).is_accepted
    outcome = await setting.apply(GOOD[0] + route("b", "other"))
    assert [d.subject for d in outcome.diagnostics if d.severity is Severity.ERROR] == ["VirtualService default/b"]


async def test_an_apply_that_keeps_going_leaves_out_the_refused_and_takes_the_rest() -> None:
    setting = await mesh()
    outcome = await setting.apply(GOOD[0] + BAD + GOOD[1], keep_going=True)
    assert [(c.name, c.action) for c in outcome.changes] == [
        ("r00", "created"),
        ("bad", "left out"),
        ("r01", "created"),
    ]
    errors = [d.subject for d in outcome.diagnostics if d.severity is Severity.ERROR]
    assert errors == ["VirtualService default/bad"]
    assert (outcome.is_partial, outcome.is_accepted) == (True, True)
    assert await setting.stored() == {"r00", "r01"}
    assert setting.world.resource(route_id("bad")) is None
    await setting.catalogue.settled()


async def test_an_apply_that_keeps_going_leaves_out_what_cannot_be_read_or_is_wrong_by_itself() -> None:
    setting = await mesh()
    unreadable = route("unreadable").replace("hosts:", "hostz:")
    empty = route("empty").replace("hosts: [link-service]", "hosts: []")
    outcome = await setting.apply(GOOD[0] + unreadable + empty, keep_going=True)
    assert outcome.is_partial
    assert {c.name: c.action for c in outcome.changes} == {
        "r00": "created",
        "unreadable": "left out",
        "empty": "left out",
    }
    assert await setting.stored() == {"r00"}
    assert {d.subject.rpartition("/")[2] for d in outcome.diagnostics} == {"unreadable", "empty"}


async def test_what_is_good_and_there_already_is_told_beside_what_is_left_out() -> None:
    setting = await mesh()
    await setting.apply(GOOD[0])
    outcome = await setting.apply(GOOD[0] + BAD, keep_going=True)
    assert {c.name: c.action for c in outcome.changes} == {"r00": "unchanged", "bad": "left out"}
    assert outcome.is_partial


@pytest.mark.parametrize("keep_going", [False, True])
async def test_where_nothing_is_left_nothing_is_done(keep_going: bool) -> None:
    setting = await mesh()
    outcome = await setting.apply(BAD, keep_going=keep_going)
    assert (outcome.is_accepted, outcome.changes) == (False, ())
    assert await setting.stored() == set()


@pytest.mark.parametrize("keep_going", [False, True])
async def test_what_envoy_gives_no_answer_about_is_not_taken(keep_going: bool) -> None:
    setting = await mesh()
    setting.prover.is_away = True
    outcome = await setting.apply(GOOD[0], keep_going=keep_going)
    assert [d.code for d in outcome.diagnostics if d.severity is Severity.ERROR] == ["not-proved"]
    assert not outcome.is_accepted
    assert await setting.stored() == set()


async def test_a_dry_run_that_keeps_going_does_nothing() -> None:
    setting = await mesh()
    outcome = await setting.apply(GOOD[0] + BAD, keep_going=True, dry_run=True)
    assert [c.action for c in outcome.changes] == ["created", "left out"]
    assert await setting.stored() == set()
    assert setting.world.resource(route_id("r00")) is None


async def test_a_change_of_endpoints_is_never_proved() -> None:
    setting = await mesh()
    setting.prover.asked.clear()
    moved = SERVICES.replace("10.0.0.2", "10.0.0.3")
    assert (await setting.apply(moved)).is_accepted
    assert setting.prover.asked == []
    assert setting.prover.n_proofs == 0


async def test_a_status_that_is_applied_is_nobodys_business() -> None:
    """It was printed by `byway get`, or by kubectl."""
    setting = await mesh()
    await setting.apply(GOOD[0])
    outcome = await setting.apply(GOOD[0] + "status: {conditions: [{type: Reconciled, status: 'True'}]}\n")
    assert [c.action for c in outcome.changes] == ["unchanged"]
    documents = (await setting.source.load()).documents
    assert not any("status" in document.body for document in documents)

"""The record of dependencies answers why a value is what it is."""

from __future__ import annotations

from byway.engine import Database, DidCutOff, DidDiscard, DidReuse, Event, Input, WillCompute, query

number: Input[str, int] = Input("number", default=0)
flag: Input[str, bool] = Input("flag", default=False)


@query
def leaf(db: Database, key: str) -> int:
    return number(db, key)


@query
def total(db: Database) -> int:
    return leaf(db, "a") + (leaf(db, "b") if flag(db, "both") else 0) + number(db, "c")


def test_direct_dependencies_come_in_the_order_of_reading() -> None:
    assert Database().dependencies(total) == ((leaf, ("a",)), (flag, "both"), (number, "c"))


def test_inputs_are_found_by_whatever_way() -> None:
    assert Database().inputs_of(total) == {(number, "a"), (flag, "both"), (number, "c")}


def test_explanations_are_those_of_the_present_revision() -> None:
    db = Database()
    total(db)
    db.set(flag, "both", True)
    assert (number, "b") in db.inputs_of(total)
    assert (leaf, ("b",)) in db.dependencies(total)


def test_events_are_values_with_the_query_and_its_arguments() -> None:
    events: list[Event] = []
    db = Database(on_event=events.append)
    leaf(db, "a")
    leaf(db, "a")
    db.set(number, "a", 1)
    db.set(number, "a", 0)
    leaf(db, "a")
    db.sweep()
    assert events == [
        WillCompute(leaf, ("a",)),
        DidReuse(leaf, ("a",)),
        WillCompute(leaf, ("a",)),
        DidCutOff(leaf, ("a",)),
        DidDiscard(leaf, ("a",)),
    ]
    for event in events:
        match event:
            case WillCompute(found, args) | DidReuse(found, args) | DidCutOff(found, args) | DidDiscard(found, args):
                assert (found, args) == (leaf, ("a",))

"""After any sequence of edits, questions, subscriptions and sweeps, the answers are those of a new database.

The program itself is data: each node of a random graph has a rule, kept in an input like everything else, that says
what it reads and what it makes of it. So edits change values, branches taken, and the shape of the graph; nodes may
fail, and may close cycles.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import Struct

from byway.engine import CycleError, Database, Event, Input, Root, WillCompute, query
from byway.engine.invariants import broken_invariants

N_NODES = 7
N_INPUTS = 4


class Rule(Struct, frozen=True):
    """`kind` says what becomes of the operands; a negative operand is an input, another a node."""

    kind: str
    first: int
    second: int
    third: int


class Failed(Exception):
    """What a rule raises on purpose."""


number: Input[int, int] = Input("number", default=0)
rules: Input[int, Rule] = Input("rules", default=Rule("constant", 0, 0, 0))


def operand(db: Database, ref: int) -> int:
    return number(db, ref) if ref < 0 else node(db, ref)


@query
def node(db: Database, index: int) -> int:
    rule = rules(db, index)
    match rule.kind:
        case "sum":
            return (operand(db, rule.first) + operand(db, rule.second)) % 1000
        case "choose":
            return operand(db, rule.second if is_odd(db, rule.first) else rule.third)
        case "parity":
            return int(is_odd(db, rule.first))
        case "fail":
            value = operand(db, rule.first)
            if value == rule.second % 3:
                raise Failed(index)
            return value
        case "forgive":
            try:
                return operand(db, rule.first)
            except Failed:
                return operand(db, rule.second)
        case "window":
            start = operand(db, rule.first)
            return sum(number(db, -1 - (start + step) % N_INPUTS) for step in range(2))
    return rule.first


@query
def is_odd(db: Database, ref: int) -> bool:
    return operand(db, ref) % 2 == 1


@query
def summary(db: Database) -> tuple[bool, ...]:
    """A wide reader behind small ones."""
    return tuple(is_odd(db, index) for index in range(N_NODES))


QUERIES = [
    *((node, (index,)) for index in range(N_NODES)),
    *((is_odd, (index,)) for index in range(N_NODES)),
    (summary, ()),
]
refs = st.integers(-N_INPUTS, N_NODES - 1)
some_rule = st.builds(
    Rule, st.sampled_from(["sum", "choose", "parity", "fail", "forgive", "window", "constant"]), refs, refs, refs
)
an_input = st.integers(-N_INPUTS, -1)
a_node = st.integers(0, N_NODES - 1)
a_question = st.sampled_from(QUERIES)
small = st.integers(0, 3)


def outcome(db: Database, found: Any, args: tuple[Any, ...]) -> Any:
    """The value, or the type of what was raised instead."""
    try:
        return found(db, *args)
    except (Failed, CycleError) as error:
        return type(error)


class Machine(RuleBasedStateMachine):
    """One incremental database, the inputs beside it, and what its roots were last told."""

    @initialize(
        strict=st.booleans(),
        is_observed=st.booleans(),
        is_acyclic=st.booleans(),
        program=st.lists(some_rule, min_size=N_NODES, max_size=N_NODES),
    )
    def start(self, strict: bool, is_observed: bool, is_acyclic: bool, program: list[Rule]) -> None:
        self.events: list[Event] = []
        self.db = Database(strict=strict, on_event=self.events.append if is_observed else None)
        self.is_acyclic = is_acyclic
        self.inputs: dict[tuple[Any, int], Any] = {}
        self.held: dict[Root, int] = {}
        self.told: dict[Root, Any] = {}  # what was last reported; no entry if the report is still due
        for index, each in enumerate(program):
            self.write(rules, index, each)

    def write(self, table: Input[int, Any], key: int, value: Any) -> None:
        if table is rules and self.is_acyclic:  # operands only below the node itself, or inputs
            operands = (value.first, value.second, value.third)
            value = Rule(value.kind, *(ref if ref < key else max(ref - N_NODES, -N_INPUTS) for ref in operands))
        self.inputs[table, key] = value
        self.db.set(table, key, value)

    def from_scratch(self) -> Database:
        db = Database()
        for (table, key), value in self.inputs.items():
            db.set(table, key, value)
        return db

    @rule(key=an_input, value=small)
    def set_number(self, key: int, value: int) -> None:
        self.write(number, key, value)

    @rule(key=an_input)
    def remove_number(self, key: int) -> None:
        self.inputs.pop((number, key), None)
        self.db.remove(number, key)

    @rule(index=a_node, new=some_rule)
    def set_rule(self, index: int, new: Rule) -> None:
        self.write(rules, index, new)

    @rule(values=st.dictionaries(an_input, small), program=st.dictionaries(a_node, some_rule, max_size=3))
    def set_together(self, values: dict[int, int], program: dict[int, Rule]) -> None:
        before = self.db.revision
        with self.db.write():
            for key, value in values.items():
                self.write(number, key, value)
            for index, each in program.items():
                self.write(rules, index, each)
        assert self.db.revision - before in (0, 1)

    @rule(question=a_question)
    def ask(self, question: tuple[Any, tuple[Any, ...]]) -> None:
        found, args = question
        self.events.clear()
        assert outcome(self.db, found, args) == outcome(self.from_scratch(), found, args)
        runs = [(event.query, event.args) for event in self.events if isinstance(event, WillCompute)]
        assert len(runs) == len(set(runs)), "nothing runs twice for one question"

    @rule(question=a_question)
    def ask_only_what_a_new_database_would(self, question: tuple[Any, tuple[Any, ...]]) -> None:
        """Verification runs nothing that a run from scratch would not."""
        found, args = question
        self.events.clear()
        outcome(self.db, found, args)
        needed: list[Event] = []
        scratch = self.from_scratch()
        scratch.on_event, scratch.is_attentive = needed.append, True
        outcome(scratch, found, args)
        assert {event for event in self.events if isinstance(event, WillCompute)} <= set(needed)

    @rule(question=a_question)
    def explain(self, question: tuple[Any, tuple[Any, ...]]) -> None:
        found, args = question
        scratch = self.from_scratch()
        if isinstance(outcome(scratch, found, args), type):
            return
        assert self.db.dependencies(found, *args) == scratch.dependencies(found, *args)
        assert self.db.inputs_of(found, *args) == scratch.inputs_of(found, *args)

    @rule(question=a_question)
    def subscribe(self, question: tuple[Any, tuple[Any, ...]]) -> None:
        found, args = question
        value = outcome(self.db, found, args)
        root = self.db.subscribe(found, *args)
        if root not in self.held and not isinstance(value, type):
            self.told[root] = value
        self.held[root] = self.held.get(root, 0) + 1

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        root = data.draw(st.sampled_from(list(self.held)))
        self.db.unsubscribe(root.query, *root.args)
        self.held[root] -= 1
        if not self.held[root]:
            del self.held[root]
            self.told.pop(root, None)

    @rule()
    def changed(self) -> None:
        reported = self.db.changed()
        assert len(reported) == len(set(reported))
        scratch = self.from_scratch()
        for root in self.held:
            value = outcome(scratch, *root)
            is_still_failing = isinstance(value, type) and isinstance(self.told.get(root), type)
            if not is_still_failing:  # such a root is reported again if something below it has changed
                assert (root in reported) == (root not in self.told or self.told[root] != value)
            self.told[root] = value
        assert self.db.changed() == []

    @rule()
    def sweep(self) -> None:
        before = sum(len(table) for table in self.db.memos.values())
        n_discarded = self.db.sweep()
        left = {memo for table in self.db.memos.values() for memo in table.values()}
        assert before - n_discarded == len(left)
        reached: set[Any] = set()
        stack: list[Any] = [memo for memo in left if memo.subscription is not None]
        while stack:
            memo = stack.pop()
            if memo not in reached and memo in left:
                reached.add(memo)
                stack.extend(memo.reads)
        assert reached == left

    @invariant()
    def is_sound(self) -> None:
        if hasattr(self, "db"):
            assert broken_invariants(self.db) == []


Machine.TestCase.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestIncrementalEqualsFromScratch = Machine.TestCase

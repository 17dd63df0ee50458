"""Inputs: tables of cells that are written from outside and read by queries.

A key that was never written reads as the default of its table, and reading it records the dependency on that absence.
So "absent" and "equal to the default" are one and the same.

A cell is there as soon as a query has read its key, and is swept when none reads it any more. What was written under
other keys is kept as it is, in `State.unread`: most of a large world is never asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, cast

from byway.engine.memo import CLEAN, Node
from byway.engine.revision import NEVER

if TYPE_CHECKING:
    from byway.engine.database import Database
    from byway.engine.state import State

K = TypeVar("K")
V = TypeVar("V")


class Cell(Node):
    """One key of one input: always clean, since there is nothing below it."""

    __slots__ = ("input", "name")

    def __init__(self, table: AnyInput, name: Any) -> None:
        super().__init__(CLEAN, table.default, NEVER)
        self.input = table
        self.name = name

    @property
    def key(self) -> tuple[AnyInput, Any]:
        return self.input, self.name

    def drop(self, state: State) -> bool:
        del state.cells[self.input][self.name]
        write_unread(state, self.input, self.name, self.value)
        return False


class Input(Generic[K, V]):
    """A table of input cells. The object is only the name of the table: its cells live in each database."""

    __slots__ = ("default", "name")

    def __init__(self, name: str, *, default: V) -> None:
        self.name = name
        self.default = default

    def __call__(self, db: Database, key: K, /) -> V:
        """The value of one cell; inside a query the read is recorded."""
        reads = db.reads
        try:
            cell = db.cells[self][key]
        except KeyError:
            if reads is None:
                return cast("V", unread(db, self, key))
            cell = cell_of(db, self, key)
        if reads is not None:
            reads[cell] = None
        return cast("V", cell.value)

    def __repr__(self) -> str:
        return f"Input({self.name!r})"


AnyInput: TypeAlias = Input[Any, Any]


def cell_of(state: State, table: AnyInput, key: Any) -> Cell:
    """The cell of `key`; a new one, with what was written under the key, if there is none yet."""
    cells = state.cells.setdefault(table, {})
    cell = cells.get(key)
    if cell is None:
        cell = cells[key] = Cell(table, key)
        cell.value = state.unread.get(table, {}).pop(key, table.default)
        state.loose[cell] = None
    return cell


def unread(state: State, table: AnyInput, key: Any) -> Any:
    """What was written under a key without a cell."""
    values = state.unread.get(table)
    return table.default if values is None else values.get(key, table.default)


def write_unread(state: State, table: AnyInput, key: Any, value: Any) -> None:
    """Keep the value of a key without a cell; the default is kept by keeping nothing."""
    values = state.unread.setdefault(table, {})
    if value is table.default:
        values.pop(key, None)
    else:
        values[key] = value

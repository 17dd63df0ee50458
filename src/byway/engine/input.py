"""Inputs: tables of cells that are written from outside and read by queries.

A key that was never written reads as the default of its table, and reading it records the dependency on that absence:
its cell exists as soon as a query has asked for it. So "absent" and "equal to the default" are one and the same.
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
        if self.value is self.input.default:
            del state.cells[self.input][self.name]
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
                return self.default
            cell = cell_of(db, self, key)
        if reads is not None:
            reads[cell] = None
        return cast("V", cell.value)

    def __repr__(self) -> str:
        return f"Input({self.name!r})"


AnyInput: TypeAlias = Input[Any, Any]


def cell_of(state: State, table: AnyInput, key: Any) -> Cell:
    """The cell of `key`; a new one, which reads as the default, if there is none yet."""
    cells = state.cells.setdefault(table, {})
    cell = cells.get(key)
    if cell is None:
        cell = cells[key] = Cell(table, key)
        state.loose[cell] = None
    return cell

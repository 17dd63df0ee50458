"""The table of names: what the agents' DNS must answer, told to them where it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from byway.derive.lowered import service_of
from byway.derive.services import names
from byway.engine import Database
from byway.kinds.resource import ResourceId
from byway.model.names import service_host

NamesListener = Callable[[dict[str, str]], None]


class NameTable:
    """Full names of services and their virtual addresses, as they were last told."""

    def __init__(self, database: Database, tell: NamesListener) -> None:
        self._database = database
        self._tell = tell
        self._names: dict[str, str] = {}

    def publish(self) -> None:
        """Tells the agents what DNS must answer, where that changed."""
        self._tell_table(dict(names(self._database)))

    def publish_of(self, ids: Iterable[ResourceId]) -> None:
        """The same after a change of these resources: no other service is looked at."""
        services = [i for i in ids if i.kind == "Service"]
        if not services:
            return
        table = dict(self._names)
        for resource_id in services:
            host = service_host(resource_id.name, resource_id.namespace)
            found = service_of(self._database, resource_id)
            table.pop(host, None)
            if found is not None and found.vip:
                table[host] = found.vip
        self._tell_table(table)

    def _tell_table(self, table: dict[str, str]) -> None:
        if table != self._names:
            self._names = table
            self._tell(table)

"""How a service calls the others: plain HTTP by name, as if there were no mesh.

Nothing here knows a mesh. What a service does for it, as for any tracing, is to pass on the headers that identify the
request it works for; and where the surroundings set `http_proxy`, it goes through that proxy, as any HTTP client does.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Collection, Mapping
from typing import Final

from byway.base.errors import FaultError
from byway.demo.connections import Address, Connections, Reply

PASSED_ON: Final = (
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-request-id",
    "x-beta-user",
)
"""W3C's and B3's trace headers, the request's id, and the application's own mark of a beta user."""


class DependencyError(FaultError):
    """A service that this one needs gave no answer, or one that is of no use; `status` is what to tell the caller."""

    def __init__(self, callee: str, status: int, reason: str) -> None:
        super().__init__(f"{callee}: {reason}")
        self.callee = callee
        self.status = status
        self.reason = reason


class Peers:
    """The services that one service may call."""

    def __init__(self, callees: Collection[str], port: int, timeout_s: float, proxy: Address | None = None) -> None:
        self._addresses = {callee: Address(callee, port) for callee in callees}
        self._timeout_s = timeout_s
        self._connections = Connections(proxy)

    def call(
        self,
        callee: str,
        method: str,
        path: str,
        body: object,
        passed_on: Mapping[str, str],
        expected: Collection[int],
    ) -> Reply:
        """Call `callee`; an answer that is neither 2xx nor `expected` is a failure of that dependency."""
        headers = {**passed_on, "Accept": "application/json"}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        try:
            reply = self._connections.exchange(self._addresses[callee], method, path, headers, content, self._timeout_s)
        except TimeoutError as fault:
            raise DependencyError(callee, 504, f"no answer within {self._timeout_s:g} s") from fault
        except (OSError, http.client.HTTPException) as fault:
            raise DependencyError(callee, 502, type(fault).__name__) from fault
        if not 200 <= reply.status < 300 and reply.status not in expected:
            # Not 503: whoever retries on 503 must not repeat a whole tree of calls because of one leaf.
            raise DependencyError(callee, 502, f"answered {reply.status}")
        return reply

    def close(self) -> None:
        """Close what lies idle."""
        self._connections.close()

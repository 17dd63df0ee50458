"""The admin API of a control plane, as the command line calls it: one request, one answer, every wait bounded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from byway.admin.port import VersionReport
from byway.app.state import admin_of
from byway.base.errors import FaultError, UsageError
from byway.base.json import decoded
from byway.cli.options import DEFAULT_SERVER
from byway.cli.state import write_token
from byway.cli.wording import WrongUsageError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

CONNECT_S: Final = 3.0
READ_S: Final = 15.0
ROLLOUT_S: Final = 90.0  # a write is answered only when the fleet has


class ControlPlane:
    """One control plane: by its address `server`, else that of the mesh in `state`, else the default one.

    `state` is also where the token for writes is looked for; None: the environment's BYWAY_STATE, as for every verb.
    """

    def __init__(self, server: str | None, state: str | None = None) -> None:
        state = state or os.environ.get("BYWAY_STATE") or None
        server = server or (admin_of(Path(state).expanduser()) if state else "") or DEFAULT_SERVER
        parts = urlsplit(server if "//" in server else f"http://{server}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise WrongUsageError(f"--server must be a URL such as http://127.0.0.1:15014, not `{server}`")
        self.server = parts.geturl().rstrip("/")
        self._state = state

    def answer(self, path: str, **query: object) -> Any:
        """The JSON at `path`; what is None in the query is left out."""
        wanted = {name: str(value) for name, value in query.items() if value is not None}
        response = self._exchange("GET", path, READ_S, params=wanted)
        if response.status_code == 401:  # away from loopback, reading needs the token, too
            response = self._exchange("GET", path, READ_S, params=wanted, headers=_bearer(write_token(self._state, "")))
        return self._content(response)

    def write(self, path: str, body: Mapping[str, Any]) -> Any:
        """Posts a change with the token of the mesh; the answer comes when the fleet has it."""
        headers = {**_bearer(self._token()), "content-type": "application/json"}
        return self._content(
            self._exchange("POST", path, ROLLOUT_S, content=msgspec.json.encode(body), headers=headers)
        )

    def _token(self) -> str:
        is_given = self._state or os.environ.get("BYWAY_TOKEN")
        mesh = "" if is_given else understood(self.answer("/api/version"), VersionReport).mesh
        return write_token(self._state, mesh)

    def _exchange(self, method: str, path: str, read_s: float, **request: Any) -> httpx.Response:
        import httpx

        # The address is our own network's: never by way of a proxy from the environment.
        timeout = httpx.Timeout(read_s, connect=CONNECT_S)
        try:
            with httpx.Client(trust_env=False, verify=self.server.startswith("https:"), timeout=timeout) as client:
                return client.request(method, self.server + path, **request)
        except httpx.ConnectError as error:
            raise FaultError(self._unreachable()) from error
        except httpx.TimeoutException as error:
            raise FaultError(f"{self.server} has not answered in time (byway check looks for the reason)") from error
        except httpx.HTTPError as error:
            raise FaultError(
                f"{self.server} broke the connection: {error} (byway check looks for the reason)"
            ) from error

    def _unreachable(self) -> str:
        mend = "start one with `byway demo` or `byway up`, or say where with --server or --state"
        return f"no control plane answers at {self.server} ({mend})"

    def _content(self, response: httpx.Response) -> Any:
        try:
            content = decoded(response.content) if response.content else None
        except msgspec.DecodeError as error:
            raise FaultError(
                f"what answers at {self.server} is not Byway's control plane (HTTP {response.status_code})"
            ) from error
        if response.is_success:
            return content
        if isinstance(content, dict) and content.get("diagnostics"):
            return content  # a refused write is an answer, not a failure: its diagnostics say what to do
        message = content.get("error") if isinstance(content, dict) else None
        if response.status_code in {401, 403}:
            raise UsageError(
                f"{message or 'the write is refused'} (give the mesh's state with --state, or its token in BYWAY_TOKEN)"
            )
        trouble = UsageError if response.status_code < 500 else FaultError
        raise trouble(str(message or f"{self.server} answers HTTP {response.status_code}"))


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def understood(content: Any, shape: type[T]) -> T:
    """An answer in the shape that this version of Byway knows; fields added by a newer one are ignored."""
    try:
        return msgspec.convert(content, shape, strict=False)
    except msgspec.ValidationError as error:
        raise FaultError(
            f"the control plane's answer is not understood: {error} (compare with `byway version`)"
        ) from error

"""The local supervisor as a client of the control plane's HTTP API, like any other program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec

from byway.agent.frames import WorkloadReport
from byway.agent.layout import SocketPath
from byway.base.errors import FaultError, UsageError
from byway.base.json import decoded
from byway.kinds.document import Document
from byway.kinds.encode import body_yaml

_LIMIT_S = 60.0
_AGENT_LIMIT_S = 5.0


class AdminClient:
    """Speaks to one control plane."""

    def __init__(self, address: str, token_file: Path) -> None:
        self._token_file = token_file
        self._client = httpx.AsyncClient(base_url=f"http://{address}", timeout=_LIMIT_S, trust_env=False)

    async def close(self) -> None:
        """Lets go of its connections."""
        await self._client.aclose()

    async def is_ready(self) -> bool:
        """Whether the control plane answers and is ready."""
        try:
            return (await self._client.get("/readyz", timeout=2)).status_code == 200
        except httpx.HTTPError:
            return False

    async def status(self) -> list[dict[str, Any]]:
        """Every proxy; empty while the control plane is away."""
        try:
            answer = await self._client.get("/api/status", timeout=5)
            found = decoded(answer.content)
        except (httpx.HTTPError, msgspec.DecodeError):
            return []
        proxies = found.get("proxies", []) if isinstance(found, dict) else found
        return list(proxies) if answer.status_code == 200 else []

    async def names(self, kind: str, namespace: str) -> list[str]:
        """The names of a kind's resources."""
        answer = await self._client.get(f"/api/resources/{kind}", params={"namespace": namespace})
        return [body["metadata"]["name"] for body in _content(answer)["items"]]

    async def apply(self, sources: Sequence[tuple[str, str]], namespace: str) -> None:
        """Applies files given as (name, text); raises `UsageError` with every diagnostic where they are refused."""
        files = [{"file": file, "text": text} for file, text in sources]
        await self._write("/api/apply", {"sources": files, "namespace": namespace})

    async def delete(self, kind: str, name: str, namespace: str) -> None:
        """Deletes one resource."""
        await self._write("/api/delete", {"targets": [{"kind": kind, "name": name}], "namespace": namespace})

    async def _write(self, path: str, body: dict[str, Any]) -> None:
        token = self._token_file.read_text().strip()
        answer = await self._client.post(path, json=body, headers={"Authorization": f"Bearer {token}"})
        content = _content(answer, also_accept=(422, 400, 409))
        errors = [d for d in content.get("diagnostics", ()) if d.get("severity") == "error"]
        if errors:
            raise UsageError("\n".join(_text(d) for d in errors))
        if content.get("error"):
            raise FaultError(str(content["error"]))


class AgentClient:
    """Speaks to the agent of this host, over its Unix socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def reports(self) -> tuple[WorkloadReport, ...]:
        """How every workload fares; empty while the agent is away."""
        content = await self._content("GET", "/workloads")
        try:
            return decoded(content or b"[]", tuple[WorkloadReport, ...])
        except msgspec.DecodeError:
            return ()

    async def stop(self) -> bool:
        """Asks it to end everything; whether it was reached."""
        return await self._content("POST", "/stop") is not None

    async def _content(self, method: str, path: str) -> bytes | None:
        try:
            address = SocketPath(self._socket)
        except OSError:
            return None
        try:
            transport = httpx.AsyncHTTPTransport(uds=address.text)
            async with httpx.AsyncClient(transport=transport, timeout=_AGENT_LIMIT_S) as client:
                return (await client.request(method, f"http://agent{path}")).content
        except httpx.HTTPError:
            return None
        finally:
            address.close()


def documents_yaml(documents: Sequence[Document]) -> str:
    """Documents as one YAML text."""
    return "---\n".join(body_yaml(document.body) for document in documents)


def _content(answer: httpx.Response, also_accept: tuple[int, ...] = ()) -> dict[str, Any]:
    try:
        content = decoded(answer.content)
    except msgspec.DecodeError:
        content = None
    if not isinstance(content, dict) or (answer.is_error and answer.status_code not in also_accept):
        raise FaultError(f"the control plane answered {answer.status_code}: {answer.text[:300]}")
    return content


def _text(diagnostic: dict[str, Any]) -> str:
    position = diagnostic.get("position") or {}
    place = ":".join(str(position[key]) for key in ("file", "line", "column") if position.get(key))
    hint = f" ({diagnostic['hint']})" if diagnostic.get("hint") else ""
    return f"{place}: {diagnostic['message']}{hint}" if place else f"{diagnostic['message']}{hint}"

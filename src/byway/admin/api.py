"""The control plane's HTTP API: the routes, and nothing that computes.

Reads show the mesh (`MeshPort`) and what it was seen to do (`Observatory`); writes go to the mesh. Every answer under
/api is JSON, and every error is `{"error": …}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, get_args

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from byway.admin.port import SECTIONS, MeshPort, NotFoundError, Outcome, Section
from byway.admin.requests import ApplyRequest, DeleteRequest, body, count, flag, seconds
from byway.admin.security import Door, Doorkeeper
from byway.admin.syncz import syncz
from byway.base.diagnostics import Diagnostic, Severity
from byway.base.errors import FaultError, UsageError
from byway.telemetry.exposition import CONTENT_TYPE, Provider
from byway.telemetry.observatory import WINDOW_S, Observatory, bounded_window_s
from byway.telemetry.traces import SEARCH_LIMIT

_Endpoint = Callable[[Request], Awaitable[Response]]
_ALL: Final = "*"
MOST_DIAGNOSTICS: Final = 500
_PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Byway</title></head><body>
<h1>Byway</h1><p>The control plane of this mesh. For people: <code>byway status</code>, <code>byway top</code>,
<code>byway graph</code>. For programs:</p><ul>
<li><a href="/api/status">/api/status</a> every proxy, the objects in trouble, the store</li>
<li><a href="/api/analysis">/api/analysis</a> what is wrong with the mesh's resources</li>
<li><a href="/api/graph">/api/graph</a> who calls whom</li>
<li><a href="/api/top">/api/top</a> golden signals</li>
<li><a href="/api/traces">/api/traces</a> recent traces</li>
<li><a href="/api/certs">/api/certs</a> certificates</li>
<li><a href="/api/version">/api/version</a> versions</li>
<li><a href="/api/prometheus/targets">/api/prometheus/targets</a> service discovery for Prometheus</li>
<li><a href="/metrics">/metrics</a> metrics for Prometheus</li>
<li><a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a> health</li></ul></body></html>
"""


def admin_app(mesh: MeshPort, observatory: Observatory, door: Door, *, providers: Iterable[Provider] = ()) -> ASGIApp:
    """The ASGI application of the admin listener; `providers` add the control plane's own metrics."""
    api = _Api(mesh, observatory, tuple(providers))
    gets: dict[str, _Endpoint] = {
        "/api/resources/{kind}": api.resources,
        "/api/resources/{kind}/{name}": api.resources,
        "/api/status": api.status,
        "/api/analysis": api.analysis,
        "/api/proxy-config/{workload}/{section}": api.proxy_config,
        "/api/graph": api.graph,
        "/api/top": api.top,
        "/api/traces": api.traces,
        "/api/traces/{trace_id}": api.trace,
        "/api/certs": api.certs,
        "/api/version": api.version,
        "/api/prometheus/targets": api.prometheus_targets,
        "/api/debug/engine": api.engine,
        "/debug/syncz": api.syncz,
        "/version": api.version_text,
        "/healthz": api.healthz,
        "/readyz": api.readyz,
        "/metrics": api.metrics,
        "/": api.page,
    }
    routes = [Route(path, endpoint, methods=["GET"]) for path, endpoint in gets.items()]
    routes.append(Route("/api/apply", api.apply, methods=["POST"]))
    routes.append(Route("/api/delete", api.delete, methods=["POST"]))
    app = Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: _http_error,
            NotFoundError: _error(404),
            UsageError: _error(400),
            FaultError: _error(503),
            Exception: _internal_error,
        },
    )
    return Doorkeeper(app, door)


class _Api:
    """The endpoints."""

    def __init__(self, mesh: MeshPort, observatory: Observatory, providers: tuple[Provider, ...]) -> None:
        self._mesh = mesh
        self._observatory = observatory
        self._providers = providers

    async def apply(self, request: Request) -> Response:
        asked = await body(request, ApplyRequest)
        return _outcome(
            await self._mesh.apply(
                asked.sources,
                asked.namespace,
                dry_run=asked.dry_run,
                bake_s=asked.bake_s,
                keep_going=asked.keep_going,
            )
        )

    async def delete(self, request: Request) -> Response:
        asked = await body(request, DeleteRequest)
        if bool(asked.sources) == bool(asked.targets):
            raise UsageError("give either sources or targets to delete")
        if asked.sources:
            return _outcome(await self._mesh.delete(asked.sources, asked.namespace, dry_run=asked.dry_run))
        return _outcome(await self._mesh.delete_named(asked.targets, asked.namespace, dry_run=asked.dry_run))

    async def resources(self, request: Request) -> Response:
        namespace = request.query_params.get("namespace", _ALL)
        found = await self._mesh.resources(
            request.path_params["kind"],
            None if namespace == _ALL else namespace,
            request.path_params.get("name"),
        )
        return _json({"items": found})

    async def status(self, _: Request) -> Response:
        proxies, troubles = await self._mesh.status(), await self._mesh.troubles()
        return _json({"proxies": proxies, "troubles": troubles, "store": self._mesh.store()})

    async def analysis(self, _: Request) -> Response:
        return _json({"diagnostics": _readable(await self._mesh.analysis())})

    async def proxy_config(self, request: Request) -> Response:
        section: Any = request.path_params["section"]
        if section not in get_args(Section):
            raise NotFoundError(f"no section {section[:40]!r}; there are {', '.join(SECTIONS)}")
        workload = request.path_params["workload"]
        config = await self._mesh.proxy_config(workload, section)
        return _json({"workload": workload, "section": section, "config": config})

    async def graph(self, request: Request) -> Response:
        return _json(self._observatory.graph(seconds(request, "window", WINDOW_S)))

    async def top(self, request: Request) -> Response:
        window_s = bounded_window_s(seconds(request, "window", WINDOW_S))
        return _json({"window_s": window_s, "signals": self._observatory.golden_signals(window_s)})

    async def traces(self, request: Request) -> Response:
        found = self._observatory.traces.search(
            service=request.query_params.get("service", ""),
            min_duration_ms=seconds(request, "min_duration", 0.0) * 1000,
            only_errors=flag(request, "errors"),
            limit=count(request, "limit", 20, SEARCH_LIMIT),
        )
        return _json({"traces": found})

    async def trace(self, request: Request) -> Response:
        trace = self._observatory.traces.trace(request.path_params["trace_id"])
        if trace is None:
            raise NotFoundError("no such trace is held (traces are kept in memory, the oldest go first)")
        return _json(trace)

    async def certs(self, _: Request) -> Response:
        return _json({"certificates": await self._mesh.certs()})

    async def version(self, _: Request) -> Response:
        return _json(self._mesh.version())

    async def version_text(self, _: Request) -> Response:
        return PlainTextResponse(self._mesh.version().byway)

    async def prometheus_targets(self, _: Request) -> Response:
        return _json(await self._mesh.prometheus_targets())

    async def engine(self, _: Request) -> Response:
        return _json(self._mesh.engine())

    async def syncz(self, _: Request) -> Response:
        return _json(syncz(await self._mesh.status(), self._mesh.version().byway))

    async def healthz(self, _: Request) -> Response:
        return _json({"status": "ok"})

    async def readyz(self, _: Request) -> Response:
        readiness = await self._mesh.readiness()
        return _json(readiness, 200 if readiness.is_ready else 503)

    async def metrics(self, _: Request) -> Response:
        return StreamingResponse(self._exposition(), media_type=CONTENT_TYPE)

    async def _exposition(self) -> AsyncIterator[str]:
        for piece in self._observatory.exposition(self._providers):
            yield piece
            await asyncio.sleep(0)  # lets other requests and streams run between the pieces

    async def page(self, _: Request) -> Response:
        return HTMLResponse(_PAGE, headers={"content-security-policy": "default-src 'none'"})


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def _outcome(outcome: Outcome) -> Response:
    """200 with what was done, or 422 with the reasons why nothing was."""
    outcome = msgspec.structs.replace(outcome, diagnostics=_readable(outcome.diagnostics))
    if outcome.is_accepted:
        return _json(outcome)
    first = next(d for d in outcome.diagnostics if d.severity is Severity.ERROR)
    return _json({"error": str(first), **msgspec.to_builtins(outcome)}, 422)


def _readable(diagnostics: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """As many as anybody reads, errors before the others; the last one says how many more there are."""
    n_more = len(diagnostics) - MOST_DIAGNOSTICS
    if n_more <= 0:
        return diagnostics
    first = sorted(range(len(diagnostics)), key=lambda i: diagnostics[i].severity is not Severity.ERROR)
    kept = tuple(diagnostics[i] for i in sorted(first[:MOST_DIAGNOSTICS]))
    is_serious = diagnostics[first[MOST_DIAGNOSTICS]].severity is Severity.ERROR
    return (
        *kept,
        Diagnostic(
            severity=Severity.ERROR if is_serious else Severity.WARNING,
            code="more-findings",
            message=f"{n_more} more findings are not listed here",
            hint="mend these first, or apply fewer resources at once",
        ),
    )


def _error(status: int) -> Callable[[Request, Exception], Response]:
    def answer(_: Request, error: Exception) -> Response:
        return _json({"error": str(error)}, status)

    return answer


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = _json({"error": error.detail.lower()}, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _internal_error(_: Request, __: Exception) -> Response:
    """The caller learns nothing of the inside; the server logs the exception, which Starlette raises again."""
    return _json({"error": "internal error (the control plane's log has the cause)"}, 500)

"""A small control plane (real CA, real mTLS, static delta discovery) and agents as processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401 - registers its type for JSON
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: F401
    http_connection_manager_pb2,
)
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # noqa: F401
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format

import byway
from byway.ads.relay import ADS
from byway.agent import teardown
from byway.agent.binary import EnvoyNotFound, envoy_binary
from byway.agent.desk import AgentDesk
from byway.agent.interception import network
from byway.agent.interception.addresses import workload_addresses
from byway.agent.interception.names import (
    bridge_name,
    chain_prefix,
    link_prefix,
    namespace_name,
    namespace_path,
)
from byway.agent.plan import NetworkPlan, Plan, PortPlan, WorkloadPlan, plan_json
from byway.agent.workload_socket import METRICS, TRACES
from byway.authority.authority import Authority
from byway.authority.control_socket import control_socket_server
from byway.authority.server import CertificateService
from byway.authority.serving import ServingCertificate
from byway.authority.vault import opened_signer
from byway.base.clock import SystemClock
from byway.identity.spiffe import TrustDomain
from byway.model.names import PORT_INBOUND, PORT_OUTBOUND, TYPE_LISTENER

TYPES = "type.googleapis.com/envoy"
AGENT = """
import asyncio, random, signal, sys
from pathlib import Path
from byway.agent import host
from byway.base.clock import SystemClock
async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = host.Settings(state=Path(sys.argv[1]), server=sys.argv[2], envoy=Path(sys.argv[3]),
                             owner_pid=int(sys.argv[4]), certificate_life_s=int(sys.argv[5]))
    await host.run(settings, clock=SystemClock(), chance=random.Random(7), stop=stop)
asyncio.run(main())
"""
APPLICATION = (sys.executable, "-m", "http.server", "8080", "--directory", "/usr/share/doc")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs root and a real Envoy."""
    reason = ""
    if os.geteuid() != 0:
        reason = "needs root for network namespaces"
    try:
        envoy_binary("", os.environ)
    except EnvoyNotFound as missing:
        reason = str(missing)
    for item in items:
        if "real/agent" in str(item.path):
            item.add_marker(pytest.mark.real)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def manager(body: str) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": body}}}
    config = {
        "@type": f"{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": body,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{TYPES}.extensions.filters.http.router.v3.Router"}}
        ],
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def listener(name: str, port: int, *, has_tls: bool) -> discovery_pb2.Resource:
    chain: dict[str, Any] = {"filters": [manager(name)]}
    if has_tls:
        source = {
            "api_config_source": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "byway-agent"}}],
            },
            "resource_api_version": "V3",
        }
        context = {
            "@type": f"{TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": source}]},
        }
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    document = {
        "name": name,
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},
        "filter_chains": [chain],
    }
    message = json_format.ParseDict(document, listener_pb2.Listener())
    resource = discovery_pb2.Resource(name=name, version="1")
    resource.resource.Pack(message)
    return resource


class ControlPlane:
    """What agents need of a control plane, with nothing to configure."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port = 0
        self.listeners = (("outbound", PORT_OUTBOUND, False), ("inbound", PORT_INBOUND, True))  # name, port, has TLS
        self.trust_domain = TrustDomain("cluster.local")
        self.desk = AgentDesk(self.trust_domain, SystemClock())
        self.nodes: list[str] = []  # node ids of discovery streams, in order
        self.resumed: list[dict[str, str]] = []  # initial versions each stream came with
        self.metrics: list[bytes] = []  # as they came: encoded messages of Envoy's stats sink
        self._servers: list[grpc.aio.Server] = []

    async def start(self) -> None:
        clock = SystemClock()
        self.authority = Authority(opened_signer(self.state, self.trust_domain, clock.now()), self.trust_domain, clock)
        service = CertificateService(self.authority, lambda *_: True)
        self._servers.append(await control_socket_server(self.state / "control.sock", service))
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            (service.mutual_tls_handler(), self.desk.handlers(), *self._discovery_handlers())
        )
        self.port = server.add_secure_port(f"127.0.0.1:{self.port}", ServingCertificate(self.authority).credentials())
        await server.start()
        self._servers.append(server)

    async def stop(self) -> None:
        for server in self._servers:
            await server.stop(None)
        self._servers.clear()

    def _discovery_handlers(self) -> Iterator[Any]:
        for path, handler in (
            (ADS.path, grpc.stream_stream_rpc_method_handler(self._discover)),
            (METRICS.path, grpc.stream_unary_rpc_method_handler(self._measure)),
            (TRACES.path, grpc.unary_unary_rpc_method_handler(self._trace)),
        ):
            service, _, method = path.removeprefix("/").partition("/")
            yield grpc.method_handlers_generic_handler(service, {method: handler})

    async def _discover(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        n_answers = 0
        async for packet in requests:
            request = discovery_pb2.DeltaDiscoveryRequest.FromString(packet)
            if request.node.id:
                self.nodes.append(request.node.id)
            if request.response_nonce:
                continue
            n_answers += 1
            response = discovery_pb2.DeltaDiscoveryResponse(type_url=request.type_url, nonce=str(n_answers))
            if request.type_url == TYPE_LISTENER:
                self.resumed.append(dict(request.initial_resource_versions))
                if not request.initial_resource_versions:
                    response.resources.extend(listener(n, port, has_tls=has_tls) for n, port, has_tls in self.listeners)
            yield response.SerializeToString()

    async def _measure(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        async for packet in requests:
            self.metrics.append(packet)
        return b""

    async def _trace(self, request: bytes, context: Any) -> bytes:
        return b""


class Mesh:
    """One mesh on this host, under a name of its own."""

    def __init__(self, state: Path, plan: Plan, control: ControlPlane) -> None:
        self.state = state
        self.plan = plan
        self.control = control
        self.agent: asyncio.subprocess.Process | None = None

    async def start_agent(self, owner_pid: int = 0, certificate_life_s: int = 0) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(byway.__file__).parents[1])}
        with (self.state / "agent.log").open("ab") as log:
            self.agent = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-c", AGENT, str(self.state), f"127.0.0.1:{self.control.port}"),
                *(str(envoy_binary("", os.environ)), str(owner_pid), str(certificate_life_s)),
                env=environment,
                stdout=log,
                stderr=log,
            )

    async def kill_agent(self) -> None:
        assert self.agent is not None
        self.agent.send_signal(signal.SIGKILL)
        await self.agent.wait()

    async def stop_agent(self) -> None:
        assert self.agent is not None
        self.agent.send_signal(signal.SIGTERM)
        async with asyncio.timeout(25):
            await self.agent.wait()

    async def workloads(self) -> list[dict[str, Any]]:
        transport = httpx.AsyncHTTPTransport(uds=str(self.state / "agent.sock"))
        async with httpx.AsyncClient(transport=transport) as client:
            answer = await client.get("http://agent/workloads")
            workloads: list[dict[str, Any]] = answer.json()
            return workloads

    async def all_ready(self) -> list[dict[str, Any]]:
        """Every Envoy and application ready, within a bound."""

        async def ready() -> list[dict[str, Any]] | None:
            workloads = await self.workloads()
            is_ready = all(
                w["envoy"]["phase"] == "ready" and (w["application"] is None or w["application"]["phase"] == "ready")
                for w in workloads
            )
            return workloads if workloads and is_ready else None

        try:
            found: list[dict[str, Any]] = await eventually(ready, 30)
            return found
        except AssertionError:
            print((self.state / "agent.log").read_text()[-6000:])
            for log in sorted((self.state / "run").rglob("*.log")):
                print(log, log.read_text()[-2000:])
            raise

    def inside(self, instance: str, *command: str) -> str:
        """What a command prints as the workload's application would run it."""
        from byway.agent.exec import exec_command
        from byway.agent.layout import Layout

        argv = exec_command(self.plan, instance, command, Layout(self.state))
        return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout

    def namespace(self, instance: str) -> Path:
        return namespace_path(namespace_name(self.plan.mesh, instance))


async def eventually(probe: Callable[[], Awaitable[Any]], limit_s: float) -> Any:
    """The first truthy result of `probe`; fails after `limit_s` seconds."""
    fault: object = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while True:
                try:
                    if found := await probe():
                        return found
                except (OSError, httpx.HTTPError) as error:
                    fault = error
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await asyncio.Event().wait()
    raise AssertionError(f"nothing within {limit_s} s ({fault})")


def host_network(mesh: str) -> list[str]:
    """What is a mesh's own of the host's rules, links, namespaces, routes and shared note, as lines; others' come and go."""
    marks = (bridge_name(mesh), link_prefix(mesh), chain_prefix(mesh), f"byway-{mesh}-", f'"{mesh}"')
    lines: list[str] = []
    for command in (["iptables-save"], ["ip", "-br", "link"], ["ip", "netns"], ["ip", "route"]):
        lines += subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    with contextlib.suppress(FileNotFoundError):
        lines += Path("/run/byway/host.json").read_text().splitlines()
    return [line for line in lines if any(mark in line for mark in marks)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def state() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="bw-"))
    yield directory
    teardown.remove_everything(directory)
    shutil.rmtree(directory)


@pytest.fixture
async def control(state: Path) -> AsyncIterator[ControlPlane]:
    plane = ControlPlane(state)
    await plane.start()
    yield plane
    await plane.stop()


@pytest.fixture
async def mesh(state: Path, control: ControlPlane) -> AsyncIterator[Mesh]:
    """Two workloads in namespaces: one with an application, one with none."""
    subnet = network.unused_subnet()
    assert subnet is not None
    addresses = workload_addresses(subnet, ["web-1", "edge-1"])
    plan = Plan(
        mesh=f"t{uuid.uuid4().hex[:8]}",
        node="test-node",
        network=NetworkPlan(subnet),
        workloads=(
            WorkloadPlan(
                instance="web-1",
                workload="web",
                service_account="web",
                address=addresses["web-1"],
                ports=(PortPlan("http", 8080, "http", 8080),),
                command=APPLICATION,
                uid=65534,
                gid=65534,
            ),
            WorkloadPlan(instance="edge-1", workload="edge", service_account="edge", address=addresses["edge-1"]),
        ),
    )
    (state / "plan.json").write_bytes(plan_json(plan))
    yield (made := Mesh(state, plan, control))
    if made.agent is not None and made.agent.returncode is None:
        await made.kill_agent()


def process_of(workloads: list[dict[str, Any]], instance: str, process: str) -> int:
    """The pid that the agent reports."""
    pid: int = next(w for w in workloads if w["instance"] == instance)[process]["pid"]
    return pid


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[[Callable[[], Awaitable[Any]], float], Awaitable[Any]]:
    return eventually


@pytest.fixture(name="free_port")
def free_port_fixture() -> Callable[[], int]:
    return free_port


@pytest.fixture(name="host_network")
def host_network_fixture(mesh: Mesh) -> Callable[[], list[str]]:
    """Those of this test's mesh, which has the same name in every plan that it is given."""
    return lambda: host_network(mesh.plan.network_name)


@pytest.fixture(name="process_of")
def process_of_fixture() -> Callable[[list[dict[str, Any]], str, str], int]:
    return process_of

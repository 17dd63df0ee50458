"""A real Envoy judges resources one by one, holds none of them, and may die at any time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # noqa: F401 - ParseDict looks the type up

from byway.ads.prover import EnvoyProver, Rejection, Unproven
from byway.model import names
from byway.xds.resource import Resource
from tests.real.ads.envoys import ADS, BINARY, cluster, endpoints, resource, virtual_host

pytestmark = pytest.mark.real

_SDS = {
    "resource_api_version": "V3",
    "api_config_source": {
        "api_type": "GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": names.AGENT_CLUSTER}}],
    },
}
_TLS = {
    "name": "tls",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": _SDS}]},
    },
}
_HTTP = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def bad_virtual_host(name: str) -> Resource:
    return virtual_host(name, (name,), "links", match={"safe_regex": {"regex": "("}})


def route(name: str, regex: str) -> Resource:
    routes = [{"match": {"safe_regex": {"regex": regex}}, "route": {"cluster": "links"}}]
    body = {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}
    return resource(names.TYPE_ROUTE, name, body)


def listener(name: str, *filters: str) -> Resource:
    manager = {
        "@type": _HTTP,
        "stat_prefix": "x",
        "rds": {"route_config_name": "gateway/80", "config_source": ADS},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = [{"name": "http", "typed_config": manager}, *({"name": name} for name in filters)]
    body = {
        "name": name,
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 15001}},
        "bind_to_port": False,
        "filter_chains": [{"filters": chain}],
    }
    return resource(names.TYPE_LISTENER, name, body)


@pytest.fixture
async def prover() -> AsyncIterator[EnvoyProver]:
    async with EnvoyProver(BINARY, answer_s=1.0) as prover:
        yield prover


async def rejected(prover: EnvoyProver, *resources: Resource) -> list[str]:
    findings = await prover.prove(resources)
    assert all(isinstance(finding, Rejection) for finding in findings), findings
    return [finding.resource.name for finding in findings]


async def test_good_resources_of_every_type_are_taken(prover: EnvoyProver) -> None:
    """Twice the same, because nothing of the first time stays; clusters whose secrets never come included."""
    good = (
        cluster("links"),
        cluster("secret", transport_socket=_TLS),
        endpoints("links", 80),
        virtual_host("out/links", ("links",), "links"),
        virtual_host("out/other", ("links",), "links"),
        route("gateway/80", "a+"),
        resource(names.TYPE_ROUTE, "out", {"name": "out", "vhds": {"config_source": ADS}}),
        listener("outbound"),
    )
    for _ in range(2):
        assert await prover.prove(good) == ()
    assert prover.n_starts == 1


async def test_the_refused_one_of_many_is_known_by_name(prover: EnvoyProver) -> None:
    """Each is sent alone, so one mistake says nothing about the others."""
    names_refused = await rejected(
        prover,
        cluster("good"),
        cluster("bad", connect_timeout="-1s"),
        virtual_host("out/good", ("good",), "links"),
        bad_virtual_host("out/bad"),
        route("gateway/80", "a+"),
        route("gateway/81", "("),
        listener("good"),
        listener("bad", "no-such-filter"),
        resource(names.TYPE_ENDPOINTS, "bad", {"cluster_name": "another"}),
    )
    assert sorted(names_refused) == ["bad", "bad", "bad", "gateway/81", "out/bad"]
    (finding,) = await prover.prove((bad_virtual_host("out/bad"),))
    assert "missing )" in finding.reason


async def test_a_proof_after_the_first_takes_milliseconds(prover: EnvoyProver) -> None:
    """A structural change must hardly notice; the bound here is a hundred times what is usual."""
    await prover.prove((cluster("warm-up"),))
    async with asyncio.timeout(0.5):
        await prover.prove((cluster("links"), virtual_host("out/links", ("links",), "links")))


async def test_memory_does_not_grow_with_what_was_proved(prover: EnvoyProver) -> None:
    """Two thousand clusters later it is what it was."""
    many = [[cluster(f"c{n}-{turn}") for n in range(500)] for turn in range(4)]
    await prover.prove(many[0])
    before = private_bytes(prover)
    for clusters in many[1:]:
        assert await prover.prove(clusters) == ()
    assert private_bytes(prover) < before + 4_000_000


def private_bytes(prover: EnvoyProver) -> int:
    status = Path(f"/proc/{prover.pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_an_envoy_that_dies_or_hangs_is_replaced(prover: EnvoyProver, how: signal.Signals) -> None:
    """The proof is tried again with the next one, and the mistake is still found."""
    await prover.prove((cluster("links"),))
    assert prover.pid is not None
    os.kill(prover.pid, how)
    assert await rejected(prover, cluster("links"), bad_virtual_host("out/bad")) == ["out/bad"]
    assert prover.n_starts == 2


async def test_without_an_envoy_everything_is_unproven() -> None:
    """Which is told apart from refused."""
    async with EnvoyProver(Path("/nonexistent/envoy")) as prover:
        (finding,) = await prover.prove((cluster("links"),))
    assert isinstance(finding, Unproven)
    assert "No such file" in finding.reason


async def test_an_envoy_that_ends_at_once_is_unproven_with_its_last_words() -> None:
    """Whatever it is that was given as a binary."""
    async with EnvoyProver(Path("/bin/false")) as prover:
        (finding,) = await prover.prove((cluster("links"),))
    assert isinstance(finding, Unproven)
    assert "did not start" in finding.reason


async def test_nothing_is_left_behind() -> None:
    """No process and no directory."""
    async with EnvoyProver(BINARY) as prover:
        await prover.prove((cluster("links"),))
        assert prover.pid is not None
        process = Path(f"/proc/{prover.pid}")
        directory = directory_of(process)
        assert exist(process, directory) == [True, True]
    assert exist(process, directory) == [False, False]


async def test_what_a_killed_owner_left_behind_is_removed_by_the_next() -> None:
    """But not what a living one still uses."""
    async with EnvoyProver(BINARY) as living, EnvoyProver(BINARY) as next_one:
        await living.prove((cluster("links"),))
        used = directory_of(Path(f"/proc/{living.pid}"))
        left = abandoned(used)
        await next_one.prove((cluster("links"),))
        assert exist(left, used) == [False, True]


def abandoned(used: Path) -> Path:
    """A directory like `used` whose lock nobody holds."""
    left = used.with_name("byway-prover-abandoned")
    left.mkdir(exist_ok=True)
    (left / "lock").touch()
    return left


def directory_of(process: Path) -> Path:
    arguments = (process / "cmdline").read_bytes().split(b"\0")
    return Path(arguments[arguments.index(b"--config-path") + 1].decode()).parent


def exist(*paths: Path) -> list[bool]:
    return [path.exists() for path in paths]


async def test_what_no_resident_envoy_answers_is_validated_by_a_process_of_its_own(tmp_path: Path) -> None:
    """Here it cannot stay: a wrapper lets Envoy run in validation mode only."""
    wrapper = tmp_path / "envoy"
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *"--mode validate"*) exec {BINARY} "$@";; esac\nexit 1\n')
    wrapper.chmod(0o755)
    good = (cluster("links"), virtual_host("out/good", ("good",), "links"), listener("in"), route("gateway/80", "a"))
    bad = (bad_virtual_host("out/bad"), route("gateway/81", "("), listener("worse", "no.such.filter"))
    async with EnvoyProver(wrapper, start_s=1.0) as prover:
        findings = await prover.prove((*good, *bad))
    assert [type(finding) for finding in findings] == [Rejection] * 3, findings
    assert [finding.resource.name for finding in findings] == ["out/bad", "gateway/81", "worse"]
    assert "terminal filter" in findings[2].reason


async def test_a_resource_that_kills_envoy_is_refused(tmp_path: Path) -> None:
    """No proxy may see it."""
    wrapper = tmp_path / "envoy"
    wrapper.write_text("#!/bin/sh\nkill -SEGV $$\n")
    wrapper.chmod(0o755)
    async with EnvoyProver(wrapper) as prover:
        (finding,) = await prover.prove((cluster("links"),))
    assert isinstance(finding, Rejection)
    assert "SIGSEGV" in finding.reason


async def test_an_envoy_that_is_killed_in_the_middle_of_a_proof_is_replaced(prover: EnvoyProver) -> None:
    """No answer is lost, and the mistake among a thousand is still found."""
    await prover.prove((cluster("warm-up"),))
    assert prover.pid is not None
    asyncio.get_running_loop().call_later(0.05, os.kill, prover.pid, signal.SIGKILL)
    many = [cluster(f"c{n}") for n in range(1_000)]
    assert await rejected(prover, *many[:900], bad_virtual_host("out/bad"), *many[900:]) == ["out/bad"]
    assert prover.n_starts == 2

"""The desk: only an agent may come, for the node in its certificate."""

from __future__ import annotations

import contextlib
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from byway.agent import frames
from byway.agent.desk import UnknownInstance
from byway.agent.frames import Hello
from byway.identity.roles import agent_id, node_dns_name
from byway.identity.spiffe import SpiffeId, workload_id


async def refusal(control: Any, identity: SpiffeId, node: str, hello: Hello) -> grpc.StatusCode:
    """How the desk ends the stream of a caller with that certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = (node_dns_name(node),) if node else ()
    chain = control.authority.issue(identity, key.public_key(), dns_names=names, via="test")
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    tls = grpc.ssl_channel_credentials(control.authority.bundle.pem, key_pem, chain)
    options = [("grpc.ssl_target_name_override", "byway.istio-system.svc")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{control.port}", tls, options=options) as channel:
        call: Any = channel.stream_stream(frames.METHOD)  # type: ignore[call-arg]
        stream = call()
        await stream.write(frames.encoded(hello))
        with contextlib.suppress(grpc.aio.AioRpcError):
            await stream.read()
        code: grpc.StatusCode = await stream.code()
        return code


async def test_a_workload_is_refused(control: Any) -> None:
    """It holds a good certificate, of another identity."""
    web = workload_id("cluster.local", "default", "web")
    assert await refusal(control, web, "", Hello("here", "demo")) is grpc.StatusCode.PERMISSION_DENIED
    assert control.desk.nodes == ()


async def test_an_agent_cannot_speak_for_another_node(control: Any) -> None:
    """The node is read from the certificate."""
    code = await refusal(control, agent_id(control.trust_domain), "here", Hello("there", "demo"))
    assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_an_agent_whose_certificate_names_no_node_is_refused(control: Any) -> None:
    """It was not attested."""
    code = await refusal(control, agent_id(control.trust_domain), "", Hello("here", "demo"))
    assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_an_instance_that_nobody_runs_cannot_be_asked(control: Any) -> None:
    """At once, not after a timeout."""
    with pytest.raises(UnknownInstance, match="byway status"):
        await control.desk.ask("nobody-1", "/config_dump")

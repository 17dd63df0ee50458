"""The way to the CA: the agent itself through the control socket, its workloads over mutual TLS.

An agent that has a certificate gets its next one over mutual TLS as well, where no control plane answers on the socket of
its host: any that has the mesh's CA will do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import grpc
import grpc.aio

from byway.agent.credentials import Credential, NotIssued
from byway.agent.uplink import NoCredentialYet, Uplink, certificate_channel
from byway.identity.certificate_service import (
    IMPERSONATED_IDENTITY,
    NODE,
    PATH,
    CertificateRequest,
    decoded_response,
    encoded_request,
)
from byway.identity.spiffe import SpiffeId

_GONE: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class GrpcIssuer:
    """The CA over gRPC; `addresses` are the control planes, `own` gives the agent's certificate once it has one."""

    def __init__(
        self,
        control_socket: Path,
        addresses: tuple[str, ...],
        timeout_s: float = 5.0,
        own: Callable[[], Credential | None] = lambda: None,
    ) -> None:
        self._control_socket = control_socket
        self._timeout_s = timeout_s
        self._agent: Credential | None = None
        self._own = own
        self._uplink = Uplink(addresses, lambda: self._agent, certificate_channel)

    async def attest(self, csr_pem: bytes, node: str, wished_s: int) -> tuple[str, ...]:
        """The agent's own certificate."""
        try:
            async with grpc.aio.insecure_channel(f"unix:{self._control_socket}") as channel:
                return await self._call(channel, CertificateRequest(csr_pem, wished_s, {NODE: node}))
        except NotIssued as fault:
            self._agent = self._own()
            if self._agent is None:
                raise NotIssued(
                    f"{fault} (an agent has its first certificate from a control plane of its own host: start one with "
                    f"byway serve --state {self._control_socket.parent})"
                ) from fault
        return await self._asked(CertificateRequest(csr_pem, wished_s, {}))

    async def impersonate(self, csr_pem: bytes, target: SpiffeId, agent: Credential, wished_s: int) -> tuple[str, ...]:
        """A workload's certificate, over mutual TLS as `agent`."""
        self._agent = agent
        return await self._asked(CertificateRequest(csr_pem, wished_s, {IMPERSONATED_IDENTITY: str(target)}))

    async def close(self) -> None:
        """Closes the connections."""
        await self._uplink.close()

    async def _asked(self, request: CertificateRequest) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(self._timeout_s):
                channel = await self._uplink.connected()
        except TimeoutError as fault:
            raise NotIssued("the CA cannot be reached (is a control plane running?)") from fault
        except NoCredentialYet as fault:
            raise NotIssued(str(fault)) from fault
        try:
            return await self._call(channel, request)
        except NotIssued as fault:
            if isinstance(fault.__cause__, grpc.aio.AioRpcError) and fault.__cause__.code() in _GONE:
                self._uplink.leave(channel)
            raise

    async def _call(self, channel: grpc.aio.Channel, request: CertificateRequest) -> tuple[str, ...]:
        try:
            method = channel.unary_unary(PATH, request_serializer=bytes, response_deserializer=bytes)
            encoded = await method(encoded_request(request), timeout=self._timeout_s)
        except grpc.aio.AioRpcError as fault:
            raise NotIssued(f"the CA answered {fault.code().name}: {fault.details()}") from fault
        return decoded_response(encoded)

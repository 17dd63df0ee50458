"""A workload's way to the control plane: mutual TLS with the workload's own certificate, kept up with its rotation.

A rotation opens a new channel at the next call. Calls that run on the old channel go on there, hold it as long as they
last, and it closes with the last of them. So a rotation breaks nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import grpc
import grpc.aio

from byway.ads.relay import CHANNEL_OPTIONS
from byway.agent.credentials import Credential
from byway.base.errors import FaultError
from byway.identity.roles import CONTROL_PLANE_HOST


class NoCredentialYet(FaultError):
    """There is no certificate so far, so nothing can be asked in its name."""


class Way(Protocol):
    """Opens a channel as one identity."""

    def __call__(self, address: str, credential: Credential) -> grpc.aio.Channel:
        """The channel, not yet connected."""


def discovery_channel(address: str, credential: Credential) -> grpc.aio.Channel:
    """A channel for long streams: it finds a peer that is gone without a word, and comes back soon."""
    tls = grpc.ssl_channel_credentials(credential.bundle_pem, credential.key_pem, credential.chain_pem)
    options = [
        *CHANNEL_OPTIONS,
        ("grpc.ssl_target_name_override", CONTROL_PLANE_HOST),
        ("grpc.use_local_subchannel_pool", 1),  # a rotated certificate means a new connection, never a shared one
        ("grpc.enable_http_proxy", 0),
    ]
    return grpc.aio.secure_channel(address, tls, options=options)


class Uplink:
    """The channel of one identity."""

    def __init__(self, address: str, current: Callable[[], Credential | None], way: Way = discovery_channel) -> None:
        self._address = address
        self._current = current
        self._way = way
        self._serial = ""
        self._channel: grpc.aio.Channel | None = None
        self._issued = asyncio.Event()

    def credential_arrived(self) -> None:
        """Ends the wait for the first certificate."""
        self._issued.set()

    async def issued(self) -> None:
        """Waits for the first certificate."""
        await self._issued.wait()

    def channel(self) -> grpc.aio.Channel:
        """The channel for the next call, under the certificate in use now; raises NoCredentialYet."""
        credential = self._current()
        if credential is None:
            raise NoCredentialYet("no certificate yet (the certificate authority has not answered)")
        if self._channel is None or self._serial != credential.facts.serial:
            self._channel = self._way(self._address, credential)
            self._serial = credential.facts.serial
        return self._channel

    async def close(self) -> None:
        """Closes the channel, and with it its calls."""
        if self._channel is not None:
            await self._channel.close(None)
            self._channel = None

"""A workload's way to the control plane: mutual TLS with the workload's own certificate, kept up with its rotation.

A rotation opens a new channel at the next call. Calls that run on the old channel go on there, hold it as long as they
last, and it closes with the last of them. So a rotation breaks nothing.

There may be several control planes. Each agent has its own order of them, from a hash of its node's name, so agents spread
out. A call goes to the one in use; where that cannot be reached, to the next. Away from home, the first of its order, an
uplink looks now and then whether home is back, and then has its calls end and come there: to move costs nothing, since nothing is
sent again. One uplink's trouble moves no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import grpc
import grpc.aio
import structlog

from byway.ads.relay import CHANNEL_OPTIONS
from byway.agent.credentials import Credential
from byway.base.digest import digest
from byway.base.errors import FaultError
from byway.identity.roles import CONTROL_PLANE_HOST

_ATTEMPT_S: Final = 1.0
_PAUSE_S: Final = 0.2
_HOME_S: Final = 60.0
log = structlog.get_logger(__name__)


class NoCredentialYet(FaultError):
    """There is no certificate so far, so nothing can be asked in its name."""


class Way(Protocol):
    """Opens a channel as one identity."""

    def __call__(self, address: str, credential: Credential) -> grpc.aio.Channel:
        """The channel, not yet connected."""


def addresses_for(node: str, text: str) -> tuple[str, ...]:
    """The control planes in HOST:PORT,HOST:PORT in the order in which this node's agent goes to them."""
    found = dict.fromkeys(address.strip() for address in text.split(","))
    return tuple(sorted(found, key=lambda address: digest(f"{node} {address}".encode())))


def discovery_channel(address: str, credential: Credential) -> grpc.aio.Channel:
    """A channel for long streams: it finds a peer that is gone without a word, and comes back soon."""
    return _channel(address, credential, CHANNEL_OPTIONS)


def certificate_channel(address: str, credential: Credential) -> grpc.aio.Channel:
    """A channel for a request now and then."""
    backoff = (("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 5000))
    return _channel(address, credential, backoff)


def _channel(address: str, credential: Credential, options: Sequence[tuple[str, int]]) -> grpc.aio.Channel:
    """The server must prove to be the control plane."""
    tls = grpc.ssl_channel_credentials(credential.bundle_pem, credential.key_pem, credential.chain_pem)
    own = [
        *options,
        ("grpc.ssl_target_name_override", CONTROL_PLANE_HOST),
        ("grpc.use_local_subchannel_pool", 1),  # a rotated certificate means a new connection, never a shared one
        ("grpc.enable_http_proxy", 0),
    ]
    return grpc.aio.secure_channel(address, tls, options=own)


class Uplink:
    """The channel of one identity; `addresses` are the control planes, home first."""

    def __init__(
        self, addresses: Sequence[str], current: Callable[[], Credential | None], way: Way = discovery_channel
    ) -> None:
        self._addresses = tuple(addresses)
        self._current = current
        self._way = way
        self._place = 0
        self._serial = ""
        self._channel: grpc.aio.Channel | None = None
        self._came_home = asyncio.Event()
        self._issued = asyncio.Event()

    def credential_arrived(self) -> None:
        """Ends the wait for the first certificate."""
        self._issued.set()

    async def issued(self) -> None:
        """Waits for the first certificate."""
        await self._issued.wait()

    @property
    def address(self) -> str:
        """The control plane in use."""
        return self._addresses[self._place]

    async def connected(self) -> grpc.aio.Channel:
        """The channel for the next call, under the certificate in use now, to a control plane that answers.

        Raises NoCredentialYet. It waits as long as none answers: its caller knows for how long that makes sense.
        """
        while True:
            for _ in self._addresses:
                channel = self.channel()
                if await self._is_ready(channel):
                    return channel
                self.leave(channel)
            await asyncio.sleep(_PAUSE_S)

    def channel(self) -> grpc.aio.Channel:
        """The same, connected or not; raises NoCredentialYet."""
        credential = self._credential()
        if self._channel is None or self._serial != credential.facts.serial:
            self._use(self._way(self.address, credential), credential)
        assert self._channel is not None
        return self._channel

    def leave(self, channel: grpc.aio.Channel) -> None:
        """Goes on to the next control plane, if this channel is still the one in use."""
        if channel is self._channel and len(self._addresses) > 1:
            self._place = (self._place + 1) % len(self._addresses)
            self._channel = None

    async def stay_home(self) -> None:
        """Looks now and then, while away from home, whether home is back, and goes there; until cancelled."""
        while len(self._addresses) > 1:
            await asyncio.sleep(_HOME_S * random.uniform(0.5, 1.5))  # noqa: S311 - agents must not come all at once
            with contextlib.suppress(NoCredentialYet):
                await self.go_home()

    async def go_home(self) -> bool:
        """Recalls all calls, if they are elsewhere and home answers; whether it did."""
        if self._place == 0:
            return False
        credential = self._credential()
        fresh = self._way(self._addresses[0], credential)
        if self._place == 0 or not await self._is_ready(fresh):
            await fresh.close(None)
            return False
        self._place = 0
        self._use(fresh, credential)
        came_home, self._came_home = self._came_home, asyncio.Event()
        came_home.set()
        log.info("back at the control plane of its choice", address=self.address)
        return True

    async def recalled(self) -> None:
        """Waits until the calls that run now should come home, which they do by ending."""
        await self._came_home.wait()

    async def close(self) -> None:
        """Closes the channel, and with it its calls."""
        if self._channel is not None:
            await self._channel.close(None)
            self._channel = None

    def _credential(self) -> Credential:
        credential = self._current()
        if credential is None:
            raise NoCredentialYet("no certificate yet (the certificate authority has not answered)")
        return credential

    def _use(self, channel: grpc.aio.Channel, credential: Credential) -> None:
        self._channel, self._serial = channel, credential.facts.serial

    async def _is_ready(self, channel: grpc.aio.Channel) -> bool:
        """Whether it connects; where there is no other control plane, it is given all the time that its caller has."""
        if len(self._addresses) == 1:
            await channel.channel_ready()
            return True
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
                    if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
                        return False
                    await channel.wait_for_state_change(state)
        except TimeoutError:
            return False
        return True

"""A workload's way to the control plane: mutual TLS with the workload's own certificate, kept up with its rotation.

A rotation opens a new channel at the next call; calls that run on the old channel end there in their own time, and the channel is closed
after the last of them. So a rotation breaks nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import grpc.aio
import msgspec

from byway.agent.credentials import Credential
from byway.base.errors import FaultError


class NoCredentialYet(FaultError):
    """The workload has no certificate so far, so nothing can be asked in its name."""


class Way(Protocol):
    """Opens a channel as one identity."""

    def __call__(self, address: str, credential: Credential) -> grpc.aio.Channel:
        """The channel, not yet connected."""


class _Lane(msgspec.Struct):
    serial: str
    channel: grpc.aio.Channel
    n_calls: int = 0


class Uplink:
    """The channels of one identity: the current one, and older ones with calls still on them."""

    def __init__(self, address: str, current: Callable[[], Credential | None], way: Way) -> None:
        self._address = address
        self._current = current
        self._way = way
        self._lanes: list[_Lane] = []

    @contextlib.asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """A channel for one call; raises NoCredentialYet."""
        lane = await self._lane()
        lane.n_calls += 1
        try:
            yield lane.channel
        finally:
            lane.n_calls -= 1
            await self._close_idle()

    async def close(self) -> None:
        """Closes all channels, and with them their calls."""
        while self._lanes:
            await self._lanes.pop().channel.close(None)

    async def _lane(self) -> _Lane:
        credential = self._current()
        if credential is None:
            raise NoCredentialYet("no certificate yet (the certificate authority has not answered)")
        if not self._lanes or self._lanes[-1].serial != credential.facts.serial:
            self._lanes.append(_Lane(credential.facts.serial, self._way(self._address, credential)))
            await self._close_idle()
        return self._lanes[-1]

    async def _close_idle(self) -> None:
        idle = [lane for lane in self._lanes[:-1] if lane.n_calls == 0]
        self._lanes = [lane for lane in self._lanes if lane not in idle]
        for lane in idle:
            await lane.channel.close(None)

"""A storm comes in by turns, and whoever finds no room is told so in time."""

from __future__ import annotations

import asyncio

import pytest

from byway.ads.entrance import Crowded, Entrance


async def test_as_many_come_in_as_there_is_room_and_the_next_when_one_leaves() -> None:
    """In the order of their coming."""
    entrance = Entrance(2, 10, 5.0)
    came: list[int] = []

    async def come(number: int) -> None:
        await entrance.enter()
        came.append(number)

    tasks = [asyncio.create_task(come(number)) for number in range(5)]
    await _settled()
    assert (came, entrance.n_waiting) == ([0, 1], 3)
    entrance.leave()
    await _settled()
    assert came == [0, 1, 2]
    for _ in range(3):
        entrance.leave()
    await asyncio.gather(*tasks)
    assert came == [0, 1, 2, 3, 4]


async def test_nobody_waits_for_ever_or_in_any_number() -> None:
    """The first is turned away when its time is over, the second at once."""
    entrance = Entrance(1, 1, 0.01)
    await entrance.enter()
    first = asyncio.create_task(entrance.enter())
    await _settled()
    with pytest.raises(Crowded):
        await entrance.enter()
    with pytest.raises(Crowded):
        await first
    assert entrance.n_waiting == 0
    entrance.leave()
    await entrance.enter()


async def test_one_who_gives_up_takes_no_place() -> None:
    """Neither while it waits nor in the moment of its turn."""
    entrance = Entrance(1, 10, 5.0)
    await entrance.enter()
    gone = asyncio.create_task(entrance.enter())
    called = asyncio.create_task(entrance.enter())
    await _settled()
    gone.cancel()
    await _settled()
    entrance.leave()  # it is the turn of `called`, who is cancelled before it can take it
    called.cancel()
    await asyncio.gather(gone, called, return_exceptions=True)
    async with asyncio.timeout(1):
        await entrance.enter()


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)

"""Datagrams to the real world by themselves: before the socket is open, to nobody, more than there is room for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from twinloop.devices.live.udp import WAITING_MAX, UdpCall


class Far:
    """A UDP socket of this machine."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)

    async def got(self) -> tuple[bytes, Any]:
        """One, and from whom."""
        async with asyncio.timeout(10):
            return await asyncio.get_running_loop().sock_recvfrom(self.socket, 2048)


def called(
    at: tuple[str, int], enter: Callable[..., None] | None = None
) -> tuple[UdpCall, list[bytes], list[str]]:
    """A call; what it hears, which limits it meets."""
    heard: list[bytes] = []
    met: list[str] = []
    call = UdpCall(
        loop=asyncio.get_running_loop(), at=at, heard=heard.append, enter=enter or (lambda action, *what: action(*what)),
        on_limit=met.append,
    )  # fmt: skip
    return call, heard, met


async def until(test: Callable[[], bool]) -> None:
    """Looks every ms."""
    async with asyncio.timeout(10):
        while not test():
            await asyncio.sleep(0.001)


def test_what_is_written_before_it_is_open_goes_out() -> None:
    async def body() -> None:
        far = Far()
        call, heard, met = called(far.socket.getsockname())
        call.write(b"one")
        call.write(b"two")
        data, back = await far.got()
        assert (data, (await far.got())[0]) == (b"one", b"two")
        call.write(b"three")
        assert (await far.got())[0] == b"three"
        far.socket.sendto(b"answer", back)
        await until(lambda: bool(heard))
        assert (heard, met) == ([b"answer"], [])
        call.hang_up()
        far.socket.sendto(b"late", back)
        call.write(b"nothing")
        await asyncio.sleep(0.01)
        assert heard == [b"answer"]
        far.socket.close()

    asyncio.run(body())


@pytest.mark.parametrize("at", [("127.0.0.1", 1), ("no.such.name.invalid", 502), ("x" * 300, 502)])
def test_nobody_there_is_silence(at: tuple[str, int]) -> None:
    async def body() -> None:
        call, heard, met = called(at)
        call.write(b"x")
        await asyncio.sleep(0.05)
        call.write(b"x")
        await asyncio.sleep(0.01)
        call.write(b"x")
        assert (heard, met) == ([], [])
        call.hang_up()

    asyncio.run(body())


def test_more_than_there_is_room_for_is_dropped_and_told() -> None:
    async def body() -> None:
        far = Far()
        waiting: list[Any] = []
        call, heard, met = called(far.socket.getsockname(), lambda *what: waiting.append(what))
        for _ in range(WAITING_MAX + 2):
            call.write(b"x")
        assert met == ["datagrams-waiting"] * 2
        _, back = await far.got()
        for _ in range(WAITING_MAX + 3):
            far.socket.sendto(b"y", back)
        await until(lambda: len(met) == 5)
        assert len(waiting) == WAITING_MAX
        for action, *what in waiting:
            action(*what)
        assert len(heard) == WAITING_MAX
        call.pause_writing()
        call.write(b"x")
        assert len(met) == 6
        call.resume_writing()
        call.write(b"x")
        assert len(met) == 6
        call.hang_up()
        far.socket.close()

    asyncio.run(body())


def test_who_hangs_up_before_it_is_open() -> None:
    async def body() -> None:
        far = Far()
        call, heard, _ = called(far.socket.getsockname())
        call.hang_up()
        await asyncio.sleep(0.01)
        assert heard == []
        far.socket.close()

    asyncio.run(body())

"""Sockets and pseudo-terminals by themselves: limits, and bytes that come before anybody is there to take
them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import tty
from collections.abc import Callable
from typing import Any

from pymodbus.framer import FramerRTU

import twinloop.devices.live.tcp
from twinloop.devices.live.pty import SerialLine
from twinloop.devices.live.tcp import TcpConnection, TcpListener


def test_a_flood_on_a_line_is_one_overlong_frame() -> None:
    async def body() -> None:
        met: list[str] = []
        heard: list[bytes] = []
        line = SerialLine(heard.append, met.append)
        port = os.open(line.path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(port)
        os.set_blocking(port, False)  # the line is read by this very thread
        for _ in range(50):
            with contextlib.suppress(BlockingIOError):
                os.write(port, b"x" * 1000)
            await asyncio.sleep(0)
        while not met:
            await asyncio.sleep(0.01)
        assert (met, heard) == (["line-overlong"], [])
        asked = bytes((1, 4, 0, 0, 0, 2))
        os.write(port, asked + FramerRTU.compute_CRC(asked).to_bytes(2, "big"))
        while not heard:
            await asyncio.sleep(0.01)
        assert heard[0][:6] == asked
        os.close(port)
        line.close()

    asyncio.run(body())


def test_a_client_that_does_not_read_is_cut_off() -> None:
    class Full:
        aborted = False

        def get_extra_info(self, name: str) -> tuple[str, int]:
            return ("127.0.0.1", 1)

        def is_closing(self) -> bool:
            return False

        def write(self, data: bytes) -> None:
            assert not self.aborted

        def get_write_buffer_size(self) -> int:
            return twinloop.devices.live.tcp.UNREAD_BYTES_MAX + 1

        def abort(self) -> None:
            self.aborted = True

    met: list[str] = []
    connection = TcpConnection(TcpListener(lambda client: None, lambda call: None, met.append))  # type: ignore[arg-type, return-value]
    transport = Full()
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.write(b"x")
    assert transport.aborted
    assert met == ["client-unread"]


def test_a_line_that_nobody_reads_drops_what_does_not_fit() -> None:
    async def body() -> None:
        met: list[str] = []
        line = SerialLine(lambda frame: None, met.append)
        for _ in range(2000):
            line.write(b"x" * 200)
        assert "line-unread" in met
        line.close()

    asyncio.run(body())


def test_nothing_is_lost_while_the_plant_is_behind() -> None:
    """What a client sets off happens in turn, later: its bytes wait for its caller, who is told of its end
    after them."""

    class Transport:
        paused = False

        def get_extra_info(self, name: str) -> tuple[str, int]:
            return ("127.0.0.1", 1)

        def is_closing(self) -> bool:
            return False

        def pause_reading(self) -> None:
            self.paused = True

        def resume_reading(self) -> None:
            self.paused = False

    class Caller:
        full = False
        on_room: Callable[[], None]

        def received(self, data: bytes) -> None:
            told.append(data)

        def go_on(self) -> None:
            """Nothing waits."""

        def lost(self) -> None:
            told.append("lost")

    told: list[Any] = []
    later: list[Callable[[], None]] = []
    listener = TcpListener(
        lambda client: Caller(), lambda call, *given: later.append(lambda: call(*given)), lambda limit: None
    )
    connection, transport = TcpConnection(listener), Transport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.data_received(b"first")
    assert transport.paused, "no more is read than what waits"
    later.pop(0)()
    later.pop(0)()
    assert not transport.paused
    connection.data_received(b"second")
    connection.connection_lost(None)
    assert told == [b"first"]
    for call in later:
        call()
    assert told == [b"first", b"second", "lost"]
    assert not listener.connections


def test_whoever_is_hung_up_on_at_once_hears_of_it() -> None:
    """A server that resets right after it has accepted, again and again: each call ends in ``lost``, once."""

    async def body() -> None:
        def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            writer.transport.abort()

        server = await asyncio.start_server(reset, "127.0.0.1", 0)
        at = server.sockets[0].getsockname()
        lost: list[int] = []
        loop = asyncio.get_running_loop()
        for i in range(50):
            call = twinloop.devices.live.tcp.Call(
                loop=loop,
                at=at,
                heard=lambda data: None,
                lost=lambda i=i: lost.append(i),
                enter=lambda action, *a: action(*a),
                on_limit=lambda limit: None,
            )
            call.write(b"hello")
            while len(lost) <= i:
                await asyncio.sleep(0.001)
        assert lost == list(range(50))
        refused: list[int] = []
        twinloop.devices.live.tcp.Call(
            loop=loop,
            at=("a..b", 1),
            heard=lambda data: None,
            lost=lambda: refused.append(1),
            enter=lambda action, *a: action(*a),
            on_limit=lambda limit: None,
        )
        while not refused:
            await asyncio.sleep(0.001)
        server.close()

    asyncio.run(asyncio.wait_for(body(), 30))

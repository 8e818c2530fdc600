"""The network under asyncio: order, closing, pausing, cuts, listeners, and on which host a protocol runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.sim.libraries.stacks import Field, on
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.libraries.transport import HERE, WRITE_BYTES_MAX, WRITE_HIGH_BYTES
from twinloop.sim.network.rule import CutRule


class Talk(asyncio.Protocol):
    """Writes down what it is told."""

    def __init__(self, field: Field, name: str) -> None:
        self.field, self.name = field, name
        self.got = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got += data

    def eof_received(self) -> None:
        self.note("eof")

    def connection_lost(self, error: Exception | None) -> None:
        self.note(type(error).__name__)

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")

    def note(self, what: str) -> None:
        self.field.log.append((self.field.env.now, self.name, what))


async def pair(field: Field) -> tuple[Talk, Talk]:
    there: list[Talk] = []

    def accept() -> Talk:
        there.append(Talk(field, "server"))
        return there[-1]

    await on("plc-1", field.loop.create_server(accept, "plc-1", 9))
    _, client = await field.loop.create_connection(lambda: Talk(field, "client"), "plc-1", 9)
    return client, there[0]


def quiet(**figures: Any) -> Field:
    return Field(("plc-1",), **{"delay_ns": 10 * MS, "jitter_ns": 0, **figures})


def test_a_handshake_takes_a_round_trip_and_bytes_come_in_order_whatever_is_lost() -> None:
    async def program(field: Field) -> None:
        client, server = await pair(field)
        assert field.env.now >= 20 * MS
        for number in range(200):
            client.transport.write(bytes([number]) * 100)
            await asyncio.sleep(0.001)
        await asyncio.sleep(30)
        assert server.got == b"".join(bytes([number]) * 100 for number in range(200))

    quiet(loss=0.1).run(program)


def test_a_close_comes_after_what_was_written_and_both_hear_of_it() -> None:
    async def program(field: Field) -> None:
        client, server = await pair(field)
        began = field.env.now
        client.transport.write(b"last words")
        client.transport.close()
        client.transport.write(b"too late")
        assert client.transport.is_closing()
        await asyncio.sleep(1)
        assert server.got == b"last words"
        assert field.log == [
            (began, "client", "NoneType"),
            (began + 10 * MS, "server", "eof"),
            (began + 10 * MS, "server", "NoneType"),
        ]
        assert not field.network.connections

    quiet().run(program)


def test_an_abort_is_a_reset_at_the_other_end() -> None:
    async def program(field: Field) -> None:
        client, _ = await pair(field)
        client.transport.abort()
        await asyncio.sleep(0.1)
        assert sorted(what for _, _, what in field.log) == ["ConnectionResetError", "NoneType"]

    quiet().run(program)


def test_a_cut_stalls_a_connection_and_breaks_it_after_the_user_timeout() -> None:
    async def program(field: Field) -> None:
        client, server = await pair(field)
        rule = CutRule(None, None)
        field.link.rules.append(rule)
        began = field.env.now
        client.transport.write(b"stalled")
        await asyncio.sleep(2)
        assert not server.got
        field.link.rules.remove(rule)
        await asyncio.sleep(3)
        assert server.got == b"stalled"
        field.link.rules.append(rule)
        client.transport.write(b"lost")
        began = field.env.now
        await asyncio.sleep(20)
        assert [(name, what) for _, name, what in field.log] == [
            ("client", "TimeoutError"),
            ("server", "TimeoutError"),
        ]
        assert field.log[0][0] == began + 10 * S

    quiet().run(program)


def test_nobody_there_is_refused_and_nothing_back_is_a_timeout() -> None:
    async def program(field: Field) -> None:
        with pytest.raises(ConnectionRefusedError, match="plc-1:9"):
            await field.loop.create_connection(lambda: Talk(field, "client"), "plc-1", 9)
        assert field.env.now == 20 * MS
        with pytest.raises(OSError, match="no route to host nowhere"):
            await field.loop.create_connection(lambda: Talk(field, "client"), "nowhere", 9)
        field.link.rules.append(CutRule(None, None))
        began = field.env.now
        with pytest.raises(TimeoutError):
            await field.loop.create_connection(lambda: Talk(field, "client"), "plc-1", 9)
        assert field.env.now - began == 10 * S
        with pytest.raises(NotImplementedError, match="TLS"):
            await field.loop.create_connection(lambda: Talk(field, "client"), "plc-1", 9, ssl=True)
        first = await field.loop.create_server(lambda: Talk(field, "server"), "plc-1", 9)
        with pytest.raises(OSError, match="address already in use"):
            await field.loop.create_server(lambda: Talk(field, "server"), "plc-1", 9)
        first.close()
        again = await field.loop.create_server(lambda: Talk(field, "server"), "plc-1", 0)
        assert again.sockets[0].getsockname()[1] > 32_000

    quiet().run(program)


def test_a_writer_is_paused_when_too_much_is_under_way() -> None:
    async def program(field: Field) -> None:
        client, server = await pair(field)
        client.transport.write(bytes(WRITE_HIGH_BYTES + 1))
        assert field.log[-1][2] == "pause"
        await asyncio.sleep(5)
        assert field.log[-1][2] == "resume"
        assert len(server.got) == WRITE_HIGH_BYTES + 1

    quiet(rate_bps=1_000_000).run(program)


def test_a_reader_that_pauses_has_a_named_limit() -> None:
    async def program(field: Field) -> None:
        client, server = await pair(field)
        server.transport.pause_reading()
        client.transport.write(b"x" * 1000)
        await asyncio.sleep(1)
        assert not server.got
        server.transport.resume_reading()
        await asyncio.sleep(1)
        assert len(server.got) == 1000
        server.transport.pause_reading()
        for _ in range(WRITE_BYTES_MAX // (1 << 20) + 1):
            client.transport.write(bytes(1 << 20))
        await asyncio.sleep(10)
        assert ("client", "OSError") in [(name, what) for _, name, what in field.log]

    quiet().run(program)


def test_protocols_run_on_their_own_hosts_all_their_life() -> None:
    class Where(Talk):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.note(f"made on {HERE.get()!r}")

        def data_received(self, data: bytes) -> None:
            self.note(f"data on {HERE.get()!r}")

        def connection_lost(self, error: Exception | None) -> None:
            self.note(f"lost on {HERE.get()!r} {asyncio.get_running_loop() is self.field.loop}")

    async def program(field: Field) -> None:
        await on("plc-1", field.loop.create_server(lambda: Where(field, "server"), "0.0.0.0", 9))
        _, client = await field.loop.create_connection(lambda: Where(field, "client"), "plc-1", 9)
        client.transport.write(b"x")
        await asyncio.sleep(1)
        rule = CutRule(None, None)
        field.link.rules.append(rule)
        client.transport.write(b"lost")
        await asyncio.sleep(20)

    field = quiet()
    field.run(program)
    said = [(name, what) for _, name, what in field.log]
    assert [what for name, what in said if name == "server"] == [
        "made on 'plc-1'",
        "data on 'plc-1'",
        "lost on 'plc-1' True",
    ]
    assert [what for name, what in said if name == "client"] == ["made on ''", "lost on '' True"]


def test_any_address_is_that_of_the_host_that_listens() -> None:
    async def program(field: Field) -> None:
        for host in ("plc-1", "plc-2"):
            await on(host, field.loop.create_server(lambda host=host: Talk(field, host), "0.0.0.0", 9))  # type: ignore[misc]
        with pytest.raises(OSError, match="address already in use"):
            await on("plc-1", field.loop.create_server(lambda: Talk(field, "again"), "0.0.0.0", 9))
        _, client = await field.loop.create_connection(lambda: Talk(field, "client"), "plc-2", 9)
        client.transport.close()
        await asyncio.sleep(1)
        assert {name for _, name, _ in field.log} == {"client", "plc-2"}
        with pytest.raises(OSError, match="only the hub is between"):
            await on("plc-1", field.loop.create_connection(lambda: Talk(field, "client"), "plc-2", 9))

    Field(("plc-1", "plc-2"), delay_ns=MS, jitter_ns=0).run(program)


def test_nothing_comes_after_a_close() -> None:
    class Once(Talk):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.close()

    async def program(field: Field) -> None:
        there: list[Once] = []
        await on(
            "plc-1",
            field.loop.create_server(lambda: there.append(Once(field, "server")) or there[-1], "plc-1", 9),
        )  # type: ignore[func-returns-value]
        _, client = await field.loop.create_connection(lambda: Talk(field, "client"), "plc-1", 9)
        client.transport.write(b"1")
        client.transport.write(b"2")
        await asyncio.sleep(1)
        assert there[0].got == b"1"
        assert not field.network.connections

    quiet().run(program)


def test_a_listener_that_was_closed_does_not_close_its_successor() -> None:
    async def program(field: Field) -> None:
        first = await field.loop.create_server(lambda: Talk(field, "server"), "plc-1", 9)
        waiting = asyncio.ensure_future(first.serve_forever())
        await asyncio.sleep(0.1)
        first.close()
        await waiting
        second = await field.loop.create_server(lambda: Talk(field, "server"), "plc-1", 9)
        first.close()
        assert second.is_serving()
        assert not first.is_serving()

    quiet().run(program)


def test_who_connects_from_a_leg_goes_down_it() -> None:
    """A device that publishes to a broker at the hub: a cut of the way up is a cut of what the hub says."""

    async def program(field: Field) -> None:
        there: list[Talk] = []
        await field.loop.create_server(lambda: there.append(Talk(field, "hub")) or there[-1], "gateway", 9)  # type: ignore[func-returns-value]
        _, device = await on(
            "plc-1", field.loop.create_connection(lambda: Talk(field, "device"), "gateway", 9)
        )
        field.link.rules.append(CutRule(True, None))
        device.transport.write(b"reading")
        there[0].transport.write(b"answer")
        await asyncio.sleep(1)
        assert there[0].got == b"reading"
        assert device.got == b""

    quiet().run(program)

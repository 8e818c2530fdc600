"""asyncio in simulated time: unmodified stacks, one order of things, a network that delays, loses, cuts and resets."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sim.clock import MS, S, Task
from sim.faults import InvariantError
from sim.rule import Cut
from sim.transport import HERE, WRITE_BYTES_MAX, WRITE_HIGH_BYTES
from tests.sim.stacks import PROGRAMS, Field, digest, on

ROOT = Path(__file__).parents[2]


# ---- the stacks -----------------------------------------------------------------------------------------------------
def test_unmodified_stacks_leave_the_same_bytes_in_every_process() -> None:
    found = []
    for seed in ("0", "1", "random"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-m", "tests.sim.stacks", *PROGRAMS], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        found.append(done.stdout.split())
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == len(PROGRAMS)


def test_they_repeat_in_one_process_and_follow_the_seed() -> None:
    assert digest("modbus")[0] == digest("modbus")[0] != digest("modbus", seed=8)[0]
    assert digest("opcua")[0] == digest("opcua")[0]


def test_a_real_modbus_client_polls_a_real_server_over_the_link() -> None:
    _, log = digest("modbus", loss=0.0, delay_ns=5 * MS, jitter_ns=0)
    assert len(log) == 30
    assert {host: values for _, host, values in log} == {f"plc-{i + 1}": [i] * 10 for i in range(3)}
    first = min(at for at, host, _ in log if host == "plc-1")
    assert 20 * MS <= first <= 21 * MS, "a handshake and an exchange: four times 5 ms"


def test_a_real_opc_ua_subscription_publishes_by_the_simulated_clock() -> None:
    _, log = digest("opcua", loss=0.0, jitter_ns=0)
    changes, last = log[:-1], log[-1]
    assert last[1] == 9.0
    values = [value for _, value in changes]
    assert values == sorted(values)
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(changes[1:])]
    assert all(abs(gap % (500 * MS) - 500 * MS) < MS or gap % (500 * MS) < MS for gap in gaps), "every 500 ms, or a multiple"


def test_a_real_broker_delivers_qos_1() -> None:
    _, log = digest("mqtt", loss=0.0)
    assert [text for _, text in log] == ["0", "1", "2", "3", "4"]


def test_four_hundred_tasks_in_sets_end_in_one_order() -> None:
    _, log = digest("crowd")
    ended, results = log
    assert len(ended) == 400
    assert results == tuple(range(400))


# ---- time -----------------------------------------------------------------------------------------------------------
def test_time_is_the_simulations_and_rounded_up_to_a_nanosecond() -> None:
    async def program(field: Field) -> None:
        loop, env = field.loop, field.env
        assert loop.time() == 0.0
        await asyncio.sleep(0.1)
        assert env.now == 100 * MS
        loop.call_at(loop.time() + 1e-10, lambda: field.log.append(env.now))
        loop.call_at(0.0, lambda: field.log.append(env.now))
        loop.call_later(2.5, lambda: field.log.append(env.now))
        cancelled = loop.call_later(1, lambda: field.log.append("never"))
        cancelled.cancel()
        await asyncio.sleep(3)

    field = Field(())
    field.run(program)
    assert field.log == [100 * MS, 100 * MS + 1, 100 * MS + 2_500 * MS]


def test_simpy_tasks_and_coroutines_wait_for_each_other() -> None:
    field = Field(())
    seen: list[Any] = []

    async def answer(after_s: float, value: Any) -> Any:
        await asyncio.sleep(after_s)
        if isinstance(value, Exception):
            raise value
        return value

    def steps() -> Any:
        yield 2 * S
        value = yield field.loop.signal(answer(1.5, "here"))
        seen.append((field.env.now, value))
        problem = yield field.loop.signal(answer(1, KeyError("gone")))
        seen.append((field.env.now, type(problem)))

    Task(field.env, steps())
    while field.env._queue:
        field.env.step()  # nobody called run_until_complete: a World steps the timeline like this
    assert seen == [(3_500 * MS, "here"), (4_500 * MS, KeyError)]
    field.loop.close()


def test_what_nobody_can_wake_is_said_to_hang() -> None:
    async def program(field: Field) -> None:
        await field.loop.create_future()

    with pytest.raises(InvariantError, match="nobody can wake it"):
        Field(()).run(program)


def test_a_callback_that_fails_stops_the_run() -> None:
    async def program(field: Field) -> None:
        field.loop.call_later(1, lambda: 1 // 0)
        await asyncio.sleep(2)

    with pytest.raises(InvariantError, match="in the event loop") as caught:
        Field(()).run(program)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_threads_are_calls_at_once() -> None:
    async def program(field: Field) -> None:
        field.log.append(await asyncio.to_thread(lambda: 7))
        with pytest.raises(ZeroDivisionError):
            await field.loop.run_in_executor(None, lambda: 1 // 0)
        assert field.env.now == 0

    field = Field(())
    field.run(program)
    assert field.log == [7]


# ---- the network ----------------------------------------------------------------------------------------------------
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
        assert field.log == [(began, "client", "NoneType"), (began + 10 * MS, "server", "eof"), (began + 10 * MS, "server", "NoneType")]
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
        rule = Cut(None, None)
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
        assert [(name, what) for _, name, what in field.log] == [("client", "TimeoutError"), ("server", "TimeoutError")]
        assert field.log[0][0] == began + 10 * S

    quiet().run(program)


def test_nobody_there_is_refused_and_nothing_back_is_a_timeout() -> None:
    async def program(field: Field) -> None:
        with pytest.raises(ConnectionRefusedError, match="plc-1:9"):
            await field.loop.create_connection(lambda: Talk(field, "client"), "plc-1", 9)
        assert field.env.now == 20 * MS
        with pytest.raises(OSError, match="no route to host nowhere"):
            await field.loop.create_connection(lambda: Talk(field, "client"), "nowhere", 9)
        field.link.rules.append(Cut(None, None))
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
        rule = Cut(None, None)
        field.link.rules.append(rule)
        client.transport.write(b"lost")
        await asyncio.sleep(20)

    field = quiet()
    field.run(program)
    said = [(name, what) for _, name, what in field.log]
    assert [what for name, what in said if name == "server"] == ["made on 'plc-1'", "data on 'plc-1'", "lost on 'plc-1' True"]
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
        await on("plc-1", field.loop.create_server(lambda: there.append(Once(field, "server")) or there[-1], "plc-1", 9))  # type: ignore[func-returns-value]
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


def test_a_coroutine_that_spins_is_said_to() -> None:
    async def program(field: Field) -> None:
        while True:
            await asyncio.sleep(0)

    place = Field(())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sim.eventloop.TURNS_MAX", 1000)
        with pytest.raises(InvariantError, match="without waiting"):
            place.run(program)


def test_a_closed_loop_does_nothing_more() -> None:
    place = Field(())
    place.loop.call_later(1, lambda: place.log.append("never"))
    place.loop.close()
    while place.env._queue:
        place.env.step()
    assert place.log == []
    with pytest.raises(RuntimeError, match="closed"):
        place.loop.call_soon(print)


def test_who_connects_from_a_leg_goes_down_it() -> None:
    """A device that publishes to a broker at the hub: a cut of the way up is a cut of what the hub says."""

    async def program(field: Field) -> None:
        there: list[Talk] = []
        await field.loop.create_server(lambda: there.append(Talk(field, "hub")) or there[-1], "gateway", 9)  # type: ignore[func-returns-value]
        _, device = await on("plc-1", field.loop.create_connection(lambda: Talk(field, "device"), "gateway", 9))
        field.link.rules.append(Cut(True, None))
        device.transport.write(b"reading")
        there[0].transport.write(b"answer")
        await asyncio.sleep(1)
        assert there[0].got == b"reading"
        assert device.got == b""

    quiet().run(program)

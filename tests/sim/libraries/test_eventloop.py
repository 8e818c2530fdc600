"""asyncio in simulated time: unmodified stacks, one order of things, a network that delays, loses, cuts and
resets."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sim.libraries.stacks import PROGRAMS, Field, digest
from twinloop.sim.kernel.clock import MS, S, Task
from twinloop.sim.kernel.invariants import InvariantError

ROOT = Path(__file__).parents[3]


# ---- the stacks ----------------------------------------------------------------------------------
def test_unmodified_stacks_leave_the_same_bytes_in_every_process() -> None:
    found = []
    for seed in ("0", "random"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-m", "tests.sim.libraries.stacks", *PROGRAMS],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(done.stdout.split())
    assert found[0] == found[1]
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
    assert all(abs(gap % (500 * MS) - 500 * MS) < MS or gap % (500 * MS) < MS for gap in gaps), (
        "every 500 ms, or a multiple"
    )


def test_a_real_broker_delivers_qos_1() -> None:
    _, log = digest("mqtt", loss=0.0)
    assert [text for _, text in log] == ["0", "1", "2", "3", "4"]


def test_four_hundred_tasks_in_sets_end_in_one_order() -> None:
    _, log = digest("crowd")
    ended, results = log
    assert len(ended) == 400
    assert results == tuple(range(400))


# ---- time ----------------------------------------------------------------------------------------
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


def test_a_coroutine_that_spins_is_said_to() -> None:
    async def program(field: Field) -> None:
        while True:
            await asyncio.sleep(0)

    place = Field(())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("twinloop.sim.libraries.event_loop.TURNS_MAX", 1000)
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

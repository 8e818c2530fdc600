"""Each cause of a fault, produced by a real guest on a gateway: what a scenario can count, something can do.

Two no guest can produce. ``host`` is our own mistake (test_faults.py raises one). ``link`` nothing produces but a
scenario's ``fault-component``: what can't be linked is refused before a run.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from tests.components import guests
from tests.plants import component, plant, run
from twinloop.components.contract.contract import PointConfig, Settings, interface
from twinloop.components.host.calling import STOPPED
from twinloop.components.host.capi import amount
from twinloop.components.host.host import Host
from twinloop.components.host.outcome import Cause, Fault
from twinloop.scenarios.file.load import LIBRARY
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import RestartSpec
from twinloop.sim.world import World

HOSTILE = LIBRARY / "hostile" / "hostile-driver.wasm"
GRANTS = ("fieldbus", "clock", "log")
DEEDS = {
    "loop": Cause.OUT_OF_FUEL,
    "flood-log": Cause.OUT_OF_FUEL,
    "flood-stderr": Cause.OUT_OF_FUEL,
    "watch": Cause.OUT_OF_FUEL,
    "grow": Cause.MEMORY_LIMIT,
    "recurse": Cause.STACK,
    "trap": Cause.UNREACHABLE,
    "null-call": Cause.TABLE,
    "wild": Cause.OUT_OF_BOUNDS,
    "huge": Cause.TRANSFER_LIMIT,
    "huge-list": Cause.TRANSFER_LIMIT,
    "bad-utf8": Cause.ABI,
    "double": Cause.CONTRACT,
    "fail": Cause.UNHEALTHY,
    "hold-bus": Cause.DEADLINE,
    "sleep": Cause.DEADLINE,
    "sleep-wasi": Cause.DENIED,
    "hoard": Cause.QUOTA,
    "exit": Cause.EXIT,
}
"""what the hostile driver does -> what it dies of"""
ELSEWHERE = (Cause.STUCK, Cause.DEAD)
"""tried below"""
NOBODY = (Cause.HOST, Cause.LINK)


def does(
    host: Host, deed: str, cpu_ns: int | None = 20 * MS, deadline_ns: int = 200 * MS
) -> tuple[World, Fault]:
    """Two devices for two seconds, the first with a driver that does it at once; its first fault."""
    options = (("timeout", "200 ms"), ("do", deed), ("from", "1"))
    driver = component(
        host, "hostile", "driver", GRANTS, HOSTILE.read_bytes(),
        options=options, cpu_ns=cpu_ns, deadline_ns=deadline_ns,
    )  # fmt: skip
    spec = plant(host, count=2, duration_ns=2 * S, drivers={1: driver})
    gateway = replace(spec.gateways[0], restart=RestartSpec(status_ns=500 * MS))
    world = run(replace(spec, gateways=(gateway,)), host)
    notes = world.gateways[0].supervisor.complaints.faults
    assert [(note.component, note.slot) for note in notes] == [("hostile", "gw/driver/presses/1")]
    return world, notes[0].fault


@pytest.mark.parametrize("deed", DEEDS)
def test_a_deed_has_its_cause(host: Host, deed: str) -> None:
    world, fault = does(host, deed)
    assert fault.cause is DEEDS[deed], fault
    counted = world.gateways[0].supervisor.faults
    assert list(counted) == [("hostile", DEEDS[deed].value)]
    assert counted["hostile", DEEDS[deed].value] >= 1


def test_every_cause_is_here_or_explained() -> None:
    assert {*DEEDS.values(), *ELSEWHERE, *NOBODY} == {*Cause}


@pytest.mark.parametrize("deed", ["flood-log", "flood-stderr", "watch"])
def test_the_time_of_imports_is_the_calls_own(host: Host, deed: str) -> None:
    """Fuel counts no import: the CPU limit does, and without one the deadline. A core isn't held for longer."""
    world, fault = does(host, deed)
    assert fault.message == "more than 20 ms of CPU time in one call"
    spent, died = cost(world)
    assert 20 * MS * died <= spent <= 21 * MS * died + 2 * MS * (died + 1)
    world, fault = does(host, deed, cpu_ns=None, deadline_ns=50 * MS)
    assert fault.cause is Cause.DEADLINE
    spent, died = cost(world)
    assert 50 * MS * died <= spent <= 51 * MS * died + 2 * MS * (died + 1)


def cost(world: World) -> tuple[int, int]:
    """CPU time of the hostile driver, and how often it died."""
    gateway = world.gateways[0]
    meter = gateway.machine.budget.meters["hostile"]
    return meter.cpu_ns, sum(meter.faults.values())


def test_who_computes_when_the_run_is_stopped_is_dead() -> None:
    """An import hears it, long before the end of the slice."""
    own, looks = Host(), 0

    def look() -> int:
        nonlocal looks
        looks += 1
        own.interrupted = looks == 100
        return looks

    handlers: dict[str, Any] = {"clock.monotonic": look, "clock.now": look}
    try:
        instance = own.instantiate(own.link(own.load(HOSTILE, "driver"), GRANTS), handlers, 10**9)
        settings = Settings(
            "d/1",
            [PointConfig(1, "p", "holding:0", "", 1.0, 0.0, None, None)],
            [("do", "watch"), ("from", "1")],
        )
        instance.begin("configure", (settings,), 10**9)
        instance.advance()
        assert instance.result().ok
        instance.begin("read-sensor", (), 10**12)
        instance.advance()
        assert instance.fault is not None
        assert (instance.fault.cause, instance.fault.message, looks) == (Cause.DEAD, STOPPED, 100)
    finally:
        own.close()


def test_a_fault_after_a_call_without_a_fiber_tells_its_fuel(host: Host) -> None:
    """Such a call is given a slice; what it has used is counted from there."""
    linked = host.link(host.load(guests.empty(), "driver"), ())
    used = []
    for fuel in (10**6, 10**9):
        own = Host(fibers=False)
        linked = own.link(own.load(guests.empty(), "driver"), ())
        instance = own.instantiate(linked, {}, 10**6)
        spent = instance.call_at("read-sensor", amount(0), fuel)
        used.append((spent, instance.kill(Cause.CONTRACT, "a wrong answer").fuel_used))
        own.close()
    assert used[0] == used[1]
    assert used[0][0] == used[0][1] > 0


def test_no_guest_can_hold_the_host_itself(host: Host) -> None:
    """Atomic waits would, outside of simulated time: they need a memory that threads share, and there is none."""
    text = guests.driver_text(
        "(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))) EMPTY"
    )
    assert "non-shared memory" in first_fault(host, text).message
    own_memory = "(core module $sh (memory 1 1 shared)) (core instance (instantiate $sh)) (core instance $libc (instantiate $mem))"
    shared = text.decode().replace("(core instance $libc (instantiate $mem))", own_memory).encode()
    assert "shared memory support is disabled" in first_fault(host, shared).message


def first_fault(host: Host, text: bytes, fuel: int = 10**6) -> Fault:
    """Of its start, or of a read."""
    instance = host.instantiate(host.link(host.load(text, "driver"), ()), {}, 10**6)
    try:
        if instance.fault is None:
            instance.begin("read-sensor", (), fuel)
            instance.advance()
        assert instance.fault is not None
        return instance.fault
    finally:
        instance.close()


# ---- the component model's async -----------------------------------------------------------------
WAITS = "(i32.or (i32.const 2) (i32.shl (call $set) (i32.const 4)))"
"""for an empty set"""
ENDS, YIELDS = "(i32.const 0)", "(i32.const 1)"


def async_driver(first: str, again: str) -> bytes:
    """A driver whose functions are typed async; read-sensor answers ``first``, and ``again`` when it is called back."""
    text = guests.driver_text("(unreachable)").decode()
    for old, new in (
        ("(core instance $libc (instantiate $mem))", "(core instance $libc (instantiate $mem)) (core func $set (canon waitable-set.new))"),
        ('(import "libc" "memory" (memory 1))', '(import "libc" "memory" (memory 1)) (import "env" "set" (func $set (result i32)))'),
        ('(with "libc" (instance $libc)) )', '(with "libc" (instance $libc)) (with "env" (instance (export "set" (func $set)))))'),
        ("(func $recurse", f'(func (export "first") (result i32) {first}) (func (export "again") (param i32 i32 i32) (result i32) {again}) (func $recurse'),
        ("(func $configure ", "(func $configure async "),
        ("(func $write-register ", "(func $write-register async "),
        ("(func $get-status ", "(func $get-status async "),
        (
            '(func $read-sensor (result $read) (canon lift (core func $i "read-sensor") (memory (core memory $libc "memory"))))',
            '(func $read-sensor async (result $read) (canon lift (core func $i "first") async (memory (core memory $libc "memory")) (callback (core func $i "again"))))',
        ),
        (f'{interface("driver", "0.1.0")}"', f'{interface("driver-async", "0.1.0")}"'),
    ):  # fmt: skip
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text.encode()


def test_an_async_guest_that_waits_for_nothing_is_stuck(host: Host) -> None:
    fault = first_fault(host, async_driver(WAITS, ENDS))
    assert (fault.cause, "deadlock" in fault.message) == (Cause.STUCK, True)


def test_an_async_guest_that_ends_without_a_result_breaks_the_abi(host: Host) -> None:
    assert first_fault(host, async_driver(ENDS, ENDS)).cause is Cause.ABI


def test_an_async_guest_that_yields_for_ever_hears_that_the_run_is_stopped(host: Host) -> None:
    """Within a second, though a unit of its fuel takes the host a microsecond."""
    assert first_fault(host, async_driver(YIELDS, YIELDS), 10_000).cause is Cause.OUT_OF_FUEL
    stops = threading.Timer(0.05, setattr, (host, "interrupted", True))
    began = time.process_time()
    stops.start()
    try:
        fault = first_fault(host, async_driver(YIELDS, YIELDS), 10**9)
    finally:
        stops.join()
        host.interrupted = False
    assert (fault.cause, fault.message) == (Cause.DEAD, STOPPED)
    assert time.process_time() - began < 1.5, "a slice of another component would take two"

"""Each cause of a fault, produced by a real guest on a gateway: what a scenario can count, something can do.

Three no guest can produce. ``host`` is our own mistake (test_faults.py raises one). ``link`` nothing produces but
a scenario's ``fault-component``: what can't be linked is refused before a run. ``stuck`` is for a guest that waits
for what no import brings; the engine has nothing of the kind (the last test).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.components import guests
from tests.plants import component, plant, run
from twinloop.components.contract.contract import PointConfig, Settings
from twinloop.components.host.host import Host
from twinloop.components.host.instance import STOPPED
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
ELSEWHERE = (Cause.HOST, Cause.LINK, Cause.STUCK, Cause.DEAD)


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
    assert {*DEEDS.values(), *ELSEWHERE} == {*Cause}


@pytest.mark.parametrize("deed", ["flood-log", "flood-stderr", "watch"])
def test_the_time_of_imports_is_the_calls_own(host: Host, deed: str) -> None:
    """Fuel counts no import: the CPU limit does, and without one the deadline. A core isn't held for longer."""
    world, fault = does(host, deed)
    assert fault.message == "more than 20000000 ns of CPU time in one call"
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
        spent = instance.call_at("read-sensor", 0, fuel)
        used.append((spent, instance.kill(Cause.CONTRACT, "a wrong answer").fuel_used))
        own.close()
    assert used[0] == used[1]
    assert used[0][0] == used[0][1] > 0


def test_no_guest_can_wait_for_what_no_import_brings(host: Host) -> None:
    """Atomic waits need a memory that threads share, which the engine doesn't give."""
    text = guests.driver_text(
        "(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))) EMPTY"
    )
    instance = host.instantiate(host.link(host.load(text, "driver"), ()), {}, 10**6)
    instance.begin("read-sensor", (), 10**6)
    instance.advance()
    assert instance.fault is not None
    assert "non-shared memory" in instance.fault.message
    instance.close()
    own_memory = "(core module $sh (memory 1 1 shared)) (core instance (instantiate $sh)) (core instance $libc (instantiate $mem))"
    shared = text.decode().replace("(core instance $libc (instantiate $mem))", own_memory).encode()
    instance = host.instantiate(host.link(host.load(shared, "driver"), ()), {}, 10**6)
    assert instance.fault is not None
    assert "shared memory support is disabled" in instance.fault.message
    instance.close()

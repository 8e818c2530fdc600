"""Cause before effect, CPU time to the nanosecond, instances and cores that serve one at a time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from tests.components import guests
from tests.plants import component, driver, plant, run
from twinloop.components.host.host import Host
from twinloop.components.host.outcome import Cause
from twinloop.sim.accounts.latency import BUS, DRIVER, QUEUE, StageTimes
from twinloop.sim.gateway.call import call
from twinloop.sim.kernel.clock import MS, S, Task
from twinloop.sim.machine.budget import Meter
from twinloop.sim.model.spec import ComponentSpec
from twinloop.sim.world import World


def sleeper(host: Host, text: bytes, name: str = "other", **changes: object) -> ComponentSpec:
    return component(host, name, "driver", ("clock",), text, **{"deadline_ns": S, **changes})


def test_two_cpu_segments_and_one_wait_add(host: Host) -> None:
    """Not the maximum of them, not the wait beside the first segment: the sum, to the nanosecond."""
    wait_ns = 250_000
    world = World(
        plant(host, count=1, drivers={1: sleeper(host, guests.working(5_000, wait_ns, 9_000))}), host
    )
    world.boot()
    gateway, slot, env = world.gateways[0], world.gateways[0].pollers[0].slot, world.env
    times, meter = StageTimes(), slot.meter
    before = meter.cpu_ns, env.now
    task = Task(env, call(gateway.machine, slot, "read-sensor", (), 0, times, DRIVER))
    while not task.done:
        env.step()
    assert task.value is None
    cpu_ns = meter.cpu_ns - before[0]
    assert times.spent_ns[DRIVER] == cpu_ns + wait_ns, "sleep counts as the driver's own time"
    assert env.now - before[1] == cpu_ns + wait_ns
    assert times.spent_ns[QUEUE] == times.spent_ns[BUS] == 0
    world.close()


def test_the_guest_sees_time_pass_while_it_computes(host: Host) -> None:
    """Between two looks at the clock lie so many turns of a loop of 7 fuel each, at the board's price."""
    turns = 200_000
    world = World(plant(host, count=1, drivers={1: sleeper(host, guests.clock_watching(turns))}), host)
    world.boot()
    gateway, slot = world.gateways[0], world.gateways[0].pollers[0].slot
    task = Task(world.env, call(gateway.machine, slot, "read-sensor", (), 0, StageTimes(), DRIVER))
    while not task.done:
        world.env.step()
    assert slot.instance is not None
    tag, microseconds = slot.instance.result().value
    assert tag == "rejected"
    profile = gateway.machine.budget.profile
    least = turns * 5 * profile.fuel_ps // 10**6
    most = turns * 7 * profile.fuel_ps // 10**6 + profile.import_ps // 10**6 + 1
    assert least <= microseconds <= most
    world.close()


def used(meter: Meter) -> tuple[int, ...]:
    """All that has a price."""
    return meter.fuel, meter.calls, meter.imports, meter.exchanges, meter.values, meter.bytes


def test_a_component_costs_exactly_what_the_profile_gives(host: Host) -> None:
    """And on a BeagleBone Black many times the Pi 4's, its fuel part alone more than 100 times."""
    spent = {}
    for board in ("raspberry-pi-4", "raspberry-pi-3", "imx8m-mini", "beaglebone-black"):
        world = run(plant(host, count=2, duration_ns=20 * S, board=board), host)
        budget = world.gateways[0].machine.budget
        for meter in budget.meters.values():
            assert meter.cpu_ns == budget.profile.cpu_ns(*used(meter))
        spent[board] = budget.meters["modbus-driver"]
    pi4, bbb = spent["raspberry-pi-4"], spent["beaglebone-black"]
    assert used(pi4) == used(bbb)
    assert bbb.cpu_ns > 8 * pi4.cpu_ns
    assert bbb.fuel_ns > 100 * pi4.fuel_ns
    assert pi4.cpu_ns < spent["imx8m-mini"].cpu_ns < spent["raspberry-pi-3"].cpu_ns < bbb.cpu_ns


def test_stages_add_up_under_contention_and_the_queue_is_named(host: Host) -> None:
    """Twenty devices due at one instant on one slow core: they queue, first come first served (the sum is
    asserted inside)."""
    world = World(plant(host, count=20, duration_ns=3 * S, board="beaglebone-black", phase_ns=0), host)
    blame = world.latencies.blame(5 * MS, None)
    world.run()
    world.close()
    latency = world.latencies.of()
    assert latency.stages[QUEUE].max > latency.stages[DRIVER].max > 0
    assert blame.stage() == "queue"
    assert blame.waited_for() in ("core", "gw/transform")


def test_a_driver_that_loops_is_cut_at_its_cpu_limit_restarted_and_quarantined(host: Host) -> None:
    healthy = run(plant(host, count=100, duration_ns=20 * S), host)
    looping = component(host, "looping", "driver", (), guests.looping(), cpu_ns=10 * MS)
    spec = plant(host, count=100, duration_ns=20 * S, drivers={3: looping})
    apart = tuple(
        replace(device, fleet=1) if device.name == "presses/3" else device for device in spec.devices
    )
    world = run(replace(spec, devices=apart, fleets=("presses", "rogue")), host)
    gateway, ledger = world.gateways[0], world.ledger
    meter = gateway.machine.budget.meters["looping"]
    assert gateway.supervisor.faults == {("looping", "out-of-fuel"): 5}
    assert gateway.supervisor.quarantined == 1
    assert gateway.supervisor.restarts == 4
    assert meter.fuel_ns // 5 == pytest.approx(10 * MS, rel=0.01)
    third = world.device_index["presses/3"]
    assert ledger.count(devices=[third]) == ledger.due_of[third] == 200
    assert {
        cause: ledger.count(cause=cause, devices=[third]) for cause in ("driver-fault", "quarantined")
    } == {"driver-fault": 50, "quarantined": 150}
    others = [d for d in range(100) if d != third]
    assert ledger.count(devices=others) == 99 * 200
    for rank in (500, 990, 999):
        theirs = world.latencies.of(fleets=[0]).gateway.percentile(rank)
        before = healthy.latencies.of().gateway.percentile(rank)
        assert theirs is not None
        assert before is not None
        assert theirs <= 1.1 * before


def test_one_that_sleeps_for_ever_ends_at_its_deadline(host: Host) -> None:
    for_ever = sleeper(host, guests.sleeping(1 << 62), deadline_ns=300 * MS)
    world = run(plant(host, count=2, duration_ns=3 * S, drivers={1: for_ever}), host)
    assert world.gateways[0].supervisor.faults == {("other", "deadline"): 3}
    assert world.ledger.count(cause="deadline", devices=[0]) == 30
    assert world.ledger.count(devices=[1], cause="") == 30


def test_computing_past_the_deadline_is_a_deadline_and_not_a_cpu_limit(host: Host) -> None:
    looping = component(host, "looping", "driver", (), guests.looping(), deadline_ns=5 * MS)
    world = run(plant(host, count=2, duration_ns=2 * S, drivers={1: looping}), host)
    assert next(iter(world.gateways[0].supervisor.faults)) == ("looping", Cause.DEADLINE.value)


def test_the_timeline_holds_only_ints(host: Host) -> None:
    world = World(plant(host, loss=0.1), host)
    kinds = {}
    world.trace.sinks.append(lambda records: kinds.update({type(record[0]): 1 for record in records}))
    world.run()
    world.close()
    assert list(kinds) == [int]
    assert type(world.env.now) is int


def test_a_process_ends_with_a_thousand_parked_calls_and_exit_code_0() -> None:
    code = textwrap.dedent("""
        from twinloop.components.host.host import Host
        from twinloop.sim.kernel.clock import S
        from twinloop.sim.world import World
        from tests.components import guests
        from tests.plants import component, plant
        host = Host()
        sleeper = component(host, "sleeper", "driver", ("clock",), guests.sleeping(1 << 40), deadline_ns=100 * S)
        world = World(plant(host, count=1000, poll_ns=S, duration_ns=2 * S, drivers={i + 1: sleeper for i in range(1000)}), host)
        world.boot()
        world.advance(S + S // 2)
        parked = sum(poller.slot.instance.request is not None for poller in world.gateways[0].pollers)
        print(parked)
        world.close()
        host.close()
    """)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert done.stdout == "1000\n", done.stderr
    assert done.returncode == 0, done.stderr


def test_a_driver_with_the_world_at_default_settings_is_metered_and_another_not(host: Host) -> None:
    unlimited = driver(host, cpu_ns=None)
    metered = World(plant(host), host)
    free = World(plant(host, drivers={i + 1: unlimited for i in range(5)}), host)
    assert metered.gateways[0].machine.budget.profile.fuel_ps == 280
    assert free.gateways[0].machine.budget.profile.fuel_ps == 190
    metered.close()
    free.close()

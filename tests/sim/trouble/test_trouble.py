"""Every verb of the timeline: its effect on the ledger and on latency, and that it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.components import guests
from tests.plants import component, plant, run
from tests.sim.test_world import conserved
from twinloop.components.host.host import Host
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import Action, Reaction, StoreSpec, UplinkSpec
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World

POINTS = 10


def missed(world: World) -> dict[str, int]:
    return world.ledger.by_cause(End.MISSED)


def during(host: Host, action: Action, **changes: Any) -> World:
    """Ten devices, 20 s, one thing that happens."""
    world = run(plant(host, **{"count": 10, "duration_ns": 20 * S, **changes}, timeline=(action,)), host)
    conserved(world)
    return world


# ---- links ---------------------------------------------------------------------------------------
def test_a_one_way_cut_lets_the_samples_through_and_no_acknowledgement(host: Host) -> None:
    """The cloud has them, the gateway doesn't know: it sends them again."""
    down = during(host, act(5 * S, "cut", "cloud", 8 * S, up=False), uplink=UplinkSpec("cloud", window=1024))
    up = during(host, act(5 * S, "cut", "cloud", 8 * S, up=True), uplink=UplinkSpec("cloud", window=1024))
    assert down.latencies.of().cloud.max < 1 * S, "nobody waited"
    assert up.latencies.of().cloud.max > 2 * S
    assert down.ledger.duplicates == 0, "the stream stood still for 3 s and was not broken"
    long = during(host, act(2 * S, "cut", "cloud", 15 * S, up=False), uplink=UplinkSpec("cloud", window=1024))
    assert long.ledger.duplicates > 0


def test_a_cut_leg_hits_one_device_only(host: Host) -> None:
    world = during(host, act(5 * S, "cut", "plant", 15 * S, leg="presses/3"))
    third = world.device_index["presses/3"]
    assert world.ledger.count(End.MISSED) == world.ledger.count(End.MISSED, devices=[third]) > 50


def test_a_flapping_uplink_loses_nothing_and_comes_back(host: Host) -> None:
    world = during(host, act(2 * S, "flap", "cloud", 18 * S, down_ns=1 * S, up_ns=2 * S))
    assert world.ledger.count(End.DELIVERED) == world.ledger.due
    assert world.latencies.of().cloud.max > 1 * S
    assert not world.links["cloud"].rules


def test_a_field_link_may_degrade_to_another_model(host: Host) -> None:
    slow = during(
        host, act(5 * S, "degrade", "plant", 15 * S, changes=(("delay_ns", 40 * MS), ("jitter_ns", 0)))
    )
    assert slow.latencies.of().gateway.max > 80 * MS
    assert missed(slow) == {}


# ---- gateways ------------------------------------------------------------------------------------
def test_a_clean_shutdown_loses_nothing_and_a_crash_does(host: Host) -> None:
    cut = act(3 * S, "cut", "cloud", 18 * S)
    wide = UplinkSpec("cloud", window=1024, user_timeout_ns=60 * S)
    spec = plant(host, count=10, duration_ns=20 * S, uplink=wide)
    clean = run(replace(spec, timeline=(cut, act(8 * S, "shutdown", "gw", 12 * S))), host)
    crash = run(replace(spec, timeline=(cut, act(8 * S, "crash", "gw", 12 * S))), host)
    conserved(clean)
    conserved(crash)
    assert clean.ledger.count(End.LOST) == 0
    assert crash.ledger.by_cause(End.LOST)["crash"] > 400
    assert missed(clean)["gateway-down"] == missed(crash)["gateway-down"] == (10 * 4 + 1) * POINTS, (
        "one was due while it booted"
    )
    assert clean.gateways[0].state == "up"


def test_a_shutdown_waits_for_polls_under_way_and_not_for_ever(host: Host) -> None:
    sleeper = component(host, "other", "driver", ("clock",), guests.sleeping(1 << 62), deadline_ns=15 * S)
    world = World(
        plant(
            host, count=2, duration_ns=20 * S, drivers={1: sleeper}, timeline=(act(5 * S, "shutdown", "gw"),)
        ),
        host,
    )
    limits: list[Any] = []
    world.trace.sinks.append(lambda records: limits.extend(r for r in records if r[1] == "limit"))
    world.run()
    world.close()
    conserved(world)
    assert [record[:4] for record in limits] == [(10 * S, "limit", 0, "shutdown-grace")]
    assert world.gateways[0].state == "down"


def test_a_power_cut_takes_what_was_not_synced_and_brings_back_what_was_removed(host: Host) -> None:
    store = StoreSpec(commit_ns=2 * S)
    cut = act(1 * S, "cut", "cloud", 9 * S)
    spec = plant(host, count=10, duration_ns=20 * S, store=store)
    power = run(replace(spec, timeline=(cut, act(int(6.05 * S), "power-cut", "gw", 8 * S))), host)
    crash = run(replace(spec, timeline=(cut, act(int(6.05 * S), "crash", "gw", 8 * S))), host)
    conserved(power)
    conserved(crash)
    assert crash.ledger.by_cause(End.LOST).get("power-cut", 0) == 0
    torn = power.ledger.by_cause(End.LOST)["power-cut"] - crash.ledger.by_cause(End.LOST)["crash"]
    assert 0 < torn <= 2 * 10 * POINTS + POINTS, "beside the window, what was stored since the last sync"
    quick = UplinkSpec("cloud", user_timeout_ns=2 * S, retry_max_ns=S)
    drained = plant(
        host,
        count=10,
        duration_ns=20 * S,
        store=store,
        uplink=quick,
        timeline=(cut, act(int(11.05 * S), "power-cut", "gw", 13 * S)),
    )
    draining = run(drained, host)
    conserved(draining)
    assert draining.ledger.duplicates > 0, "acknowledged, removed, not synced: sent again"


def test_a_throttled_cpu_takes_longer_and_recovers(host: Host) -> None:
    spec = plant(host, count=10, duration_ns=20 * S)
    free = run(spec, host)
    slow = run(replace(spec, timeline=(act(0, "throttle", "gw", amount=0.25),)), host)
    for_a_while = run(replace(spec, timeline=(act(5 * S, "throttle", "gw", 10 * S, amount=0.25),)), host)
    conserved(slow)
    meter = free.gateways[0].machine.budget.meters["modbus-driver"]
    slowed = slow.gateways[0].machine.budget.meters["modbus-driver"]
    assert meter.fuel == slowed.fuel
    assert slowed.cpu_ns == pytest.approx(4 * meter.cpu_ns, rel=0.08), "configure was before it"
    assert slow.latencies.of().gateway.percentile(500) > free.latencies.of().gateway.percentile(500)  # type: ignore[operator]
    assert (
        meter.cpu_ns < for_a_while.gateways[0].machine.budget.meters["modbus-driver"].cpu_ns < slowed.cpu_ns
    )
    assert for_a_while.gateways[0].machine.budget.speed == 1.0


def test_a_throttled_cpu_cuts_a_call_at_less_fuel(host: Host) -> None:
    looping = component(host, "looping", "driver", (), guests.looping(), cpu_ns=10 * MS)
    free = run(plant(host, count=2, duration_ns=2 * S, drivers={1: looping}), host)
    slow = run(
        plant(
            host,
            count=2,
            duration_ns=2 * S,
            drivers={1: looping},
            timeline=(act(0, "throttle", "gw", amount=0.5),),
        ),
        host,
    )
    assert slow.gateways[0].machine.budget.meters["looping"].fuel == pytest.approx(
        free.gateways[0].machine.budget.meters["looping"].fuel / 2, rel=0.01
    )


def test_a_squeeze_kills_the_largest_first_and_only_as_many_as_needed(host: Host) -> None:
    spec = plant(host, count=6, duration_ns=10 * S)
    free = World(spec, host)
    free.boot()
    sizes = {slot.name: slot.held_bytes() for slot in free.gateways[0].rack.slots}
    total = free.gateways[0].machine.budget.memory_bytes
    free.close()
    largest = max(sizes.values())
    squeezed = act(int(4.5 * S), "limit-memory", "gw", 8 * S, size_bytes=total - largest - 1)
    world = World(replace(spec, timeline=(squeezed,)), host)
    died: list[Any] = []
    world.trace.sinks.append(
        lambda records: died.extend(r[4] for r in records if r[1] == "breach" and r[0] == squeezed.at_ns)
    )
    world.run()
    world.close()
    conserved(world)
    assert [sizes[name] for name in died] == sorted(sizes.values(), reverse=True)[:2], (
        "two had to go: one and a byte were missing"
    )
    assert world.gateways[0].machine.budget.breaches["memory"] >= 2
    assert all(slot.state in ("ready", "down", "quarantined") for slot in world.gateways[0].rack.slots)


def test_a_full_flash_loses_new_samples_by_name_and_keeps_the_old(host: Host) -> None:
    cut = act(1 * S, "cut", "cloud", 15 * S)
    spec = plant(
        host, count=10, duration_ns=20 * S, timeline=(cut, act(5 * S, "fill", "gw", 10 * S, size_bytes=5000))
    )
    world = run(spec, host)
    conserved(world)
    assert world.ledger.by_cause(End.LOST)["no-store"] > 100
    assert world.ledger.count(End.EVICTED) == 0
    assert world.gateways[0].machine.budget.breaches["flash-full"] > 10


def test_a_clock_that_jumps_ahead_expires_the_store(host: Host) -> None:
    cut = act(2 * S, "cut", "cloud", 18 * S)
    spec = plant(
        host,
        count=4,
        duration_ns=20 * S,
        store=StoreSpec(ttl_ns=3600 * S),
        uplink=UplinkSpec("cloud", window=1),
    )
    right = run(replace(spec, timeline=(cut,)), host)
    ahead = run(replace(spec, timeline=(cut, act(10 * S, "clock-step", "gw", shift_ns=2 * 3600 * S))), host)
    conserved(ahead)
    assert right.ledger.count(End.EVICTED) == 0
    assert ahead.ledger.by_cause(End.EVICTED)["ttl"] > 100


def test_components_see_the_gateways_clock(host: Host) -> None:
    stamps: dict[str, list[bytes]] = {}
    for name, action in {
        "right": (),
        "stepped": (act(0, "clock-step", "gw", shift_ns=-5 * S),),
        "fast": (act(0, "clock-skew", "gw", ppb=10**8),),
    }.items():
        world = World(plant(host, count=1, duration_ns=3 * S, timeline=action), host)
        bodies = stamps[name] = []
        accept = world.cloud.accept
        world.cloud.accept = lambda gateway, message, accept=accept, bodies=bodies: (
            bodies.append(message.body),
            accept(gateway, message),
        )[1]  # type: ignore[method-assign, misc]
        world.run()
        world.close()
    times = {
        name: [int(body.split(b'"t":')[1].split(b",")[0]) for body in bodies]
        for name, bodies in stamps.items()
    }
    assert [a - b for a, b in zip(times["right"], times["stepped"], strict=True)] == [5 * S] * 3
    gained = [a - b for a, b in zip(times["fast"], times["right"], strict=True)]
    assert gained[1] == pytest.approx(S // 10, rel=0.01)
    assert gained[2] == pytest.approx(2 * S // 10, rel=0.01)


# ---- components ----------------------------------------------------------------------------------
@pytest.mark.parametrize("slot", ["gw/transform", "gw/policy", "gw/driver/presses/3"])
def test_an_injected_fault_is_a_restart_and_costs_the_samples_of_its_backoff(host: Host, slot: str) -> None:
    world = during(host, act(5 * S, "fault-component", slot, kind="unreachable"))
    supervisor = world.gateways[0].supervisor
    assert sum(supervisor.faults.values()) == 1
    assert supervisor.restarts == 1
    assert world.ledger.count(End.DELIVERED) >= world.ledger.due - 3 * POINTS * (
        10 if slot == "gw/transform" else 2
    )


@pytest.mark.parametrize("at_ns", [int((5.0 + i * 0.00002) * S) for i in range(0, 60, 3)])
def test_a_component_may_die_at_any_instant_of_a_poll(host: Host, at_ns: int) -> None:
    for slot in ("gw/transform", "gw/policy", "gw/driver/presses/1"):
        world = run(
            plant(
                host,
                count=3,
                duration_ns=8 * S,
                phase_ns=0,
                timeline=(act(at_ns, "fault-component", slot, kind="stuck"),),
            ),
            host,
        )
        conserved(world)
        assert world.gateways[0].machine.budget.memory_bytes == 0
        assert sum(world.gateways[0].supervisor.faults.values()) == 1, "one fault is one fault"
        assert "overrun" not in missed(world), "the device is polled again"
        assert world.ledger.count(End.DELIVERED) >= world.ledger.due - 3 * POINTS


@pytest.mark.parametrize("slot", ["gw/transform", "gw/policy"])
@pytest.mark.parametrize("at_us", range(0, 12_000, 400))
def test_a_component_may_die_while_somebody_waits_for_a_core(host: Host, slot: str, at_us: int) -> None:
    died = act(2 * S + at_us * 1000, "fault-component", slot, kind="unreachable")
    world = run(
        plant(host, count=12, duration_ns=5 * S, board="beaglebone-black", phase_ns=0, timeline=(died,)), host
    )
    conserved(world)
    assert sum(world.gateways[0].supervisor.faults.values()) == 1


def test_a_call_that_ends_late_does_not_kill_the_instance_that_has_come_after(host: Host) -> None:
    sleeper = component(host, "sleeper", "driver", ("clock",), guests.sleeping(500 * MS), deadline_ns=S)
    died = act(2 * S + 100 * MS, "fault-component", "gw/driver/presses/1", kind="unreachable")
    world = run(plant(host, count=1, duration_ns=6 * S, drivers={1: sleeper}, timeline=(died,)), host)
    assert world.gateways[0].supervisor.faults == {("sleeper", "unreachable"): 1}
    assert world.gateways[0].supervisor.restarts == 1


@pytest.mark.parametrize("serial_bd", [None, 19_200])
def test_a_driver_that_dies_on_the_bus_is_followed_by_one_that_polls_and_writes(
    host: Host, serial_bd: int | None
) -> None:
    timeline = (
        act(3 * S + 700_000, "fault-component", "gw/driver/presses/1", kind="stuck"),
        act(6 * S, "write", "presses/1", point="setpoint", value=1.0),
    )
    world = run(plant(host, count=1, duration_ns=10 * S, timeline=timeline, serial_bd=serial_bd), host)
    conserved(world)
    assert world.commands.ended == {"done": 1}
    assert world.ledger.count(End.DELIVERED) >= 8 * POINTS


# ---- devices -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "causes"),
    [
        ("silent", {"timeout"}), ("busy", {"rejected"}), ("truncated", {"timeout"}), ("wrong-transaction", {"malformed"}),
        ("wrong-unit", {"malformed"}), ("length-lie", {"malformed"}),
    ],
)  # fmt: skip
def test_devices_that_speak_wrongly_are_missed_by_name_and_heal(
    host: Host, kind: str, causes: set[str]
) -> None:
    world = during(host, act(5 * S, "device-fault", "presses/2", 15 * S, kind=kind))
    second = world.device_index["presses/2"]
    assert set(missed(world)) == causes
    assert world.ledger.count(End.MISSED) == world.ledger.count(End.MISSED, devices=[second])
    assert 9 * POINTS <= world.ledger.count(End.MISSED) <= 11 * POINTS


def test_an_exception_code_is_a_rejected_poll(host: Host) -> None:
    """And the code is in the trace."""
    events: list[Any] = []
    for code in (4, 6):
        world = World(
            plant(
                host,
                count=10,
                duration_ns=20 * S,
                timeline=(act(5 * S, "device-fault", "presses", 6 * S, kind="exception", code=code),),
            ),
            host,
        )
        world.trace.sinks.append(events.extend)
        world.run()
        world.close()
        assert missed(world) == {"rejected": 10 * POINTS}
    told = [event for event in events if event[1] == "rejected"]
    assert [event[4] for event in told] == [4] * 10 + [6] * 10
    assert {event[2:4] for event in told[:2]} == {(0, 5), (1, 5)}


def test_a_bad_crc_on_a_line_costs_the_retry_and_then_the_sample(host: Host) -> None:
    world = during(
        host, act(0, "device-fault", "presses/1", kind="bad-crc", share=0.5), serial_bd=19_200, count=3
    )
    free = during(host, act(0, "set-poll", "presses/1", 1, period_ns=S), serial_bd=19_200, count=3)
    assert world.field.lines["plant/1"].exchanges > free.field.lines["plant/1"].exchanges
    assert set(missed(world)) <= {"malformed"}


def test_a_slow_device_is_late_or_a_timeout(host: Host) -> None:
    slow = during(host, act(5 * S, "device-fault", "presses/2", 15 * S, kind="slow", delay_ns=100 * MS))
    assert missed(slow) == {}
    assert 100 * MS < slow.latencies.of().gateway.max < 120 * MS  # type: ignore[operator]
    slower = during(host, act(5 * S, "device-fault", "presses/2", 15 * S, kind="slow", delay_ns=300 * MS))
    assert set(missed(slower)) == {"timeout"}


def test_a_sensor_that_is_out_of_range_is_marked_and_may_raise_an_alert(host: Host) -> None:
    spec = plant(
        host,
        count=5,
        duration_ns=20 * S,
        policy=component(host, "route", "policy", ("log",), options=(("alert", "pressure>15"),)),
    )
    world = run(
        replace(
            spec,
            timeline=(
                act(5 * S, "device-fault", "presses", 10 * S, kind="force", point="pressure", value=15.5),
            ),
        ),
        host,
    )
    conserved(world)
    assert world.gateways[0].pipeline.alerts == 5 * 5 * POINTS or world.gateways[0].pipeline.alerts == 5 * 5


# ---- load ----------------------------------------------------------------------------------------
def test_a_faster_poll_is_more_samples_by_the_closed_form_and_ends(host: Host) -> None:
    world = during(host, act(5 * S, "set-poll", "presses", 10 * S, period_ns=200 * MS))
    assert world.ledger.due == 10 * POINTS * (15 + 25)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due


def test_late_is_later_than_the_successor_that_was_due_then(host: Host) -> None:
    slow = act(0, "device-fault", "presses", kind="slow", delay_ns=60 * MS)
    hurried = act(2 * S, "set-poll", "presses", 4 * S, period_ns=20 * MS)
    world = run(plant(host, count=1, duration_ns=8 * S, timeline=(slow, hurried)), host)
    conserved(world)
    assert 0 < world.ledger.late < world.ledger.due // 2


def test_clocks_stay_within_what_a_timestamp_holds(host: Host) -> None:
    far = tuple(
        act(S + i * S // 10, "clock-step", "gw", shift_ns=shift)
        for i, shift in enumerate([-(10**18), -(10**18), 10**18, 10**18, *[10**18] * 12])
    )
    conserved(
        run(plant(host, count=2, duration_ns=6 * S, timeline=far, store=StoreSpec(ttl_ns=3600 * S)), host)
    )


def test_faster_polls_overlap_and_the_last_one_holds(host: Host) -> None:
    both = (
        act(2 * S, "set-poll", "presses", 10 * S, period_ns=500 * MS),
        act(4 * S, "set-poll", "presses/1", 6 * S, period_ns=100 * MS),
    )
    world = run(plant(host, count=4, duration_ns=12 * S, timeline=both), host)
    conserved(world)
    first = world.device_index["presses/1"]
    assert world.ledger.due_of[first] == POINTS * (2 + 4 + 20 + 8 + 2)
    assert world.ledger.due_of[first + 1] == POINTS * (2 + 16 + 2)


def test_more_than_a_line_can_hold_is_an_overrun(host: Host) -> None:
    world = during(
        host, act(5 * S, "set-poll", "presses", 15 * S, period_ns=100 * MS), serial_bd=9600, count=4
    )
    assert missed(world)["overrun"] > 50


# ---- after an event ------------------------------------------------------------------------------
def test_an_entry_may_follow_an_event(host: Host) -> None:
    follows = Reaction("heal cloud", 2 * S, 1, 3 * S, act(0, "crash", "gw"))
    spec = plant(
        host,
        count=4,
        duration_ns=20 * S,
        timeline=(act(3 * S, "cut", "cloud", 5 * S), act(10 * S, "cut", "cloud", 11 * S)),
    )
    world = World(replace(spec, reactions=(follows,)), host)
    seen: list[tuple[int, str]] = []
    world.on_happened.append(lambda event: seen.append((world.env.now, event)))
    world.run()
    world.close()
    conserved(world)
    assert seen == [
        (3 * S, "cut cloud"),
        (5 * S, "heal cloud"),
        (7 * S, "crash gw"),
        (10 * S, "cut cloud"),
        (10 * S, "restart gw"),
        (11 * S, "heal cloud"),
    ] or seen[:3] == [(3 * S, "cut cloud"), (5 * S, "heal cloud"), (7 * S, "crash gw")]
    assert sum(event == "crash gw" for _, event in seen) == 1


def test_troubles_that_overlap_on_one_target_heal_once(host: Host) -> None:
    both = (
        act(2 * S, "device-fault", "presses/1", 6 * S, kind="silent"),
        act(3 * S, "device-fault", "presses/1", 9 * S, kind="stuck", point="force"),
    )
    world = World(plant(host, count=2, duration_ns=12 * S, timeline=both), host)
    seen: list[tuple[int, str]] = []
    world.on_happened.append(lambda event: seen.append((world.env.now, event)))
    world.run()
    world.close()
    assert [(at, event) for at, event in seen if event.startswith("heal")] == [(9 * S, "heal presses/1")]


# ---- a pause -------------------------------------------------------------------------------------
def test_nothing_is_due_of_what_is_paused(host: Host) -> None:
    """Not at the instant of its beginning, and again at that of its end; of two that overlap until the last
    has ended."""
    pauses = act(4 * S, "pause-polling", "presses", 8 * S), act(6 * S, "pause-polling", "presses/1", 12 * S)
    world = run(plant(host, count=3, duration_ns=20 * S, timeline=pauses), host)
    conserved(world)
    first = world.device_index["presses/1"]
    assert [world.ledger.due_of[i] for i in (first, first + 1)] == [POINTS * (4 + 8), POINTS * (4 + 12)]
    assert world.ledger.count(End.DELIVERED) == world.ledger.due


def test_a_pause_goes_over_a_faster_poll_which_goes_on_after_it(host: Host) -> None:
    faster = act(2 * S, "set-poll", "presses", 10 * S, period_ns=500 * MS)
    world = run(
        plant(
            host,
            count=1,
            duration_ns=12 * S,
            timeline=(faster, act(4 * S, "pause-polling", "presses", 7 * S)),
        ),
        host,
    )
    conserved(world)
    assert world.ledger.due == POINTS * (2 + 4 + 6 + 2)


def test_a_pause_without_an_end_lasts_and_what_is_under_way_ends(host: Host) -> None:
    slow = act(0, "device-fault", "presses", kind="slow", delay_ns=100 * MS)
    world = run(
        plant(
            host,
            count=2,
            duration_ns=20 * S,
            timeline=(slow, act(5 * S + 50 * MS, "pause-polling", "presses")),
        ),
        host,
    )
    conserved(world)
    assert world.ledger.due == POINTS * (6 + 5), "the sixth of the first was under way"
    assert world.ledger.count(End.DELIVERED) == world.ledger.due

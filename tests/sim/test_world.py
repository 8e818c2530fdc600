"""Whole small worlds: equal traces, conservation, outages, crashes, retries, serial lines, commands, the
ledger's alarms."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from tests.plants import component, driver, on_lines, plant, run, upgradable
from twinloop.components.host.host import Host
from twinloop.components.releases.registry import Registry, Version
from twinloop.scenarios.file.load import LIBRARY
from twinloop.sim.accounts.ledger import due_instants
from twinloop.sim.accounts.rows import End
from twinloop.sim.cloud.orders import ENDS
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.model.spec import Action, OfferSpec, Reaction, StoreSpec, UplinkSpec, WorldSpec
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World

ROOT = Path(__file__).parents[2]
HUNDRED = "from tests.plants import *; host = Host(); w = run(plant(host, count=100, duration_ns=3 * S, loss=0.01), host); print(w.trace.digest())"


def cut(at_s: float, for_s: float, target: str = "cloud") -> Action:
    return act(int(at_s * S), "cut", target, int((at_s + for_s) * S))


def conserved(world: World) -> None:
    ledger = world.ledger
    assert ledger.open == 0
    assert ledger.due == sum(ledger.count(end) for end in End)
    assert ledger.due == sum(world.closed_form(d) for d in range(len(world.spec.devices)))


def test_a_hundred_sensors_have_equal_digests_in_every_process() -> None:
    digests = []
    settings_of = [{"PYTHONHASHSEED": "0"}, {"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "random"}]
    settings_of.append(
        {"NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA"}
    )
    for extra in settings_of:
        done = subprocess.run(
            [sys.executable, "-c", HUNDRED],
            cwd=ROOT,
            env={**os.environ, **extra},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.append(done.stdout)
    assert len(set(digests)) == 1, digests
    assert len(digests[0].strip()) == 64


def test_seed_and_scale_change_the_trace_and_a_custom_section_does_not(host: Host) -> None:
    def digest(**changes: Any) -> str:
        return run(plant(host, loss=0.05, **changes), host).trace.digest()

    from tests.plants import WASM

    usual = digest()
    assert digest() == usual
    assert digest(seed=8) != usual
    data = (WASM / "route.wasm").read_bytes()
    marked = component(host, "route", "policy", ("log",), data + b"\x00\x05\x03xyz1")
    assert marked.component.sha256 != component(host, "route", "policy", ("log",)).component.sha256
    assert digest(policy=marked) == usual


def test_a_changed_register_scale_changes_the_trace(host: Host) -> None:
    from dataclasses import replace

    spec = plant(host, count=2)
    model = spec.devices[0].model
    points = tuple(
        replace(point, scale=0.05) if point.name == "vibration" else point for point in model.points
    )
    coarse = tuple(replace(device, model=replace(model, points=points)) for device in spec.devices)
    assert run(replace(spec, devices=coarse), host).trace.digest() != run(spec, host).trace.digest()


def test_everything_is_delivered_in_quiet_times(host: Host) -> None:
    world = run(plant(host, count=10), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due == 10 * 5 * 10


def test_an_outage_is_survived_by_the_store(host: Host) -> None:
    world = run(plant(host, count=10, duration_ns=30 * S, timeline=(cut(5, 12),)), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due
    gateway = world.gateways[0]
    assert gateway.outbox.uplink.counts.lost_sessions == 1
    assert gateway.outbox.store is not None
    assert gateway.outbox.store.waiting_peak > 50
    assert world.latencies.of().gateway.percentile(990) < 5 * MS, "a reading never waits for the uplink"
    assert world.latencies.of().cloud.max > 5 * S


def test_without_a_store_an_outage_loses_and_says_so(host: Host) -> None:
    world = run(plant(host, count=10, duration_ns=30 * S, timeline=(cut(5, 12),), store=None), host)
    conserved(world)
    lost = world.ledger.by_cause(End.LOST)
    assert list(lost) == ["no-store"]
    assert lost["no-store"] > 500


def test_a_full_store_evicts_the_oldest_and_says_so(host: Host) -> None:
    world = run(
        plant(
            host, count=10, duration_ns=30 * S, timeline=(cut(5, 20),), store=StoreSpec(capacity_bytes=10_000)
        ),
        host,
    )
    conserved(world)
    assert world.ledger.by_cause(End.EVICTED)["capacity"] > 100
    assert world.gateways[0].outbox.store is not None
    assert world.gateways[0].outbox.store.peak_bytes <= 10_000


def test_what_is_too_old_is_evicted_by_ttl(host: Host) -> None:
    world = run(
        plant(host, count=2, duration_ns=30 * S, timeline=(cut(2, 25),), store=StoreSpec(ttl_ns=5 * S)), host
    )
    conserved(world)
    assert world.ledger.by_cause(End.EVICTED)["ttl"] > 100


def test_what_waits_at_the_end_is_cached(host: Host) -> None:
    world = run(
        plant(
            host,
            count=2,
            duration_ns=10 * S,
            settle_ns=0,
            timeline=(cut(2, 30),),
            uplink=UplinkSpec("cloud", window=2),
        ),
        host,
    )
    conserved(world)
    assert world.ledger.count(End.CACHED) > 0


def test_a_crash_loses_memory_misses_the_dark_time_and_comes_back(host: Host) -> None:
    world = run(
        plant(host, count=10, duration_ns=20 * S, timeline=(act(int(5.05 * S), "crash", "gw", 9 * S),)), host
    )
    conserved(world)
    ledger = world.ledger
    assert ledger.by_cause(End.MISSED) == {"gateway-down": 10 * 10 * 4}
    assert ledger.count(End.LOST) == ledger.count(End.LOST, "crash")
    assert len(world.gateways[0].boots) == 2
    assert world.gateways[0].state == "up"


def test_a_gateway_that_stays_down_strands_its_store(host: Host) -> None:
    world = run(
        plant(host, count=4, duration_ns=20 * S, timeline=(cut(1, 30), act(15 * S, "crash", "gw"))), host
    )
    conserved(world)
    assert world.ledger.by_cause(End.LOST)["stranded"] > 0
    assert world.ledger.count(End.CACHED) == 0


def test_a_restart_is_a_crash_and_a_boot(host: Host) -> None:
    world = run(plant(host, count=4, duration_ns=10 * S, timeline=(act(5 * S, "restart", "gw"),)), host)
    conserved(world)
    assert len(world.gateways[0].boots) == 2
    assert world.ledger.count(End.MISSED) <= 10


def test_a_cut_field_link_times_out_and_heals(host: Host) -> None:
    world = run(plant(host, count=4, duration_ns=30 * S, timeline=(cut(5, 10, "plant"),)), host)
    conserved(world)
    missed = world.ledger.by_cause(End.MISSED)
    assert missed["timeout"] > 100
    assert set(missed) <= {"timeout", "disconnected"}
    assert world.ledger.count(End.DELIVERED) > 600


def test_loss_on_a_stream_is_late_and_never_lost(host: Host) -> None:
    world = run(plant(host, count=10, duration_ns=20 * S, loss=0.03), host)
    conserved(world)
    assert world.ledger.count(End.LOST) == 0
    assert world.latencies.of().gateway.max > 200 * MS, "a retransmission timeout"


def test_degrading_a_link_is_felt_and_undone(host: Host) -> None:
    slow = act(5 * S, "degrade", "plant", 10 * S, changes=(("delay_ns", 20 * MS), ("jitter_ns", 0)))
    world = run(plant(host, count=4, duration_ns=20 * S, timeline=(slow,)), host)
    latency = world.latencies.of().gateway
    assert latency.percentile(900) > 40 * MS
    assert latency.percentile(500) < 3 * MS
    assert world.links["plant"].model is world.links["plant"].healthy


def test_a_write_reaches_the_device_and_the_next_reading(host: Host) -> None:
    seen: list[Any] = []
    write = act(3 * S, "write", "presses/2", point="setpoint", value=4.5)
    world = World(plant(host, count=3, duration_ns=6 * S, timeline=(write,)), host)
    world.commands.on_done.append(lambda command, cause: seen.append((world.env.now, cause)))
    world.run()
    world.close()
    ((at, cause),) = seen
    assert cause is None
    assert 3 * S + 20 * MS < at < 3 * S + 500 * MS, "down the uplink and over the bus"


def test_a_write_waits_for_the_session_and_is_done_after_the_outage(host: Host) -> None:
    seen: list[Any] = []
    write = act(15 * S, "write", "presses/2", point="setpoint", value=4.5)
    world = World(plant(host, count=3, duration_ns=60 * S, timeline=(cut(2, 20), write)), host)
    world.commands.on_done.append(lambda command, cause: seen.append((world.env.now, cause)))
    world.run()
    world.close()
    assert [cause for _, cause in seen] == [None]
    assert seen[0][0] > 22 * S


def test_a_serial_line_is_one_exchange_at_a_time(host: Host) -> None:
    world = run(plant(host, count=8, duration_ns=20 * S, poll_ns=4 * S, serial_bd=9600), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due
    line = world.field.lines["plant/1"]
    timing = line.timing
    assert timing.character_ns == 11 * S // 9600
    exchange = timing.exchange_ns(8, 5 + 2 * 16, MS)
    assert line.occupancy.busy_ns == pytest.approx(line.exchanges * exchange, rel=1e-6)
    assert line.exchanges == 40


def test_a_line_that_is_asked_for_too_much_overruns_and_queues(host: Host) -> None:
    world = run(plant(host, count=30, duration_ns=10 * S, serial_bd=9600), host)
    conserved(world)
    assert world.ledger.by_cause(End.MISSED)["overrun"] > 500
    line = world.field.lines["plant/1"]
    assert line.longest_queue > 10
    assert line.occupancy.busy_ns > 0.97 * 10 * S


def test_overrun_queue_keeps_one(host: Host) -> None:
    patient = {i + 1: driver(host, deadline_ns=10 * S) for i in range(30)}
    skip = run(plant(host, count=30, duration_ns=10 * S, serial_bd=9600, drivers=patient), host)
    queue = run(
        plant(host, count=30, duration_ns=10 * S, serial_bd=9600, drivers=patient, overrun="queue"), host
    )
    conserved(queue)
    assert queue.ledger.count(End.DELIVERED) >= skip.ledger.count(End.DELIVERED)
    assert queue.ledger.late > 0


def test_noise_on_a_line_costs_retries_and_never_a_wrong_frame(host: Host) -> None:
    from dataclasses import replace

    from twinloop.sim.model.spec import LinkSpec
    from twinloop.sim.network.link import LinkModel

    spec = plant(host, count=4, duration_ns=40 * S, poll_ns=4 * S, serial_bd=9600)
    noisy = LinkSpec("plant", LinkModel(corrupt=0.2), 9600)
    world = run(replace(spec, links=(noisy, spec.links[1])), host)
    conserved(world)
    assert world.field.lines["plant/1"].exchanges > 40
    assert set(world.ledger.by_cause(End.MISSED)) <= {"timeout", "malformed"}


def test_a_window_that_is_full_goes_to_the_store_at_once(host: Host) -> None:
    world = run(
        plant(host, count=40, duration_ns=5 * S, phase_ns=0, uplink=UplinkSpec("cloud", window=2)), host
    )
    conserved(world)
    store = world.gateways[0].outbox.store
    assert store is not None
    assert store.written > 50
    assert world.ledger.count(End.DELIVERED) == world.ledger.due


# ---- the ledger's alarms -------------------------------------------------------------------------
def broken_on_purpose(host: Host, how: str) -> str:
    world = World(plant(host, count=2), host)
    ledger, sabotage = world.ledger, {"done": False}
    close = ledger.close

    def bad(row: Any, mask: int, end: End, cause: str = "") -> int:
        if row.k == 2 and not sabotage["done"]:
            sabotage["done"] = True
            if how == "forgotten":
                return 0
            if how == "twice":
                close(row, mask, end, cause)
            if how == "miscounted":
                ledger.ended -= 1
        return close(row, mask, end, cause)

    ledger.close = bad  # type: ignore[method-assign]
    try:
        with pytest.raises(InvariantError) as caught:
            world.run()
    finally:
        world.close()
    return str(caught.value)


def test_a_row_that_is_forgotten_is_named_at_the_end(host: Host) -> None:
    assert "presses/1 k=2 point pressure" in broken_on_purpose(host, "forgotten")


def test_a_row_that_ends_twice_is_named_at_once(host: Host) -> None:
    assert "presses/1 k=2 point pressure ended a second time" in broken_on_purpose(host, "twice")


def test_counters_that_drift_are_found_after_that_event(host: Host) -> None:
    assert "last touched: presses/1 k=2" in broken_on_purpose(host, "miscounted")


@pytest.mark.parametrize(
    ("phase", "period", "duration", "count"),
    [(0, 10, 100, 10), (0, 10, 101, 11), (5, 10, 5, 0), (5, 10, 6, 1), (99, 10, 100, 1)],
)
def test_the_closed_form(phase: int, period: int, duration: int, count: int) -> None:
    assert due_instants(phase, period, duration) == count == len(range(phase, duration, period))


RELEASES = [
    ("modbus-driver", "1.1.0"),
    ("route", "1.1.0"),
    ("route", "1.2.0"),
    ("route", "1.4.0"),
    ("modbus-driver", "1.2.0"),
    ("normalize", "1.4.0"),
]
"""good ones, a trap in configure, one that traps later, a deaf driver, altered bytes"""


@cache
def offers() -> tuple[OfferSpec, ...]:
    """Read and verified once: the properties ask for them hundreds of times."""
    registry = Registry(LIBRARY / "registry")
    return tuple(
        OfferSpec(*registry.read(name, Version.parse(version)))
        for name, version in RELEASES
        if version != "1.1.0"
    )


def offered(spec: WorldSpec) -> WorldSpec:
    """With all of them in its registry."""
    return upgradable(spec, *offers())


at = st.integers(0, 9 * S)
span = st.integers(MS, 12 * S)
point_faults = st.sampled_from(["stuck", "drift", "spike", "dropout", "nan", "force"])
protocol_faults = st.sampled_from(
    ["silent", "slow", "busy", "exception", "truncated", "wrong-unit", "length-lie"]
)
causes = st.sampled_from(["unreachable", "out-of-fuel", "memory-limit", "deadline", "dead"])
devices = st.sampled_from(["presses", "presses/1", "presses/3"])
actions = st.one_of(
    st.builds(
        lambda t, d, link, up: act(t, "cut", link, t + d, up=up),
        at,
        span,
        st.sampled_from(["cloud", "plant"]),
        st.sampled_from([None, True, False]),
    ),
    st.builds(lambda t, d: act(t, "cut", "plant", t + d, leg="presses/2"), at, span),
    st.builds(
        lambda t, d, down, up: act(t, "flap", "cloud", t + d, down_ns=down, up_ns=up),
        at,
        span,
        st.integers(MS, 3 * S),
        st.integers(MS, 3 * S),
    ),
    st.builds(
        lambda t, loss: act(t, "degrade", "plant", t + 2 * S, changes=(("loss", loss),)), at, st.floats(0, 1)
    ),
    st.builds(
        lambda t, d, verb: act(t, verb, "gw", t + d),
        at,
        span,
        st.sampled_from(["crash", "shutdown", "power-cut"]),
    ),
    st.builds(lambda t: act(t, "restart", "gw"), at),
    st.builds(
        lambda t, d, speed: act(t, "throttle", "gw", t + d, amount=speed),
        at,
        span,
        st.sampled_from([0.01, 0.5]),
    ),
    st.builds(
        lambda t, d, left: act(t, "limit-memory", "gw", t + d, size_bytes=left),
        at,
        span,
        st.sampled_from([0, 500_000, 1_500_000]),
    ),
    st.builds(
        lambda t, d, left: act(t, "fill", "gw", t + d, size_bytes=left), at, span, st.sampled_from([0, 2000])
    ),
    st.builds(
        lambda t, d, by: act(t, "clock-step", "gw", t + d, shift_ns=by),
        at,
        span,
        st.integers(-(10**13), 10**13),
    ),
    st.builds(
        lambda t, d, ppb: act(t, "clock-skew", "gw", t + d, ppb=ppb), at, span, st.integers(-(10**8), 10**8)
    ),
    st.builds(
        lambda t, slot, cause: act(t, "fault-component", slot, kind=cause),
        at,
        st.sampled_from(["gw/transform", "gw/policy", "gw/driver/presses/1"]),
        causes,
    ),
    st.builds(
        lambda t, d, on, kind, share: act(
            t, "device-fault", on, t + d, kind=kind, point="pressure", value=9.0, share=share
        ),
        at,
        span,
        devices,
        point_faults,
        st.sampled_from([0.3, 1.0]),
    ),
    st.builds(
        lambda t, d, on, kind, share: act(
            t, "device-fault", on, t + d, kind=kind, delay_ns=250 * MS, code=6, share=share
        ),
        at,
        span,
        devices,
        protocol_faults,
        st.sampled_from([0.3, 1.0]),
    ),
    st.builds(
        lambda t, d, on, period: act(t, "set-poll", on, t + d, period_ns=period),
        at,
        span,
        devices,
        st.integers(20 * MS, 5 * S),
    ),
    st.builds(lambda t: act(t, "write", "presses/1", point="setpoint", value=3.0), at),
    st.builds(
        lambda t, what: act(t, "upgrade", f"gw/{what[0]}", version=what[1]), at, st.sampled_from(RELEASES)
    ),
)
reactions = st.builds(
    lambda event, delay, times, lasts, action: Reaction(
        event, delay, times, lasts, replace(action, until_ns=None)
    ),
    st.sampled_from(["heal cloud", "restart gw", "crash gw", "heal gw", "heal presses/1", "write presses/1"]),
    st.integers(0, 3 * S),
    st.integers(1, 3),
    st.integers(MS, 3 * S),
    actions,
)


@settings(
    max_examples=int(os.environ.get("TWINLOOP_SOAK", "0")) * 10_000 or 150,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    timeline=st.lists(actions, max_size=6), follow=st.lists(reactions, max_size=2),
    store=st.sampled_from([None, StoreSpec(), StoreSpec(capacity_bytes=4000, ttl_ns=3 * S)]),
    seed=st.integers(0, 9), window=st.sampled_from([1, 32]), serial=st.sampled_from([None, None, 2400, 19_200]), deadline_ms=st.sampled_from([250, 1000, 5000]),
    overrun=st.sampled_from(["skip", "queue"]), response_ms=st.sampled_from([1, 190, 300]),
)  # fmt: skip
def test_nothing_is_lost_silently_whatever_happens(
    host: Host,
    timeline: list[Action],
    follow: list[Reaction],
    store: StoreSpec | None,
    seed: int,
    window: int,
    serial: int | None,
    deadline_ms: int,
    overrun: str,
    response_ms: int,
) -> None:
    drivers = {i + 1: driver(host, deadline_ns=deadline_ms * MS) for i in range(3)}
    spec: WorldSpec = plant(
        host,
        count=3,
        duration_ns=10 * S,
        timeline=tuple(timeline),
        store=store,
        seed=seed,
        loss=0.02,
        settle_ns=20 * S,
        drivers=drivers,
        uplink=UplinkSpec("cloud", window=window),
        serial_bd=serial,
        overrun=overrun,
        response_ns=response_ms * MS,
    )
    if serial is not None:  # a line has no legs, and one pair of wires
        spec = replace(spec, timeline=on_lines(spec.timeline))
    world = run(offered(replace(spec, reactions=tuple(follow))), host)
    conserved(world)
    assert all(one.state in ENDS for one in world.rollout.orders)
    assert len(world.commands.issued) == sum(world.commands.ended.values())
    assert world.gateways[0].machine.budget.memory_bytes == 0, "every instance was given back"


def test_a_ledger_that_forgets_is_caught_and_shrunk_to_a_minimal_timeline(host: Host) -> None:
    """Broken on purpose where a crash loses samples: of all timelines the smallest that shows it is one
    crash."""

    def broken(timeline: list[Action]) -> bool:
        world = World(
            offered(
                plant(host, count=3, duration_ns=10 * S, poll_ns=2 * S, timeline=tuple(timeline), settle_ns=S)
            ),
            host,
        )
        close = world.ledger.close

        def forgetful(row: Any, mask: int, end: End, cause: str = "") -> int:
            return 0 if cause == "gateway-down" and row.device == 1 else close(row, mask, end, cause)

        world.ledger.close = forgetful  # type: ignore[method-assign]
        try:
            world.run()
        except InvariantError as error:
            return "presses/2" in str(error)
        finally:
            world.close()
        return False

    shrinking = settings(
        max_examples=400, deadline=None, database=None, phases=(Phase.generate, Phase.shrink)
    )  # and nothing is explained to anybody
    minimal = find(st.lists(actions, max_size=6), broken, random=Random(1), settings=shrinking)
    assert len(minimal) == 1, minimal
    assert minimal[0].verb in ("crash", "shutdown", "power-cut", "restart")

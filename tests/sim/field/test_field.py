"""OPC UA and MQTT devices beside Modbus ones: samples find their ends whatever happens, sessions come back,
stages add up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.plants import component, driver, paired, plant, run
from tests.sim.test_world import actions, conserved
from twinloop.components.host.batch import read_batch
from twinloop.components.host.host import Host
from twinloop.sim.accounts.rows import End
from twinloop.sim.gateway.pipeline import Pipeline
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.model.spec import Action, ComponentSpec, DeviceSpec, MqttSpec, StoreSpec, WorldSpec
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World

POINTS = 10


@pytest.fixture(autouse=True)
def identities(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever happens: a batch is taken for the sample whose instant its payload states (a slow device's is
    250 or 120 ms later)."""
    accepted = Pipeline.accepted

    def checked(pipeline: Pipeline, poller: Any, row: Any, fault: Any, generation: int) -> Any:
        lists = poller.times.lists
        if poller.listens_by_itself and fault is None and lists is not None:
            late_ns = read_batch(lists).times[0] - EPOCH_NS - row.due_ns
            late_ms = -(-late_ns // MS)  # a payload's time is in whole ms
            assert min(poller.times.spent_ns) >= 0
            late[late_ms] = late.get(late_ms, 0) + 1
        return accepted(pipeline, poller, row, fault, generation)

    late: dict[int, int] = {}
    monkeypatch.setattr(Pipeline, "accepted", checked)
    yield
    assert set(late) <= {0, *(120 * n for n in range(6)), *(250 * n for n in range(12))}, late


def mixed(
    host: Host,
    protocols: tuple[str, ...],
    qos: int = 1,
    drivers: dict[str, ComponentSpec] | None = None,
    **changes: object,
) -> WorldSpec:
    """``presses/1`` .. speak these protocols, in order."""
    spec = plant(host, count=len(protocols), **changes)  # type: ignore[arg-type]
    usual = {
        "modbus-tcp": driver(host),
        "opcua": component(
            host,
            "opcua-driver",
            "driver",
            ("fieldbus", "clock", "log"),
            options=(("timeout", "300 ms"),),
            cpu_ns=20 * MS,
            deadline_ns=2 * S,
        ),
        "mqtt": component(
            host,
            "mqtt-driver",
            "driver",
            ("fieldbus", "clock", "log"),
            options=(("timeout", "2 s"),),
            cpu_ns=20 * MS,
        ),
        **(drivers or {}),
    }
    devices = tuple(
        replace(device, protocol=protocol, driver=usual[protocol].name, mqtt=MqttSpec(qos=qos))
        for device, protocol in zip(spec.devices, protocols, strict=True)
    )
    named = {usual[protocol].name: usual[protocol] for protocol in protocols}
    others = tuple(one for one in spec.components if one.role != "driver")
    return replace(spec, devices=devices, components=(*named.values(), *others))


def of(spec: WorldSpec, number: int) -> DeviceSpec:
    return spec.devices[number - 1]


def missed(world: World, device: int, cause: str | None = None) -> int:
    return world.ledger.count(End.MISSED, cause, [device])


def test_all_is_well(host: Host) -> None:
    world = run(mixed(host, ("modbus-tcp", "opcua", "mqtt"), duration_ns=10 * S), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due == 300
    assert world.ledger.duplicates == world.ledger.misordered == 0
    assert world.polls == 30


@pytest.mark.parametrize(("qos", "lost"), [(1, 0), (0, 40)])
def test_a_crash_costs_a_kept_session_nothing(host: Host, qos: int, lost: int) -> None:
    """The gateway is away from 3.2 s to 6.2 s and needs a moment to connect: with QoS 0 three or four samples
    are gone, with QoS 1 none."""
    spec = mixed(
        host, ("mqtt",), qos, duration_ns=10 * S, timeline=(act(3200 * MS, "crash", "gw", 6200 * MS),)
    )
    world = run(spec, host)
    conserved(world)
    assert missed(world, 0) in ((0,) if not lost else (lost - POINTS, lost))
    assert world.ledger.count(End.LOST) == 0
    if lost:
        assert missed(world, 0) == missed(world, 0, "gateway-down") + missed(
            world, 0, "disconnected"
        ) + missed(world, 0, "driver-fault")


@pytest.mark.parametrize("at_ms", range(3000, 3010))
def test_what_the_gateway_had_read_and_not_acknowledged_comes_again(host: Host, at_ms: int) -> None:
    """A crash at any moment of a sample's way: at worst a duplicate, never a loss."""
    world = run(
        mixed(
            host, ("mqtt",), duration_ns=6 * S, timeline=(act(at_ms * MS, "crash", "gw", (at_ms + 500) * MS),)
        ),
        host,
    )
    conserved(world)
    assert world.ledger.count(End.DELIVERED) + world.ledger.count(End.LOST) == world.ledger.due
    assert world.ledger.count(End.LOST) in (0, POINTS), (
        "handed to the uplink, whose window died with the gateway"
    )


def test_a_broker_that_is_away_for_long_is_an_outage_and_no_crash(host: Host) -> None:
    cut = act(2500 * MS, "cut", "plant", 20 * S, leg="broker")
    world = run(mixed(host, ("mqtt", "mqtt"), duration_ns=30 * S, timeline=(cut,)), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due, "the broker kept them"
    assert world.latencies.of().gateway.percentile(990) > 10 * S  # type: ignore[operator]
    world = run(mixed(host, ("mqtt", "mqtt"), 0, duration_ns=30 * S, timeline=(cut,)), host)
    conserved(world)
    assert 340 <= missed(world, 0, "disconnected") + missed(world, 1, "disconnected") <= 400


def test_a_driver_that_dies_beside_a_message_gets_it_again(host: Host) -> None:
    inject = tuple(act(t * S, "fault-component", "gw/driver/presses/1", kind="unreachable") for t in (2, 3))
    world = run(mixed(host, ("mqtt",), duration_ns=8 * S, timeline=inject), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due


def test_a_session_that_is_killed_costs_no_sample_and_a_server_that_is_cut_off_costs_its_polls(
    host: Host,
) -> None:
    timeline = (
        act(2500 * MS, "device-fault", "presses/1", kind="session-kill"),
        act(4500 * MS, "cut", "plant", 7500 * MS, leg="presses/2"),
    )
    world = run(mixed(host, ("opcua", "opcua"), duration_ns=12 * S, timeline=timeline), host)
    conserved(world)
    assert missed(world, 0) == 0
    assert 20 <= missed(world, 1) <= 50
    assert missed(world, 1) == missed(world, 1, "timeout") + missed(world, 1, "disconnected") + missed(
        world, 1, "overrun"
    )


def test_writes_reach_the_process(host: Host) -> None:
    timeline = tuple(act(2500 * MS, "write", f"presses/{n}", point="setpoint", value=7.5) for n in (1, 2, 3))
    world = run(mixed(host, ("modbus-tcp", "opcua", "mqtt"), duration_ns=5 * S, timeline=timeline), host)
    conserved(world)
    assert world.commands.ended == {"done": 3}
    assert (world.truth.commands_checked, world.truth.wrong_writes) == (3, 0)
    for server in world.field.servers:
        device = server.device
        cell = device.image.cell(9)
        assert cell is not None
        assert cell.decode(device.image.read_raw("holding", 14, 2) or b"") == 7.5


@pytest.mark.parametrize("mode", ["hot", "warm", "cold"])
def test_a_pair_takes_over_devices_that_speak_by_themselves(host: Host, mode: str) -> None:
    spec = paired(
        mixed(host, ("opcua", "mqtt", "mqtt"), duration_ns=12 * S, timeline=(act(4200 * MS, "crash", "gw"),)),
        mode,
    )
    world = run(spec, host)
    conserved(world)
    lost = world.ledger.count(End.MISSED) + world.ledger.count(End.LOST)
    assert lost == 0 if mode == "hot" else 0 < lost <= 150
    assert world.pairs[0].leader is not None
    assert world.pairs[0].leader.name == "gw-b"


def test_a_slow_device_is_late_by_what_it_is_slow(host: Host) -> None:
    slow = tuple(
        act(2 * S, "device-fault", f"presses/{n}", 6 * S, kind="slow", delay_ns=120 * MS) for n in (1, 2)
    )
    world = run(mixed(host, ("opcua", "mqtt"), duration_ns=8 * S, timeline=slow), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due
    assert 120 * MS < world.latencies.of().gateway.percentile(1000) < 150 * MS  # type: ignore[operator]


def test_a_connection_that_loses_acknowledgements_shifts_nobodys_identity(host: Host) -> None:
    """The driver knows what comes again and throws it away by itself: what it returns next is another
    sample."""
    cut = act(4500 * MS, "cut", "plant", 9500 * MS, leg="broker", up=True)
    world = run(mixed(host, ("mqtt",), duration_ns=20 * S, timeline=(cut,)), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due
    assert world.ledger.duplicates == 0


@pytest.mark.parametrize("at_us", range(0, 4000, 400))
def test_an_instance_that_dies_in_a_burst_takes_only_its_own_memory_along(host: Host, at_us: int) -> None:
    cut = act(2 * S, "cut", "plant", 8 * S, leg="broker")
    inject = act(9300 * MS + at_us * 1000, "fault-component", "gw/driver/presses/1", kind="unreachable")
    world = run(mixed(host, ("mqtt",), duration_ns=14 * S, poll_ns=250 * MS, timeline=(cut, inject)), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due


def test_only_the_spoilt_messages_of_a_burst_are_refused(host: Host) -> None:
    cut = act(2 * S, "cut", "plant", 6 * S, leg="broker")
    spoil = act(2 * S, "device-fault", "presses/1", 6 * S, kind="truncated", share=0.5)
    world = run(mixed(host, ("mqtt",), duration_ns=8 * S, poll_ns=100 * MS, timeline=(cut, spoil)), host)
    conserved(world)
    assert world.ledger.by_cause(End.MISSED) == {"malformed": missed(world, 0)}
    assert 10 * POINTS < missed(world, 0) < 30 * POINTS


def test_a_queue_that_overflows_while_the_gateway_is_away_ends_its_samples_at_once(host: Host) -> None:
    away = act(2 * S, "crash", "gw", 30 * S)
    world = run(mixed(host, ("mqtt",), duration_ns=35 * S, poll_ns=20 * MS, timeline=(away,)), host)
    conserved(world)
    assert 3000 < missed(world, 0, "gateway-down") < 5000
    assert missed(world, 0, "end-of-run") == 0
    assert world.env.now < 40 * S, "nothing was waited for"


def test_a_driver_that_is_quarantined_says_so_of_what_still_waits(host: Host) -> None:
    killed = tuple(
        act(2 * S + n * 2 * S, "fault-component", "gw/driver/presses/1", kind="unreachable") for n in range(8)
    )
    world = run(mixed(host, ("mqtt",), duration_ns=40 * S, timeline=killed, settle_ns=S), host)
    conserved(world)
    assert world.gateways[0].supervisor.quarantined == 1
    assert missed(world, 0) == missed(world, 0, "quarantined") > 100


def test_a_driver_that_returns_nothing_is_not_asked_without_end(host: Host) -> None:
    from tests.components.guests import empty

    hollow = component(host, "hollow", "driver", ("fieldbus",), empty())
    world = run(mixed(host, ("mqtt",), duration_ns=3 * S, drivers={"mqtt": hollow}, settle_ns=S), host)
    conserved(world)
    assert world.events < 60_000


def test_a_world_can_be_closed_between_any_two_events(host: Host) -> None:
    for events in range(0, 300, 7):
        world = World(mixed(host, ("opcua", "mqtt"), duration_ns=S), host)
        with world.field.inside():
            for _ in range(events):
                world.env.step()
        world.close()


def test_a_thousand_killed_sessions_use_nothing_up(host: Host) -> None:
    from asyncua.server.internal_session import InternalSession

    timeline = tuple(
        act(S + n * 10 * MS, "device-fault", "presses/1", kind="session-kill") for n in range(100)
    )
    world = run(mixed(host, ("opcua",), duration_ns=3 * S, poll_ns=10 * MS, timeline=timeline), host)
    conserved(world)
    assert missed(world, 0) == 0
    assert InternalSession._current_connections <= 1


ua_faults = st.sampled_from(
    ["silent", "slow", "busy", "truncated", "length-lie", "service-fault", "session-kill"]
)
mq_faults = st.sampled_from(["silent", "slow", "truncated"])
moments, spans, shares = st.integers(0, 9 * S), st.integers(MS, 12 * S), st.sampled_from([0.3, 1.0])
of_the_field = st.one_of(
    st.builds(
        lambda t, d, k, s: act(
            t, "device-fault", "presses/1", t + d, kind=k, delay_ns=250 * MS, code=0x80100000, share=s
        ),
        moments,
        spans,
        ua_faults,
        shares,
    ),
    st.builds(
        lambda t, d, k, s: act(t, "device-fault", "presses/2", t + d, kind=k, delay_ns=250 * MS, share=s),
        moments,
        spans,
        mq_faults,
        shares,
    ),
    st.builds(
        lambda t, d, leg: act(t, "cut", "plant", t + d, leg=leg),
        moments,
        spans,
        st.sampled_from(["broker", "presses/1", "presses/2"]),
    ),
    st.builds(lambda t, d, up: act(t, "cut", "plant", t + d, up=up), moments, spans, st.booleans()),
    st.builds(
        lambda t, n, value: act(t, "write", f"presses/{n}", point="setpoint", value=value),
        moments,
        st.integers(1, 3),
        st.sampled_from([3.0, 4.25, 7.0]),
    ),
    st.builds(
        lambda t, n, cause: act(t, "fault-component", f"gw/driver/presses/{n}", kind=cause),
        moments,
        st.integers(1, 3),
        st.sampled_from(["unreachable", "dead"]),
    ),
)
beside = actions.filter(lambda action: action.verb not in ("fault", "upgrade", "write"))


@settings(
    max_examples=int(os.environ.get("TWINLOOP_SOAK", "0")) * 3000 or 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    timeline=st.lists(st.one_of(of_the_field, of_the_field, beside), max_size=6), qos=st.integers(0, 1), seed=st.integers(0, 9),
    mode=st.sampled_from(["", "", "hot", "warm", "cold"]), loss=st.sampled_from([0.0, 0.05]),
    store=st.sampled_from([None, StoreSpec(), StoreSpec(capacity_bytes=4000, ttl_ns=3 * S)]),
)  # fmt: skip
def test_nothing_of_the_field_is_lost_silently(
    host: Host, timeline: list[Action], qos: int, seed: int, mode: str, loss: float, store: StoreSpec | None
) -> None:
    spec = mixed(
        host,
        ("opcua", "mqtt", "mqtt"),
        qos,
        duration_ns=10 * S,
        timeline=tuple(timeline),
        seed=seed,
        loss=loss,
        store=store,
        settle_ns=30 * S,
    )
    world = run(paired(spec, mode) if mode else spec, host)
    conserved(world)
    assert len(world.commands.issued) == sum(world.commands.ended.values())
    assert world.truth.wrong_writes == 0, world.truth.first_command
    assert world.truth.wrong == 0, world.truth.first
    assert all(gateway.machine.budget.memory_bytes == 0 for gateway in world.gateways), (
        "every instance was given back"
    )

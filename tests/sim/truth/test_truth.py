"""The truth check: what drivers say against what devices showed. A driver that believes another table is
caught, and told how it looks; one that is right never is, whatever the field does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.plants import driver, paired, plant, run
from tests.sim.field.test_field import mixed
from tests.sim.redundancy.pair_runs import Seen, at, small
from tests.sim.test_world import conserved
from twinloop.components.contract.contract import PointConfig
from twinloop.components.host.host import Host
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.points import Point
from twinloop.devices.model.signal import Signal
from twinloop.sim import wiring
from twinloop.sim.accounts.rows import End
from twinloop.sim.gateway.pipeline import Pipeline
from twinloop.sim.gateway.reader import point_configs
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.model.spec import OpcUaSpec, WorldSpec
from twinloop.sim.trouble.verbs import act
from twinloop.sim.truth.truth import FIRST, NOT_WRITTEN, SHARE, STRAY_SET, Shown, agree
from twinloop.sim.truth.witness import ModbusWitness, close
from twinloop.sim.world import World


def believing(monkeypatch: pytest.MonkeyPatch, change: Callable[[PointConfig], PointConfig]) -> None:
    """Drivers get another table than the devices have."""

    def changed(model: DeviceModel, first: int, protocol: str) -> list[PointConfig]:
        return [change(point) for point in point_configs(model, first, protocol)]

    monkeypatch.setattr(wiring, "point_configs", changed)


BELIEFS: dict[str, tuple[Callable[[PointConfig], PointConfig], str]] = {
    "word order": (
        lambda p: p._replace(address=p.address.replace(":f32:be", ":f32:sw")),
        "another word order",
    ),
    "scale": (lambda p: p._replace(scale=p.scale * 10.0) if p.name == "stroke" else p, "another scale"),
    "address": (
        lambda p: p._replace(address=p.address.replace(":7:u16", ":8:u16")) if p.name == "vibration" else p,
        "an address that is off by one",
    ),
}


@pytest.mark.parametrize("belief", BELIEFS)
def test_a_driver_that_believes_another_table_is_named(
    host: Host, monkeypatch: pytest.MonkeyPatch, belief: str
) -> None:
    change, kind = BELIEFS[belief]
    believing(monkeypatch, change)
    world = run(plant(host, count=2), host)
    assert world.truth.wrong > 0
    assert world.truth.first is not None
    assert world.truth.first.kind == kind
    assert world.ledger.count(End.DELIVERED) == world.ledger.due, "nobody else would have noticed"


def test_a_number_that_means_that_there_is_no_value_is_none(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device states its sentinel: a driver that knows it has no value there, one that doesn't returns
    65535 as if that were one."""
    spec = plant(
        host,
        count=1,
        duration_ns=10 * S,
        timeline=(act(2 * S, "device-fault", "presses/1", 8 * S, kind="nan", point="vibration"),),
    )
    model = spec.devices[0].model
    points = tuple(
        replace(point, nan=(0xFFFF,)) if point.name == "vibration" else point for point in model.points
    )
    spec = replace(spec, devices=(replace(spec.devices[0], model=replace(model, points=points)),))
    right = run(spec, host)
    assert (right.truth.wrong, right.ledger.status_of) == (0, {(0, 0x809B0000): 6})
    believing(monkeypatch, lambda p: p._replace(sentinels=()))
    wrong = run(spec, host)
    assert wrong.truth.wrong == 6, "of a fault and for a minute after it everything is checked"
    assert wrong.truth.first is not None
    assert wrong.truth.first.kind == "a number that means that there is no value"


def test_a_write_that_went_elsewhere_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    believing(
        monkeypatch,
        lambda p: p._replace(address=p.address.replace(":f32:be", ":f32:sw")) if p.name == "setpoint" else p,
    )
    write = act(2 * S, "write", "presses/1", point="setpoint", value=4.5)
    world = run(plant(host, count=1, timeline=(write,)), host)
    assert world.truth.wrong_writes == 1
    assert world.truth.first_command is not None
    assert (world.truth.first_command.ordered, world.truth.first_command.point) == (4.5, "setpoint")
    assert world.commands.ended == {"done": 1}


PUBLISHED: dict[str, tuple[Callable[[PointConfig], PointConfig], str]] = {
    "another scale": (lambda p: p._replace(scale=10.0) if p.name == "setpoint" else p, ""),
    "another point": (
        lambda p: p._replace(address="values.stroke") if p.name == "setpoint" else p,
        STRAY_SET,
    ),
    "no point at all": (
        lambda p: p._replace(address="values.set-point") if p.name == "setpoint" else p,
        NOT_WRITTEN,
    ),
}


@pytest.mark.parametrize("belief", PUBLISHED)
def test_a_write_that_a_broker_has_taken_is_held_against_the_device(
    host: Host, monkeypatch: pytest.MonkeyPatch, belief: str
) -> None:
    """The driver is told that it is done before the device has heard of it."""
    change, kind = PUBLISHED[belief]
    believing(monkeypatch, change)
    write = act(2 * S, "write", "presses/1", point="setpoint", value=4.5)
    world = run(mixed(host, ("mqtt",), duration_ns=20 * S, timeline=(write,)), host)
    assert world.commands.ended == {"done": 1}
    assert (world.truth.commands_checked, world.truth.wrong_writes) == (1, 1)
    assert world.truth.first_command is not None
    assert world.truth.first_command.kind == kind


def test_a_date_that_isnt_a_whole_microsecond_changes_nothing(host: Host) -> None:
    """A run on the wire has the wall's date, in ns; what a server says of an instant has microseconds."""
    spec = mixed(host, ("opcua", "opcua", "mqtt"), duration_ns=20 * S)
    spec = replace(spec, devices=(replace(spec.devices[0], subscribed=OpcUaSpec()), *spec.devices[1:]))
    world = World(spec, host, epoch_ns=EPOCH_NS + 1_234_567_891)
    try:
        assert world.run()
    finally:
        world.close()
    assert world.truth.checked > 100
    assert world.truth.wrong == 0, world.truth.first


@pytest.mark.parametrize(("heals_s", "checked"), [(8, 2), (100, 0)])
def test_a_device_that_is_away_hears_of_it_later(host: Host, heals_s: int, checked: int) -> None:
    """The broker keeps two orders for it: they are compared when it has heard of them, and nothing is said as
    long as it hasn't."""
    cut = act(1 * S, "cut", "plant", heals_s * S, leg="presses/1")
    writes = tuple(
        act(at_s * S, "write", "presses/1", point="setpoint", value=value)
        for at_s, value in ((2, 4.5), (3, 7.0))
    )
    world = run(mixed(host, ("mqtt",), duration_ns=40 * S, timeline=(cut, *writes), settle_ns=1 * S), host)
    assert world.commands.ended == {"done": 2}
    assert (world.truth.commands_checked, world.truth.wrong_writes) == (checked, 0)


def test_a_driver_that_writes_what_was_ordered_before_is_wrong(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a connection that answers each request nothing that was done comes again."""
    write, last = Pipeline.write, [0.0]

    def behind(pipeline: Pipeline, reader: Any, point: int, value: float) -> Any:
        before, last[0] = last[0], value
        return write(pipeline, reader, point, before)

    monkeypatch.setattr(Pipeline, "write", behind)
    orders = tuple(
        act((1 + n) * S, "write", "presses/1", point="setpoint", value=float(n)) for n in range(1, 11)
    )
    world = run(plant(host, count=1, timeline=orders, duration_ns=15 * S), host)
    assert (world.commands.ended, world.truth.commands_checked, world.truth.wrong_writes) == (
        {"done": 10},
        10,
        10,
    )


@pytest.mark.parametrize("first", ["setpoint", "pressure"])
def test_an_order_that_failed_may_come_to_a_device_all_the_same(host: Host, first: str) -> None:
    """The broker has it, its driver wasn't told: then it comes before the next one, which is right."""
    timeline = (
        act(2 * S, "cut", "plant", 10 * S, leg="presses/1"),
        act(3 * S, "cut", "plant", 7 * S, leg="broker", up=False),
        act(3100 * MS, "write", "presses/1", point="setpoint", value=5.0),
        act(8 * S, "write", "presses/1", point="setpoint", value=7.0),
    )
    if first == "pressure":
        timeline = (
            *timeline[:2],
            act(3100 * MS, "write", "presses/1", point="pressure", value=5.0),
            timeline[3],
        )
    spec = mixed(host, ("mqtt",), duration_ns=30 * S, timeline=timeline)
    model = spec.devices[0].model
    points = tuple(replace(point, writable=True) for point in model.points)
    spec = replace(spec, devices=(replace(spec.devices[0], model=replace(model, points=points)),))
    world = run(spec, host)
    assert world.commands.ended.get("done") == 1
    assert (world.truth.commands_checked, world.truth.wrong_writes) == (1, 0), world.truth.first_command


def troubled(spec: WorldSpec) -> WorldSpec:
    points = [point.name for point in spec.devices[0].model.points]
    lies = [
        act(i * S // 2, "device-fault", "presses", (i + 1) * S // 2, kind=kind, point=points[i], value=3.0)
        for i, kind in enumerate(("stuck", "dropout", "force"))
    ]
    return replace(spec, timeline=(*lies, act(2 * S, "cut", "plant", 3 * S), act(4 * S, "restart", "gw")))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"serial_bd": 19_200, "poll_ns": 2 * S},
        {"device": "tank"},
        {"device": "energy-meter"},
        {"loss": 0.05},
    ],
)
def test_a_driver_that_is_right_is_never_blamed(host: Host, changes: dict[str, object]) -> None:
    world = run(troubled(plant(host, count=3, duration_ns=20 * S, **changes)), host)  # type: ignore[arg-type]
    conserved(world)
    assert world.truth.checked > 0
    assert world.truth.wrong == 0, world.truth.first


@pytest.mark.parametrize("protocol", ["opcua", "mqtt"])
def test_nor_over_other_protocols(host: Host, protocol: str) -> None:
    from tests.plants import component

    other = component(host, f"{protocol}-driver", "driver", ("fieldbus", "clock", "log"))
    spec = plant(host, count=2, duration_ns=20 * S, drivers={1: other, 2: other}, protocol=protocol)
    lie = act(5 * S, "device-fault", "presses/1", 15 * S, kind="nan", point="stroke")
    world = run(replace(spec, timeline=(lie,)), host)
    conserved(world)
    assert world.truth.checked > 0
    assert world.truth.wrong == 0, world.truth.first


def test_how_much_is_checked(host: Host) -> None:
    """The first polls, then a share; everything while something is the matter."""
    calm = run(plant(host, count=1, duration_ns=200 * S), host)
    assert calm.truth.readings == 2000
    assert calm.truth.checked == 10 * (FIRST + (200 - FIRST) // SHARE)
    worried = run(
        plant(
            host,
            count=1,
            duration_ns=200 * S,
            timeline=(act(100 * S + 1, "degrade", "plant", 101 * S, changes=(("delay_ns", MS),)),),
        ),
        host,
    )
    assert worried.truth.checked >= calm.truth.checked + 10 * 50


def test_the_check_changes_no_trace(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = run(plant(host, count=3), host).trace.digest()
    monkeypatch.setattr("twinloop.sim.truth.truth.Truth.look", lambda self, poller, row, batch: None)
    assert run(plant(host, count=3), host).trace.digest() == digest


def test_a_stale_answer_on_a_line_is_named(host: Host) -> None:
    """A device that answers after its driver's timeout, into the retry: the answer to the request before is
    taken for this one's."""
    patient = driver(host, options=(("timeout", "200 ms"), ("retries", "1")), deadline_ns=None)
    spec = plant(host, count=1, serial_bd=9600, poll_ns=2 * S, duration_ns=40 * S, drivers={1: patient})
    late = act(0, "device-fault", "presses/1", 40 * S, kind="slow", delay_ns=230 * MS)
    world = run(replace(spec, timeline=(late,)), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED) > 0, "the retry finds the late answer"
    assert world.truth.wrong == 0, (
        "read within the same poll: the device did show it between the first request and now"
    )


@pytest.mark.parametrize(
    ("value", "shown", "right"),
    [
        (12.3, Shown(12.3, 0.1), True), (12.300000001, Shown(12.3, 0.1), True), (12.4, Shown(12.3, 0.1), False), (1.5, Shown(1.5, 0.0, True), True),
        (1.5000001, Shown(1.5, 0.0, True), True), (1.5000001, Shown(1.5), False), (float("nan"), Shown(float("nan")), True), (0.0, Shown(float("nan")), False),
        (2.0**60, Shown(2.0**60, 1.0), True), (2.0**53 + 2, Shown(2.0**53, 1.0), False),
    ],
)  # fmt: skip
def test_what_counts_as_equal(value: float, shown: Shown, right: bool) -> None:
    assert agree(value, shown) is right


# ---- pairs: the row ends with the share of whoever led -------------------------------------------
def test_a_hot_pair_whose_leader_read_bad_has_missed_it(host: Host) -> None:
    """The leader's own connection refuses its reads, the standby reads well and lets go: the sample was
    missed."""
    world = World(paired(small(host, count=2), "hot"), host)
    leader = world.gateways[0].pollers[0]
    ports = leader.port.server  # type: ignore[attr-defined]
    from twinloop.devices.model.misbehaviour import Misbehaviour

    end = ports.misbehave(Misbehaviour("exception", 1, 2))
    for server in ports._connections[1:]:  # the standby's connection answers well
        server.faults = []
    try:
        world.run()
    finally:
        world.close()
    end()
    conserved(world)
    assert world.ledger.count(End.MISSED, "rejected", [0]) == 15 * 10
    assert world.ledger.count(End.LOST) == 0
    assert world.ledger.count(End.DELIVERED, None, [1]) == 15 * 10


def test_what_a_standby_delivers_after_its_promotion_counts(host: Host) -> None:
    seen = Seen(paired(small(host, at(5, "crash", "gw", 8)), "hot"), host)
    assert seen.ended_as(End.DELIVERED) == set(seen.ends)


def test_bad_through_a_store_and_a_power_cut_keeps_its_quality(host: Host) -> None:
    """Readings without a value (the device had none) wait in the store, lose power, are drained: delivered as
    Bad, each once."""
    from twinloop.devices.catalogue.catalog import model

    sentinel = replace(
        model("press-sensor"),
        points=tuple(
            replace(p, nan=(0xFFFF,)) if p.name == "state" else p for p in model("press-sensor").points
        ),
    )
    spec = plant(host, count=1, duration_ns=40 * S)
    spec = replace(spec, devices=tuple(replace(device, model=sentinel) for device in spec.devices))
    trouble = (
        act(5 * S, "cut", "cloud", 25 * S),
        act(8 * S, "device-fault", "presses/1", 12 * S, kind="nan", point="state"),
        act(18 * S, "power-cut", "gw", 19 * S),
    )
    world = run(replace(spec, timeline=trouble), host)
    conserved(world)
    bad = {
        (end, cause): count for (_, end, cause, status), count in world.ledger.marked.items() if status >> 31
    }
    assert bad == {(End.DELIVERED, ""): 4}
    assert (
        world.ledger.duplicates == 0
        or world.ledger.count(End.DELIVERED) + world.ledger.count(End.MISSED) + world.ledger.count(End.LOST)
        == world.ledger.due
    )


@pytest.mark.parametrize(
    ("spec", "poll_ns", "slow"),
    [(OpcUaSpec(publishing_ns=5 * S, queue=100), 100 * MS, False), (OpcUaSpec(), 100 * MS, True), (OpcUaSpec(queue=100), 20 * MS, False)],
    ids=["a long publishing interval", "a slow server", "a quick device"],
)  # fmt: skip
def test_what_a_notification_said_is_known_however_late_it_comes(
    host: Host, spec: OpcUaSpec, poll_ns: int, slow: bool
) -> None:
    """Fifty looks at each point lie between two answers; all are compared, and none is wrong."""
    timeline = (
        (act(8 * S, "device-fault", "presses/1", 14 * S, kind="slow", delay_ns=1500 * MS),) if slow else ()
    )
    world_spec = mixed(host, ("opcua",), duration_ns=20 * S, poll_ns=poll_ns, timeline=timeline)
    model = replace(world_spec.devices[0].model, step_ns=20 * MS)
    world_spec = replace(world_spec, devices=(replace(world_spec.devices[0], subscribed=spec, model=model),))
    world = run(world_spec, host)
    assert world.truth.wrong == 0, world.truth.first
    assert world.truth.checked > 90


def test_of_what_is_kept_no_more_nothing_is_claimed() -> None:
    """A witness that has forgotten an instant knows nothing of it; of one that it remembers it knows that
    nothing was shown."""
    from collections import deque

    from twinloop.devices.catalogue.catalog import model
    from twinloop.devices.model.device import Device
    from twinloop.devices.model.nodes import NodeImage, NodeValue
    from twinloop.sim.truth.witness import NoticeWitness

    image = NodeImage(Device(model=model("press-sensor"), name="presses/1", unit_id=1, key=5))
    looks = deque([(7, 0, NodeValue(1.0, 0, 5 * S)), (8, 0, NodeValue(2.0, 0, 6 * S))])
    witness = NoticeWitness(image, looks, EPOCH_NS)
    for at_s, known in ((4, None), (5, [1.0]), (6, [2.0]), (7, [])):
        witness.at(EPOCH_NS + at_s * S)
        shown = witness.shown(0)
        assert (None if shown is None else [one.value for one in shown]) == known


def test_whole_numbers_of_64_bits_are_close_to_themselves_only() -> None:
    """A hint like "another word order" is for a number that is the same, not for one that is near."""
    assert close((1 << 64) - 1, (1 << 64) - 1)
    assert not close((1 << 64) - 1, (1 << 64) - 3)
    assert close(21.5, 21.5000001)


def test_a_whole_number_that_is_off_by_one_is_wrong() -> None:
    """2^53 isn't 2^53 + 1, which as an f64 it would be; a point beside it is known as before."""
    points = (
        Point("odd", "holding", 0, "u64", signal=Signal(level=(1 << 53) + 1)),
        Point("plain", "holding", 4, "u16", signal=Signal(level=7.0)),
    )
    device = Device(DeviceModel("m", "", "ours", ("modbus-tcp",), points, step_ns=S), "m/1", 1, 1)
    device.advance(0)
    witness = ModbusWitness(device)
    raw = device.image.read_raw("holding", 0, 5)
    assert raw is not None
    witness.looks.append((bytes((3, 0, 0, 0, 5)), bytes((3, 10)) + raw))
    assert witness.exactly() == {1: 7.0}
    (shown,) = witness.shown(0) or ()
    assert agree((1 << 53) + 1, shown)
    assert not agree(1 << 53, shown)
    assert not agree((1 << 53) + 2, shown)

"""Subscribed OPC UA devices: news finds its end whatever happens, and a batch is the sample of the instant
that it states."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.plants import component, paired, run
from tests.sim.field.test_field import beside, missed, mixed, moments, shares, spans, ua_faults
from tests.sim.test_world import conserved
from twinloop.components.host.batch import Batch, read_batch
from twinloop.components.host.host import Host
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.gateway.listener import Taken
from twinloop.sim.gateway.pipeline import Pipeline
from twinloop.sim.gateway.subscriber import Subscriber
from twinloop.sim.kernel.clock import MS, US, S
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.model.spec import Action, OpcUaSpec, StoreSpec, WorldSpec
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World

USUAL = OpcUaSpec()
POINT_FAULTS = ["bad-status", "frozen-timestamp", "stuck", "drift", "nan"]


@pytest.fixture(autouse=True)
def identities(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever happens: the source timestamps of a batch are one instant, that of the sample for which it is
    taken."""
    accepted = Pipeline.accepted
    wrong: list[tuple[int, ...]] = []

    def checked(pipeline: Pipeline, poller: Any, row: Any, fault: Any, generation: int) -> Any:
        lists = poller.times.lists
        if poller.listens_by_itself and fault is None and lists is not None:
            batch = read_batch(lists)
            told = [at - EPOCH_NS for at in batch.times]
            step_ns = poller.spec.model.step_ns
            if (
                any(at != row.due_ns // step_ns * step_ns // US * US for at in told)
                or min(poller.times.spent_ns) < 0
            ):
                wrong.append((row.due_ns, *told))
        return accepted(pipeline, poller, row, fault, generation)

    monkeypatch.setattr(Pipeline, "accepted", checked)
    yield
    assert not wrong


def subscribed(host: Host, count: int = 2, spec: OpcUaSpec = USUAL, **changes: Any) -> WorldSpec:
    opcua = component(
        host,
        "opcua-driver",
        "driver",
        ("fieldbus", "clock", "log"),
        options=(("timeout", "300 ms"),),
        cpu_ns=20 * MS,
    )
    changes = {"duration_ns": 20 * S, "poll_ns": 500 * MS, **changes}
    world = mixed(host, ("opcua",) * count, drivers={"opcua": opcua}, **changes)
    return replace(world, devices=tuple(replace(device, subscribed=spec) for device in world.devices))


def test_all_is_well(host: Host) -> None:
    """Of what changes all is delivered, within a publishing interval; the first looks, before the
    subscription stands, are missed by name."""
    world = run(subscribed(host), host)
    conserved(world)
    due = world.ledger.due
    assert 100 < due < 2 * 40 * 10, "not every point changes at every instant"
    assert world.ledger.count(End.DELIVERED) + world.ledger.count(End.MISSED, "disconnected") == due
    assert world.ledger.count(End.MISSED) <= 20
    assert world.ledger.duplicates == world.ledger.misordered == world.ledger.late == 0
    assert world.latencies.of().gateway.percentile(500) < S + 100 * MS  # type: ignore[operator]


def test_a_longer_publishing_interval_is_a_longer_wait_and_no_loss(host: Host) -> None:
    """At 5 s ten instants wait in the queue of each item, and come as ten batches."""
    fast, slow = (
        run(subscribed(host, 1, OpcUaSpec(publishing_ns=every_ns)), host) for every_ns in (S, 5 * S)
    )
    assert slow.ledger.due == fast.ledger.due
    assert slow.ledger.count(End.MISSED) <= 10
    assert slow.latencies.of().gateway.percentile(500) > 2 * fast.latencies.of().gateway.percentile(500)  # type: ignore[operator]


def test_what_overflows_the_queue_is_missed_and_named(host: Host) -> None:
    """A queue of two keeps the youngest two (OPC 10000-4 section 7.21, discardOldest) of the ten instants
    between two publishings."""
    world = run(subscribed(host, 1, OpcUaSpec(publishing_ns=5 * S, queue=2), settle_ns=10 * S), host)
    conserved(world)
    unread = world.ledger.count(End.MISSED, "unread")
    assert (
        unread + world.ledger.count(End.DELIVERED) + world.ledger.count(End.MISSED, "disconnected")
        == world.ledger.due
    )
    assert unread > world.ledger.count(End.DELIVERED)


def test_a_crash_costs_what_was_news_meanwhile(host: Host) -> None:
    """A subscription isn't kept like an MQTT session: away from 5 s to 8 s, and what the server held is gone
    with the connection."""
    world = run(subscribed(host, timeline=(act(5 * S, "crash", "gw", 8 * S),)), host)
    conserved(world)
    assert world.ledger.count(End.MISSED, "gateway-down") >= 2 * 6 * 5
    assert world.ledger.count(End.MISSED, "unread") <= 20, (
        "news to the server alone, or open when the subscription began anew"
    )
    assert world.ledger.count(End.DELIVERED) > world.ledger.due // 2


@pytest.mark.parametrize(
    ("trouble", "missed_max"),
    [
        (act(5 * S, "device-fault", "presses/1", kind="session-kill"), 20),
        (act(5 * S, "cut", "plant", 14 * S, leg="presses/1"), 260),
    ],
    ids=["session-kill", "cut"],
)
def test_a_subscription_that_is_gone_is_made_again(host: Host, trouble: Action, missed_max: int) -> None:
    quiet, world = run(subscribed(host), host), run(subscribed(host, timeline=(trouble,)), host)
    conserved(world)
    assert missed(world, 1) == missed(quiet, 1), "its neighbour knows nothing of it"
    assert missed(quiet, 0) < missed(world, 0) <= missed_max
    assert missed(world, 0) == missed(world, 0, "disconnected") + missed(world, 0, "unread")
    assert world.gateways[0].supervisor.faults == {}


def test_news_with_a_frozen_timestamp_is_missed_as_the_devices(host: Host) -> None:
    """It belongs to no instant that was due; the other points of a batch come."""
    frozen = act(5 * S, "device-fault", "presses/1", 14 * S, kind="frozen-timestamp", point="pressure")
    world = run(subscribed(host, 1, timeline=(frozen,), settle_ns=5 * S), host)
    conserved(world)
    assert 10 <= missed(world, 0, "device") <= 18
    assert missed(world, 0) == missed(world, 0, "device")


def test_a_bad_status_is_news_once(host: Host) -> None:
    bad = act(
        5 * S, "device-fault", "presses/1", 14 * S, kind="bad-status", point="pressure", code=0x808C0000
    )
    quiet, world = (
        run(subscribed(host, 1, timeline=timeline, settle_ns=5 * S), host) for timeline in ((), (bad,))
    )
    conserved(world)
    assert 10 <= quiet.ledger.due - world.ledger.due <= 18
    assert missed(world, 0) == 0, "a status comes like a value"


def test_a_hot_pair_subscribes_twice(host: Host) -> None:
    world = run(paired(subscribed(host, timeline=(act(6 * S, "crash", "gw", 12 * S),)), "hot"), host)
    conserved(world)
    assert missed(world, 0, "gateway-down") == 0, "the standby's subscription goes on"
    assert world.ledger.count(End.LOST) == 0


def stepping(spec: WorldSpec, step_ns: int) -> WorldSpec:
    """The same with devices that live in other steps."""
    return replace(
        spec,
        devices=tuple(
            replace(device, model=replace(device.model, step_ns=step_ns)) for device in spec.devices
        ),
    )


def test_several_frozen_timestamps_cost_no_other_value(host: Host) -> None:
    """What was frozen at different instants comes in batches of its own, whichever comes first."""
    frozen = tuple(
        act(at_ns, "device-fault", "presses/1", 14 * S, kind="frozen-timestamp", point=point)
        for at_ns, point in [(5 * S, "pressure"), (5700 * MS, "force")]
    )
    quiet, world = (
        run(subscribed(host, 1, timeline=timeline, settle_ns=5 * S), host) for timeline in ((), frozen)
    )
    conserved(world)
    assert world.ledger.due == quiet.ledger.due
    assert 30 <= missed(world, 0, "device") <= 36
    assert missed(world, 0) == missed(world, 0, "device")


@pytest.mark.parametrize("at_ms", [230, 400, 730, 900])
def test_a_device_is_looked_at_once_a_step(host: Host, at_ms: int) -> None:
    """Sampled faster than it steps, or written to within a step: there is no news between two steps, and none
    is lost."""
    writes = tuple(
        act(2 * S + i * S + at_ms * MS, "write", "presses/1", point="setpoint", value=float(i % 5))
        for i in range(8)
    )
    slow, fast = (
        run(subscribed(host, 1, poll_ns=every_ns, timeline=writes, settle_ns=5 * S), host)
        for every_ns in (500 * MS, 100 * MS)
    )
    for world in (slow, fast):
        conserved(world)
        assert world.ledger.count(End.DELIVERED) == world.ledger.due
    assert slow.ledger.due == fast.ledger.due


@pytest.mark.parametrize("publishing_ns", [100 * MS, 7 * S, 30 * S])
def test_a_quiet_subscription_lives(host: Host, publishing_ns: int) -> None:
    """Keep-alives come often enough for the driver and for the session's timeout, whatever the publishing
    interval."""
    world = run(
        subscribed(
            host,
            1,
            OpcUaSpec(publishing_ns, 1000),
            duration_ns=150 * S,
            settle_ns=2 * publishing_ns,
            poll_ns=50 * S,
        ),
        host,
    )
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due > 10


def test_a_run_may_end_with_news_under_way(host: Host) -> None:
    world = run(subscribed(host, 1, OpcUaSpec(publishing_ns=100 * S, queue=1000), settle_ns=0), host)
    conserved(world)
    assert world.ledger.count(End.MISSED, "end-of-run") == world.ledger.due > 100
    world.close()


@pytest.mark.parametrize("deadline_ns", [2 * S, 11 * S])
def test_a_driver_waits_within_the_deadline_of_its_component(host: Host, deadline_ns: int) -> None:
    """A device that says nothing for longer than that is none that hangs."""
    spec = subscribed(host, 1, poll_ns=15 * S, duration_ns=60 * S, settle_ns=5 * S)
    world = run(
        replace(
            spec,
            components=tuple(
                replace(one, deadline_ns=deadline_ns) if one.role == "driver" else one
                for one in spec.components
            ),
        ),
        host,
    )
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due
    assert world.gateways[0].supervisor.faults == {}


def test_the_slower_one_of_a_hot_pair_sends_nothing_twice_by_itself(host: Host) -> None:
    """Their publishing phases differ after a crash: what the other one has delivered meanwhile is no sample
    of this one's."""
    spec = stepping(subscribed(host, 1, OpcUaSpec(queue=40), poll_ns=100 * MS, settle_ns=20 * S), 100 * MS)
    quiet, crashed = (
        run(paired(replace(spec, timeline=timeline), "hot"), host)
        for timeline in ((), (act(3 * S, "crash", "gw", 6370 * MS),))
    )
    for world in (quiet, crashed):
        conserved(world)
        assert world.ledger.count(End.DELIVERED) == world.ledger.due
    assert quiet.ledger.duplicates == 0
    assert crashed.ledger.duplicates <= 2 * 20 * 11, (
        "what the standby had kept, and what lay on its way when the leader crashed"
    )


def test_what_was_taken_before_it_was_due_is_no_sample(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first notification, of a subscription that was made in the same step: it can't have come in less than
    no time."""
    world = World(subscribed(host, 1), host)
    (poller,) = world.gateways[0].pollers
    assert isinstance(poller, Subscriber)
    for taken_ns, found in ((600 * MS, None), (700 * MS, 2)):
        row = world.ledger.open_row(0, 2 if found else 1, 666 * MS, poller.table.mask, 500 * MS, 1)
        assert isinstance(row, Row)
        poller._due[row.k], poller._instant[EPOCH_NS + 500 * MS] = row, row.k
        poller._frame = Taken(0, 0, taken_ns, [0] * 6)
        count = len(poller.table.ids)
        batch = Batch(
            tuple(poller.table.ids), (1.0,) * count, (0,) * count, (EPOCH_NS + 500 * MS,) * count, ()
        )
        monkeypatch.setattr("twinloop.sim.gateway.subscriber.read_batch", lambda lists, batch=batch: batch)
        poller.times.lists = (0, 0, 0, 0, 0)
        taken = poller._next_taken()
        assert (taken and taken.k) == found
    assert world.ledger.count(End.MISSED, "unread") == 10
    world.close()


def test_a_step_of_odd_nanoseconds_is_told_in_microseconds(host: Host) -> None:
    world = run(stepping(subscribed(host, 1, settle_ns=5 * S, poll_ns=333_333_333), 333_333_333), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due > 100


of_opcua = st.one_of(
    st.builds(
        lambda t, d, k, s: act(
            t, "device-fault", "presses/2", t + d, kind=k, delay_ns=250 * MS, code=0x80100000, share=s
        ),
        moments,
        spans,
        ua_faults,
        shares,
    ),
    st.builds(
        lambda t, d, k: act(t, "device-fault", "presses/1", t + d, kind=k, point="pressure", code=0x80100000),
        moments,
        spans,
        st.sampled_from(POINT_FAULTS),
    ),
    st.builds(
        lambda t, d, leg: act(t, "cut", "plant", t + d, leg=leg),
        moments,
        spans,
        st.sampled_from(["presses/1", "presses/2"]),
    ),
    st.builds(
        lambda t, d, every: act(t, "set-poll", "presses/2", t + d, period_ns=every),
        moments,
        spans,
        st.sampled_from([30 * MS, 5 * S]),
    ),
)


@settings(
    max_examples=int(os.environ.get("TWINLOOP_SOAK", "0")) * 3000 or 10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    timeline=st.lists(st.one_of(of_opcua, of_opcua, beside), max_size=6), mode=st.sampled_from(["", "", "hot", "warm", "cold"]),
    publishing_ns=st.sampled_from([200 * MS, S, 3 * S]), queue=st.sampled_from([1, 2, 10]), seed=st.integers(0, 9),
    store=st.sampled_from([None, StoreSpec(), StoreSpec(capacity_bytes=4000, ttl_ns=3 * S)]),
)  # fmt: skip
def test_whatever_happens_every_sample_has_one_end(
    host: Host,
    timeline: list[Action],
    mode: str,
    publishing_ns: int,
    queue: int,
    seed: int,
    store: StoreSpec | None,
) -> None:
    spec = subscribed(
        host,
        3,
        OpcUaSpec(publishing_ns, queue),
        duration_ns=10 * S,
        timeline=tuple(timeline),
        seed=seed,
        store=store,
        settle_ns=30 * S,
    )
    world = run(paired(spec, mode) if mode else spec, host)
    conserved(world)
    assert all(gateway.machine.budget.memory_bytes == 0 for gateway in world.gateways), (
        "every instance was given back"
    )

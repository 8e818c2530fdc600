"""Derived points: what a transform adds rides with the readings, ends as its message does, and is no sample.

Press sensors have ten points, 0 to 9; what is derived is behind them.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest

from tests.components.guests import adding_transform
from tests.plants import component, paired, plant, upgradable
from tests.sim.test_world import conserved
from twinloop.components.host.host import Host
from twinloop.sim.accounts.derived import Derived, Riding
from twinloop.sim.accounts.rows import End, Row, SharedRow
from twinloop.sim.cloud.messages import Message
from twinloop.sim.kernel.clock import MS, Environment, S
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.model.spec import ComponentSpec, DerivedSpec, StoreSpec, WorldSpec
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World

FIRST = 10
"""the id of the first derived point"""
BAD = 0x800A0000
POWER = (FIRST, "3.5", 0)
ON = FIRST + 1
DERIVES = (DerivedSpec("power", "kW"), DerivedSpec("on"))


def adding(host: Host, *readings: tuple[int, str, int], **how: Any) -> ComponentSpec:
    derives = how.pop("derives", DERIVES)
    return component(host, "adding", "transform", (), adding_transform(*readings, **how), derives=derives)


class Ran:
    """A run, with the messages that the cloud got."""

    def __init__(self, host: Host, spec: WorldSpec) -> None:
        self.messages: list[Message] = []
        self.world = world = World(spec, host)
        accept = world.cloud.accept

        def accepted(gateway: int, message: Message) -> None:
            self.messages.append(message)
            accept(gateway, message)

        world.cloud.accept = accepted  # type: ignore[method-assign]
        try:
            world.run()
        finally:
            world.close()
        conserved(world)
        world.books.derived.audit()
        self.derived = world.books.derived

    def ends(self, name: str = "power") -> dict[tuple[str, str, str], int]:
        found: dict[tuple[str, str, str], int] = {}
        for (_, mine, end, cause, quality), count in self.derived.ends.items():
            if mine == name and count:
                key = end.value, cause, quality
                found[key] = found.get(key, 0) + count
        return found

    def faults(self) -> list[str]:
        return [note.fault.message for note in self.world.gateways[0].supervisor.complaints.faults]


def run(host: Host, *readings: tuple[int, str, int], how: dict[str, Any] | None = None, **of: Any) -> Ran:
    return Ran(host, plant(host, transform=adding(host, *readings, **(how or {})), **of))


def test_what_is_declared_rides_in_the_message_and_is_no_sample(host: Host) -> None:
    ran = run(host, POWER, count=2)
    assert ran.ends() == {("delivered", "", "good"): 10}
    assert ran.world.ledger.due == ran.world.ledger.count(End.DELIVERED) == 100
    values = [json.loads(message.body)["values"] for message in ran.messages]
    assert len(values) == 10
    assert all(list(one) == [*list(one)[:FIRST], "power"] and one["power"] == 3.5 for one in values)


def test_components_are_told_of_it_behind_all_points_with_an_address_that_says_so(host: Host) -> None:
    ran = run(host, POWER, count=1)
    for slot in (ran.world.gateways[0].rack.transform, ran.world.gateways[0].rack.policy):
        assert [tuple(point[:8]) for point in slot.settings.points[FIRST:]] == [
            (10, "power", "derived", "kW", 1.0, 0.0, None, None),
            (11, "on", "derived", "", 1.0, 0.0, None, None),
        ]
    (driver,) = [slot for slot in ran.world.gateways[0].rack.slots if "/driver/" in slot.name]
    assert len(driver.settings.points) == FIRST


@pytest.mark.parametrize(
    ("readings", "derives", "message"),
    [
        (
            [POWER],
            (),
            "a batch with point 10, which wasn't in its input: a point that it adds must be declared",
        ),
        ([(15, "1", 0)], DERIVES, "a batch with point 15, which wasn't in its input"),
        ([POWER, POWER], DERIVES, "a batch with point 10 twice"),
        ([(0, "1", 0)], DERIVES, "a batch with point 0 twice"),
    ],
)
def test_what_isnt_declared_or_comes_twice_is_a_fault_with_its_id(
    host: Host, readings: list[tuple[int, str, int]], derives: tuple[DerivedSpec, ...], message: str
) -> None:
    ran = run(host, *readings, how={"derives": derives}, count=1)
    assert ran.faults()[0].startswith(message)
    assert ran.derived.total == 0
    assert ran.world.ledger.count(End.LOST, "transform-fault") >= FIRST


def test_alone_it_travels_in_a_message_of_its_own(host: Host) -> None:
    """The transform has dropped all that was read."""
    ran = run(host, POWER, how={"keeps": False}, count=2)
    assert ran.world.ledger.count(End.DROPPED, "transform") == ran.world.ledger.due == 100
    assert ran.ends() == {("delivered", "", "good"): 10}
    assert json.loads(ran.messages[0].body)["values"] == {"power": 3.5}


def test_quality_is_by_status_and_a_good_one_that_is_no_number_is_bad(host: Host) -> None:
    ran = run(host, (FIRST, "nan", 0), (ON, "1", 0x40940000), count=1)
    assert ran.ends("power") == {("delivered", "", "bad"): 5}
    assert ran.ends("on") == {("delivered", "", "uncertain"): 5}
    (note,) = ran.world.gateways[0].supervisor.complaints.errors
    assert "a value that is no number, called Good" in note.text
    assert note.count == 5


def route(host: Host, **options: str) -> ComponentSpec:
    return component(host, "route", "policy", ("log",), options=tuple(options.items()))


def test_the_policy_may_name_it(host: Host) -> None:
    alerting = run(host, POWER, policy=route(host, alert="power>3"), count=1)
    assert alerting.world.gateways[0].pipeline.alerts == 5
    assert len(alerting.messages) == 10, "what is alerted goes in a message of its own"
    assert alerting.ends() == {("delivered", "", "good"): 5}
    dropping = run(host, POWER, (ON, "1", 0), policy=route(host, drop="power"), count=1)
    assert dropping.ends("power") == {("dropped", "policy", "good"): 5}
    assert dropping.ends("on") == {("delivered", "", "good"): 5}
    assert dropping.world.ledger.count(End.DELIVERED) == 50


def test_alone_it_may_be_dropped_after_all_samples_have_ended(host: Host) -> None:
    ran = run(host, POWER, how={"keeps": False}, policy=route(host, drop="power"), count=1)
    assert ran.ends() == {("dropped", "policy", "good"): 5}
    assert ran.world.ledger.count(End.DROPPED, "transform") == 50


def test_what_waits_in_the_store_is_cached_evicted_or_lost_with_its_message(host: Host) -> None:
    outage: dict[str, Any] = {
        "timeline": (act(0, "cut", "cloud", 100 * S),),
        "duration_ns": 15 * S,
        "settle_ns": S,
        "count": 2,
    }
    cached = run(host, POWER, **outage)
    assert cached.ends() == {("cached", "", "good"): 30}
    small = replace(StoreSpec(), capacity_bytes=2000)
    evicted = run(host, POWER, store=small, **outage).ends()
    assert evicted[("evicted", "capacity", "good")] == 30 - evicted[("cached", "", "good")] > 0
    assert run(host, POWER, store=None, **outage).ends() == {("lost", "no-store", "good"): 30}
    alone = run(host, POWER, how={"keeps": False}, store=small, **outage).ends()
    assert alone[("evicted", "capacity", "good")] == 30 - alone[("cached", "", "good")] > 0


@pytest.mark.parametrize("at_ms", range(2000, 2100, 7 if "TWINLOOP_SOAK" in os.environ else 21))
@pytest.mark.parametrize("keeps", [True, False])
def test_a_power_cut_takes_it_with_its_message(host: Host, at_ms: int, keeps: bool) -> None:
    timeline = (act(1 * S, "cut", "cloud", 3 * S), act(at_ms * MS, "power-cut", "gw", S))
    ran = run(host, POWER, how={"keeps": keeps}, timeline=timeline, count=20, poll_ns=100 * MS)
    ends, ledger = ran.ends(), ran.world.ledger
    assert ends[("lost", "power-cut", "good")]
    if keeps:  # whole messages: each brings or loses ten points and what is derived of them
        assert ledger.count(End.DELIVERED) == FIRST * ends[("delivered", "", "good")]
        assert ledger.count(End.LOST, "power-cut") == FIRST * ends[("lost", "power-cut", "good")]


@pytest.mark.parametrize("mode", ["hot", "warm", "cold"])
def test_of_a_pair_each_is_counted_once(host: Host, mode: str) -> None:
    timeline = (act(2 * S, "crash", "gw", 2 * S),)
    spec = plant(
        host, transform=adding(host, POWER), timeline=timeline, count=4, duration_ns=8 * S, poll_ns=200 * MS
    )
    ran = Ran(host, paired(spec, mode))
    ledger = ran.world.ledger
    read = ledger.due - ledger.count(End.MISSED)
    assert FIRST * ran.derived.total == read
    assert FIRST * ran.ends()[("delivered", "", "good")] == ledger.count(End.DELIVERED)
    if mode == "hot":
        assert ran.derived.duplicates * FIRST == ledger.duplicates


def test_of_a_healthy_hot_pair_only_the_leaders_count(host: Host) -> None:
    spec = plant(host, transform=adding(host, POWER), count=4, duration_ns=4 * S)
    ran = Ran(host, paired(spec, "hot"))
    assert ran.derived.total == 16
    assert ran.ends() == {("delivered", "", "good"): 16}
    assert ran.derived.duplicates == 0


def test_an_upgrade_to_a_transform_that_derives_no_more_shows_in_the_share(host: Host) -> None:
    """The new version is told of the same points; what the old one derived stays counted."""
    old = component(host, "normalize", "transform", ("log",), adding_transform(POWER), derives=DERIVES)
    order = act(10 * S, "upgrade", "gw/normalize", version="1.1.0")
    spec = plant(host, transform=old, count=1, duration_ns=30 * S, timeline=(order,))
    ran = Ran(host, upgradable(spec))
    assert 10 <= ran.derived.total < 20
    assert ran.derived.due(0) == 30
    slot = ran.world.gateways[0].rack.transform
    assert str(slot.spec.version) == "1.1.0"
    assert [point.name for point in slot.settings.points[FIRST:]] == ["power", "on"]


def test_a_plant_without_derived_points_goes_the_usual_way(host: Host) -> None:
    world = World(plant(host), host)
    world.run()
    world.close()
    assert type(world.gateways[0].pipeline).__name__ == "Pipeline"
    assert world.books.derived.total == 0


# ---- the account by itself -----------------------------------------------------------------------
def account() -> Derived:
    found = Derived(Trace(Environment()))
    found.declare(0, {"power": "kW"}, lambda: 1)
    return found


def test_a_reading_ends_once() -> None:
    derived = account()
    copy = derived.produce(Row(0, 0, 0, 1, S), "power", 0, True)
    with pytest.raises(InvariantError, match="more produced than ended"):
        derived.audit()
    derived.end(copy, End.LOST, "crash")
    derived.audit()
    with pytest.raises(InvariantError, match="a second time"):
        derived.end(copy, End.LOST, "crash")
    with pytest.raises(InvariantError, match="unknown cause"):
        derived.end(derived.produce(Row(0, 1, 0, 1, S), "power", 0, True), End.LOST, "boredom")


def test_what_was_given_up_and_comes_nevertheless_keeps_its_end() -> None:
    derived = account()
    riding = Riding(derived, {2: derived.produce(Row(0, 0, 0, 1, S), "power", 0, True)})
    riding.end(End.EVICTED, "ttl")
    assert riding.deliver() == 0
    assert derived.ends == {(0, "power", End.EVICTED, "ttl", "good"): 1}


def shares() -> SharedRow:
    row = SharedRow(0, 0, 0, 1, S, 2)
    row.shares[0].led = True
    return row


def test_a_standbys_copy_alone_is_not_counted_unless_it_arrives() -> None:
    derived, row = account(), shares()
    copy = derived.produce(row.shares[1], "power", 0, False)
    derived.end(copy, End.LOST, "unseen")
    assert derived.total == derived.open == 0
    late = derived.produce(row.shares[1], "power", BAD, False)
    assert derived.deliver(late)
    assert derived.ends == {(0, "power", End.DELIVERED, "", "bad"): 1}
    derived.audit()


@pytest.mark.parametrize("leader_first", [True, False])
def test_of_two_copies_the_one_that_arrives_is_the_end(leader_first: bool) -> None:
    derived, row = account(), shares()
    mine = derived.produce(row.shares[0], "power", 0, True)
    if leader_first:
        derived.end(mine, End.LOST, "crash")
    other = derived.produce(row.shares[1], "power", 0, False)
    assert derived.deliver(other)
    if not leader_first:
        derived.end(mine, End.LOST, "crash")
    assert {key[2]: count for key, count in derived.ends.items() if count} == {End.DELIVERED: 1}
    assert derived.total == 1
    derived.audit()


def test_what_a_standby_made_of_its_own_copy_is_no_excuse_for_the_leader() -> None:
    derived, row = account(), shares()
    mine, other = (derived.produce(share, "power", 0, share.led) for share in row.shares)
    derived.end(other, End.DROPPED, "policy")
    derived.end(mine, End.LOST, "crash")
    assert derived.ends == {(0, "power", End.LOST, "crash", "good"): 1}


def test_what_will_be_made_once_more_was_not_made() -> None:
    derived = account()
    riding = Riding(derived, {2: derived.produce(Row(0, 0, 0, 1, S), "power", 0, True)})
    riding.withdraw()
    assert derived.total == derived.open == 0
    derived.audit()

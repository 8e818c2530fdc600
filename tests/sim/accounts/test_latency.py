"""Latency by itself: stages that add up, histograms by fleet and device, blame, and who is told of what."""

from __future__ import annotations

from typing import Any

import pytest

from twinloop.sim.accounts.latency import (
    BUS,
    DRIVER,
    QUEUE,
    STAGES,
    UPLINK,
    Blame,
    Latencies,
    Latency,
    StageTimes,
)
from twinloop.sim.kernel.invariants import InvariantError


def times(*spent_ns: int, waited: dict[str, int] | None = None) -> StageTimes:
    made = StageTimes()
    made.spent_ns = [*spent_ns, *[0] * (len(STAGES) - len(spent_ns))]
    made.waited_ns, made.outside_ns = waited, 0
    return made


def counts(latency: Latency) -> list[int]:
    latency.fold()
    return [one.count for one in (latency.gateway, latency.cloud, *latency.stages)]


def test_time_in_the_queue_is_kept_by_what_it_waited_for() -> None:
    made = StageTimes()
    assert (made.lists, made.spent_ns, made.waited_ns) == (None, [0] * 6, None)
    made.waited(5, "core")
    made.waited(7, "gw/transform")
    made.waited(1, "core")
    assert made.spent_ns[QUEUE] == 13
    assert made.waited_ns == {"core": 6, "gw/transform": 7}
    assert sum(made.spent_ns) == 13


def test_a_blame_names_the_stage_and_what_was_waited_for() -> None:
    blame = Blame(10, None, None)
    assert (blame.stage(), blame.share(), blame.waited_for()) == (None, 0.0, None)
    blame.samples = 2
    blame.spent_ns = [1, 2, 5, 0, 0, 2]
    blame.waited_ns = {"core": 3, "gw/policy": 3, "a": 2}
    assert (blame.stage(), blame.share(), blame.waited_for()) == ("bus", 0.5, "gw/policy")
    blame.waited_ns = {"zz": 1, "core": 9}
    assert blame.waited_for() == "core", "the longest, not the last by name"
    blame.samples = 0
    assert blame.stage() is None


def test_stages_and_totals_go_to_the_devices_fleet() -> None:
    all_of = Latencies([0, 1, 1], 2)
    all_of.watch(2)
    all_of.carried(0, 3, 100, 0, times(10, 20, 30, 0, 0, 40))
    all_of.carried(2, 2, 50, 0, times(0, 50))
    all_of.accepted(2, 4, 900, 0)
    all_of.accepted(1, 1, 800, 0)
    assert counts(all_of.fleets[0]) == [3, 0, 3, 3, 3, 3, 3, 3]
    assert counts(all_of.fleets[1]) == [2, 5, 2, 2, 2, 2, 2, 2]
    assert counts(all_of.devices[2]) == [2, 4, 2, 2, 2, 2, 2, 2]
    assert list(all_of.devices) == [2]
    first, second = all_of.fleets
    assert [stage.max for stage in first.stages] == [10, 20, 30, 0, 0, 40]
    assert (first.gateway.max, second.gateway.max, second.stages[DRIVER].max, second.cloud.max) == (
        100,
        50,
        50,
        900,
    )
    assert (second.cloud.min, all_of.devices[2].cloud.min) == (800, 900)
    before = all_of.devices[2]
    all_of.watch(2)
    assert all_of.devices[2] is before, "watched twice is watched once"


def test_stages_that_do_not_add_up_are_a_mistake_of_ours() -> None:
    all_of = Latencies([0], 1)
    for total_ns in (99, 101):
        with pytest.raises(InvariantError) as caught:
            all_of.carried(0, 1, total_ns, 0, times(10, 90))
        told = "{'queue': 10, 'driver': 90, 'bus': 0, 'transform': 0, 'policy': 0, 'uplink': 0}"
        assert str(caught.value) == f"stages {told} add up to 100 ns, the latency is {total_ns} ns"
    assert counts(all_of.fleets[0])[0] == 0
    broken = times(1, 2)
    broken.spent_ns.append(5)
    with pytest.raises(ValueError, match="zip"):
        all_of.carried(0, 1, 99, 0, broken)


def test_what_waits_is_counted_when_it_is_much_or_asked_for() -> None:
    latency = Latency()
    for i in range(2047):
        latency.add_carried(1, i, [i, 0, 0, 0, 0, 0])
        latency.add_cloud(2, i)
    assert (latency.gateway.count, latency.cloud.count) == (0, 0)
    latency.add_carried(1, 5000, [0, 0, 5000, 0, 0, 0])
    latency.add_cloud(3, 5000)
    assert (latency.gateway.count, latency.cloud.count, latency.stages[BUS].max) == (2048, 4094, 5000), (
        "what is full counts both"
    )
    latency.fold()
    assert (latency.gateway.count, latency.cloud.count) == (2048, 4097)
    latency.fold()
    assert (latency.gateway.count, latency.cloud.count) == (2048, 4097), "and once only"
    alone = Latency()
    for i in range(2048):
        alone.add_cloud(1, i)
    assert alone.cloud.count == 2048
    latency.add_cloud(1, 7)
    latency.fold()
    assert (latency.gateway.count, latency.cloud.count) == (2048, 4098)


def test_a_merged_copy_of_all_some_fleets_or_devices() -> None:
    all_of = Latencies([0, 1, 2], 3)
    for device in range(3):
        all_of.watch(device)
        all_of.carried(device, device + 1, 10, 0, times(0, 0, 10))
        all_of.accepted(device, 10 * (device + 1), 20, 0)
        all_of.never_carried(device, 100 * (device + 1), 0)
    assert counts(all_of.of()) == [6, 60, *[6] * 6]
    assert counts(all_of.of(fleets=[0, 2])) == [4, 40, *[4] * 6]
    assert counts(all_of.of(fleets=[])) == [0] * 8
    assert counts(all_of.of(devices={1: None})) == [2, 20, *[2] * 6]
    assert all_of.of().gateway.never == 600
    assert all_of.of(devices={2: None}).gateway.never == 300
    assert counts(all_of.fleets[0]) == [1, 10, *[1] * 6], "a copy: what was merged is as it was"
    total = Latency()
    other = Latency()
    other.add_carried(3, 10, [0, 10, 0, 0, 0, 0])
    other.add_cloud(4, 20)
    total.merge(other)
    assert counts(total) == [3, 4, *[3] * 6], "what waits in the other is counted, too"


def test_what_never_comes_is_beyond_any_bound() -> None:
    all_of = Latencies([0, 1], 2)
    all_of.watch(1)
    all_of.never_carried(1, 3, 0)
    all_of.never_accepted(1, 4, 0)
    all_of.never_carried(0, 5, 0)
    all_of.never_accepted(0, 6, 0)
    all_of.never_carried(1, 1, 0)
    all_of.never_accepted(1, 1, 0)
    assert [(one.gateway.never, one.cloud.never) for one in (*all_of.fleets, all_of.devices[1])] == [
        (5, 6),
        (4, 5),
        (4, 5),
    ]


def test_windows_are_told_of_the_gateway_or_of_the_cloud() -> None:
    all_of = Latencies([0], 1)
    told: list[tuple[Any, ...]] = []
    for cloud, name in ((False, "gateway"), (True, "cloud")):
        all_of.watch_windows(
            cloud,
            lambda *what, name=name: told.append((name, *what)),
            lambda *what, name=name: told.append((f"never {name}", *what)),
        )
    work = times(0, 7)
    stages: list[tuple[Any, ...]] = []
    all_of.watch_stages(lambda *what: stages.append(what))
    all_of.carried(0, 1, 7, 70, work)
    all_of.accepted(0, 2, 8, 80)
    all_of.never_carried(0, 3, 90)
    all_of.never_accepted(0, 4, 100)
    assert told == [
        ("gateway", 0, 1, 7, 70),
        ("cloud", 0, 2, 8, 80),
        ("never gateway", 0, 3, 90),
        ("never cloud", 0, 4, 100),
    ]
    assert stages == [(0, 1, work, 70)]


def test_blame_is_for_what_is_beyond_the_bound_of_the_devices_asked_and_then() -> None:
    all_of = Latencies([0, 0], 1)
    everything = all_of.blame(10, None)
    one = all_of.blame(10, {1: None})
    early = all_of.blame(10, None, lambda due_ns: due_ns < 100)
    assert (everything.bound_ns, everything.devices, everything.when) == (10, None, None)
    assert one.devices == {1: None}
    all_of.carried(0, 5, 10, 0, times(10, waited={"core": 10}))
    assert everything.samples == 0, "equal to the bound is within it"
    all_of.carried(0, 2, 11, 100, times(4, 7, waited={"core": 4}))
    all_of.carried(1, 3, 20, 99, times(6, 0, 14, waited={"core": 2, "gw/policy": 4}))
    all_of.carried(1, 1, 30, 0, times(0, 0, 30))
    assert (everything.samples, everything.spent_ns, everything.waited_ns) == (
        6,
        [26, 14, 72, 0, 0, 0],
        {"core": 14, "gw/policy": 12},
    )
    assert (one.samples, one.spent_ns, one.waited_ns) == (
        4,
        [18, 0, 72, 0, 0, 0],
        {"core": 6, "gw/policy": 12},
    )
    assert early.samples == 4
    assert everything.stage() == "bus"


def test_names_of_stages() -> None:
    assert STAGES == ("queue", "driver", "bus", "transform", "policy", "uplink")
    assert (QUEUE, DRIVER, BUS, UPLINK) == (0, 1, 2, 5)


def test_behind_a_poll_the_bus_has_its_share() -> None:
    """The poll before took 1000 ns: 600 on the bus, 100 of its queue for something outside. Of 500 ns behind
    it 350 aren't modelled."""
    before = times(200, 200, 600)
    before.waited_ns, before.outside_ns = {}, 100
    mine = StageTimes()
    mine.behind(501, before, "the poll before")
    assert (mine.spent_ns[QUEUE], mine.waited_ns, mine.outside_ns) == (501, {"the poll before": 501}, 350)
    assert isinstance(mine.outside_ns, int)
    mine.behind(40, None, "promotion")
    assert (mine.spent_ns[QUEUE], mine.outside_ns) == (541, 390)
    mine.behind(10, StageTimes(), "a poll that took no time")
    assert mine.outside_ns == 400
    mine.waited(7, "core")
    assert (mine.spent_ns[QUEUE], mine.outside_ns) == (558, 400)
    mine.behind(10, before, "the poll before")
    assert mine.outside_ns == 407


def test_what_wasnt_modelled_of_queues_is_counted_where_there_was_some() -> None:
    all_of = Latencies([0, 1], 2)
    all_of.watch(1)
    for device, outside_ns in ((0, 0), (0, 5), (1, 9)):
        one = times(10, 0, 0)
        one.waited_ns, one.outside_ns = {}, outside_ns
        all_of.carried(device, 3, 10, 0, one)
    assert [
        (latency.outside.count, latency.outside.max)
        for latency in (all_of.of(), all_of.of(fleets=[0]), all_of.of(devices={1: None}))
    ] == [(6, 9), (3, 5), (3, 9)]

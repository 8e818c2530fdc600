"""state, log and clock as a guest meets them on a gateway: quota, sync, survival, rate limits."""

from __future__ import annotations

from typing import Any

from tests.components import guests
from tests.plants import component, plant, run
from twinloop.components.host.host import Host
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import Action
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World


def answers(
    host: Host, value_bytes: int, duration_ns: int = 3 * S, timeline: tuple[Action, ...] = (), **limits: Any
) -> tuple[World, list[Any]]:
    """A world whose first device has the state-keeping driver; and every record about it."""
    keeper = component(
        host, "keeper", "driver", ("state",), guests.keeping(value_bytes), **{"deadline_ns": S, **limits}
    )
    world = World(plant(host, count=2, duration_ns=duration_ns, drivers={1: keeper}, timeline=timeline), host)
    records: list[Any] = []
    world.trace.sinks.append(records.extend)
    world.run()
    world.close()
    return world, records


def test_set_waits_for_the_sync_of_the_flash(host: Host) -> None:
    """The store commits every 100 ms: a poll that sets state takes about as long, and ends as rejected (what
    the guest returns)."""
    world, _ = answers(host, 8)
    assert world.ledger.count(End.MISSED, "rejected", [0]) == 30
    poller = world.gateways[0].pollers[0]
    assert poller.slot.imports.values == {"k": bytes(8)}
    assert 100 * MS <= poller.times.spent_ns[1] <= 110 * MS


def test_a_value_over_the_quota_is_refused_and_traced(host: Host) -> None:
    world, records = answers(host, 1000, state_bytes=500)
    assert world.gateways[0].pollers[0].slot.imports.values == {}
    assert world.gateways[0].machine.budget.breaches == {"state-quota": 3}
    assert [record[2:] for record in records if record[1] == "limit"] == [
        ("gw/driver/presses/1", "state-quota", 1001)
    ] * 3


def test_state_survives_a_crash_of_the_gateway(host: Host) -> None:
    crash = act(int(1.5 * S), "crash", "gw", 2 * S)
    world, _ = answers(host, 8, 5 * S, (crash,))
    slot = world.gateways[0].pollers[0].slot
    assert slot.imports.values == {"k": bytes(8)}
    assert slot.instance is None, "closed with the world"
    assert len(world.gateways[0].boots) == 2


def test_log_lines_are_traced_with_the_time_at_which_they_were_written(host: Host) -> None:
    """The driver says once that reads fail and once that they are good again."""
    cut = act(2 * S, "cut", "plant", 6 * S)
    world = World(plant(host, count=1, duration_ns=12 * S, timeline=(cut,)), host)
    records: list[Any] = []
    world.trace.sinks.append(records.extend)
    world.run()
    world.close()
    lines = [record for record in records if record[1] == "log"]
    assert [(line[4], line[5]) for line in lines] == [
        ("warn", "reads fail"),
        ("info", "reads are good again"),
    ]
    assert all(line[3] <= line[0] <= line[3] + MS for line in lines), (
        "traced when the CPU time that led to it has passed"
    )


def test_two_fleets_of_one_model_share_point_ids(host: Host) -> None:
    world = run(plant(host, count=3), host)
    tables = {id(poller.table) for poller in world.gateways[0].pollers}
    assert len(tables) == 1


def test_a_transform_that_waits_is_a_queue_and_still_loses_nothing(host: Host) -> None:
    """Granted clock, its call parks: 30 ms a batch, one at a time, waited for in stage queue; the wait counts
    as its own time."""
    slow = component(host, "slow", "transform", ("clock",), guests.slow_transform(30 * MS))
    world = run(plant(host, count=4, duration_ns=4 * S, phase_ns=0, transform=slow), host)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due == 160
    latency = world.latencies.of()
    transform, queue = latency.stages[3], latency.stages[0]
    assert 30 * MS < transform.min <= transform.max < 31 * MS
    assert queue.percentile(990) > 88 * MS, "the last of four waits for three"


def test_a_transform_that_waits_is_not_used_after_a_crash(host: Host) -> None:
    """The crash falls into the parked call: its argument, the driver's batch, is freed with the driver, and
    nobody reads it."""
    slow = component(host, "slow", "transform", ("clock",), guests.slow_transform(30 * MS))
    crashes = tuple(act(at, "restart", "gw") for at in range(S + 10 * MS, 4 * S, 333 * MS))
    world = run(plant(host, count=4, duration_ns=4 * S, phase_ns=0, transform=slow, timeline=crashes), host)
    assert world.ledger.open == 0
    assert world.ledger.count(End.LOST, "crash") > 0
    assert world.gateways[0].supervisor.faults == {}

"""Pipelines that share a gateway share its cores, its memory, its files: who takes too much is named, and the
others are hurt no more than they must be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.components import guests
from tests.plants import component, plant, run
from tests.sim.test_world import conserved, cut
from twinloop.components.host.host import Host
from twinloop.sim.accounts.latency import QUEUE
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import UplinkSpec, WorldSpec
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World


def limited(host: Host, files: int, **changes: Any) -> WorldSpec:
    spec = plant(host, **{"count": 12, "duration_ns": 10 * S, **changes})
    return replace(spec, gateways=(replace(spec.gateways[0], files=files),))


def test_files_run_out_by_name_and_those_who_have_one_keep_it(host: Host) -> None:
    """Three of the store, one of the uplink, six are left for twelve devices."""
    world = run(limited(host, 10), host)
    conserved(world)
    budget = world.gateways[0].machine.budget
    assert budget.files.peak == 10
    assert budget.breaches["files"] == 6 * 10 * 2, "each of the others tried at every poll, and once more"
    assert world.ledger.by_cause(End.MISSED) == {"disconnected": 6 * 10 * 10}
    assert [world.ledger.count(End.MISSED, devices=[d]) for d in range(12)] == [0] * 6 + [100] * 6
    assert budget.files.open == 3 + 1, "the drivers' sockets were given back when their instances went"


def test_a_connection_that_is_lost_gives_its_file_to_another(host: Host) -> None:
    world = run(limited(host, 10, timeline=(act(5 * S, "cut", "plant", 9 * S, leg="presses/1"),)), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED, devices=[6]) > 0
    assert world.gateways[0].machine.budget.files.peak == 10


def test_an_uplink_without_a_socket_backs_off_and_nothing_is_lost(host: Host) -> None:
    """The devices have taken all files while the uplink was away."""
    quick = UplinkSpec("cloud", user_timeout_ns=S, retry_max_ns=S)
    spec = limited(
        host, 15, duration_ns=20 * S, timeline=(cut(3, 4), act(12 * S, "cut", "plant", 16 * S)), uplink=quick
    )
    world = run(spec, host)
    conserved(world)
    assert world.ledger.count(End.LOST) == 0
    starved = run(replace(spec, gateways=(replace(spec.gateways[0], files=14),)), host)
    conserved(starved)
    assert starved.gateways[0].machine.budget.breaches["files"] > 0


def test_files_are_counted_right_over_any_number_of_lives(host: Host) -> None:
    lives = tuple(
        act(at * S, verb, "gw", (at + 1) * S)
        for at, verb in ((2, "crash"), (4, "power-cut"), (6, "shutdown"))
    )
    world = World(limited(host, 100, timeline=lives), host)
    world.boot()
    world.advance(int(9.5 * S))
    assert world.gateways[0].machine.budget.files.open == 3 + 1 + 12
    world.finish()
    world.close()
    conserved(world)


def test_a_pipeline_that_computes_makes_the_others_wait_and_is_named(host: Host) -> None:
    """One core: a driver that computes for tens of milliseconds takes it from everybody else at every
    poll."""
    heavy = component(host, "heavy", "driver", ("clock",), guests.working(200_000, 1, 1_000), deadline_ns=S)
    calm = run(plant(host, count=6, duration_ns=10 * S, board="beaglebone-black", phase_ns=0), host)
    spec = plant(
        host, count=6, duration_ns=10 * S, board="beaglebone-black", phase_ns=0, drivers={1: heavy, 2: heavy}
    )
    world = World(spec, host)
    blame = world.latencies.blame(20 * MS, None)
    world.run()
    world.close()
    conserved(world)
    queued, before = world.latencies.of().stages[QUEUE].max, calm.latencies.of().stages[QUEUE].max
    assert queued > 10 * MS > before
    assert (blame.stage(), blame.waited_for()) == ("queue", "core")


def test_out_of_memory_hits_the_largest_first_and_the_board_says_so(host: Host) -> None:
    spec = plant(
        host,
        count=6,
        duration_ns=10 * S,
        timeline=(act(3 * S, "limit-memory", "gw", 6 * S, size_bytes=700_000),),
    )
    world = run(spec, host)
    conserved(world)
    assert world.gateways[0].supervisor.faults[("modbus-driver", "memory-limit")] >= 1
    assert world.gateways[0].machine.budget.breaches["memory"] >= 1

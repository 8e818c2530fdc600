"""A session is its scenario plus its stamped commands; a snapshot changes nothing and crosses processes."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np

from tests.plants import plant, run
from twinloop.components.host.host import Host
from twinloop.sim.kernel.clock import S
from twinloop.sim.session import Session
from twinloop.sim.snapshot import Snapshot, take
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World


def test_a_session_replays_as_a_timeline(host: Host) -> None:
    spec = plant(host, count=4, duration_ns=20 * S)
    world = World(spec, host)
    session = Session(world)
    session.boot()
    world.advance(4 * S)
    stamped = session.act(act(0, "cut", "cloud", 12 * S))
    assert stamped.at_ns == world.env.now + 1
    world.advance(9 * S)
    session.act(act(0, "write", "presses/2", point="setpoint", value=2.0))
    assert world.finish()
    world.close()
    replayed = run(replace(spec, timeline=tuple(session.stamped)), host)
    assert replayed.trace.digest() == world.trace.digest()


def test_looking_changes_nothing(host: Host) -> None:
    spec = plant(host, count=4, duration_ns=10 * S, loss=0.02)
    world = World(spec, host)
    world.boot()
    for second in range(10):
        world.advance(second * S)
        assert isinstance(take(world), Snapshot)
    assert world.finish()
    world.close()
    assert world.trace.digest() == run(spec, host).trace.digest()


def test_a_snapshot_is_plain_and_adds_up(host: Host) -> None:
    world = World(plant(host, count=4, duration_ns=10 * S), host)
    world.boot()
    world.advance(5 * S)
    found = pickle.loads(pickle.dumps(take(world)))
    assert found.due == found.open + sum(count for _, _, count in found.ends)
    assert int(found.devices.due.sum()) == found.due
    assert found.devices.due.dtype == np.int64
    assert found.devices.names[0] == "presses/1"
    assert dict(found.latency)["gateway"][0] > 0
    (gateway,) = found.gateways
    assert (gateway.state, gateway.uplink) == ("up", "up")
    world.close()

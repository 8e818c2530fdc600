"""A session is its scenario plus its stamped commands; a snapshot changes nothing and crosses processes."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np

from tests.plants import plant, run
from twinloop.components.host.host import Host
from twinloop.sim.kernel.clock import S
from twinloop.sim.session import Act, Advance, Finish, Finished, Look, Session, Stamped
from twinloop.sim.snapshot import Snapshot, take
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World


def test_a_session_replays_as_a_timeline(host: Host) -> None:
    spec = plant(host, count=4, duration_ns=20 * S)
    world = World(spec, host)
    session = Session(world)
    session.handle(Advance(4 * S))
    stamped = session.handle(Act(act(0, "cut", "cloud", 12 * S)))
    assert isinstance(stamped, Stamped)
    session.handle(Advance(9 * S))
    session.handle(Act(act(0, "write", "presses/2", point="setpoint", value=2.0)))
    ended = session.handle(Finish())
    world.close()
    assert isinstance(ended, Finished)
    assert ended.completed
    replayed = run(replace(spec, timeline=tuple(session.stamped)), host)
    assert replayed.trace.digest() == ended.digest


def test_looking_changes_nothing(host: Host) -> None:
    spec = plant(host, count=4, duration_ns=10 * S, loss=0.02)
    world = World(spec, host)
    session = Session(world)
    for second in range(10):
        session.handle(Advance(second * S))
        assert isinstance(session.handle(Look()), Snapshot)
    ended = session.handle(Finish())
    world.close()
    assert isinstance(ended, Finished)
    assert ended.digest == run(spec, host).trace.digest()


def test_a_snapshot_is_plain_and_adds_up(host: Host) -> None:
    world = World(plant(host, count=4, duration_ns=10 * S), host)
    session = Session(world)
    session.handle(Advance(5 * S))
    found = pickle.loads(pickle.dumps(take(world)))
    assert found.due == found.open + sum(count for _, _, count in found.ends)
    assert int(found.devices.due.sum()) == found.due
    assert found.devices.due.dtype == np.int64
    assert found.devices.names[0] == "presses/1"
    assert dict(found.latency)["gateway"][0] > 0
    (gateway,) = found.gateways
    assert (gateway.state, gateway.uplink) == ("up", "up")
    world.close()

"""The wall's pace: no drift over a day, no event before its time, the same trace at any pace."""

from __future__ import annotations

import os
from fractions import Fraction

import pytest

from tests.plants import plant
from tests.sim.field.test_field import mixed
from twinloop.components.host.host import Host
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.kernel.pacer import SLICE_NS, SPEED_MAX, Pacer
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.world import World

DAY_S = 86_400 if "TWINLOOP_SOAK" in os.environ else 21_600
"""the suite takes a quarter of it"""


class Wall:
    """A clock of the wall that only sleeping moves: each sleep takes ``over_ns`` longer than asked for, in
    turn."""

    def __init__(self, *over_ns: int) -> None:
        self.now_ns, self.over_ns, self.sleeps = 123_456_789, over_ns or (0,), 0
        self.longest_ns = 0

    def sleep(self, delay_ns: int) -> None:
        self.longest_ns = max(self.longest_ns, delay_ns)
        self.now_ns += delay_ns + self.over_ns[self.sleeps % len(self.over_ns)]
        self.sleeps += 1


def pacer(wall: Wall, speed: str = "1") -> Pacer:
    return Pacer(Fraction(speed), lambda: wall.now_ns, wall.sleep)


@pytest.mark.parametrize("speed", ["1", "0.3", "7", "1000"])
def test_a_day_drifts_by_nothing(speed: str) -> None:
    """A thing a second, each waited for with sleeps that take too long: the last is as late as one of them."""
    wall = Wall(0, 70_000, 3)
    paced, began = pacer(wall, speed), wall.now_ns
    step, lasts_s = (
        (1000, DAY_S // 4) if Fraction(speed) < 1 else (1, DAY_S)
    )  # slowly it takes as many sleeps as four days
    for second in range(0, lasts_s + 1, step):
        while paced.reach(second * S) < second * S:
            pass
        late_ns = wall.now_ns - began - -(-second * S * paced.speed.denominator // paced.speed.numerator)
        assert 0 <= late_ns <= 70_000
    assert paced.lag.count == lasts_s // step + 1
    assert paced.lag.max <= 70_000
    assert wall.longest_ns <= SLICE_NS


def test_who_is_late_runs_on_and_says_so() -> None:
    wall = Wall()
    paced = pacer(wall)
    assert paced.position_ns() == 0
    assert paced.reach(0) == 0
    wall.now_ns += 5 * S
    assert paced.reach(2 * S) == 5 * S
    assert paced.lag.max == 3 * S
    assert paced.reach(5 * S + 2 * SLICE_NS) == 5 * S + SLICE_NS, "a slice at a time"
    assert paced.lag.count == 2, "it isn't time yet"


@pytest.mark.parametrize("speed", ["0", "-1", str(SPEED_MAX + 1)])
def test_an_impossible_speed_is_refused(speed: str) -> None:
    with pytest.raises(ValueError, match="expected more than 0"):
        Pacer(Fraction(speed))


def ran(spec: WorldSpec, host: Host, paced: Pacer | None) -> tuple[str, int, int]:
    world = World(spec, host)
    world.pacer = paced
    try:
        assert world.run()
    finally:
        world.close()
    return world.trace.digest(), world.events, world.env.now


@pytest.mark.parametrize("speed", ["1", "37.5"])
def test_a_world_is_the_same_at_any_pace(host: Host, speed: str) -> None:
    spec = mixed(host, ("modbus-tcp", "opcua", "mqtt"), duration_ns=5 * S)
    wall = Wall(0, 900_000)
    began = wall.now_ns
    paced = pacer(wall, speed)
    assert ran(spec, host, paced) == ran(spec, host, None)
    assert abs((wall.now_ns - began) * Fraction(speed) - 5 * S) < S
    assert paced.lag.count > 20


def test_a_paced_world_stops_when_told(host: Host) -> None:
    world = World(plant(host), host)
    world.pacer = pacer(Wall())
    world.progress = lambda now_ns: world.stop() if now_ns > S else None
    try:
        assert not world.run()
        assert S < world.env.now < 2 * S
    finally:
        world.close()


def test_nobody_waits_for_nothing(host: Host) -> None:
    """Between the last thing that happens and the end of the run the wall's time isn't spent."""
    wall = Wall()
    world = World(plant(host, duration_ns=S // 2, poll_ns=10 * S), host)
    world.pacer = pacer(wall)
    began = wall.now_ns
    try:
        world.run()
    finally:
        world.close()
    assert wall.now_ns - began < 300 * MS

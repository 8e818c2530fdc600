"""Samples that are counted together come to what they come to one by one, and none that stands out is passed
over."""

from __future__ import annotations

import random

import pytest

from tests.tui.scene import S
from twinloop.sim.kernel.histogram import Histogram
from twinloop.tui.engine.counting import STRETCHES, Rates, Samples
from twinloop.tui.engine.explored import Slow
from twinloop.tui.engine.over_time import Percentiles
from twinloop.tui.engine.standouts import SLOWEST_MAX, StandOuts

FLEET_OF = [0, 0, 1]


def some(seed: int, count: int = 3000) -> list[tuple[int, int, int, int]]:
    """(device, points, latency, due) in the order of their verdicts, over 150 s; some take longer than a
    window."""
    of = random.Random(seed)
    at = sorted(of.randrange(150 * S) for _ in range(count))
    took = [of.choice((1_500, of.randrange(1, S), of.randrange(1, 30 * S))) for _ in at]
    return [
        (of.randrange(3), of.randrange(1, 11), min(long, now), now - min(long, now))
        for now, long in zip(at, took, strict=True)
    ]


@pytest.mark.parametrize("every", [1, 7, 400, 3000])
def test_together_is_the_same_as_one_by_one(every: int) -> None:
    """Counted every so many samples: percentiles of each window, and points of the last ten whole seconds."""
    found = Samples(Percentiles(2 * S), Rates(2, S), FLEET_OF)
    windows: dict[int, Histogram] = {}
    samples = some(every)
    for number, (device, points, took_ns, due_ns) in enumerate(samples, 1):
        found.came(device, points, took_ns, due_ns)
        windows.setdefault(due_ns // (2 * S), Histogram()).add(took_ns, points)
        if number % every == 0:
            found.count()
    found.count()
    assert found.count() is None, "nothing waits any more"
    assert found.percentiles.windows() == tuple(
        (window * 2 * S, *(windows[window].percentile(p) for p in (500, 950, 990)))
        for window in sorted(windows)
    )
    last = (samples[-1][2] + samples[-1][3]) // S
    fleets = [0, 0]
    for device, points, took_ns, due_ns in samples:
        if last - STRETCHES <= (took_ns + due_ns) // S < last:
            fleets[FLEET_OF[device]] += points
    assert min(fleets) > 0
    assert found.rates.per_s(last * S) == tuple(points / STRETCHES for points in fleets)


@pytest.mark.parametrize("seed", range(5))
def test_what_stands_out_is_found_by_three_comparisons(seed: int) -> None:
    """Asked of each sample whether it stands out, and only of those beyond the bars: the same are kept."""
    plain, quick = (StandOuts(10 * S, FLEET_OF, ("a", "b")) for _ in range(2))
    looked, samples = 0, some(seed)
    for number, (device, _, took_ns, due_ns) in enumerate(samples):
        slow, now = Slow(device, number, took_ns, (0, took_ns, 0, 0, 0, 0), due_ns), due_ns + took_ns
        if plain.takes(device, took_ns, due_ns):
            plain.add(slow)
        if took_ns > quick.bars[FLEET_OF[device]] or now >= quick.until_ns or due_ns < quick.from_ns:
            looked += 1
            if quick.takes(device, took_ns, due_ns):
                quick.add(slow)
            quick.look(device, now, (now // (7 * S) + 1) * 7 * S)
    assert looked < len(samples) * 0.8, "else the bars keep nobody out"
    assert quick.slowest() == plain.slowest()
    assert len(quick.slowest()) == SLOWEST_MAX
    assert quick.samples(0, 150 * S, None) == plain.samples(0, 150 * S, None)
    assert quick.longest == plain.longest

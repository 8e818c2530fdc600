"""Windows of simulated time: percentiles of latency, points that went wrong, loads of cores, lines and links.

Belongs here: counting by windows, and the shares of time between two of them. Never: when something
happened (watch.py), how it is drawn (screens/). A run has at most WINDOWS_MAX windows: those of a longer run
are wider.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from twinloop.sim.kernel.histogram import Histogram
from twinloop.sim.world import World
from twinloop.tui.engine.figures import Load, Loads, Window

WINDOWS_MAX = 300
"""of the duration; what settles after it has some more"""
WINDOW_MIN_NS = 1_000_000_000
LOAD_WINDOWS = 30
"""into which a short run is cut at least, however seldom its devices are polled"""
LOADS_MAX = 12
"""cores, lines and links of which a view has the load: those whose load was the highest"""
_PERMILLE = (500, 950, 990)
Column = np.ndarray[Any, Any]
"""one int64 a sample"""


def window_ns(duration_ns: int) -> int:
    """How wide a window is."""
    return max(WINDOW_MIN_NS, -(-duration_ns // WINDOWS_MAX))


def load_window_ns(duration_ns: int, longest_ns: int) -> int:
    """The same for loads, in whole windows: as long as the time between two polls of a device, so that a load
    doesn't go up and down with them, unless that would be fewer than LOAD_WINDOWS."""
    width_ns = window_ns(duration_ns)
    return width_ns * max(1, min(longest_ns, duration_ns // LOAD_WINDOWS) // width_ns)


class Percentiles:
    """Latencies by the window in which their samples were due. What is ranked once is kept until there is
    more of it: a view costs the windows that have changed since the last one."""

    def __init__(self, width_ns: int) -> None:
        self._width_ns = width_ns
        self._windows: dict[int, Histogram] = {}
        self._ranked: dict[int, tuple[int, Window]] = {}
        """window -> how many samples it had then, and what was said of it"""

    def came(self, due_ns: Column, took_ns: Column, points: Column) -> None:
        """Samples: when each was due, how long it took, how many points it had."""
        windows = due_ns // self._width_ns
        first = int(windows.min())
        if first == int(windows.max()):
            self._of(first).add_many(took_ns, points)
            return
        for window in np.unique(windows).tolist():
            mine = windows == window
            self._of(window).add_many(took_ns[mine], points[mine])

    def _of(self, window: int) -> Histogram:
        found = self._windows.get(window)
        if found is None:
            found = self._windows[window] = Histogram()
        return found

    def never(self, device: int, points: int, due_ns: int) -> None:
        """So many never came."""
        self._of(due_ns // self._width_ns).never += points

    def windows(self) -> tuple[Window, ...]:
        """(from, p50, p95, p99) of each window; -1 where nothing came, or where that rank never did."""
        out = []
        for window, histogram in sorted(self._windows.items()):
            samples = histogram.count + histogram.never
            before, said = self._ranked.get(window, (-1, None))
            if said is None or before != samples:
                p50, p95, p99 = histogram.percentiles(_PERMILLE)
                most = histogram.max
                said = window * self._width_ns, _rank(p50, most), _rank(p95, most), _rank(p99, most)
                self._ranked[window] = samples, said
            out.append(said)
        return tuple(out)


def _rank(value: int | None, most: int) -> int:
    return -1 if value is None or value > most else value


class Busy:
    """How busy cores, serial lines and links were, from window to window.

    Counters that the world keeps anyway are read at the first thing that is told of after a window's end,
    and nothing is put on the timeline for it. So a share is of the stretch between two readings, however long
    that was, and right for it. Two things limit it. A core's time is booked when it is given back: of work
    across the end of a stretch all belongs to the stretch in which it ended. And where nothing is told of for
    several windows (samples tell when they have a verdict or go wrong), they have one share together.
    """

    def __init__(self, world: World, width_ns: int) -> None:
        self._world, self._width_ns = world, width_ns
        self._lines = world.field.lines
        serial = [line.link.name for line in self._lines.values()]
        self._links = [link for name, link in world.links.items() if name not in serial]
        self.next_ns = width_ns
        """from when on the counters are to be read again"""
        self._from_ns: list[int] = []
        self._shares: list[tuple[float, ...]] = []
        self._most: list[float] = []
        """of each the largest share so far"""
        self._read_ns, self._before = 0, self._read(0)

    def booted(self) -> None:
        """Time begins: what gateways did to boot is no load of the run."""
        self._before = self._read(0)

    def read(self) -> None:
        """A stretch ends now."""
        now = self._world.env.now
        self._from_ns.append(self._read_ns)
        busy = self._read(now)
        shares = self._between(now, busy)
        self._shares.append(shares)
        self._most = [max(pair) for pair in zip(self._most or shares, shares, strict=True)]
        self._read_ns, self._before = now, busy
        self.next_ns = (now // self._width_ns + 1) * self._width_ns

    def loads(self) -> Loads:
        """All stretches that are over."""
        busiest = sorted(range(len(self._most)), key=lambda i: -self._most[i])[:LOADS_MAX]
        names = self._names()
        shown = [Load(*names[i], tuple(row[i] for row in self._shares)) for i in sorted(busiest)]
        return Loads(tuple(self._from_ns), tuple(shown), len(self._most) - len(shown))

    def _names(self) -> list[tuple[str, str]]:
        return [
            *(("cores", gateway.name) for gateway in self._world.gateways),
            *(("line", name) for name in self._lines),
            *(("link", link.name) for link in self._links),
        ]

    def _read(self, now_ns: int) -> list[list[int]]:
        """For how long each was busy until now: a link has several ways, each with a rate of its own."""
        return [
            *(
                [gateway.machine.busy_total_ns() - gateway.machine.boot_busy_ns]
                for gateway in self._world.gateways
            ),
            *([line.occupancy.busy_until(now_ns)] for line in self._lines.values()),
            *(link.busy_ns(now_ns) for link in self._links),
        ]

    def _between(self, now_ns: int, busy: list[list[int]]) -> tuple[float, ...]:
        """Shares of the time since the last reading: of all cores of a gateway together, of a link's busiest
        way."""
        took_ns = max(1, now_ns - self._read_ns)
        parts = [gateway.machine.board.cores for gateway in self._world.gateways]
        out = []
        for i, (ways, before) in enumerate(zip(busy, self._before, strict=True)):
            known = [*before, *([0] * (len(ways) - len(before)))]
            most_ns = max((way - was for way, was in zip(ways, known, strict=True)), default=0)
            out.append(most_ns / (took_ns * (parts[i] if i < len(parts) else 1)))
        return tuple(out)


class OverTime:
    """All windows of one run."""

    def __init__(self, world: World) -> None:
        self._width_ns = window_ns(world.spec.duration_ns)
        self._fleets = len(world.spec.fleets)
        self.gateway, self.cloud = Percentiles(self._width_ns), Percentiles(self._width_ns)
        self._wrong: dict[int, list[int]] = {}
        """window -> points by fleet that were missed or lost"""
        longest_ns = max((device.poll_ns for device in world.spec.devices), default=0)
        self.busy = Busy(world, load_window_ns(world.spec.duration_ns, longest_ns))

    def went_wrong(self, fleet: int, points: int, due_ns: int) -> None:
        """So many points of a fleet were missed or lost."""
        window = due_ns // self._width_ns
        counts = self._wrong.get(window)
        if counts is None:
            counts = self._wrong[window] = [0] * self._fleets
        counts[fleet] += points

    def wrong(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """(from, points by fleet that were missed or lost) of each window that has some."""
        return tuple((w * self._width_ns, tuple(counts)) for w, counts in sorted(self._wrong.items()))

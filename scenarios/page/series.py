"""What a report page knows beside the result: latencies, ends, gauges and trouble over time, the slowest
samples, the worst of each device.

Belongs here: listening to a world from its beginning on, without changing it. Never: words or pictures. It
hangs on what the world tells anyway (latencies, the trace's sinks, ends, the timeline) and puts nothing onto
the timeline itself, so that a run with it has the same trace, the same number of events and the same result.
Everything that is kept has a named limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from heapq import heappush, heapreplace
from typing import NamedTuple

from twinloop.scenarios.page.windows import Windows
from twinloop.sim.accounts.latency import STAGES, StageTimes
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.kernel.histogram import Histogram
from twinloop.sim.kernel.trace import Record
from twinloop.sim.model.spec import Action
from twinloop.sim.trouble.verbs import VERBS
from twinloop.sim.world import World

SLOWEST_MAX = 20
"""samples of which it is kept where their time went"""
TROUBLE_MAX = 200
"""entries of the timeline that are kept; the others are counted"""


class Slow(NamedTuple):
    """One sample that got its verdict late. ``spent_ns`` by stage, in the order of STAGES; ``waited_for``:
    what most of its queueing waited for, empty when it didn't queue."""

    total_ns: int
    device: int
    due_ns: int
    points: int
    spent_ns: tuple[int, ...]
    waited_for: str


@dataclass
class Trouble:
    """One entry of the timeline that has begun. ``end_ns`` None: it was over at once; of one that lasts and
    that nothing ended it is the end of the run."""

    begin_ns: int
    end_ns: int | None
    verb: str
    target: str
    detail: str


class Look(NamedTuple):
    """Gauges at one instant, by the number of a gateway or a line: core time held, memory, time occupied."""

    at_ns: int
    busy_ns: tuple[int, ...]
    memory_bytes: tuple[int, ...]
    line_busy_ns: tuple[int, ...]


class Waiting:
    """Messages that wait in one gateway's store: the most in each window, and how many at its end."""

    def __init__(self) -> None:
        self.most: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self._now = 0

    def changed(self, window: int, count: int) -> None:
        """So many wait from now on."""
        self.most[window] = max(self.most.get(window, self._now), count)
        self.last[window] = self._now = count

    def over(self, windows: int) -> list[int]:
        """The most in each of so many windows."""
        out, now = [], 0
        for window in range(windows):
            out.append(self.most.get(window, now))
            now = self.last.get(window, now)
        return out


class Series:
    """Sees one world; made before it runs, read when it has ended."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.windows = Windows.of(world.spec)
        self.gateway: dict[int, Histogram] = {}
        """window in which samples were due -> their latencies to the verdict"""
        self.cloud: dict[int, Histogram] = {}
        self.ends: dict[tuple[int, str], int] = {}
        """(window, end) -> points that came to that end in that window"""
        self.looks: list[Look] = []
        self._next_ns = self.windows.size_ns
        self.waiting = [Waiting() for _ in world.gateways]
        self.troubles: list[Trouble] = []
        self.troubles_left_out = 0
        count = len(world.spec.devices)
        self.worst_ns = [0] * count
        """of each device the latest verdict"""
        self._slowest: list[tuple[int, int, Slow]] = []
        self._order = 0
        self._listen()

    def _listen(self) -> None:
        world = self.world
        world.latencies.watch_windows(False, self._carried, self._never_carried)
        world.latencies.watch_windows(True, self._accepted, self._never_accepted)
        world.latencies.watch_stages(self._staged)
        world.trace.sinks.append(self._took)
        world.ends.on_end.append(self._ended)
        world.timeline.on_begin.append(self._began)
        world.on_happened.append(self._happened)
        for gateway, waiting in zip(world.gateways, self.waiting, strict=True):
            gateway.outbox.on_backlog.append(partial(self._backlog, waiting))

    # ---- while it goes on ------------------------------------------------------------------------
    def _carried(self, device: int, points: int, total_ns: int, due_ns: int) -> None:
        self.gateway.setdefault(self.windows.number(due_ns), Histogram()).add(total_ns, points)
        if total_ns > self.worst_ns[device]:
            self.worst_ns[device] = total_ns
        if self.world.env.now >= self._next_ns:
            self._look()

    def _never_carried(self, device: int, points: int, due_ns: int) -> None:
        self.gateway.setdefault(self.windows.number(due_ns), Histogram()).never += points

    def _accepted(self, device: int, points: int, total_ns: int, due_ns: int) -> None:
        self.cloud.setdefault(self.windows.number(due_ns), Histogram()).add(total_ns, points)

    def _never_accepted(self, device: int, points: int, due_ns: int) -> None:
        self.cloud.setdefault(self.windows.number(due_ns), Histogram()).never += points

    def _staged(self, device: int, points: int, times: StageTimes, due_ns: int) -> None:
        """A verdict: is it one of the slowest? Of two that took equally long the earlier one is kept."""
        total_ns, heap = sum(times.spent_ns), self._slowest
        if len(heap) >= SLOWEST_MAX and total_ns <= heap[0][0]:
            return
        self._order -= 1
        waited = times.waited_ns or {}
        longest = max(waited, key=lambda what: (waited[what], what)) if waited else ""
        slow = Slow(total_ns, device, due_ns, points, tuple(times.spent_ns), longest)
        entry = total_ns, self._order, slow
        if len(heap) < SLOWEST_MAX:
            heappush(heap, entry)
        else:
            heapreplace(heap, entry)

    def _took(self, records: list[Record]) -> None:
        number, ends = self.windows.number, self.ends
        for record in records:
            if record[1] == "end":
                key = number(record[0]), record[5]
                ends[key] = ends.get(key, 0) + record[4].bit_count()

    def _ended(self, row: Row, mask: int, end: End, cause: str) -> None:
        if self.world.env.now >= self._next_ns:
            self._look()

    def _began(self, action: Action) -> None:
        if len(self.troubles) >= TROUBLE_MAX:
            self.troubles_left_out += 1
            return
        now = self.world.env.now
        verb = VERBS[action.verb]
        whole = self.world.spec.duration_ns
        end_ns = (action.until_ns if action.until_ns is not None else whole) if verb.lasts else None
        detail = str(action.deed.detail)
        self.troubles.append(Trouble(now, end_ns, action.verb, action.target, detail))

    def _happened(self, event: str) -> None:
        """A phase that heals ends all trouble that stands."""
        now = self.world.env.now
        if any(phase.heals and event == f"phase {phase.name}" for phase in self.world.spec.phases):
            for trouble in self.troubles:
                if trouble.end_ns is not None:
                    trouble.end_ns = min(trouble.end_ns, max(now, trouble.begin_ns))
        if now >= self._next_ns:
            self._look()

    def _backlog(self, waiting: Waiting, count: int) -> None:
        now = self.world.env.now
        waiting.changed(self.windows.number(now), count)
        if now >= self._next_ns:
            self._look()

    def _look(self) -> None:
        """Gauges, at the first thing that happens in a window (of the first one there is nothing to see yet):
        shares of time are of the stretch between two looks, so they are right wherever these lie."""
        world = self.world
        now = world.env.now
        if now >= self.windows.duration_ns:
            return  # the last look is of the duration's end, and the world itself takes it
        self._next_ns = (now // self.windows.size_ns + 1) * self.windows.size_ns
        self.looks.append(
            Look(
                now,
                tuple(one.machine.busy_total_ns() - one.machine.boot_busy_ns for one in world.gateways),
                tuple(one.machine.budget.memory_bytes for one in world.gateways),
                tuple(line.occupancy.busy_until(now) for line in world.field.lines.values()),
            )
        )

    # ---- when it has ended -----------------------------------------------------------------------
    def all_looks(self) -> list[Look]:
        """The looks, with the end of the duration as the last one if it was come to."""
        world = self.world
        if not world.duration_over:
            return self.looks
        last = Look(
            self.windows.duration_ns,
            tuple(gateway.machine.busy_in_run_ns or 0 for gateway in world.gateways),
            self.looks[-1].memory_bytes if self.looks else (0,) * len(world.gateways),
            tuple(line.occupancy.busy_in_run_ns or 0 for line in world.field.lines.values()),
        )
        return [*self.looks, last]

    def cpu_shares(self) -> list[list[tuple[int, float]]]:
        """Of each gateway: (from, share of all its cores' time that was used) from each look to the next."""
        out: list[list[tuple[int, float]]] = []
        looks = self.all_looks()
        for number, gateway in enumerate(self.world.gateways):
            busy = [(look.at_ns, look.busy_ns[number]) for look in looks]
            out.append(_shares(busy, gateway.machine.board.cores))
        return out

    def line_shares(self) -> dict[str, list[tuple[int, float]]]:
        """The same of serial lines: the share of time in which somebody had the line."""
        looks = self.all_looks()
        return {
            name: _shares([(look.at_ns, look.line_busy_ns[number]) for look in looks], 1)
            for number, name in enumerate(self.world.field.lines)
        }

    def count(self) -> int:
        """How many windows there are: those of the duration, and after it as far as something happened."""
        last = [*self.gateway, *self.cloud, *(window for window, _ in self.ends)]
        last += [window for one in self.waiting for window in one.most]
        return max(self.windows.in_duration if self.world.duration_over else 1, max(last, default=0) + 1)

    def slowest(self) -> list[Slow]:
        """The slowest first."""
        return [slow for _, _, slow in sorted(self._slowest, reverse=True)]

    def stages(self) -> dict[str, Histogram]:
        """Time by stage, over all samples that got a verdict."""
        return dict(zip(STAGES, self.world.latencies.of().stages, strict=True))


def _shares(busy: list[tuple[int, int]], parts: int) -> list[tuple[int, float]]:
    """(from, share) between each two of (instant, time used until then), of ``parts`` used at once."""
    out, before = list[tuple[int, float]](), (0, 0)
    for at_ns, used_ns in busy:
        if at_ns > before[0]:
            out.append((before[0], (used_ns - before[1]) / ((at_ns - before[0]) * parts)))
            before = at_ns, used_ns
    return out

"""Latencies of a phase, of each window of ``over``, of a component's version: a histogram for each, and how
much of it is modelled CPU time.

Belongs here: what is counted while the run goes on, and the worst of it. Never: bounds' bands, reasons
(thresholds.py). Windows begin with the run, or with the expectation's phase; a count is of whole windows
only, any other statistic of whatever samples a window has.
"""

from __future__ import annotations

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.expectation_names import AT_WORK
from twinloop.scenarios.judging.measure import modelled, statistic
from twinloop.scenarios.judging.run import Run
from twinloop.sim.accounts.latency import BUS, QUEUE, STAGES, Latency, StageTimes
from twinloop.sim.kernel.clock import NEVER_NS
from twinloop.sim.kernel.histogram import Histogram


class Windows:
    """Of one expectation. ``chosen``: its devices, None for all."""

    def __init__(self, world: Run, expectation: Expectation, chosen: dict[int, None] | None) -> None:
        self._world, self._expectation, self._chosen = world, expectation, chosen
        keys = dict(expectation.keys)
        self._phase = keys.get("phase")
        phase = next((one for one in world.spec.phases if one.name == self._phase), None)
        self._begin_ns, self._end_ns = (
            (0, world.spec.duration_ns) if phase is None else (phase.start_ns, phase.end_ns)
        )
        self._span_ns = expectation.over_ns or NEVER_NS
        self._found: dict[int, Histogram] = {}
        self._parts: dict[int, Latency] = {}
        """of the gateway's latency: its stages"""
        self._version = keys.get("version")
        self._stage = STAGES.index(keys["stage"]) if "stage" in keys else 0
        if expectation.metric == "latency.stage":
            world.latencies.watch_stages(self._see_stage)
            return
        world.latencies.watch_windows(expectation.metric == "latency.cloud", self._see, self._never)
        if expectation.metric == "latency.gateway":
            world.latencies.watch_stages(self._see_parts)

    def _mine(self, device: int, due_ns: int) -> bool:
        return (self._chosen is None or device in self._chosen) and (
            self._phase is None or self._world.ends.phase_of(due_ns) == self._phase
        )

    def _window(self, due_ns: int) -> int:
        return (due_ns - self._begin_ns) // self._span_ns

    def _see(self, device: int, points: int, total_ns: int, due_ns: int) -> None:
        if self._mine(device, due_ns):
            self._found.setdefault(self._window(due_ns), Histogram()).add(total_ns, points)

    def _never(self, device: int, points: int, due_ns: int) -> None:
        if self._mine(device, due_ns):
            self._found.setdefault(self._window(due_ns), Histogram()).never += points

    def _see_parts(self, device: int, points: int, times: StageTimes, due_ns: int) -> None:
        if self._mine(device, due_ns):
            parts = self._parts.setdefault(self._window(due_ns), Latency())
            self._add(parts, points, times)

    def _see_stage(self, device: int, points: int, times: StageTimes, due_ns: int) -> None:
        if not self._mine(device, due_ns):
            return
        if (
            self._version is not None
            and str(times.at_work[AT_WORK[STAGES[self._stage]]].version) != self._version
        ):
            return
        self._found.setdefault(0, Histogram()).add(times.spent_ns[self._stage], points)
        if self._stage == QUEUE:
            self._add(self._parts.setdefault(0, Latency()), points, times)

    @staticmethod
    def _add(parts: Latency, points: int, times: StageTimes) -> None:
        parts.add_carried(points, sum(times.spent_ns), times.spent_ns)
        if times.outside:
            parts.outside.add(times.outside, points)

    def worst(self) -> tuple[float, int] | None:
        """(the value that is hardest to accept, its window); None without any. Of two that break the bound
        the farther."""
        expectation = self._expectation
        windows, downward = self._found, expectation.operator in (">=", ">")
        if expectation.statistic == "count":
            whole = (
                1 if expectation.over_ns is None else max(0, self._end_ns - self._begin_ns) // self._span_ns
            )
            windows = {window: windows.get(window, Histogram()) for window in range(whole)}
        worst: tuple[float, int] | None = None
        for window in sorted(windows):
            value = statistic(windows[window], expectation.statistic)
            if value is None:
                continue
            beyond = worst is not None and (value < worst[0] if downward else value > worst[0])
            breaks = worst is not None and expectation.holds(worst[0]) and not expectation.holds(value)
            if worst is None or beyond or breaks:
                worst = value, window
        return worst

    def begins_ns(self, window: int) -> int:
        """When a window begins."""
        return self._begin_ns + window * self._span_ns

    def modelled(self, window: int, value: float) -> float:
        """How much of the value in that window is modelled CPU time."""
        if self._expectation.metric == "latency.stage" and self._stage != QUEUE:
            return 0.0 if self._stage == BUS else value
        if window not in self._parts:
            return 0.0
        only = QUEUE if self._expectation.metric == "latency.stage" else None
        return min(value, modelled(self._parts[window], self._expectation.statistic, only))

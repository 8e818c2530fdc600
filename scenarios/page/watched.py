"""Expectations over time: the value of each window beside the limit, for the metrics that have one at a time.

Belongs here: what is counted for an expectation while the run goes on, and its curve. Never: verdicts
(judging/): a curve shows where a value came from, and decides nothing. Metrics without a curve have none
here: values of points, upgrades, commands, what is stuck, anything by quality or by a component's version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.measure import Measures, statistic
from twinloop.scenarios.judging.metrics.table import METRICS, SAMPLE_ENDS
from twinloop.scenarios.page.series import Series
from twinloop.scenarios.page.windows import WINDOWS_MAX
from twinloop.sim.accounts.latency import STAGES, StageTimes
from twinloop.sim.kernel.histogram import Histogram
from twinloop.sim.kernel.trace import Record

CURVES_MAX = 40
"""expectations of which values over time are kept"""
PER_WINDOW = "each point is one window of time; the verdict is of the whole run"
AS_EXPECTED = "each point is one of the windows that the expectation asks for"
LOOKED = "looked at once in each window of time"
GROWING = "it grows to what was measured at the end"
MOST = "the most in each window of time"


@dataclass(frozen=True)
class Curve:
    """An expectation over time. ``at_ns``: where each value stands; None: nothing was measured there, NEVER:
    later than any bound. ``how``: what one value is, in words."""

    at_ns: list[int]
    values: list[float | None]
    how: str


class _Latency:
    """A statistic of latencies, of one stage, or of all, by the window in which samples were due."""

    def __init__(self, series: Series, expectation: Expectation, chosen: dict[int, None] | None) -> None:
        self._series, self._expectation, self._chosen = series, expectation, chosen
        keys = dict(expectation.keys)
        self._phase = keys.get("phase")
        self._begin_ns, self._size_ns, self._how = 0, series.windows.size_ns, PER_WINDOW
        phase = next((one for one in series.world.spec.phases if one.name == self._phase), None)
        if (
            expectation.over_ns is not None
            and expectation.over_ns * WINDOWS_MAX >= series.windows.duration_ns
        ):
            self._begin_ns = 0 if phase is None else phase.start_ns
            self._size_ns, self._how = expectation.over_ns, AS_EXPECTED
        self._found: dict[int, Histogram] = {}
        latencies = series.world.latencies
        if expectation.metric == "latency.stage":
            self._stage = STAGES.index(keys["stage"])
            latencies.watch_stages(self._see_stage)
        else:
            latencies.watch_windows(expectation.metric == "latency.cloud", self._see, self._never)

    def _at(self, device: int, due_ns: int) -> Histogram | None:
        if self._chosen is not None and device not in self._chosen:
            return None
        if self._phase is not None and self._series.world.ends.phase_of(due_ns) != self._phase:
            return None
        return self._found.setdefault((due_ns - self._begin_ns) // self._size_ns, Histogram())

    def _see(self, device: int, points: int, total_ns: int, due_ns: int) -> None:
        found = self._at(device, due_ns)
        if found is not None:
            found.add(total_ns, points)

    def _never(self, device: int, points: int, due_ns: int) -> None:
        found = self._at(device, due_ns)
        if found is not None:
            found.never += points

    def _see_stage(self, device: int, points: int, times: StageTimes, due_ns: int) -> None:
        found = self._at(device, due_ns)
        if found is not None:
            found.add(times.spent_ns[self._stage], points)

    def curve(self) -> Curve:
        """One value a window in which a sample was due; a count over the whole run grows."""
        windows, growing = sorted(self._found), False
        name = self._expectation.statistic
        values = [statistic(self._found[one], name) for one in windows]
        if name == "count" and self._how == PER_WINDOW:
            growing, values = True, list(accumulate(value or 0 for value in values))
        at_ns = [self._begin_ns + (one + growing) * self._size_ns for one in windows]
        return Curve(at_ns, values, GROWING if growing else self._how)


class _Ends:
    """How many points have come to one end so far, or which share of all that were due in the run."""

    def __init__(
        self, series: Series, expectation: Expectation, chosen: dict[int, None] | None, measures: Measures
    ) -> None:
        self._series, self._expectation, self._chosen, self._measures = series, expectation, chosen, measures
        end = SAMPLE_ENDS[expectation.metric]
        assert end is not None
        self._end, self._cause = end.value, dict(expectation.keys).get("cause")
        self._found: dict[int, int] = {}
        series.world.trace.sinks.append(self._took)

    def _took(self, records: list[Record]) -> None:
        for record in records:
            if (
                record[1] == "end"
                and record[5] == self._end
                and self._cause in (None, record[6])
                and (self._chosen is None or record[2] in self._chosen)
            ):
                window = self._series.windows.number(record[0])
                self._found[window] = self._found.get(window, 0) + record[4].bit_count()

    def curve(self) -> Curve:
        """What had been counted at the end of each window."""
        due = METRICS["samples.due"].read(self._measures, self._expectation) or 0
        counted, values, windows = 0, list[float | None](), self._series.windows
        count = self._series.count()
        for window in range(count):
            counted += self._found.get(window, 0)
            ratio = self._expectation.statistic == "ratio"
            values.append((counted / due if due else None) if ratio else counted)
        return Curve([windows.begins_ns(window + 1) for window in range(count)], values, GROWING)


class Watched:
    """Of all expectations of a run; made before it, ``curves`` are asked for after it."""

    def __init__(self, series: Series, expectations: list[Expectation]) -> None:
        self._series = series
        self._measures = Measures(series.world)
        self._curves: dict[int, Callable[[], Curve]] = {}
        for number, expectation in enumerate(expectations):
            if len(self._curves) < CURVES_MAX:
                self._watch(number, expectation)

    def _watch(self, number: int, expectation: Expectation) -> None:
        keys = dict(expectation.keys)
        metric, chosen = expectation.metric, self._measures.devices(expectation)
        if "version" in keys or "quality" in keys:
            return
        if metric in ("latency.gateway", "latency.cloud", "latency.stage") and expectation.within_ns is None:
            self._curves[number] = _Latency(self._series, expectation, chosen).curve
        elif metric in SAMPLE_ENDS and "phase" not in keys:
            self._curves[number] = _Ends(self._series, expectation, chosen, self._measures).curve
        elif metric in ("backlog", "gateway.cpu", "gateway.memory"):
            self._curves[number] = lambda: self._gauge(metric, keys.get("gateway"))

    def _gauge(self, metric: str, name: str | None) -> Curve:
        """The largest of the gateways that are meant."""
        series = self._series
        mine = [i for i, one in enumerate(series.world.gateways) if name in (None, one.name)]
        if metric == "backlog":
            lists = [series.waiting[i].over(series.count()) for i in mine]
            at_ns = [series.windows.begins_ns(window) for window in range(series.count())]
            return Curve(at_ns, [max(values) for values in zip(*lists, strict=True)], MOST)
        if metric == "gateway.cpu":
            shares = series.cpu_shares()
            spans = list(zip(*(shares[i] for i in mine), strict=True))
            at_ns = [each[0][0] for each in spans]
            return Curve(at_ns, [max(share for _, share in each) for each in spans], PER_WINDOW)
        looks = series.looks
        memory = [float(max(look.memory_bytes[i] for i in mine)) for look in looks]
        return Curve([look.at_ns for look in looks], list(memory), LOOKED)

    def made(self, number: int) -> Callable[[], Curve] | None:
        """What gives the curve of one expectation as far as the run has come; None: it has none."""
        return self._curves.get(number)

    def curves(self) -> dict[int, Curve]:
        """Number of an expectation, from 0 on -> its curve; of those that have one."""
        return {number: curve() for number, curve in self._curves.items()}

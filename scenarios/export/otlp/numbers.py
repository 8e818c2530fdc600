"""The run's metrics as OTLP metrics: the rows of the table that expectations are read by, for each gateway or
fleet, and what the report page shows over time.

Belongs here: what kind of OTLP metric a row becomes, and at which instants. Never: what can be measured
(judging/metrics/), what is seen over time (page/series.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

from twinloop.scenarios.export.otlp.spans import Attributes, Protos, put
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.measure import Measures
from twinloop.scenarios.judging.metrics.metric import Metric
from twinloop.scenarios.judging.metrics.table import METRICS
from twinloop.scenarios.page.series import Series
from twinloop.sim.accounts.latency import STAGES
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import NEVER_NS
from twinloop.sim.kernel.histogram import Histogram
from twinloop.sim.kernel.trace import Record
from twinloop.sim.kernel.wallclock import BOOT_HORIZON_NS
from twinloop.sim.world import World

PREFIX = "twinloop."
UNITS = {"ns": "s", "bytes": "By", "count": "1", "ratio": "1"}
"""units of the table in UCUM; ns are written as seconds"""
BUCKETS_MAX = 160
"""of one histogram: its scale is the finest with which they suffice"""
SCALE_MAX = 4
_BILLION = 1_000_000_000
LINE_BUSY = "line.busy"
LEFT_OUT = "spans.left_out"
RUN = "run"
"""beside the table: what the result says of lines, what has no spans, which run it was"""


def index_of(value_ns: int, scale: int) -> int:
    """The bucket of an exponential histogram in seconds: the index with base^index < value <= base^(index+1)
    and base = 2^(2^-scale). Exact: of integers. ``value_ns`` over 0, ``scale`` 0 or more."""
    power = 1 << scale
    top, bottom = int(value_ns**power), int(_BILLION**power)
    found = top.bit_length() - bottom.bit_length()
    while _at_most(top, bottom, found):
        found -= 1
    while not _at_most(top, bottom, found + 1):
        found += 1
    return found


def _at_most(top: int, bottom: int, power: int) -> bool:
    """top / bottom <= 2^power"""
    return top <= bottom << power if power >= 0 else top << -power <= bottom


class Numbers:
    """Listens to a world that hasn't run; ``request`` when it has ended. ``resources``: of each gateway, and
    of the whole run as None."""

    def __init__(
        self,
        world: World,
        modules: Protos,
        epoch_ns: int,
        resources: dict[int | None, Attributes],
        version: str,
    ) -> None:
        self._world, self._modules, self._epoch_ns = world, modules, epoch_ns
        self._resources, self._version = resources, version
        self._measures, self._series = Measures(world), Series(world)
        self._ended: dict[tuple[int, str, str], dict[int, int]] = {}
        """(fleet, end, cause) -> window -> points"""
        spec = world.spec
        self._fleet_of = [device.fleet for device in spec.devices]
        self._home: dict[str, int] = {}
        """fleet -> its gateway"""
        for device in spec.devices:
            self._home.setdefault(spec.fleets[device.fleet], world.gateway_of_name[device.gateway].index)
        self._metrics: dict[tuple[int | None, str], Any] = {}
        self._scopes: dict[int | None, Any] = {}
        self._request: Any = None
        self.points = 0
        world.trace.sinks.append(self._take)

    def _take(self, records: list[Record]) -> None:
        number = self._series.windows.number
        for record in records:
            if record[1] == "end":
                key = self._fleet_of[record[2]], record[5], record[6]
                windows = self._ended.setdefault(key, {})
                window = number(record[0])
                windows[window] = windows.get(window, 0) + record[4].bit_count()

    # ---- when it is over -------------------------------------------------------------------------
    def request(self, left_out: dict[str, int]) -> Any:
        """An ExportMetricsServiceRequest; ``left_out``: end -> samples without spans."""
        self._request = self._modules.metrics_service.ExportMetricsServiceRequest()
        for metric in METRICS.values():
            if metric.kind != "value":  # what points show is measured for expectations alone
                self._row(metric)
        self._over_time()
        for end, count in left_out.items():
            meaning = "samples of which there are no spans, by how they ended"
            self._sum(None, LEFT_OUT, "1", meaning, count, {"twinloop.end": end})
        run: Attributes = {
            "twinloop.digest": self._world.trace.digest(),
            "twinloop.events": self._world.events,
        }
        self._gauge(None, RUN, "1", "always 1: which run it was", [(0, self._now, 1)], run)
        return self._request

    @property
    def _now(self) -> int:
        return max(self._world.env.now, 0)

    def _row(self, metric: Metric) -> None:
        unit = UNITS[metric.unit]
        for home, keys in self._places(metric):
            asked = partial(_asked, metric, keys)
            if metric.absent(self._measures, asked("count" if metric.kind != "gauge" else "")):
                continue
            said = {f"twinloop.{key}": value for key, value in keys.items() if key != "gateway"}
            if metric.values is not None:
                values = metric.values(self._measures, asked("count"))
                self._histogram(home, metric.name, unit, metric.meaning, values, said)
            elif metric.end is not None:
                self._ends(home, metric, metric.end, keys["fleet"])
            elif metric.kind == "counter":
                self._counter(home, metric, keys, said)
            elif metric.name not in _OVER_TIME:
                for statistic in ("", *metric.statistics):
                    value = metric.read(self._measures, asked(statistic))
                    if value is not None and value < NEVER_NS:
                        name = f"{metric.name}.{statistic}" if statistic else metric.name
                        self._gauge(home, name, unit, metric.meaning, [(0, self._now, value)], said)
            else:
                for statistic in metric.statistics:
                    value = metric.read(self._measures, asked(statistic))
                    if value is not None:
                        name = f"{metric.name}.{statistic}"
                        self._gauge(home, name, unit, metric.meaning, [(0, self._now, value)], said)

    def _places(self, metric: Metric) -> Iterator[tuple[int | None, dict[str, str]]]:
        """(gateway, keys of an expectation) of each data point; the gateway is the resource."""
        spec = self._world.spec
        stages: list[dict[str, str]] = (
            [{"stage": stage} for stage in STAGES] if "stage" in metric.keys else [{}]
        )
        if "fleet" in metric.keys:
            for fleet, stage in product(spec.fleets, stages):
                yield self._home.get(fleet), {"fleet": fleet, **stage}
        elif "gateway" in metric.keys:
            for gateway in self._world.gateways:
                yield gateway.index, {"gateway": gateway.name}
        else:
            yield from ((None, stage) for stage in stages)

    def _counter(self, home: int | None, metric: Metric, keys: dict[str, str], said: dict[str, str]) -> None:
        """By cause, where there is one; what never happened is one 0."""
        causes = {
            cause: self._count(metric, {**keys, "cause": cause})
            for cause in (metric.causes if "cause" in metric.keys else ())
        }
        whole = self._count(metric, keys)
        for cause, count in causes.items():
            if count:
                self._sum(home, metric.name, "1", metric.meaning, count, {**said, "twinloop.cause": cause})
        rest = whole - sum(causes.values())
        if rest or not whole:
            self._sum(home, metric.name, "1", metric.meaning, rest, said)

    def _count(self, metric: Metric, keys: dict[str, str]) -> int:
        return int(metric.read(self._measures, _asked(metric, keys, "count")) or 0)

    def _ends(self, home: int | None, metric: Metric, end: End, fleet: str) -> None:
        """Over time: so many have ended so until the end of each window in which some did."""
        number = self._world.spec.fleets.index(fleet)
        found = {
            cause: windows
            for (of, state, cause), windows in self._ended.items()
            if (of, state) == (number, end)
        }
        for cause, windows in sorted(found.items()) or [("", {})]:
            said: dict[str, str] = {"twinloop.fleet": fleet, **({"twinloop.cause": cause} if cause else {})}
            so_far = 0
            for window in sorted(windows):
                so_far += windows[window]
                self._sum(home, metric.name, "1", metric.meaning, so_far, said, self._end_of(window))
            if not windows:
                self._sum(home, metric.name, "1", metric.meaning, 0, said)

    def _end_of(self, window: int) -> int:
        """When a window is over; the last one counts what happened after it, too."""
        windows = self._series.windows
        last = window + 1 >= self._series.count()
        return self._now if last else min(windows.begins_ns(window + 1), self._now)

    def _over_time(self) -> None:
        world, series = self._world, self._series
        looks = series.all_looks()
        ends = [look.at_ns for look in looks]
        memory = [
            [(0, look.at_ns, float(look.memory_bytes[one.index])) for look in looks] for one in world.gateways
        ]
        shares = [_until(one, ends) for one in series.cpu_shares()]
        waiting = []
        for one in series.waiting:
            most = one.over(series.count())
            waiting.append([(0, self._end_of(window), float(count)) for window, count in enumerate(most)])
        for name, of_gateway in zip(_OVER_TIME, (shares, memory, waiting), strict=True):
            metric = METRICS[name]
            for gateway in world.gateways:
                if name == "backlog" and gateway.outbox.store is None:
                    continue
                meaning = f"{metric.meaning}; {_OVER_TIME[name]}"
                self._gauge(gateway.index, name, UNITS[metric.unit], meaning, of_gateway[gateway.index], {})
        for line, found in series.line_shares().items():
            meaning = f"share of the time in which a serial line was occupied; {_OVER_TIME['gateway.cpu']}"
            self._gauge(None, LINE_BUSY, "1", meaning, _until(found, ends), {"twinloop.line": line})

    # ---- as messages -----------------------------------------------------------------------------
    def _metric(self, home: int | None, name: str, unit: str, meaning: str) -> Any:
        key = home, name
        if key not in self._metrics:
            if home not in self._scopes:
                group = self._request.resource_metrics.add()
                put(group.resource.attributes, self._resources[home])
                self._scopes[home] = group.scope_metrics.add()
                self._scopes[home].scope.name = "twinloop"
                self._scopes[home].scope.version = self._version
            found = self._metrics[key] = self._scopes[home].metrics.add()
            found.name, found.unit, found.description = PREFIX + name, unit, meaning
        return self._metrics[key]

    def _at(self, point: Any, begin_ns: int, at_ns: int, said: Attributes) -> Any:
        point.start_time_unix_nano = max(0, self._epoch_ns + begin_ns)
        point.time_unix_nano = self._epoch_ns + at_ns
        put(point.attributes, said)
        self.points += 1
        return point

    def _gauge(
        self,
        home: int | None,
        name: str,
        unit: str,
        meaning: str,
        values: list[tuple[int, int, float]],
        said: Attributes,
    ) -> None:
        """(from, until, value); a value in ns as seconds."""
        gauge = self._metric(home, name, unit, meaning).gauge
        for begin_ns, at_ns, value in values:
            point = self._at(gauge.data_points.add(), begin_ns, at_ns, said)
            point.as_double = value / _BILLION if unit == "s" else value

    def _sum(
        self,
        home: int | None,
        name: str,
        unit: str,
        meaning: str,
        value: int,
        said: Attributes,
        at_ns: int | None = None,
    ) -> None:
        total = self._metric(home, name, unit, meaning).sum
        total.is_monotonic = True
        total.aggregation_temporality = self._modules.metrics.AGGREGATION_TEMPORALITY_CUMULATIVE
        at_ns = self._now if at_ns is None else at_ns
        self._at(total.data_points.add(), -BOOT_HORIZON_NS, at_ns, said).as_int = value

    def _histogram(
        self, home: int | None, name: str, unit: str, meaning: str, values: Histogram, said: Attributes
    ) -> None:
        """Exponential, in seconds. Those that never came have no value: they are counted beside it."""
        if values.never:
            text = f"{meaning}: those that never came"
            self._sum(home, f"{name}.never", "1", text, values.never, said)
        whole = self._metric(home, name, unit, meaning).exponential_histogram
        whole.aggregation_temporality = self._modules.metrics.AGGREGATION_TEMPORALITY_CUMULATIVE
        point = self._at(whole.data_points.add(), -BOOT_HORIZON_NS, self._now, said)
        point.count, point.sum = values.count, values.total / _BILLION
        if not values.count:
            return
        point.min, point.max = values.min / _BILLION, values.max / _BILLION
        counted = [(value, times) for value, times in values.values() if value > 0]
        point.zero_count = values.count - sum(times for _, times in counted)
        if not counted:
            return
        scale = SCALE_MAX
        while index_of(counted[-1][0], scale) - index_of(counted[0][0], scale) >= BUCKETS_MAX:
            scale -= 1
        point.scale, first = scale, index_of(counted[0][0], scale)
        buckets = [0] * (index_of(counted[-1][0], scale) - first + 1)
        for value, times in counted:
            buckets[index_of(value, scale) - first] += times
        point.positive.offset = first
        point.positive.bucket_counts.extend(buckets)


_OVER_TIME = {
    "gateway.cpu": "of each stretch of time by itself",
    "gateway.memory": "at that instant",
    "backlog": "the most in each window of time",
}
"""rows of the table that are told over time instead of at the end, and what one value is"""


def _asked(metric: Metric, keys: dict[str, str], statistic: str) -> Expectation:
    """The question that a row answers; it has no bound."""
    return Expectation("", statistic, metric.name, tuple(keys.items()), "", 0.0, metric_unit=metric.unit)


def _until(shares: list[tuple[int, float]], ends: list[int]) -> list[tuple[int, int, float]]:
    """(from, until, share): a stretch lasts until the next begins, the last one until the last look."""
    begins = [begin_ns for begin_ns, _ in shares]
    return [
        (begin_ns, until_ns, share)
        for (begin_ns, share), until_ns in zip(shares, [*begins[1:], *ends[-1:]], strict=True)
    ]

"""Expectations against a run: watchers set before it, values measured after it, a verdict with its reason for each.

Belongs here: pass rules. Never: the grammar (expressions.py) or how a verdict becomes an exit code (verdict.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from scenarios.errors import unknown
from scenarios.expressions import Expectation, ExpressionError, parse
from scenarios.feasibility import line_utilisation
from scenarios.load import Loaded
from scenarios.metrics import METRICS, PERMILLE
from scenarios.verdict import Verdict
from sim.histogram import NEVER, Histogram
from sim.latency import STAGES, Blame, Latency
from sim.ledger import CAUSES, End
from sim.message import Command
from sim.world import World

LINE_FULL = 0.95
"""share of a line's time from which it is named as having no room left"""
_SAMPLE_ENDS = {f"samples.{end.value}": end for end in End}


@dataclass(frozen=True)
class Judged:
    """An expectation with its verdict. ``measured`` in ``unit``; None: no data, NEVER: later than any bound."""

    expectation: Expectation
    verdict: Verdict
    measured: float | None
    why: str = ""


def read_expectations(loaded: Loaded) -> list[Expectation]:
    """All expectations of a scenario, names checked; raises ScenarioError with the place."""
    out = []
    for index, text in enumerate(loaded.scenario.expect):
        try:
            expectation = parse(text)
            _check_names(loaded, expectation)
        except ExpressionError as error:
            raise loaded.document.error(("expect", index), str(error)) from error
        out.append(expectation)
    return out


def _check_names(loaded: Loaded, expectation: Expectation) -> None:
    scenario = loaded.scenario
    devices = [f"{name}/{i + 1}" for name, fleet in scenario.fleets.items() for i in range(fleet.count)]
    known: dict[str, Iterable[str]] = {
        "fleet": scenario.fleets, "device": devices, "gateway": scenario.gateways, "component": scenario.components, "stage": STAGES,
    }  # fmt: skip
    end = _SAMPLE_ENDS.get(expectation.metric)
    for key, value in expectation.keys:
        if key == "cause" and end is not None and value not in CAUSES[end]:
            raise ExpressionError(unknown(f"cause of {expectation.metric}", value, CAUSES[end]))
        if key in known and value not in known[key]:
            raise ExpressionError(unknown(key, value, known[key]))
    if expectation.event:
        events = possible_events(loaded)
        if expectation.event not in events:
            raise ExpressionError(unknown("event", expectation.event, events))


def possible_events(loaded: Loaded) -> list[str]:
    """Names of what the timeline of a scenario can make happen: ``cut cloud``, ``heal cloud``, ``crash gw``..."""
    out: dict[str, None] = {}
    for entry in loaded.scenario.timeline:
        for verb in ("cut", "degrade", "write", "crash", "restart"):
            target = getattr(entry, verb)
            if target is not None:
                out[f"{verb} {target}"] = None
                if verb in ("cut", "degrade") and entry.for_ is not None:
                    out[f"heal {target}"] = None
                if verb == "crash" and entry.for_ is not None:
                    out[f"restart {target}"] = None
    return list(out)


class Judge:
    """Watches a world on behalf of its expectations; ``judge`` when the run has ended."""

    def __init__(self, world: World, expectations: list[Expectation]) -> None:
        self.world, self.expectations = world, expectations
        self.blames: dict[Expectation, Blame] = {}
        self._watched: dict[Expectation, _GaugeWatch] = {}
        self._windows: dict[Expectation, dict[int, Histogram]] = {}
        self._commands = Histogram()
        self._commands_of: dict[int, Histogram] = {}
        self._failed: list[tuple[int, str]] = []
        world.on_command_done.append(self._command_done)
        for expectation in expectations:
            self._watch(expectation)

    # ---- before the run -----------------------------------------------------------------------------------------
    def devices(self, expectation: Expectation) -> dict[int, None] | None:
        """Indices of the devices that the keys select; None: all."""
        spec = self.world.spec
        keys = dict(expectation.keys)
        if not any(key in keys for key in ("fleet", "device", "gateway")):
            return None
        return dict.fromkeys(
            i
            for i, device in enumerate(spec.devices)
            if keys.get("fleet") in (None, spec.fleets[device.fleet])
            and keys.get("device") in (None, device.name)
            and keys.get("gateway") in (None, device.gateway)
        )

    def _watch(self, expectation: Expectation) -> None:
        latencies = self.world.latencies
        keys = dict(expectation.keys)
        if expectation.metric.startswith("latency."):
            if "device" in keys:
                latencies.watch(self.world.device_index[keys["device"]])
            if expectation.metric == "latency.gateway" and expectation.operator in ("<=", "<") and expectation.statistic != "count":
                self.blames[expectation] = latencies.blame(int(expectation.bound), self.devices(expectation))
            if expectation.over_ns is not None:
                self._watch_windows(expectation)
        if METRICS[expectation.metric].kind == "gauge" and (expectation.never or expectation.within_ns is not None):
            watch = self._watched[expectation] = _GaugeWatch(self.world, expectation)
            self.world.waiting_for.append(watch.pending)

    def _watch_windows(self, expectation: Expectation) -> None:
        windows = self._windows[expectation] = {}
        chosen, span = self.devices(expectation), expectation.over_ns
        assert span is not None

        def see(device: int, points: int, total_ns: int, due_ns: int) -> None:
            if chosen is None or device in chosen:
                windows.setdefault(due_ns // span, Histogram()).add(total_ns, points)

        def never(device: int, points: int, due_ns: int) -> None:
            if chosen is None or device in chosen:
                windows.setdefault(due_ns // span, Histogram()).never += points

        self.world.latencies.watch_windows(expectation.metric == "latency.cloud", see, never)

    def _command_done(self, command: Command, cause: str | None) -> None:
        if cause is not None:
            self._failed.append((command.device, cause))
            return
        took = self.world.env._now - command.issued_ns
        self._commands_of.setdefault(command.device, Histogram()).add(took)

    # ---- after the run ------------------------------------------------------------------------------------------
    def judge(self) -> list[Judged]:
        """Every expectation with its measured value and verdict."""
        return [self._judge(expectation) for expectation in self.expectations]

    def _judge(self, expectation: Expectation) -> Judged:
        if expectation in self._watched:
            return self._watched[expectation].judged()
        if expectation in self._windows:
            return self._judge_windows(expectation)
        value = self.measure(expectation)
        if value is None:
            return Judged(expectation, Verdict.NO_DATA, None, "nothing was measured")
        passed = expectation.holds(value)
        why = "" if passed else self._reason(expectation)
        return Judged(expectation, self._within_band(expectation, value, passed), value, why)

    def _judge_windows(self, expectation: Expectation) -> Judged:
        windows = self._windows[expectation]
        worst: tuple[float, int] | None = None
        for window in sorted(windows):
            value = statistic(windows[window], expectation.statistic)
            if value is None:
                continue
            if not expectation.holds(value):
                assert expectation.over_ns is not None
                return Judged(expectation, Verdict.FAIL, value, f"in the window that begins at {window * expectation.over_ns / 1e9:g} s")
            worst = max(worst or (value, window), (value, window))
        if worst is None:
            return Judged(expectation, Verdict.NO_DATA, None, "nothing was measured")
        return Judged(expectation, Verdict.PASS, worst[0])

    def _within_band(self, expectation: Expectation, value: float, passed: bool) -> Verdict:
        """PASS or FAIL, UNSURE when the band of the modelled CPU time could turn it."""
        cpu = self._modelled_part(expectation, value)
        if cpu and value < NEVER:
            band = max(gateway.budget.profile.band for gateway in self.world.gateways)
            turned = value + cpu * (band - 1) if passed == (expectation.operator in ("<=", "<")) else value - cpu * (1 - 1 / band)
            if expectation.holds(turned) != passed:
                return Verdict.UNSURE
        return Verdict.PASS if passed else Verdict.FAIL

    def _modelled_part(self, expectation: Expectation, value: float) -> float:
        """How much of a measured value is modelled CPU time."""
        if expectation.metric in ("gateway.cpu", "gateway.boot"):
            return value
        if expectation.statistic not in PERMILLE:
            return 0.0
        if expectation.metric == "latency.stage":
            return 0.0 if dict(expectation.keys)["stage"] == "bus" else value
        if expectation.metric != "latency.gateway":
            return 0.0
        latency = self._latency(expectation)
        stages = [statistic(latency.stages[i], expectation.statistic) or 0 for i, name in enumerate(STAGES) if name != "bus"]
        return min(value, sum(stages))

    def _reason(self, expectation: Expectation) -> str:
        blame = self.blames.get(expectation)
        if blame is None or not blame.samples:
            return "; ".join(filter(None, [self._missing(expectation), self._busy_line(expectation)]))
        text = f"stage {blame.stage()} took {100 * blame.share():.0f} % of the time of the {blame.samples} samples beyond the bound"
        waited = blame.waited_for()
        if blame.stage() == "queue" and waited is not None:
            text += f", most of it waiting for {waited}"
        return "; ".join(filter(None, [text, self._missing(expectation), self._busy_line(expectation)]))

    def _busy_line(self, expectation: Expectation) -> str:
        """The serial line that had no room left, for expectations that its devices can break."""
        if not expectation.metric.startswith(("latency.", "samples.")):
            return ""
        spec, chosen = self.world.spec, self.devices(expectation)
        mine = dict.fromkeys(f"{d.link}/{d.line}" for i, d in enumerate(spec.devices) if chosen is None or i in chosen)
        asked = line_utilisation(spec)
        elapsed = min(self.world.env._now, spec.duration_ns)
        full = [name for name in self.world.lines if name in mine and self.world.lines[name].busy_ns >= LINE_FULL * elapsed]
        if not full:
            return ""
        worst = max(full, key=lambda name: asked.get(name, 0.0))
        return f"line {worst} had no room left: {100 * asked.get(worst, 0.0):.0f} % of its time was asked for"

    def _missing(self, expectation: Expectation) -> str:
        """The samples that never got a verdict, by cause, for expectations on latency."""
        if not expectation.metric.startswith("latency.") or expectation.metric == "latency.stage":
            return ""
        ledger, devices = self.world.ledger, self.devices(expectation)
        ends = (End.MISSED, End.LOST) if expectation.metric == "latency.gateway" else (End.MISSED, End.LOST, End.EVICTED, End.CACHED)
        found = [(ledger.count(end, cause, devices), f"{end.value}{{{cause}}}" if cause else end.value) for end in ends for cause in CAUSES[end]]
        worst = max(found, key=lambda item: item[0])
        return f"{sum(count for count, _ in found)} samples never got there, most of them {worst[1]}" if worst[0] else ""

    # ---- values -------------------------------------------------------------------------------------------------
    def measure(self, expectation: Expectation) -> float | None:
        """The value of an expectation that needs no watcher, in its unit; None without data."""
        metric = expectation.metric
        if metric.startswith("latency."):
            latency = self._latency(expectation)
            if metric == "latency.stage":
                return statistic(latency.stages[STAGES.index(dict(expectation.keys)["stage"])], expectation.statistic)
            return statistic(latency.gateway if metric == "latency.gateway" else latency.cloud, expectation.statistic)
        if metric.startswith("samples."):
            return self._samples(expectation)
        if metric.startswith("command"):
            return self._command_value(expectation)
        return self._gateway_value(expectation)

    def _latency(self, expectation: Expectation) -> Latency:
        latencies, keys = self.world.latencies, dict(expectation.keys)
        if "device" in keys:
            return latencies.of(devices=self.devices(expectation))
        chosen = self.devices(expectation)
        if chosen is None:
            return latencies.of()
        return latencies.of(fleets=sorted(dict.fromkeys(self.world.spec.devices[d].fleet for d in chosen)))

    def _samples(self, expectation: Expectation) -> float | None:
        ledger, devices = self.world.ledger, self.devices(expectation)
        chosen = range(len(ledger.names)) if devices is None else devices
        due = sum(ledger.due_of[d] for d in chosen)
        name = expectation.metric.removeprefix("samples.")
        if name == "due":
            count = due
        elif name in ("duplicates", "misordered", "late"):
            by_device: dict[int, int] = getattr(ledger, f"{name}_of")
            count = sum(by_device.get(d, 0) for d in chosen)
        else:
            count = ledger.count(_SAMPLE_ENDS[expectation.metric], dict(expectation.keys).get("cause"), devices)
        if expectation.statistic == "ratio":
            return count / due if due else None
        return count

    def _command_value(self, expectation: Expectation) -> float | None:
        keys, spec = dict(expectation.keys), self.world.spec

        def mine(device: int) -> bool:
            return keys.get("device") in (None, spec.devices[device].name) and keys.get("fleet") in (None, spec.fleets[spec.devices[device].fleet])

        if expectation.metric == "command.latency":
            total = Histogram()
            for device, histogram in self._commands_of.items():
                if mine(device):
                    total.merge(histogram)
            return statistic(total, expectation.statistic)
        if expectation.metric == "commands.issued":
            return sum(mine(command.device) for command in self.world.commands_issued)
        if expectation.metric == "commands.done":
            return sum(histogram.count for device, histogram in self._commands_of.items() if mine(device))
        return sum(mine(device) and keys.get("cause") in (None, cause) for device, cause in self._failed)

    def _gateway_value(self, expectation: Expectation) -> float | None:
        keys = dict(expectation.keys)
        gateways = [g for g in self.world.gateways if keys.get("gateway") in (None, g.name)]
        metric = expectation.metric
        if metric == "component.faults":
            return sum(
                count for g in gateways for (component, cause), count in g.supervisor.faults.items()
                if keys.get("component") in (None, component) and keys.get("cause") in (None, cause)
            )  # fmt: skip
        if metric == "gateway.boot":
            boots = Histogram()
            for g in gateways:
                for boot_ns in g.boots:
                    boots.add(boot_ns)
            return statistic(boots, expectation.statistic)
        if metric == "gateway.cpu":
            return max(cpu_ratio(self.world, g) for g in gateways)
        if metric == "gateway.memory":
            return max(g.budget.memory_peak_bytes if expectation.statistic else g.budget.memory_bytes for g in gateways)
        return max((g.store.waiting_peak if g.store else 0) if expectation.statistic else g.backlog for g in gateways)


def cpu_ratio(world: World, gateway: Any) -> float:
    """Share of all cores' time from t = 0 to the end of the run that was used, boot left out."""
    elapsed = max(1, world.env._now)
    return float((gateway.busy_total_ns() - gateway.boot_busy_ns) / (elapsed * gateway.board.cores))


def statistic(histogram: Histogram, name: str) -> float | None:
    """A statistic of a histogram: NEVER for ranks that never came, None without data."""
    if name == "count":
        return histogram.count
    if name in PERMILLE:
        return histogram.percentile(PERMILLE[name])
    if not histogram.count:
        return None
    return {"min": histogram.min, "max": NEVER if histogram.never else histogram.max, "mean": histogram.mean()}[name]


class _GaugeWatch:
    """``backlog == 0 within 60 s after heal cloud``, ``never backlog > 1000``."""

    def __init__(self, world: World, expectation: Expectation) -> None:
        self._world, self._expectation = world, expectation
        keys = dict(expectation.keys)
        self._gateways = [g for g in world.gateways if keys.get("gateway") in (None, g.name)]
        self._since: list[int] = []
        self._took: list[int] = []
        self._broken_ns: int | None = None
        self._worst = 0
        for gateway in self._gateways:
            gateway.on_backlog.append(self._changed)
        world.on_happened.append(self._happened)

    def _value(self) -> int:
        return max(gateway.backlog for gateway in self._gateways)

    def _happened(self, event: str) -> None:
        if event == self._expectation.event:
            now = self._world.env._now
            self._since.append(now)
            self._changed(0)

    def _changed(self, _: int) -> None:
        value, now = self._value(), self._world.env._now
        self._worst = max(self._worst, value)
        holds = self._expectation.holds(value)
        if self._expectation.never:
            if holds and now >= 0 and self._broken_ns is None:
                self._broken_ns = now
            return
        if holds and self._since:
            self._took += [now - since for since in self._since]
            self._since.clear()

    def pending(self) -> bool:
        """Still waiting for the gauge after an event."""
        limit = self._expectation.within_ns
        return limit is not None and any(self._world.env._now - since <= limit for since in self._since)

    def judged(self) -> Judged:
        """The verdict at the end."""
        expectation = self._expectation
        if expectation.never:
            verdict = Verdict.PASS if self._broken_ns is None else Verdict.FAIL
            why = "" if self._broken_ns is None else f"first at {self._broken_ns / 1e9:g} s"
            return Judged(expectation, verdict, self._worst, why)
        if self._since:
            return Judged(expectation, Verdict.FAIL, NEVER, f"{self._value()} {expectation.metric} at the end")
        if not self._took:
            return Judged(expectation, Verdict.NO_DATA, None, f'"{expectation.event}" did not happen')
        longest = max(self._took)
        late = longest > (expectation.within_ns or 0)
        return Judged(expectation, Verdict.FAIL if late else Verdict.PASS, longest, "later than the span" if late else "")


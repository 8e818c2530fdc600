"""Expectations against a run: watchers set before it, values measured after it, a verdict with its reason for each.

Belongs here: pass rules. Never: the grammar (expressions.py) or how a verdict becomes an exit code (verdict.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from scenarios import units
from scenarios.errors import ScenarioError
from scenarios.expectation_names import AT_WORK, check_names
from scenarios.expressions import Expectation, ExpressionError, parse
from scenarios.load import Loaded
from scenarios.measure import SAMPLE_ENDS, Measures, statistic
from scenarios.metrics import METRICS
from scenarios.reasons import reason
from scenarios.values import ValueWatch
from scenarios.verdict import Verdict, overall
from sim.clock import NEVER_NS
from sim.convergence import LOOK_EVERY_NS, stuck
from sim.histogram import NEVER, Histogram
from sim.latency import STAGES, Blame, Clockwork
from sim.ledger import End
from sim.world import World


def _read(loaded: Loaded, index: int) -> Expectation:
    """One of the file's expectations; raises ScenarioError."""
    try:
        expectation = parse(loaded.scenario.expect[index])
        check_names(loaded, expectation)
    except ExpressionError as error:
        raise loaded.document.error(("expect", index), str(error)) from error
    return expectation


def expectation_errors(loaded: Loaded) -> list[ScenarioError]:
    """What is wrong with each of a scenario's expectations."""
    out = []
    for index in range(len(loaded.scenario.expect)):
        try:
            _read(loaded, index)
        except ScenarioError as error:
            out.append(error)
    return out


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
    for index in range(len(loaded.scenario.expect)):
        out.append(_read(loaded, index))
    for phase in loaded.scenario.phases:
        if phase.converge is not None:
            exact = parse(f"stuck == 0 within {phase.converge} ns after phase {phase.name}")
            out.append(replace(exact, text=f"stuck == 0 within {units.show_duration(phase.converge)} after phase {phase.name}"))
    return out


def _speaks(expectation: Expectation) -> bool:
    """Of samples that didn't arrive: by what became of them, or by the share (or very number) that did. "At least so many" says nothing of them."""
    if SAMPLE_ENDS.get(expectation.metric) is End.DELIVERED:
        return expectation.statistic == "ratio" or expectation.operator == "=="
    return expectation.metric in SAMPLE_ENDS


class Judge:
    """Watches a world on behalf of its expectations; ``judge`` when the run has ended."""

    def __init__(self, world: World, expectations: list[Expectation]) -> None:
        self.world, self.expectations = world, expectations
        self.blames: dict[Expectation, Blame] = {}
        self._watched: dict[Expectation, _GaugeWatch] = {}
        self._windows: dict[Expectation, dict[int, Histogram]] = {}
        self._values: dict[Expectation, ValueWatch] = {}
        self.measures = Measures(world)
        for expectation in expectations:
            self._watch(expectation)

    # ---- before the run -----------------------------------------------------------------------------------------
    def _watch(self, expectation: Expectation) -> None:
        latencies = self.world.latencies
        keys = dict(expectation.keys)
        if expectation.metric == "value":
            self._values[expectation] = ValueWatch(self.world, expectation, self.measures.devices(expectation), self._when(keys.get("phase")))
            return
        if expectation.metric.startswith("latency."):
            if "device" in keys:
                latencies.watch(self.world.device_index[keys["device"]])
            when = self._when(keys.get("phase"))
            if expectation.metric == "latency.gateway" and expectation.operator in ("<=", "<") and expectation.statistic != "count":
                self.blames[expectation] = latencies.blame(int(expectation.bound), self.measures.devices(expectation), when)
            if expectation.metric == "latency.stage":
                if when is not None or "version" in keys:
                    self._watch_stage(expectation, when)
            elif expectation.over_ns is not None or when is not None:
                self._watch_windows(expectation, when)
        if METRICS[expectation.metric].kind == "gauge" and (expectation.never or expectation.within_ns is not None):
            watch = self._watched[expectation] = _GaugeWatch(self.world, expectation)
            self.world.waiting_for.append(watch.pending)

    def _when(self, phase: str | None) -> Callable[[int], bool] | None:
        """Does a due instant lie in that phase? None: there is no question."""
        return None if phase is None else lambda due_ns: self.world.phase_of(due_ns) == phase

    def _watch_windows(self, expectation: Expectation, when: Callable[[int], bool] | None) -> None:
        """A histogram for each window of ``over``; one for all of a phase without it."""
        windows = self._windows[expectation] = {}
        chosen, span = self.measures.devices(expectation), expectation.over_ns or NEVER_NS

        def see(device: int, points: int, total_ns: int, due_ns: int) -> None:
            if (chosen is None or device in chosen) and (when is None or when(due_ns)):
                windows.setdefault(due_ns // span, Histogram()).add(total_ns, points)

        def never(device: int, points: int, due_ns: int) -> None:
            if (chosen is None or device in chosen) and (when is None or when(due_ns)):
                windows.setdefault(due_ns // span, Histogram()).never += points

        self.world.latencies.watch_windows(expectation.metric == "latency.cloud", see, never)

    def _watch_stage(self, expectation: Expectation, when: Callable[[int], bool] | None) -> None:
        """A histogram of one stage, of a phase or while a version of its component was at work."""
        keys, chosen = dict(expectation.keys), self.measures.devices(expectation)
        windows = self._windows[expectation] = {}
        stage, version = STAGES.index(keys["stage"]), keys.get("version")
        worker = AT_WORK.get(keys["stage"], "")

        def see(device: int, points: int, clockwork: Clockwork, due_ns: int) -> None:
            if (chosen is not None and device not in chosen) or (when is not None and not when(due_ns)):
                return
            if version is not None and str(clockwork.at_work[worker].version) != version:
                return
            windows.setdefault(0, Histogram()).add(clockwork.spent_ns[stage], points)

        self.world.latencies.watch_stages(see)

    # ---- after the run ------------------------------------------------------------------------------------------
    def judge(self) -> list[Judged]:
        """Every expectation with its measured value and verdict."""
        return [self._judge(expectation) for expectation in self.expectations]

    def _judge(self, expectation: Expectation) -> Judged:
        if expectation in self._watched:
            return self._watched[expectation].judged()
        if expectation in self._values:
            return Judged(expectation, *self._values[expectation].judged())
        of_samples = expectation.metric.startswith(("samples.", "latency.", "readings."))
        if of_samples and expectation.metric != "samples.due" and self.measures.none_due(expectation):
            return Judged(expectation, Verdict.NO_DATA, None, "none of these samples was due")
        if expectation in self._windows:
            return self._judge_windows(expectation)
        value = self.measures.measure(expectation)
        if value is None:
            return Judged(expectation, Verdict.NO_DATA, None, "nothing was measured")
        passed = expectation.holds(value)
        why = "" if passed else reason(self.world, self.measures, expectation, self.blames.get(expectation))
        return self._banded(expectation, value, passed, why)

    def unspoken(self) -> dict[str, int]:
        """What went wrong with samples, and no expectation speaks of it: ``missed``, ``lost`` and ``wrong`` points, those that there are."""
        if self.world.spec.phases:
            rows = [(phase, device, end, why, count) for (phase, device, end, why), count in self.world.ends_in_phase.items()]
        else:
            rows = [("", device, end, why, count) for (device, end, why), count in self.world.ledger.ends.items()]
        out = {"missed": 0, "lost": 0, "wrong": 0}
        speaking = [(dict(one.keys), SAMPLE_ENDS[one.metric], self.measures.devices(one)) for one in self.expectations if _speaks(one)]
        for phase, device, end, why, count in rows:
            if end in (End.MISSED, End.LOST) and not any(
                about in (end, End.DELIVERED) and "quality" not in keys and keys.get("phase") in (None, phase) and keys.get("cause") in (None, why)
                and (devices is None or device in devices) for keys, about, devices in speaking
            ):  # fmt: skip
                out[end.value] += count
        truth = getattr(self.world, "truth", None)
        for metric, wrong in (("readings.wrong", truth.wrong_of), ("commands.wrong", truth.wrong_commands)) if truth is not None else ():
            told = [self.measures.devices(one) for one in self.expectations if one.metric == metric]
            out["wrong"] += sum(count for device, count in wrong.items() if not any(mine is None or device in mine for mine in told))
        return {what: count for what, count in out.items() if count}

    def verdict(self, judged: list[Judged]) -> Verdict:
        """Of the whole run: what nobody asked for can't pass, and what devices never showed can't either, unless somebody speaks of it."""
        if self.unspoken().get("wrong"):
            return overall([*(one.verdict for one in judged), Verdict.FAIL])
        return overall(one.verdict for one in judged)

    def _judge_windows(self, expectation: Expectation) -> Judged:
        windows = self._windows[expectation]
        worst: tuple[float, int] | None = None
        span, downward = expectation.over_ns or NEVER_NS, expectation.operator in (">=", ">")
        if expectation.statistic == "count":
            for window in self._whole_windows(expectation):
                windows.setdefault(window, Histogram())
        for window in sorted(windows):
            value = statistic(windows[window], expectation.statistic)
            if value is None:
                continue
            beyond = worst is not None and (value < worst[0] if downward else value > worst[0])
            breaks = worst is not None and expectation.holds(worst[0]) and not expectation.holds(value)
            if worst is None or beyond or breaks:
                worst = value, window
        if worst is None:
            return Judged(expectation, Verdict.NO_DATA, None, "nothing was measured")
        value, window = worst
        passed = expectation.holds(value)
        where = "" if passed else f"worst in the window that begins at {window * span / 1e9:g} s"
        if not passed and expectation.over_ns is None:
            where = reason(self.world, self.measures, expectation, self.blames.get(expectation))
        return self._banded(expectation, value, passed, where)

    def _whole_windows(self, expectation: Expectation) -> list[int]:
        """Numbers of the windows that lie in the run, or in the expectation's phase: one without samples counts, too."""
        if expectation.over_ns is None:
            return [0]
        when, span = self._when(dict(expectation.keys).get("phase")), expectation.over_ns
        return [window for window in range(self.world.spec.duration_ns // span) if when is None or when(window * span)]

    def _banded(self, expectation: Expectation, value: float, passed: bool, why: str) -> Judged:
        """PASS or FAIL, UNSURE (and why) when the band of the modelled CPU time could turn it."""
        cpu = self._modelled_part(expectation, value)
        if cpu and value < NEVER:
            band = self._band(expectation)
            turned = value + cpu * (band - 1) if passed == (expectation.operator in ("<=", "<")) else value - cpu * (1 - 1 / band)
            if expectation.holds(turned) != passed:
                part = f"{100 * cpu / value:.0f} % of it is modelled CPU time, off by up to x/÷ {band:.2g}: it could be {_shown(expectation, turned)}"
                return Judged(expectation, Verdict.UNSURE, value, "; ".join(filter(None, [part, why])))
        return Judged(expectation, Verdict.PASS if passed else Verdict.FAIL, value, why)

    def _band(self, expectation: Expectation) -> float:
        """The widest band of the boards that were measured."""
        chosen, spec = self.measures.devices(expectation), self.world.spec
        names = dict(expectation.keys).get("gateway")
        mine = dict.fromkeys(spec.devices[d].gateway for d in chosen) if chosen else None
        if mine is not None:
            mine.update((gateway.name, None) for gateway in spec.gateways if gateway.standby is not None and gateway.standby.of in mine)
        bands = [
            gateway.budget.profile.band for gateway in self.world.gateways
            if (names is None or gateway.name == names) and (mine is None or gateway.name in mine)
        ]  # fmt: skip
        return max(bands, default=1.0)

    def _modelled_part(self, expectation: Expectation, value: float) -> float:
        """How much of a measured value is modelled CPU time."""
        if expectation.statistic == "count":
            return 0.0
        if expectation.metric in ("gateway.cpu", "gateway.boot"):
            return value
        if expectation.metric == "latency.stage":
            return 0.0 if dict(expectation.keys)["stage"] == "bus" else value
        if expectation.metric != "latency.gateway":
            return 0.0
        latency = self.measures.latency(expectation)
        stages = [statistic(latency.stages[i], expectation.statistic) or 0 for i, name in enumerate(STAGES) if name != "bus"]
        return min(value, sum(stages))


def _shown(expectation: Expectation, value: float) -> str:
    return units.show_duration(value) if expectation.unit == "ns" else units.show_ratio(value) if expectation.unit == "ratio" else f"{value:g}"


class _GaugeWatch:
    """``backlog == 0 within 60 s after heal cloud``, ``stuck == 0 within 30 s after phase heal``, ``never backlog > 1000``.

    A backlog tells when it changes; what is stuck is looked for every LOOK_EVERY_NS while somebody waits.
    """

    def __init__(self, world: World, expectation: Expectation) -> None:
        self._world, self._expectation = world, expectation
        keys = dict(expectation.keys)
        self._gateways = [g for g in world.gateways if keys.get("gateway") in (None, g.name)]
        self._since: list[int] = []
        self._took: list[int] = []
        self._broken_ns: int | None = None
        self._worst = 0
        self._stuck: list[str] = []
        """what was stuck when the span ended"""
        self._looks = expectation.metric == "stuck"
        self._looking = False
        if not self._looks:
            for gateway in self._gateways:
                gateway.on_backlog.append(self._changed)
        world.on_happened.append(self._happened)
        if expectation.never:
            world.env.call_at(0, self._look if self._looks else self._changed, *([] if self._looks else [0]))

    def _value(self) -> int:
        if self._looks:
            return len(stuck(self._world, self._gateways))
        return max(gateway.backlog for gateway in self._gateways)

    def _happened(self, event: str) -> None:
        if event == self._expectation.event:
            now = self._world.env._now
            self._since.append(now)
            if self._looks and not self._looking:
                self._world.env.call_in(0, self._look)  # when all that belongs to this instant's event has happened
                self._looking = True
            elif not self._looks:
                self._changed(0)

    def _look(self) -> None:
        """Look, and again later: while a span runs, or for as long as a never lasts."""
        self._changed(0)
        within = self._expectation.within_ns
        self._looking = within is None or bool(self._since)
        if within is not None and self._since and self._world.env._now - self._since[0] >= within:
            self._stuck = stuck(self._world, self._gateways)
            self._looking = False
        if self._looking and not self._world.finished:
            self._world.env.call_in(LOOK_EVERY_NS, self._look)

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
            return Judged(expectation, Verdict.FAIL, NEVER, self._what_is_left())
        if not self._took:
            return Judged(expectation, Verdict.NO_DATA, None, f'"{expectation.event}" did not happen')
        longest = max(self._took)
        late = longest > (expectation.within_ns or 0)
        return Judged(expectation, Verdict.FAIL if late else Verdict.PASS, longest, "later than the span" if late else "")

    def _what_is_left(self) -> str:
        watched = self._world.env._now - self._since[0]
        span = "" if watched >= (self._expectation.within_ns or 0) else f", {watched / 1e9:g} s after the event: the run ended before the span did"
        if not self._looks:
            return f"{self._value()} {self._expectation.metric} at the end{span}"
        left = self._stuck or stuck(self._world, self._gateways)
        more = f" and {len(left) - NAMED_MAX} more" if len(left) > NAMED_MAX else ""
        return f"stuck: {'; '.join(left[:NAMED_MAX])}{more}{span}"


NAMED_MAX = 5
"""of what is stuck, by name"""

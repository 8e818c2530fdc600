"""Expectations against a run: watchers set before it, values measured after it, a verdict with its reason for
each.

Belongs here: pass rules. Never: the grammar (expressions.py) or how a verdict becomes an exit code
(verdict.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.expectation_names import check_names
from twinloop.scenarios.judging.expressions import ExpressionError, parse
from twinloop.scenarios.judging.gauge import GaugeWatch
from twinloop.scenarios.judging.judged import Judged
from twinloop.scenarios.judging.measure import Measures
from twinloop.scenarios.judging.metrics.table import METRICS
from twinloop.scenarios.judging.reasons import reason
from twinloop.scenarios.judging.run import Run
from twinloop.scenarios.judging.unspoken import unspoken
from twinloop.scenarios.judging.values import ValueWatch
from twinloop.scenarios.judging.verdict import Verdict, overall
from twinloop.scenarios.judging.windows import Windows
from twinloop.scenarios.text import units
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.sim.accounts.latency import Blame
from twinloop.sim.kernel.histogram import NEVER


def _read(loaded: Loaded, index: int) -> Expectation:
    """One of the file's expectations; raises ScenarioError."""
    try:
        expectation = parse(loaded.scenario.expect[index])
        check_names(loaded, expectation)
    except ExpressionError as error:
        raise loaded.document.error(("expect", index), str(error)) from error
    return replace(expectation, line=loaded.document.line(("expect", index)))


def expectation_errors(loaded: Loaded) -> list[ScenarioError]:
    """What is wrong with each of a scenario's expectations."""
    out = []
    for index in range(len(loaded.scenario.expect)):
        try:
            _read(loaded, index)
        except ScenarioError as error:
            out.append(error)
    return out


def read_expectations(loaded: Loaded) -> list[Expectation]:
    """All expectations of a scenario, names checked; raises ScenarioError with the place."""
    out = []
    for index in range(len(loaded.scenario.expect)):
        out.append(_read(loaded, index))
    for index, phase in enumerate(loaded.scenario.phases):
        if phase.recover_within is not None:
            exact = parse(f"stuck == 0 within {phase.recover_within} ns after phase {phase.name}")
            out.append(
                replace(
                    exact,
                    text=f"stuck == 0 within {units.show_duration(phase.recover_within)} after phase "
                    f"{phase.name}",
                    line=loaded.document.line(("phases", index, "recover-within")),
                )
            )
    return out


class Judge:
    """Watches a world on behalf of its expectations; ``judge`` when the run has ended. ``plain``: by what was
    measured alone, whatever the bands are."""

    def __init__(self, world: Run, expectations: list[Expectation], plain: bool = False) -> None:
        self.world, self.expectations, self._plain = world, expectations, plain
        self.blames: dict[Expectation, Blame] = {}
        self._watched: dict[Expectation, GaugeWatch] = {}
        self._windows: dict[Expectation, Windows] = {}
        self._values: dict[Expectation, ValueWatch] = {}
        self.measures = Measures(world)
        for expectation in expectations:
            self._watch(expectation)

    # ---- before the run --------------------------------------------------------------------------
    def _watch(self, expectation: Expectation) -> None:
        latencies = self.world.latencies
        keys = dict(expectation.keys)
        if METRICS[expectation.metric].kind == "value":
            self._values[expectation] = ValueWatch(
                self.world, expectation, self.measures.devices(expectation), self._when(keys.get("phase"))
            )
            return
        if expectation.metric.startswith("latency."):
            if "device" in keys:
                latencies.watch(self.world.device_index[keys["device"]])
            when = self._when(keys.get("phase"))
            if (
                expectation.metric == "latency.gateway"
                and expectation.operator in ("<=", "<")
                and expectation.statistic != "count"
            ):
                self.blames[expectation] = latencies.blame(
                    int(expectation.bound), self.measures.devices(expectation), when
                )
            if expectation.metric == "latency.stage":
                if when is not None or "version" in keys:
                    self._windows[expectation] = Windows(
                        self.world, expectation, self.measures.devices(expectation)
                    )
            elif expectation.over_ns is not None or when is not None:
                self._windows[expectation] = Windows(
                    self.world, expectation, self.measures.devices(expectation)
                )
        if METRICS[expectation.metric].kind == "gauge" and (
            expectation.never or expectation.within_ns is not None
        ):
            watch = self._watched[expectation] = GaugeWatch(self.world, expectation)
            self.world.waiting_for.append(watch.pending)

    def _when(self, phase: str | None) -> Callable[[int], bool] | None:
        """Does a due instant lie in that phase? None: there is no question."""
        return None if phase is None else lambda due_ns: self.world.ends.phase_of(due_ns) == phase

    # ---- after the run ---------------------------------------------------------------------------
    def judge(self, reasons: bool = True) -> list[Judged]:
        """Every expectation with its measured value and verdict. Without ``reasons`` nobody asks why one
        doesn't hold, which costs the most in a large plant."""
        return [self._judge(expectation, reasons) for expectation in self.expectations]

    def _judge(self, expectation: Expectation, reasons: bool) -> Judged:
        metric = METRICS[expectation.metric]
        nothing = metric.absent(self.measures, expectation)
        if nothing:
            return Judged(expectation, Verdict.NO_DATA, None, nothing)
        if expectation in self._watched:
            return self._watched[expectation].judged()
        if expectation in self._values:
            return Judged(expectation, *self._values[expectation].judged())
        if expectation in self._windows:
            return self._judge_windows(expectation, reasons)
        value = metric.read(self.measures, expectation)
        if value is None:
            return Judged(expectation, Verdict.NO_DATA, None, "nothing was measured")
        passed = expectation.holds(value)
        why = self._why(expectation) if reasons and not passed else ""
        cpu = 0.0 if expectation.statistic == "count" else metric.modelled(self.measures, expectation, value)
        return self._banded(expectation, value, passed, why, cpu)

    def unspoken(self) -> dict[str, int]:
        """What went wrong, and no expectation speaks of it (unspoken.py)."""
        return unspoken(self.world, self.measures, self.expectations)

    def verdict(self, judged: list[Judged]) -> Verdict:
        """Of the whole run: what nobody asked for can't pass, and what devices never showed can't either,
        unless somebody speaks of it."""
        if self.unspoken().get("wrong"):
            return overall([*(one.verdict for one in judged), Verdict.FAIL])
        return overall(one.verdict for one in judged)

    def _why(self, expectation: Expectation) -> str:
        return reason(self.world, self.measures, expectation, self.blames.get(expectation))

    def _judge_windows(self, expectation: Expectation, reasons: bool) -> Judged:
        windows = self._windows[expectation]
        worst = windows.worst()
        if worst is None:
            return Judged(expectation, Verdict.NO_DATA, None, "nothing was measured")
        value, window = worst
        passed = expectation.holds(value)
        where = "" if passed else f"worst in the window that begins at {windows.begins_ns(window) / 1e9:g} s"
        if reasons and not passed and expectation.over_ns is None:
            where = self._why(expectation)
        return self._banded(
            expectation,
            value,
            passed,
            where,
            windows.modelled(window, value) if expectation.statistic != "count" else 0.0,
        )

    def _banded(self, expectation: Expectation, value: float, passed: bool, why: str, cpu: float) -> Judged:
        """PASS or FAIL by what was measured; what holds is UNSURE (and why) when the band of ``cpu``, the
        part of it that is modelled CPU time, could turn it."""
        if cpu and value < NEVER and not self._plain:
            band = self._band(expectation)
            turned = (
                value + cpu * (band - 1)
                if passed == (expectation.operator in ("<=", "<"))
                else value - cpu * (1 - 1 / band)
            )
            if expectation.holds(turned) != passed:
                part = (
                    f"{100 * cpu / value:.0f} % of it is modelled CPU time, off by up to x/÷ {band:.2g}: it "
                    f"could be {_shown(expectation, turned)}"
                )
                verdict = Verdict.UNSURE if passed else Verdict.FAIL
                return Judged(expectation, verdict, value, "; ".join(filter(None, [part, why])))
        return Judged(expectation, Verdict.PASS if passed else Verdict.FAIL, value, why)

    def _band(self, expectation: Expectation) -> float:
        """The widest band of the boards that were measured."""
        chosen, spec = self.measures.devices(expectation), self.world.spec
        names = dict(expectation.keys).get("gateway")
        mine = dict.fromkeys(spec.devices[d].gateway for d in chosen) if chosen else None
        if mine is not None:
            mine.update(
                (gateway.name, None)
                for gateway in spec.gateways
                if gateway.standby is not None and gateway.standby.of in mine
            )
        bands = [
            gateway.machine.budget.prices.band for gateway in self.world.gateways
            if (names is None or gateway.name == names) and (mine is None or gateway.name in mine)
        ]  # fmt: skip
        return max(bands, default=1.0)


def _shown(expectation: Expectation, value: float) -> str:
    return (
        units.show_duration(value)
        if expectation.unit == "ns"
        else units.show_ratio(value)
        if expectation.unit == "ratio"
        else units.show_number(value)
    )

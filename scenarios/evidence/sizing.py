"""The runs of ``twinloop size``: a value to a verdict over all seeds.

Belongs here: the variants of one scenario and what is known of each. Never: which value is looked at next
(size.py), words (cli/evidence/size.py).
"""

from __future__ import annotations

from typing import Any

from twinloop.scenarios.evidence.limits import USED_UP, Limit, limits
from twinloop.scenarios.evidence.points import Point, beside, run_points, setting_of, variants
from twinloop.scenarios.evidence.seeds import read_seeds
from twinloop.scenarios.evidence.size import Kind
from twinloop.scenarios.file.load import find
from twinloop.scenarios.file.settings import Setting, parse_setting, path_of
from twinloop.scenarios.interrupts import Interrupts
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.runner import Options
from twinloop.scenarios.text.errors import ScenarioError

UNJUDGED = (Verdict.BROKEN.value, Verdict.ABORTED.value, Verdict.INVALID.value)


class Sizing:
    """Of one scenario and one path. ``stopped``: the exit code of a run that wasn't judged, 0: all were."""

    def __init__(
        self,
        scenario: str,
        path: str,
        kind: Kind,
        fixed: list[str],
        expectations: list[str],
        seeds: str | None,
        jobs: int | None,
        interrupts: Interrupts,
    ) -> None:
        self.kind = kind
        self._file = find(scenario)
        self._location = parse_setting(f"{path}=0").path
        self.path = path_of(self._location)
        self._fixed = [parse_setting(text) for text in fixed]
        if expectations:
            self._fixed.append(setting_of(("expect",), expectations))
        self._seeds = None if seeds is None else read_seeds(seeds)
        self._jobs, self._interrupts = jobs, interrupts
        self._points: dict[int, Point] = {}
        self.name, self.expectations = "", expectations
        self.stopped = 0

    def check(self, *values: int) -> None:
        """Are they values of that place, and is something expected? Raises ScenarioError."""
        for loaded in variants(self._file, self._fixed, [self._settings(value) for value in values]):
            self.name, self.expectations = loaded.scenario.name, list(loaded.scenario.expect)
        if not self.expectations:
            raise ScenarioError(
                "--while", None, "", f"{self._file} expects nothing: say what has to hold, e.g. "
                f'--while "p99(latency.gateway) <= 50 ms"'
            )  # fmt: skip

    def _settings(self, value: int) -> list[Setting]:
        return [setting_of(self._location, self.kind.written(value))]

    def verdicts(self, values: list[int]) -> dict[int, str | None]:
        """Run these values under all seeds; None for one that has none, which is told by ``stopped``."""
        if self.stopped:
            return dict.fromkeys(values)
        varied = [self._settings(value) for value in values]
        scenarios = variants(self._file, self._fixed, varied)
        points = run_points(scenarios, varied, self._seeds, Options(), self._jobs, self._interrupts)
        out: dict[int, str | None] = {}
        for value, point in zip(values, points, strict=True):
            self._points[value] = point
            verdict = out[value] = point.summary["verdict"]
            if verdict is None or verdict in UNJUDGED:
                out[value] = None
                self.stopped = int(point.summary["code"]) or 1
                self._say(point)
        return out

    def _say(self, point: Point) -> None:
        bad = next((entry for entry in point.entries if entry["kind"] == "error"), None)
        text = f"a run is {point.summary['verdict']}" if bad is None else bad["error"]
        print(f"no answer with {point.settings[0].text}: {text}")

    def summary(self, value: int) -> dict[str, Any]:
        """What its runs say together."""
        return self._points[value].summary

    def entries(self) -> list[dict[str, Any]]:
        """Of every run, in the order in which values were tried."""
        return [entry for point in self._points.values() for entry in point.entries]

    def reproduce(self, value: int) -> str:
        """The command of the worst run with that value."""
        point = self._points[value]
        return str(point.summary.get("reproduce") or point.entries[0]["reproduce"])

    def beside(self, value: int) -> str:
        """What went wrong with that value, and nothing that has to hold speaks of; empty: nothing."""
        return beside(self._points[value])

    def band(self, value: int) -> str:
        """How far the modelled times of its boards may be off: ``x/÷ 2``."""
        bands = self._points[value].entries[0]["bands"].values()
        return f"x/÷ {max(one['factor'] for one in bands):g}"

    def limits(self, value: int) -> list[Limit]:
        """What is used up with that value, under the worst seed."""
        point = self._points[value]
        seed = point.summary.get("worst_seed", point.entries[0]["seed"])
        entry = next(one for one in point.entries if one["seed"] == seed)
        return [one for one in limits(entry) if one.used >= USED_UP]

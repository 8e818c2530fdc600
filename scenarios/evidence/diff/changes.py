"""What a comparison of two sides found, as plain data.

Belongs here: the shape, and what "beyond the margin" means. Never: how it is found (difference.py, rules.py),
words for people (told.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from twinloop.scenarios.evidence.diff.documents import Run
from twinloop.scenarios.evidence.diff.figures import Figure

MARGIN = 0.05
FLOOR_NS = 100
"""a shorter difference of times is none"""


class How(StrEnum):
    """How the figures of a scenario were judged."""

    PAIRED = "paired"
    """differences of the same seed, tested"""
    UNPAIRED = "unpaired"
    """two groups of other seeds, tested"""
    BLOCKS = "blocks"
    """one run each, samples paired, blocks of time tested"""
    MARGIN = "margin"
    """too little for a test: what is beyond the margin counts"""
    SAME = "same"
    """equal to the last event"""


class Mark(StrEnum):
    """What a figure's change is."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    DOUBTFUL = "doubtful"
    """beyond the margin, and it may be chance (or it isn't tested)"""
    NONE = ""


@dataclass
class Change:
    """A figure before and after: means over the runs, infinite where it never came in any of them. ``p``: of
    its being chance, corrected; None where it isn't tested."""

    name: str
    figure: Figure
    before: float
    after: float
    p: float | None = None
    mark: Mark = Mark.NONE
    pairs: tuple[float, float] | None = None
    """the least and the most ratio of after to before of any pair of runs; None where there are no pairs, or
    one has none"""
    never: tuple[int, int] = (0, 0)
    """runs in which it never came; in the mean such a run counts with ten times the largest that came"""

    @property
    def ratio(self) -> float | None:
        """After by before; None from 0, and where one never came."""
        if math.isinf(self.before) or math.isinf(self.after) or any(self.never):
            return None
        return self.after / self.before if self.before else None

    @property
    def size(self) -> float:
        """How large it is, either way: the logarithm of the ratio, infinite where there was nothing."""
        if self.before == self.after:
            return 0.0
        ratio = self.ratio
        return abs(math.log(ratio)) if ratio is not None and 0 < ratio < math.inf else math.inf

    def worse_by(self, margin: float) -> bool:
        """In the bad direction by more than the margin?"""
        return self._beyond(margin, self.figure.worse)

    def better_by(self, margin: float) -> bool:
        """In the good one?"""
        return self._beyond(margin, -self.figure.worse)

    def _beyond(self, margin: float, sign: int) -> bool:
        if self.before == self.after:
            return False
        if math.isinf(self.before) or math.isinf(self.after):
            return (self.after > self.before) == (sign > 0)
        step = sign * (self.after - self.before)
        floor = FLOOR_NS if self.figure.unit == "ns" else 0
        return step > floor and step > margin * abs(self.before) + 1e-12


@dataclass(frozen=True)
class VerdictChange:
    """Verdicts of one seed, or of all runs counted, that differ. ``whose``: the seed in words."""

    whose: str
    before: str
    after: str
    worse: bool


@dataclass(frozen=True)
class ExpectationChange:
    """An expectation that both sides have. Values are means over the runs; None without data, infinite where
    one never came."""

    expression: str
    unit: str
    before: float | None
    after: float | None
    held: tuple[int, int]
    """runs in which it held, before and after"""
    runs: tuple[int, int]
    """of so many"""

    @property
    def ratio(self) -> float | None:
        """After by before; None from 0, without data, or where one never came."""
        if not self.before or self.after is None or math.isinf(self.before + self.after):
            return None
        return self.after / self.before


@dataclass
class Scenario:
    """One scenario on both sides. ``before`` and ``after``: the runs that are compared, by seed, in one order
    where they are paired."""

    name: str
    before: list[Run]
    after: list[Run]
    paired: bool
    how: How = How.MARGIN
    tested: int = 0
    """figures that could have come out as chance or not"""
    blocks: int = 0
    needed: int = 0
    """so many seeds on each side would be enough for a test"""
    changed: list[str] = field(default_factory=list)
    verdicts: list[VerdictChange] = field(default_factory=list)
    expectations: list[ExpectationChange] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    """what is a regression by rule, in words"""
    figures: list[Change] = field(default_factory=list)
    only: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    """figures that one side alone has"""

    def marked(self, mark: Mark) -> list[Change]:
        """The figures with a mark, larger changes first."""
        return sorted((one for one in self.figures if one.mark is mark), key=lambda one: -one.size)


@dataclass
class Difference:
    """All of it. ``errors``: findings about what didn't run at all."""

    before: list[str]
    after: list[str]
    margin: float
    scenarios: list[Scenario]
    errors: list[str]
    only: tuple[list[str], list[str]]
    """scenarios that one side alone has"""

    @property
    def regressions(self) -> int:
        """By rule and by figure."""
        found = sum(len(one.findings) + len(one.marked(Mark.REGRESSION)) for one in self.scenarios)
        return found + len(self.errors)

    @property
    def improvements(self) -> int:
        """By figure."""
        return sum(len(one.marked(Mark.IMPROVEMENT)) for one in self.scenarios)

"""One expectation, read: what is measured, and what must hold of it.

Belongs here: its parts. Never: how it is written (expressions.py), what is measured (metrics/).
"""

from __future__ import annotations

from dataclasses import field

from twinloop.records import dataclass

ROUNDED = 2.0**-50
"""what two ways to compute one number in doubles may differ by, relative: a few units in the last place"""
SMALL = 2.0**49
"""below it no two whole numbers are as near to each other as that"""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation. ``statistic`` is empty for a gauge; ``bound`` in the metric's unit (ns, bytes, count,
    ratio; of a ``value`` in ``bound_unit``, the point's own)."""

    text: str
    statistic: str
    metric: str
    keys: tuple[tuple[str, str], ...]
    operator: str
    bound: float
    never: bool = False
    over_ns: int | None = None
    within_ns: int | None = None
    event: str = ""
    bound_unit: str = ""
    metric_unit: str = "count"
    line: int | None = field(default=None, compare=False)
    """of the scenario file; None: it stands in no file. No part of what is asked: it makes no two unequal"""

    @property
    def unit(self) -> str:
        """Of the measured value."""
        if self.statistic == "ratio":
            return "ratio"
        return "count" if self.statistic == "count" else self.metric_unit

    def holds(self, value: float) -> bool:
        """Does a measured value satisfy operator and bound? A number with a fraction is the same as one that
        differs from it by what a double rounds off: 333 tenths are 33.300000000000004, and 33.3 was meant.
        Whole numbers are compared with all their digits."""
        bound = self.bound
        same = value == bound
        if not same and abs(value) < SMALL and abs(bound) < SMALL:
            same = abs(value - bound) <= ROUNDED * max(abs(value), abs(bound))
        return {
            "<=": value < bound or same,
            ">=": value > bound or same,
            "==": same,
            "!=": not same,
            "<": value < bound and not same,
            ">": value > bound and not same,
        }[self.operator]

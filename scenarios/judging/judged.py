"""An expectation that has been judged.

Belongs here: the pair of expectation and verdict. Never: pass rules (thresholds.py, gauge.py).
"""

from __future__ import annotations

from twinloop.records import dataclass
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.sim.kernel.histogram import NEVER


@dataclass(frozen=True)
class Judged:
    """An expectation with its verdict. ``measured`` in ``unit``; None: no data, NEVER: later than any bound.
    ``ends``: what was measured at the ends of the bands, where that was run: (which end, as ``measured``)."""

    expectation: Expectation
    verdict: Verdict
    measured: float | None
    why: str = ""
    ends: tuple[tuple[str, float | None], ...] = ()

    @property
    def unit(self) -> str:
        """Of what was measured."""
        return "ns" if self.expectation.within_ns is not None else self.expectation.unit

    @property
    def never(self) -> bool:
        """Is it a time later than any bound? A value may be as large a number."""
        return self.is_never(self.measured)

    def is_never(self, value: float | None) -> bool:
        """Is that value, in its unit, a time later than any bound?"""
        return value is not None and self.unit != "value" and value >= NEVER

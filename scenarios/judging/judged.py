"""An expectation that has been judged.

Belongs here: the pair of expectation and verdict. Never: pass rules (thresholds.py, gauge.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.verdict import Verdict


@dataclass(frozen=True)
class Judged:
    """An expectation with its verdict. ``measured`` in ``unit``; None: no data, NEVER: later than any
    bound."""

    expectation: Expectation
    verdict: Verdict
    measured: float | None
    why: str = ""

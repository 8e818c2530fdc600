"""What a share of runs says about the share of all runs there could be: Wilson's interval.

Belongs here: the formula, and how many runs it takes. Never: which runs count as held (summary.py).
"""

from __future__ import annotations

import math

Z = 1.959963984540054
"""the standard normal quantile at 0.975: two-sided, 95 %"""
CONFIDENCE = 0.95


def wilson(held: int, runs: int) -> tuple[float, float]:
    """The interval, 0 to 1, in which the true share lies with 95 % confidence when ``held`` of ``runs``
    independent runs held; (0, 1) without any run.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference", without correction
    for continuity.
    """
    if not 0 <= held <= runs:
        raise ValueError(f"{held} of {runs} is no share")
    if not runs:
        return 0.0, 1.0
    share, z2 = held / runs, Z * Z
    middle = share + z2 / (2 * runs)
    half = Z * math.sqrt(share * (1 - share) / runs + z2 / (4 * runs * runs))
    whole = 1 + z2 / runs
    low, high = (middle - half) / whole, (middle + half) / whole
    return (0.0 if held == 0 else max(0.0, low)), (1.0 if held == runs else min(1.0, high))


def runs_to_show(share: float) -> int:
    """How many runs it takes at least until the lower end reaches ``share`` (0 to 1, not 1), if all hold: it
    is n / (n + Z^2) then."""
    if not 0 <= share < 1:
        raise ValueError(f"no number of runs shows a share of {share}")
    runs = max(1, math.floor(share * Z * Z / (1 - share)))
    while wilson(runs, runs)[0] < share:
        runs += 1
    return runs

"""A metric: one row, from which grammar, evaluation and documentation follow.

Belongs here: what a row has. Never: a row (the other files of this folder), their table (table.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twinloop.records import dataclass
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.measure import Measures, statistic
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.histogram import Histogram

TREND = ("count", "min", "mean", "max", "p50", "p90", "p95", "p99", "p99.9")
COUNTER = ("count", "ratio")
DEVICE = ("fleet", "device", "gateway")
PHASED = (*DEVICE, "phase")
Read = Callable[[Measures, Expectation], float | None]
Values = Callable[[Measures, Expectation], Histogram]


def of_values(values: Values) -> Read:
    """Reads the statistic that an expectation asks of them."""
    return lambda measures, expectation: statistic(values(measures, expectation), expectation.statistic)


def _present(measures: Measures, expectation: Expectation) -> str:
    return ""


def _nothing(measures: Measures, expectation: Expectation, value: float) -> float:
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A row. ``kind``: trend (many values), counter (how often), gauge (one value at a time), value (what
    points show). ``unit``: ns, bytes, count, ratio, or value (the point's own). ``statistics`` empty: it
    stands alone.

    ``read``: the value of an expectation when the run has ended, in its unit; None without data. ``absent``:
    why there is nothing that an expectation could be about (what wasn't there can't have held); empty when
    there is. ``modelled``: how much of a measured value is modelled CPU time.
    """

    name: str
    kind: str
    unit: str
    keys: tuple[str, ...]
    statistics: tuple[str, ...]
    meaning: str
    read: Read
    absent: Callable[[Measures, Expectation], str] = _present
    values: Values | None = None
    """of a trend, all of what its statistics are of"""
    modelled: Callable[[Measures, Expectation, float], float] = _nothing
    causes: Iterable[str] = ()
    """names that may stand behind its key ``cause``"""
    end: End | None = None
    """the end of samples that it counts"""
    watched: bool = False
    """``never`` and ``within`` go with it"""
    windowed: bool = False
    """``over`` goes with it"""

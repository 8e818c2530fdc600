"""Wilson's interval against scipy's, and how many runs a share takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from twinloop.scenarios.evidence.interval import runs_to_show, wilson


@given(st.integers(1, 5000).flatmap(lambda runs: st.tuples(st.integers(0, runs), st.just(runs))))
def test_the_interval_is_scipys(pair: tuple[int, int]) -> None:
    held, runs = pair
    theirs = binomtest(held, runs).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(held, runs) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_by_hand() -> None:
    """n of n: the lower end is n / (n + z^2), z^2 = 3.8415; 0 of n mirrors it; without a run all is possible."""
    assert wilson(10, 10) == pytest.approx((10 / 13.841459, 1.0), abs=1e-6)
    assert wilson(0, 10) == pytest.approx((0.0, 3.841459 / 13.841459), abs=1e-6)
    assert wilson(0, 0) == (0.0, 1.0)


def test_of_what_is_no_share() -> None:
    with pytest.raises(ValueError, match="3 of 2 is no share"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="no number of runs"):
        runs_to_show(1.0)


@pytest.mark.parametrize(("share", "runs"), [(0.5, 4), (0.9, 35), (0.95, 73), (0.99, 381), (0.999, 3838)])
def test_how_many_runs_a_share_takes(share: float, runs: int) -> None:
    """share * z^2 / (1 - share), rounded up: 0.99 * 3.8415 / 0.01 = 380.3."""
    assert runs_to_show(share) == runs


@given(st.floats(0.001, 0.999))
def test_it_is_the_least_number(share: float) -> None:
    runs = runs_to_show(share)
    assert wilson(runs, runs)[0] >= share
    assert runs == 1 or wilson(runs - 1, runs - 1)[0] < share

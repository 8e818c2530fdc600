"""p-values against hand computation and the literature, and the rate of false alarms that they keep."""

from __future__ import annotations

import math
import random

import pytest

from tests.scenarios.evidence.diff.rates import most_of
from twinloop.scenarios.evidence.diff.significance import (
    ALPHA,
    RELABELLINGS,
    enough_unpaired,
    holm,
    paired,
    pairs_needed,
    runs_needed,
    unpaired,
)


@pytest.mark.parametrize(
    ("differences", "larger", "smaller"),
    [
        ([1.0, 2.0, 3.0], 1 / 8, 1.0),  # one of eight signings is as large as all plus
        ([3.0, 2.0, -1.0], 2 / 8, 7 / 8),  # sums 6 4 2 0 0 -2 -4 -6; seen: 4
        ([2.0, -2.0], 3 / 4, 3 / 4),  # sums 4 0 0 -4; seen: 0
        ([0.0, 0.0, 5.0], 1 / 2, 1.0),  # pairs that don't differ say nothing
        ([0.0, 0.0], 1.0, 1.0),
        ([-1.0] * 8, 1.0, 1 / 256),
    ],
)
def test_sign_flips_by_hand(differences: list[float], larger: float, smaller: float) -> None:
    assert paired([differences]) == ([larger], [smaller])


def test_darwins_plants_as_fisher_counted_them() -> None:
    """Fisher, *The Design of Experiments* (1935), section 21: 863 of the 32768 signings of Darwin's 15 pairs of
    maize add up to 314 eighths of an inch or more."""
    maize = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert sum(maize) == 314
    assert paired([list(map(float, maize))], limit=1 << 15).larger == [863 / 32768]
    drawn = paired([list(map(float, maize))]).larger[0]
    assert drawn == pytest.approx(863 / 32768, abs=4 * math.sqrt(0.026 / RELABELLINGS))
    assert drawn == paired([list(map(float, maize))]).larger[0]  # always the same ones


@pytest.mark.parametrize(
    ("first", "second", "larger", "smaller"),
    [
        ([1.0, 2.0], [3.0, 4.0], 1 / 6, 1.0),
        ([1.0, 3.0], [2.0, 4.0], 2 / 6, 5 / 6),  # sums of two of 1 2 3 4: 3 4 5 5 6 7; seen: 6
        ([5.0], [5.0], 1.0, 1.0),
        ([0.0, 0.0, 0.0], [1.0], 1 / 4, 1.0),
    ],
)
def test_shuffles_by_hand(first: list[float], second: list[float], larger: float, smaller: float) -> None:
    assert unpaired([first], [second]) == ([larger], [smaller])


def test_two_figures_step_down_by_hand() -> None:
    """In units of 1 / sqrt 3 the sums are a+b+c and a+b-c. Seen: 3 and 1. Two of eight signings bring one of them
    to 3; four bring the second alone to 1."""
    assert paired([[1.0, 1.0, 1.0], [1.0, 1.0, -1.0]]).larger == [2 / 8, 4 / 8]
    assert paired([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]).larger == [1 / 8, 1.0]
    # a second figure that is the first in other units costs nothing: they get worse together
    assert paired([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]).larger == [1 / 8, 1 / 8]
    assert paired([]) == unpaired([], []) == ([], [])


def test_holm_by_hand() -> None:
    assert holm([[0.01], [0.04], [0.03]]) == [[0.03], [0.06], [0.06]]
    assert holm([[0.01, 0.2], [0.02]]) == [[0.02, 0.4], [0.02]]
    assert holm([[0.6], [0.7]]) == [[1.0], [1.0]]
    assert holm([[], [0.01]]) == [[], [0.02]]
    assert holm([]) == []


def test_how_many_are_needed() -> None:
    assert [pairs_needed(families) for families in (1, 2, 12, 13)] == [
        5,
        6,
        8,
        9,
    ]  # 1/32, 2/64, 12/256, 13/512
    assert [runs_needed(families) for families in (1, 2, 4)] == [3, 4, 5]  # 1/20, 2/70, 4/252
    assert enough_unpaired(3, 3)
    assert not enough_unpaired(2, 4)  # 1/15
    assert not enough_unpaired(1, 18)  # 1/19
    assert enough_unpaired(1, 19)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_rate_over_all_figures_is_kept(grouped: bool) -> None:
    """400 reports of 12 figures that depend on one another and have heavy tails, of which nothing changed."""
    dice = random.Random(20)
    alarms = 0
    for _ in range(400):
        shared = [dice.gauss(0, 1) ** 3 for _ in range(12)]
        rows = [[one + dice.gauss(0, 1) ** 3 for one in shared] for _ in range(12)]
        if grouped:
            found = unpaired([row[:4] for row in rows], [row[4:8] for row in rows])
        else:
            found = paired([row[:6] for row in rows])
        alarms += min(found.larger) <= ALPHA
    assert alarms <= most_of(400, ALPHA)


def test_what_is_there_is_found_among_many() -> None:
    """One figure of 40 is worse in each of eight pairs by ten times its noise: Holm over single figures could
    not say so, 40/256 is 16 %."""
    dice = random.Random(3)
    rows = [[dice.gauss(0, 1) for _ in range(8)] for _ in range(40)]
    rows[17] = [10 + dice.gauss(0, 1) for _ in range(8)]
    found = paired(rows).larger
    assert found[17] <= ALPHA
    assert all(p > ALPHA for i, p in enumerate(found) if i != 17)

"""Could a difference be chance? Tests by relabelling, and the correction for asking about many figures at
once.

Belongs here: p-values, from numbers alone. Never: what a figure means, files, words for people. Nothing is
assumed of how figures are spread: whoever claims that A and B are the same says that their labels may be
exchanged, within each pair (a sign flip of its difference) or among all runs (a shuffle). So the share of
relabellings that look at least as bad as what was seen is an exact p-value (Fisher 1935; Edgington and
Onghena, *Randomization Tests*, 4th edition, 2007).

Figures of one scenario are relabelled together and compared with the largest of them, step by step: the
"maxT" procedure of Westfall and Young (*Resampling-Based Multiple Testing*, 1993, algorithm 4.1). It keeps
the rate of false alarms over all figures, however they depend on one another, and however many they are.
Holm's correction of each figure by itself (Scandinavian Journal of Statistics 6, 1979) would need 11 seeds
for 60 figures, because eight pairs have no p-value below 1/256; it is what holds the rate over several
scenarios (``holm``).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import combinations
from operator import itemgetter
from typing import NamedTuple

ALPHA = 0.05
"""the share of reports with a false alarm where nothing has changed"""
RELABELLINGS = 4096
"""all of them are tried up to so many; of more, so many are drawn, always the same ones"""
_TIE = 1e-9
"""sums of the same numbers in another order are equal up to this"""

Rows = Sequence[Sequence[float]]
"""figure -> its value in each pair or run, all of one length"""


class Chance(NamedTuple):
    """p-values of figures, corrected for all of them: of being so much larger by chance, and so much
    smaller."""

    larger: list[float]
    smaller: list[float]


def paired(differences: Rows, limit: int = RELABELLINGS) -> Chance:
    """From each figure's differences by pair: could their sum be chance? 1.0 for a figure that doesn't differ
    in any pair. One figure alone gets the plain one-sided sign-flip test."""
    weights = []
    for row in differences:
        norm = math.sqrt(math.fsum(one * one for one in row))
        weights.append([one / norm for one in row] if norm else [])
    pairs = max(map(len, differences), default=0)
    return _chance(weights, _flips(pairs, limit), -2.0, [math.fsum(row) for row in weights])


def unpaired(first: Rows, second: Rows, limit: int = RELABELLINGS) -> Chance:
    """The same for runs that belong to no pairs: could the difference of the means, ``second`` less
    ``first``, be chance? Both hold the same figures; the numbers of runs may differ."""
    weights = []
    for one, other in zip(first, second, strict=True):
        together = [*one, *other]
        mean = math.fsum(together) / len(together)
        norm = math.sqrt(math.fsum((value - mean) ** 2 for value in together))
        weights.append([(value - mean) / norm for value in together] if norm > _TIE * abs(mean) else [])
    if not weights:
        return Chance([], [])
    return _chance(weights, _shuffles(len(first[0]), len(second[0]), limit), 1.0, [0.0] * len(weights))


def _chance(
    weights: Rows, relabellings: list[tuple[int, ...]], factor: float, offsets: list[float]
) -> Chance:
    """The statistic of a figure is ``offset + factor * (sum of its weights in the chosen places)``; the first
    relabelling is the one that was seen. Figures without weights don't vary: they are chance."""
    varying = [i for i, row in enumerate(weights) if row]
    found = []
    for chosen in relabellings:
        # itemgetter of one place gives no tuple, of none it can't be made
        pick = itemgetter(*chosen) if len(chosen) > 1 else lambda row, few=chosen: [row[at] for at in few]
        found.append([offsets[i] + factor * sum(pick(weights[i])) for i in varying])
    out = Chance([1.0] * len(weights), [1.0] * len(weights))
    for place, p in enumerate(_step_down(found)):
        out.larger[varying[place]] = p
    for place, p in enumerate(_step_down([[-one for one in row] for row in found])):
        out.smaller[varying[place]] = p
    return out


def _step_down(found: list[list[float]]) -> list[float]:
    """p-values of figures from their statistics in each relabelling (of which the first was seen): the
    largest is compared with the largest of all, the next with the largest of the others, and so on."""
    seen = found[0]
    weakest_first = sorted(range(len(seen)), key=lambda i: seen[i])
    as_bad = [0] * len(seen)
    for statistics in found:
        largest = -math.inf
        for i in weakest_first:
            one = statistics[i]
            if one > largest:
                largest = one
            if largest >= seen[i] - _TIE:
                as_bad[i] += 1
    out, least = [1.0] * len(seen), 0.0
    for i in reversed(weakest_first):
        out[i] = least = max(least, as_bad[i] / len(found))
    return out


def _flips(pairs: int, limit: int) -> list[tuple[int, ...]]:
    """Which pairs change their sign; first: none."""
    if 1 << pairs <= limit:
        return [tuple(i for i in range(pairs) if mask >> i & 1) for mask in range(1 << pairs)]
    dice = random.Random(pairs)
    masks = [0, *(dice.getrandbits(pairs) for _ in range(limit - 1))]
    return [tuple(i for i in range(pairs) if mask >> i & 1) for mask in masks]


def _shuffles(first: int, second: int, limit: int) -> list[tuple[int, ...]]:
    """Which runs are called the second ones; first: those that are."""
    whole = range(first + second)
    seen = tuple(range(first, first + second))
    if math.comb(first + second, second) <= limit:
        return [seen, *(one for one in combinations(whole, second) if one != seen)]
    dice = random.Random(first * 1_000_003 + second)
    return [seen, *(tuple(dice.sample(whole, second)) for _ in range(limit - 1))]


def holm(families: Sequence[Sequence[float]]) -> list[list[float]]:
    """p-values of several families (scenarios), each corrected within itself, corrected over all of them: the
    family with the smallest one is multiplied by their number, the next by one less, and none gets below the
    one before it. With one p-value in each that is Holm's procedure."""
    out: list[list[float]] = [[] for _ in families]
    least, left = 0.0, len(families)
    for i in sorted(range(len(families)), key=lambda i: min(families[i], default=1.0)):
        factor = left
        out[i] = [max(least, min(1.0, p * factor)) for p in families[i]]
        least, left = min(out[i], default=least), left - 1
    return out


def pairs_needed(families: int = 1, alpha: float = ALPHA) -> int:
    """So many pairs that a difference of one sign in each of them can be significant, among so many families:
    the least n with ``families / 2**n <= alpha``."""
    count = 1
    while families > alpha * 2**count:
        count += 1
    return count


def runs_needed(families: int = 1, alpha: float = ALPHA) -> int:
    """The same for runs that aren't paired, on each side: the least n with ``families / C(2n, n) <=
    alpha``."""
    count = 1
    while families > alpha * math.comb(2 * count, count):
        count += 1
    return count


def enough_unpaired(first: int, second: int, families: int = 1, alpha: float = ALPHA) -> bool:
    """Can so many runs on each side ever be significant?"""
    return families <= alpha * math.comb(first + second, second)

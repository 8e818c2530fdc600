"""Two sides of results paired, their figures tested, and what of it is a regression.

Belongs here: pairing, what is tested and how, marks. Never: p-values (significance.py), the list of figures
(figures.py), rules about verdicts (rules.py), words and tables (told.py).
"""

from __future__ import annotations

import math
from typing import Any

from twinloop.scenarios.evidence.diff import rules, significance
from twinloop.scenarios.evidence.diff.changes import MARGIN, Change, Difference, How, Mark, Scenario
from twinloop.scenarios.evidence.diff.documents import Run, Side
from twinloop.scenarios.evidence.diff.figures import Figure, figures_of
from twinloop.scenarios.evidence.diff.samples import blocks, read_samples
from twinloop.scenarios.text.errors import ScenarioError, unknown


def compared(before: Side, after: Side, margin: float = MARGIN) -> Difference:
    """A against B. Raises ScenarioError when they have no scenario in common."""
    names = list(dict.fromkeys(one.scenario for one in before.runs))
    others = list(dict.fromkeys(one.scenario for one in after.runs))
    common = [one for one in names if one in others]
    errors = rules.errors(before, after)
    if not common and not errors:
        raise ScenarioError(
            ", ".join(after.named),
            None,
            "",
            f"no scenario in common with {', '.join(before.named)}: "
            + (unknown("scenario", others[0], names) if others else "it holds no result, only errors")
            + "; results are paired by the scenario's name",
        )
    scenarios = [_paired(name, before.of(name), after.of(name)) for name in common]
    _judge(scenarios, margin)
    only = [one for one in names if one not in common], [one for one in others if one not in common]
    return Difference(before.named, after.named, margin, scenarios, errors, only)


def _paired(name: str, before: dict[int, Run], after: dict[int, Run]) -> Scenario:
    """By seed where any is on both sides; else two groups."""
    seeds = [seed for seed in before if seed in after]
    if seeds:
        one = Scenario(name, [before[seed] for seed in seeds], [after[seed] for seed in seeds], True)
        for side, runs in (("A", before), ("B", after)):
            alone = [str(seed) for seed in runs if seed not in seeds]
            if alone:
                one.changed.append(
                    f"only {side} has the seeds {', '.join(alone)}: they are left out, the others are paired"
                )
    else:
        one = Scenario(name, list(before.values()), list(after.values()), False)
    one.changed += rules.changed(one.before, one.after)
    return one


def _judge(scenarios: list[Scenario], margin: float) -> None:
    """Tests of all scenarios are corrected together, those for worse and those for better each by
    themselves."""
    values = [_values(one) for one in scenarios]
    observed = [_observations(one, found) for one, found in zip(scenarios, values, strict=True)]
    testable = [i for i, rows in enumerate(observed) if rows is not None]
    families = max(1, len(testable))
    testable = [i for i in testable if _enough(scenarios[i], families)]
    for i, one in enumerate(scenarios):
        if i not in testable and one.how is not How.SAME:
            one.how = How.MARGIN
        one.needed = (significance.pairs_needed if one.paired else significance.runs_needed)(families)
        rules.judge(one)
    limit = max(significance.RELABELLINGS, 64 * len(testable))
    chances = [_chance(scenarios[i], observed[i] or {}, limit) for i in testable]
    worse = significance.holm([one.larger for one in chances])
    better = significance.holm([one.smaller for one in chances])
    for place, i in enumerate(testable):
        for name, up, down in zip(observed[i] or {}, worse[place], better[place], strict=True):
            change = next((one for one in scenarios[i].figures if one.name == name), None)
            if change is not None:
                change.p = up if (change.after - change.before) * change.figure.worse >= 0 else down
    for one in scenarios:
        for change in one.figures:
            change.mark = _mark(change, one.how, margin)


def _mark(change: Change, how: How, margin: float) -> Mark:
    worse, better = change.worse_by(margin), change.better_by(margin)
    if not worse and not better:
        return Mark.NONE
    sure = change.p is not None and change.p <= significance.ALPHA
    if change.p is None:
        sure = how is How.MARGIN or (how is How.BLOCKS and change.figure.exact)
    if not sure or not change.figure.gates:
        return Mark.DOUBTFUL
    return Mark.REGRESSION if worse else Mark.IMPROVEMENT


Values = dict[str, tuple[Figure, list[float], list[float]]]


def _values(one: Scenario) -> Values:
    """Of each figure that every run has, its values before and after; fills ``figures`` and ``only``."""
    found = [[figures_of(run.data) for run in runs] for runs in (one.before, one.after)]
    rows: dict[str, Figure] = {}
    for result in [*found[0], *found[1]]:
        rows.update((name, row) for name, (row, _) in result.items())
    if not one.paired:
        rows |= rules.shares(one.before + one.after)
        for result, run in zip(found[0] + found[1], one.before + one.after, strict=True):
            result.update(rules.broken(run, rows))
    out: Values = {}
    for name, row in rows.items():
        sides = [[_of(result, name, row) for result in results] for results in found]
        if any(value is None for side in sides for value in side):
            for side, alone in zip(sides, one.only, strict=True):
                if all(value is not None for value in side):
                    alone.append(name)
            continue
        first, second = ([value for value in side if value is not None] for side in sides)
        out[name] = row, first, second
        finite = _finite(first, second)
        means = [
            math.inf if all(map(math.isinf, raw)) else math.fsum(shown) / len(shown)
            for raw, shown in zip((first, second), finite, strict=True)
        ]
        never = sum(map(math.isinf, first)), sum(map(math.isinf, second))
        pairs = _extremes(first, second) if one.paired else None
        one.figures.append(Change(name, row, means[0], means[1], pairs=pairs, never=never))
    return out


def _extremes(before: list[float], after: list[float]) -> tuple[float, float] | None:
    """The least and the most ratio of any pair."""
    if len(before) < 2 or not all(before) or any(map(math.isinf, before + after)):
        return None
    ratios = [b / a for a, b in zip(before, after, strict=True)]
    return min(ratios), max(ratios)


def _of(result: dict[str, tuple[Figure, float]], name: str, row: Figure) -> float | None:
    return result[name][1] if name in result else row.absent


def _observations(one: Scenario, values: Values) -> dict[str, Any] | None:
    """What is tested, by figure: differences by pair or block, or two groups; those that don't vary at all
    left out. None when nothing can be tested."""
    same_figures = all(before == after for _, before, after in values.values())
    if (
        one.paired
        and same_figures
        and all(a.data["digest"] == b.data["digest"] for a, b in zip(one.before, one.after, strict=True))
    ):
        one.how = How.SAME
        return None
    rows: dict[str, Any] = {}
    first_folder, second_folder = one.before[0].folder, one.after[0].folder
    if one.paired and len(one.before) == 1 and first_folder is not None and second_folder is not None:
        one.how = How.BLOCKS
        rows = dict(blocks(read_samples(first_folder), read_samples(second_folder)).items())
        one.blocks = max((len(row) for row in rows.values()), default=0)
        rows = {name: row for name, row in rows.items() if any(row)}
    else:
        one.how = How.PAIRED if one.paired else How.UNPAIRED
        for name, (_, before, after) in values.items():
            first, second = _finite(before, after)
            if one.paired:
                differences = [b - a for a, b in zip(first, second, strict=True)]
                if any(differences):
                    rows[name] = differences
            elif max(first + second) > min(first + second):
                rows[name] = first, second
    one.tested = len(rows)
    return rows


def _finite(before: list[float], after: list[float]) -> tuple[list[float], list[float]]:
    """What never came stands for ten times the largest that did."""
    finite = [value for value in before + after if not math.isinf(value)]
    never = 10 * max(map(abs, finite), default=0.0) or 1.0
    first, second = ([never if math.isinf(value) else value for value in side] for side in (before, after))
    return first, second


def _enough(one: Scenario, families: int) -> bool:
    """Could any test of it ever be significant?"""
    if one.how is How.UNPAIRED:
        return significance.enough_unpaired(len(one.before), len(one.after), families)
    observations = one.blocks if one.how is How.BLOCKS else len(one.before)
    return observations >= significance.pairs_needed(families)


def _chance(one: Scenario, rows: dict[str, Any], limit: int) -> significance.Chance:
    """Corrected within the scenario; larger is worse."""
    worse = {change.name: change.figure.worse for change in one.figures}
    signed = [(worse.get(name, 1), row) for name, row in rows.items()]
    if one.how is How.UNPAIRED:
        first, second = ([[sign * value for value in row[side]] for sign, row in signed] for side in (0, 1))
        return significance.unpaired(first, second, limit)
    return significance.paired([[sign * value for value in row] for sign, row in signed], limit)

"""A comparison as plain data: the document of ``--json``.

Belongs here: its shape. Never: finding it (difference.py), words for people (told.py).
"""

from __future__ import annotations

import math
from typing import Any

from twinloop.scenarios.evidence.diff.changes import Change, Difference, Scenario
from twinloop.scenarios.evidence.diff.significance import ALPHA

FORMAT = 1


def as_json(found: Difference) -> dict[str, Any]:
    """The comparison for programs. A figure that never came in any run is null."""
    return {
        "format": FORMAT,
        "kind": "difference",
        "a": found.before,
        "b": found.after,
        "margin": found.margin,
        "false_alarms": ALPHA,
        "regressions": found.regressions,
        "improvements": found.improvements,
        "errors": found.errors,
        "only": {"a": found.only[0], "b": found.only[1]},
        "scenarios": [_scenario(one) for one in found.scenarios],
    }


def _scenario(one: Scenario) -> dict[str, Any]:
    return {
        "scenario": one.name,
        "how": one.how.value,
        "seeds": {"a": [run.seed for run in one.before], "b": [run.seed for run in one.after]},
        "tested": one.tested,
        "blocks": one.blocks,
        "seeds_needed": one.needed,
        "changed": one.changed,
        "findings": one.findings,
        "verdicts": [
            {"of": change.whose, "a": change.before, "b": change.after, "worse": change.worse}
            for change in one.verdicts
        ],
        "expectations": [
            {
                "expression": told.expression,
                "unit": told.unit,
                "a": _number(told.before),
                "b": _number(told.after),
                "ratio": _number(told.ratio),
                "held": {"a": told.held[0], "b": told.held[1]},
                "runs": {"a": told.runs[0], "b": told.runs[1]},
            }
            for told in one.expectations
        ],
        "figures": [_figure(change) for change in one.figures],
        "figures_only": {"a": one.only[0], "b": one.only[1]},
    }


def _figure(change: Change) -> dict[str, Any]:
    return {
        "figure": change.name,
        "group": change.figure.group,
        "unit": change.figure.unit,
        "worse": "more" if change.figure.worse > 0 else "less",
        "a": _number(change.before),
        "b": _number(change.after),
        "ratio": _number(change.ratio),
        "pairs": None if change.pairs is None else {"least": change.pairs[0], "most": change.pairs[1]},
        "never": {"a": change.never[0], "b": change.never[1]},
        "p": change.p,
        "mark": change.mark.value,
    }


def _number(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value

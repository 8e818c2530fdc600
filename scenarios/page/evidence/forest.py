"""A change as a picture in a row of a table: a mark at its ratio, the margin behind it, a line over all
pairs.

Belongs here: the axis that all rows share, and drawing one. Never: which figures there are (diff.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from twinloop.scenarios.page.charts import short
from twinloop.scenarios.page.evidence.marks import mark

WIDE, HIGH = 240, 22
EDGE = 12
"""room at both ends, for what lies beyond the axis"""
FACTOR_MAX = 10.0
"""the axis reaches at most to so many times, and so small a part"""
STEPS = (1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
"""ends that an axis may have"""
SHAPES = {"regression": "FAIL", "improvement": "PASS", "doubtful": "UNSURE", "": "PASS"}
"""of a mark: the shape of that verdict"""


def reach(figures: Sequence[dict[str, Any]], margin: float) -> float:
    """How many times the axis reaches on both sides: round, and twice the margin at least."""
    found = [1 + 2 * margin]
    for one in figures:
        pairs = one["pairs"]
        ratios = [one["ratio"], *((pairs["least"], pairs["most"]) if pairs else ())]
        found += [max(ratio, 1 / ratio) for ratio in ratios if ratio]
    return next((step for step in STEPS if step >= max(found)), FACTOR_MAX)


def axis(factor: float) -> str:
    """The head of the column: what the ends and the middle are."""
    ends = ((EDGE, "start", 1 / factor), (WIDE - EDGE, "end", factor))
    words = "".join(
        f'<text x="{at}" y="13" text-anchor="{anchor}">{_percent(ratio)}</text>' for at, anchor, ratio in ends
    )
    return (
        f'<svg class="forest" viewBox="0 0 {WIDE} 18" role="img" aria-label="change, from '
        f'{_percent(1 / factor)} to {_percent(factor)}">{words}'
        f'<text x="{WIDE / 2:g}" y="13" text-anchor="middle">0 %</text></svg>'
    )


def row(one: dict[str, Any], factor: float, margin: float, words: str) -> str:
    """One figure's change. What lies beyond the axis, or has no ratio, is an arrow at that end."""
    middle = HIGH / 2
    low, high = _at(1 - margin, factor), _at(1 + margin, factor)
    parts = [
        f'<rect class="within" x="{short(low)}" width="{short(max(1.0, high - low))}" height="{HIGH}"/>',
        f'<line class="zero" x1="{WIDE / 2:g}" x2="{WIDE / 2:g}" y1="0" y2="{HIGH}"/>',
    ]
    pairs, ratio = one["pairs"], one["ratio"]
    if pairs:
        ends = [_at(pairs[name], factor) for name in ("least", "most")]
        parts.append(f'<path class="whisker" d="M{short(ends[0])} {middle:g}H{short(ends[1])}"/>')
    shape = SHAPES[one["mark"]]
    if ratio is not None and 1 / factor <= ratio <= factor:
        size, colour = (4.5, "") if one["mark"] else (2.5, "plain")
        parts.append(mark(shape, _at(ratio, factor), middle, size, colour))
    elif one["a"] != one["b"]:
        parts.append(_arrow(_more(one), shape))
    whole = "".join(parts)
    return f'<svg class="forest" viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{words}">{whole}</svg>'


def _more(one: dict[str, Any]) -> bool:
    """Is it more than before? What never came is more than all."""
    if one["ratio"] is not None:
        return bool(one["ratio"] > 1)
    never = one["never"]
    if never["a"] != never["b"]:
        return bool(never["b"] > never["a"])
    return bool((math.inf if one["b"] is None else one["b"]) > (math.inf if one["a"] is None else one["a"]))


def _arrow(more: bool, shape: str) -> str:
    at, step = (WIDE - 3, -8) if more else (3, 8)
    kind = {"FAIL": "bad", "PASS": "good"}.get(shape, "doubt")
    return f'<path class="m {kind}" d="M{at} {HIGH / 2:g}l{step} -5v10z"/>'


def _at(ratio: float, factor: float) -> float:
    """Where a ratio lies: equal factors are equal distances."""
    if ratio <= 0:
        return 3.0
    share = math.log(ratio) / math.log(factor)
    return WIDE / 2 + max(-1.06, min(1.06, share)) * (WIDE / 2 - EDGE)


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.3g} %" if ratio < 3 else f"x{ratio:g}"

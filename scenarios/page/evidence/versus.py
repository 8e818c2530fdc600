"""Values beside what was varied: a picture for one place, heat tables for two and more.

Belongs here: charts and tables of points, made of their summaries. Never: running them, words about a whole
sweep or size (sweep.py, size.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from twinloop.scenarios.page.charts import Value
from twinloop.scenarios.page.evidence.marks import LETTERS, kind, sample
from twinloop.scenarios.page.evidence.told import figure, limit_of, value_words
from twinloop.scenarios.page.tables import Cell, table
from twinloop.scenarios.report.total import ERROR
from twinloop.scenarios.text import units

HEATS = 5
"""shades of a heat table"""
TABLES_MAX = 12
"""heat tables of one expectation"""


def numbers_of(texts: Sequence[str]) -> list[float] | None:
    """The values as numbers of one unit, if all are that and each is there once; else None: then they stand
    in even steps, in the order in which they were given."""
    readers: tuple[Callable[[str], float], ...] = (
        float,
        units.duration,
        units.size,
        units.ratio,
        units.bit_rate,
        units.baud,
        units.per_second,
    )
    for read in readers:
        try:
            found = [float(read(text.strip("'\""))) for text in texts]
        except ValueError:
            continue
        ascending = sorted(found)
        if len(dict.fromkeys(found)) == len(found) and abs(ascending[-1]) < float("inf"):
            return found
    return None


def row_of(point: dict[str, Any], expression: str) -> dict[str, Any] | None:
    """An expectation of a point's summary."""
    return next((one for one in point["expectations"] if one["expression"] == expression), None)


def verdict_at(point: dict[str, Any], row: dict[str, Any] | None) -> str:
    """Of an expectation; where it wasn't judged, of the point."""
    return str((row or point)["verdict"] or ERROR)


def chart_of(
    head: str, at: list[str], points: Sequence[dict[str, Any]], expression: str, name: str = "median"
) -> dict[str, Any]:
    """An expectation's figure at each point, with the spread over its seeds where there are several."""
    rows = [row_of(one, expression) for one in points]
    values: list[Value] = [None if row is None else figure(row, name) for row in rows]
    many = name == "median" and any(row is not None and row["seeds"] > 1 for row in rows)
    ends = [[None if row is None else figure(row, end) for row in rows] for end in ("p5", "p95")]
    verdicts = [verdict_at(one, row) for one, row in zip(points, rows, strict=True)]
    return {
        "head": head,
        "at": at,
        "x": numbers_of(at),
        "values": values,
        "verdicts": verdicts,
        "without": [
            verdict if value is None else "" for verdict, value in zip(verdicts, values, strict=True)
        ],
        "low": ends[0] if many else None,
        "high": ends[1] if many else None,
        "spread": None,
        "limit": limit_of(expression),
        "unit": next((row["unit"] for row in rows if row is not None), "count"),
        "letters": True,
        "lines": [],
    }


def heat(
    points: Sequence[dict[str, Any]], places: list[list[str]], expression: str, paths: list[str]
) -> tuple[str, int]:
    """Tables of an expectation's median over the last two places that were varied, one for each combination
    of the others; and for how many there was no room. ``places``: of each point the value at each path."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, place in enumerate(places):
        groups.setdefault(tuple(place[:-2]), []).append(i)
    shades = _shades([_number(row_of(one, expression)) for one in points])
    out = []
    for before, mine in list(groups.items())[:TABLES_MAX]:
        fixed = ", ".join(f"{path} = {text}" for path, text in zip(paths, before, strict=False))
        caption = f"{paths[-2]} down, {paths[-1]} across" + (f", {fixed}" if fixed else "")
        out.append(_one_heat(points, places, mine, shades, expression, caption, paths[-2]))
    return "".join(out), max(0, len(groups) - TABLES_MAX)


def _one_heat(
    points: Sequence[dict[str, Any]],
    places: list[list[str]],
    mine: list[int],
    shades: list[int | None],
    expression: str,
    caption: str,
    down: str,
) -> str:
    across = list(dict.fromkeys(places[i][-1] for i in mine))
    lines: dict[str, dict[str, Cell]] = {}
    for i in mine:
        row = row_of(points[i], expression)
        verdict = verdict_at(points[i], row)
        text = "none" if row is None else value_words(expression, figure(row, "median"), row["unit"])
        shade = "" if shades[i] is None else f" h{shades[i]}"
        cell = f'{escape(text)} {sample(verdict)}<b class="{kind(verdict)}">{LETTERS[verdict]}</b>'
        lines.setdefault(places[i][-2], {})[places[i][-1]] = Cell(cell, f"heat{shade}")
    rows = [
        [Cell(escape(name)), *(cells.get(one, Cell("-", "heat")) for one in across)]
        for name, cells in lines.items()
    ]
    return f'<div class="heats">{table(caption, [down, *across], rows)}</div>'


def _number(row: dict[str, Any] | None) -> float | None:
    """As far as it has one; later than any bound is more than all."""
    value = None if row is None else figure(row, "median")
    return float("inf") if value == "never" else value if isinstance(value, int | float) else None


def _shades(values: list[float | None]) -> list[int | None]:
    """Of each value how strong its shade is: its rank among those that occur, in HEATS steps; never is the
    strongest."""
    ordered = sorted(dict.fromkeys(value for value in values if value is not None))
    ranks = {value: place for place, value in enumerate(ordered)}
    most = max(1, len(ordered) - 1)
    return [None if value is None else ranks[value] * (HEATS - 1) // most for value in values]

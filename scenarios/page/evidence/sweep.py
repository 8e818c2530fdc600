"""The page of a sweep: what ``sweep --html`` writes.

Belongs here: what is shown of its points, and in which words. Never: figures that aren't in their summaries
(scenarios/evidence/summary.py), pictures (versus.py, dots.py).
"""

from __future__ import annotations

from html import escape
from typing import Any

from twinloop.scenarios.evidence.points import Point, beside
from twinloop.scenarios.evidence.sweep import document, expressions, value_of
from twinloop.scenarios.page.evidence.dots import dots
from twinloop.scenarios.page.evidence.marks import LETTERS, legend
from twinloop.scenarios.page.evidence.told import (
    PICTURES_MAX,
    command_html,
    figure,
    machine_of,
    run_of,
    terms,
    value_words,
    verdict_cell,
)
from twinloop.scenarios.page.evidence.versus import chart_of, heat, row_of, verdict_at
from twinloop.scenarios.page.page import Section, frame
from twinloop.scenarios.page.tables import Cell, number, table
from twinloop.scenarios.report.total import ERROR
from twinloop.scenarios.text.errors import printable
from twinloop.scenarios.text.words import number_of

ROWS_MAX = 1000
"""points in the table, in the order in which they were run"""


def sweep_page(points: list[Point], command: str) -> str:
    """The whole page. ``command``: that runs the sweep again."""
    data = sweep_data(points, command)
    parts = [
        Section("pictures", "Value against what was varied", _pictures(data)),
        Section("table", "All combinations", _table(data)),
        Section("repeat", "What was run", _repeat(data)),
    ]
    entries = [entry for point in points for entry in point.entries]
    return frame(f"Sweep of {data['scenario']}", _head(data), parts, data, machine_of(entries))


def sweep_data(points: list[Point], command: str) -> dict[str, Any]:
    """What stands on it, as plain data: the document of ``--json``, charts, and what is said beside it."""
    found = document(points)
    summaries = found["points"]
    paths = found["vary"]
    texts = expressions(points)
    places = [[value_of(one) for one in point.settings] for point in points]
    charts = {}
    if len(paths) == 1:
        at = [place[0] for place in places]
        charts = {
            f"expectation-{i}": chart_of(paths[0], at, summaries, text)
            for i, text in enumerate(texts[:PICTURES_MAX])
        }
    entries = [entry for point in points for entry in point.entries]
    return {
        **found,
        "scenario": next((one["scenario"] for one in summaries if one["scenario"]), summaries[0]["file"]),
        "places": places,
        "expressions": texts,
        "beside": [beside(point) for point in points],
        "errors": [_error(point) for point in points],
        "command": command,
        "run": run_of(entries),
        "charts": charts,
    }


def _error(point: Point) -> str:
    return next((printable(one["error"]) for one in point.entries if one["kind"] == "error"), "")


def _head(data: dict[str, Any]) -> str:
    counts: dict[str, int] = {}
    for one in data["points"]:
        word = one["verdict"] or ERROR
        counts[word] = counts.get(word, 0) + 1
    words = ", ".join(f"{counts[word]} {word}" for word in LETTERS if word in counts)
    several = f", each under {data['points'][0]['seeds']} seeds" if data["points"][0]["seeds"] > 1 else ""
    varied = ", ".join(f"<code>{escape(path)}</code>" for path in data["vary"])
    return (
        f"<h1>{escape(data['scenario'])}</h1>"
        f'<p class="verdict plain"><strong>SWEEP</strong>'
        f"{number_of(len(data['points']), 'combination')}{several}: {words}.</p><p>Varied: {varied}</p>"
    )


def _pictures(data: dict[str, Any]) -> str:
    out = []
    texts = data["expressions"][:PICTURES_MAX]
    if len(data["vary"]) == 1:
        out = [
            f"<h3><code>{escape(text)}</code></h3>"
            + dots(f"expectation-{i}", text, data["charts"][f"expectation-{i}"], _said(data, text, i))
            for i, text in enumerate(texts)
        ]
    else:
        verdicts = [verdict_at(one, row_of(one, text)) for text in texts for one in data["points"]]
        if texts:
            out.append(
                "<p>Each cell: what was measured (with several seeds their median), and the verdict as a "
                "shape and a letter. The stronger the shade of a cell, the higher its value among all with "
                "this expectation.</p>"
                f'<ul class="legend">{legend(verdicts)}</ul>'
            )
        for text in texts:
            tables, left = heat(data["points"], data["places"], text, data["vary"])
            out.append(f"<h3><code>{escape(text)}</code></h3>{tables}")
            out += [f"<p>{left} more such tables: all values are in the table below.</p>"] if left else []
    if len(data["expressions"]) > PICTURES_MAX:
        more = number_of(len(data["expressions"]) - PICTURES_MAX, "more expectation")
        out.append(f"<p>{more} without a picture, in the table below.</p>")
    return "".join(out) or "<p>Nothing was judged, so there are no values.</p>"


def _said(data: dict[str, Any], text: str, i: int) -> str:
    """A picture in words: each value with its verdict, as far as that can be read."""
    chart = data["charts"][f"expectation-{i}"]
    counts = {word: chart["verdicts"].count(word) for word in LETTERS}
    words = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    what = "the median over its seeds" if chart["low"] else "what was measured"
    order = "" if chart["x"] else " The values stand in even steps, in the order in which they were given."
    return f"{text} against {data['vary'][0]}: each mark is {what}; {words}.{order}"


def _table(data: dict[str, Any]) -> str:
    rows = []
    for i, point in enumerate(data["points"][:ROWS_MAX]):
        cells = [_value(point, text) for text in data["expressions"]]
        note = "; ".join(filter(None, (data["beside"][i], data["errors"][i])))
        rows.append(
            [
                *(Cell(escape(one)) for one in data["places"][i]),
                verdict_cell(point["verdict"] or ERROR),
                number(f"{point['held']} of {point['seeds']}"),
                *cells,
                Cell(escape(note or "-"), "long"),
            ]
        )
    heads = [*data["vary"], "verdict", "held", *data["expressions"], "beside it"]
    left = len(data["points"]) - len(rows)
    more = (
        f"<p>{number_of(left, 'more combination')}, not shown here: --csv and --json have all.</p>"
        if left
        else ""
    )
    return table("What was set, the verdict, and what was measured", heads, rows) + more


def _value(point: dict[str, Any], text: str) -> Cell:
    """The median, with the verdict beside it where that isn't PASS."""
    row = row_of(point, text)
    if row is None:
        return number("-")
    shown = escape(value_words(text, figure(row, "median"), row["unit"]))
    verdict = row["verdict"]
    return Cell(shown if verdict == "PASS" else f"{shown} <b>{escape(verdict)}</b>", "n")


def _repeat(data: dict[str, Any]) -> str:
    first = data["points"][0]
    broken = next((one for one in data["points"] if "reproduce" in one), None)
    again = command_html("The same sweep again:", data["command"])
    if broken is not None:
        again += command_html(
            f"The first combination that isn't PASS, {', '.join(broken['set'])}, under its worst seed:",
            broken["reproduce"],
        )
    return again + terms(
        [
            ("scenario file", first["file"]),
            ("seeds", first["asked"] if first["seeds"] > 1 else first["asked"].partition("..")[0]),
            *data["run"],
        ]
    )

"""The page of a size: what ``size --html`` writes.

Belongs here: what is shown of the document of ``--json``, and where. Never: the answer and its words
(scenarios/evidence/size_document.py), pictures (dots.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from twinloop.scenarios.evidence.size_document import answer, in_order, measured
from twinloop.scenarios.page.evidence.dots import dots
from twinloop.scenarios.page.evidence.told import (
    PICTURES_MAX,
    command_html,
    machine_of,
    run_of,
    terms,
    verdict_cell,
)
from twinloop.scenarios.page.evidence.versus import chart_of
from twinloop.scenarios.page.page import Section, frame
from twinloop.scenarios.page.tables import Cell, bar, number, table
from twinloop.scenarios.report.console import value_text
from twinloop.scenarios.report.total import ERROR
from twinloop.scenarios.text.units import show_ratio
from twinloop.scenarios.text.words import number_of


def size_page(found: dict[str, Any], command: str, entries: Sequence[dict[str, Any]]) -> str:
    """The whole page. ``found``: the document; ``command``: that looks again; ``entries``: of all runs."""
    data = size_data(found, command, entries)
    parts = [
        Section("pictures", "What was measured", _pictures(data)),
        Section("tried", "What was tried", _tried(data)),
        Section("scarce", "What is scarce beyond it", _scarce(data)),
        Section("repeat", "What was run", _repeat(data)),
    ]
    return frame(f"Size of {data['scenario']}", _head(data), parts, data, machine_of(entries))


def size_data(found: dict[str, Any], command: str, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What stands on it, as plain data: the document of ``--json`` and its charts."""
    tried = sorted(found["tried"], key=lambda one: int(one["value"]))
    charts = {}
    texts = [row["expression"] for row in tried[0]["expectations"]]
    for i, text in enumerate(texts[:PICTURES_MAX]):
        at = [one["text"] for one in tried]
        chart = chart_of(found["path"], at, tried, text, "worst")
        charts[f"expectation-{i}"] = {**chart, "x": [one["value"] for one in tried], "lines": _lines(found)}
    return {**found, "command": command, "run": run_of(entries), "charts": charts, "expressions": texts}


def _lines(found: dict[str, Any]) -> list[dict[str, str]]:
    """Where the answer stands in a picture."""
    if found["found"] is None:
        return []
    text = {one["value"]: one["text"] for one in found["tried"]}
    named = [(found["found"], "holds")]
    if found["nominal"] != found["found"]:
        named.append((found["nominal"], "without band"))
    return [{"at": text[value], "text": words} for value, words in named]


def _head(data: dict[str, Any]) -> str:
    lines = answer(data)[:-1] or answer(data)
    kind = "doubt" if data["problem"] or data["holds_again"] else "good"
    text = {one["value"]: one["text"] for one in data["tried"]}
    word = "NO ANSWER" if data["problem"] else text[data["found"]]
    notes = "".join(f"<li>{escape(line[0].upper() + line[1:])}.</li>" for line in lines[1:])
    first = f"{lines[0][0].upper()}{lines[0][1:]}."
    ends = f"from {text[data['from']]} to {text[data['to']]}"
    return (
        f"<h1>{escape(data['scenario'])}</h1>"
        f'<p class="verdict {kind}"><strong>{escape(word)}</strong>{escape(first)}</p>'
        f"<p>Looked for in <code>{escape(data['path'])}</code>, {escape(ends)}.</p>"
        + (f"<h3>Beside it</h3><ul>{notes}</ul>" if notes else "")
    )


def _pictures(data: dict[str, Any]) -> str:
    out = []
    for i, text in enumerate(data["expressions"][:PICTURES_MAX]):
        chart = data["charts"][f"expectation-{i}"]
        held = sum(one == "PASS" for one in chart["verdicts"])
        said = (
            f"{text} against {data['path']}: each mark is a value that was tried, at the worst that was "
            f"measured with it over its seeds. It held with {held} of {len(chart['at'])} values."
        )
        if chart["lines"]:
            named = [f"{one['text']} at {one['at']}" for one in chart["lines"]]
            said += f" Upright lines: {', '.join(named)}."
        out.append(f"<h3><code>{escape(text)}</code></h3>{dots(f'expectation-{i}', text, chart, said)}")
    if len(data["expressions"]) > PICTURES_MAX:
        left = number_of(len(data["expressions"]) - PICTURES_MAX, "more expectation")
        out.append(f"<p>{left} without a picture, in the table below.</p>")
    return "".join(out) or "<p>Nothing was judged, so there are no values.</p>"


def _tried(data: dict[str, Any]) -> str:
    rows = [
        [
            number(one["text"]),
            verdict_cell(one["verdict"] or ERROR),
            number(f"{one['held']} of {one['seeds']}"),
            *(number(text) for text in measured(one)),
            Cell(escape(_role(data, one)), "long"),
        ]
        for one in in_order(data)
    ]
    heads = [data["path"], "verdict", "held", *data["expressions"], "what it is"]
    return table("Each value that was tried, with the worst that was measured over its seeds", heads, rows)


def _role(data: dict[str, Any], one: dict[str, Any]) -> str:
    """What a value is in the answer, and what went wrong beside it."""
    value = one["value"]
    words = ["the last that holds"] if value == data["found"] else []
    if value == data["nominal"] and data["nominal"] != data["found"]:
        words.append("the last that holds without the board's band")
    words += ["the first that doesn't"] if value == data["first_bad"] else []
    words += ["holds again"] if value in data["holds_again"] else []
    words += [f"beside it {one['beside']}"] if one["beside"] else []
    return "; ".join(words) or "-"


def _scarce(data: dict[str, Any]) -> str:
    if not data["limits"]:
        return (
            "<p>Nothing was found that is used up by more than 90 %.</p>"
            if not data["problem"]
            else "<p>Unknown: there is no answer.</p>"
        )
    rows = [
        [Cell(escape(name)), number(show_ratio(used)), Cell(bar(used))]
        for name, used in data["limits"].items()
    ]
    return table("Used with the first value that doesn't hold", ["what", "share", "share as a bar"], rows)


def _repeat(data: dict[str, Any]) -> str:
    again = command_html("The same search again:", data["command"])
    bad = next((one for one in data["tried"] if one["value"] == data["first_bad"]), None)
    if bad is not None:
        again += command_html(f"The first value that doesn't hold, {bad['text']}:", bad["reproduce"])
    pairs = [("what has to hold", text) for text in data["expectations"]]
    return again + terms([*pairs, ("step", value_text(data["step"], data["unit"], "")), *data["run"]])

"""The page of one scenario under many seeds: what ``run --seeds --html`` and ``merge --html`` write.

Belongs here: what is chosen of summary and entries, and in which words it is shown. Never: figures that the
summary doesn't have (scenarios/evidence/summary.py), pictures (dots.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from twinloop.scenarios.evidence.seeds_report import (
    error_texts,
    figure_text,
    held_words,
    required_words,
    share_text,
    unspoken_words,
)
from twinloop.scenarios.evidence.summary import badness
from twinloop.scenarios.judging.verdict import ABORTED, Verdict
from twinloop.scenarios.page.charts import Value
from twinloop.scenarios.page.evidence.dots import SPREAD, dots
from twinloop.scenarios.page.evidence.marks import kind
from twinloop.scenarios.page.evidence.told import (
    chosen,
    command_html,
    command_of,
    figure,
    limit_of,
    machine_of,
    run_of,
    share_bar,
    terms,
    value_words,
    verdict_cell,
)
from twinloop.scenarios.page.page import Section, frame
from twinloop.scenarios.page.tables import Cell, number, table
from twinloop.scenarios.report.total import ERROR
from twinloop.scenarios.text.errors import printable
from twinloop.scenarios.text.words import number_of

FORMAT = 1
MARKS_MAX = 400
"""in one picture: of more seeds each mark is of some neighbours, at the worst of them"""
ROWS_MAX = 400
"""seeds in the tables: first those that didn't pass"""
COLUMNS_MAX = 10
"""expectations that have a column there"""
Entry = dict[str, Any]
_ORDER = [ERROR, *(one.value for one in Verdict)]


def seeds_page(summary: dict[str, Any], entries: Sequence[Entry]) -> str:
    """The whole page."""
    data = seeds_data(summary, entries)
    word, name = verdict_of(summary), summary["scenario"] or summary["file"]
    parts = [
        Section("expectations", "Expectations", _expectations(data)),
        Section("values", "Values by seed", _pictures(data)),
        Section("worst", "The worst seed", _worst(data)),
        Section("seeds", "Seeds", _seeds(data)),
        Section("repeat", "What was run", _repeat(data)),
    ]
    return frame(f"{word} {name}", _head(data), parts, data, machine_of(entries))


def seeds_data(summary: dict[str, Any], entries: Sequence[Entry]) -> dict[str, Any]:
    """What stands on it, as plain data: the summary as it is in the document of ``--json``, and of each seed
    that is shown what its entry there says."""
    rows = summary["expectations"]
    errors, left = error_texts([one for one in entries if one["kind"] == "error"])
    shown = sorted(entries, key=lambda one: (_verdict(one) == Verdict.PASS.value, int(one["seed"])))[
        :ROWS_MAX
    ]
    worst = next((one for one in entries if one["seed"] == summary.get("worst_seed")), None)
    return {
        "format": FORMAT,
        "kind": "seeds",
        "summary": summary,
        "command": command_of(summary, entries),
        "run": run_of(entries),
        "errors": errors,
        "errors_left_out": left,
        "worst": None if worst is None else _seed(worst),
        "seeds": [_seed(one) for one in shown],
        "seeds_left_out": len(entries) - len(shown),
        "pictures_left_out": max(0, len(rows) - len(chosen(rows))),
        "charts": {f"expectation-{i}": _chart(rows[i], i, entries) for i in chosen(rows)},
    }


def verdict_of(summary: dict[str, Any]) -> str:
    """The word of all seeds together."""
    return str(summary["verdict"] or ERROR)


def _verdict(entry: Entry) -> str:
    if entry["kind"] == "result":
        return str(entry["verdict"])
    return Verdict.ABORTED.value if entry["code"] == ABORTED else ERROR


def _seed(entry: Entry) -> dict[str, Any]:
    judged = entry["expectations"] if entry["kind"] == "result" else []
    return {
        "seed": entry["seed"],
        "verdict": _verdict(entry),
        "values": [_measured(one) for one in judged],
        "verdicts": [one["verdict"] for one in judged],
        "error": printable(entry.get("error") or ""),
        "unspoken": entry.get("unspoken") or {},
    }


def _measured(one: dict[str, Any]) -> Value:
    value: Value = one["measured"]
    return "never" if one.get("never") else value


def _chart(row: dict[str, Any], index: int, entries: Sequence[Entry]) -> dict[str, Any]:
    """An expectation's value by seed; of more seeds than there are marks, the worst of each few
    neighbours."""
    found: list[tuple[str, Value, str, str]] = []
    none = 0
    each = -(-len(entries) // MARKS_MAX)
    ordered = sorted(entries, key=lambda one: int(one["seed"]))
    for begin in range(0, len(ordered), each):
        some = ordered[begin : begin + each]
        judged = [_of(one, index) for one in some]
        without = [verdict for value, verdict in judged if value is None]
        lane = min(without, key=_ORDER.index, default="")
        valued = [one for one in judged if one[0] is not None]
        value, verdict = _worst_of(row["expression"], valued) if valued else (None, lane)
        none += len(without)
        first, last = some[0]["seed"], some[-1]["seed"]
        found.append((str(first) if first == last else f"{first}..{last}", value, verdict, lane))
    return {
        "head": "seed",
        "at": [one[0] for one in found],
        "x": None,
        "values": [one[1] for one in found],
        "verdicts": [one[2] for one in found],
        "without": [one[3] for one in found],
        "none": none,
        "low": None,
        "high": None,
        "spread": {name: figure(row, name) for name in SPREAD},
        "limit": limit_of(row["expression"]),
        "unit": row["unit"],
        "letters": False,
        "lines": [],
        "each": each,
    }


def _of(entry: Entry, index: int) -> tuple[Value, str]:
    """What was measured under a seed, and the verdict; where nothing was judged, that of the run."""
    judged = entry["expectations"] if entry["kind"] == "result" else []
    if index >= len(judged):
        return None, _verdict(entry)
    return _measured(judged[index]), str(judged[index]["verdict"])


def _worst_of(expression: str, some: list[tuple[Value, str]]) -> tuple[Value, str]:
    """The worst verdict, and of those who have it the worst value."""

    def rank(one: tuple[Value, str]) -> tuple[int, float]:
        value, verdict = one
        amount = float("inf") if isinstance(value, str) or value is None else value
        return _ORDER.index(verdict), -badness(expression, amount)

    return min(some, key=rank)


def _head(data: dict[str, Any]) -> str:
    summary = data["summary"]
    word = verdict_of(summary)
    name = summary["scenario"] or summary["file"]
    lines = [f"Under seeds {summary['asked']}: {held_words(summary)}."]
    if summary["shard"]:
        lines.append(f"This is shard {summary['shard']} of them alone.")
    broken = [row for row in summary["expectations"] if row["held"] < row["seeds"]]
    if broken:
        first = min(broken, key=lambda row: row["held"])
        lines.append(f"Held least often: {first['expression']}, in {first['held']} of {first['seeds']}.")
    notes = []
    if summary["require"]:
        notes.append(" ".join(filter(None, required_words(summary))))
    notes += [unspoken_words(summary)] if summary["unspoken"] else []
    notes += [f"{seeds}: {text}" for seeds, text in data["errors"]]
    if data["errors_left_out"]:
        notes.append(f"and {number_of(data['errors_left_out'], 'other error')}")
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f"<h1>{escape(name)}</h1>"
        f'<p class="verdict {kind(word)}"><strong>{escape(word)}</strong>{escape(" ".join(lines))}</p>'
        + (f"<h3>Notes</h3><ul>{items}</ul>" if items else "")
    )


def _expectations(data: dict[str, Any]) -> str:
    rows = data["summary"]["expectations"]
    if not rows:
        return "<p>No seed came as far as to be judged.</p>"
    cells = [
        [
            Cell(f"<code>{escape(row['expression'])}</code>", "long"),
            verdict_cell(row["verdict"]),
            number(f"{row['held']} of {row['seeds']}"),
            Cell(f"{escape(share_text(row['interval']))}{share_bar(row)}", "n"),
            *(number(figure_text(row, name)) for name in (*SPREAD, "worst")),
            number("-" if row["worst_seed"] is None else str(row["worst_seed"])),
        ]
        for row in rows
    ]
    heads = ["expectation", "verdict", "held", "95 % interval", *SPREAD, "worst", "in seed"]
    return (
        "<p>The bar is the share of these seeds under which it held; the line across it is Wilson's "
        "interval: where the share of all seeds lies, with 95 % confidence. p5, median and p95 are of the "
        "measured values: 5 % of the seeds lie at or below p5.</p>"
    ) + table("How often each expectation held, and what was measured", heads, cells)


def _pictures(data: dict[str, Any]) -> str:
    rows, out = data["summary"]["expectations"], []
    for name, chart in data["charts"].items():
        row = rows[int(name.rpartition("-")[2])]
        shape = f"Each mark is one seed{_several(chart)}. {_said(row, chart)}"
        out.append(
            f"<h3><code>{escape(row['expression'])}</code></h3>{dots(name, row['expression'], chart, shape)}"
        )
    if data["pictures_left_out"]:
        left = number_of(data["pictures_left_out"], "expectation")
        out.append(
            f"<p>{left} more held more often, and {'have' if left[:2] != '1 ' else 'has'} no picture.</p>"
        )
    return "".join(out) or "<p>Nothing was judged, so there are no values.</p>"


def _several(chart: dict[str, Any]) -> str:
    if chart["each"] == 1:
        return ""
    return (
        f" of {chart['each']} neighbours, the worst of them; those without a value have a mark of their own"
    )


def _said(row: dict[str, Any], chart: dict[str, Any]) -> str:
    """A picture in words."""
    words = f"Held in {row['held']} of {row['seeds']}; p5 {figure_text(row, 'p5')}, median "
    words += f"{figure_text(row, 'median')}, p95 {figure_text(row, 'p95')}"
    if row["worst_seed"] is not None:
        words += f", worst {figure_text(row, 'worst')} in seed {row['worst_seed']}"
    if row["never"]:
        words += f"; {number_of(row['never'], 'seed')} in the lane never, later than any bound"
    if chart["none"]:
        words += f"; {number_of(chart['none'], 'seed')} in the lane none, without a value"
    return f"{words}."


def _worst(data: dict[str, Any]) -> str:
    worst, summary = data["worst"], data["summary"]
    if worst is None:
        return "<p>There is none: every seed that was judged is a PASS.</p>"
    rows = [
        [
            Cell(f"<code>{escape(row['expression'])}</code>", "long"),
            number(value_words(row["expression"], value, row["unit"])),
            verdict_cell(verdict),
        ]
        for row, value, verdict in zip(
            summary["expectations"], worst["values"], worst["verdicts"], strict=False
        )
    ]
    html = summary["reproduce"] + f" --html seed-{worst['seed']}.html"
    return (
        f"<p>Seed {worst['seed']} is {escape(worst['verdict'])}.</p>"
        + (
            table(
                f"What was measured under seed {worst['seed']}", ["expectation", "measured", "verdict"], rows
            )
            if rows
            else ""
        )
        + command_html("This shows it alone:", summary["reproduce"])
        + command_html("And with a page of its own, with its values over time:", html)
    )


def _seeds(data: dict[str, Any]) -> str:
    rows = data["summary"]["expectations"]
    columns = list(range(min(len(rows), COLUMNS_MAX)))
    heads = ["seed", "verdict", *(rows[i]["expression"] for i in columns), "beside it"]
    passed = [one for one in data["seeds"] if one["verdict"] == Verdict.PASS.value]
    others = [one for one in data["seeds"] if one["verdict"] != Verdict.PASS.value]
    every = data["summary"]["seeds"]
    good = data["summary"]["verdicts"].get(Verdict.PASS.value, 0)
    out = []
    if others:
        made = [_row(one, rows, columns) for one in others]
        out.append(table(f"Seeds that aren't PASS: {_shown_of(every - good, len(others))}", heads, made))
    if passed:
        made = [_row(one, rows, columns) for one in passed]
        whole = table(f"Seeds that are PASS: {_shown_of(good, len(passed))}", heads, made)
        out.append(f"<details><summary>{number_of(good, 'seed')} with PASS</summary>{whole}</details>")
    if data["seeds_left_out"]:
        out.append(
            f"<p>{number_of(data['seeds_left_out'], 'more seed')}, not shown here: --json has all.</p>"
        )
    if len(rows) > len(columns):
        out.append(
            f"<p>{number_of(len(rows) - len(columns), 'more expectation')} without a column: --json has all."
            "</p>"
        )
    return "".join(out)


def _shown_of(count: int, shown: int) -> str:
    """How many there are, and of how many of them there is a row."""
    return str(count) if count == shown else f"{count}, of which {shown} are shown"


def _row(one: dict[str, Any], rows: list[dict[str, Any]], columns: list[int]) -> list[Cell]:
    beside = one["error"] or ", ".join(f"{count} {name}" for name, count in one["unspoken"].items())
    return [
        number(str(one["seed"])),
        verdict_cell(one["verdict"]),
        *(_value(one, rows, i) for i in columns),
        Cell(escape(beside or "-"), "long"),
    ]


def _value(one: dict[str, Any], rows: list[dict[str, Any]], i: int) -> Cell:
    """A value; its verdict beside it where that isn't PASS."""
    if i >= len(one["values"]):
        return number("-")
    text = value_words(rows[i]["expression"], one["values"][i], rows[i]["unit"])
    verdict = one["verdicts"][i]
    if verdict == Verdict.PASS.value:
        return number(text)
    return Cell(f'{escape(text)} <b class="{kind(verdict)}">{escape(verdict)}</b>', "n")


def _repeat(data: dict[str, Any]) -> str:
    summary = data["summary"]
    pairs = [
        ("scenario file", summary["file"]),
        ("scenario digest", summary["scenario_digest"] or "unknown"),
        ("seeds", f"{summary['asked']} ({number_of(summary['seeds'], 'run')})"),
        ("strict", "yes" if summary["strict"] else "no"),
    ]
    pairs += [("share that is required", summary["require"])] if summary["require"] else []
    again = command_html("The same seeds again:", data["command"]) if data["command"] else ""
    return again + terms([*pairs, *data["run"]])

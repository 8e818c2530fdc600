"""The page of a comparison: what ``diff --html`` writes.

Belongs here: what is shown of a difference, and where. Never: words and figures that its report and document
don't have (scenarios/evidence/diff/), how a change is drawn (forest.py).
"""

from __future__ import annotations

from html import escape
from typing import Any

from twinloop.scenarios.evidence.diff.changes import Change, Difference, ExpectationChange, Mark, Scenario
from twinloop.scenarios.evidence.diff.data import as_json
from twinloop.scenarios.evidence.diff.told import (
    chance_text,
    change_texts,
    headline,
    held_text,
    how_text,
    mark_text,
    ratio_text,
    value_text,
)
from twinloop.scenarios.page.evidence import forest
from twinloop.scenarios.page.evidence.marks import sample
from twinloop.scenarios.page.evidence.told import command_html
from twinloop.scenarios.page.page import Section, frame
from twinloop.scenarios.page.tables import Cell, number, table
from twinloop.scenarios.text.errors import printable
from twinloop.scenarios.text.units import show_ratio
from twinloop.scenarios.text.words import number_of

SCENARIOS_MAX = 50
"""that have a section of their own; those that got worse first"""
FIGURES_MAX = 1500
"""rows of figures on the page, shared out among its scenarios"""
GROUPS = {
    "latency": "Latency and stages",
    "cost": "What components cost",
    "network": "Network, lines and stores",
    "books": "Books: what became of samples",
    "verdicts": "Verdicts",
}
LINES_MAX = 200
"""of a list"""
ROWS_MAX = 100
"""of verdicts, and of expectations, of a scenario"""
_KINDS = {Mark.REGRESSION: "bad", Mark.IMPROVEMENT: "good", Mark.DOUBTFUL: "doubt", Mark.NONE: ""}


def diff_page(found: Difference, command: str) -> str:
    """The whole page. ``command``: that compares again."""
    data = diff_data(found, command)
    parts = [Section("worse", "What got worse", _worse_of(found))]
    for place, (i, one) in enumerate(zip(_shown(found), data["scenarios"], strict=True)):
        scenario = found.scenarios[i]
        html = _scenario(scenario, one, found.margin)
        parts.append(Section(f"scenario-{place}", printable(scenario.name), html))
    parts.append(Section("repeat", "What was compared", _repeat(found, data)))
    return frame(headline(found), _head(found), parts, data, "")


def diff_data(found: Difference, command: str) -> dict[str, Any]:
    """What stands on it, as plain data: the document of ``--json``, but for scenarios and figures that have
    no place on the page, of which there is only the number."""
    data = as_json(found)
    shown = _shown(found)
    room = FIGURES_MAX // max(1, len(shown))
    scenarios = [data["scenarios"][i] for i in shown]
    for i, one in zip(shown, scenarios, strict=True):
        size = {change.name: change.size for change in found.scenarios[i].figures}
        differing = [each for each in one["figures"] if each["a"] != each["b"] or each["mark"]]
        ranked = sorted(differing, key=lambda each: (not each["mark"], -size[each["figure"]]))
        one["figures_equal"] = len(one["figures"]) - len(differing)
        one["figures_left_out"] = max(0, len(ranked) - room)
        one["figures"] = ranked[:room]
    left = len(data["scenarios"]) - len(shown)
    return {
        **data,
        "scenarios": scenarios,
        "scenarios_left_out": left,
        "headline": headline(found),
        "command": command,
    }


def _shown(found: Difference) -> list[int]:
    """Which scenarios have a section, in their order."""
    order = sorted(range(len(found.scenarios)), key=lambda i: -_worse(found.scenarios[i]))
    return sorted(order[:SCENARIOS_MAX])


def _some(items: list[str]) -> str:
    """A list of texts that are HTML, as far as there is room."""
    more = len(items) - LINES_MAX
    shown = items[:LINES_MAX] + ([f"and {more} more"] if more > 0 else [])
    return f"<ul>{''.join(f'<li>{item}</li>' for item in shown)}</ul>"


def _worse(one: Scenario) -> int:
    return len(one.findings) + len(one.marked(Mark.REGRESSION))


def _head(found: Difference) -> str:
    word, _, rest = headline(found).partition(": ")
    if not rest:
        word, _, rest = headline(found).partition("; ")
    kind = "bad" if found.regressions else "good"
    rest = rest or "nothing got worse"
    return (
        "<h1>Is the new version worse?</h1>"
        f'<p class="verdict {kind}"><strong>{escape(word)}</strong>{escape(rest[0].upper() + rest[1:])}.</p>'
        f"<p>A: <code>{escape(printable(', '.join(found.before)))}</code></p>"
        f"<p>B: <code>{escape(printable(', '.join(found.after)))}</code></p>"
    )


def _worse_of(found: Difference) -> str:
    """All regressions of all scenarios."""
    items = [escape(printable(text)) for text in found.errors]
    for one in found.scenarios:
        name = escape(printable(one.name))
        items += [f"<b>{name}</b>: {escape(printable(text))}" for text in one.findings]
        for change in one.marked(Mark.REGRESSION):
            before, after = change_texts(change)
            how = ", ".join(filter(None, (ratio_text(change), chance_text(change))))
            words = printable(f"{change.name} {before} to {after} ({how})")
            items.append(f"<b>{name}</b>: {escape(words)}")
    only = "".join(
        f"<p>Scenarios that only {side} has:</p>{_some([escape(printable(name)) for name in names])}"
        for side, names in zip("AB", found.only, strict=True)
        if names
    )
    return (_some(items) if items else "<p>Nothing got worse.</p>") + only


def _scenario(one: Scenario, data: dict[str, Any], margin: float) -> str:
    out = [f"<p>{escape(printable(text))}</p>" for text in how_text(one, margin)]
    if one.changed:
        out.append(f"<h3>What was changed</h3>{_some([escape(printable(text)) for text in one.changed])}")
    if one.verdicts:
        rows = [
            [
                Cell(escape(change.whose)),
                Cell(escape(change.before)),
                Cell(escape(change.after)),
                Cell("worse" if change.worse else "not worse", "bad" if change.worse else ""),
            ]
            for change in one.verdicts[:ROWS_MAX]
        ]
        out.append(
            f"<h3>Verdicts that differ</h3>{table('Verdicts that differ', ['of', 'A', 'B', 'that is'], rows)}"
        )
    if one.expectations:
        told = [_expectation(each) for each in one.expectations[:ROWS_MAX]]
        heads = ["expectation", "A", "B", "change", "held"]
        out.append(
            f"<h3>Expectations</h3>{table('What was measured, as the mean over the runs', heads, told)}"
        )
    out += [
        f"<p>{len(every) - ROWS_MAX} more {what} aren't shown here.</p>"
        for every, what in ((one.verdicts, "verdicts"), (one.expectations, "expectations"))
        if len(every) > ROWS_MAX
    ]
    out.append(_figures(one, data, margin))
    return "".join(out)


def _expectation(told: ExpectationChange) -> list[Cell]:
    return [
        Cell(f"<code>{escape(told.expression)}</code>", "long"),
        number(value_text(told.before, told.unit)),
        number(value_text(told.after, told.unit)),
        number(ratio_text(told) or "-"),
        number(held_text(told)),
    ]


def _figures(one: Scenario, data: dict[str, Any], margin: float) -> str:
    """Tables of those that differ, by group."""
    changes = {change.name: change for change in one.figures}
    figures, equal, left = data["figures"], data["figures_equal"], data["figures_left_out"]
    factor = forest.reach(figures, margin)
    out = [_key(one, margin)] if figures else []
    for group, title in GROUPS.items():
        rows = [
            _row(each, changes[each["figure"]], factor, margin) for each in figures if each["group"] == group
        ]
        out.append(f"<h3>{title}</h3>{_forest(title, rows, factor)}" if rows else "")
    out.append(f"<p>{number_of(equal, 'other figure')} equal on both sides.</p>" if equal else "")
    out.append(
        f"<p>{number_of(left, 'more figure')} that differ by less, not shown here.</p>" if left else ""
    )
    for side, names in zip("AB", one.only, strict=True):
        if names:
            out.append(
                f"<p>Figures that only {side} has:</p>{_some([escape(printable(name)) for name in names])}"
            )
    return "".join(out)


def _key(one: Scenario, margin: float) -> str:
    """What the pictures of figures mean."""
    marks = [("FAIL", "worse"), ("PASS", "better"), ("UNSURE", "beyond the margin, and not told from noise")]
    items = "".join(f"<li>{sample(shape)}{words}</li>" for shape, words in marks)
    lines = " A line reaches from the least to the most change of any pair." if one.paired else ""
    return (
        f"<h3>Figures that differ</h3><p>B against A: the mark is the change of the mean, the grey band "
        f"the margin of {escape(show_ratio(margin))}.{lines} A small dot is a change within the margin, "
        f'an arrow one that lies beyond the axis or has no ratio.</p><ul class="legend">{items}</ul>'
    )


def _row(one: dict[str, Any], change: Change, factor: float, margin: float) -> list[Cell]:
    before, after = change_texts(change)
    words = f"{ratio_text(change) or 'no ratio'}, {mark_text(change) or 'within the margin'}"
    return [
        Cell(escape(printable(change.name))),
        Cell(forest.row(one, factor, margin, escape(words))),
        number(before),
        number(after),
        number(ratio_text(change) or "-"),
        number(chance_text(change)),
        Cell(escape(mark_text(change) or "within the margin"), _KINDS[change.mark]),
    ]


def _forest(title: str, rows: list[list[Cell]], factor: float) -> str:
    """A table whose second head is the axis."""
    heads = ["figure", "AXIS", "A", "B", "change", "chance", "that is"]
    made = table(f"{title}: A, B, and the change from A to B", heads, rows)
    return made.replace(">AXIS<", f">{forest.axis(factor)}<", 1)


def _repeat(found: Difference, data: dict[str, Any]) -> str:
    names = [
        escape(
            printable(
                f"{one.name}: {number_of(len(one.before), 'run')} and {number_of(len(one.after), 'run')}"
            )
        )
        for one in found.scenarios
    ]
    left = data["scenarios_left_out"]
    more = f"<p>{number_of(left, 'scenario')} that got worse less have no section here.</p>" if left else ""
    return command_html("The same comparison again:", data["command"]) + _some(names) + more

"""A difference as Markdown, for a pull request: a headline, what got worse and better, the rest folded away.

Belongs here: Markdown, and escaping what users have named. Never: words that the console says, too (told.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from twinloop.scenarios.evidence.diff.changes import Change, Difference, Mark, Scenario
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
from twinloop.scenarios.text.errors import printable

_SPECIAL = re.compile(r"([\\`*_\[\]#|<>~&@$])")


def literal(text: str) -> str:
    """Text that Markdown shows as it is, on one line: in a table's cell, in HTML, and without calling
    anybody."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[1])};", printable(" ".join(text.split())))


def markdown(difference: Difference) -> str:
    """The whole text."""
    lines = [f"### twinloop diff: {literal(headline(difference))}", ""]
    lines += [f"- **{literal(text)}**" for text in difference.errors]
    findings = [(one, text) for one in difference.scenarios for text in one.findings]
    lines += [f"- **{literal(one.name)}**: {literal(text)}" for one, text in findings]
    if lines[-1]:
        lines.append("")
    rows = [
        (one.name, *_figure(change))
        for mark in (Mark.REGRESSION, Mark.IMPROVEMENT)
        for one in difference.scenarios
        for change in one.marked(mark)
    ]
    if rows:
        lines += _table(("scenario", "figure", "A", "B", "change", "chance", ""), rows)
    for one in difference.scenarios:
        lines += _details(one, difference.margin)
    for side, names in zip("AB", difference.only, strict=True):
        if names:
            lines += [f"Only {side} has: {literal(', '.join(names))}.", ""]
    lines.append(f"A: {literal(', '.join(difference.before))}; B: {literal(', '.join(difference.after))}")
    return "\n".join(lines) + "\n"


def _details(one: Scenario, margin: float) -> list[str]:
    lines = [f"<details><summary>{literal(one.name)}</summary>", ""]
    lines += [literal(text) for text in how_text(one, margin)] + [""]
    told = [f"changed: {text}" for text in one.changed]
    told += [f"verdict of {change.whose}: {change.before} -> {change.after}" for change in one.verdicts]
    if told:
        lines += [*(f"- {literal(text)}" for text in told), ""]
    if one.expectations:
        lines += _table(
            ("expectation", "A", "B", "change", "held"),
            [
                (
                    each.expression,
                    value_text(each.before, each.unit),
                    value_text(each.after, each.unit),
                    ratio_text(each),
                    held_text(each),
                )
                for each in one.expectations
            ],
        )
    figures = [change for change in one.figures if change.before != change.after]
    if figures:
        lines += _table(("figure", "A", "B", "change", "chance", ""), [_figure(change) for change in figures])
    else:
        lines += ["No figure differs.", ""]
    return [*lines, "</details>", ""]


def _figure(change: Change) -> tuple[str, ...]:
    return (
        change.name,
        *change_texts(change),
        ratio_text(change),
        chance_text(change),
        mark_text(change),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *(tuple(map(literal, row)) for row in rows)]
    return [*("| " + " | ".join(cell or " " for cell in line) + " |" for line in lines), ""]

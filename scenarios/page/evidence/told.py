"""What pages about many runs have in common: limits, values, what was run, on which machine.

Belongs here: reading entries and summaries of the result document. Never: figures that aren't in them.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from html import escape
from typing import Any

from twinloop.scenarios.evidence.seeds_report import unit_text
from twinloop.scenarios.judging.expressions import ExpressionError, parse
from twinloop.scenarios.page.charts import Value
from twinloop.scenarios.page.evidence.marks import kind
from twinloop.scenarios.page.figures import allowed
from twinloop.scenarios.page.tables import Cell
from twinloop.scenarios.report.console import value_text

PICTURES_MAX = 20
"""expectations that have a picture, on one page: those that hold least often"""


def limit_of(expression: str) -> dict[str, Any] | None:
    """What an expectation allows: ``value`` in the unit of what is measured, and its ``text``; None where
    that can't be read from it."""
    try:
        one = parse(expression)
    except ExpressionError:  # of a phase that ``recover_within`` speaks of, written for people
        return None
    if one.within_ns is not None:
        return {"value": one.within_ns, "text": f"within {value_text(one.within_ns, 'ns', '')}"}
    return {"value": one.bound, "text": allowed(one)}


def figure(row: dict[str, Any], name: str) -> Value:
    """A figure of a summary's expectation, ``never`` for one later than any bound."""
    value: Value = row[name]
    return "never" if value is None and row["never"] else value


def value_words(expression: str, value: Value, unit: str) -> str:
    """A value for people."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else unit_text(expression, value, unit)


def verdict_cell(verdict: str) -> Cell:
    """A cell with a verdict."""
    return Cell(escape(verdict), kind(verdict))


def chosen(rows: Sequence[dict[str, Any]]) -> list[int]:
    """Which expectations have a picture, in their order."""
    ranked = sorted(range(len(rows)), key=lambda i: (rows[i]["held"], i))
    return sorted(ranked[:PICTURES_MAX])


def command_of(summary: dict[str, Any], entries: Sequence[dict[str, Any]]) -> str:
    """The command that runs all these seeds again; empty where no seed was run."""
    reproduce = next((one["reproduce"] for one in entries if one.get("reproduce")), "")
    parts = shlex.split(reproduce)
    if "--seed" not in parts:
        return ""
    at = parts.index("--seed")
    parts[at : at + 2] = ["--seeds", summary["asked"]]
    parts += ["--require", summary["require"]] if summary["require"] else []
    return shlex.join([*parts, "--shard", summary["shard"]] if summary["shard"] else parts)


def run_of(entries: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """What decides the runs beside their seeds, name and text; of what differs between them that it does."""
    found: dict[str, dict[str, None]] = {}
    for entry in entries:
        if entry["kind"] == "result":
            for name, one in entry["bands"].items():
                found.setdefault(f"board of {name}", {})[str(one["board"])] = None
            for what in ("component", "recording"):
                for name, digest in entry[f"{what}s"].items():
                    found.setdefault(f"{what} {name}", {})[str(digest)] = None
    return [
        (name, text if len(texts) == 1 else "differs between the runs")
        for name, texts in found.items()
        for text in [next(iter(texts))]
    ]


def share_bar(row: dict[str, Any]) -> str:
    """The share as a bar, its interval as a line."""
    low, high = (100 * share for share in row["interval"])
    share = 100 * row["held"] / row["seeds"] if row["seeds"] else 0
    return (
        '<svg class="share" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="whole" width="100" height="14"/><rect class="part" width="{share:.2f}" height="14"/>'
        f'<line x1="{low:.2f}" x2="{max(high, low + 0.5):.2f}" y1="7" y2="7"/></svg>'
    )


def terms(pairs: Sequence[tuple[str, str]]) -> str:
    """Names with texts, as a list."""
    items = "".join(f"<dt>{escape(name)}</dt><dd><code>{escape(text)}</code></dd>" for name, text in pairs)
    return f"<dl>{items}</dl>" if items else ""


def command_html(words: str, command: str) -> str:
    """A command to copy, and what it does."""
    return f"<p>{escape(words)}</p><pre><code>{escape(command)}</code></pre>"


def machine_of(entries: Sequence[dict[str, Any]]) -> str:
    """What is of these machines and this time alone."""
    results = [one for one in entries if one["kind"] == "result"]
    wall_s = sum(float(one["run"]["wall_s"]) for one in results)
    versions: dict[str, dict[str, None]] = {}
    for one in results:
        for name, text in one["versions"].items():
            versions.setdefault(name, {})[str(text)] = None
    named = ", ".join(f"{name} {' and '.join(texts)}" for name, texts in versions.items())
    return f"All runs together took {wall_s:.2f} s of wall time. Versions: {named or 'unknown'}."

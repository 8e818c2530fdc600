"""Findings for people and for programs: the table, a sentence for each claim, the JSON document.

Belongs here: words and columns. Never: what a verdict follows from (claim.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import twinloop
from twinloop.scenarios.claims.claim import KEPT, Figure, Finding, Verdict, shown
from twinloop.scenarios.claims.measured import measured
from twinloop.scenarios.claims.workbench import machine
from twinloop.sim.kernel.histogram import NEVER

FORMAT = 1
"""of the document; it counts up when a key changes its meaning"""
_STYLES = {
    Verdict.TRUE: "bold green",
    Verdict.FALSE: "bold red",
    Verdict.DEPENDS: "bold yellow",
    Verdict.OPEN: "dim",
}
_WIDTH = 150
"""columns of the table where no terminal says how wide it is"""
_UNWRAPPED = 1000


def by_quantity(figures: Sequence[Figure]) -> dict[str, list[Figure]]:
    """Figures of each quantity, in the order in which quantities came."""
    found: dict[str, list[Figure]] = {}
    for one in figures:
        found.setdefault(one.what, []).append(one)
    return found


def measured_text(figures: Sequence[Figure]) -> str:
    """What was measured of a quantity: here, and by make claims (marked so)."""
    parts = [one.text + (" (kept)" if one.where == KEPT else "") for one in figures if one.measured]
    return ", ".join(parts) or "-"


def modelled_text(figures: Sequence[Figure]) -> str:
    """What is modelled of a quantity: the one figure with its band, or the least and the largest with what
    all bands span."""
    found = sorted((one for one in figures if not one.measured and one.value is not None), key=_value)
    if not found:
        return "-"
    first, last = found[0], found[-1]
    if first.text == last.text:
        where = f" {first.where}" if len({one.where for one in found}) == 1 else ""
        return f"{first.text}{where}"
    lows, highs = [_end(one, one.low) for one in found], [_end(one, one.high) for one in found]
    ends = [shown(_value(one), one.unit) for one in (first, last)]
    names = [first.where, last.where]
    if names[0] == names[1]:  # one board: its host programs make the difference
        names = [f"{one.where} under {one.host}" if one.host else one.where for one in (first, last)]
    text = ends[0] if ends[0] == ends[1] else f"{ends[0]} {names[0]} to {ends[1]} {names[1]}"
    spans = [shown(min(lows), first.unit), shown(max(highs), first.unit)]
    return text if spans == ends else f"{text}; bands {spans[0]} to {spans[1]}"


def _value(figure: Figure) -> float:
    return figure.value or 0.0


def _end(figure: Figure, end: float | None) -> float:
    return _value(figure) if end is None else end


def tell(console: Console, findings: Sequence[Finding]) -> None:
    """The table, then a sentence or two for each claim."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("claim", ratio=4, overflow="fold")
    table.add_column("measured here", ratio=2, overflow="fold")
    table.add_column("modelled", ratio=4, overflow="fold")
    table.add_column("verdict", min_width=12)
    for finding in findings:
        style = _STYLES[finding.verdict]
        table.add_row(
            f"[bold]{escape(finding.claim.words)}[/]", "", "", f"[{style}]{finding.verdict.value}[/]"
        )
        for what, figures in by_quantity(finding.figures).items():
            bound = figures[0].bound.text(figures[0].unit)
            quantity = f"{what}: {bound}" if bound else what
            table.add_row(f"  {escape(quantity)}", measured_text(figures), modelled_text(figures), "")
    if console.width >= _UNWRAPPED:
        console = Console(file=console.file, width=_WIDTH)
    console.print(table)
    console.print()
    for finding in findings:
        style = _STYLES[finding.verdict]
        text = f"{escape(finding.claim.words)}: [{style}]{finding.verdict.value}[/]. {escape(finding.why)}"
        console.print(text, soft_wrap=True)
    kept = measured()
    console.print(
        f"\n[dim](kept): measured by `make claims`, {kept['machine']}, {kept['date']}. Modelled figures were "
        f"not measured on a board; their bands hold 90 % of cases.[/]",
        soft_wrap=True,
    )


def document(findings: Sequence[Finding], date: str | None = None) -> dict[str, Any]:
    """The content of ``--json``: docs/claims.md describes it."""
    kept = measured()
    return {
        "format": FORMAT,
        "twinloop": twinloop.__version__,
        "machine": machine(),
        "date": date or dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "kept": {"machine": kept["machine"], "date": kept["date"]},
        "claims": [entry(one) for one in findings],
    }


def entry(finding: Finding) -> dict[str, Any]:
    """One claim of the document."""
    claim = finding.claim
    return {
        "id": claim.id,
        "claim": claim.words,
        "source": claim.source,
        "verdict": finding.verdict.value,
        "why": finding.why,
        "figures": [_figure(one) for one in finding.figures],
    }


def _figure(one: Figure) -> dict[str, Any]:
    found: dict[str, Any] = {
        "what": one.what,
        "where": one.where,
        "kind": "measured" if one.measured else "modelled",
        "value": _number(one.value),
        "unit": one.unit,
        "at_least": one.bound.least,
        "at_most": one.bound.most,
        "holds": one.holds.value,
        "text": one.text,
        "how": one.how,
    }
    if not one.measured:
        found.update(low=_number(one.low), high=_number(one.high), host=one.host)
    return found


def _number(value: float | None) -> float | str | None:
    """As JSON has it: what never ends is the word ``never``; of a fraction six digits."""
    if value is None:
        return None
    return "never" if value >= NEVER else float(f"{value:.6g}")

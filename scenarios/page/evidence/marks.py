"""How a verdict looks: a shape and a letter, and a colour beside them.

Belongs here: shapes, letters, their legend. Never: where a mark stands (dots.py), the words of a verdict.
"""

from __future__ import annotations

from html import escape

from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.page.charts import short
from twinloop.scenarios.page.sections import KINDS
from twinloop.scenarios.report.total import ERROR

LETTERS = {
    Verdict.PASS.value: "P",
    Verdict.UNSURE.value: "U",
    Verdict.UNSTABLE.value: "S",
    Verdict.FAIL.value: "F",
    Verdict.NO_DATA.value: "N",
    Verdict.INVALID.value: "I",
    Verdict.ABORTED.value: "A",
    Verdict.BROKEN.value: "B",
    ERROR: "E",
}
"""in the order of a legend"""
_ORDER = list(LETTERS)


def kind(verdict: str) -> str:
    """The class of style.css that colours it."""
    return KINDS.get(verdict, "doubt")


def mark(verdict: str, x: float, y: float, r: float, colour: str = "") -> str:
    """A shape around a point: circle PASS, cross FAIL, triangle UNSTABLE, open diamond UNSURE, open square
    NO-DATA, plus ABORTED, full diamond INVALID, triangle on its point BROKEN, full square for an error.
    ``r``: half its size; ``colour``: in place of its own."""
    at, up = short(x), short(y)
    of = f'class="m {colour or kind(verdict)}"'
    half, whole = short(r), short(2 * r)
    if verdict == Verdict.PASS:
        return f'<circle {of} cx="{at}" cy="{up}" r="{half}"/>'
    if verdict == Verdict.FAIL:
        return f'<path {of} d="M{short(x - r)} {short(y - r)}l{whole} {whole}m0 -{whole}l-{whole} {whole}"/>'
    if verdict == Verdict.UNSTABLE:
        return f'<path {of} d="M{at} {short(y - r)}l{half} {whole}h-{whole}z"/>'
    if verdict == Verdict.BROKEN:
        return f'<path {of} d="M{at} {short(y + r)}l{half} -{whole}h-{whole}z"/>'
    if verdict == Verdict.ABORTED:
        return f'<path {of} d="M{short(x - r)} {up}h{whole}M{at} {short(y - r)}v{whole}"/>'
    if verdict in (Verdict.UNSURE, Verdict.INVALID):
        opened = " open" if verdict == Verdict.UNSURE else ""
        shape = f"M{at} {short(y - r)}l{half} {half}l-{half} {half}l-{half} -{half}z"
        return f'<path class="m{opened} {colour or kind(verdict)}" d="{shape}"/>'
    opened = " open" if verdict == Verdict.NO_DATA else ""
    return (
        f'<rect class="m{opened} {kind(verdict)}" x="{short(x - r)}" y="{short(y - r)}" width="{whole}" '
        f'height="{whole}"/>'
    )


def sample(verdict: str) -> str:
    """One alone, for a legend."""
    return f'<svg viewBox="0 0 14 12" class="mark" aria-hidden="true">{mark(verdict, 7, 6, 4)}</svg>'


def legend(verdicts: list[str]) -> str:
    """Which shape and letter each of these verdicts has, as items of a list."""
    found = sorted(dict.fromkeys(verdicts), key=_ORDER.index)
    return "".join(f"<li>{sample(one)}{LETTERS[one]}: {escape(one)}</li>" for one in found)

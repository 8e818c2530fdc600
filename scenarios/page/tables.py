"""Tables that can be read on a phone and by a screen reader: a caption, heads with a scope, a frame that
scrolls.

Belongs here: rows and cells as HTML. Never: what stands in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Cell:
    """``html`` is put in as it is: whoever makes a cell has escaped it. ``kind``: a class of style.css."""

    html: str
    kind: str = ""


def number(text: str) -> Cell:
    """A cell with a figure, as plain text."""
    return Cell(escape(text), "n")


def table(caption: str, heads: list[str], rows: list[list[Cell]]) -> str:
    """A table; the first cell of each row is its head. Columns of figures have their heads at the right,
    too."""
    kinds = [cell.kind for cell in rows[0]] if rows else [""] * len(heads)
    top = "".join(
        f'<th scope="col"{_kind("n" if kind == "n" else "")}>{escape(head)}</th>'
        for head, kind in zip(heads, kinds, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(_cell(cell, place) for place, cell in enumerate(row))}</tr>\n" for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def bar(share: float) -> str:
    """A share as a bar; its figure stands beside it."""
    return (
        '<svg class="bar" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{max(0.0, min(1.0, share)) * 100:.2f}" height="12"/></svg>'
    )


def _cell(cell: Cell, place: int) -> str:
    if place == 0:
        return f'<th scope="row"{_kind(cell.kind)}>{cell.html}</th>'
    return f"<td{_kind(cell.kind)}>{cell.html}</td>"


def _kind(kind: str) -> str:
    return f' class="{kind}"' if kind else ""

"""Spots: things on a pane that have something behind them, and the cursor that stands on one.

Belongs here: where the cursor goes, and how it is drawn over a pane's lines. Never: what lies behind a spot
(screens/), keys (terminal/).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from rich.text import Text

from twinloop.tui.drawing.text import HEAD

_THROUGH = " ·╌┊"
"""signs that an upright cursor is drawn in the place of"""


@dataclass(frozen=True, slots=True)
class Spot:
    """Cells of a pane, from ``x0`` up to ``x1``, on the lines ``y`` to ``y1``. ``target``: what is behind
    them; ``says``: the same in words. One of several lines is upright: an instant of a curve."""

    target: Hashable
    says: str
    y: int
    x0: int
    x1: int
    y1: int = -1

    @property
    def upright(self) -> bool:
        """Is it an instant of a curve?"""
        return self.y1 > self.y and self.x1 == self.x0 + 1

    @property
    def last(self) -> int:
        """Its last line."""
        return max(self.y, self.y1)


def at(spots: Sequence[Spot], x: int, y: int) -> Spot | None:
    """The one that lies there; beside an instant of a curve the nearest."""
    found = next((one for one in spots if one.x0 <= x < one.x1 and one.y <= y <= one.last), None)
    upright = [one for one in spots if one.upright and one.y <= y <= one.last]
    return found or min(upright, key=lambda one: abs(one.x0 - x), default=None)


def step(spots: Sequence[Spot], here: int, dx: int, dy: int) -> int:
    """Where the cursor is after a step: left and right go through them in order, up and down to the nearest
    of the next line that has any."""
    if not spots:
        return 0
    here = max(0, min(here, len(spots) - 1))
    if dx or spots[here].upright:
        return max(0, min(len(spots) - 1, here + dx + (0 if dx else dy)))
    place = spots[here]
    lines = sorted({one.y for one in spots if (one.y - place.y) * dy > 0}, reverse=dy < 0)
    if not lines:
        return here
    line = lines[min(abs(dy), len(lines)) - 1]
    beside = [i for i, one in enumerate(spots) if one.y == line]
    return min(beside, key=lambda i: abs(spots[i].x0 - place.x0))


def overlay(lines: Sequence[Text], spot: Spot, width: int) -> list[Text]:
    """The lines with the cursor on a spot: turned round, or an upright line."""
    out = [*lines]
    for y in range(spot.y, min(spot.last + 1, len(out))):
        line = out[y].copy()
        line.pad_right(max(0, min(spot.x1, width) - line.cell_len))
        if spot.upright and line.plain[spot.x0 : spot.x1] in _THROUGH and spot.x1 <= len(line.plain):
            line = Text.assemble(line[: spot.x0], ("│", HEAD), line[spot.x1 :])
        else:
            line.stylize("reverse", spot.x0, spot.x1)
        out[y] = line
    return out

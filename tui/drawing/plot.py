"""Curves over time with their axes, a limit, shaded stretches, where now is, and a hand that reads values.

Belongs here: from values to cells. Never: what is plotted (screens/). Braille signs have two by four dots a
cell, so a curve has eight times as many places as there are cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

from twinloop.tui.drawing.look import BAD, LATE
from twinloop.tui.drawing.text import DIM, HEAD, cells_text, fit

LABEL = 8
"""cells of a figure of the vertical axis"""
LOG_FROM = 30.0
"""the most in times of the least from which the vertical axis is logarithmic"""
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Unicode's order of the dots of a braille sign, by row and column"""
_STEPS = (1.0, 2.0, 5.0)
DASHES = (
    (True,),
    (True, True, True, False, False, False),
    (True, False),
    (True, True, True, False, True, False),
)
"""which columns of dots a curve has, again and again: no curve is told by its colour alone"""
STYLES = ("cyan", "blue", "white", "magenta")
"""of the curves of one plot; as many as there are DASHES"""
CURVES_MAX = len(DASHES)


@dataclass(frozen=True, slots=True)
class Axes:
    """What a curve is drawn in: from ``from_ns`` to ``to_ns`` (any whole numbers); ``show`` says a value and
    ``clock`` an instant in words; ``limit`` is a line across (NaN: none); ``shades`` are stretches (from,
    to); ``hand_ns`` is where now is (-1: nowhere)."""

    from_ns: int
    to_ns: int
    show: Callable[[float], str]
    clock: Callable[[int], str]
    limit: float = math.nan
    shades: tuple[tuple[int, int], ...] = ()
    hand_ns: int = -1
    from_zero: bool = False
    """does an axis that isn't logarithmic begin at 0?"""
    reddens: bool = True
    """is what lies above the limit bad? Not where the limit is for a part of what is plotted"""
    style: str = "cyan"
    hand_at: float = math.nan
    """where values are read (``value_at``), as ``from_ns``; NaN: nowhere"""
    alongside: tuple[float, ...] = ()
    """values of another curve that is drawn on the same scale"""


@dataclass(frozen=True, slots=True)
class Curve:
    """One of several in a plot: (when, how much; NaN: nothing), and its number, which says its dashes and its
    style, 0 to CURVES_MAX - 1."""

    name: str
    values: Sequence[tuple[int, float]]
    number: int = 0

    @property
    def sign(self) -> str:
        """Three cells of it, for a legend."""
        return "".join(
            chr(0x2800 + sum(_DOTS[2][i] for i in (0, 1) if self.dotted(x + i))) for x in (0, 2, 4)
        )

    @property
    def style(self) -> str:
        """Its colour."""
        return STYLES[self.number]

    def dotted(self, x: int) -> bool:
        """Has it dots in that column of dots?"""
        dashes = DASHES[self.number]
        return dashes[x % len(dashes)]


def value_at(values: Sequence[tuple[int, float]], at: float) -> float:
    """What a curve says of an instant: each value holds until the next one begins; NaN before the first."""
    found = math.nan
    for begins, value in values:
        if begins > at:
            break
        found = value
    return found


def lines(values: Sequence[tuple[int, float]], axes: Axes, width: int, height: int) -> list[Text]:
    """One curve of ``values``: (when, how much; NaN: nothing). ``height`` lines, the time axis below."""
    return curves([Curve("", values)], axes, width, height)


def curves(some: Sequence[Curve], axes: Axes, width: int, height: int) -> list[Text]:
    """Several, of which the first has the axes' style; where two share a cell it has the first one's."""
    wide, high = width - LABEL - 1, height - 2
    known = [value for one in some for _, value in one.values if math.isfinite(value)]
    if wide < 8 or high < 2 or not known:
        said = "nothing yet" if not known else "a larger window shows the curve"
        return [Text(said, style=DIM)][:height]
    low, high_value = _span([*known, *axes.alongside], axes)
    place = _placed(low, high_value, high * 4)
    drawn = [(one.style if one.number else axes.style, _dots(one, axes, place, wide, high)) for one in some]
    labels = _labels(low, high_value, place, high, axes.show)
    shaded = _shaded(axes, wide)
    now = _column(axes.hand_ns, axes, wide) if axes.hand_ns >= 0 else -1
    hand = _column(round(axes.hand_at), axes, wide) if math.isfinite(axes.hand_at) else -1
    limit_row = high - 1 - place(axes.limit) // 4 if low <= axes.limit <= high_value else -1
    rows = []
    for y in range(high):
        line = Text(f"{labels.get(y, ''):>{LABEL}}", style=DIM)
        line.append("┤" if y in labels else "│", DIM)
        cells = []
        for x in range(wide):
            mask, style = _cell(drawn, x, y)
            if mask:
                over = axes.reddens and limit_row >= 0 and y < limit_row
                cells.append((chr(0x2800 + mask), BAD.style if over else style))
            elif x == hand:
                cells.append(("╎", f"{HEAD} cyan"))
            elif x == now:
                cells.append(("┊", HEAD))
            elif y == limit_row:
                cells.append(("╌", LATE.style))
            else:
                cells.append(("·" if shaded[x] and (x + y) % 2 else " ", LATE.style))
        cells_text(cells, line)
        if limit_row == y:
            word = " limit "
            start = len(line.plain) - len(word)
            line = Text.assemble(line[:start], (word, LATE.style))
        rows.append(line)
    return [*rows, *_time_axis(axes, wide, now, hand)]


def _cell(drawn: Sequence[tuple[str, list[list[int]]]], x: int, y: int) -> tuple[int, str]:
    """The dots of all curves there, and the style of the first that has some."""
    mask, found = 0, ""
    for style, dots in drawn:
        if dots[y][x]:
            mask |= dots[y][x]
            found = found or style
    return mask, found


def place_of(at_ns: int, axes_from_ns: int, axes_to_ns: int, width: int) -> int:
    """The cell, from the left of the pane, in which an instant lies."""
    axes = Axes(axes_from_ns, axes_to_ns, str, str)
    return LABEL + 1 + _column(at_ns, axes, max(1, width - LABEL - 1))


def _span(known: list[float], axes: Axes) -> tuple[float, float]:
    """The least and the most that the axis shows: the limit is on it, too, unless it is far away."""
    limit = axes.limit
    some = [*known, limit] if math.isfinite(limit) and limit < 20 * max(known) else known
    low, high = min(some), max(some)
    if low > 0 and high / low >= LOG_FROM:
        return low, high
    if axes.from_zero and low >= 0:
        return 0.0, (high or 1.0) * 1.05
    if low == high:
        return low - 1.0, high + 1.0
    gap = high / 20 - low / 20
    around = low - gap, high + gap
    return around if all(map(math.isfinite, around)) else (low, high)


def _placed(low: float, high: float, dots: int) -> Callable[[float], int]:
    """Value -> dot from the bottom."""
    if low > 0 and high / low >= LOG_FROM:
        base, span = math.log(low), math.log(high) - math.log(low)
        return lambda value: max(
            0, min(dots - 1, round((math.log(max(value, low)) - base) / span * (dots - 1)))
        )
    half = high / 2 - low / 2 or 1.0  # halves: the whole may be more than a float
    return lambda value: max(0, min(dots - 1, round((value / 2 - low / 2) / half * (dots - 1))))


def _dots(curve: Curve, axes: Axes, place: Callable[[float], int], wide: int, high: int) -> list[list[int]]:
    """Cells as masks of dots; neighbours are joined."""
    cells = [[0] * wide for _ in range(high)]

    def put(x: int, dot: int) -> None:
        row = high - 1 - dot // 4
        cells[row][x // 2] |= _DOTS[3 - dot % 4][x % 2]

    last: tuple[int, int] | None = None
    for at_ns, value in curve.values:
        if not math.isfinite(value):
            last = None
            continue
        x, dot = _column(at_ns, axes, wide * 2), place(value)
        from_x, here = last or (x, dot)
        for step in range(from_x, x + 1):
            share = (step - from_x) / (x - from_x) if x > from_x else 1.0
            start = dot if last is None else last[1]
            there = round(start + (dot - start) * share)
            if curve.dotted(step) or last is None:
                for between in range(min(here, there), max(here, there) + 1):
                    put(step, between)
            here = there
        last = x, dot
    return cells


def _column(at_ns: int, axes: Axes, wide: int) -> int:
    whole = max(1, axes.to_ns - axes.from_ns)
    return max(0, min(wide - 1, (at_ns - axes.from_ns) * (wide - 1) // whole))


def _shaded(axes: Axes, wide: int) -> list[bool]:
    out = [False] * wide
    for from_ns, to_ns in axes.shades:
        if to_ns < axes.from_ns or from_ns > axes.to_ns:
            continue
        for x in range(_column(from_ns, axes, wide), _column(to_ns, axes, wide) + 1):
            out[x] = True
    return out


def _labels(
    low: float, high: float, place: Callable[[float], int], rows: int, show: Callable[[float], str]
) -> dict[int, str]:
    """Row -> a round value that lies on it; at least a row apart."""
    logarithmic = low > 0 and high / low >= LOG_FROM
    some: list[float] = []
    if logarithmic:
        exponent = math.floor(math.log10(low))
        while exponent <= math.log10(high):
            some += [step * 10.0**exponent for step in _STEPS]
            exponent += 1
    else:
        span = high / 2 - low / 2
        size = 10.0 ** math.floor(math.log10(span or 1.0))
        step = next(
            (s * size for s in (0.2, 0.5, 1.0, 2.0) if span / (s * size) <= max(1, rows // 4)), 2.0 * size
        )
        first = math.ceil(low / step)
        some = [(first + i) * step for i in range(min(200, int(high / step - low / step) + 1))]
    out: dict[int, str] = {}
    for value in sorted(filter(math.isfinite, some), key=lambda one: (not _round(one), one)):
        row = rows - 1 - place(value) // 4
        if low <= value <= high and not any(near in out for near in (row - 1, row, row + 1)):
            out[row] = fit(show(value), LABEL).rstrip()
    return out


def _round(value: float) -> bool:
    """A power of ten is shown rather than its double."""
    return value > 0 and abs(math.log10(value) - round(math.log10(value))) < 1e-9


def _time_axis(axes: Axes, wide: int, now: int, hand: int) -> list[Text]:
    ticks = max(2, wide // 16 + 1)
    rule, words = ["─"] * wide, [" "] * wide
    for i in range(ticks):
        at_ns = axes.from_ns + (axes.to_ns - axes.from_ns) * i // (ticks - 1)
        x, text = _column(at_ns, axes, wide), axes.clock(at_ns)
        rule[x] = "┴"
        start = max(0, min(wide - len(text), x - len(text) // 2))
        words[start : start + len(text)] = text
    if now >= 0:
        rule[now] = "▲"
    if hand >= 0:
        rule[hand] = "△"
    return [
        Text(" " * LABEL + "└" + "".join(rule), style=DIM),
        Text(" " * (LABEL + 1) + "".join(words), style=DIM),
    ]

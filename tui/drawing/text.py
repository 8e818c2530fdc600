"""Words, bars and curves in cells of a terminal.

Belongs here: figures to short text of a known width. Never: what is shown (screens/), what a state looks like
(look.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from rich.text import Text

from twinloop.scenarios.text.units import show_duration, show_size
from twinloop.sim.kernel.histogram import NEVER
from twinloop.tui.drawing import look

BARS = " ▁▂▃▄▅▆▇█"
OK, BAD, WARN, DIM, HEAD = look.GOOD.style, look.BAD.style, look.LATE.style, look.OFF.style, "bold"
VERDICT_STYLES = {name: token.style for name, token in look.VERDICTS.items()}
VERDICT_MARKS = {name: token.sign for name, token in look.VERDICTS.items()}


def fit(text: str, width: int) -> str:
    """Cut with an ellipsis, or padded."""
    if width <= 0:
        return ""
    return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"


def row(cells: Sequence[tuple[str, int]], style: str = "") -> Text:
    """Cells (text, width; negative: to the right) with a blank between."""
    shown = [
        fit(text, width) if width >= 0 else fit(text, -width) if len(text) > -width else text.rjust(-width)
        for text, width in cells
    ]
    return Text(" ".join(shown), style=style, no_wrap=True, overflow="crop")


def cells_text(cells: Iterable[tuple[str, str]], into: Text | None = None) -> Text:
    """Cells (sign, style) as text; neighbours of one style are one piece, which is what drawing costs."""
    out = Text("") if into is None else into
    for style, some in groupby(cells, key=itemgetter(1)):
        out.append("".join(sign for sign, _ in some), style)
    return out


def part(lines: Sequence[Text], first: int, height: int) -> list[Text]:
    """Those from ``first`` on that there is room for; below them how many more there are."""
    if len(lines) <= height:
        return list(lines)
    first = min(first, len(lines) - height)
    left = len(lines) - first - height
    if not left:
        return list(lines[first:])
    return [*lines[first : first + height - 1], Text(f"{left + 1} more lines: down, page down", style=DIM)]


def time_text(ns: int) -> str:
    """An instant or a length, -1 for unknown, NEVER for never."""
    return "-" if ns == -1 else "never" if ns >= NEVER else show_duration(ns)


def beside(parts: Sequence[Text], width: int, most: int) -> list[Text]:
    """Parts one beside the other, as many on a line as there is room for, on so many lines at most: the last
    one is cut."""
    out: list[Text] = []
    for part in parts:
        if out and (len(out) == most or out[-1].cell_len + 2 + part.cell_len <= width):
            out[-1] = Text.assemble(out[-1], "  ", part)
        else:
            out.append(part)
    for line in out:
        line.truncate(width, overflow="ellipsis")
    return out


def clock_text(ns: int) -> str:
    """Simulated time: 1:02:03.456."""
    sign, ms = ("-", -ns // 1_000_000) if ns < 0 else ("", ns // 1_000_000)
    seconds, ms = divmod(ms, 1000)
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"


def count_text(count: int) -> str:
    """A count in at most seven cells: 12.3 k, 4.56 M."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= 10 * size or (count >= size > 1000):
            return f"{count / size:.3g} {unit}" if count < 1000 * size else f"{count // size} {unit}"
    return str(count)


def rate_text(per_s: float) -> str:
    """Points a second."""
    return "0" if per_s == 0 else f"{per_s:.3g}" if per_s < 1000 else count_text(round(per_s))


def size_text(value_bytes: int) -> str:
    """A size."""
    return show_size(value_bytes)


def bar(share: float, width: int) -> str:
    """A horizontal bar, 0 to 1."""
    full = round(max(0.0, min(1.0, share)) * width)
    return "█" * full + "·" * (width - full)


def sparkline(values: Sequence[float], width: int) -> str:
    """The last ``width`` values, between their least and their most."""
    some = [value for value in values[-width:] if value - value == 0.0]
    if not some:
        return " " * width
    low, span = min(some), max(some) / 2 - min(some) / 2
    marks = [BARS[4] if not span else BARS[1 + round((value / 2 - low / 2) / span * 7)] for value in some]
    return "".join(marks).rjust(width)


def curve(values: Sequence[float], width: int, height: int) -> list[str]:
    """A curve of ``height`` lines, the most on top; blanks where there is nothing (NaN)."""
    some = list(values[-width:])
    finite = [value for value in some if value - value == 0.0]
    if not finite or height < 1:
        return [" " * width for _ in range(max(1, height))]
    low, high = min(finite), max(finite)
    span = (high / 2 - low / 2) or 1.0  # halves: the whole may be more than a float
    lines = []
    for level in range(height - 1, -1, -1):
        cells = []
        for value in some:
            if value - value != 0.0:
                cells.append(" ")
                continue
            eighths = (value / 2 - low / 2) / span * (8 * height - 1) + 1 - 8 * level
            cells.append(BARS[max(0, min(8, round(eighths)))])
        lines.append("".join(cells).rjust(width))
    return lines


def number(value: float | None) -> str:
    """A reading."""
    return "-" if value is None else "NaN" if value - value != 0.0 else f"{value:.6g}"

"""Words, bars and curves in cells of a terminal.

Belongs here: figures to short text of a known width. Never: what is shown (screens/), colours of a theme
(app.tcss): styles are names of Textual's.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.terminal_theme import TerminalTheme
from rich.text import Text

from twinloop.scenarios.text.units import show_duration, show_size
from twinloop.sim.kernel.histogram import NEVER

BARS = " ▁▂▃▄▅▆▇█"
OK, BAD, WARN, DIM, HEAD = "green", "red", "yellow", "dim", "bold"
ON_DARK = TerminalTheme(
    (18, 18, 18),
    (224, 224, 224),
    [
        (0, 0, 0),
        (255, 60, 60),
        (60, 230, 60),
        (240, 240, 60),
        (90, 130, 255),
        (230, 100, 230),
        (60, 225, 235),
        (224, 224, 224),
    ],
)
ON_LIGHT = TerminalTheme(
    (255, 255, 255),
    (32, 32, 32),
    [
        (0, 0, 0),
        (200, 0, 0),
        (0, 125, 0),
        (135, 120, 0),
        (0, 0, 190),
        (140, 0, 140),
        (0, 120, 130),
        (96, 96, 96),
    ],
)
"""black, red, green, yellow, blue, magenta, cyan, white: of 16 colours the nearest is the one that has the
name"""
VERDICT_STYLES = {
    "PASS": OK,
    "FAIL": BAD,
    "NO-DATA": WARN,
    "UNSURE": WARN,
    "BROKEN": BAD,
    "ABORTED": WARN,
    "INVALID": BAD,
}
VERDICT_MARKS = {"PASS": "✓", "FAIL": "✗", "NO-DATA": "?", "UNSURE": "~"}


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


def time_text(ns: int) -> str:
    """An instant or a length, -1 for unknown, NEVER for never."""
    return "-" if ns == -1 else "never" if ns >= NEVER else show_duration(ns)


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

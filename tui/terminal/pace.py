"""How fast the clock may go, and how often the screen is drawn.

Belongs here: figures, and when the next redraw is. Never: the clock (engine.py).
"""

from __future__ import annotations

from fractions import Fraction

SPEEDS = tuple(
    Fraction(text)
    for text in ("0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50", "100", "200", "500", "1000")
)
"""simulated time in times of the wall's"""
FASTEST_S, SLOWEST_S = 1 / 15, 1 / 4
"""between two redraws: as often as drawing allows"""
DRAW_SHARE = 0.3
"""of the time that drawing may take"""
LATE_NS = 100_000_000
"""behind the pace (p99) from which it is said"""


class Redraws:
    """Slower when drawing is slow."""

    def __init__(self) -> None:
        self.interval_s = FASTEST_S
        """between two redraws"""
        self._drawing_s = 0.0
        """what drawing has taken since the last"""

    def spent(self, seconds: float) -> None:
        """On drawing a pane."""
        self._drawing_s += seconds

    def next_s(self) -> float:
        """How long until the next redraw."""
        self.interval_s = max(FASTEST_S, min(SLOWEST_S, self._drawing_s / DRAW_SHARE))
        self._drawing_s = 0.0
        return self.interval_s

"""The witness of a device whose showing nobody knows.

Belongs here: that one; witnesses who know something begin with it. Never: what is made of what is known
(truth.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twinloop.sim.cloud.messages import Command
    from twinloop.sim.truth.truth import Shown, Truth


class Nobody:
    """There is no witness."""

    asks_later = False
    absent = 0

    def begin(self) -> None:
        """Nothing."""

    def at(self, which: int) -> None:
        """Nothing."""

    def exactly(self) -> dict[int, float]:
        """Nothing is."""
        return {}

    def shown(self, index: int) -> list[Shown] | None:
        """Nobody knows."""
        return None

    def texts(self, index: int) -> list[str | None] | None:
        """Nobody knows."""
        return None

    def valueless(self, index: int, status: int) -> bool:
        """Then the driver is to blame."""
        return False

    def holds(self, index: int, ordered: float) -> tuple[float, bool, str] | None:
        """Nobody knows."""
        return None

    def likely(self, index: int, value: float) -> str:
        """Nothing known."""
        return ""

    def read_later(
        self, truth: Truth, k: int, readings: list[tuple[int, float, bool]], empty: list[int]
    ) -> None:
        """Nobody will."""

    def texts_later(self, truth: Truth, k: int, texts: list[tuple[int, str, bool]]) -> None:
        """Nobody will."""

    def wrote_later(self, truth: Truth, command: Command) -> None:
        """Nobody will."""

"""Errors that are ours: a broken invariant. Guests' faults are values (components.outcome), users' are ScenarioError."""

from __future__ import annotations


class InvariantError(AssertionError):
    """A promise that twinloop makes of itself is broken; the verdict is BROKEN. ``args`` is the one text (SimPy rebuilds it)."""

    def __init__(self, text: str) -> None:
        super().__init__(text)

"""Errors that are ours: a broken invariant. Guests' faults are values (components.outcome), users' are
ScenarioError."""

from __future__ import annotations


class DeviceRefused(Exception):
    """A device can't be made as it is described: its author's mistake. ``args`` = (device, text)."""


class InvariantError(AssertionError):
    """A promise that twinloop makes of itself is broken; the verdict is BROKEN. ``args`` is the one text
    (SimPy rebuilds it)."""

    def __init__(self, text: str) -> None:
        super().__init__(text)

"""What has become of a slot's instances before.

Belongs here: what is remembered of them. Never: what follows from it (supervisor.py).
"""

from __future__ import annotations


class History:
    """What the supervisor remembers of a slot: when its last faults were, and how long it waited after the
    last."""

    __slots__ = ("backoff_ns", "faults")

    def __init__(self) -> None:
        self.faults: list[int] = []
        self.backoff_ns = 0

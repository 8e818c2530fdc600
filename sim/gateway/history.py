"""What has become of a slot's instances before.

Belongs here: what is remembered of them. Never: what follows from it (supervisor.py).
"""

from __future__ import annotations


class History:
    """What the supervisor remembers of a slot: when its last faults were, how long it waited after the last,
    and for how many memories of today's instance there were addresses."""

    __slots__ = ("backoff_ns", "faults", "reserved")

    def __init__(self) -> None:
        self.faults: list[int] = []
        self.backoff_ns = 0
        self.reserved = 0

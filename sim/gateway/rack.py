"""The rack of a gateway: its slots, each with its component's instance, and those of an upgrade beside them.

Belongs here: which slot serves where. Never: when one is brought up (supervisor.py) or called (pipeline.py).
"""

from __future__ import annotations

from twinloop.sim.gateway.slot import Slot


class Rack:
    """Of one gateway. ``transform`` and ``policy`` serve all its devices; each driver's slot is its
    poller's."""

    transform: Slot
    policy: Slot

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self.staged: list[Slot] = []
        """of an upgrade under way: new instances before their swap, old ones after it"""

    def all(self) -> list[Slot]:
        """Those that serve, and those that are staged."""
        return [*self.slots, *self.staged]

    def reprice(self) -> None:
        """The board's prices have changed."""
        for slot in self.all():
            slot.reprice()

    def close(self) -> None:
        """Release all instances."""
        for slot in self.all():
            slot.drop()

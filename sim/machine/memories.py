"""The linear memories of a gateway's instances: for how many there are addresses, and which of a pool's were
used before.

Belongs here: counting memories. Never: their bytes (budget.py), what a pool reserves (model/pool.py), what
follows when there is none (gateway/supervisor.py).
"""

from __future__ import annotations

from typing import Protocol

from twinloop.sim.model.pool import Pool


class Guest(Protocol):
    """What is asked of a component: the SHA-256 of its bytes, and how many memories an instance has."""

    sha256: str
    memories: int


class Memories:
    """Of one gateway. ``most``: so many find addresses; None: that isn't what limits them. ``pool``: they are
    taken out of one, whose size is ``most``."""

    def __init__(self, most: int | None = None, pool: Pool | None = None) -> None:
        self.most, self.pool = (most if pool is None else pool.memories), pool
        self.each_bytes = None if pool is None else pool.memory_bytes
        """the most that one of them may have; None: no such limit"""
        self.used = 0
        """memories of all instances"""
        self._left: dict[str, int] = {}
        """component, by the SHA-256 of its bytes -> memories that its instances have left in the pool: the
        next ones get these"""

    def take(self, guest: Guest) -> int:
        """Memories for an instance of a component, all or none; returns how many there are."""
        sha256, count = guest.sha256, guest.memories
        if self.most is not None and self.used + count > self.most:
            return 0
        self.used += count
        if self.pool is not None:
            self._left[sha256] = max(0, self._left.get(sha256, 0) - count)
            self._forget(sum(self._left.values()) - (self.pool.memories - self.used))
        return count

    def _forget(self, count: int) -> None:
        """So many of those that were left, if that is more than none, went to another component."""
        for sha256, left in self._left.items():
            gone = min(left, max(0, count))
            self._left[sha256] = left - gone
            count -= gone

    def give_back(self, guest: Guest, count: int) -> None:
        """An instance is gone, and with it so many memories."""
        self.used -= count
        if self.pool is not None:
            self._left[guest.sha256] = self._left.get(guest.sha256, 0) + count

    def again(self, guest: Guest) -> bool:
        """Would an instance of that component get memories that earlier ones have left?"""
        return self._left.get(guest.sha256, 0) >= guest.memories

    def end_life(self) -> None:
        """The process is gone: the next one makes a new pool."""
        self._left.clear()

    def why_none(self) -> tuple[str, str]:
        """(what is used up, in words) when an instance gets no memory."""
        if self.pool is None:
            return "addresses", "the board has no addresses left for its memory"
        return "pool", f"the gateway's pool has no memory left for it: all {self.most} are taken"

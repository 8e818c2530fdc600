"""Things happen in the order of their instants; at one instant, in the order in which they were planned.

Belongs here: a list of what will happen. Never: what that is.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from typing import Any

Price = Callable[[], int]
"""what the next step of the gateway's own costs, in ns"""
Waiting = Generator[Callable[[Callable[[Any], None]], None], Any, Any]
"""a story: each ``yield`` hands out a function that is given what to call, with a value, when it goes on"""


CLOSE_NS = 1_000_000
"""two events that lie so near to each other may come in the other order: a few steps of a gateway's differ by
less"""


class Timeline:
    """``at`` plans, ``run`` lets it happen, ``tell`` runs a story. ``close_calls``: how often the order of
    two events that are nearer than CLOSE_NS decided something: then nothing should be claimed."""

    def __init__(self) -> None:
        self.close_calls = 0
        self.now = -(10**15)
        self._plans: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: int, what: Callable[[], None]) -> None:
        """Plan; what lies in the past happens next."""
        self._count += 1
        heapq.heappush(self._plans, (max(when, self.now), self._count, what))

    def compare(self, one_ns: int, other_ns: int) -> None:
        """What comes of it depends on which of the two is earlier."""
        self.close_calls += abs(one_ns - other_ns) < CLOSE_NS

    def run(self, until: int) -> None:
        """Everything up to and at that instant."""
        while self._plans and self._plans[0][0] <= until:
            self.now, _, what = heapq.heappop(self._plans)
            what()
        self.now = until

    def tell(self, story: Waiting) -> None:
        """Go on with a story until its end."""

        def go_on(value: Any = None) -> None:
            try:
                wait = story.send(value)
            except StopIteration:
                return
            wait(go_on)

        go_on()

    def pause(self, lasts_ns: int) -> Callable[[Callable[[Any], None]], None]:
        """For a story: wait so long."""
        return lambda go_on: self.at(self.now + lasts_ns, lambda: go_on(None))

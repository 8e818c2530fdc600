"""Expectations over time, as far as a run has come.

Belongs here: listening to a world for what its expectations' curves need, and for nothing else. Never: curves
of their own (they are those of the report page, scenarios/page/watched.py), what is said of them
(expectation_view.py).
"""

from __future__ import annotations

from functools import partial

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.page.series import Series
from twinloop.scenarios.page.watched import Curve, Watched
from twinloop.sim.world import World

GAUGES = ("backlog", "gateway.cpu", "gateway.memory")
"""metrics whose curves need looks at the gateways while the run goes on"""


class Followed(Series):
    """Of one world that hasn't run; listens for what its expectations need, and for nothing else."""

    def __init__(self, world: World, expectations: list[Expectation]) -> None:
        self._gauges = any(one.metric in GAUGES for one in expectations)
        super().__init__(world)
        self._expectations = expectations
        self._curves = Watched(self, expectations)

    def _listen(self) -> None:
        if not self._gauges:
            return
        world = self.world
        world.latencies.watch_windows(False, self._noticed, lambda *_: None)
        world.ends.on_end.append(self._ended)
        world.on_happened.append(self._happened)
        for gateway, waiting in zip(world.gateways, self.waiting, strict=True):
            gateway.outbox.on_backlog.append(partial(self._backlog, waiting))

    def _noticed(self, device: int, points: int, total_ns: int, due_ns: int) -> None:
        if self.world.env.now >= self._next_ns:
            self._look()

    def count(self) -> int:
        """Windows so far."""
        return self.windows.number(max(0, self.world.env.now)) + 1

    def curve(self, number: int) -> Curve | None:
        """Of one expectation, as far as the run has come; None: it has none."""
        make = self._curves.made(number)
        return None if make is None else make()

"""When samples are due: phase + k * period, for each k before the duration's end. Opens rows and hands them to whoever polls.

Belongs here: due instants. Never: who polls (poller.py). All devices of one period lie on the timeline as ONE entry, the
next of them: a thousand entries that are due within a second make every other event dearer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.clock import START, Environment, Occurrence
from sim.ledger import Ledger
from sim.spec import DeviceSpec
from sim.trace import Trace

if TYPE_CHECKING:
    from sim.poller import Poller


class Plan:
    """One device's samples, opened whether or not anybody polls."""

    __slots__ = ("_index", "_k", "_ledger", "_mask", "_trace", "first_cycle", "offset_ns", "period_ns", "pollers")

    def __init__(self, ledger: Ledger, trace: Trace, index: int, spec: DeviceSpec) -> None:
        self._ledger, self._trace, self._index = ledger, trace, index
        self.period_ns = spec.poll_ns
        self.first_cycle, self.offset_ns = divmod(spec.phase_ns, spec.poll_ns)
        self._mask = (1 << len(spec.model.points)) - 1
        self._k = 0
        self.pollers: list[Poller] = []

    def due(self, now_ns: int) -> None:
        """A sample is due."""
        k = self._k
        self._k = k + 1
        row = self._ledger.open_row(self._index, k, now_ns, self._mask, len(self.pollers))
        self._trace.add((now_ns, "due", self._index, k))
        for poller in self.pollers:
            poller.due(row)


class Round(Occurrence):
    """The plans of one period, in the order in which they are due within it."""

    __slots__ = ("_at", "_cycle", "_duration_ns", "_env", "_plans", "_starts_ns")

    def __init__(self, env: Environment, plans: list[Plan], duration_ns: int) -> None:
        self._env, self._duration_ns = env, duration_ns
        self._plans = sorted(plans, key=lambda plan: plan.offset_ns)  # stable: at one instant in the order of devices
        self._at, self._cycle, self._starts_ns = 0, 0, 0
        if self._plans[0].offset_ns < duration_ns:
            env.expect(self._plans[0].offset_ns, self, START)

    def happen(self) -> None:
        """The next plan is due; a device with a phase of several periods isn't yet in the first of them."""
        plans, at = self._plans, self._at
        if self._cycle >= plans[at].first_cycle:
            plans[at].due(self._env._now)
        at += 1
        if at == len(plans):
            at = 0
            self._cycle += 1
            self._starts_ns += plans[0].period_ns
        self._at = at
        due_ns = self._starts_ns + plans[at].offset_ns
        if due_ns < self._duration_ns:
            self._env.expect(due_ns, self, START)


def put_on_timeline(env: Environment, plans: list[Plan], duration_ns: int) -> None:
    """One round for each period, in the order of first mention."""
    of_period: dict[int, list[Plan]] = {}
    for plan in plans:
        of_period.setdefault(plan.period_ns, []).append(plan)
    for some in of_period.values():
        Round(env, some, duration_ns)

"""When samples are due: phase + k * period, for each k before the duration's end. Opens rows and hands them
to whoever polls.

Belongs here: due instants. Never: who polls (poller.py). All devices of one period lie on the timeline as ONE
entry, the next of them: a thousand entries that are due within a second make every other event dearer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twinloop.sim.accounts.ledger import Ledger, due_instants
from twinloop.sim.accounts.rows import End, Row, SharedRow
from twinloop.sim.kernel.clock import START, Environment, Occurrence
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.model.spec import DeviceSpec


class Taker(Protocol):
    """Who is told of samples that are due: one gateway's poller."""

    @property
    def takes(self) -> bool:
        """Its gateway reads its devices now."""
        ...

    @property
    def leads(self) -> bool:
        """What it reads is handed on."""
        ...

    @property
    def up(self) -> bool:
        """Its gateway is."""
        ...

    def due(self, row: Row) -> None:
        """A sample is due now."""
        ...


class SampleSchedule:
    """One device's samples, opened whether or not anybody polls."""

    __slots__ = (
        "_env",
        "_every_ns",
        "_hurries",
        "_index",
        "_k",
        "_ledger",
        "_mask",
        "_pauses",
        "_published_ns",
        "_trace",
        "duration_ns",
        "first_cycle",
        "hurried",
        "news",
        "news_points",
        "offset_ns",
        "period_ns",
        "pollers",
        "source",
        "stretches",
    )

    def __init__(
        self,
        *,
        env: Environment,
        ledger: Ledger,
        trace: Trace,
        index: int,
        spec: DeviceSpec,
        duration_ns: int,
    ) -> None:
        self._env, self._ledger, self._trace, self._index = env, ledger, trace, index
        self.duration_ns = duration_ns
        self.period_ns = spec.poll_ns
        self.first_cycle, self.offset_ns = divmod(spec.phase_ns, spec.poll_ns)
        self._mask = sum(1 << i for i, point in enumerate(spec.table.points) if point.readable)
        ledger.asked[index] &= self._mask
        self._published_ns = 0 if spec.subscribed is None else spec.subscribed.publishing_ns
        self._every_ns = spec.poll_ns + self._published_ns
        """the period that holds now; what is published meets its verdict a publishing interval later"""
        self._k = 0
        self.pollers: list[Taker] = []
        self.source: Callable[[int], None] | None = None
        """told of each k that is due after those who want it: a device that speaks by itself does so now"""
        self.news: Callable[[int], int] | None = None
        """which points are due at an instant (None: all)"""
        self.news_points = 0
        self._hurries: list[int] = []
        self._pauses = 0
        self.hurried: _Hurry | None = None
        """the faster (or slower) plan that holds now instead of its own, or one by which nothing is due"""
        self.stretches: list[tuple[int, int, int]] = [(spec.phase_ns, spec.poll_ns, 0)]
        """(phase, period, from when): what held since when, for the closed form; a period of 0: nothing was
        due"""

    def hurry(self, period_ns: int) -> Callable[[], None]:
        """From now on due every ``period_ns``, at the same share of a period as before; the last of several
        holds. Returns what ends it."""
        self._hurries.append(period_ns)
        self._switch()

        def over() -> None:
            self._hurries.remove(period_ns)
            self._switch()

        return over

    def pause(self) -> Callable[[], None]:
        """From now on nothing is due, whatever else holds. Returns what ends it; of several the last to
        end."""
        self._pauses += 1
        self._switch()

        def over() -> None:
            self._pauses -= 1
            self._switch()

        return over

    def _switch(self) -> None:
        now = self._env.now
        if self.hurried is not None:
            self.hurried.ended = True
            self.hurried = None
        if self._pauses:
            self.stretches.append((0, 0, now))
            # whose first sample is never due
            self.hurried = _Hurry(self._env, self, self.duration_ns, self.period_ns)
            return
        self._every_ns = (self._hurries[-1] if self._hurries else self.period_ns) + self._published_ns
        if not self._hurries:
            self.stretches.append((self.first_cycle * self.period_ns + self.offset_ns, self.period_ns, now))
            return
        period_ns = self._hurries[-1]
        offset_ns = self.offset_ns * period_ns // self.period_ns
        self.stretches.append((offset_ns, period_ns, now))
        self.hurried = _Hurry(
            self._env, self, offset_ns + -((offset_ns - now) // period_ns) * period_ns, period_ns
        )

    def closed_form(self) -> int:
        """How many samples are due in the whole run, from the plan alone."""
        total = 0
        for i, (phase_ns, period_ns, since_ns) in enumerate(self.stretches):
            until_ns = self.stretches[i + 1][2] if i + 1 < len(self.stretches) else self.duration_ns
            until_ns = min(until_ns, self.duration_ns)
            if since_ns < until_ns and period_ns:
                total += due_instants(phase_ns, period_ns, until_ns) - due_instants(
                    phase_ns, period_ns, since_ns
                )
        return total

    def samples(self) -> int:
        """How many instants there were so far; of news alone there may be instants at which nothing was
        due."""
        return self._k

    def closed_points(self) -> int:
        """How many points are due in the whole run: by the closed form; of news what was counted where it
        arose."""
        return self.closed_form() * self._mask.bit_count() if self.news is None else self.news_points

    def due(self, now_ns: int) -> None:
        """A sample is due."""
        k = self._k
        self._k = k + 1
        self._tell(k, now_ns)
        if self.source is not None:
            self.source(k)

    def _tell(self, k: int, now_ns: int) -> None:
        mask = self._mask
        if self.news is not None:
            mask = self.news(now_ns)
            self._ledger.asked[self._index] |= mask
            self.news_points += mask.bit_count()
            if not mask:
                return
        pollers = self.pollers
        if len(pollers) == 1:
            index, add = self._index, self._trace.add
            row = self._ledger.open_row(index, k, now_ns, mask, self._every_ns)
            add((now_ns, "due", index, k))
            pollers[0].due(row)
            return
        takers = [poller for poller in pollers if poller.takes]
        if not takers and self.source is not None and self.news is None:
            takers = pollers[:1]  # it may be kept for that gateway until it is back
        row = self._ledger.open_row(self._index, k, now_ns, mask, self._every_ns, max(1, len(takers)))
        self._trace.add((now_ns, "due", self._index, k))
        if isinstance(row, SharedRow):
            for poller, share in zip(takers, row.shares, strict=True):
                share.led = poller.leads
            for poller, share in zip(takers, row.shares, strict=True):
                poller.due(share)
        elif takers:
            takers[0].due(row)
        else:
            down = any(not poller.up for poller in pollers)
            self._ledger.close(row, row.open, End.MISSED, "gateway-down" if down else "no-active")


class _Hurry(Occurrence):
    """A plan of its own for one device, while it lasts."""

    __slots__ = ("_at_ns", "_env", "_period_ns", "_plan", "ended")

    def __init__(self, env: Environment, plan: SampleSchedule, first_ns: int, period_ns: int) -> None:
        self._env, self._plan, self._period_ns, self._at_ns = env, plan, period_ns, first_ns
        self.ended = False
        if first_ns < plan.duration_ns:
            env.expect(first_ns, self, START)

    def happen(self) -> None:
        if self.ended:
            return
        self._plan.due(self._at_ns)
        self._at_ns += self._period_ns
        if self._at_ns < self._plan.duration_ns:
            self._env.expect(self._at_ns, self, START)


class Round(Occurrence):
    """The plans of one period, in the order in which they are due within it."""

    __slots__ = ("_at", "_cycle", "_duration_ns", "_env", "_plans", "_starts_ns")

    def __init__(self, env: Environment, plans: list[SampleSchedule], duration_ns: int) -> None:
        self._env, self._duration_ns = env, duration_ns
        # stable: at one instant in the order of devices
        self._plans = sorted(plans, key=lambda plan: plan.offset_ns)
        self._at, self._cycle, self._starts_ns = 0, 0, 0
        if self._plans[0].offset_ns < duration_ns:
            env.expect(self._plans[0].offset_ns, self, START)

    def happen(self) -> None:
        """The next plan is due; a device with a phase of several periods isn't yet in the first of them."""
        plans, at = self._plans, self._at
        if self._cycle >= plans[at].first_cycle and plans[at].hurried is None:
            plans[at].due(self._env.now)
        at += 1
        if at == len(plans):
            at = 0
            self._cycle += 1
            self._starts_ns += plans[0].period_ns
        self._at = at
        due_ns = self._starts_ns + plans[at].offset_ns
        if due_ns < self._duration_ns:
            self._env.expect(due_ns, self, START)


def put_on_timeline(env: Environment, plans: list[SampleSchedule], duration_ns: int) -> None:
    """One round for each period, in the order of first mention."""
    of_period: dict[int, list[SampleSchedule]] = {}
    for plan in plans:
        of_period.setdefault(plan.period_ns, []).append(plan)
    for some in of_period.values():
        Round(env, some, duration_ns)

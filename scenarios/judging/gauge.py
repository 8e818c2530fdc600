"""Gauges that are watched while a run goes on: how soon after an event they are as expected, or whether they
ever aren't.

Belongs here: backlog and what is stuck, over time. Never: values that are measured when the run has ended
(measure.py, windows.py).
"""

from __future__ import annotations

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.judged import Judged
from twinloop.scenarios.judging.run import Run
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.text.words import number_of
from twinloop.sim.cloud.messages import Message
from twinloop.sim.kernel.histogram import NEVER
from twinloop.sim.trouble.stuck import LOOK_EVERY_NS, stuck

NAMED_MAX = 5
"""of what is stuck, by name"""


class GaugeWatch:
    """``backlog == 0 within 60 s after heal cloud``, ``stuck == 0 within 30 s after phase heal``, ``never
    backlog > 1000``.

    A backlog tells when it changes; what is stuck is looked for every LOOK_EVERY_NS while somebody waits.
    After an event it isn't over as long as a message that was on its way then hasn't arrived: a session that
    is dead, and hasn't noticed, has an empty store.
    """

    def __init__(self, world: Run, expectation: Expectation) -> None:
        self._world, self._expectation = world, expectation
        keys = dict(expectation.keys)
        self._gateways = [g for g in world.gateways if keys.get("gateway") in (None, g.name)]
        self._since: list[int] = []
        self._took: list[int] = []
        self._broken_ns: int | None = None
        self._worst = 0
        self._stuck: list[str] = []
        """what was stuck when the span ended"""
        self._on_their_way: list[Message] = []
        """sent before the event, and not acknowledged by then"""
        self._looks = expectation.metric == "stuck"
        self._looking = False
        if not self._looks:
            for gateway in self._gateways:
                gateway.outbox.on_backlog.append(self._changed)
        world.on_happened.append(self._happened)
        if expectation.never:
            world.env.call_at(0, self._look if self._looks else self._changed, *([] if self._looks else [0]))

    def _value(self) -> int:
        if self._looks:
            return len(self._stuck_now())
        self._on_their_way = [message for message in self._on_their_way if message.mask & message.row.open]
        return max(gateway.outbox.backlog for gateway in self._gateways) + len(self._on_their_way)

    def _stuck_now(self) -> list[str]:
        flying = {
            id(message) for gateway in self._gateways for message in gateway.outbox.uplink.unacknowledged()
        }
        self._on_their_way = [
            message
            for message in self._on_their_way
            if message.mask & message.row.open and id(message) in flying
        ]
        afoot = (
            [
                number_of(
                    len(self._on_their_way),
                    "message that was sent before hasn't arrived",
                    "messages that were sent before haven't arrived",
                )
            ]
            if self._on_their_way
            else []
        )
        return stuck(self._world, self._gateways) + afoot

    def _happened(self, event: str) -> None:
        if event == self._expectation.event:
            now = self._world.env.now
            self._since.append(now)
            if self._expectation.within_ns is not None:
                self._on_their_way += [
                    message
                    for gateway in self._gateways
                    for message in gateway.outbox.uplink.unacknowledged()
                ]
            if self._looks and not self._looking:
                # when all that belongs to this instant's event has happened
                self._world.env.call_in(0, self._look)
                self._looking = True
            elif not self._looks:
                self._changed(0)

    def _look(self) -> None:
        """Look, and again later: while a span runs, or for as long as a never lasts."""
        self._changed(0)
        within = self._expectation.within_ns
        self._looking = within is None or bool(self._since)
        if within is not None and self._since and self._world.env.now - self._since[0] >= within:
            self._stuck = self._stuck_now()
            self._looking = False
        if self._looking and not self._world.finished:
            self._world.env.call_in(LOOK_EVERY_NS, self._look)

    def _changed(self, _: int) -> None:
        value, now = self._value(), self._world.env.now
        self._worst = max(self._worst, value)
        holds = self._expectation.holds(value)
        if self._expectation.never:
            if holds and now >= 0 and self._broken_ns is None:
                self._broken_ns = now
            return
        if holds and self._since:
            self._took += [now - since for since in self._since]
            self._since.clear()

    def pending(self) -> bool:
        """Still waiting for the gauge after an event."""
        limit = self._expectation.within_ns
        return limit is not None and any(self._world.env.now - since <= limit for since in self._since)

    def judged(self) -> Judged:
        """The verdict at the end."""
        expectation = self._expectation
        if expectation.never:
            verdict = Verdict.PASS if self._broken_ns is None else Verdict.FAIL
            why = "" if self._broken_ns is None else f"first at {self._broken_ns / 1e9:g} s"
            return Judged(expectation, verdict, self._worst, why)
        if self._since:
            return Judged(expectation, Verdict.FAIL, NEVER, self._what_is_left())
        if not self._took:
            return Judged(expectation, Verdict.NO_DATA, None, f'"{expectation.event}" did not happen')
        longest = max(self._took)
        late = longest > (expectation.within_ns or 0)
        return Judged(
            expectation,
            Verdict.FAIL if late else Verdict.PASS,
            longest,
            "later than the span" if late else "",
        )

    def _what_is_left(self) -> str:
        watched = self._world.env.now - self._since[0]
        span = (
            ""
            if watched >= (self._expectation.within_ns or 0)
            else f", {watched / 1e9:g} s after the event: the run ended before the span did"
        )
        if not self._looks:
            return f"{self._value()} {self._expectation.metric} at the end{span}"
        left = self._stuck or self._stuck_now()
        more = f" and {len(left) - NAMED_MAX} more" if len(left) > NAMED_MAX else ""
        return f"stuck: {'; '.join(left[:NAMED_MAX])}{more}{span}"

"""A trial: for a while after a swap the new components are watched, and the first sign that they are worse
ends it.

Belongs here: what is looked at, and the bounds that aren't in the scenario. Never: what follows
(upgrades.py). Looked at are this gateway's own polls of the devices concerned, whether or not it leads a
pair: how many came to nothing (could not begin, or ended without a verdict) beside what was usual before, how
many were over later than the author wants it; and faults, those during the swap included.
"""

from __future__ import annotations

from math import sqrt

from twinloop.sim.accounts.rows import Row
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.clock import Event
from twinloop.sim.model.spec import UpgradeSpec
from twinloop.sim.upgrade.swap import Swap

TRIAL_LATE = 0.05
"""share of polls that may be over later than ``latency``"""
SIGMAS = 2.0
"""by which chance may depart from what was usual: one in twenty does"""
POLLS_MIN = 20
"""polls from which a share says something before the time is up"""


class Trial:
    """``over`` fires with the cause for which to go back, or an empty one when the time is up."""

    def __init__(self, gateway: Gateway, spec: UpgradeSpec, swap: Swap) -> None:
        self._gateway, self._spec, self._swap = gateway, spec, swap
        self._began_ns = gateway.machine.env.now
        self._dark = dict.fromkeys(poller.index for poller in swap.pollers if poller.came_to_nothing)
        """devices whose last poll before the trial came to nothing: that theirs do so now says nothing of the
        new version"""
        self._before = {
            poller.index: sum(poller.recent) / len(poller.recent) if poller.recent else 0.0
            for poller in swap.pollers
        }
        """device -> share of its last polls that came to nothing, with the old version"""
        self._expected = self._variance = 0.0
        self.polls = self.failed = self.late = 0
        self.detail = ""
        """what it was, in words"""
        self.done = Event(gateway.machine.env)
        self.finished = False
        swap.on_fault = self._fault
        for poller in swap.pollers:
            poller.on_poll = self._polled
        gateway.machine.env.call_in(spec.trial_ns, self._end, "")
        if swap.faults:
            self._fault(swap.last_fault)

    def _fault(self, cause: str) -> None:
        if self._swap.faults > self._spec.faults:
            self.detail = f"{self._swap.faults} faults, the last {cause}"
            # when what this fault leads to has happened
            self._gateway.machine.env.call_in(0, self._end, "faults")

    def _polled(self, row: Row) -> None:
        """A poll is over, or couldn't begin."""
        if row.due_ns < self._began_ns or self.finished:
            return
        if row.device in self._dark:
            if not row.carried:
                return
            del self._dark[row.device]
        self.polls += 1
        share = self._before[row.device]
        self._expected += share
        self._variance += share * (1.0 - share)
        self.failed += not row.carried
        self.late += (
            bool(row.carried)
            and self._spec.latency_ns is not None
            and self._gateway.machine.env.now - row.due_ns > self._spec.latency_ns
        )
        cause = self._worse() if self.polls >= POLLS_MIN else ""
        if cause:
            self._gateway.machine.env.call_in(0, self._end, cause)

    def _worse(self) -> str:
        """What the polls say until now."""
        if self.failed - self._usual() > self._spec.failures * self.polls:
            self.detail = f"{self.failed} of {self.polls} polls came to nothing"
            return "failures"
        if self._spec.latency_ns is not None and self.late > TRIAL_LATE * self.polls:
            self.detail = (
                f"{self.late} of {self.polls} polls were over later than {self._spec.latency_ns / 1e6:g} ms"
            )
            return "latency"
        return ""

    def _usual(self) -> float:
        """So many would have come to nothing with the old version, too; where that is by chance, up to so
        many."""
        return self._expected + SIGMAS * sqrt(self._variance)

    def _end(self, cause: str) -> None:
        if self.finished:
            return
        if not cause:  # the time is up: now every poll says something, and who isn't ready has failed
            dark = self._swap.dark()
            if dark:
                cause, self.detail = "faults", f"{dark} at the end of the trial"
            else:
                cause = self._worse()
        self.stop()
        self.done.fire(cause)

    def stop(self) -> None:
        """Nothing is watched any more."""
        self.finished = True
        self._swap.on_fault = None
        for poller in self._swap.pollers:
            poller.on_poll = None

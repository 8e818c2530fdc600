"""A trial: for a while after a swap the new components are watched, and the first sign that they are worse ends it.

Belongs here: what is looked at, and the bounds that aren't in the scenario. Never: what follows (ota.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.clock import S, Signal
from sim.spec import UpgradeSpec

if TYPE_CHECKING:
    from sim.gateway import Gateway
    from sim.swap import Swap

TRIAL_LATE = 0.05
"""share of verdicts that may come later than ``latency``"""
VERDICTS_MIN = 20
"""verdicts, or polls, from which a share says something"""
LOOK_NS = S
"""how often polls that came to nothing are counted"""


class Trial:
    """``over`` fires with the cause for which to go back, or an empty one when the time is up."""

    def __init__(self, gateway: Gateway, spec: UpgradeSpec, swap: Swap) -> None:
        self._gateway, self._spec, self._swap, self._pollers = gateway, spec, swap, swap.pollers
        self._began_ns = gateway.env._now
        self.faults = self.verdicts = self.late = 0
        self.detail = ""
        """what it was, in words"""
        self.over = Signal(gateway.env)
        self.finished = False
        self._devices = dict.fromkeys(poller.index for poller in gateway.pollers)
        self._polls, self._failed = self._counts()
        swap.on_fault = self._fault
        if spec.latency_ns is not None:
            gateway.latencies.watch_windows(False, self._see, self._never)
        gateway.env.call_in(spec.trial_ns, self._end, "")
        gateway.env.call_in(LOOK_NS, self._look)

    def _counts(self) -> tuple[int, int]:
        return sum(poller.polls - (poller.row is not None) for poller in self._pollers), sum(poller.failed for poller in self._pollers)

    def _fault(self, cause: str) -> None:
        self.faults += 1
        if self.faults > self._spec.faults:
            self.detail = f"{self.faults} faults, the last {cause}"
            self._gateway.env.call_in(0, self._end, "faults")  # when what this fault leads to has happened

    def _see(self, device: int, points: int, total_ns: int, due_ns: int) -> None:
        if device not in self._devices or due_ns < self._began_ns or self.finished:
            return
        assert self._spec.latency_ns is not None
        self.verdicts += 1
        self.late += total_ns > self._spec.latency_ns
        if self._slow():
            self._gateway.env.call_in(0, self._end, "latency")

    def _slow(self, at_least: int = VERDICTS_MIN) -> bool:
        if self._spec.latency_ns is None or self.verdicts < at_least or self.late <= TRIAL_LATE * self.verdicts:
            return False
        self.detail = f"{self.late} of {self.verdicts} verdicts came later than {self._spec.latency_ns / 1e6:g} ms"
        return True

    def _never(self, device: int, points: int, due_ns: int) -> None:
        """What never came to a verdict is counted as a poll that failed, or as a fault."""

    def _look(self) -> None:
        if self.finished:
            return
        if self._failing():
            self._end("failures")
        else:
            self._gateway.env.call_in(LOOK_NS, self._look)

    def _failing(self, at_least: int = VERDICTS_MIN) -> bool:
        polls, failed = self._counts()
        polls, failed = polls - self._polls, failed - self._failed
        if polls < at_least or failed <= self._spec.failures * polls:
            return False
        self.detail = f"{failed} of {polls} polls came to nothing"
        return True

    def _end(self, cause: str) -> None:
        if self.finished:
            return
        if not cause:  # the time is up: now every poll says something
            cause = "failures" if self._failing(at_least=1) else "latency" if self._slow(at_least=1) else ""
        self.stop()
        self.over.fire(cause)

    def stop(self) -> None:
        """Nothing is watched any more."""
        self.finished = True
        self._swap.on_fault = None
        self._gateway.latencies.watch_no_more(self._see)

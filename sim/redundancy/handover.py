"""Handover: what a hot standby has read and must not send yet, for as long as it may still have to.

Belongs here: holding, letting go of what is too old, sending all of it at a promotion. Never: who leads
(member.py). A standby can't know what the active one has delivered: at a promotion it sends everything it
holds, and what comes twice is counted; when it shuts down and hears no leader, it stores all that.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from twinloop.components.contract.contract import Verdict
from twinloop.sim.accounts.latency import UPLINK, StageTimes
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.cloud.messages import Message
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.gateway.reader import Reader
from twinloop.sim.kernel.clock import Steps, Task

MESSAGES_MAX = 100_000
"""held at once: 5 s of a gateway with 1000 devices at 20 polls a second; beyond it the oldest goes (limit
``handover``)"""


class HeldVerdict(NamedTuple):
    """One verdict that waits: ``spent_ns`` by stage until it was held."""

    since_ns: int
    poller: Reader
    row: Row
    verdict: Verdict
    message: Message
    spent_ns: tuple[int, ...]


class Handover:
    """Of one standby. ``window_ns``: how long a batch is kept."""

    def __init__(self, gateway: Gateway, window_ns: int) -> None:
        self._gateway, self.window_ns = gateway, window_ns
        self._held: deque[HeldVerdict] = deque()
        self._watching = False
        self.held = self.peak = self.sent = self.let_go = 0

    def hold(self, poller: Reader, row: Row, verdict: Verdict, message: Message) -> None:
        """Keep a verdict that isn't ours to carry out today."""
        gateway = self._gateway
        row.carried |= message.mask
        self._held.append(
            HeldVerdict(gateway.machine.env.now, poller, row, verdict, message, tuple(poller.times.spent_ns))
        )
        self.held += 1
        if len(self._held) > MESSAGES_MAX:
            gateway.machine.trace.emit("limit", gateway.index, "handover", len(self._held))
            gateway.machine.budget.breach("handover")
            self._let_go(self._held.popleft(), "unseen")
        self.peak = max(self.peak, len(self._held))
        self._watch()

    def _watch(self) -> None:
        if not self._watching and self._held:
            self._watching = True
            self._gateway.machine.env.call_at(
                max(self._gateway.machine.env.now, self._held[0].since_ns + self.window_ns), self._look
            )

    def _look(self) -> None:
        """What has been held for the whole window goes, unless it is being sent."""
        self._watching = False
        gateway = self._gateway
        if gateway.member.sends:
            return
        while self._held and self._held[0].since_ns + self.window_ns <= gateway.machine.env.now:
            self._let_go(self._held.popleft(), "unseen")
        self._watch()

    def _let_go(self, held: HeldVerdict, cause: str) -> None:
        self.let_go += 1
        held.message.end(self._gateway.books.ledger, End.LOST, cause)

    def resume(self) -> None:
        """Not ours to send any more: what is left grows old again."""
        self._watch()

    # ---- the promotion ---------------------------------------------------------------------------
    def send(self) -> None:
        """The gateway is active: everything that is held goes the way of its verdict, the oldest first."""
        gateway = self._gateway
        if self._held:
            gateway.machine.trace.emit("handover", gateway.index, len(self._held))
            Task(gateway.machine.env, self._send_all(gateway.machine.epoch))

    def _send_all(self, epoch: int) -> Steps:
        gateway = self._gateway
        while self._held and gateway.machine.epoch == epoch and gateway.member.sends:
            held = self._held[0]
            direct = held.verdict[0] != "cache" and gateway.outbox.uplink.ready()
            work_ns = gateway.machine.budget.host("publish" if direct else "store")
            yield from gateway.machine.cores.hold(work_ns)
            if (
                gateway.machine.epoch != epoch
                or not gateway.member.sends
                or not self._held
                or self._held[0] is not held
            ):
                return
            self._held.popleft()
            self.sent += 1
            self._carry_out(held, work_ns, direct)

    def store(self) -> None:
        """The gateway shuts down, and perhaps nobody else has these: they wait in the store."""
        held, self._held = self._held, deque()
        for one in held:
            self._carry_out(one, 0, False)

    def _carry_out(self, held: HeldVerdict, work_ns: int, direct: bool) -> None:
        gateway, message = self._gateway, held.message
        times = StageTimes()
        times.spent_ns = list(held.spent_ns)
        times.spent_ns[UPLINK] += work_ns
        times.behind(gateway.machine.env.now - held.row.due_ns - sum(times.spent_ns), None, "promotion")
        gateway.pipeline.alert(held.row, message.all_points, held.verdict)
        gateway.pipeline.carried(held.poller, held.row, message.mask, held.verdict[0], times, late=True)
        if direct and gateway.outbox.uplink.ready():
            gateway.outbox.uplink.publish(message)
        else:
            gateway.outbox.keep(message)

    # ---- ends ------------------------------------------------------------------------------------
    def forget(self, cause: str) -> None:
        """The gateway's memory is gone, or the run is over: so is all that was held."""
        held, self._held = self._held, deque()
        for one in held:
            self._let_go(one, cause)

"""Failover: two gateways for the same devices, one of which leads; heartbeats, promotion, stepping down,
return.

Belongs here: roles and who may have which. Never: what is held for a promotion (handover.py), what happened
as seen from outside (pair.py), how leases are granted (leases.py).

By what a gateway may lead is told in right.py.
"""

from __future__ import annotations

from typing import Protocol

from twinloop.components.contract.contract import Verdict
from twinloop.sim.accounts.rows import Row, Share
from twinloop.sim.cloud.leases import LeaseAnswer, LeaseRequest
from twinloop.sim.cloud.messages import Message
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.gateway.reader import Reader
from twinloop.sim.gateway.standalone import Standalone
from twinloop.sim.kernel.clock import MS, NEVER_NS, Steps, Task, Timer
from twinloop.sim.kernel.state_machine import StateMachine
from twinloop.sim.model.spec import StandbySpec
from twinloop.sim.network.link import Way
from twinloop.sim.redundancy.handover import Handover
from twinloop.sim.redundancy.right import HEARTBEAT_BYTES, Beat, Heard, Right

TRANSITIONS = StateMachine(
    "role in a pair",
    {
        ("out", "lead"): "active",
        ("out", "join"): "standby",
        ("standby", "stand"): "candidate",
        ("candidate", "hear"): "standby",
        ("candidate", "elect"): "promoting",
        ("promoting", "ready"): "active",
        ("promoting", "yield"): "standby",
        ("active", "yield"): "standby",
        ("standby", "leave"): "out",
        ("candidate", "leave"): "out",
        ("promoting", "leave"): "out",
        ("active", "leave"): "out",
    },
)
"""(role, event) -> role of a gateway in its pair"""

LEADING = ("active", "promoting")
QUESTIONS = 4
"""how often the cloud is asked in the time of a lease: by a leader to renew it, by a standby to know whether
it could"""
SILENT_BEATS = 2
"""periods without a leader's heartbeat after which a standby that shuts down stores what it holds"""
DEFER_BEATS = 2
"""periods by which one of two that both lost their leader lets the other, the preferred one, go first"""


class Watches(Protocol):
    """Who sees a pair from outside."""

    index: int

    def leads(self, member: Member) -> None:
        """It leads from now on."""
        ...

    def leads_no_more(self, member: Member) -> None:
        """It doesn't any more."""
        ...

    def carried(self, row: Row, mask: int) -> int:
        """Points have got their verdict: how many of them for the first time."""
        ...


class Member(Standalone):
    """One gateway of a pair. ``preferred``: the one that leads at first, and when both could."""

    def __init__(self, gateway: Gateway, pair: Watches, spec: StandbySpec, way: Way, preferred: bool) -> None:
        super().__init__()
        self.gateway, self.pair, self.spec, self.preferred = gateway, pair, spec, preferred
        self._env, self._way = gateway.machine.env, way
        self.peer: Member
        self.role = "out"
        self.term = 0
        self.promise_ns = spec.every_ns * spec.misses
        self._heard = Heard()
        self._right = Right()
        self._suspicion: Timer | None = None
        self._reign = 0
        """counts its times as a leader: what belongs to an earlier one comes to nothing"""
        self._joined_ns = 0
        self.sent = self.beats = 0
        self.handover = Handover(gateway, spec.handover_ns) if spec.mode == "hot" else None
        self.sends = preferred
        gateway.member = self

    @property
    def polls(self) -> bool:  # type: ignore[override]  # it depends
        """Does it read the devices?"""
        return self.role == "active" or (self.spec.mode == "hot" and self.role != "out")

    @property
    def listens_before_start(self) -> bool:  # type: ignore[override]  # it depends
        """Whoever will read the devices at t = 0 subscribes before."""
        return self.preferred or self.spec.mode == "hot"

    @property
    def stands_by_cold(self) -> bool:  # type: ignore[override]  # it depends
        """Its components are down, and may be."""
        return self.spec.mode == "cold" and self.role not in LEADING

    @property
    def starts_cold(self) -> bool:  # type: ignore[override]  # it depends
        """Its components are brought up at its promotion, not at its boot."""
        return self.spec.mode == "cold" and not (self.preferred and self._env.now < 0)

    @property
    def hands_in(self) -> bool:
        """What it holds may be all that there is: it leads, or hasn't heard a leader lately."""
        return self.role == "active" or self._env.now - self._heard.led_ns > SILENT_BEATS * self.spec.every_ns

    # ---- roles -----------------------------------------------------------------------------------
    def _move(self, event: str, cause: str) -> None:
        following = TRANSITIONS.after(self.gateway.name, self.role, event)
        before, self.role = self.role, following
        gateway = self.gateway
        gateway.machine.trace.emit("role", gateway.index, following, self.term, cause)
        self.sends = following == "active"
        gateway.rouse()
        if following == "active":
            self.pair.leads(self)
            if self.handover is not None:
                self.handover.send()
        elif before == "active":
            self.pair.leads_no_more(self)
            gateway.refuse_commands()
            if self.handover is not None and following == "standby":
                self.handover.resume()

    def begin(self) -> None:
        """t = 0: the preferred one leads, the other stands by."""
        if self.preferred:
            self.term = 1
            self._right.leased(self._env.now + self.spec.lease_ns, 1)
            self._move("lead", "configured")
            self._lead()
        else:
            self.join()
        self._talk()

    def _talk(self) -> None:
        self._beat(self.gateway.machine.epoch)
        if self.spec.arbiter == "cloud":
            self._question(self.gateway.machine.epoch)

    def booted(self) -> None:
        """The gateway is up again: it stands by, whatever it was."""
        if self._env.now >= 0:
            self.join()
            self._talk()

    def join(self) -> None:
        """Stand by, and give a leader the time to be heard."""
        self._move("join", "up")
        self._joined_ns = self._env.now
        self._heard.echo_ns, self._heard.handed_term = -1, 0
        self._await_leader()

    def leave(self, handing: bool) -> None:
        """The gateway goes down; ``handing``: in an orderly way, so it says so."""
        if self.role == "out":
            return
        led, lease = self.role == "active", self._right.lease_term
        self._move("leave", "down")
        self._reign_over()
        if handing and led:
            self._offer(Beat("out", self.term, self._env.now, handed=lease))

    def hand_in(self) -> None:
        """The gateway shuts down, and perhaps nobody else has what it holds: into the store."""
        if self.handover is not None and self.hands_in:
            self.handover.store()

    def forget(self, cause: str) -> None:
        """What it holds is gone."""
        if self.handover is not None:
            self.handover.forget(cause)

    def carried(self, row: Row, mask: int, late: bool) -> int:
        """Of a pair only the first verdict counts, and never a standby's, unless it had led when it read them
        (``late``)."""
        if not self.sends and not late:
            return 0
        count = self.pair.carried(row, mask)
        if isinstance(row, Share):
            row.cared |= mask
        return count

    def hold(self, poller: Reader, row: Row, verdict: Verdict, message: Message) -> bool:
        """A hot standby keeps it for a while."""
        if self.handover is None:
            return False
        self.handover.hold(poller, row, verdict, message)
        return True

    def _reign_over(self) -> None:
        self._reign += 1
        self._right.give_up(self._env.now)

    def _await_leader(self) -> None:
        """A leader was heard now, or is given the time to be heard."""
        self._heard.led_ns = self._env.now
        self._heard.deferred = False
        if self._suspicion is None:
            self._suspicion = self._env.call_in(self.promise_ns, self._suspect)

    def _suspect(self) -> None:
        """Has the leader been silent for too long?"""
        self._suspicion = None
        if self.role != "standby":
            return
        now = self._env.now
        left_ns = self._heard.led_ns + self.promise_ns - now
        if (
            left_ns <= 0
            and not self._heard.deferred
            and not self.preferred
            and now - self._heard.peer_ns < self.promise_ns
        ):
            self._heard.deferred = True  # the peer lives and leads no more than we do: it goes first
            left_ns = DEFER_BEATS * self.spec.every_ns
        if left_ns > 0:
            self._suspicion = self._env.call_in(left_ns, self._suspect)
        else:
            self._stand("no heartbeat")

    def _stand(self, cause: str) -> None:
        self._move("stand", cause)
        if self.spec.arbiter == "none":
            self._elect(max(self.term, self._heard.peer_term) + 1, "nobody arbitrates")
        else:
            self._ask()

    def _elect(self, term: int, cause: str) -> None:
        self.term = term
        self._move("elect", cause)
        if any(slot.state in ("down", "starting") for slot in self.gateway.rack.slots):
            Task(self._env, self._bring_up(self.gateway.machine.epoch))
        else:
            self._move("ready", "components are up")
        self._lead()

    def _bring_up(self, epoch: int) -> Steps:
        gateway = self.gateway
        yield from [gateway.supervisor.start(slot) for slot in gateway.rack.slots if slot.state == "down"]
        while gateway.machine.epoch == epoch and any(slot.state == "starting" for slot in gateway.rack.slots):
            yield MS  # of an earlier promotion that was given up
        if gateway.machine.epoch == epoch and self.role == "promoting":
            self._move("ready", "components are up")

    def _yield(self, cause: str, hand: bool = False) -> None:
        """Lead no more; ``hand``: and tell the other one, who need not wait then."""
        lease = self._right.lease_term
        self._move("yield", cause)
        self._reign_over()
        self._heard.echo_ns = -1
        self._await_leader()
        self._give_back()
        if hand:
            self._offer(Beat("standby", self.term, self._env.now, handed=lease))

    # ---- the right to lead -----------------------------------------------------------------------
    def _lead(self) -> None:
        self._reign += 1
        if self.spec.arbiter == "cloud":
            self._check(self._reign)

    def _question(self, epoch: int) -> None:
        """Asking is work like a heartbeat: who hangs doesn't, and loses its lease."""
        gateway = self.gateway
        if gateway.machine.epoch == epoch and self.role != "out":
            gateway.machine.cores.work(gateway.machine.budget.host("ack"), self._asked, epoch)
            self._env.call_in(max(1, self.spec.lease_ns // QUESTIONS), self._question, epoch)

    def _asked(self, epoch: int) -> None:
        if self.gateway.machine.epoch == epoch and self.role != "out":
            self._ask()

    def _ask(self) -> None:
        """For the lease, who leads or wants to; a standby gives back what it may have, and learns that the
        cloud is there."""
        if self.role in LEADING or self.role == "candidate":
            self._tell_cloud(True, self._heard.handed_term)
        else:
            self._give_back()

    def _give_back(self) -> None:
        if self.spec.arbiter == "cloud":
            self._right.gave_back_ns = self._env.now
            self._tell_cloud(False, 0)

    def _tell_cloud(self, want: bool, handed: int) -> None:
        request = LeaseRequest(
            self.pair.index, self.gateway.index, self._env.now, self.spec.lease_ns, want, handed
        )
        self.gateway.outbox.uplink.tell(request)

    def _reaches_cloud(self) -> bool:
        return (
            self.gateway.outbox.uplink.state == "up"
            and self._env.now - self._right.cloud_heard_ns < self.spec.lease_ns // 2
        )

    def session_up(self) -> None:
        """The cloud can be asked again."""
        if self.spec.arbiter == "cloud" and self.role != "out":
            if self.role not in LEADING or not self._right.lease_term:
                self._give_back()
            if self.role != "standby":
                # later than the give-back, which voids what was asked before
                self._env.call_in(1, self._asked, self.gateway.machine.epoch)

    def answered(self, answer: LeaseAnswer) -> None:
        """The cloud's answer is here."""
        self._right.cloud_heard_ns = max(self._right.cloud_heard_ns, answer.sent_ns)
        if not answer.granted:
            return
        if self.role == "standby":
            self._give_back()  # too late
        elif (
            answer.sent_ns > self._right.gave_back_ns and self._env.now < answer.sent_ns + self.spec.lease_ns
        ):
            self._right.leased(answer.sent_ns + self.spec.lease_ns, answer.term)
            if self.role == "candidate":
                self._elect(max(self.term, answer.term), "the cloud's lease")
            else:
                self.term = max(self.term, answer.term)

    def _check(self, reign: int) -> None:
        """Whoever leads stops at the instant at which neither lease nor promise holds any more."""
        if self._reign != reign:
            return
        until_ns = self._right.until_ns
        if until_ns <= self._env.now:
            self._yield("neither lease nor promise", hand=True)
        else:
            self._env.call_at(until_ns, self._check, reign)

    # ---- heartbeats ------------------------------------------------------------------------------
    def _beat(self, epoch: int) -> None:
        """Sending one is work: it needs a core, and waits for one behind whoever hogs them."""
        gateway = self.gateway
        if gateway.machine.epoch != epoch or self.role == "out":
            return
        gateway.machine.cores.work(gateway.machine.budget.host("ack"), self._send, epoch)
        self._env.call_in(self.spec.every_ns, self._beat, epoch)

    def _send(self, epoch: int) -> None:
        if self.gateway.machine.epoch != epoch or self.role == "out":
            return
        self.sent += 1
        now = self._env.now
        if self.role == "candidate":  # it can't wait for its next question
            self._ask()
        standby = self.role == "standby"
        able = self.spec.arbiter == "none" or self._reaches_cloud()
        wants = (
            standby
            and able
            and self.preferred
            and self.spec.preempt
            and now - self._joined_ns >= self.promise_ns
        )
        self._offer(
            Beat(self.role, self.term, now, self._heard.echo_ns if standby and not able else -1, wants=wants)
        )

    def _offer(self, beat: Beat) -> None:
        for at, damaged in self._way.offer(HEARTBEAT_BYTES, self._env.now):
            if not damaged:
                self._env.call_at(at, self._arrives, beat)

    def _arrives(self, beat: Beat) -> None:
        if self._way.passes(HEARTBEAT_BYTES, self._env.now) is not None and self.peer.role != "out":
            self.peer.hear(beat)

    def hear(self, beat: Beat) -> None:
        """The peer lives, and says what it is."""
        self.beats += 1
        self._heard.peer_term = max(self._heard.peer_term, beat.term)
        self._heard.peer_ns = self._env.now if beat.role != "out" else -NEVER_NS
        if beat.handed is not None and self.role in ("standby", "candidate"):
            self._heard.handed_term = beat.handed
            if self.role == "standby":
                self._stand("handed over")
            elif self.spec.arbiter == "cloud":
                self._ask()
        elif beat.role in LEADING:
            self._hear_leader(beat)
        elif self.role == "active" and beat.wants:
            self._yield("handed back", hand=True)
        elif beat.role == "candidate":
            self._hear_candidate(beat)
        elif beat.echo_ns >= 0 and beat.echo_ns > self._right.handed_ns:
            self._hear_promise(beat.echo_ns + self.promise_ns)

    def _hear_promise(self, until_ns: int) -> None:
        """The other one won't stand before that: with it, two of three hold who leads, or who stands and
        can't ask the third."""
        if self.role in LEADING:
            self._right.promised_until_ns = max(self._right.promised_until_ns, until_ns)
        elif (
            self.role == "candidate"
            and self.spec.arbiter == "cloud"
            and until_ns > self._env.now
            and not self._reaches_cloud()
        ):
            self._right.promised_until_ns = until_ns
            self._elect(max(self.term, self._heard.peer_term) + 1, "the standby's promise")

    def _hear_candidate(self, beat: Beat) -> None:
        """Who doesn't reach the cloud either lets the other one lead; of two that stand, the preferred
        one."""
        if self.spec.arbiter == "none" or self._reaches_cloud():
            return
        if self.role == "candidate" and not self.preferred:
            self._move("hear", "the other stands")
        if self.role == "standby":
            self._heard.echo_ns, self._heard.handed_term = beat.sent_ns, 0
            self._await_leader()

    def _hear_leader(self, beat: Beat) -> None:
        """A leader hears another: the later term stays, of equal ones the preferred; who isn't ready yet
        yields to who is."""
        if self.role in LEADING:
            if (self.role, beat.role) == ("promoting", "active"):
                self._yield("the other leads")
            elif self.role == beat.role and (beat.term, not self.preferred) > (self.term, self.preferred):
                self._yield("a later term leads")
            return
        if self.role == "candidate":
            self._move("hear", "heartbeat")
        self.term = max(self.term, beat.term)
        self._heard.echo_ns, self._heard.handed_term = beat.sent_ns, 0
        self._await_leader()

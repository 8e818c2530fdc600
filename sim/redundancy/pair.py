"""A pair of gateways as seen from outside: who led when, how long nobody did, when both did.

Belongs here: what a report says of a pair, the events that it makes, and what the cloud knows of it: to whom
commands go. Never: what the two believe (member.py): nothing here may influence that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from twinloop.sim.accounts.rows import Row
from twinloop.sim.cloud.cloud import Cloud
from twinloop.sim.cloud.leases import LeaseRequest
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.clock import Environment
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.model.spec import StandbySpec
from twinloop.sim.network.link import Link
from twinloop.sim.redundancy.member import Member


class Takeover(NamedTuple):
    """Nobody led from ``gone_ns`` to ``led_ns``; ``first_ns``: the first verdict that the new leader carried
    out, -1 for none yet."""

    old: str
    new: str
    gone_ns: int
    led_ns: int
    first_ns: int = -1


class Split(NamedTuple):
    """Both led; ``ended_ns`` -1 while they do; ``duplicates``: samples that came twice meanwhile."""

    began_ns: int
    ended_ns: int
    duplicates: int


class Pair:
    """Two gateways, named after the preferred one."""

    def __init__(
        self,
        *,
        env: Environment,
        index: int,
        trace: Trace,
        cloud: Cloud,
        spec: StandbySpec,
        first: Gateway,
        second: Gateway,
        link: Link,
        happened: Callable[[str], None],
        duplicates: Callable[[], int],
    ) -> None:
        self._env, self.index, self._trace, self._cloud, self.spec = env, index, trace, cloud, spec
        self.name, self.link = first.name, link
        self._happened, self._duplicates = happened, duplicates
        there, back = link.legs(second.name)
        self.members = (Member(first, self, spec, there, True), Member(second, self, spec, back, False))
        for member, peer in zip(self.members, reversed(self.members), strict=True):
            member.peer = peer
        self.takeovers: list[Takeover] = []
        self.splits: list[Split] = []
        self._gone: tuple[str, int] | None = None
        """who led last and until when, while nobody leads"""
        self._leaders: list[Member] = []
        self.commanded = first
        """whom the cloud sends commands: who leads, or led last"""

    @property
    def names(self) -> tuple[str, str]:
        """The preferred one's and the other's."""
        return self.members[0].gateway.name, self.members[1].gateway.name

    def begin(self) -> None:
        """t = 0: the preferred one leads by a lease that it was given just now."""
        if self.spec.arbiter == "cloud":
            now = self._env.now
            self._cloud.leases.ask(
                LeaseRequest(self.index, self.members[0].gateway.index, now, self.spec.lease_ns), now
            )
        for member in self.members:
            member.begin()

    @property
    def leader(self) -> Gateway | None:
        """Who leads; of two, who does so in the later term."""
        return (
            max(self._leaders, key=lambda member: (member.term, member.preferred)).gateway
            if self._leaders
            else None
        )

    @property
    def moving(self) -> bool:
        """Nobody leads, or somebody is about to."""
        return self.leader is None or any(
            member.role in ("candidate", "promoting") for member in self.members
        )

    @property
    def leaders(self) -> list[str]:
        """Names of who leads."""
        return [member.gateway.name for member in self._leaders]

    @property
    def gone_ns(self) -> int | None:
        """Since when nobody leads; None while somebody does."""
        return None if self._gone is None else self._gone[1]

    # ---- what happens ----------------------------------------------------------------------------
    def leads(self, member: Member) -> None:
        """A gateway leads from now on."""
        now, name = self._env.now, member.gateway.name
        self._leaders.append(member)
        if len(self._leaders) > 1:
            if self.spec.arbiter != "none":
                raise InvariantError(
                    f"gateways {' and '.join(self.names)} both lead at {now} ns, although the cloud "
                    f"arbitrates"
                )
            self.splits.append(Split(now, -1, self._duplicates()))
            self._trace.emit("failover", self.index, "split-brain", 0)
            self._happened(f"split-brain {self.name}")
        elif self._gone is not None:
            old, gone_ns = self._gone
            self._gone = None
            self.takeovers.append(Takeover(old, name, gone_ns, now))
            self._trace.emit("failover", self.index, "takeover", now - gone_ns)
        self._command(member)
        if now:
            self._happened(f"promote {name}")

    def _command(self, member: Member) -> None:
        """Commands are for this one from now on, those that wait, too."""
        self.commanded = member.gateway
        for command in self._cloud.redirect(member.peer.gateway.index, member.gateway.index):
            member.gateway.pipeline.command_done(command, "limit")

    def leads_no_more(self, member: Member) -> None:
        """A gateway leads no more."""
        now = self._env.now
        self._leaders.remove(member)
        if self._leaders:
            split = self.splits[-1]
            self.splits[-1] = Split(split.began_ns, now, self._duplicates() - split.duplicates)
            self._trace.emit("failover", self.index, "one-leader", now - split.began_ns)
            self._command(self._leaders[0])
        else:
            self._gone = member.gateway.name, now
        self._happened(f"step-down {member.gateway.name}")

    def carried(self, row: Row, mask: int) -> int:
        """Points of a share have got their verdict: how many of them for the first time."""
        whole = row.whole
        if self.takeovers and self.takeovers[-1].first_ns < 0:
            self.takeovers[-1] = self.takeovers[-1]._replace(first_ns=self._env.now)
        if whole is None:
            return mask.bit_count()
        fresh = mask & ~whole.carried
        whole.carried |= mask
        return fresh.bit_count()

    def finish(self) -> None:
        """The run is over: what still goes on ends."""
        if len(self._leaders) > 1:
            split = self.splits[-1]
            self.splits[-1] = Split(split.began_ns, self._env.now, self._duplicates() - split.duplicates)

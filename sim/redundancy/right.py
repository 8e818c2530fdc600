"""The right to lead a pair, and what the two tell each other about it.

Belongs here: a heartbeat's parts, by what a gateway leads and until when. Never: who does (member.py), how
the cloud gives leases (leases.py).

With ``arbiter: none`` a standby that misses heartbeats leads; when the heartbeats' link is cut, both do. With
``arbiter: cloud`` it takes two of three to lead: oneself and the cloud's lease, or oneself and the promise of
a standby that doesn't reach the cloud either, carried by its heartbeats: not to stand before ``misses``
periods have passed since the heartbeat (of a leader, or of a candidate) that it heard. Both are counted from
before they were given, so whoever leads stops before anybody else can. So an outage of both uplinks changes
nothing, or not for long when heartbeats fail in it, too; one of the leader's alone makes it step down, and
the other leads.

A grant counts only when it was asked for after the last give-back: the cloud has heard both in that order.
Every session begins with a give-back, unless its gateway leads by a lease: so one that led, yielded and asks
again gets a new term, and what it has handed over with the old one is void.
"""

from __future__ import annotations

from typing import NamedTuple

from twinloop.sim.kernel.clock import NEVER_NS

HEARTBEAT_BYTES = 76
"""on the wire: IPv4, UDP and 48 bytes of ours"""


class Beat(NamedTuple):
    """A heartbeat. ``echo_ns``: when the heartbeat was sent to whose sender a standby promises, -1 for none;
    ``handed``: the sender leads no more, in the receiver's favour, nor needs the lease of that term (0: it
    had none); ``wants``: it would like to lead."""

    role: str
    term: int
    sent_ns: int
    echo_ns: int = -1
    handed: int | None = None
    wants: bool = False


class Heard:
    """What one gateway has heard of the other. ``peer_ns``: when its last heartbeat came; ``peer_term``: the
    highest term in one; ``led_ns``: when a leader was last heard, or when waiting for one began."""

    __slots__ = ("deferred", "echo_ns", "handed_term", "led_ns", "peer_ns", "peer_term")

    def __init__(self) -> None:
        self.peer_ns = -NEVER_NS
        self.peer_term = 0
        self.led_ns = 0
        self.echo_ns = -1
        """when the heartbeat was sent to whose sender it promises; -1: it promises nothing"""
        self.handed_term = 0
        """of the lease that the other one has handed over; 0: none"""
        self.deferred = False
        """it has let the other one, the preferred one, go first since then"""


class Right:
    """Of one gateway: the cloud's lease, or the promise of a standby. What was given before it was given back
    is void."""

    def __init__(self) -> None:
        self.lease_until_ns = self.promised_until_ns = 0
        self.lease_term = 0
        """of the lease by which it leads; 0 without one"""
        self.gave_back_ns = self.handed_ns = -NEVER_NS
        """when it last told the cloud that it wants no lease, and the other one to lead: what was given
        before is void"""
        self.cloud_heard_ns = -NEVER_NS
        """when the last question that the cloud has answered was asked"""

    @property
    def until_ns(self) -> int:
        """When neither lease nor promise holds any more."""
        return max(self.lease_until_ns, self.promised_until_ns)

    def leased(self, until_ns: int, term: int) -> None:
        """The cloud has given a lease, or renewed it."""
        self.lease_until_ns, self.lease_term = max(self.lease_until_ns, until_ns), term

    def give_up(self, now_ns: int) -> None:
        """It leads no more."""
        self.lease_until_ns = self.promised_until_ns = self.lease_term = 0
        self.handed_ns = now_ns

"""A gateway's part in redundancy, when it has none: it reads and sends by itself, from its boot on.

Belongs here: what a gateway asks of its part, and the answers of one that stands alone. Never: roles
(sim/redundancy/member.py answers for those).
"""

from __future__ import annotations

from twinloop.components.contract.contract import Verdict
from twinloop.sim.accounts.rows import Row
from twinloop.sim.cloud.leases import LeaseAnswer
from twinloop.sim.cloud.messages import Message
from twinloop.sim.gateway.reader import Reader


class Standalone:
    """Nobody else has the same devices."""

    role = ""
    """in a pair; empty: there is none"""
    polls = True
    """it reads its devices"""
    listens_before_start = False
    """it listens to devices that speak by themselves before t = 0, although it isn't up yet"""
    starts_cold = False
    """its components are brought up at its promotion, not at its boot"""
    stands_by_cold = False
    """its components are down, and may be"""

    def __init__(self) -> None:
        self.sends = True
        """what the gateway reads it hands on; a standby doesn't. Of the instance, not of the class: it is
        asked twice in every poll"""

    def booted(self) -> None:
        """The gateway is up again."""

    def leave(self, handing: bool) -> None:
        """The gateway goes down; ``handing``: in an orderly way."""

    def hand_in(self) -> None:
        """The gateway shuts down: what may be all that there is goes into the store."""

    def forget(self, cause: str) -> None:
        """The gateway's memory is gone, or the run is over: so is all that was held."""

    def session_up(self) -> None:
        """The cloud can be asked."""

    def answered(self, answer: LeaseAnswer) -> None:
        """The cloud's answer is here."""

    def carried(self, row: Row, mask: int, late: bool) -> int:
        """Points have got their verdict: how many of them count; ``late``: it led when it read them."""
        return mask.bit_count()

    def hold(self, poller: Reader, row: Row, verdict: Verdict, message: Message) -> bool:
        """Keep a verdict that isn't ours to carry out (any more); False: nobody does."""
        return False


ALONE = Standalone()
"""has no state: one for all"""

"""Network trouble: a Rule is asked about every packet, when it is offered and when it is due.

Belongs here: the one extension point for network trouble, and a cut. Never: what a link does by itself
(link.py).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol


class Packet(NamedTuple):
    """What a rule sees: which link and leg, which way (``up`` = towards the gateway's peer), its size on the
    wire, whose port it is (``via``: the gateway's name, where two of a pair share the leg to a device)."""

    link: str
    leg: str
    up: bool
    size_bytes: int
    via: str = ""


class Delay(NamedTuple):
    """Verdict: deliver this much later."""

    delay_ns: int


class Fate(Enum):
    """Verdict: nothing to say, or gone."""

    PASS = "pass"  # noqa: S105  # no password
    DROP = "drop"


PASS, DROP = Fate.PASS, Fate.DROP
Verdict = Fate | Delay


class Rule(Protocol):
    """First rule that doesn't say PASS decides, in the order of installation."""

    def on_packet(self, packet: Packet, now_ns: int) -> Verdict:
        """The fate of a packet that is offered or due at ``now_ns``."""
        ...


class CutRule:
    """A cable that is pulled: every packet, both ways or one (``up`` True or False), of every leg or one, of
    every gateway or one, is gone."""

    def __init__(self, up: bool | None = None, leg: str | None = None, via: str | None = None) -> None:
        self.up, self.leg, self.via = up, leg, via

    def on_packet(self, packet: Packet, now_ns: int) -> Verdict:
        """DROP what goes the way that is cut."""
        hit = (self.up is None or self.up == packet.up) and (self.leg is None or self.leg == packet.leg)
        return DROP if hit and (self.via is None or self.via == packet.via) else PASS

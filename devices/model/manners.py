"""Manners of a device: what it does, all its life, that the specification leaves to it, and that a gateway
has to cope with.

Belongs here: which there are, and how one table replaces another's keys. Never: what a device is asked and
answers (devices/modbus/mannered.py), connections (sim/field/mannered_port.py), faults that begin and end
(misbehaviour.py).
"""

from __future__ import annotations

from twinloop.records import dataclass

MORE = ("refuse", "drop-first")
"""what happens when more connections come than are allowed: the new one is refused, or the oldest is
dropped"""


@dataclass(frozen=True, slots=True)
class Manners:
    """Of one Modbus device; the defaults are no manners. Zero means never, no limit, or at once."""

    quiet_after_connect_ns: int = 0
    """TCP: requests that come sooner after the connection stands are swallowed: they are never answered"""
    pause_ns: int = 0
    """a request that comes sooner after the device's last answer is not answered"""
    connections: int = 0
    """TCP: how many it holds at once; 0: any number"""
    more: str = "refuse"
    """of MORE"""
    idle_ns: int = 0
    """TCP: it hangs up when that long no request has come"""
    first_answer_ns: int = 0
    """the first answer on a connection (on a line: of all) takes that much longer"""
    asleep_after_ns: int = 0
    """so does the first answer after so long without a request; 0: it doesn't fall asleep"""
    write_single: bool = True
    """False: the functions 5 and 6 are exception 01; 15 and 16 are known"""
    write_takes_ns: int = 0
    """a write is answered with exception 05, and for so long everything with 06; what was written shows at
    once"""
    busy_share: float = 0.0
    """of requests that are answered with exception 06, by the device's own count of them; 0 to 1"""
    echo: bool = False
    """its serial line brings back what is sent: a two-wire adapter that doesn't keep its own echo away"""

    def __bool__(self) -> bool:
        """Has it any?"""
        return self != NONE


NONE = Manners()
"""a device that does as one would think"""
TCP_ONLY = ("quiet_after_connect_ns", "connections", "more", "idle_ns")
SERIAL_ONLY = ("echo",)
BITES = {
    "quiet": "a request came too soon after the connection, and was swallowed",
    "pause": "a request came too soon after an answer, and was not answered",
    "refused": "a connection too many was refused",
    "dropped": "a connection was dropped for a newer one",
    "idle": "a connection without requests was ended",
    "first-answer": "an answer took longer, because it was the first",
    "no-single-write": "function 5 or 6 was refused with exception 01",
    "acknowledged": "a write was answered with exception 05",
    "busy": "a request was answered with exception 06",
}
"""what a manner does when it bites -> in words; an echo is no event: it comes with each request"""

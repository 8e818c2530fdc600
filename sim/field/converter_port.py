"""A driver's own connection to a Modbus TCP to RTU converter, behind which its device sits.

Belongs here: that port. Never: the converter's queue and its line (sim/network/converter.py). All that a
request waits for behind the connection is its driver's waiting for an answer: a driver whose timeout is over
may get the answer later, and knows it by its transaction id.
"""

from __future__ import annotations

from typing import Any

from twinloop.sim.field.tcp_port import DialoguePort
from twinloop.sim.network.converter import Converter, Guest
from twinloop.sim.network.serial_line import Answered
from twinloop.sim.network.tcp import TcpStream


class ConverterPort(DialoguePort):
    """``server`` answers on the line: witnesses hang on it."""

    __slots__ = ("_converter", "_guest")

    def __init__(self, converter: Converter, **wiring: Any) -> None:
        super().__init__(**wiring)
        self._converter = converter
        self._guest: Guest | None = None

    def wiring(self) -> dict[str, Any]:
        """As TcpPort's; the converter, too."""
        return super().wiring() | {"converter": self._converter}

    def _reach_far_end(self, stream: TcpStream) -> bool:
        def hand(answer: bytes, answered: Answered | None) -> None:
            stream.send_down(answer, len(answer))

        guest = Guest(self._converter, hand)
        if not self._converter.enter(guest):
            return False
        self._guest = guest
        return True

    def _left(self) -> None:
        guest, self._guest = self._guest, None
        if guest is not None:
            self._converter.leave(guest)

    def _asked(self, data: bytes) -> None:
        """At the converter; what can't be Modbus ends the connection."""
        if self._guest is not None and not self._guest.feed(data) and self._stream is not None:
            self._stream.break_off()

"""Plain reads that the compiled part answers, where a process has one (devices/native/answers.c).

Belongs here: who answers them. Never: what an answer is (server.py, which tests/devices/test_answers.py holds
against it).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twinloop.devices.model.device import Device
from twinloop.devices.model.layout import Layout
from twinloop.devices.model.registers import RegisterImage
from twinloop.devices.model.stepper import TAKEN


class Compiled:
    """``read(server, data, now_ns)``: what a server's ``respond_tcp`` says to one whole Read Holding or Input
    Registers, of a device that answers all, has no faults and hides nothing; None to anything else, and
    nothing is done. It is None itself where there is no compiled part."""

    read: Callable[[Any, bytes, int], list[bytes] | None] | None = None

    def serve(self, server: type) -> None:
        """The class of such servers, told once."""
        TAKEN.tell(lambda signals: self._take(signals, server))

    def _take(self, signals: Any, server: type) -> None:
        if signals is not None:
            signals.bind_server(server, Device, RegisterImage, Layout, "holding", "input")
        self.read = None if signals is None else signals.read_answer


COMPILED = Compiled()

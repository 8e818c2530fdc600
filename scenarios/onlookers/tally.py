"""What clients ask of each served device: how often, when last, with which answers, and the last frames of a
few devices.

Belongs here: counting bytes that go by. Never: what is told of it (state.py), a change to what is served.
"""

from __future__ import annotations

from collections import deque

from twinloop.sim.serving.plant import ServedPlant

FRAMES_MAX, FRAME_BYTES_MAX = 40, 600
"""of a device that somebody looks at; more bytes of one frame are cut off"""
LOOKED_AT_MAX = 8
"""devices of which frames are kept: those that were looked at last"""
Frame = tuple[int, str, bytes]
"""instant, way (> to the device, < from it), bytes"""
_REFUSAL = 0x80
"""bit of the function code of an exception response (MODBUS Application Protocol V1.1b3 section 7)"""


class Tally:
    """Counts at one plant from now on. ``asked_ns``: the last request's instant, -1: none yet. A device that
    publishes is asked nothing: what it publishes are its answers."""

    def __init__(self, plant: ServedPlant) -> None:
        self._plant = plant
        count = len(plant.spec.devices)
        self.requests, self.answers, self.exceptions = [0] * count, [0] * count, [0] * count
        self.asked_ns = [-1] * count
        self._code_at = [_code_at(device.protocol) for device in plant.spec.devices]
        self._frames: dict[int, deque[Frame]] = {}
        plant.on_frame = self._told

    def _told(self, index: int, way: str, data: bytes) -> None:
        now = self._plant.env.now
        if way == ">":
            self.requests[index] += 1
            self.asked_ns[index] = now
        else:
            self.answers[index] += 1
            if _refuses(data, self._code_at[index]):
                self.exceptions[index] += 1
        kept = self._frames.get(index)
        if kept is not None:
            kept.append((now, way, data[:FRAME_BYTES_MAX]))

    def value(self, index: int) -> float | None:
        """Of a device's first point, as of its last request; None: it is a text, or nobody was told it."""
        device = self._plant.field.servers[index].device
        told = self.answers[index] > self.exceptions[index]
        return device.image.value(0) if told and device.model.points[0].text is None else None

    def frames(self, index: int) -> tuple[Frame, ...]:
        """The last ones of a device; they are kept from the first time that somebody asks for them."""
        kept = self._frames.pop(index, None)
        while len(self._frames) >= LOOKED_AT_MAX:
            del self._frames[next(iter(self._frames))]
        self._frames[index] = deque(maxlen=FRAMES_MAX) if kept is None else kept
        return tuple(self._frames[index])


def _code_at(protocol: str) -> int:
    """Where an answer has its function code, -1: it has none that says so; ASCII: its hexadecimal digits."""
    return {"modbus-tcp": 7, "modbus-rtu": 1, "modbus-rtu-over-tcp": 1, "modbus-ascii": 3}.get(protocol, -1)


def _refuses(data: bytes, code_at: int) -> bool:
    if code_at < 0 or len(data) <= code_at:
        return False
    if code_at == 3:
        return data[3:4] in b"89ABCDEFabcdef"  # the upper half of the byte, as a digit
    return bool(data[code_at] & _REFUSAL)

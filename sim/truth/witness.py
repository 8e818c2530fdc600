"""Witnesses: what a device showed while a driver's call was under way, told by whoever served it.

Belongs here: one class for each way in which values come. Never: comparisons (truth.py). ``begin`` is called
when a call begins; what was shown before doesn't count for it. ``shown`` is asked when its batch is there:
None means that nobody knows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from twinloop.devices.modbus.frames import ANSWER_HEAD_BYTES, answer_bytes, ascii_body, rtu_body
from twinloop.devices.model.cell import Cell, masked, reorder, scaled
from twinloop.devices.model.device import Device
from twinloop.devices.model.encodings import TEXT
from twinloop.devices.model.nodes import NodeImage, NodeValue
from twinloop.devices.model.points import BITS, ORDERS, Point
from twinloop.devices.model.statuses import BAD, of_the_request
from twinloop.sim.truth.nobody import Nobody
from twinloop.sim.truth.truth import Shown

READS = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
"""Modbus functions that read -> table"""
READ_WRITE = 23
WRITES = {5: "coil", 6: "holding", 15: "coil", 16: "holding", 22: "holding", READ_WRITE: "holding"}
"""functions that write -> table"""
LOOKS_MAX = 16
"""of the call before, for what a stale answer would show"""
STRAY = "another point was written, too"
MBAP_BYTES, RTU_BYTES_MIN = 7, 4
"""before a PDU over TCP; the shortest frame on a line"""
Look = tuple[bytes, bytes]
"""a Modbus request's PDU and its right answer's"""


class ServerWords(Nobody):
    """Of a real OPC UA server, whose answers the port has heard: only what it said of values that it had none
    of is looked at."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []

    def begin(self) -> None:
        """What came before is of no account."""
        self._frames.clear()

    def heard(self, request: bytes, reply: bytes) -> None:
        """An answer has come."""
        self._frames.append(reply)

    def valueless(self, index: int, status: int) -> bool:
        """The server sent that status with a value, or sent a number that is none."""
        from twinloop.devices.opcua.words import said_no_value  # a library that other runs don't need

        return not of_the_request(status) and said_no_value(self._frames, status)


Plan = tuple[tuple[int, Callable[..., tuple[Any, ...]], int, float, float], ...]
"""(point, how to unpack it, where, scale, offset) of the big-endian registers in the answer to a request"""
PLANS_MAX = 1000


@lru_cache(PLANS_MAX)
def _plan(points: tuple[Point, ...], request: bytes) -> Plan:
    """Shared by all devices of a model. Not of whole numbers of 64 bits: times a scale they would be floats,
    which take one for another."""
    first, count = int.from_bytes(request[1:3], "big"), int.from_bytes(request[3:5], "big")
    out = []
    for index, point in enumerate(points):
        at = point.address - first
        inside = point.table == READS[request[0]] and at >= 0 and at + point.width <= count
        cell = Cell(point, first) if inside and not point.nan else None
        if cell is not None and cell.quick and cell.struct is not None:
            out.append((index, cell.struct.unpack_from, 2 + 2 * at, point.scale, point.offset))
    return tuple(out)


class ModbusWitness(Nobody):
    """By requests and their right answers, as ``looks`` has them: a server puts them there, or the port of a
    real device. ``plans``: of the requests that were met so far, for devices of one model to share."""

    def __init__(self, device: Device, real: bool = False, plans: dict[bytes, Plan] | None = None) -> None:
        self.device = self._device = device
        self._real = real
        self.looks: list[Look] = []
        self._before: list[Look] = []
        self._plans: dict[bytes, Plan] = {} if plans is None else plans
        self._asked, self._come = b"", b""
        """the last request over TCP without MBAP, and what of its answer has come"""

    def begin(self) -> None:
        """What was looked at before is what a stale answer would show."""
        if self.looks:
            self._before, looks = self.looks[-LOOKS_MAX:], self.looks
            looks.clear()

    def exactly(self) -> dict[int, float]:
        """Of the last look at each."""
        out: dict[int, float] = {}
        for request, answer in self.looks:
            if request[0] not in (3, 4) or answer[0] != request[0]:
                continue
            plan = self._plans.get(request)
            if plan is None:
                if len(self._plans) > LOOKS_MAX:
                    self._plans.clear()
                plan = self._plans[request] = _plan(self._device.model.points, request)
            if len(answer) == 2 + 2 * int.from_bytes(request[3:5], "big"):
                for index, unpack, at, scale, offset in plan:
                    out[index] = unpack(answer, at)[0] * scale + offset
        return out

    def heard_tcp(self, request: bytes, reply: bytes) -> None:
        """A real device has answered, over TCP."""
        if request[:2] == reply[:2] and len(request) > MBAP_BYTES < len(reply):
            self.looks.append((request[MBAP_BYTES:], reply[MBAP_BYTES:]))

    def heard_rtu(self, request: bytes, reply: bytes) -> None:
        """The same on a serial line."""
        if request[:1] == reply[:1] and len(reply) > RTU_BYTES_MIN:
            self.looks.append((request[1:-2], reply[1:-2]))

    def heard_ascii(self, request: bytes, reply: bytes) -> None:
        """The same in ASCII: a reply may have noise before its colon."""
        asked, said = ascii_body(request), ascii_body(reply[max(0, reply.rfind(b":")) :])
        if asked is not None and said is not None and asked[0] == said[0]:
            self.looks.append((asked[1:], said[1:]))

    def heard_rtu_tcp(self, request: bytes, reply: bytes) -> None:
        """The same for RTU over TCP, whose answers come in pieces: a driver asks for the head first. Each
        request is an object of its own, whatever it says."""
        if request is not self._asked:
            self._asked, self._come = request, b""
        come = self._come = self._come + reply
        if len(come) >= ANSWER_HEAD_BYTES and len(come) == answer_bytes(come):
            asked, said = rtu_body(request), rtu_body(come)
            if asked is not None and said is not None and asked[0] == said[0]:
                self.looks.append((asked[1:], said[1:]))

    def shown(self, index: int) -> list[Shown] | None:
        """Of each look that held the whole point."""
        return registers_shown(self._device, index, self.looks)

    def texts(self, index: int) -> list[str | None] | None:
        """Of each look that held the whole point."""
        return texts_shown(self._device, index, self.looks)

    def valueless(self, index: int, status: int) -> bool:
        """A sentinel that the point declares, a number that is none, or a text that is none."""
        if self._device.model.points[index].type == TEXT:
            return None in (self.texts(index) or ())
        return any(one.valueless for one in self.shown(index) or ())

    def holds(self, index: int, ordered: float) -> tuple[float, bool, str] | None:
        """The registers as they are (of a real device nobody knows), and whether a write of this call went
        elsewhere."""
        point = self._device.model.points[index]
        strays = [
            request
            for request, answer in self.looks
            if request[0] in WRITES and answer[:1] == request[:1] and not _only(request, point)
        ]
        if self._real:
            return (ordered, True, STRAY) if strays else None
        value, right = held(self._device, index, ordered)
        return value, right, STRAY if strays else ""

    def likely(self, index: int, value: float) -> str:
        """By reading the same registers in other ways."""
        point, cell = self._device.model.points[index], self._device.image.cell(index)
        found = registers_shown(self._device, index, self.looks)
        if cell is None or cell.text or not found:
            return ""
        before = registers_shown(self._device, index, self._before)
        if any(close(one.value, value) for one in before):
            return "a stale answer"
        if found[-1].valueless:
            return "a number that means that there is no value"
        data = _found(self.looks, point, point.address)[-1]
        big = data if cell.order == "be" else reorder(data, cell.order)
        for order in ORDERS if cell.mask is None else ():
            if order != cell.order and close(_other(cell, reorder(big, order)), value):
                return "another word order"
        raw = cell.raw(data)
        if close(raw, value) or any(
            close(raw * point.scale * 10.0**power, value) for power in (-3, -2, -1, 1, 2, 3)
        ):
            return "another scale"
        for shift in (-1, 1):
            if any(
                close(cell.decode(data), value) for data in _found(self.looks, point, point.address + shift)
            ):
                return "an address that is off by one"
        return "a corrupted frame or another table"


def _found(looks: list[Look], point: Point, address: int) -> list[bytes]:
    """The point's bytes (a coil's bit) at an address, of each look that has all of them."""
    out = []
    for request, answer in looks:
        if READS.get(request[0]) == point.table and answer[:1] == request[:1] and len(request) >= 5:
            at = address - int.from_bytes(request[1:3], "big")
            count = int.from_bytes(request[3:5], "big")
            if at < 0 or at + point.width > count:
                continue
            if point.table in BITS:
                out.append(bytes((answer[2 + at // 8] >> at % 8 & 1,)) if len(answer) > 2 + at // 8 else b"")
            else:
                out.append(answer[2 + 2 * at : 2 + 2 * (at + point.width)])
    return [data for data in out if len(data) == (1 if point.table in BITS else 2 * point.width)]


def registers_shown(device: Device, index: int, looks: list[Look]) -> list[Shown]:
    """What a Modbus device's point was in each look that had the whole of it."""
    point, cell = device.model.points[index], device.image.cell(index)
    found = _found(looks, point, point.address)
    if point.text is not None:
        return []  # it has no number
    if cell is None or cell.power is None:
        return [_register(point, cell, data) for data in found]
    assert point.power is not None
    at = device.model.index(point.power.point)
    assert at is not None
    scales, by = device.model.points[at], device.image.cell(at)
    assert by is not None
    # an answer to a request of its own, or the same one: whichever the driver took
    powers = [by.raw(data) for data in _found(looks, scales, scales.address)]
    known = [round(one) for one in powers if one - one == 0.0] or [cell.power()]
    return [_register(point, cell, data, power) for data in found for power in known]


def texts_shown(device: Device, index: int, looks: list[Look]) -> list[str | None]:
    """The same of a text; None for what is none."""
    point, cell = device.model.points[index], device.image.cell(index)
    return [] if cell is None else [cell.decode_text(one) for one in _found(looks, point, point.address)]


def _touched(request: bytes) -> tuple[int, int]:
    """(first address, how many) that a write changes."""
    at = 5 if request[0] == READ_WRITE else 1
    return int.from_bytes(request[at : at + 2], "big"), 1 if request[0] in (5, 6, 22) else int.from_bytes(
        request[at + 2 : at + 4], "big"
    )


def _only(request: bytes, point: Point) -> bool:
    """Does a write touch that point and no other?"""
    first, count = _touched(request)
    return (
        WRITES[request[0]] == point.table
        and point.address <= first
        and first + count <= point.address + point.width
    )


def written_by(device: Device, request: bytes) -> list[int]:
    """The points that a write touches."""
    first, count = _touched(request)
    return [
        index
        for index, point in enumerate(device.model.points)
        if point.table == WRITES[request[0]]
        and point.text is None
        and point.address < first + count
        and first < point.address + point.width
    ]


def held_shown(device: Device, index: int) -> Shown:
    """What a point's own register holds, whatever lies on top."""
    point, cell, value = device.model.points[index], device.image.cell(index), device.image.value(index)
    if cell is None:
        return Shown(value, 1.0)
    return Shown(value, _step(point, cell, None), cell.floating and cell.size <= 4)


def held(device: Device, index: int, ordered: float) -> tuple[float, bool]:
    """(what a point holds, is it what was ordered), to the precision of its registers and whatever lies on
    top."""
    image, point = device.image, device.model.points[index]
    cell, value = image.cell(index), image.value(index)
    if cell is None:
        return value, (value != 0.0) == (ordered != point.offset)
    holds = bytes(image.raw[point.table][cell.position : cell.position + cell.size])
    if cell.mask is not None:
        holds = masked(holds, cell.mask)
    return value, holds == cell.encode(ordered)


def _other(cell: Cell, big: bytes) -> float:
    """Its value if its registers were in order."""
    number = cell.encoding.unpack(big)
    if cell.exact:
        return number
    value = float(number) * cell.scale
    return (scaled(value, cell.power()) if cell.power is not None else value) + cell.offset


def _step(point: Point, cell: Cell, power: int | None) -> float:
    """What the last digit of an integer is worth."""
    if cell.floating:
        return 0.0
    if cell.power is None:
        return point.scale
    return scaled(point.scale, cell.power() if power is None else power)


def _register(point: Point, cell: Cell | None, data: bytes, power: int | None = None) -> Shown:
    if cell is None:
        return Shown(float(data[0]), 1.0)
    value = cell.decode(data, power)
    return Shown(
        value,
        _step(point, cell, power),
        cell.floating and cell.size <= 4,
        value - value != 0.0 or cell.is_none(data),
    )


def close(one: float, other: float) -> bool:
    """Is it the same number, to the digits of a binary32? Integers of 64 bits exactly."""
    if type(one) is int and type(other) is int:
        return one == other
    return one == other or abs(one - other) <= 3e-7 * max(abs(one), abs(other))


class NodeWitness(Nobody):
    """Of an OPC UA server: every look at a node that it has made, as (number, point, what it told).
    ``numbered``: how many there were."""

    def __init__(self, image: NodeImage, looks: deque[tuple[int, int, NodeValue]]) -> None:
        self._image, self._looks = image, looks
        self._begun = 0

    def begin(self) -> None:
        """Only later looks count."""
        self._begun = self._looks[-1][0] + 1 if self._looks else 0

    def exactly(self) -> dict[int, float]:
        """The last look at each, if it is of this call."""
        out: dict[int, float] = {}
        for number, point, told in reversed(self._looks):
            if number < self._begun or len(out) == len(self._image.types):
                break
            if told.status < BAD:
                out.setdefault(point, told.value)
        return out

    def _told(self, index: int) -> list[NodeValue]:
        return [value for number, point, value in self._looks if point == index and number >= self._begun]

    def shown(self, index: int) -> list[Shown] | None:
        """Of each look."""
        return [node_shown(self._image, index, told) for told in self._told(index)]

    def valueless(self, index: int, status: int) -> bool:
        """The server has said that status of the value, or has told no number."""
        told = self._told(index)
        if any(one.status == status for one in told):
            return not of_the_request(status)
        return any(one.value - one.value != 0.0 for one in told)

    def holds(self, index: int, ordered: float) -> tuple[float, bool, str] | None:
        """The node's own register."""
        return *held(self._image.device, index, ordered), ""

    def likely(self, index: int, value: float) -> str:
        """A value of before?"""
        older = [told.value for number, point, told in self._looks if point == index and number < self._begun]
        return "a stale answer" if any(close(one, value) for one in older) else ""


def node_shown(image: NodeImage, index: int, told: NodeValue) -> Shown:
    """What an OPC UA node told."""
    kind = image.types[index]
    point = image.device.model.points[index]
    step = 1.0 if kind not in ("Float", "Double") else 0.0
    single = kind == "Float" or point.type == "f32"
    return Shown(told.value, step, single, told.status >= BAD or told.value - told.value != 0.0)


class NoticeWitness(NodeWitness):
    """Of a subscription: the looks whose source timestamp is the batch's. ``at`` says which before ``shown``
    is asked."""

    def __init__(self, image: NodeImage, looks: deque[tuple[int, int, NodeValue]], epoch_ns: int) -> None:
        super().__init__(image, looks)
        self._epoch_ns, self._at_us = epoch_ns, -1
        self._of = -1, -1
        self._by_point: dict[int, list[NodeValue]] = {}

    def begin(self) -> None:
        """A notification may be older than the call that returns it."""

    def exactly(self) -> dict[int, float]:
        """Which look it is, the instant says."""
        return {}

    def at(self, source_ns: int) -> None:
        """The batch is of that instant, in ns since 1970; a server's clock has microseconds."""
        self._at_us = source_ns // 1000

    def _told(self, index: int) -> list[NodeValue]:
        newest = self._at_us, self._looks[-1][0] if self._looks else 0
        if self._of != newest:
            self._of, self._by_point = newest, {}
            for _, point, value in self._looks:
                if (self._epoch_ns + value.source_ns) // 1000 == self._at_us:
                    self._by_point.setdefault(point, []).append(value)
        return self._by_point.get(index, [])

    def shown(self, index: int) -> list[Shown] | None:
        """Nobody knows of what was looked at longer ago than is kept."""
        found = super().shown(index)
        if not found and self._looks and self._looks[0][0] > 1:
            oldest_ns = min(
                (value.source_ns for _, point, value in self._looks if point == index), default=None
            )
            if oldest_ns is None or (self._epoch_ns + oldest_ns) // 1000 > self._at_us:
                return None
        return found

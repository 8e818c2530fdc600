"""A Modbus server, sans-IO: request bytes in, answer bytes out, over one device's image.

Belongs here: pymodbus's PDU code, called synchronously, and the corrections of its deviations (DEVIATIONS).
It is loaded when the first PDU comes that isn't answered without it: most runs only read registers.
Never: time that passes, sockets, what a register means. MODBUS Application Protocol Specification V1.1b3
sections 6 and 7.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import TYPE_CHECKING, Any

from twinloop.devices.modbus.answers import COMPILED
from twinloop.devices.modbus.frames import RtuRequests, ascii_body, rtu_body
from twinloop.devices.model.check_sums import ascii_frame, rtu_frame
from twinloop.devices.model.device import Device
from twinloop.devices.model.misbehaviour import Misbehaviour, Spread, in_order
from twinloop.devices.model.profile import READ_MAX
from twinloop.devices.model.protocols import ASCII, MBAP, RTU

if TYPE_CHECKING:
    from pymodbus.constants import ExcCodes
    from pymodbus.pdu import DecodePDU

MBAP_BYTES = 7
PDU_BYTES_MAX = 253
"""section 4.1"""
BUFFER_BYTES_MAX = 64 << 10
"""of a TCP connection: a peer that sends more without a whole request is cut off"""

DEVIATIONS = (
    "a count or length out of range answers fc|0x80 with 03, an unknown function fc|0x80 with 01 "
    "(pymodbus: 0x80 with 01)",
    "function 5 takes 0x0000 and 0xFF00 only, else exception 03 (pymodbus: any value)",
    "function 23 writes nothing when an address that it reads doesn't exist (pymodbus: writes, then refuses)",
    "a register or coil that can't be written is exception 02, an address that is none for writes "
    "(pymodbus: knows no such registers)",
    "another unit id: silence on a line, exception 0B over TCP (pymodbus: 04); unit 0 on a line is a "
    "broadcast: no answer",
    "pipelined requests in one segment are all answered (pymodbus: one)",
    "function 43/14 answers with the device's own identity (pymodbus: one identity a process); 7, 8, 11, "
    "12, 17, 20, 21, "
    "24 are unknown functions (pymodbus: one state a process)",
    "a datagram that isn't one whole request gets no answer (pymodbus: joins it to the next one)",
    "RTU over TCP: a frame of an unknown function answers exception 01 (pymodbus: silence); half a request "
    "is discarded after 100 ms (pymodbus: waits for the rest without end, and takes the next request for it)",
    "ASCII: a colon begins a frame wherever it comes, and half a frame is discarded after 1 s, as section "
    "2.5.2.1 says (pymodbus: what follows half a frame is lost with it); signs, blanks and other characters "
    "that aren't hexadecimal digits make no frame (pymodbus: takes some in the LRC, raises for others in the "
    "address)",
    "ASCII: a frame has 513 characters at most (pymodbus: 516), and the line feed is never changed "
    "(pymodbus: one delimiter a process)",
)
"""where this server answers otherwise than pymodbus 3.16.1, which is otherwise taken as it is; each has a
test"""

_TABLE_OF = {
    1: "coil",
    2: "discrete",
    3: "holding",
    4: "input",
    5: "coil",
    6: "holding",
    15: "coil",
    16: "holding",
    22: "holding",
    23: "holding",
}
_COUNT_MAX = {1: 2000, 2: 2000, 3: 125, 4: 125, 15: 1968, 16: 123}
"""sections 6.1 to 6.4, 6.11, 6.12"""
READ_WRITE = 23
_READS = (1, 2, 3, 4, READ_WRITE)
_BASIC = 2
"""the last of the basic objects of Read Device Identification"""
_IDENTITY_HEAD = 7
"""bytes of its answer before the objects"""
_READ = Struct(">BHH")
"""function, address, count"""
_LENGTHS = tuple((size + 1).to_bytes(2, "big") for size in range(PDU_BYTES_MAX + 1))
"""size of an answer's PDU -> the MBAP header's length field, the unit included"""
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE, _NO_TARGET = 1, 2, 3, 11


class _Context:
    """pymodbus's data model, by duck type, over a register image."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def device_ids(self) -> list[int]:
        return [self._device.unit_id]

    async def async_getValues(self, device_id: int, func_code: int, address: int, count: int = 1) -> Any:  # noqa: N802  # pymodbus's name
        table = _TABLE_OF[func_code]
        image = self._device.image
        # who writes is answered with what is there, and a mask write reads what it changes: as it is
        true = func_code not in _READS
        if table in image.bits:
            values: Any = image.read_bits(table, address, count, true)
        else:
            values = image.read_words(table, address, count, true)
        return _no_address() if values is None else values

    async def async_setValues(self, device_id: int, func_code: int, address: int, values: list[int]) -> Any:  # noqa: N802
        table, image = _TABLE_OF[func_code], self._device.image
        return (
            None
            if image.writable(table, address, len(values)) and image.write(table, address, values)
            else _no_address()
        )


class ModbusServer:
    """Answers for one device. ``respond_tcp`` takes one stream's bytes, ``respond_udp`` one datagram,
    ``respond_rtu`` and ``respond_ascii`` one frame of a line, ``respond_rtu_tcp`` a stream's bytes without
    MBAP.

    ``beside``: another server of the same device, for a second client's connection: what is wrong with it is
    wrong with both.
    ``unit_id``: by which it is known on this connection, if not by the device's own. ``framing``: of its
    streams, MBAP or RTU; ``respond`` is what answers them.
    """

    __slots__ = (
        "_buffer",
        "_connections",
        "_plain",
        "_requests",
        "device",
        "faults",
        "framing",
        "slow_ns",
        "unit_id",
        "untouched",
        "witnesses",
    )

    mannered = echoes = False
    """has its device manners (mannered.py); does its line bring back what is sent?"""

    def __init__(
        self,
        device: Device,
        beside: ModbusServer | None = None,
        unit_id: int | None = None,
        framing: str = MBAP,
    ) -> None:
        self.device = device
        self.unit_id = device.unit_id if unit_id is None else unit_id
        self.framing: str = framing if beside is None else beside.framing
        self._requests: RtuRequests | None = None
        """of a stream without MBAP, from its first bytes on"""
        self._buffer = b""
        profile = device.model.profile
        self._plain = not profile.functions and profile.read_max >= READ_MAX
        """does it answer all that it is asked?"""
        self.faults: list[Misbehaviour] = _lasting(device) if beside is None else beside.faults
        self._connections: list[ModbusServer] = [] if beside is None else beside._connections
        self._connections.append(self)
        self.slow_ns = 0
        """how much longer the answer to the last request takes, by faults"""
        self.untouched = True
        """was the last answer the right one, whatever faults there are?"""
        self.witnesses: tuple[Callable[[tuple[bytes, bytes]], None], ...] = ()
        """told (request, right answer) of each PDU that reads or writes"""

    @property
    def connections(self) -> int:
        """Servers that stand beside the device's own: one for each client's connection."""
        return len(self._connections) - 1

    def beside(self, unit_id: int | None = None) -> ModbusServer:
        """Another server of the same device, for another connection; ``unit_id`` as it is known there."""
        return ModbusServer(self.device, self, unit_id)

    def connected(self, now_ns: int) -> None:
        """This connection stands. Asked with manners only."""

    def spoke(self, now_ns: int) -> None:
        """On a line: its answer's last character is out. Asked with manners only."""

    def misbehave(self, fault: Misbehaviour) -> Callable[[], None]:
        """A fault of the protocol begins; returns what ends it."""
        self.faults.append(fault)
        return lambda: self._behave(fault)

    def _behave(self, fault: Misbehaviour) -> None:
        self.faults.remove(fault)
        for server in self._connections:
            server.slow_ns = 0

    def _spoilt(self, answer: bytes, framing: str) -> bytes | None:
        """The answer after all faults, None for silence."""
        spoilt: bytes | None = answer
        self.slow_ns = 0
        for fault in in_order(self.faults):
            if spoilt is not None and fault.hits():
                if fault.kind == "slow":
                    self.slow_ns += fault.amount
                spoilt = fault.spoil(spoilt, framing)
        self.untouched = spoilt == answer
        return spoilt

    def leave(self) -> None:
        """This connection is over: its device needs to know of it no more."""
        self._connections.remove(self)

    # ---- framing ---------------------------------------------------------------------------------
    def reset(self) -> None:
        """A new connection: forget half a request."""
        self._buffer = b""
        if self._requests is not None:
            self._requests.clear()

    def respond(self, data: bytes, now_ns: int) -> list[bytes] | None:
        """``respond_tcp`` or ``respond_rtu_tcp``, by this server's framing."""
        if self.framing == MBAP:
            return self.respond_tcp(data, now_ns)
        return self.respond_rtu_tcp(data, now_ns)

    def respond_tcp(self, data: bytes, now_ns: int) -> list[bytes] | None:
        """Answers to every whole request that ``data`` completes, in order; None: the peer must be
        disconnected."""
        if COMPILED.read is not None:
            plain: list[bytes] | None = COMPILED.read(self, data, now_ns)
            if plain is not None:
                return plain
        buffer = self._buffer + data if self._buffer else data
        if len(buffer) == 12 and buffer[2:6] == b"\0\0\0\x06":
            self._buffer = b""
            answer = self._answer_tcp(buffer, now_ns)  # one whole request of the usual length
            if self.faults:
                spoilt = self._spoilt(answer, MBAP)
                return [] if spoilt is None else [spoilt]
            return [answer]
        answers = []
        while len(buffer) >= MBAP_BYTES:
            length = int.from_bytes(buffer[4:6], "big")
            if buffer[2:4] != b"\0\0" or not 2 <= length <= PDU_BYTES_MAX + 1:
                self._buffer = b""
                return None
            if len(buffer) < length + 6:
                break
            frame, buffer = buffer[: length + 6], buffer[length + 6 :]
            spoilt = self._spoilt(self._answer_tcp(frame, now_ns), MBAP)
            if spoilt is not None:
                answers.append(spoilt)
        self._buffer = buffer
        return answers

    def _answer_tcp(self, frame: bytes, now_ns: int) -> bytes:
        unit = frame[6]
        if unit != self.unit_id:
            answer = bytes((frame[7] & 0x7F | 0x80, _NO_TARGET))
        else:
            answer = self.respond_pdu(frame[7:], now_ns)
        return frame[:4] + _LENGTHS[len(answer)] + frame[6:7] + answer

    def respond_udp(self, datagram: bytes, now_ns: int) -> bytes | None:
        """The answer to one datagram, which is a datagram; None for silence: there is no connection to end
        over what is no request."""
        size = len(datagram)
        whole = size - 6 == int.from_bytes(datagram[4:6], "big") and datagram[2:4] == b"\0\0"
        if not whole or not MBAP_BYTES < size <= MBAP_BYTES + PDU_BYTES_MAX:
            return None
        answer = self._answer_tcp(datagram, now_ns)
        return self._spoilt(answer, MBAP) if self.faults else answer

    def respond_rtu(self, frame: bytes, now_ns: int) -> bytes | None:
        """The answer to one RTU frame; None for silence: bad CRC, another unit, a broadcast."""
        body = rtu_body(frame)
        return None if body is None else self._framed(body, now_ns, RTU)

    def respond_ascii(self, frame: bytes, now_ns: int) -> bytes | None:
        """The answer to one ASCII frame, from its colon to CR LF; None for silence: a wrong LRC, no
        hexadecimal digits, another unit, a broadcast."""
        body = ascii_body(frame)
        return None if body is None else self._framed(body, now_ns, ASCII)

    def respond_rtu_tcp(self, data: bytes, now_ns: int) -> list[bytes]:
        """Answers to every whole RTU frame that ``data`` completes in a stream without MBAP, in order. What
        can't be one is discarded in silence, as by a device behind a converter."""
        answers = []
        if self._requests is None:
            self._requests = RtuRequests()
        for frame in self._requests.feed(data, now_ns):
            answer = self._framed(frame[:-2], now_ns, RTU)
            if answer is not None:
                answers.append(answer)
        return answers

    def _framed(self, body: bytes, now_ns: int, framing: str) -> bytes | None:
        """The answer to unit and PDU, as it goes out on a line; None for silence."""
        unit = body[0]
        if unit not in (0, self.unit_id):
            return None
        answer = self.respond_pdu(body[1:], now_ns)
        if not unit:
            return None
        right = rtu_frame(body[:1] + answer) if framing == RTU else ascii_frame(body[:1] + answer)
        return self._spoilt(right, framing) if self.faults else right

    # ---- one request -----------------------------------------------------------------------------
    def respond_pdu(self, pdu: bytes, now_ns: int) -> bytes:
        """The answering PDU; the image is as of ``now_ns``."""
        code = pdu[0]
        if code in (3, 4) and len(pdu) == 5 and self._plain:
            # Most of all traffic: the image's bytes are the answer. tests/devices holds it against pymodbus's
            # own answers.
            _, address, count = _READ.unpack(pdu)
            if 1 <= count <= 125:
                device = self.device
                device.advance(now_ns)
                data = device.image.read_raw("holding" if code == 3 else "input", address, count)
                if data is None:
                    return bytes((code | 0x80, _ILLEGAL_ADDRESS))
                answer = bytes((code, 2 * count)) + data
                for told in self.witnesses:
                    told((pdu, answer))
                return answer
        refused = self._refuse(pdu) if self._plain else self._unknown(pdu) or self._refuse(pdu)
        if refused is not None:
            return bytes((code | 0x80, refused))
        if code == 43:
            return self._identify(pdu)
        self.device.advance(now_ns)
        answer = self._ask_pymodbus(pdu)
        for told in self.witnesses:
            told((pdu, answer))
        return answer

    def _ask_pymodbus(self, pdu: bytes) -> bytes:
        """pymodbus's own answer; the image is as it stands."""
        code = pdu[0]
        request = _decoder().decode(pdu)
        if request is None:
            return bytes((code | 0x80, _ILLEGAL_VALUE))
        answer = _run(request.datastore_update(_Context(self.device), self.device.unit_id))  # type: ignore[arg-type]  # a duck type
        encoded: bytes = answer.encode()
        return bytes((answer.function_code,)) + encoded

    def _refuse(self, pdu: bytes) -> int | None:
        """The exception code for what pymodbus would get wrong, None to go on."""
        code, size = pdu[0], len(pdu)
        if code in (1, 2, 3, 4):
            return None if size == 5 and 1 <= (pdu[3] << 8 | pdu[4]) <= _COUNT_MAX[code] else _ILLEGAL_VALUE
        if code == 43:
            return (
                None
                if size == 4 and pdu[1] == 14
                else _ILLEGAL_VALUE
                if size >= 2 and pdu[1] == 14
                else _ILLEGAL_FUNCTION
            )
        if code not in _TABLE_OF:
            return _ILLEGAL_FUNCTION
        if code == 5:
            return None if size == 5 and pdu[3:5] in (b"\0\0", b"\xff\0") else _ILLEGAL_VALUE
        if code in (15, 16):
            if size < 6:
                return _ILLEGAL_VALUE
            count = int.from_bytes(pdu[3:5], "big")
            payload = (count + 7) // 8 if code == 15 else 2 * count
            return (
                None if 1 <= count <= _COUNT_MAX[code] and pdu[5] == payload == size - 6 else _ILLEGAL_VALUE
            )
        if code == 23:
            if size < 10:
                return _ILLEGAL_VALUE
            reads, writes = int.from_bytes(pdu[3:5], "big"), int.from_bytes(pdu[7:9], "big")
            if not (1 <= reads <= 125 and 1 <= writes <= 121 and pdu[9] == 2 * writes == size - 10):
                return _ILLEGAL_VALUE
            there = (
                self.device.image.read_words("holding", int.from_bytes(pdu[1:3], "big"), reads) is not None
            )
            return None if there else _ILLEGAL_ADDRESS
        return None if size == (7 if code == 22 else 5) else _ILLEGAL_VALUE

    def _unknown(self, pdu: bytes) -> int | None:
        """The exception code for a function that this device hasn't got, or for more registers than it reads
        at once."""
        profile, code = self.device.model.profile, pdu[0]
        if profile.functions and code not in profile.functions:
            return _ILLEGAL_FUNCTION
        reads = code in (3, 4, READ_WRITE) and len(pdu) >= 5
        return _ILLEGAL_VALUE if reads and int.from_bytes(pdu[3:5], "big") > profile.read_max else None

    def _identify(self, pdu: bytes) -> bytes:
        """Read Device Identification, section 6.21: one object, the basic ones, or all; what has no room in
        one answer comes with the next."""
        kind, first = pdu[2], pdu[3]
        model = self.device.model
        said = model.profile.identity or ((0, model.vendor), (1, model.name), (2, "1.0"))
        objects = {number: text.encode() for number, text in said}
        level = 0x82 if any(number > _BASIC for number in objects) else 0x81
        if kind not in (1, 2, 3, 4):
            return bytes((0xAB, _ILLEGAL_VALUE))
        if kind == 4 and first not in objects:
            return bytes((0xAB, _ILLEGAL_ADDRESS))
        wanted = [n for n in sorted(objects) if n <= _BASIC or kind != 1]
        if kind == 4:
            wanted = [first]
        elif first in wanted:
            wanted = wanted[wanted.index(first) :]
        body, chosen = b"", 0
        for number in wanted:
            one = bytes((number, len(objects[number]))) + objects[number]
            if len(body) + len(one) > PDU_BYTES_MAX - _IDENTITY_HEAD:
                return bytes((43, 14, kind, level, 0xFF, number, chosen)) + body
            body, chosen = body + one, chosen + 1
        return bytes((43, 14, kind, level, 0, 0, chosen)) + body


def _lasting(device: Device) -> list[Misbehaviour]:
    """What is with a device's answers from the beginning on: how long each takes."""
    response = device.model.profile.response
    return [] if response is None else [Spread(response, device.key)]


@cache
def _decoder() -> DecodePDU:
    from pymodbus.pdu import DecodePDU

    return DecodePDU(True)


@cache
def _no_address() -> ExcCodes:
    from pymodbus.constants import ExcCodes

    return ExcCodes.ILLEGAL_ADDRESS


def _run(coroutine: Any) -> Any:
    """Drive pymodbus's coroutine, which never waits over this context."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("pymodbus waited; a sans-IO server can't")


COMPILED.serve(ModbusServer)

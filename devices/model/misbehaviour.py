"""Devices that speak wrongly: what they answer instead of the right answer, or whether, or when.

Belongs here: kinds of faults, and those of the Modbus protocol, sans-IO: right answer in, wrong answer out
(OPC UA's: device.py).
Never: values (overlay.py), time that passes (a slow device only says by how much).
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.devices.model.check_sums import ascii_frame, crc
from twinloop.devices.model.profile import Response
from twinloop.devices.model.protocols import ASCII, MBAP, RTU
from twinloop.devices.model.signal import mixed

_BUSY = 6
"""MODBUS Application Protocol Specification V1.1b3 section 7: Server Device Busy"""


class Misbehaviour:
    """One fault of one device. ``amount``: ns for slow, the exception code for exception; ``share`` of
    requests, 0 to 1, that are hit."""

    __slots__ = ("_asked", "_key", "_share_word", "amount", "kind")

    def __init__(self, kind: str, key: int, amount: int = 0, share: float = 1.0) -> None:
        self.kind, self.amount = kind, amount
        self._key, self._share_word = key, int(share * (1 << 64))
        self._asked = 0

    def hits(self) -> bool:
        """Is the next request hit? Counted, so that a device's n-th request has its fate whatever others
        do."""
        self._asked += 1
        return mixed(self._key, self._asked) < self._share_word

    def spoil(self, answer: bytes, framing: str) -> bytes | None:
        """The frame that goes out instead of the right one, None for silence."""
        spoil = _OF_FRAMING[framing].get(self.kind)
        return (
            answer
            if spoil is None or (len(answer) < _BYTES_MIN[framing] and self.kind not in _OF_ANY_BYTES)
            else spoil(answer, self.amount)
        )


class Spread(Misbehaviour):
    """No fault: how long the answers of a device take, each by itself. ``amount``: what the next one takes
    longer than the quickest."""

    __slots__ = ("_response",)

    def __init__(self, response: Response, key: int) -> None:
        super().__init__("slow", key)
        self._response = response

    def hits(self) -> bool:
        """Always; the n-th answer has its time whatever others do."""
        self._asked += 1
        self.amount = self._response.at(mixed(self._key, self._asked)) - self._response.min_ns
        return True


_BYTES_MIN = {MBAP: 9, RTU: 5, ASCII: 11}
"""of an answer that a fault can be worked into: with a PDU of two bytes at least"""
_OF_ANY_BYTES = ("silent", "truncated", "bad-crc")
_STAGES = (
    "slow",
    "busy",
    "exception",
    "wrong-transaction",
    "wrong-unit",
    "length-lie",
    "bad-crc",
    "truncated",
    "silent",
)
"""faults of one device at once act in this order: what is said, how it is framed, how much of it goes out"""


def in_order(faults: list[Misbehaviour]) -> list[Misbehaviour]:
    """Faults in the order in which they act; of one kind in the order in which they began."""
    return sorted(faults, key=lambda fault: _STAGES.index(fault.kind)) if len(faults) > 1 else faults


def _silent(answer: bytes, amount: int) -> None:
    return None


def _truncated(answer: bytes, amount: int) -> bytes:
    return answer[: max(1, len(answer) // 2)]


def _mbap(head: bytes, pdu: bytes) -> bytes:
    """``head``: transaction, protocol; then length and the unit that stands in ``head``'s last byte."""
    return head[:4] + (len(pdu) + 1).to_bytes(2, "big") + head[6:7] + pdu


def _with_crc(body: bytes) -> bytes:
    return body + crc(body)


def _body(frame: bytes) -> bytes:
    """Unit and PDU of an ASCII frame; what an earlier fault has made of it has hexadecimal digits still."""
    return bytes.fromhex(frame[1:-4].decode("ascii"))


def _with_lrc(body: bytes) -> bytes:
    return ascii_frame(body)


def _exception_tcp(answer: bytes, code: int) -> bytes:
    return _mbap(answer, bytes((answer[7] | 0x80, code)))


def _exception_rtu(answer: bytes, code: int) -> bytes:
    return _with_crc(bytes((answer[0], answer[1] | 0x80, code)))


def _exception_ascii(answer: bytes, code: int) -> bytes:
    unit, function = _body(answer)[:2]
    return _with_lrc(bytes((unit, function | 0x80, code)))


def _transaction(answer: bytes, amount: int) -> bytes:
    return ((int.from_bytes(answer[:2], "big") + 1) % 65536).to_bytes(2, "big") + answer[2:]


def _unit_tcp(answer: bytes, amount: int) -> bytes:
    return answer[:6] + bytes((answer[6] ^ 1,)) + answer[7:]


def _unit_rtu(answer: bytes, amount: int) -> bytes:
    return _with_crc(bytes((answer[0] % 247 + 1,)) + answer[1:-2])


def _unit_ascii(answer: bytes, amount: int) -> bytes:
    body = _body(answer)
    return _with_lrc(bytes((body[0] % 247 + 1,)) + body[1:])


_COUNTED = (1, 2, 3, 4, 23)
"""functions whose answer has a byte count"""


def _lie_tcp(answer: bytes, amount: int) -> bytes:
    return answer[:8] + bytes(((answer[8] + 2) % 256,)) + answer[9:] if answer[7] in _COUNTED else answer


def _lie_rtu(answer: bytes, amount: int) -> bytes:
    return (
        _with_crc(answer[:2] + bytes(((answer[2] + 2) % 256,)) + answer[3:-2])
        if answer[1] in _COUNTED
        else answer
    )


def _lie_ascii(answer: bytes, amount: int) -> bytes:
    body = _body(answer)
    if body[1] not in _COUNTED:
        return answer
    return _with_lrc(body[:2] + bytes(((body[2] + 2) % 256,)) + body[3:])


def _lrc(answer: bytes, amount: int) -> bytes:
    return answer[:-4] + f"{int(answer[-4:-2], 16) ^ 0xFF:02X}".encode() + answer[-2:]


def _crc(answer: bytes, amount: int) -> bytes:
    return answer[:-1] + bytes((answer[-1] ^ 0xFF,))


Spoil = Callable[[bytes, int], bytes | None]
_TCP: dict[str, Spoil] = {
    "silent": _silent,
    "truncated": _truncated,
    "busy": lambda answer, _: _exception_tcp(answer, _BUSY),
    "exception": _exception_tcp,
    "wrong-transaction": _transaction,
    "wrong-unit": _unit_tcp,
    "length-lie": _lie_tcp,
}
_RTU: dict[str, Spoil] = {
    "silent": _silent,
    "truncated": _truncated,
    "busy": lambda answer, _: _exception_rtu(answer, _BUSY),
    "exception": _exception_rtu,
    "wrong-unit": _unit_rtu,
    "length-lie": _lie_rtu,
    "bad-crc": _crc,
}
_ASCII: dict[str, Spoil] = {
    "silent": _silent,
    "truncated": _truncated,
    "busy": lambda answer, _: _exception_ascii(answer, _BUSY),
    "exception": _exception_ascii,
    "wrong-unit": _unit_ascii,
    "length-lie": _lie_ascii,
    "bad-crc": _lrc,
}
_OF_FRAMING = {MBAP: _TCP, RTU: _RTU, ASCII: _ASCII}

KINDS: dict[str, str] = {
    "silent": "no answer",
    "slow": "the answer takes longer, by `delay`",
    "busy": "exception 06, server device busy (OPC UA: BadTooManyOperations)",
    "exception": "the answer is the exception `code` (Modbus)",
    "truncated": "half an answer",
    "wrong-transaction": "another transaction id (Modbus TCP)",
    "wrong-unit": "another unit id (Modbus)",
    "length-lie": "a frame whose byte count is two too large",
    "bad-crc": "a wrong check sum: CRC (Modbus RTU, also over TCP) or LRC (Modbus ASCII)",
    "service-fault": "a ServiceFault with the StatusCode `status` (OPC UA)",
    "session-kill": "the server has forgotten its sessions, or a share of them, once (OPC UA)",
}
"""kind of misbehaviour -> what comes"""
_SUMMED = ("modbus-rtu", "modbus-ascii", "modbus-rtu-over-tcp")
_MODBUS = ("modbus-tcp", *_SUMMED)
_ASKED = (*_MODBUS, "opcua")
SPOKEN: dict[str, tuple[str, ...]] = {
    "silent": (*_ASKED, "mqtt"),
    "slow": (*_ASKED, "mqtt"),
    "busy": _ASKED,
    "exception": _MODBUS,
    "truncated": (*_ASKED, "mqtt"),
    "wrong-transaction": ("modbus-tcp",),
    "wrong-unit": _MODBUS,
    "length-lie": _ASKED,
    "bad-crc": _SUMMED,
    "service-fault": ("opcua",),
    "session-kill": ("opcua",),
}
"""kind -> the protocols that have it"""

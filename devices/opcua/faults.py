"""What a faulty OPC UA server sends instead of a message: bytes for bytes (OPC 10000-6 section 6.7).

Belongs here: messages that are spoilt, and how they are numbered. Never: which fault is under way
(device.py).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from twinloop.devices.model.statuses import STATUS_CODES

_FAULT = b"\x01\x00" + struct.pack("<H", 397)
"""NodeId of ServiceFault's binary encoding"""
_HEADER_BYTES = 24
"""of a MSG chunk: type, size, channel, token, sequence number, request id (OPC 10000-6 section 6.7.2)"""


def sequence_numbers(message: bytes) -> list[int]:
    """Where the sequence number of each of its chunks begins (OPC 10000-6 sections 6.7.2.3 and 6.7.2.4); HEL,
    ACK and ERR have none."""
    found, start = [], 0
    while message[start : start + 3] in (b"MSG", b"OPN", b"CLO") and len(message) >= start + _HEADER_BYTES:
        at = start + 16
        if message[start : start + 3] == b"OPN":
            at = start + 12
            for _ in ("policy", "certificate", "thumbprint"):
                at += 4 + max(0, int.from_bytes(message[at : at + 4], "little", signed=True))
        found.append(at)
        start += max(_HEADER_BYTES, int.from_bytes(message[start + 4 : start + 8], "little"))
    return found


def renumbered(message: bytes, less: int) -> bytes:
    """The message with sequence numbers that are so much lower; what was cut off stays as it is."""
    out = bytearray(message)
    for at in sequence_numbers(message):
        if at + 4 <= len(out):
            out[at : at + 4] = (int.from_bytes(out[at : at + 4], "little") - less & 0xFFFFFFFF).to_bytes(
                4, "little"
            )
    return bytes(out)


def _service_fault(answer: bytes, code: int) -> bytes:
    """A ServiceFault with the answer's own header; what isn't an answer to a service goes out as it is."""
    if answer[:3] != b"MSG" or len(answer) < _HEADER_BYTES + 16:
        return answer
    at = _HEADER_BYTES + 4  # behind the NodeId of the response's type, which is of two or four bytes
    if answer[_HEADER_BYTES] == 0:
        at = _HEADER_BYTES + 2
    times_and_handle = answer[at : at + 12]
    body = _FAULT + times_and_handle + struct.pack("<IBi", code, 0, -1) + b"\0\0\0"
    return b"MSGF" + struct.pack("<I", _HEADER_BYTES + len(body)) + answer[8:_HEADER_BYTES] + body


def is_fault(message: bytes) -> bool:
    """Is it a whole ServiceFault?"""
    return (
        message[:4] == b"MSGF"
        and message[_HEADER_BYTES : _HEADER_BYTES + 4] == _FAULT
        and len(message) == int.from_bytes(message[4:8], "little")
    )


def _length_lie(answer: bytes, amount: int) -> bytes:
    """The size in the header is two larger than what follows."""
    return answer[:4] + struct.pack("<I", int.from_bytes(answer[4:8], "little") + 2) + answer[8:]


ORDER = ("slow", "busy", "service-fault", "length-lie", "truncated", "silent")
"""faults at once act in this order: what is said, how it is framed, how much of it goes out"""
SPOIL: dict[str, Callable[[bytes, int], bytes | None]] = {
    "silent": lambda answer, _: None,
    "truncated": lambda answer, _: answer[: max(1, len(answer) // 2)],
    "service-fault": _service_fault,
    "busy": lambda answer, _: _service_fault(answer, STATUS_CODES["BadTooManyOperations"]),
    "length-lie": _length_lie,
}

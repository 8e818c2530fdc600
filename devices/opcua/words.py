"""What a real OPC UA server said on the wire: the StatusCodes of the values that it sent.

Belongs here: answers taken apart by asyncua's own code. Never: sockets, what a status means for a sample
(sim/accounts/quality.py).
"""

from __future__ import annotations

import struct
from typing import Any

_HEADER_BYTES = 24
"""of a MSG chunk (OPC 10000-6 section 6.7.2), without security"""
_READ_RESPONSE = 634
"""the binary encoding's NodeId (OPC 10000-6 annex A.3)"""


def said_no_value(frames: list[bytes], status: int) -> bool:
    """Did the server itself send that status with a value, or a number that is none?"""
    values = _values(frames)
    if any(status == (0 if value.StatusCode is None else int(value.StatusCode.value)) for value in values):
        return True
    numbers = [
        value.Value.Value
        for value in values
        if value.Value is not None and isinstance(value.Value.Value, float)
    ]
    return any(number - number != 0.0 for number in numbers)


def _values(frames: list[bytes]) -> list[Any]:
    """Each value in the Read answers among these frames, in order; what isn't one says nothing."""
    from asyncua import ua
    from asyncua.common.utils import Buffer
    from asyncua.ua.ua_binary import struct_from_binary
    from asyncua.ua.uaerrors import UaError

    out: list[Any] = []
    body = b""
    for frame in frames:
        if frame[:3] != b"MSG" or len(frame) <= _HEADER_BYTES:
            continue
        body += frame[_HEADER_BYTES:]
        if frame[3:4] == b"C":
            continue
        whole, body = body, b""
        if whole[:4] != b"\x01\x00" + _READ_RESPONSE.to_bytes(2, "little"):
            continue
        try:
            answer: Any = struct_from_binary(ua.ReadResponse, Buffer(whole))
        except (UaError, struct.error, ValueError, IndexError, KeyError, TypeError):
            continue  # the driver has refused it, too
        out += answer.Results or ()
    return out

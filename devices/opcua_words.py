"""What a real OPC UA server said on the wire: the StatusCodes of the values that it sent.

Belongs here: answers taken apart by asyncua's own code. Never: sockets, what a status means for a sample (sim/quality.py).
"""

from __future__ import annotations

import struct
from typing import Any

_HEADER_BYTES = 24
"""of a MSG chunk (OPC 10000-6 section 6.7.2), without security"""
_READ_RESPONSE = 634
"""the binary encoding's NodeId (OPC 10000-6 annex A.3)"""


def statuses_told(frames: list[bytes]) -> list[int]:
    """The status of each value in the Read answers among these frames, in order; what isn't one says nothing."""
    from asyncua import ua
    from asyncua.common.utils import Buffer
    from asyncua.ua.ua_binary import struct_from_binary
    from asyncua.ua.uaerrors import UaError

    out: list[int] = []
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
        out += [0 if value.StatusCode is None else int(value.StatusCode.value) for value in answer.Results or ()]
    return out

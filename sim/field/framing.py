"""Where a reply ends on a stream of bytes: the WIT's ``framing``.

Belongs here: cutting one frame from what has come. Never: timeouts and connections (the ports'), or what a
frame means (the guests').
"""

from __future__ import annotations

from twinloop.components.contract.contract import Framing
from twinloop.components.native.choice import CHOICE

REPLY_BYTES_MAX = 64 << 10
"""one frame from the bus to a guest; far above any field protocol's, far below what the host can carry
over"""
END_BYTES_MAX = 16
"""with which a frame may end"""


def plain_cut_frame(buffer: bytes, framing: Framing) -> tuple[bytes | None, bool]:
    """(one whole frame or None, is it too long): where a reply ends on a stream, by the WIT's ``framing``."""
    tag, value = framing
    if tag == "length-field":
        offset, size, big_endian, adjust = value.offset, value.size, value.big_endian, value.adjust
        end, come = offset + size, len(buffer)
        if size == 2 and big_endian and come >= end:  # Modbus's, written out
            length = end + (buffer[offset] << 8 | buffer[end - 1]) + adjust
        elif size not in (1, 2, 4, 8) or come < end:
            return None, size not in (1, 2, 4, 8)
        else:
            number = int.from_bytes(buffer[offset:end], "big" if big_endian else "little")
            length = end + number + adjust
        if length > REPLY_BYTES_MAX or length < end:
            return None, True
        return (buffer[:length] if come >= length else None), False
    if tag == "exactly":
        if value > REPLY_BYTES_MAX:
            return None, True
        return (buffer[:value] if len(buffer) >= value else None), False
    if tag == "until":
        if not 1 <= len(value) <= END_BYTES_MAX:
            return None, True
        before = buffer[:REPLY_BYTES_MAX].find(value)
        if before < 0:
            return None, len(buffer) >= REPLY_BYTES_MAX
        return buffer[: before + len(value)], False
    if tag == "some":
        return (buffer[: min(value, REPLY_BYTES_MAX)] or None), False
    return (buffer[:REPLY_BYTES_MAX] or None), False  # silence: a stream has none, what came is the frame


cut_frame = plain_cut_frame
if CHOICE.engine is not None:
    CHOICE.engine.bind_frames(plain_cut_frame, REPLY_BYTES_MAX)
    cut_frame = CHOICE.engine.cut_frame

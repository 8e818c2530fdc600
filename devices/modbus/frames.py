"""Modbus frames as they come, sans-IO: where one begins and ends among bytes, whether its check sum holds,
the PDU in it.

Belongs here: RTU in a stream without silence (Modbus RTU over TCP), ASCII with its colon and line end. Never:
what a PDU means (server.py), sockets, serial ports. MODBUS over Serial Line Specification and Implementation
Guide V1.02 sections 2.5.1 (RTU) and 2.5.2 (ASCII), appendix B (LRC, CRC).
"""

from __future__ import annotations

from twinloop.devices.model.check_sums import ASCII_END, crc, lrc

RTU_BYTES_MIN, RTU_BYTES_MAX = 4, 256
"""section 2.5.1.1: unit, function, CRC; a PDU of 253 bytes with unit and CRC"""
ASCII_BYTES_MIN, ASCII_BYTES_MAX = 9, 513
"""section 2.5.2.1: colon, two characters for each byte of unit, PDU and LRC, CR LF"""
CHARACTER_PAUSE_MAX_NS = 1_000_000_000
"""section 2.5.2.1: characters of one message may be up to a second apart; after more the receiver assumes
that there was an error"""
STREAM_PAUSE_MAX_NS = 100_000_000
"""within a request in a TCP stream; ours: the standard knows no RTU over TCP. A device behind a converter
takes what comes after 3.5 characters for a new frame; bytes in a network may be this much apart"""
_SIZES = {1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 7: 4, 11: 4, 12: 4, 17: 4, 22: 10, 24: 6}
"""function -> bytes of an RTU request (Application Protocol V1.1b3 section 6)"""
_COUNTED_AT = {15: 6, 16: 6, 20: 2, 21: 2, 23: 10}
"""function -> where an RTU request has its byte count; the counted bytes and the CRC follow"""
_IDENTIFY, _IDENTIFY_KIND, _IDENTIFY_BYTES = 43, 14, 7
_ANSWER_COUNTED = (1, 2, 3, 4, 17, 20, 21, 23)
"""functions whose answer has a byte count behind the function"""
ANSWER_HEAD_BYTES = 5
"""of an RTU answer, which say how long it is: the shortest answer, an exception"""


def rtu_body(frame: bytes) -> bytes | None:
    """Unit and PDU of one RTU frame; None: it isn't one, or its CRC is wrong."""
    if not RTU_BYTES_MIN <= len(frame) <= RTU_BYTES_MAX:
        return None
    return frame[:-2] if crc(frame[:-2]) == frame[-2:] else None


def ascii_body(frame: bytes) -> bytes | None:
    """Unit and PDU of the characters from colon to CR LF; None: they are no frame, or its LRC is wrong."""
    size = len(frame)
    if not ASCII_BYTES_MIN <= size <= ASCII_BYTES_MAX or frame[:1] != b":" or frame[-2:] != ASCII_END:
        return None
    digits = frame[1:-2]
    if not digits.isalnum():  # bytes.fromhex would take blanks
        return None
    try:
        told = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None
    return told[:-1] if lrc(told[:-1]) == told[-1] else None


def request_bytes(begun: bytes) -> int | None:
    """How long the RTU request is that begins so: 0 when more of it must have come to know, None when its
    function's requests have no known length."""
    if len(begun) < 2:
        return 0
    code = begun[1]
    if code in _SIZES:
        return _SIZES[code]
    at = _COUNTED_AT.get(code)
    if at is not None:
        return at + 3 + begun[at] if len(begun) > at else 0
    if code == _IDENTIFY and len(begun) < 3:
        return 0
    return _IDENTIFY_BYTES if code == _IDENTIFY and begun[2] == _IDENTIFY_KIND else None


def answer_bytes(head: bytes) -> int:
    """How long the RTU answer is that begins with these ``ANSWER_HEAD_BYTES``."""
    code = head[1]
    if code & 0x80:
        return ANSWER_HEAD_BYTES
    return 5 + head[2] if code in _ANSWER_COUNTED else 10 if code == 22 else 8


class RtuRequests:
    """Of one stream: bytes in, whole requests with a right CRC out. What can't be a request takes all with it
    that has come by then, as a frame on a line is lost until the next silence. ``discarded``: how often."""

    __slots__ = ("_buffer", "_last_ns", "discarded")

    def __init__(self) -> None:
        self._buffer = b""
        self._last_ns = 0
        self.discarded = 0

    def clear(self) -> None:
        """A new connection."""
        self._buffer = b""

    def feed(self, data: bytes, now_ns: int) -> list[bytes]:
        """The requests that are whole by now, in order. Of a function whose requests have no known length,
        all that has come is taken for one."""
        if self._buffer and now_ns - self._last_ns > STREAM_PAUSE_MAX_NS:
            self._discard()
        self._last_ns = now_ns
        self._buffer += data
        found = []
        while self._buffer:
            wanted = request_bytes(self._buffer)
            size = len(self._buffer) if wanted is None else wanted
            if size <= RTU_BYTES_MAX and (not size or size > len(self._buffer)):
                break  # half a request
            frame = self._buffer[:size]
            if rtu_body(frame) is None:
                self._discard()
            else:
                found.append(frame)
                self._buffer = self._buffer[size:]
        return found

    def _discard(self) -> None:
        self._buffer = b""
        self.discarded += 1


class AsciiFrames:
    """Of one receiver on a line: characters in, frames out, from a colon to CR LF. A colon begins a frame
    wherever it comes; what is before it is noise."""

    __slots__ = ("_buffer", "_last_ns")

    def __init__(self) -> None:
        self._buffer = b""
        self._last_ns = 0

    def feed(self, data: bytes, begun_ns: int, now_ns: int) -> list[bytes]:
        """The frames that are whole by now; ``begun_ns``: when the first of these characters began."""
        if begun_ns - self._last_ns > CHARACTER_PAUSE_MAX_NS:
            self._buffer = b""
        self._last_ns = now_ns
        *ended, rest = (self._buffer + data).split(ASCII_END)
        found = [part[part.rfind(b":") :] + ASCII_END for part in ended if b":" in part]
        begun = rest.rfind(b":")
        self._buffer = rest[begun:] if begun >= 0 and len(rest) - begun < ASCII_BYTES_MAX else b""
        return found

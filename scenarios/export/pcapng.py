"""A pcap-ng file: its blocks and their bytes, written one after the other.

Belongs here: blocks and options (draft-ietf-opsawg-pcapng). Never: what a frame holds (frames.py), which
frames there are (capture.py). It is written here and not by a library: those that write pcap-ng in Python
leave out interface descriptions, comments or names, and the whole format is this file.
"""

from __future__ import annotations

from pathlib import Path
from struct import pack

from twinloop.scenarios.export.growing import GrowingFile
from twinloop.scenarios.text.errors import printable

FLAG = "--pcap"
RAW_IP, UPPER_PDU = 101, 252
"""link types: a frame begins with its IP header; a frame begins with tags that say who reads it
(LINKTYPE_RAW, LINKTYPE_WIRESHARK_UPPER_PDU)"""
INBOUND, OUTBOUND = 1, 2
"""a frame's direction, seen from where it was captured"""
_SECTION, _INTERFACE, _NAMES, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 4, 5, 6
_BYTE_ORDER = 0x1A2B3C4D
_COMMENT, _IF_NAME, _IF_DESCRIPTION, _IF_RESOLUTION, _APPLICATION, _FLAGS = 1, 2, 3, 9, 4, 2
_NAME_IPV4 = 1
_NANOSECONDS = 9
"""timestamps count 10^-9 s"""
_NAMES_BYTES_MAX = 64 << 10
"""of one block of names; more names have more blocks"""
_RECEIVED, _DROPPED = 4, 5
_WRITTEN_BYTES = 1 << 20
"""bytes that wait in memory to be written together"""
_MASK = 0xFFFFFFFF


def _option(code: int, value: bytes) -> bytes:
    return pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _text(code: int, text: str) -> bytes:
    """An option with text; what an option can't hold is cut off and says so."""
    data = printable(text).encode("utf-8", "replace")
    if len(data) > 0xFFFF:
        data = data[:0xFF00].decode("utf-8", "ignore").encode() + b" ... (cut off here)"
    return _option(code, data)


_END = _option(0, b"")
_DIRECTIONS = {direction: pack("<HHI", _FLAGS, 4, direction) + _END for direction in (INBOUND, OUTBOUND)}
"""the last options of a frame"""


class PcapngFile:
    """One file under way. Times are ns since 1970. Raises ScenarioError when the file can't be made, and
    MachineError as soon as there is no room for it."""

    def __init__(self, path: Path, application: str, comment: str) -> None:
        self._interfaces = 0
        self._chunk = bytearray()
        self.size_bytes = 0
        """of what has been put into it"""
        self._file = GrowingFile(path, FLAG, "capture")
        head = pack("<IHHq", _BYTE_ORDER, 1, 0, -1)
        self._block(_SECTION, head + _text(_COMMENT, comment) + _text(_APPLICATION, application) + _END)

    def interface(self, link_type: int, name: str, description: str, comment: str) -> int:
        """Where frames are captured; returns its number."""
        options = _text(_COMMENT, comment) + _text(_IF_NAME, name) + _text(_IF_DESCRIPTION, description)
        options += _option(_IF_RESOLUTION, bytes((_NANOSECONDS,))) + _END
        self._block(_INTERFACE, pack("<HHI", link_type, 0, 0) + options)
        self._interfaces += 1
        return self._interfaces - 1

    def names(self, of: dict[bytes, str]) -> None:
        """Names of IPv4 addresses, of four bytes each."""
        records = bytearray()
        for address, name in of.items():
            value = address + printable(name).encode("utf-8", "replace") + b"\0"
            records += _option(_NAME_IPV4, value)
            if len(records) > _NAMES_BYTES_MAX:
                self._block(_NAMES, bytes(records) + _END)
                records.clear()
        if records:
            self._block(_NAMES, bytes(records) + _END)

    def frame(self, interface: int, at_ns: int, data: bytes, direction: int, comment: str = "") -> None:
        """One frame, as it was captured."""
        size = len(data)
        head = pack("<IIIII", interface, at_ns >> 32, at_ns & _MASK, size, size)
        told = _text(_COMMENT, comment) if comment else b""
        self._block(_PACKET, b"".join((head, data, bytes(-size % 4), told, _DIRECTIONS[direction])))

    def statistics(self, interface: int, at_ns: int, frames: int, missing: int, comment: str) -> None:
        """At the end: how many frames of an interface there are, how many never came to where it
        captures."""
        body = pack("<III", interface, at_ns >> 32, at_ns & _MASK) + _text(_COMMENT, comment)
        body += _option(_RECEIVED, pack("<Q", frames)) + _option(_DROPPED, pack("<Q", missing)) + _END
        self._block(_STATISTICS, body)

    def _block(self, kind: int, body: bytes) -> None:
        """Bodies are multiples of four bytes long: so is everything that they are put together of."""
        size = pack("<I", len(body) + 12)
        chunk = self._chunk
        chunk += pack("<I", kind)
        chunk += size
        chunk += body
        chunk += size
        self.size_bytes += len(body) + 12
        if len(chunk) >= _WRITTEN_BYTES:
            self._write()

    def _write(self) -> None:
        data, self._chunk = self._chunk, bytearray()
        self._file.write(data)

    def close(self) -> None:
        """Write what waits, close the file; raises MachineError as every write does that finds no room."""
        try:
            self._write()
        finally:
            self._file.close()

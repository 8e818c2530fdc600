"""Frames of a capture: headers around the bytes that a run has.

Belongs here: IPv4, TCP and UDP headers with their checksums, and the tags in front of a serial frame. Never:
addresses (addresses.py), when a frame is seen (capture.py). Sizes are those that the simulation counts: IPv4
and TCP without options, 40 bytes (sim/network/tcp.py).
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from twinloop.sim.network.udp import FRAGMENT_BYTES, IP_BYTES, UDP_BYTES

FIN, SYN, PUSH, ACK = 0x01, 0x02, 0x08, 0x10
WINDOW = 65_535
"""the simulation has no window; the largest that fits without an option"""
_TCP, _UDP = 6, 17
_DONT_FRAGMENT, _MORE = 0x4000, 0x2000
_TTL = 64
_IP = Struct(">BBHHHBBH4s4s")
_TCP_HEADER = Struct(">HHIIBBHHH")
_UDP_HEADER = Struct(">HHHH")
_PSEUDO = Struct(">4s4sBBH")
_MASK = 0xFFFFFFFF
_TAG = Struct(">HH")
_TAG_READER, _TAG_PORT_KIND, _TAG_FROM, _TAG_TO, _TAG_END = 12, 24, 25, 26, 0
"""exported_pdu_tlvs.h: which dissector; a kind of ports; ports"""
_PORTS_OF_TCP = 2
RTU_PORT = 5020
"""in front of a serial frame, and of a device that speaks RTU over TCP: who has it answers; Wireshark tells
requests from answers by it, and takes such a connection for RTU (mbrtu.tcp.port)"""


class Host(NamedTuple):
    """One end of a connection."""

    address: bytes
    port: int


def checksum(data: bytes) -> int:
    """RFC 1071: the complement of the sum of 16-bit words in ones' complement."""
    if len(data) % 2:
        data += b"\0"
    found = int.from_bytes(data, "big") % 0xFFFF
    if not found and any(data):
        found = 0xFFFF  # a sum of ones' complement that isn't nothing never gets to be zero
    return found ^ 0xFFFF


def _ip(near: bytes, far: bytes, protocol: int, size: int, number: int, flags: int) -> bytes:
    head = _IP.pack(0x45, 0, IP_BYTES + size, number, flags, _TTL, protocol, 0, near, far)
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:]


def tcp(sender: Host, receiver: Host, *, number: int, heard: int, flags: int, data: bytes = b"") -> bytes:
    """A packet with one segment. ``number`` and ``heard``: sequence numbers, which may exceed 32 bits."""
    size = 20 + len(data)
    head = _TCP_HEADER.pack(
        sender.port, receiver.port, number & _MASK, heard & _MASK, 0x50, flags, WINDOW, 0, 0
    )
    pseudo = _PSEUDO.pack(sender.address, receiver.address, 0, _TCP, size)
    summed = checksum(b"".join((pseudo, head, data))).to_bytes(2, "big")
    ip = _ip(sender.address, receiver.address, _TCP, size, 0, _DONT_FRAGMENT)
    return b"".join((ip, head[:16], summed, head[18:], data))


def udp(sender: Host, receiver: Host, *, number: int, data: bytes) -> list[bytes]:
    """The packets of one datagram, several if it is larger than one; ``number``: by which they belong
    together."""
    size = UDP_BYTES + len(data)
    head = _UDP_HEADER.pack(sender.port, receiver.port, size, 0)
    pseudo = _PSEUDO.pack(sender.address, receiver.address, 0, _UDP, size)
    summed = checksum(b"".join((pseudo, head, data))) or 0xFFFF  # RFC 768: zero means none
    whole = head[:6] + summed.to_bytes(2, "big") + data
    found = []
    for at in range(0, size, FRAGMENT_BYTES):
        piece = whole[at : at + FRAGMENT_BYTES]
        flags = at // 8 | (_MORE if at + len(piece) < size else 0)
        found.append(_ip(sender.address, receiver.address, _UDP, len(piece), number & 0xFFFF, flags) + piece)
    return found


def _tagged(tag: int, value: bytes) -> bytes:
    return _TAG.pack(tag, len(value)) + value


def _tags(reader: bytes, sender: int, receiver: int) -> bytes:
    return b"".join(
        (
            _tagged(_TAG_READER, reader.ljust(8, b"\0")),
            _tagged(_TAG_PORT_KIND, _PORTS_OF_TCP.to_bytes(4, "big")),
            _tagged(_TAG_FROM, sender.to_bytes(4, "big")),
            _tagged(_TAG_TO, receiver.to_bytes(4, "big")),
            _tagged(_TAG_END, b""),
        )
    )


class SerialTags:
    """What stands in front of each frame of a serial line. ``port``: of who asks, another one for each line;
    by it Wireshark finds the request to an answer. ``ascii``: Wireshark reads no Modbus ASCII, and shows the
    characters."""

    def __init__(self, port: int, ascii: bool) -> None:  # the standard's word
        reader = b"data" if ascii else b"mbrtu"
        self.request, self.answer = _tags(reader, port, RTU_PORT), _tags(reader, RTU_PORT, port)

"""Captures: pcap and pcap-ng, down to frames of Modbus TCP, and of twinloop's own serial lines.

Belongs here: blocks of a file, whose packets they are. Never: headers of packets, which dpkt reads (the extra
``pcap``). The two containers are read here: dpkt's reader of pcap-ng knows one interface and tells times as
floats, which have no ns left since 1970.

pcap-ng: draft-ietf-opsawg-pcapng; link types: tcpdump.org/linktypes.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from twinloop.scenarios.exchanges.frames import Seen, Stream
from twinloop.scenarios.text.errors import ScenarioError

PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000), b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1), b"\xa1\xb2\x3c\x4d": (">", 1),
}  # fmt: skip
"""first bytes of a pcap -> (order of bytes, ns of its unit)"""
PCAPNG = b"\x0a\x0d\x0d\x0a"
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_NAME, _RESOLUTION, _END = 2, 9, 0
PACKET_BYTES_MAX = 16 << 20
RTU_PORT = 5020
"""by which twinloop's captures say who answers on a serial line"""
_UPPER_PDU, _TAG_TO, _TAG_END = 252, 26, 0
_RAW = (12, 14, 101, 228, 229)
"""link types: bare IP"""


class Packet(NamedTuple):
    """As it lies in a file. ``at_ns``: since 1970; ``interface``: its name, or its number."""

    at_ns: int
    link_type: int
    interface: str
    data: bytes


def is_capture(first: bytes) -> bool:
    """By a file's first four bytes."""
    return first in PCAP or first == PCAPNG


def packets(path: Path) -> Iterator[Packet]:
    """All of a file; one that breaks off ends there. Raises ScenarioError."""
    try:
        with path.open("rb") as file:
            first = file.read(4)
            if first in PCAP:
                yield from _pcap(file, *PCAP[first])
            else:
                yield from _pcapng(path, file)
    except OSError as error:
        raise ScenarioError(str(path), None, "", error.strerror or str(error)) from error


def _pcap(file: BinaryIO, order: str, unit_ns: int) -> Iterator[Packet]:
    head = file.read(20)
    link_type = struct.unpack(f"{order}I", head[16:])[0] & 0xFFFF if len(head) == 20 else 0
    while len(head := file.read(16)) == 16:
        seconds, part, size, _ = struct.unpack(f"{order}4I", head)
        data = file.read(size) if size <= PACKET_BYTES_MAX else b""
        if len(data) < size:
            return
        yield Packet(seconds * 1_000_000_000 + part * unit_ns, link_type, "0", data)


def _pcapng(path: Path, file: BinaryIO) -> Iterator[Packet]:
    file.seek(0)
    order, interfaces = "<", list[tuple[int, int, str]]()
    while len(head := file.read(12)) == 12:
        if head[:4] == PCAPNG:
            order, interfaces = _ORDERS.get(head[8:], ""), []
            if not order:
                raise ScenarioError(str(path), None, "", "a pcap-ng section whose order of bytes is unknown")
        kind, size = struct.unpack(f"{order}II", head[:8])
        rest = file.read(size - 12) if 12 <= size <= PACKET_BYTES_MAX else b""
        if len(rest) < size - 12 or size < 12:
            return
        body = (head[8:] + rest)[: size - 12]
        if kind == _INTERFACE and len(body) >= 8:
            unit, name = _described(order, body[8:])
            link_type = struct.unpack(f"{order}H", body[:2])[0]
            interfaces.append((link_type, unit, name or str(len(interfaces))))
        elif kind == _PACKET and len(body) >= 20:
            number, high, low, length, _ = struct.unpack(f"{order}5I", body[:20])
            if number < len(interfaces):
                link_type, unit, name = interfaces[number]
                at_ns = (high << 32 | low) * 1_000_000_000 // unit
                yield Packet(at_ns, link_type, name, body[20 : 20 + length])


def _described(order: str, options: bytes) -> tuple[int, str]:
    """(units of an interface's times in a second, its name): a million and none, unless it says otherwise."""
    unit, name = 1_000_000, ""
    while len(options) >= 4:
        code, size = struct.unpack(f"{order}HH", options[:4])
        if code == _RESOLUTION and size == 1 and len(options) > 4:
            power = options[4]
            unit = 1 << (power & 0x7F) if power & 0x80 else int(10 ** min(power, 18))
        if code == _NAME:
            name = options[4 : 4 + size].decode("utf-8", "replace")
        if code == _END:
            break
        options = options[4 + size + -size % 4 :]
    return unit, name


class Wires:
    """Frames out of a capture's packets. ``dpkt``: the package and what of it is needed; ``port``: on which
    Modbus TCP devices listen; ``lines``: those of serial lines are wanted, and no others. A frame of RTU may
    look like one of Modbus TCP: 01 03 00 00 00 02 C4 0B has the protocol number and the length of one."""

    def __init__(self, dpkt: Any, port: int, lines: bool) -> None:
        self._dpkt, self._port, self._lines = dpkt, port, lines
        self._streams: dict[tuple[Any, ...], Stream] = {}
        self._servers: dict[tuple[Any, ...], tuple[str, bool, int]] = {}
        self._talks: dict[tuple[Any, ...], int] = {}

    def frames(self, path: Path) -> Iterator[Seen]:
        """In the order in which they were whole; raises ScenarioError."""
        for packet in packets(path):
            if (packet.link_type == _UPPER_PDU) != self._lines:
                continue
            yield from _line(packet) if self._lines else self._packet(packet)
        for key, stream in self._streams.items():
            server, asked, talk = self._servers[key]
            for at_ns, frame in stream.over():
                yield Seen(at_ns, asked, frame, server, talk)

    def told(self) -> list[str]:
        """What a reader of the result must know."""
        found = []
        missing = sum(one.missing for one in self._streams.values())
        strange = sum(one.strange for one in self._streams.values())
        if missing:
            found.append(f"segments that the capture hasn't: {missing}; frames in these are missing")
        if strange:
            found.append(f"bytes on port {self._port} that begin no Modbus TCP frame: {strange}")
        return found

    def _packet(self, packet: Packet) -> Iterator[Seen]:
        ip = self._ip(packet)
        tcp = getattr(ip, "data", None)
        if not isinstance(tcp, self._dpkt.tcp.TCP) or self._port not in (tcp.sport, tcp.dport):
            return
        asked = tcp.dport == self._port
        near, far = (ip.src, tcp.sport), (ip.dst, tcp.dport)
        key = (near, far)
        stream = self._streams.get(key)
        if tcp.flags & self._dpkt.tcp.TH_SYN:
            if stream is None:
                stream = self._new(key, asked)
            stream.opened(tcp.seq)
            return
        if stream is None:
            stream = self._new(key, asked)
        server, _, talk = self._servers[key]
        for at_ns, frame in stream.came(packet.at_ns, tcp.seq, bytes(tcp.data)):
            yield Seen(at_ns, asked, frame, server, talk)

    def _new(self, key: tuple[Any, ...], asked: bool) -> Stream:
        address, port = key[1] if asked else key[0]
        both = key if asked else (key[1], key[0])
        talk = self._talks.setdefault(both, len(self._talks))
        shown = self._dpkt.utils.inet_to_str(address)
        shown = f"[{shown}]" if ":" in shown else shown
        self._servers[key] = (f"{shown}:{port}", asked, talk)
        stream = self._streams[key] = Stream()
        return stream

    def _ip(self, packet: Packet) -> Any:
        dpkt, data = self._dpkt, packet.data
        kinds = {1: dpkt.ethernet.Ethernet, 0: dpkt.loopback.Loopback, 113: dpkt.sll.SLL, 276: dpkt.sll2.SLL2}
        try:
            if packet.link_type in _RAW:
                return (dpkt.ip6.IP6 if data[:1] and data[0] >> 4 == 6 else dpkt.ip.IP)(data)
            kind = kinds.get(packet.link_type)
            return None if kind is None else kind(data).data
        except (dpkt.UnpackError, struct.error, IndexError):  # cut short, or not what its header says
            return None


def _line(packet: Packet) -> Iterator[Seen]:
    """A frame of a serial line in a capture of twinloop's: tags, then the frame."""
    data, asked = packet.data, False
    while len(data) >= 4:
        tag, size = struct.unpack(">HH", data[:4])
        value, data = data[4 : 4 + size], data[4 + size :]
        if tag == _TAG_TO:
            asked = int.from_bytes(value) == RTU_PORT
        elif tag == _TAG_END:
            yield Seen(packet.at_ns, asked, data, packet.interface)
            return

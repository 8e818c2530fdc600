"""A capture read back by a small reader of its own: blocks, headers with their checksums added up word by word,
streams put together again, Modbus cut into frames. It knows nothing of the code that writes."""

from __future__ import annotations

import re
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

PCAPNG = {0x0A0D0D0A: "section", 1: "interface", 4: "names", 5: "statistics", 6: "frame"}
INBOUND, OUTBOUND = 1, 2
Flow = tuple[str, int, str, int]
"""from address and port to address and port"""


@dataclass
class Frame:
    interface: str
    link_type: int
    at_ns: int
    data: bytes
    direction: int
    comment: str


@dataclass
class Read:
    about: str = ""
    interfaces: list[tuple[str, int, str]] = field(default_factory=list)
    """(name, link type, comment)"""
    names: dict[str, str] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    told: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """interface -> (frames, dropped, comment)"""

    def on(self, name: str, direction: int | None = None) -> list[Frame]:
        return [one for one in self.frames if one.interface == name and direction in (None, one.direction)]


def options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while True:
        code, size = struct.unpack("<HH", data[:4])
        if not code:
            assert data[4:] == b"", "nothing comes after the last option"
            return found
        found[code] = data[4 : 4 + size]
        data = data[4 + size + (-size) % 4 :]


def named(data: bytes) -> dict[str, str]:
    found = {}
    while True:
        kind, size = struct.unpack("<HH", data[:4])
        if not kind:
            assert data[4:] == b""
            return found
        assert kind == 1
        value = data[4 : 4 + size]
        assert value[-1:] == b"\0"
        found[address(value[:4])] = value[4:-1].decode()
        data = data[4 + size + (-size) % 4 :]


def read(path: Path) -> Read:
    """A whole file; every block has its length at both ends, and frames come in order of their time."""
    data, found, at, last_ns = path.read_bytes(), Read(), 0, 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        assert size % 4 == 0
        assert struct.unpack_from("<I", data, at + size - 4) == (size,)
        body, at = data[at + 8 : at + size - 4], at + size
        what = PCAPNG[kind]
        assert (what == "section") == (not found.about), "one section, at the beginning"
        if what == "section":
            assert struct.unpack_from("<IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
            found.about = options(body[16:])[1].decode()
        elif what == "interface":
            link_type, reserved, snap = struct.unpack_from("<HHI", body)
            mine = options(body[8:])
            assert (reserved, snap, mine[9]) == (0, 0, b"\x09")
            assert mine[3]
            found.interfaces.append((mine[2].decode(), link_type, mine[1].decode()))
        elif what == "names":
            found.names |= named(body)
        elif what == "statistics":
            number, high, low = struct.unpack_from("<III", body)
            mine = options(body[12:])
            counts = (struct.unpack("<Q", mine[code])[0] for code in (4, 5))
            assert high << 32 | low >= last_ns
            found.told[found.interfaces[number][0]] = (*counts, mine[1].decode())  # type: ignore[assignment]
        else:
            number, high, low, caught, whole = struct.unpack_from("<IIIII", body)
            assert caught == whole
            mine = options(body[20 + whole + (-whole) % 4 :])
            at_ns = high << 32 | low
            assert at_ns >= last_ns, "frames come in order"
            last_ns = at_ns
            name, link_type, _ = found.interfaces[number]
            (direction,) = struct.unpack("<I", mine[2])
            comment = mine.get(1, b"").decode()
            found.frames.append(Frame(name, link_type, at_ns, body[20 : 20 + whole], direction, comment))
    return found


def address(data: bytes) -> str:
    return ".".join(map(str, data))


def words(data: bytes) -> int:
    """Sum of 16-bit words in ones' complement, one after the other."""
    total = 0
    for (word,) in struct.iter_unpack(">H", data + b"\0" * (len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


@dataclass
class Packet:
    source: str
    target: str
    protocol: int
    payload: bytes
    fragment: int


def ip(data: bytes) -> Packet:
    """Raises when a checksum or a length is wrong."""
    assert data[0] == 0x45
    assert len(data) == struct.unpack_from(">H", data, 2)[0]
    assert words(data[:20]) == 0xFFFF
    return Packet(
        address(data[12:16]), address(data[16:20]), data[9], data[20:], struct.unpack_from(">H", data, 6)[0]
    )


def pseudo(data: bytes) -> bytes:
    return data[12:20] + struct.pack(">BBH", 0, data[9], len(data) - 20)


@dataclass
class Segment:
    flow: Flow
    number: int
    heard: int
    flags: str
    data: bytes


def tcp(data: bytes) -> Segment:
    packet = ip(data)
    assert packet.protocol == 6
    assert words(pseudo(data) + packet.payload) == 0xFFFF
    source, target, number, heard, offset, flags = struct.unpack_from(">HHIIBB", packet.payload)
    assert offset == 0x50
    told = "".join(letter for bit, letter in enumerate("FSRPAU") if flags >> bit & 1)
    return Segment((packet.source, source, packet.target, target), number, heard, told, packet.payload[20:])


def streams(frames: list[Frame]) -> dict[Flow, bytes]:
    """What each direction of each connection has said, up to the first byte that nobody saw."""
    pieces: dict[Flow, dict[int, bytes]] = {}
    for frame in frames:
        segment = tcp(frame.data)
        mine = pieces.setdefault(segment.flow, {})
        if segment.data:
            known = mine.setdefault(segment.number, segment.data)
            assert known == segment.data, "what is sent again is the same"
    found = {}
    for flow, mine in pieces.items():
        said, following = b"", 1
        while following in mine:
            said += mine[following]
            following += len(mine[following])
        found[flow] = said
    return found


def modbus(said: bytes) -> list[tuple[int, int]]:
    """(unit, function) of each whole frame of a Modbus TCP stream."""
    found = []
    while len(said) >= 8:
        protocol, size = struct.unpack_from(">HH", said, 2)
        assert protocol == 0
        if len(said) < 6 + size:
            break
        found.append((said[6], said[7]))
        said = said[6 + size :]
    return found


def modbus_counts(
    frames: list[Frame], names: dict[str, str]
) -> tuple[Counter[tuple[str, int]], Counter[tuple[str, int]]]:
    """(requests, answers) by (device, function)."""
    asked: Counter[tuple[str, int]] = Counter()
    answered: Counter[tuple[str, int]] = Counter()
    for (source, source_port, target, port), said in streams(frames).items():
        if 502 not in (source_port, port):
            continue
        for _, function in modbus(said):
            if port == 502:
                asked[names[target], function] += 1
            else:
                answered[names[source], function] += 1
    return asked, answered


def mqtt(said: bytes) -> list[tuple[int, str]]:
    """(type, topic of a PUBLISH) of each whole packet of an MQTT stream."""
    found = []
    while said:
        length, shift, at = 0, 0, 1
        while at < len(said):
            length |= (said[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if said[at - 1] < 0x80:
                break
        if at + length > len(said) or shift == 0:
            break
        body, kind = said[at : at + length], said[0] >> 4
        topic = body[2 : 2 + struct.unpack_from(">H", body)[0]].decode() if kind == 3 else ""
        found.append((kind, topic))
        said = said[at + length :]
    return found


def rtu(frame: Frame, read_by: bytes = b"mbrtu") -> tuple[bool, bytes]:
    """(is it a request, the frame behind the tags)."""
    assert frame.link_type == 252
    data, ports, reader = frame.data, {}, b""
    while True:
        tag, size = struct.unpack_from(">HH", data)
        value, data = data[4 : 4 + size], data[4 + size :]
        if tag == 12:
            reader = value.rstrip(b"\0")
        if tag in (25, 26):
            ports[tag] = int.from_bytes(value, "big")
        if not tag:
            break
    assert reader == read_by
    assert (ports[25] == 5020) != (ports[26] == 5020)
    return ports[26] == 5020, data


def crc_holds(frame: bytes) -> bool:
    """MODBUS over Serial Line V1.02 section 6.2.2."""
    crc = 0xFFFF
    for byte in frame[:-2]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return struct.pack("<H", crc) == frame[-2:]


def left_out(told: str, what: str) -> int:
    """How many packets the statistics of an interface say aren't there, for that reason."""
    found = re.search(rf"Not in this file: packets [^.:]*{what}[^.:]*: (\d+)\.", told)
    return int(found[1]) if found else 0


def accounted(capture: Read, link: str) -> int:
    """Packets of a link that are there, or that are said not to be: all that it was offered."""
    packets = 0
    for interface, _, _ in capture.interfaces:
        if interface.split("/")[0] == link:
            frames, missing, told = capture.told[interface]
            assert left_out(told, "lost before") == missing
            assert frames == len(capture.on(interface))
            packets += (
                frames + missing + sum(left_out(told, one) for one in ("way when", "TLS", "heartbeats"))
            )
    return packets

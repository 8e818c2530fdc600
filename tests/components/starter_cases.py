"""What components/starters/BEHAVIOUR.md says, as calls and answers: the same for the starters of every language.

A ``Start`` gives a fresh instance as a function: call(export, *arguments) -> (is it ok, value). Requests that
the driver makes of its bus go to ``bus``, a function of (name, arguments) that answers them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

from twinloop.components.contract.contract import (
    LinkState,
    Origin,
    PointConfig,
    Reading,
    Settings,
    TextReading,
)

Call = Callable[..., Any]
Bus = Callable[[str, tuple[Any, ...]], Any]
Start = Callable[[Bus], Call]
ORIGIN = Origin("press-1", 7)
UP = LinkState(True, 5, 0, 40_000_000, 0.25)
UNITS_EXCEEDED, BAD = 0x40940000, 0x80000000
NOTHING: Any = ([], [], [])
NOT_CONFIGURED = (False, ("not-configured", None))


def settings(points: list[PointConfig], *options: tuple[str, str]) -> Settings:
    return Settings("press-1", points, list(options))


def plain(result: Any) -> Any:
    """A result as (ok, plain tuples)."""
    value = result.value
    return result.ok, tuple(value) if isinstance(value, tuple) else value


# ---- transform -------------------------------------------------------------------------------------
LIMITED = [
    PointConfig(3, "pressure", "a", "bar", 1.0, 0.0, 0.5, 16.0),
    PointConfig(900, "oven", "b", "degC", 1.0, 0.0, None, 212.0),
    PointConfig(65535, "flow", "c", "", 1.0, 0.0, -1.0, None),
    PointConfig(1, "spare", "d", "", 1.0, 0.0, None, None),
]
FACTORS = {
    "2": 2.0, " +0.5\t": 0.5, "-1e3": -1000.0, "1.": 1.0, ".25": 0.25, "0": 0.0, "1E-2": 0.01, "0.1": 0.1,
    "123456789.123456789": 123456789.123456789, "1e-400": 0.0, "2.2250738585072011e-308": 2.2250738585072011e-308,
    "000000000000000000000000000000000000001": 1.0,
}  # fmt: skip
NO_FACTORS = [
    "", " ", "x", "1 2", "1e", "e5", ".", "-", "+-1", "inf", "nan", "Infinity", "1e999", "-1e999", "0x10", "1_000", "1,5",
    "1e5.5", "1\n", "٣", "1f", "1.2.3", "0000000000000000000000000000000000000001", "--1", "1e+",
]  # fmt: skip


def readings(result: Any) -> list[tuple[int, float, int, int]]:
    assert result.ok, result
    return [(r.point, r.value, r.status, r.measured) for r in result.value.readings]


def transform(start: Start) -> None:
    """Everything that is said of the transform."""
    call = start(no_bus)
    run = "transform-readings"
    one: Any = ([Reading(3, 2.0, 0, 11)], [], [])
    assert plain(call(run, ORIGIN, NOTHING)) == NOT_CONFIGURED
    assert plain(call("configure", settings(LIMITED, ("gain", "2"), ("factor", "x")))) == (
        False,
        ("unknown-option", "gain"),
    )
    assert plain(call("configure", settings(LIMITED, ("factor", "x"), ("gain", "2")))) == (
        False,
        ("bad-option", "factor"),
    )
    assert plain(call("configure", settings(LIMITED, ("Factor", "2")))) == (
        False,
        ("unknown-option", "Factor"),
    )
    assert plain(call("configure", settings(LIMITED)))[0]
    measured = 1_766_000_000_123_456_789
    given = [
        Reading(3, 0.25, 0, measured), Reading(900, 212.5, 0x40000000, 2), Reading(65535, -2.0, 5, 3), Reading(1, 1e300, 0, 4),
        Reading(3, 16.0, 0, 5), Reading(3, 99.0, BAD, 6), Reading(3, 0.5, 0x7FFFFFFF, 7), Reading(900, -1e9, 0, 2**64 - 1),
        Reading(3, -math.inf, 0, 9), Reading(3, math.inf, 0, 10),
    ]  # fmt: skip
    expected = [
        (3, 0.5, UNITS_EXCEEDED, measured), (900, 212.0, UNITS_EXCEEDED, 2), (65535, -1.0, UNITS_EXCEEDED, 3), (1, 1e300, 0, 4),
        (3, 16.0, 0, 5), (3, 99.0, BAD, 6), (3, 0.5, 0x7FFFFFFF, 7), (900, -1e9, 0, 2**64 - 1),
        (3, 0.5, UNITS_EXCEEDED, 9), (3, 16.0, UNITS_EXCEEDED, 10),
    ]  # fmt: skip
    texts = [TextReading(77, "Grüße 🌡\n\0", BAD, 5), TextReading(1, "", 0, measured)]
    result = call(run, ORIGIN, (given, texts, []))
    assert readings(result) == expected
    assert [tuple(text) for text in result.value.texts] == [tuple(text) for text in texts]
    assert readings(call(run, ORIGIN, NOTHING)) == []
    (nothing,) = readings(call(run, ORIGIN, ([Reading(3, math.nan, 0, 1)], [], [])))
    assert math.isnan(nothing[1])
    assert nothing[2:] == (0, 1)
    for status in (0, BAD):
        unknown: Any = ([Reading(3, 2.0, 0, 1), Reading(4, 2.0, status, 1)], [], [])
        assert plain(call(run, ORIGIN, unknown)) == (False, ("bad-input", "unknown point"))
    for text, factor in FACTORS.items():
        assert plain(call("configure", settings(LIMITED, ("factor", text))))[0], text
        assert readings(call(run, ORIGIN, one)) == [(3, 2.0 * factor, 0, 11)], text
    assert plain(call("configure", settings(LIMITED, ("factor", "2"), ("factor", "3"))))[0]
    assert readings(call(run, ORIGIN, ([Reading(3, 99.0, 0, 1), Reading(3, 99.0, BAD, 1)], [], []))) == [
        (3, 48.0, UNITS_EXCEEDED, 1),
        (3, 99.0, BAD, 1),
    ]
    for text in NO_FACTORS:
        refused = plain(call("configure", settings(LIMITED, ("factor", text))))
        assert refused == (False, ("bad-option", "factor")), text
        assert plain(call(run, ORIGIN, one)) == NOT_CONFIGURED, text
    assert plain(call("configure", settings(LIMITED[:1])))[0]
    assert plain(call(run, ORIGIN, ([Reading(1, 2.0, 0, 1)], [], []))) == (
        False,
        ("bad-input", "unknown point"),
    )
    many = [PointConfig(i, f"p{i}", "a", "", 1.0, 0.0, float(i), None) for i in range(0, 65536, 16)]
    assert plain(call("configure", settings(many)))[0]
    out = readings(call(run, ORIGIN, ([Reading(p.id, -1.0, 0, 1) for p in many], [], [])))
    assert out == [(p.id, float(p.id), UNITS_EXCEEDED, 1) for p in many]


# ---- policy ----------------------------------------------------------------------------------------
def policy(start: Start) -> None:
    """Everything that is said of the policy."""
    call = start(no_bus)
    alert = ("alert", "above its high limit")

    def decide(link: LinkState, *given: Reading) -> Any:
        result = call("decide", ORIGIN, (list(given), [TextReading(77, "x", 0, 1)], []), link)
        assert result.ok, result
        verdict, exceptions = result.value
        return tuple(verdict), [(one.point, tuple(one.verdict)) for one in exceptions]

    assert plain(call("decide", ORIGIN, NOTHING, UP)) == NOT_CONFIGURED
    assert plain(call("configure", settings(LIMITED, ("lane", "2")))) == (False, ("unknown-option", "lane"))
    assert plain(call("decide", ORIGIN, NOTHING, UP)) == NOT_CONFIGURED
    assert plain(call("configure", settings(LIMITED)))[0]
    for up, verdict in ((True, ("forward", 1)), (False, ("cache", 1))):
        link = UP._replace(up=up)
        assert decide(link) == (verdict, [])
        assert decide(link, Reading(3, 16.0, 0, 1), Reading(1, 1e9, 0, 1)) == (verdict, [])
        hot = [
            Reading(900, 213.0, 0x7FFFFFFF, 1),
            Reading(77, 1e9, 0, 1),
            Reading(3, 16.5, 0, 1),
            Reading(65535, -5.0, 0, 1),
        ]
        assert decide(link, *hot) == (verdict, [(900, alert), (3, alert)])
        odd = [Reading(3, 17.0, BAD, 1), Reading(900, math.inf, 0, 1), Reading(1, math.nan, 0, 1)]
        assert decide(link, *odd) == (verdict, [])
    assert plain(call("configure", settings(LIMITED[1:])))[0]
    assert decide(UP, Reading(3, 17.0, 0, 1), Reading(900, 213.0, 0, 1)) == (("forward", 1), [(900, alert)])
    assert plain(call("configure", settings(LIMITED, ("", ""))))[1] == ("unknown-option", "")
    assert plain(call("decide", ORIGIN, NOTHING, UP)) == NOT_CONFIGURED


# ---- driver ----------------------------------------------------------------------------------------
def no_bus(name: str, arguments: tuple[Any, ...]) -> Any:
    raise AssertionError(f"{name} was called")


def crc(data: bytes) -> bytes:
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return struct.pack("<H", value)


class Line:
    """A device's line: holding registers, what was asked of it, and what it does wrong next."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.image = bytearray(131072)
        self.wrong: Iterator[Any] = iter(())
        """for each request: None, ("pdu", bytes), ("adu", function of the right ADU), or ("bus", error)"""
        self.waiting: list[bytes] = []
        """what ``receive`` brings"""
        self.now = 1_000

    def __call__(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == "clock.now":
            self.now += 1
            return self.now
        self.asked.append((name.split(".")[1], arguments))
        if name == "fieldbus.reset":
            return None
        if name == "fieldbus.receive":
            return (True, self.waiting.pop(0)) if self.waiting else (False, ("timeout", None))
        assert name == "fieldbus.transact"
        request, (framing, _), _ = arguments
        rtu = framing == "silence"
        pdu = request[1:-2] if rtu else request[7:]
        kind: str
        what: Any
        kind, what = next(self.wrong, None) or ("pdu", self.answer(pdu))
        if kind == "bus":
            return False, what
        reply = what if kind == "pdu" else self.answer(pdu)
        adu = self.wrap(request, reply, rtu)
        return True, what(adu) if kind == "adu" else adu

    @staticmethod
    def wrap(request: bytes, pdu: bytes, rtu: bool) -> bytes:
        if rtu:
            return request[:1] + pdu + crc(request[:1] + pdu)
        return request[:4] + struct.pack(">H", len(pdu) + 1) + request[6:7] + pdu

    def answer(self, pdu: bytes) -> bytes:
        if pdu[0] == 3:
            at, count = struct.unpack(">HH", pdu[1:5])
            return bytes((3, 2 * count)) + self.image[2 * at : 2 * (at + count)]
        return pdu[:5]

    def requests(self) -> list[str]:
        return [arguments[0].hex() for name, arguments in self.asked if name == "transact"]

    def names(self) -> list[str]:
        names = [name for name, _ in self.asked]
        self.asked.clear()
        return names


def point(
    number: int, address: str, scale: float = 1.0, offset: float = 0.0, sentinels: tuple[int, ...] = ()
) -> PointConfig:
    return PointConfig(number, f"p{number}", address, "", scale, offset, None, None, sentinels)


TCP = ("length-field", (4, 2, True, 0))
ADDRESSES = [
    "holding:0",
    "holding:65535:u16",
    "holding:65534:f32:be",
    "holding:00040:i32",
    "holding:7:i16:be",
    "holding:65532:u64:be",
    "holding:0:i64",
]
NO_ADDRESSES = [
    "", "holding", "holding:", "holding:x", "holding:65536", "holding:65535:u32", "holding:1:u8", "holding:1:u16:le", "input:1:u16",
    "holding:1:", "holding:1:u16:", "holding:1:u16:be:be", "holding: 1", " holding:1", "holding:-1", "holding:+1", "holding:000001",
    "Holding:1", "holding:1:U16", "holding:1:u16 ", "coil:1", "holding:1:be", "holding:٣", "holding:1.0", "holding:99999", ":", ":::",
    "holding:65533:u64", "holding:65533:i64", "holding:1:f64", "holding:1:u64:le",
]  # fmt: skip
OPTIONS = [
    ("unit", "0"), ("unit", " 255 "), ("unit", "007"), ("timeout", "1ns"), ("timeout", "3600 s"), ("timeout", " 0200 \t ms"),
    ("protocol", " modbus-rtu "), ("timeout", "3600000000 us"),
]  # fmt: skip
NO_OPTIONS = [
    ("unit", "256"), ("unit", ""), ("unit", "-1"), ("unit", "+1"), ("unit", "1.0"), ("unit", "0x1"), ("unit", "1 1"),
    ("unit", "99999999999999999999999"), ("timeout", "0 s"), ("timeout", "1"), ("timeout", "s"), ("timeout", "1.5 s"),
    ("timeout", "3601 s"), ("timeout", "-1 s"), ("timeout", "1 S"), ("timeout", "1 m"), ("timeout", "3600000000001 ns"),
    ("timeout", "99999999999999999999999 s"), ("timeout", ""), ("protocol", ""), ("protocol", "modbus"), ("protocol", "Modbus-TCP"),
    ("timeout", "18446744073709551616 ns"), ("timeout", "5124095577 s"), ("unit", "٣"),
]  # fmt: skip
VALUES = [
    ("u16", "ff9c", 65436.0), ("i16", "ff9c", -100.0), ("u32", "00010002", 65538.0), ("u32", "ffffffff", 4294967295.0),
    ("i32", "fffffffe", -2.0), ("i32", "80000000", -(2.0**31)), ("f32", "41c80000", 25.0), ("f32", "3dcccccd", 0.10000000149011612),
    ("f32", "00000001", 2.0**-149),
]  # fmt: skip
WRITES = [
    ("u16", 65535.0, "ffff"), ("u16", 0.5, "0000"), ("u16", 1.5, "0002"), ("u16", 2.5, "0002"), ("i16", -32768.0, "8000"),
    ("i16", -2.5, "fffe"), ("i16", -0.4, "0000"), ("u16", -0.5, "0000"), ("u32", 4294967295.0, "ffffffff"), ("u32", 65538.0, "00010002"),
    ("i32", -1.0, "ffffffff"), ("f32", 25.0, "41c80000"), ("f32", 0.1, "3dcccccd"), ("f32", 3.4028235677973362e38, "7f7fffff"),
    ("u16", 65535.4, "ffff"), ("i32", 2147483647.4, "7fffffff"), ("f32", 1e-50, "00000000"),
]  # fmt: skip
NO_WRITES = [
    ("u16", 65536.0), ("u16", -1.0), ("i16", 32768.0), ("i16", -32769.0), ("u32", 4294967296.0), ("i32", 2147483648.0),
    ("i32", -2147483649.0), ("f32", 3.4028235677973366e38), ("u16", math.nan), ("i32", math.inf), ("f32", math.nan), ("f32", -math.inf),
    ("u16", 65535.5), ("u16", -0.6), ("u32", 1e300), ("i16", 32767.5),
]  # fmt: skip
MALFORMED: list[tuple[str, str, Callable[[bytes], bytes]]] = [
    ("modbus-tcp", "length", lambda adu: adu[:8]),
    ("modbus-tcp", "length", lambda adu: b""),
    ("modbus-tcp", "length", lambda adu: adu + b"\0"),
    ("modbus-tcp", "length", lambda adu: adu[:4] + b"\x01\0" + bytes(256)),
    ("modbus-tcp", "protocol", lambda adu: adu[:2] + b"\0\1" + adu[4:]),
    ("modbus-tcp", "protocol", lambda adu: b"\xff\xff\1\0\0\0" + adu[6:]),
    ("modbus-tcp", "unit", lambda adu: adu[:6] + b"\x09" + adu[7:]),
    ("modbus-tcp", "transaction", lambda adu: struct.pack(">H", struct.unpack(">H", adu[:2])[0] + 1) + adu[2:]),
    ("modbus-tcp", "transaction", lambda adu: struct.pack(">H", struct.unpack(">H", adu[:2])[0] - 64 & 65535) + adu[2:6] + b"\x09" + adu[7:]),
    ("modbus-tcp", "function", lambda adu: adu[:7] + b"\4" + adu[8:]),
    ("modbus-tcp", "function", lambda adu: adu[:4] + b"\0\4" + adu[6:7] + b"\x83\2\0"),
    ("modbus-tcp", "function", lambda adu: adu[:4] + b"\0\3" + adu[6:7] + b"\x84\2"),
    ("modbus-tcp", "byte count", lambda adu: adu[:8] + b"\4" + adu[9:]),
    ("modbus-tcp", "byte count", lambda adu: adu[:4] + b"\0\3" + adu[6:7] + b"\3\2"),
    ("modbus-tcp", "byte count", lambda adu: adu[:4] + b"\0\7" + adu[6:7] + b"\3\2\0\0\0\0"),
    ("modbus-rtu", "length", lambda adu: b""),
    ("modbus-rtu", "length", lambda adu: adu[:4]),
    ("modbus-rtu", "length", lambda adu: bytes(257)),
    ("modbus-rtu", "crc", lambda adu: adu[:-1] + bytes((adu[-1] ^ 1,))),
    ("modbus-rtu", "crc", lambda adu: adu[:-2] + adu[:-3:-1]),
    ("modbus-rtu", "unit", lambda adu: b"\x09" + adu[1:-2] + crc(b"\x09" + adu[1:-2])),
    ("modbus-rtu", "function", lambda adu: adu[:1] + b"\4" + adu[2:-2] + crc(adu[:1] + b"\4" + adu[2:-2])),
    ("modbus-rtu", "byte count", lambda adu: adu[:3] + crc(adu[:3])),
]  # fmt: skip
BUS_ERRORS = [("timeout", None), ("disconnected", None), ("too-long", 7), ("other", "wire cut ✂")]


def status(call: Call) -> tuple[str, int, int, str]:
    return tuple(call("get-status"))


def driver_settings(start: Start) -> None:
    """What the driver takes and refuses."""
    line = Line()
    call = start(line)
    assert status(call) == ("failed", 0, 0, "not configured")
    assert plain(call("read-sensor")) == NOT_CONFIGURED
    assert plain(call("write-register", 1, ("real", 1.0))) == NOT_CONFIGURED
    assert status(call) == ("failed", 0, 0, "not configured")
    for address in ADDRESSES:
        assert plain(call("configure", settings([point(1, address)])))[0], address
        assert status(call) == ("ok", 0, 0, "")
    for address in NO_ADDRESSES:
        refused = plain(
            call("configure", settings([point(1, "holding:1"), point(2, address), point(3, "?")]))
        )
        assert refused == (False, ("bad-address", address)), address
        assert status(call)[3] == "not configured"
    for scale in (0.0, -0.0):
        refused = plain(call("configure", settings([point(1, "holding:1", scale)])))
        assert refused == (False, ("bad-address", "holding:1"))
    for option in OPTIONS:
        assert plain(call("configure", settings([], option)))[0], option
    for name, value in NO_OPTIONS:
        refused = plain(
            call("configure", settings([point(1, "?")], ("unit", "1"), (name, value), ("x", "y")))
        )
        assert refused == (False, ("bad-option", name)), (name, value)
        assert plain(call("read-sensor")) == NOT_CONFIGURED
    assert plain(call("configure", settings([], ("retries", "1"), ("unit", "x"))))[1] == (
        "unknown-option",
        "retries",
    )
    most = [point(i, f"holding:{i}") for i in range(1000)]
    assert plain(call("configure", settings(most)))[0]
    refused = plain(call("configure", settings([*most, point(1000, "?")], ("x", "y"))))
    assert refused == (False, ("too-many-points", 1000))
    assert line.names() == []
    assert plain(call("configure", settings([])))[0]
    assert readings(call("read-sensor")) == []
    assert status(call) == ("ok", 1, 0, "")


def driver_reads(start: Start) -> None:
    """Requests, values and statuses of read-sensor."""
    line = Line()
    call = start(line)
    points = [
        point(7, "holding:5:u32"),
        point(2, "holding:40", 0.1, 5.0),
        point(9, "holding:65535:i16", -2.0),
    ]
    line.image[10:14], line.image[80:82], line.image[131070:] = b"\0\1\0\2", b"\0\3", b"\xff\xff"
    assert plain(call("configure", settings(points)))[0]
    assert readings(call("read-sensor")) == [
        (7, 65538.0, 0, 1001),
        (2, 3.0 * 0.1 + 5.0, 0, 1002),
        (9, 2.0, 0, 1003),
    ]
    assert line.requests() == [
        "000100000006010300050002",
        "000200000006010300280001",
        "000300000006" + "0103ffff0001",
    ]
    assert [arguments[1:] for _, arguments in line.asked] == [(TCP, 1_000_000_000)] * 3
    line.asked.clear()
    rtu = (("protocol", "modbus-rtu"), ("unit", "17"), ("timeout", "200 ms"))
    assert plain(call("configure", settings(points[1:2], *rtu)))[0]
    assert readings(call("read-sensor")) == [(2, 3.0 * 0.1 + 5.0, 0, 1004)]
    body = bytes.fromhex("110300280001")
    assert line.requests() == [(body + crc(body)).hex()]
    assert line.asked[0][1][1:] == (("silence", None), 200_000_000)
    assert status(call) == ("ok", 2, 0, "")
    line.asked.clear()
    for kind, raw, value in VALUES:
        line.image[:4] = bytes.fromhex(raw).ljust(4, b"\0")
        assert plain(call("configure", settings([point(1, f"holding:0:{kind}:be")])))[0]
        assert readings(call("read-sensor"))[0][1:3] == (value, 0), (kind, raw)
    assert line.requests()[0][:4] == "0005"
    for raw in ("7fc00000", "7f800000", "ff800000"):
        line.image[:4] = bytes.fromhex(raw)
        assert plain(call("configure", settings([point(1, "holding:0:f32"), point(2, "holding:9")])))[0]
        assert [r[:3] for r in readings(call("read-sensor"))] == [(1, 0.0, 0x808C0000), (2, 0.0, 0)]
    assert plain(call("configure", settings([point(1, "holding:0:f32", 1e300)])))[0]
    line.image[:4] = bytes.fromhex("7f7fffff")
    assert [r[:3] for r in readings(call("read-sensor"))] == [(1, 0.0, 0x808C0000)]
    assert status(call)[0] == "ok"
    assert status(call)[2] == 0


def driver_troubles(start: Start) -> None:
    """What becomes of errors, late replies and nonsense."""
    line = Line()
    call = start(line)
    points = [point(1, "holding:0"), point(2, "holding:1"), point(3, "holding:2")]
    line.image[:6] = b"\0\1\0\2\0\3"
    assert plain(call("configure", settings(points)))[0]
    line.wrong = iter([None, ("pdu", b"\x83\2"), None])
    assert [r[:3] for r in readings(call("read-sensor"))] == [(1, 1.0, 0), (2, 0.0, 0x808B0000), (3, 3.0, 0)]
    assert status(call) == ("degraded", 1, 1, "last poll failed")
    assert [r[2] for r in readings(call("read-sensor"))] == [0, 0, 0]
    assert status(call) == ("ok", 2, 1, "")
    line.wrong = iter([("pdu", b"\x83\x0b"), ("bus", ("disconnected", None))])
    line.names()
    assert plain(call("read-sensor")) == (False, ("rejected", 11))
    assert line.names() == ["transact", "transact"]
    assert status(call) == ("degraded", 3, 2, "last poll failed")
    assert plain(call("configure", settings(points)))[0]
    assert status(call) == ("ok", 3, 2, "")
    for error in BUS_ERRORS:
        bad = 0x800A0000 if error[0] == "timeout" else 0x808A0000
        reset = ["reset"] if error[0] == "timeout" else []
        line.wrong = iter([("bus", error)])
        failed = call("read-sensor")
        assert (failed.ok, failed.value[0], tuple(failed.value[1])) == (False, "bus", error)
        assert line.names() == ["transact", *reset]
        line.wrong = iter([None, ("bus", error)])
        assert [r[:3] for r in readings(call("read-sensor"))] == [(1, 1.0, 0), (2, 0.0, bad), (3, 0.0, bad)]
        assert line.names() == ["transact", "transact", *reset]
    for protocol, word, spoil in MALFORMED:
        assert plain(call("configure", settings(points[:1], ("protocol", protocol))))[0]
        line.wrong = iter([("adu", spoil)])
        assert plain(call("read-sensor")) == (False, ("malformed", word)), word
        assert line.names() == ["transact", "reset"]
        assert plain(call("configure", settings(points[:2], ("protocol", protocol))))[0]
        line.wrong = iter([("adu", spoil)])
        assert [r[:3] for r in readings(call("read-sensor"))] == [(1, 0.0, 0x80050000), (2, 2.0, 0)]
        assert line.names() == ["transact", "reset", "transact"]
    assert plain(call("configure", settings(points[:1], ("protocol", "modbus-rtu"))))[0]
    line.wrong = iter([("bus", ("timeout", None))])
    assert not call("read-sensor").ok
    assert line.names() == ["transact"]


def driver_late(start: Start) -> None:
    """A late reply is put aside, four times."""
    for late in range(7):
        line = Line()
        call = start(line)
        line.image[:2] = b"\0\5"
        assert plain(call("configure", settings([point(1, "holding:0")], ("timeout", "50 ms"))))[0]

        def aged(adu: bytes, age: int) -> bytes:
            return struct.pack(">H", struct.unpack(">H", adu[:2])[0] - age & 65535) + adu[2:]

        def spoil(adu: bytes, late: int = late, line: Line = line) -> bytes:
            queue = [aged(adu, 1 + 31 * i % 63) for i in range(late)] + [adu]
            line.waiting = queue[1:] if late < 6 else queue[1:3]
            return queue[0]

        line.wrong = iter([("adu", spoil)])
        result = call("read-sensor")
        if late <= 4:
            assert readings(result)[0][1:3] == (5.0, 0), late
            assert line.names() == ["transact", *["receive"] * late]
        elif late == 5:
            assert plain(result) == (False, ("malformed", "transaction"))
            assert line.asked[-2] == ("receive", (TCP, 50_000_000))
            assert line.names() == ["transact", *["receive"] * 4, "reset"]
        else:
            assert (result.ok, tuple(result.value[1])) == (False, ("timeout", None))
            assert line.names() == ["transact", *["receive"] * 3, "reset"]


def driver_writes(start: Start) -> None:
    """write-register."""
    line = Line()
    call = start(line)
    assert plain(call("configure", settings([point(1, "holding:258:u16", 0.5, -10.0)], ("unit", "3"))))[0]
    assert plain(call("write-register", 2, ("real", 1.0))) == (False, ("no-such-point", 2))
    assert plain(call("write-register", 1, ("real", 90.0))) == (True, None)
    assert line.requests() == ["000100000006" + "0306010200c8"]
    line.asked.clear()
    for kind, value, raw in WRITES:
        assert plain(call("configure", settings([point(1, f"holding:256:{kind}")])))[0]
        assert plain(call("write-register", 1, ("real", value))) == (True, None), (kind, value)
        head = "01060100" if len(raw) == 4 else "0110010000" + "0204"
        assert line.requests()[0][12:] == head + raw, (kind, value)
        line.names()
    for kind, value in NO_WRITES:
        assert plain(call("configure", settings([point(1, f"holding:256:{kind}")])))[0]
        assert plain(call("write-register", 1, ("real", value))) == (
            False,
            ("other", "value does not fit the register's type"),
        ), (kind, value)
    assert line.names() == []
    assert status(call) == ("ok", 0, 0, "")
    line.wrong = iter(
        [("pdu", b"\x90\4"), ("pdu", b"\x10\1\0\0\3"), ("pdu", b"\x10\1\0\0\2\0"), ("bus", ("timeout", None))]
    )
    assert plain(call("configure", settings([point(1, "holding:256:f32")])))[0]
    assert plain(call("write-register", 1, ("real", 1.0))) == (False, ("rejected", 4))
    assert line.names() == ["transact"]
    for _ in range(2):
        assert plain(call("write-register", 1, ("real", 1.0))) == (False, ("malformed", "echo"))
        assert line.names() == ["transact", "reset"]
    assert not call("write-register", 1, ("real", 1.0)).ok
    assert line.names() == ["transact", "reset"]
    assert status(call) == ("ok", 0, 4, "")


def driver_transactions(start: Start) -> None:
    """The number goes once around."""
    line = Line()
    call = start(line)
    assert plain(call("configure", settings([point(i, f"holding:{i}") for i in range(1000)])))[0]
    for _ in range(66):
        assert call("read-sensor").ok
    numbers = [int(text[:4], 16) for text in line.requests()]
    assert numbers == [(i + 1) % 65536 for i in range(66000)]


CASES: dict[str, list[Callable[[Start], None]]] = {
    "transform": [transform],
    "policy": [policy],
    "driver": [
        driver_settings,
        driver_reads,
        driver_troubles,
        driver_late,
        driver_writes,
        driver_transactions,
    ],
}

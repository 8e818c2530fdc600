"""What components/starters/BEHAVIOUR.md says of whole numbers of 64 bits, of sentinels, and of what is written to a
point, as calls and answers; ``ALL_CASES`` are these and those of starter_cases.py."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from tests.components.starter_cases import (
    BAD,
    CASES,
    LIMITED,
    NOT_CONFIGURED,
    ORIGIN,
    UNITS_EXCEEDED,
    UP,
    Call,
    Line,
    Start,
    no_bus,
    plain,
    point,
    readings,
    settings,
    status,
)
from twinloop.components.contract.contract import IntegerReading, PointConfig, Reading, TextReading

NO_DATA = 0x809B0000
REJECTED, MALFORMED, TIMEOUT, OFFLINE = 0x808B0000, 0x80050000, 0x800A0000, 0x808A0000
UNFIT = (False, ("other", "value does not fit the register's type"))
WIDE = [
    PointConfig(3, "counter", "a", "", 1.0, 0.0, -5.0, 2.0**53),
    PointConfig(900, "energy", "b", "", 1.0, 0.0, None, 2.0**63),
    PointConfig(65535, "level", "c", "", 1.0, 0.0, -(2.0**63) + 2048, None),
    PointConfig(1, "spare", "d", "", 1.0, 0.0, None, None),
    PointConfig(2, "half", "e", "", 1.0, 0.0, 0.5, 1.5),
]
"""points with limits that doubles reach and whole numbers pass by one"""


def integers(result: Any) -> list[tuple[int, tuple[str, int], int, int]]:
    assert result.ok, result
    return [(i.point, tuple(i.value), i.status, i.measured) for i in result.value.integers]


def whole(number: int, value: int, status: int = 0, measured: int = 1, case: str = "") -> IntegerReading:
    return IntegerReading(number, (case or ("signed" if value < 0 else "unsigned"), value), status, measured)


# ---- transform -------------------------------------------------------------------------------------
GIVEN = [
    (whole(3, 2**53), False), (whole(3, 2**53 + 1), False), (whole(3, 2**53 + 3), True), (whole(3, -5), False),
    (whole(3, -6), True), (whole(3, 2**53 + 2, 7, 2**64 - 1), True), (whole(3, 7, case="signed"), False),
    (whole(900, 2**63), False), (whole(900, 2**63 - 1, case="signed"), False), (whole(900, 2**63 + 1024), False),
    (whole(900, 2**63 + 1025), True), (whole(900, 2**64 - 1, 0x40000000), True), (whole(900, -(2**63)), False),
    (whole(65535, -(2**63)), True), (whole(65535, -(2**63) + 2048), False), (whole(65535, -(2**63) + 2047), False),
    (whole(65535, 2**64 - 1), False), (whole(1, 2**64 - 1, 0x7FFFFFFF), False), (whole(1, -(2**63)), False),
    (whole(1, 2**53 + 1, case="signed"), False), (whole(1, 0), False), (whole(2, 0), True), (whole(2, 1), False),
    (whole(2, 2), True),
]  # fmt: skip
"""an integer, and is its nearest double beyond a limit of WIDE"""


def transform_integers(start: Start) -> None:
    """Integers: exact while the factor is 1, else readings; limits change their status only."""
    call = start(no_bus)
    run = "transform-readings"
    assert plain(call(run, ORIGIN, ([], [], [whole(3, 1)]))) == NOT_CONFIGURED
    texts = [TextReading(77, "x", 0, 1)]
    given = [one for one, _ in GIVEN]
    statuses = [UNITS_EXCEEDED if beyond else one.status for one, beyond in GIVEN]
    bad = [whole(3, 2**64 - 1, BAD, 5), whole(3, -6, 0xFFFFFFFF, 6), whole(2, 2, 0x809B0000, 7, "signed")]
    first = [Reading(1, 0.5, 0, 9), Reading(2, 99.0, 0, 10)]
    for options in ((), (("factor", "1"),), (("factor", "+1.0e0"),)):
        assert plain(call("configure", settings(WIDE, *options)))[0]
        result = call(run, ORIGIN, ([], texts, given))
        assert integers(result) == [
            tuple(one._replace(status=status)) for one, status in zip(given, statuses, strict=True)
        ]
        assert readings(result) == []
        assert [tuple(text) for text in result.value.texts] == [tuple(text) for text in texts]
        result = call(run, ORIGIN, (first, [], [bad[0], given[4], bad[1], bad[2]]))
        assert readings(result) == [(1, 0.5, 0, 9), (2, 1.5, UNITS_EXCEEDED, 10)]
        assert integers(result) == [
            tuple(one) for one in (bad[0], given[4]._replace(status=UNITS_EXCEEDED), bad[1], bad[2])
        ]
    for factor in (2.0, 0.5, -0.1, 0.0, 1.0000000000000002):
        assert plain(call("configure", settings(WIDE, ("factor", repr(factor)))))[0]
        result = call(run, ORIGIN, (first, texts, [bad[0], *given, *bad[1:]]))
        assert readings(result) == [
            (1, 0.5 * factor, 0, 9),
            (2, 1.5 * factor, UNITS_EXCEEDED, 10),
            *(
                (one.point, float(one.value[1]) * factor, status, one.measured)
                for one, status in zip(given, statuses, strict=True)
            ),
        ], factor
        assert integers(result) == [tuple(one) for one in bad]
        assert [tuple(text) for text in result.value.texts] == [tuple(text) for text in texts]
    for factor in (1.0, 2.0):
        assert plain(call("configure", settings(WIDE, ("factor", repr(factor)))))[0]
        for unknown in (whole(4, 1), whole(4, 1, BAD), whole(65534, -1)):
            refused = plain(call(run, ORIGIN, (first, texts, [whole(3, 1), unknown])))
            assert refused == (False, ("bad-input", "unknown point"))
    many = [PointConfig(i, f"p{i}", "a", "", 1.0, 0.0, float(i), None) for i in range(0, 65536, 16)]
    assert plain(call("configure", settings(many)))[0]
    out = integers(call(run, ORIGIN, ([], [], [whole(p.id, p.id - 1) for p in many])))
    assert out == [tuple(whole(p.id, p.id - 1, UNITS_EXCEEDED)) for p in many]


# ---- policy ----------------------------------------------------------------------------------------
HIGH = {one.id: one.high for one in WIDE}


def is_above(one: IntegerReading, value: float) -> bool:
    high = HIGH[one.point]
    return high is not None and value > high


def decided(call: Call, up: bool, numbers: list[Reading], given: list[IntegerReading]) -> list[int]:
    """The points of the alerts; nothing else may be an exception."""
    batch = (numbers, [TextReading(77, "x", 0, 1)], given)
    result = call("decide", ORIGIN, batch, UP._replace(up=up))
    assert result.ok, result
    verdict, exceptions = result.value
    assert tuple(verdict) == ("forward" if up else "cache", 1)
    assert all(tuple(one.verdict) == ("alert", "above its high limit") for one in exceptions)
    return [one.point for one in exceptions]


def policy_integers(start: Start) -> None:
    """Integers above `high` are alerts, behind those of the readings."""
    call = start(no_bus)
    assert plain(call("decide", ORIGIN, ([], [], [whole(3, 1)]), UP)) == NOT_CONFIGURED
    assert plain(call("configure", settings(WIDE)))[0]
    for up in (True, False):
        for one, _ in GIVEN:
            above = is_above(one, float(one.value[1]))
            if above == is_above(one, one.value[1]):
                assert decided(call, up, [], [one]) == [one.point] * above, one
            assert decided(call, up, [], [one._replace(status=BAD)]) == []
        numbers = [Reading(2, 1.6, 0, 1), Reading(1, 1e300, 0, 1), Reading(3, 9.1e15, 0, 1)]
        wide = [whole(900, 2**64 - 1), whole(1, 2**64 - 1), whole(77, 2**64 - 1), whole(65535, 2**64 - 1)]
        assert decided(call, up, numbers, wide) == [2, 3, 900]
        signed = whole(2, 2, 0x7FFFFFFF, 1, "signed")
        assert decided(call, up, [], [whole(900, 2**64 - 1), signed]) == [900, 2]
    assert plain(call("configure", settings(LIMITED)))[0]
    assert decided(call, True, [Reading(900, 213.0, 0, 1)], [whole(3, 17), whole(3, 16)]) == [900, 3]


def policy_nearest_doubles(start: Start) -> None:
    """An integer is compared as its nearest double: one just above its limit may not be."""
    call = start(no_bus)
    assert plain(call("configure", settings(WIDE)))[0]
    near = [one for one, _ in GIVEN if is_above(one, one.value[1]) and not is_above(one, float(one.value[1]))]
    assert len(near) == 2
    assert decided(call, True, [], near) == []


# ---- driver ----------------------------------------------------------------------------------------
EXACT = [
    ("u64", 2**53 + 1), ("u64", 2**64 - 1), ("u64", 0), ("u64", 2**63), ("u64", 0x0102030405060708),
    ("i64", -(2**63)), ("i64", 2**63 - 1), ("i64", -1), ("i64", 2**53 + 1), ("i64", -(2**53) - 1), ("i64", 0),
]  # fmt: skip
ROUNDED = [
    ("u64", 2**64 - 1, 0.5, 0.0, 2.0**63), ("u64", 2**53 + 1, 0.5, 0.0, 2.0**52), ("u64", 2**53 + 3, 2.0, 0.0, 2.0**54 + 8),
    ("u64", 2**53 + 1, 1.0, 1.0, 2.0**53), ("i64", -(2**53) - 1, -1.0, 0.0, 2.0**53), ("i64", -(2**63), 0.1, 5.0, -(2.0**63) * 0.1 + 5.0),
    ("u64", 2**63 + 1025, 1.0, -(2.0**63), 2048.0), ("u64", 2**63 + 1024, 1.0, -(2.0**63), 0.0), ("i64", -5, 0.1, 0.0, -5 * 0.1),
    ("u64", 12345, 0.001, 0.5, 12345 * 0.001 + 0.5), ("i64", 2**63 - 1, 1.0, 0.25, 2.0**63),
]  # fmt: skip
"""type, raw, scale, offset, value"""
SENTINELS = [
    ("u16", "ffff", (0xFFFF,), True), ("u16", "fffe", (0xFFFF,), False), ("i16", "8000", (0x8000,), True),
    ("i16", "ffff", (0x8000, 0x7FFF, 0xFFFF), True), ("u32", "0000ffff", (0xFFFFFFFF,), False), ("u32", "ffffffff", (0, 0xFFFFFFFF), True),
    ("i32", "80000000", (0x80000000,), True), ("f32", "7fc00000", (0x7FC00000,), True), ("f32", "7fc00001", (0x7FC00001,), True),
    ("f32", "c61c3c00", (0xC61C3C00,), True), ("f32", "80000000", (0,), False), ("f32", "00000000", (0,), True),
    ("u64", "ffffffffffffffff", (2**64 - 1,), True), ("u64", "fffffffffffffffe", (2**64 - 1,), False),
    ("i64", "8000000000000000", (2**63,), True), ("i64", "0020000000000001", (2**53,), False),
    ("u64", "0020000000000000", (2**53 + 1,), False), ("u16", "0006", (1, 2, 3, 4, 5, 6), True), ("u16", "0007", (1, 2, 3, 4, 5, 6), False),
]  # fmt: skip
"""type, raw, sentinels, and is it one of them"""
TOO_WIDE = [
    ("u16", (0x10000,)), ("i16", (0x8000, 2**64 - 0x8000)), ("u32", (2**32,)), ("i32", (2**64 - 2**31,)), ("f32", (0x7FC00000, 2**32)),
    ("u16", (2**64 - 1,)), ("u16", (2**32,)),
]  # fmt: skip
WRITES: list[tuple[str, float, float, tuple[str, Any], str]] = [
    ("u64", 1, 0, ("integer", ("unsigned", 2**53 + 1)), "0020000000000001"),
    ("u64", 1, 0, ("integer", ("unsigned", 2**64 - 1)), "ffffffffffffffff"),
    ("u64", 1, 0, ("integer", ("signed", 5)), "0000000000000005"),
    ("i64", 1, 0, ("integer", ("signed", -(2**63))), "8000000000000000"),
    ("i64", 1, 0, ("integer", ("signed", -(2**53) - 1)), "ffdfffffffffffff"),
    ("i64", 1, 0, ("integer", ("unsigned", 2**63 - 1)), "7fffffffffffffff"),
    ("u16", 1, 0, ("integer", ("unsigned", 65535)), "ffff"), ("u16", 1, 0, ("integer", ("signed", 0)), "0000"),
    ("i16", 1, 0, ("integer", ("signed", -32768)), "8000"), ("i16", 1, 0, ("integer", ("unsigned", 32767)), "7fff"),
    ("u32", 1, 0, ("integer", ("unsigned", 2**32 - 1)), "ffffffff"), ("i32", 1, 0, ("integer", ("signed", -(2**31))), "80000000"),
    ("f32", 1, 0, ("integer", ("unsigned", 25)), "41c80000"), ("f32", 1, 0, ("integer", ("signed", -25)), "c1c80000"),
    ("f32", 1, 0, ("integer", ("unsigned", 2**24 + 1)), "4b800000"), ("f32", 1, 0, ("integer", ("unsigned", 2**64 - 1)), "5f800000"),
    ("u16", 0.5, -10, ("integer", ("signed", 90)), "00c8"), ("i16", -2, 0, ("integer", ("unsigned", 6)), "fffd"),
    ("u16", 2, 0, ("integer", ("unsigned", 5)), "0002"), ("i32", 1, 1, ("integer", ("signed", 0)), "ffffffff"),
    ("u64", 2, 0, ("integer", ("unsigned", 2**53 + 1)), "0010000000000000"), ("u64", 1, 1, ("integer", ("unsigned", 2**53 + 3)), "0020000000000004"),
    ("u64", 1, 0, ("real", 2.0**64 - 2048), "fffffffffffff800"), ("u64", 1, 0, ("real", 2.0**53), "0020000000000000"),
    ("u64", 1, 0, ("real", 2.0**52 + 0.5), "0010000000000000"), ("u64", 1, 0, ("real", 2.0**51 + 0.5), "0008000000000000"),
    ("u64", 1, 0, ("real", 2.0**51 + 1.5), "0008000000000002"), ("u64", 1, 0, ("real", -0.5), "0000000000000000"),
    ("u64", 1, 0, ("real", 0.49999999999999994), "0000000000000000"), ("i64", 1, 0, ("real", -(2.0**63)), "8000000000000000"),
    ("i64", 1, 0, ("real", 2.0**63 - 1024), "7ffffffffffffc00"), ("i64", 1, 0, ("real", -2.5), "fffffffffffffffe"),
    ("i64", 0.5, 0, ("real", -1.0), "fffffffffffffffe"),
]  # fmt: skip
"""type, scale, offset, what is written, the registers"""
NO_WRITES: list[tuple[str, float, float, tuple[str, Any]]] = [
    ("u64", 1, 0, ("integer", ("signed", -1))), ("i64", 1, 0, ("integer", ("unsigned", 2**63))),
    ("i64", 1, 0, ("integer", ("unsigned", 2**64 - 1))), ("u16", 1, 0, ("integer", ("unsigned", 65536))),
    ("u16", 1, 0, ("integer", ("signed", -1))), ("u16", 1, 0, ("integer", ("unsigned", 2**64 - 1))),
    ("i16", 1, 0, ("integer", ("unsigned", 32768))), ("i16", 1, 0, ("integer", ("signed", -32769))),
    ("i16", 1, 0, ("integer", ("signed", -(2**63)))), ("u32", 1, 0, ("integer", ("unsigned", 2**32))),
    ("u32", 1, 0, ("integer", ("signed", -1))), ("i32", 1, 0, ("integer", ("signed", 2**31))),
    ("i32", 1, 0, ("integer", ("signed", -(2**31) - 1))), ("u16", 0.5, 0, ("integer", ("unsigned", 32768))),
    ("u16", 1, 1, ("integer", ("unsigned", 0))), ("u64", 0.5, 0, ("integer", ("unsigned", 2**63))),
    ("u64", 1, 1, ("integer", ("unsigned", 2**64 - 1))), ("u64", 1, 0, ("real", 2.0**64)), ("u64", 1, 0, ("real", -1.0)),
    ("i64", 1, 0, ("real", 2.0**63)), ("i64", 1, 0, ("real", -(2.0**63) - 2048)), ("u64", 1, 0, ("real", float("nan"))),
    ("i64", 1, 0, ("real", float("-inf"))), ("u64", 1, 0, ("real", 1e300)),
    ("u16", 1, 0, ("text", "1")), ("f32", 1, 0, ("text", "1.5")), ("u64", 1, 0, ("text", "")), ("i64", 2, 1, ("text", "Grüße 🌡")),
]  # fmt: skip


def zero(kind: str) -> tuple[str, int]:
    return ("unsigned" if kind == "u64" else "signed"), 0


def driver_integers(start: Start) -> None:
    """Registers of 64 bits: whole, or with a scale; what is asked for them, in which order they come."""
    line = Line()
    call = start(line)
    for kind, value in EXACT:
        line.image[10:18] = struct.pack(">Q", value % 2**64)
        assert plain(call("configure", settings([point(7, f"holding:5:{kind}")])))[0]
        result = call("read-sensor")
        assert integers(result) == [(7, (zero(kind)[0], value), 0, line.now)], (kind, value)
        assert readings(result) == []
        assert [*result.value.texts] == []
    assert line.requests()[0] == "000100000006010300050004"
    for kind, raw, scale, offset, rounded in ROUNDED:
        line.image[10:18] = struct.pack(">Q", raw % 2**64)
        assert plain(call("configure", settings([point(7, f"holding:5:{kind}:be", scale, offset)])))[0]
        result = call("read-sensor")
        assert readings(result) == [(7, rounded, 0, line.now)], (kind, raw, scale, offset)
        assert integers(result) == []
    line = Line()
    call = start(line)
    line.image[:26] = struct.pack(">QHqQ", 2**53 + 1, 3, -7, 2**64 - 1)
    points = [
        point(9, "holding:0:u64"),
        point(2, "holding:4"),
        point(65535, "holding:5:i64"),
        point(1, "holding:9:u64", 2.0),
    ]
    assert plain(call("configure", settings(points, ("protocol", "modbus-rtu"))))[0]
    result = call("read-sensor")
    assert integers(result) == [
        (9, ("unsigned", 2**53 + 1), 0, 1001),
        (65535, ("signed", -7), 0, 1003),
    ]
    assert readings(result) == [(2, 3.0, 0, 1002), (1, 2.0**65, 0, 1004)]
    assert [text[4:12] for text in line.requests()] == ["00000004", "00040001", "00050004", "00090004"]


def driver_sentinels(start: Start) -> None:
    """Registers that mean that there is no value."""
    line = Line()
    call = start(line)
    for kind, raw, sentinels, none in SENTINELS:
        line.image[:8] = bytes.fromhex(raw).ljust(8, b"\0")
        for scale in (1.0, 0.5):
            one = point(7, f"holding:0:{kind}", scale, 0.0, sentinels)
            assert plain(call("configure", settings([one])))[0]
            result = call("read-sensor")
            told: Any
            if kind in ("u64", "i64") and scale == 1.0:
                (told,) = integers(result)
                assert not readings(result)
            else:
                (told,) = readings(result)
                assert not integers(result)
            assert told[2] == (NO_DATA if none else 0), (kind, raw, sentinels)
            if none:
                assert told[1] in (0.0, zero(kind)), (kind, raw, sentinels)
    assert status(call)[0] == "ok"
    assert status(call)[2] == 0
    for kind, sentinels in TOO_WIDE:
        address = f"holding:0:{kind}"
        for scale in (1.0, 0.5):
            points = [point(1, "holding:1"), point(2, address, scale, 0.0, sentinels), point(3, "?")]
            assert plain(call("configure", settings(points))) == (False, ("bad-address", address)), sentinels
            assert plain(call("read-sensor")) == NOT_CONFIGURED
    assert plain(call("configure", settings([point(1, "holding:1", 1.0, 0.0, (3,)), point(2, "holding:1")])))[
        0
    ]
    line.image[2:4] = b"\0\3"
    assert [r[:3] for r in readings(call("read-sensor"))] == [(1, 0.0, NO_DATA), (2, 3.0, 0)]


def driver_integer_troubles(start: Start) -> None:
    """Whole points that fail stay among the integers."""
    line = Line()
    call = start(line)
    points = [
        point(1, "holding:0:u64"),
        point(2, "holding:4:u16"),
        point(3, "holding:5:i64"),
        point(4, "holding:9:u64", 0.5),
        point(5, "holding:13:u64"),
    ]
    line.image[:34] = struct.pack(">QHqQQ", 1, 2, -3, 4, 5)
    assert plain(call("configure", settings(points)))[0]
    line.wrong = iter([("pdu", b"\x83\2"), None, ("pdu", b"\3\4\0\0\0\0"), None, ("bus", ("timeout", None))])
    result = call("read-sensor")
    assert integers(result) == [
        (1, ("unsigned", 0), REJECTED, 1001),
        (3, ("signed", 0), MALFORMED, 1003),
        (5, ("unsigned", 0), TIMEOUT, 1005),
    ]
    assert readings(result) == [(2, 2.0, 0, 1002), (4, 2.0, 0, 1004)]
    assert line.names() == ["transact", "transact", "transact", "reset", "transact", "transact", "reset"]
    assert status(call) == ("degraded", 1, 1, "last poll failed")
    line.wrong = iter([None, ("bus", ("disconnected", None))])
    result = call("read-sensor")
    assert integers(result) == [
        (1, ("unsigned", 1), 0, 1006),
        (3, ("signed", 0), OFFLINE, 1008),
        (5, ("unsigned", 0), OFFLINE, 1010),
    ]
    assert readings(result) == [(2, 0.0, OFFLINE, 1007), (4, 0.0, OFFLINE, 1009)]
    assert line.names() == ["transact", "transact"]
    line.wrong = iter([("pdu", b"\x83\4"), ("bus", ("disconnected", None))])
    assert plain(call("read-sensor")) == (False, ("rejected", 4))
    assert status(call) == ("degraded", 3, 3, "last poll failed")
    only = points[:1]
    assert plain(call("configure", settings(only)))[0]
    line.wrong = iter([("pdu", b"\x83\x0b")])
    assert plain(call("read-sensor")) == (False, ("rejected", 11))
    assert integers(call("read-sensor")) == [(1, ("unsigned", 1), 0, line.now)]


def driver_integer_writes(start: Start) -> None:
    """write-register: integers exact or not at all, reals into 64 bits, no texts."""
    line = Line()
    call = start(line)
    for what in (("integer", ("unsigned", 1)), ("text", "x")):
        assert plain(call("write-register", 1, what)) == NOT_CONFIGURED
    for kind, scale, offset, what, raw in WRITES:
        one = point(1, f"holding:256:{kind}", float(scale), float(offset))
        assert plain(call("configure", settings([one])))[0]
        assert plain(call("write-register", 1, what)) == (True, None), (kind, scale, offset, what)
        count = len(raw) // 4
        head = "01060100" if count == 1 else f"01100100{count:04x}{2 * count:02x}"
        assert [text[12:] for text in line.requests()] == [head + raw], (kind, scale, offset, what)
        line.names()
    for kind, scale, offset, unfit in NO_WRITES:
        one = point(1, f"holding:256:{kind}", float(scale), float(offset))
        assert plain(call("configure", settings([one])))[0]
        assert plain(call("write-register", 1, unfit)) == UNFIT, (kind, scale, offset, unfit)
        assert plain(call("write-register", 2, unfit)) == (False, ("no-such-point", 2))
    assert line.names() == []
    assert status(call) == ("ok", 0, 0, "")
    assert plain(call("configure", settings([point(1, "holding:256:u64")])))[0]
    line.wrong = iter([("pdu", b"\x90\4"), ("pdu", b"\x10\1\0\0\2")])
    assert plain(call("write-register", 1, ("integer", ("unsigned", 1)))) == (False, ("rejected", 4))
    assert line.names() == ["transact"]
    assert plain(call("write-register", 1, ("integer", ("unsigned", 1)))) == (False, ("malformed", "echo"))
    assert line.names() == ["transact", "reset"]
    assert status(call) == ("ok", 0, 2, "")


ALL_CASES: dict[str, list[Callable[[Start], None]]] = {
    "transform": [*CASES["transform"], transform_integers],
    "policy": [*CASES["policy"], policy_integers, policy_nearest_doubles],
    "driver": [
        *CASES["driver"],
        driver_integers,
        driver_sentinels,
        driver_integer_troubles,
        driver_integer_writes,
    ],
}

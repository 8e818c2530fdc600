"""modbus-driver and whole numbers of 64 bits: exact when read and written, sentinels, and what doesn't fit."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.components.test_modbus_driver import FUEL, ask, driver, registers, tcp
from tests.plants import WASM
from twinloop.components.contract.contract import PointConfig, Settings
from twinloop.components.host.host import Host

NO_DATA = 0x809B0000
UNFIT = ("other", "value does not fit the register's type")


def point(number: int, address: str, *sentinels: int, scale: float = 1.0, offset: float = 0.0) -> PointConfig:
    return PointConfig(number, f"p{number}", address, "", scale, offset, None, None, sentinels)


def said(batch: Any) -> list[tuple[int, float, int]]:
    """Point, value and status of the readings and then of the integers, an int for one."""
    return [(r.point, r.value, r.status) for r in batch.readings] + [
        (i.point, i.value[1], i.status) for i in batch.integers
    ]


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        ("u64:be", "0020000000000001", 2**53 + 1), ("u64:sw", "0001000000000020", 2**53 + 1),
        ("u64:bs", "2000000000000100", 2**53 + 1), ("u64:le", "0100000000002000", 2**53 + 1),
        ("i64:be", "0020000000000001", 2**53 + 1), ("i64:sw", "0001000000000020", 2**53 + 1),
        ("i64:bs", "2000000000000100", 2**53 + 1), ("i64:le", "0100000000002000", 2**53 + 1),
        ("u64:be", "8000000000000000", 2**63), ("u64:sw", "0000000000008000", 2**63),
        ("u64:bs", "0080000000000000", 2**63), ("u64:le", "0000000000000080", 2**63),
        ("i64:be", "8000000000000000", -(2**63)), ("i64:sw", "0000000000008000", -(2**63)),
        ("i64:bs", "0080000000000000", -(2**63)), ("i64:le", "0000000000000080", -(2**63)),
        ("u64:be", "ffffffffffffffff", 2**64 - 1), ("u64:sw", "ffffffffffffffff", 2**64 - 1),
        ("u64:bs", "ffffffffffffffff", 2**64 - 1), ("u64:le", "ffffffffffffffff", 2**64 - 1),
        ("i64:be", "ffffffffffffffff", -1), ("i64:sw", "ffffffffffffffff", -1),
        ("i64:bs", "ffffffffffffffff", -1), ("i64:le", "ffffffffffffffff", -1),
        ("u64:be", "0102030405060708", 0x0102030405060708), ("u64:sw", "0708050603040102", 0x0102030405060708),
        ("u64:bs", "0201040306050807", 0x0102030405060708), ("u64:le", "0807060504030201", 0x0102030405060708),
        ("u64", "0000000000000000", 0), ("i64", "7fffffffffffffff", 2**63 - 1),
    ],
)  # fmt: skip
def test_64_bits_are_read_and_written_exactly(host: Host, kind: str, raw: str, value: int) -> None:
    written: list[str] = []

    def reply(pdu: bytes) -> bytes:
        if pdu[0] == 3:
            return registers(bytes.fromhex(raw))(pdu)
        written.append(pdu.hex())
        return pdu[:5]

    with driver(host, [point(7, f"holding:0:{kind}")]) as instance:
        batch = ask(instance, tcp(reply)).value
        assert not batch.readings
        assert [(i.point, i.value, i.status, i.measured) for i in batch.integers] == [
            (7, ("signed" if kind[0] == "i" else "unsigned", value), 0, 42)
        ]
        case = "signed" if value < 0 else "unsigned"
        assert ask(instance, tcp(reply), "write-register", (7, ("integer", (case, value)))).ok
    assert written == [f"100000000408{raw}"]


def test_what_is_no_whole_number_of_64_bits_stays_a_reading(host: Host) -> None:
    points = [
        point(0, "holding:0:u64", scale=0.5), point(1, "holding:4:u64"), point(2, "holding:8:i64", offset=1.0),
        point(3, "holding:12:f64"), point(4, "holding:16:u32"), point(5, "holding:18:i32"),
        point(6, "input:0:i64"), point(7, "coil:3"), point(8, "holding:20:u16"),
    ]  # fmt: skip
    image = struct.pack(">QQqdIiH", 2**53 + 2, 2**53 + 1, -5, 1.5, 2**32 - 1, -(2**31), 65535)

    def reply(pdu: bytes) -> bytes:
        return b"\1\1\1" if pdu[0] == 1 else registers(b"\xff" * 8 if pdu[0] == 4 else image)(pdu)

    with driver(host, points) as instance:
        batch = ask(instance, tcp(reply)).value
    assert [(i.point, i.value) for i in batch.integers] == [(1, ("unsigned", 2**53 + 1)), (6, ("signed", -1))]
    assert {r.point: r.value for r in batch.readings} == {
        0: 2.0**52 + 1, 2: -4.0, 3: 1.5, 4: 2.0**32 - 1, 5: -(2.0**31), 7: 1.0, 8: 65535.0,
    }  # fmt: skip
    assert all(type(r.value) is float for r in batch.readings)


@pytest.mark.parametrize(
    ("kind", "raw", "sentinels", "value"),
    [
        ("u16", "ffff", (0xFFFF,), None), ("u16", "fffe", (0xFFFF,), 65534.0), ("u16:bs", "00ff", (0xFF00,), None),
        ("i16", "8000", (0x8000,), None), ("i16", "ffff", (0x8000, 0xFFFF), None), ("i16", "7fff", (0x8000, 0xFFFF), 32767.0),
        ("u32", "ffffffff", (0xFFFFFFFF,), None), ("u32:sw", "00020001", (0x00010002,), None), ("u32", "0000ffff", (0xFFFFFFFF,), 65535.0),
        ("i32", "80000000", (0x80000000,), None), ("u64", "ffffffffffffffff", (2**64 - 1,), None),
        ("u64:le", "0100000000000080", (2**63 + 1,), None), ("u64", "fffffffffffffffe", (2**64 - 1,), 2**64 - 2),
        ("i64", "8000000000000000", (2**63,), None), ("i64", "0000000000000003", (1, 2, 3, 4), None),
        ("f32", "7fc00000", (0x7FC00000,), None), ("f32", "c61c3c00", (0xC61C3C00,), None), ("f32", "41c80000", (0xC61C3C00,), 25.0),
        ("f64", "7ff8000000000000", (0x7FF8000000000000,), None), ("bit3", "0008", (0x0008,), None), ("bit3", "0018", (0x0008,), 1.0),
    ],
)  # fmt: skip
def test_a_sentinel_is_no_data(
    host: Host, kind: str, raw: str, sentinels: tuple[int, ...], value: float | None
) -> None:
    image = bytes.fromhex(raw).ljust(8, b"\0")
    with driver(host, [point(7, f"holding:0:{kind}", *sentinels)]) as instance:
        batch = ask(instance, tcp(registers(image))).value
    assert said(batch) == [(7, 0, NO_DATA) if value is None else (7, value, 0)]
    assert bool(batch.integers) == (kind[1:3] == "64" and kind[0] != "f")


def test_a_block_that_fails_has_its_whole_numbers_bad_too(host: Host) -> None:
    points = [
        point(1, "holding:0:u64"),
        point(2, "holding:100:u64"),
        point(3, "holding:104"),
        point(4, "holding:200:i64"),
    ]

    def reply(pdu: bytes) -> bytes:
        return bytes.fromhex("8302") if 100 <= pdu[2] < 200 else registers(b"\0\0\0\0\0\0\0\7" * 60)(pdu)

    with driver(host, points) as instance:
        batch = ask(instance, tcp(reply)).value
        assert said(batch) == [(3, 0.0, 0x808B0000), (1, 7, 0), (2, 0, 0x808B0000), (4, 7, 0)]
        silent = ask(instance, lambda request: (False, ("timeout", None)))
        assert silent == (False, ("bus", ("timeout", None)))
        assert said(ask(instance, tcp(reply)).value) == said(batch)


@pytest.mark.parametrize(
    ("address", "sentinels", "why"),
    [
        ("holding:0:u16", (0x10000,), ": a sentinel does not fit its registers"),
        ("holding:0:i16", (2**64 - 1,), ": a sentinel does not fit its registers"),
        ("holding:0:f32", (1, 2**32), ": a sentinel does not fit its registers"),
        ("holding:0:u64", (1, 2, 3, 4, 5), ": more than 4 sentinels"), ("coil:0", (1,), ": one bit has no sentinels"),
    ],
)  # fmt: skip
def test_sentinels_that_can_not_be_are_refused(
    host: Host, address: str, sentinels: tuple[int, ...], why: str
) -> None:
    assert configured(host, point(1, address, *sentinels)) == (False, ("other", address + why))


@pytest.mark.parametrize(
    "address", ["holding:0:u16:nan=0xFFFF", "holding:0:nan=1", "holding:0:u16:be:nan=0xFFFF"]
)
def test_sentinels_are_no_part_of_an_address(host: Host, address: str) -> None:
    assert configured(host, point(1, address)) == (False, ("bad-address", address))


def configured(host: Host, *points: PointConfig) -> Any:
    linked = host.link(host.load(WASM / "modbus-driver.wasm", "driver"), ["fieldbus", "clock", "log"])
    instance = host.instantiate(linked, {"clock.now": lambda: 0, "log.log": lambda level, text: None}, FUEL)
    instance.begin("configure", (Settings("d", list(points), []),), FUEL)
    instance.advance()
    result = instance.result()
    instance.close()
    return result


@pytest.mark.parametrize(
    ("address", "scale", "value", "pdu"),
    [
        ("holding:4", 1.0, 65535, "060004ffff"), ("holding:4:u16:bs", 1.0, 258, "0600040201"), ("holding:4:i16", 1.0, -32768, "0600048000"),
        ("holding:4:u32", 1.0, 2**32 - 1, "100004000204ffffffff"), ("holding:4:i32:sw", 1.0, -2, "100004000204fffeffff"),
        ("holding:4:u64", 1.0, 2**64 - 1, "100004000408ffffffffffffffff"), ("holding:4:u64:sw", 1.0, 1, "1000040004080001000000000000"),
        ("holding:4:f32", 1.0, 42, "10000400020442280000"), ("holding:4:f64", 1.0, 2**53, "1000040004084340000000000000"),
        ("holding:4:u16", 0.1, 4, "0600040028"), ("holding:4:u64", 10.0, 2**53, "1000040004080003333333333333"),
        ("coil:172", 1.0, 1, "0500acff00"), ("coil:172", 1.0, 0, "0500ac0000"),
    ],
)  # fmt: skip
def test_whole_numbers_are_written_to_any_register(
    host: Host, address: str, scale: float, value: int, pdu: str
) -> None:
    seen: list[str] = []

    def reply(request: bytes) -> bytes:
        seen.append(request.hex())
        return request[:5]

    with driver(host, [point(1, address, scale=scale)]) as instance:
        cases = ["signed"] * (value < 2**63) + ["unsigned"] * (value >= 0)
        for case in cases:  # 5 is the same value in either
            assert ask(instance, tcp(reply), "write-register", (1, ("integer", (case, value)))).ok
    assert seen == [pdu] * len(cases)


@pytest.mark.parametrize(
    ("address", "scale", "written", "why"),
    [
        ("holding:4", 1.0, 65536, UNFIT), ("holding:4", 1.0, -1, UNFIT), ("holding:4:i16", 1.0, 32768, UNFIT), ("holding:4:i16", 1.0, -32769, UNFIT),
        ("holding:4:u32", 1.0, 2**32, UNFIT), ("holding:4:i32", 1.0, 2**31, UNFIT), ("holding:4:i32", 1.0, -(2**31) - 1, UNFIT),
        ("holding:4:u64", 1.0, -1, UNFIT), ("holding:4:i64", 1.0, 2**63, UNFIT), ("holding:4:u64", 0.5, 2**53 + 1, UNFIT),
        ("holding:4:f64", 1.0, 2**53 + 1, UNFIT), ("holding:4:f64", 1.0, 2**64 - 1, UNFIT), ("holding:4:f32", 1.0, -(2**53) - 1, UNFIT),
        ("coil:4", 1.0, 2**53 + 1, ("other", "value does not fit the coil")), ("input:4:u64", 1.0, 1, ("other", "read-only table")),
        ("holding:4:u64", 1.0, "5", ("other", "this point holds no text")), ("coil:4", 1.0, "on", ("other", "this point holds no text")),
        ("holding:4:u64", 1.0, "", ("other", "this point holds no text")), ("holding:4:u64", 1.0, 2.0**64, UNFIT), ("holding:4:i64", 1.0, 2.0**63, UNFIT),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_without_touching_the_bus(
    host: Host, address: str, scale: float, written: Any, why: tuple[str, str]
) -> None:
    value: Any = ("real", written) if isinstance(written, float) else ("text", written)
    if isinstance(written, int):
        value = ("integer", ("signed" if written < 0 else "unsigned", written))
    with driver(host, [point(1, address, scale=scale)]) as instance:
        result = ask(instance, lambda request: pytest.fail("touched the bus"), "write-register", (1, value))
        assert result == (False, why)


@pytest.mark.parametrize(
    ("kind", "value", "raw"), [("u64", 2.0**63, "8000000000000000"), ("i64", -(2.0**63), "8000000000000000"), ("u64", 2.0**53 + 2, "0020000000000002")]
)  # fmt: skip
def test_a_real_number_is_written_to_64_bits(host: Host, kind: str, value: float, raw: str) -> None:
    seen: list[str] = []

    def reply(request: bytes) -> bytes:
        seen.append(request.hex())
        return request[:5]

    with driver(host, [point(1, f"holding:4:{kind}")]) as instance:
        assert ask(instance, tcp(reply), "write-register", (1, ("real", value))).ok
    assert seen == [f"100004000408{raw}"]


def test_memory_is_flat(host: Host) -> None:
    points = [point(1, "holding:0:u64", 7), point(2, "holding:4:u16"), point(3, "input:0:i64")]

    def reply(pdu: bytes) -> bytes:
        return registers(b"\0\0\0\0\0\0\0\7" * 2)(pdu) if pdu[0] < 5 else pdu[:5]

    def troubled(request: Any) -> Any:
        return None if request.name == "fieldbus.reset" else (False, ("other", "x" * 100))

    written = [("integer", ("unsigned", 2**64 - 1)), ("text", "t" * 200), ("real", 5.0)]
    with driver(host, points) as instance:

        def polls(count: int) -> None:
            for k in range(count):
                assert ask(instance, tcp(reply)).ok
                assert not ask(instance, troubled).ok
                ask(instance, tcp(reply), "write-register", (1, written[k % 3]))
                settings = Settings("d", points if k % 2 else [point(1, "coil:0", 1, 2, 3)], [])
                assert ask(instance, troubled, "configure", (settings,)).ok == bool(k % 2)
                ask(instance, troubled, "configure", (Settings("d", points, []),))

        polls(50)
        before = instance.memory_bytes
        polls(1000)
        assert instance.memory_bytes == before

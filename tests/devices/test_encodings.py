"""How values lie in registers: right values by hand, and an oracle that reads bytes in another way."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinloop.devices.model.cell import Cell, reorder, scaled
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.encodings import ENCODINGS, TYPES
from twinloop.devices.model.points import ORDERS, ORDERS_64, Point, Power, Text
from twinloop.devices.model.registers import RegisterImage
from twinloop.devices.model.signal import Signal

BY_HAND = [
    # type, order, value, registers
    ("u8", "be", 200, "00C8"),
    ("u8", "bs", 200, "C800"),
    ("i8", "be", -2, "00FE"),
    ("u16", "bs", 0x1234, "3412"),
    ("i16", "be", -2, "FFFE"),
    ("u24", "be", 0x123456, "00123456"),
    ("u24", "sw", 0x123456, "34560012"),
    ("i24", "be", -2, "00FFFFFE"),
    ("u32", "be", 0x12345678, "12345678"),
    ("u32", "sw", 0x12345678, "56781234"),
    ("u32", "bs", 0x12345678, "34127856"),
    ("u32", "le", 0x12345678, "78563412"),
    ("u48", "be", 0x123456789ABC, "123456789ABC"),
    ("u48", "sw", 0x123456789ABC, "9ABC56781234"),
    ("u48", "le", 0x123456789ABC, "BC9A78563412"),
    ("i48", "be", -1, "FFFFFFFFFFFF"),
    ("u64", "be", 0x0123456789ABCDEF, "0123456789ABCDEF"),
    ("u64", "sw", 0x0123456789ABCDEF, "CDEF89AB45670123"),
    ("u64", "bs", 0x0123456789ABCDEF, "23016745AB89EFCD"),
    ("u64", "le", 0x0123456789ABCDEF, "EFCDAB8967452301"),
    ("u64", "sw32", 0x0123456789ABCDEF, "45670123CDEF89AB"),
    ("u64", "ds", 0x0123456789ABCDEF, "89ABCDEF01234567"),
    ("u64", "le32", 0x0123456789ABCDEF, "67452301EFCDAB89"),
    ("u64", "dsbs", 0x0123456789ABCDEF, "AB89EFCD23016745"),
    ("i32", "bs", -2, "FFFFFEFF"),
    ("i64", "be", -(1 << 63), "8000000000000000"),
    ("f16", "be", 1.5, "3E00"),  # sign 0, exponent 15, fraction 1/2
    ("f16", "be", -2.0, "C000"),
    ("f32", "be", 1.5, "3FC00000"),
    ("f32", "sw", 1.5, "00003FC0"),
    ("f64", "be", 1.5, "3FF8000000000000"),
    ("bcd16", "be", 1234, "1234"),
    ("bcd32", "be", 12345678, "12345678"),
    ("bcd32", "sw", 12345678, "56781234"),
    ("bcd48", "be", 123456789012, "123456789012"),
    ("bcd64", "be", 9999999999999999, "9999999999999999"),
    ("mod10k32", "be", 12345678, "04D2162E"),  # 1234 and 5678
    ("mod10k32", "be", -12345678, "FB2EE9D2"),
    ("mod10k48", "be", 123456789012, "04D2162E2334"),
    ("mod10k64", "be", 9999999999999999, "270F270F270F270F"),
]


def image_of(*points: Point, holes: bool = False) -> RegisterImage:
    return RegisterImage(points, {}, holes=holes)


def raw(image: RegisterImage, point: Point) -> bytes:
    return image.read_raw(point.table, point.address, point.width) or b""


@pytest.mark.parametrize(("kind", "order", "value", "registers"), BY_HAND)
def test_by_hand(kind: str, order: str, value: float, registers: str) -> None:
    point = Point("p", "holding", 7, kind, order)
    image = image_of(point)
    image.write_value(0, value)
    assert raw(image, point).hex().upper() == registers
    assert image.value(0) == value
    assert type(image.value(0)) is (int if point.exact else float)


def test_every_type_is_tried_by_hand() -> None:
    assert {kind for kind, *_ in BY_HAND} | {"text"} == set(TYPES)
    assert {order for _, order, *_ in BY_HAND} == set(ORDERS)


@pytest.mark.parametrize(
    ("kind", "registers"),
    [("bcd16", "12A4"), ("bcd32", "FFFFFFFF"), ("bcd64", "000000000000000A"), ("mod10k32", "27100000"), ("mod10k48", "000080800000")],
)  # fmt: skip
def test_what_is_no_number_is_none(kind: str, registers: str) -> None:
    cell = Cell(Point("p", "holding", 0, kind), 0)
    value = cell.decode(bytes.fromhex(registers))
    assert value != value  # NaN


@pytest.mark.parametrize("kind", list(ENCODINGS))
def test_a_fault_of_no_value_shows_none_or_the_type_s_last_number(kind: str) -> None:
    cell = Cell(Point("p", "holding", 0, kind), 0)
    shown = cell.decode(cell.not_a_number)
    assert shown != shown or shown in (cell.low, cell.high)  # NaN


@pytest.mark.parametrize(
    ("kind", "value", "held"),
    [("u8", 300, 255), ("u24", 1 << 30, (1 << 24) - 1), ("i24", -(1 << 30), -(1 << 23)), ("bcd16", 12345, 9999), ("bcd16", -1, 0), ("mod10k32", 1e12, 99999999), ("f16", 1e6, float("inf")), ("u64", 1e30, (1 << 64) - 1)],
)  # fmt: skip
def test_what_a_type_can_t_hold_saturates(kind: str, value: float, held: float) -> None:
    image = image_of(Point("p", "holding", 0, kind))
    image.write_value(0, value)
    assert image.value(0) == held


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_bits_lie_beside_each_other(data: st.DataObject) -> None:
    """Against integers, shifted and masked."""
    kind = data.draw(st.sampled_from(["u16", "i16", "u32", "i32", "u64", "i64"]))
    width = ENCODINGS[kind].registers
    order = data.draw(st.sampled_from([o for o in ORDERS if o not in ORDERS_64 or width == 4]))
    points, at, wanted = [], 0, 0
    values = []
    while at < 16 * width:
        count = data.draw(st.integers(1, min(16 * width - at, 40)))
        points.append(Point(f"p{at}", "holding", 3, kind, order, bits=(at, count)))
        low, high = (-(1 << count - 1), (1 << count - 1) - 1) if kind[0] == "i" else (0, (1 << count) - 1)
        values.append(data.draw(st.integers(low, high).map(lambda n: n if abs(n) < 1 << 53 else 0)))
        wanted |= (values[-1] & (1 << count) - 1) << at
        at += count
    image = image_of(*points)
    for i in data.draw(st.permutations(range(len(points)))):
        image.write_value(i, values[i])
    assert reorder(raw(image, points[0]), order) == wanted.to_bytes(2 * width, "big")
    assert [image.value(i) for i in range(len(points))] == values


def model_of(*points: Point, **more: Any) -> DeviceModel:
    return DeviceModel("m", "", "ours", ("modbus-tcp",), points, **more)


def test_points_may_share_a_register_but_no_bit() -> None:
    low = Point("low", "holding", 0, "u16", bits=(0, 8))
    model_of(low, Point("high", "holding", 0, "u16", bits=(8, 8)))
    model_of(low, Point("swapped", "holding", 0, "u8", "bs"))
    model_of(low, Point("all", "holding", 0, "u16", view=True))
    for other in (
        Point("b", "holding", 0, "u16", bits=(7, 2)),
        Point("b", "holding", 0, "u16"),
        Point("b", "holding", 0, "u8"),
        Point("b", "holding", 0, "u32", bits=(16, 1)),
    ):
        with pytest.raises(ValueError, match="low and b both lie at holding 0"):
            model_of(low, other)
    with pytest.raises(ValueError, match="low and a constant both lie at holding 0"):
        model_of(low, constants={("holding", 0): 7})


def test_a_view_shows_what_others_make_of_its_registers() -> None:
    device = Device(
        model_of(
            Point("run", "holding", 0, "u16", bits=(0, 1), signal=Signal(level=1)),
            Point("alarm", "holding", 0, "u16", bits=(4, 3), signal=Signal(level=5)),
            Point("all", "holding", 0, "u16", view=True),
        ),
        "d", 1, 7,
    )  # fmt: skip
    device.advance(0)
    assert device.image.value(2) == 0b101_0001


def test_a_live_scale_is_applied_as_it_is_now() -> None:
    """1234.5 W: 12345 by 10^-1, then, from step 10 on, 1235 by 10^0 (rounded to even: 1234)."""
    power = Point("w-sf", "holding", 1, "i16", signal=Signal("step", -1, 1, period=10))
    watts = Point("w", "holding", 0, "i16", power=Power("w-sf", 1), signal=Signal(level=1234.5))
    device = Device(model_of(watts, power, step_ns=1000), "d", 1, 7)
    device.advance(0)
    assert device.image.read_words("holding", 0, 2) == [12345, 0xFFFF]
    assert device.image.value(0) == 1234.5
    device.advance(10_000)
    assert device.image.read_words("holding", 0, 2) == [1234, 0]
    assert device.image.value(0) == 1234.0


def test_powers_of_ten_are_rounded_once() -> None:
    assert scaled(123.0, -2) == 1.23
    assert scaled(7.0, 3) == 7000.0
    assert scaled(7.0, -23) != scaled(7.0, -23)  # NaN


@pytest.mark.parametrize(
    ("text", "order", "registers"),
    [("SN-12", "be", "534E2D31320000000000"), ("SN-12", "bs", "4E53312D003200000000"), ("Zähler", "be", "5AC3A4686C6572000000")],
)  # fmt: skip
def test_texts(text: str, order: str, registers: str) -> None:
    point = Point("p", "holding", 0, "text", order, text=Text(5, text))
    device = Device(model_of(point), "d", 1, 7)
    device.advance(0)
    assert raw(device.image, point).hex().upper() == registers
    cell = device.image.cell(0)
    assert cell is not None
    assert cell.decode_text(bytes.fromhex(registers)) == text
    assert cell.decode_text(b"\xff\xfe" + bytes(8)) is None
    if order == "be":
        assert cell.decode_text(b"AB   \0xyz!") == "AB"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"type": "u17"}, "unknown type 'u17'"),
        ({"type": "u32", "order": "ds"}, "order ds is of 64 bits, and u32 has 32"),
        ({"type": "f32", "bits": (0, 1)}, "bits are taken of"),
        ({"type": "u16", "bits": (12, 5)}, "bits 12 to 16: u16 has the bits 0 to 15"),
        ({"type": "text"}, "of type text, and no other"),
        ({"type": "u16", "text": Text(1)}, "of type text, and no other"),
        ({"type": "text", "text": Text(1, "abc")}, "a text of 3 bytes in 1 registers"),
        ({"type": "text", "text": Text(126)}, "1 to 125"),
        ({"type": "text", "text": Text(0)}, "1 to 125"),
        ({"type": "text", "text": Text(2), "order": "sw"}, "be or bs"),
        ({"type": "text", "text": Text(2), "scale": 2.0}, "no scale"),
        ({"type": "u16", "bits": (0, 4), "nan": (16,)}, "expected the 4 bits"),
        ({"type": "u16", "power": Power("no", 1)}, "there is no such point"),
    ],
)
def test_what_can_t_be_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        model_of(Point("p", "holding", 0, **fields))


@settings(max_examples=100, deadline=None)
@given(kind=st.sampled_from(["u64", "i64", "bcd64", "mod10k64"]), data=st.data())
def test_whole_numbers_are_exact(kind: str, data: st.DataObject) -> None:
    encoding = ENCODINGS[kind]
    value = data.draw(st.integers(int(encoding.low), int(encoding.high)))
    image = image_of(Point("p", "holding", 0, kind, "sw"))
    image.write_value(0, value)
    assert image.value(0) == value
    if kind == "u64":
        assert struct.unpack(">Q", reorder(raw(image, Point("p", "holding", 0, kind)), "sw")) == (value,)


def test_registers_that_nothing_describes_don_t_exist() -> None:
    image = image_of(
        Point("a", "holding", 0), Point("b", "holding", 3), Point("c", "coil", 0), Point("d", "coil", 2), holes=True
    )  # fmt: skip
    assert image.read_raw("holding", 0, 1) is not None
    assert image.read_raw("holding", 0, 4) is None
    assert image.read_words("holding", 1, 2) is None
    assert image.read_bits("coil", 0, 3) is None
    assert not image.write("holding", 1, [1])
    assert image.write("holding", 3, [9])
    assert (
        image_of(Point("a", "holding", 0), Point("b", "holding", 3)).read_words("holding", 0, 4) is not None
    )


def test_what_can_only_be_written_can_t_be_read() -> None:
    image = image_of(
        Point("a", "holding", 0), Point("reset", "holding", 1, writable=True, readable=False), Point("b", "holding", 2)
    )  # fmt: skip
    assert image.read_raw("holding", 1, 1) is None
    assert image.read_raw("holding", 0, 3) is None
    assert image.read_words("holding", 2, 1) is not None
    assert image.writable("holding", 1, 1)
    assert image.write("holding", 1, [77])
    assert image.value(1) == 77

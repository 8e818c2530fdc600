"""Signals are pure functions of (key, k); images hold what they say; the catalog's maps are the published
ones."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinloop.devices.catalogue import catalog
from twinloop.devices.catalogue.sunspec import BASE, MODEL_BASE
from twinloop.devices.catalogue.sunspec_layout import load_model
from twinloop.devices.model.cell import reorder
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.points import ORDERS, ORDERS_64, Point
from twinloop.devices.model.registers import RegisterImage
from twinloop.devices.model.signal import KINDS, SINE, Signal, mixed, noise, sine


def some(kind: str) -> Signal:
    return Signal(kind, 10.0, 2.0, 50, 0.25, noise=0.1, limit=5.0)


@pytest.mark.parametrize("kind", KINDS)
def test_looking_changes_nothing(kind: str) -> None:
    """Every k in order, only some, or backwards: the same values."""
    every, sparse, backwards = (some(kind).build(99) for _ in range(3))
    values = [every(k) for k in range(200)]
    assert [sparse(k) for k in range(0, 200, 7)] == values[::7]
    assert [backwards(k) for k in (199, 3, 150)] == [values[199], values[3], values[150]]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("constant", "counter", "step")])
def test_another_key_is_another_series(kind: str) -> None:
    one, other = some(kind).build(1), some(kind).build(2)
    assert [one(k) for k in range(60)] != [other(k) for k in range(60)]


def test_shapes() -> None:
    assert Signal("step", 1.0, 4.0, 10).build(0)(9) == 1.0
    assert Signal("step", 1.0, 4.0, 10).build(0)(10) == 5.0
    assert Signal("counter", 5.0, 0.5).build(0)(4) == 7.0
    square = [Signal("square", 0.0, 1.0, 10, 0.3).build(0)(k) for k in range(100)]
    assert sum(square) == 30.0
    ramp = Signal("ramp", 0.0, 10.0, 10).build(0)
    assert sorted(ramp(k) for k in range(10)) == [float(i) for i in range(10)]
    assert [Signal("ramp", 0.0, 10.0, 10, phase=3).build(0)(k) for k in (0, 6, 7)] == [3.0, 9.0, 0.0]
    assert Signal("sine", 1.0, 0.0, 10, drift=0.5).build(0)(4) == 3.0
    assert Signal("reversion", 0.0, 0.0, duty=0.5, start=8.0).build(0)(2) == 2.0
    walk = Signal("walk", 0.0, 1.0, limit=3.0).build(5)
    assert max(abs(walk(k)) for k in range(500)) <= 3.0


def test_the_sine_table_is_exact_to_a_double() -> None:
    assert SINE[0] == 0.0
    assert SINE[256] == 1.0
    assert SINE[128] == pytest.approx(0.5**0.5, abs=1e-15)
    assert sine(1, 12) == pytest.approx(0.5, abs=5e-6)
    assert len(SINE) == 1025


def test_noise_is_centred_and_bounded() -> None:
    values = [noise(7, k) for k in range(20_000)]
    assert abs(sum(values) / len(values)) < 0.02
    assert sum(v * v for v in values) / len(values) == pytest.approx(1.0, abs=0.03)
    assert max(abs(v) for v in values) <= 3.5
    assert mixed(1, 5) != mixed(1, 6) != mixed(2, 5)


def test_golden_noise() -> None:
    """The same 64 bits on every machine, for ever: a change here changes every trace."""
    assert [hex(mixed(1, k)) for k in range(2)] == ["0x910a2dec89025cc1", "0xbeeb8da1658eec67"]


@pytest.mark.parametrize("order", [o for o in ORDERS if o not in ORDERS_64])
@pytest.mark.parametrize("kind", ["f32", "u32", "i16"])
def test_an_image_holds_a_value_in_its_type_and_order(order: str, kind: str) -> None:
    point = Point("p", "holding", 4, kind, order, scale=0.5, offset=1.0)
    image = RegisterImage((point,), {})
    image.write_value(0, 8.0)
    raw = image.read_raw("holding", 4, point.width)
    assert raw is not None
    number = struct.unpack(">" + {"f32": "f", "u32": "I", "i16": "h"}[kind], reorder(raw, order))[0]
    assert number == 14


@settings(max_examples=200, deadline=None)
@given(value=st.floats(-1e9, 1e9))
def test_integers_round_and_saturate_as_a_converter_does(value: float) -> None:
    image = RegisterImage((Point("p", "holding", 0, "i16"),), {})
    image.write_value(0, value)
    (word,) = image.read_words("holding", 0, 1) or [0]
    signed = word - 65536 if word > 32767 else word
    assert signed == max(-32768, min(32767, round(value)))


@pytest.mark.parametrize("name", catalog.names())
def test_every_model_answers_its_points_and_moves(name: str) -> None:
    model = catalog.model(name)
    device = Device(model=model, name=f"{name}/1", unit_id=1, key=7)
    device.advance(0)
    before = {table: bytes(raw) for table, raw in device.image.raw.items()}
    device.advance(3_600 * 10**9)
    assert {table: bytes(raw) for table, raw in device.image.raw.items()} != before
    assert model.source


@pytest.mark.parametrize(
    ("name", "number"),
    [("energy-meter", 203), ("pv-inverter", 103), ("weather-station", 307), ("battery", 802)],
)
def test_sunspec_maps_are_the_published_ones(name: str, number: int) -> None:
    device = Device(model=catalog.model(name), name="d/1", unit_id=1, key=0)
    words = device.image.read_words
    assert words("holding", BASE, 2) == [0x5375, 0x6E53], "SunS"
    assert words("holding", MODEL_BASE, 1) == [number]
    group = load_model(number)["group"]
    length = sum(point["size"] for point in group["points"])
    assert words("holding", MODEL_BASE + 1, 1) == [length - 2]
    assert words("holding", MODEL_BASE + length, 1) == [0xFFFF], "end of models"
    offsets, at = {}, 0
    for point in group["points"]:
        offsets[at] = point
        at += point["size"]
    for point in catalog.model(name).points:
        published = offsets[point.address - MODEL_BASE]
        assert point.width == published["size"]
        factor = published.get("sf")
        if isinstance(factor, str):
            sf_at = next(offset for offset, other in offsets.items() if other["name"] == factor)
            (raw,) = words("holding", MODEL_BASE + sf_at, 1) or [0]
            exponent = raw - 65536 if raw > 32767 else raw
            assert point.scale == pytest.approx(10.0**exponent)


def test_a_written_point_stays() -> None:
    device = Device(model=catalog.model("press-sensor"), name="p/1", unit_id=1, key=0)
    index = catalog.model("press-sensor").index("setpoint")
    assert index is not None
    device.image.write_value(index, 42.0)
    device.advance(10**12)
    assert device.image.read_raw("holding", 14, 2) == struct.pack(">f", 42.0)


WRONG = {
    "a kind": (Point("p", "holding", 0, signal=Signal("sinus")), "unknown signal 'sinus'; known: constant"),
    "a period of 0": (Point("p", "holding", 0, signal=Signal("sine", period=0)), "a signal's period is 1 to"),
    "a negative period": (
        Point("p", "holding", 0, signal=Signal("sine", period=-4)),
        "a signal's period is 1 to",
    ),
    "a phase": (
        Point("p", "holding", 0, signal=Signal("sine", period=4, phase=4)),
        "a signal's phase is a step of its period of 4, or -1, got 4",
    ),
    "a start": (
        Point("p", "holding", 0, signal=Signal("walk", start=float("inf"))),
        "a signal's start is a finite number, got inf",
    ),
    "a level": (
        Point("p", "holding", 0, signal=Signal("constant", float("nan"))),
        "a signal's level is a finite number, got nan",
    ),
    "a scale": (Point("p", "holding", 0, scale=0.0), "scale not 0"),
    "a type": (Point("p", "holding", 0, "u17"), "unknown type 'u17'"),
    "an order": (Point("p", "holding", 0, "u32", "middle"), "unknown order 'middle'"),
    "an address": (Point("p", "holding", 65_535, "f32"), "address 65535 with 2 registers"),
    "an overlap": (Point("other", "holding", 1, "u32"), "first and other both lie at holding 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_model_that_can_not_be_is_refused_when_it_is_made(name: str) -> None:
    point, message = WRONG[name]
    with pytest.raises((ValueError, KeyError)) as caught:
        DeviceModel("wrong", "", "ours", ("modbus-tcp",), (Point("first", "holding", 1, "u16"), point))
    assert message in str(caught.value)

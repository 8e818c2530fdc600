"""Devices that move together hold, bit by bit, what each of them would hold alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.devices.test_stepper import signals, tables
from twinloop.devices.catalogue import catalog
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.fleet import LOOKS_MIN, FleetMember, make_devices
from twinloop.devices.model.points import Point
from twinloop.devices.model.signal import Signal
from twinloop.devices.model.stepper import TAKEN, take


@pytest.fixture(scope="module", autouse=True)
def together() -> Iterator[None]:
    """Where steps are compiled nobody moves together."""
    before = TAKEN.signals
    take(None)
    yield
    take(before)


MEMBERS = [FleetMember(f"d/{i}", i + 1, 1_000_003 * i + 5) for i in range(LOOKS_MIN)]


def same(model: DeviceModel, steps: tuple[int, ...]) -> None:
    together = make_devices(model, MEMBERS, model.step_ns)
    alone = [Device(model, *member) for member in MEMBERS]
    for step in steps:
        for one, other in zip(together, alone, strict=True):
            one.advance(step * model.step_ns)
            other.advance(step * model.step_ns)
            assert tables(one.image) == tables(other.image), (one.name, step)


@pytest.mark.parametrize("name", catalog.names())
def test_every_model_of_the_catalog(name: str) -> None:
    same(catalog.model(name), (0, 1, 2, 5, 40, 400, 7, 8, 1000))


@settings(max_examples=40, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(signals, st.sampled_from(["u16", "i16", "u32", "i32", "f32"])), min_size=1, max_size=4
    )
)
def test_random_signals_in_every_type(shapes: list[tuple[object, str]]) -> None:
    points = tuple(
        Point(
            f"p{i}",
            "holding",
            3 * i,
            kind,
            scale=1.0 if kind == "f32" else 0.1,
            offset=0.0 if kind == "f32" else -3.0,
            signal=signal,
        )  # type: ignore[arg-type]
        for i, (signal, kind) in enumerate(shapes)
    )
    same(DeviceModel("random", "", "ours", ("modbus-tcp",), points, step_ns=1000), (0, 3, 4, 30, 2))


whole = st.one_of(
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.sampled_from([(1 << 53) + 1, (1 << 64) - 1, 1 << 63, -(1 << 63), -1, 0]),
)


@settings(max_examples=80, deadline=None)
@given(
    points=st.lists(
        st.tuples(
            st.sampled_from(["constant", "step", "counter"]), whole, whole, st.sampled_from(["u64", "i64"])
        ),
        min_size=1,
        max_size=4,
    )
)
def test_whole_numbers_of_64_bits_are_exact_and_saturate(points: list[tuple[str, int, int, str]]) -> None:
    """Of a fleet and of a device alone, held against integers that have no limit."""
    made = tuple(
        Point(f"p{i}", "holding", 4 * i, kind, signal=Signal(shape, level, swing, period=3))
        for i, (shape, level, swing, kind) in enumerate(points)
    )
    model = DeviceModel("whole", "", "ours", ("modbus-tcp",), made, step_ns=1000)
    same(model, (0, 3, 4, 30, 2))
    device = make_devices(model, MEMBERS, model.step_ns)[0]
    for step in (0, 2, 3, 1000):
        device.advance(step * model.step_ns)
        for i, (shape, level, swing, kind) in enumerate(points):
            grown = swing * step if shape == "counter" else swing if shape == "step" and step >= 3 else 0
            low, high = (0, (1 << 64) - 1) if kind == "u64" else (-(1 << 63), (1 << 63) - 1)
            assert device.image.value(i) == min(max(level + grown, low), high)


@pytest.mark.parametrize(
    ("level", "kind", "right"),
    [
        (1e30, "u64", (1 << 64) - 1),
        (-1.0, "u64", 0),
        (1e30, "i64", (1 << 63) - 1),
        (-1e30, "i64", -(1 << 63)),
    ],
)
def test_numbers_that_64_bits_do_not_hold_saturate(level: float, kind: str, right: int) -> None:
    """A float of 2^64 is no u64: the largest float below it is 2048 less."""
    points = (Point("p", "holding", 0, kind, signal=Signal("ramp", level, 0.0)),)
    model = DeviceModel("large", "", "ours", ("modbus-tcp",), points, step_ns=1000)
    same(model, (0, 1))
    device = make_devices(model, MEMBERS, model.step_ns)[0]
    device.advance(0)
    assert device.image.value(0) == right


def test_what_is_written_to_one_stays_with_it() -> None:
    model = catalog.model("press-sensor")
    first, second, *_ = make_devices(model, MEMBERS, model.step_ns)
    at = next(point for point in model.points if point.writable).address
    before = second.image.read_words("holding", at, 2)
    assert first.image.write("holding", at, [0x4120, 0])
    for step in (1, 2):
        first.advance(step * model.step_ns)
        second.advance(step * model.step_ns)
    assert first.image.read_words("holding", at, 2) == [0x4120, 0]
    assert second.image.read_words("holding", at, 2) == before


def test_a_few_devices_and_odd_types_move_alone() -> None:
    model = catalog.model("press-sensor")
    few = make_devices(model, MEMBERS[:-1], model.step_ns)
    rarely = make_devices(model, MEMBERS, 10 * model.step_ns)
    wide = DeviceModel("wide", "", "ours", ("modbus-tcp",), (Point("p", "holding", 0, "f64"),))
    odd = make_devices(wide, MEMBERS, 1)
    assert all(type(device.image.raw["holding"]) is bytearray for device in [*few, *rarely, *odd])

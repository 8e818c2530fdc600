"""The generated step function, and the compiled one, write what signals and images say, point by point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.ways import compiled_part
from twinloop.devices.catalogue import catalog
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.encodings import ENCODINGS
from twinloop.devices.model.points import ORDERS, ORDERS_64, Point
from twinloop.devices.model.registers import RegisterImage
from twinloop.devices.model.signal import KINDS, Signal, mixed
from twinloop.devices.model.stepper import TAKEN, compiled, step_function, take


@pytest.fixture(scope="module", params=["pure", "compiled"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each of the two."""
    before = TAKEN.signals
    take(compiled_part().signals if request.param == "compiled" else None)
    yield request.param
    take(before)


def written_one_by_one(model: DeviceModel, key: int, step: int) -> dict[str, bytes | list[bool]]:
    """The tables as ``write_value`` and ``Signal.build`` fill them."""
    image = RegisterImage(model.points, model.constants)
    for i, point in enumerate(model.points):
        image.write_value(i, point.signal.build(mixed(key, i))(0 if point.writable else step))
    return tables(image)


def tables(image: RegisterImage) -> dict[str, Any]:
    return {name: bytes(raw) for name, raw in image.raw.items()} | {
        name: bits.tolist() for name, bits in image.bits.items()
    }


@pytest.mark.parametrize("name", [name for name in catalog.names() if catalog.model(name).process is None])
def test_every_model_of_the_catalog(name: str) -> None:
    model = catalog.model(name)
    device = Device(model=model, name="d", unit_id=1, key=77)
    for step in (0, 1, 2, 5, 40, 400, 7, 8, 8, 1000):
        device.advance(step * model.step_ns)
        assert tables(device.image) == written_one_by_one(model, 77, step), step


numbers = st.one_of(
    st.floats(-1e4, 1e4),
    st.floats(-1e4, 1e4),
    st.sampled_from([1e39, -1e39, 3.4028235e38, -3.4028235677973366e38, 1e300, -1e300]),
)
"""also what no register holds: integers saturate, an f32 becomes an infinity"""


@st.composite
def signals_(draw: st.DrawFn) -> Signal:
    period = draw(st.integers(1, 50))
    return Signal(
        draw(st.sampled_from(KINDS)),
        draw(numbers),
        draw(numbers),
        period,
        draw(st.floats(0, 1)),
        draw(st.sampled_from([0.0, 0.5, 3.0])),
        draw(st.sampled_from([0.0, 2.0])),
        draw(st.sampled_from([0.0, 0.25, -1e-3])),
        draw(st.integers(-1, period - 1)),
        draw(st.none() | numbers),
    )


signals = signals_()


@settings(max_examples=80, deadline=None)
@given(data=st.data(), key=st.integers(0, 2**64 - 1))
def test_random_maps_with_gaps_orders_and_coils(data: st.DataObject, key: int) -> None:
    points, addresses = [], {"holding": 0, "input": 0, "coil": 0}
    for i in range(data.draw(st.integers(1, 8))):
        table = data.draw(st.sampled_from(list(addresses)))
        kind = "u16" if table == "coil" else data.draw(st.sampled_from(list(ENCODINGS)))
        addresses[table] += data.draw(st.sampled_from([0, 0, 3]))
        scale, offset = (
            (1.0, 0.0)
            if kind[0] == "f"
            else data.draw(st.sampled_from([(1.0, 0.0), (0.1, 0.0), (10.0, -5.0)]))
        )
        known = [o for o in ORDERS if o not in ORDERS_64 or ENCODINGS[kind].registers == 4]
        order, writable = data.draw(st.sampled_from(("be", *known))), data.draw(st.booleans())
        point = Point(
            f"p{i}",
            table,
            addresses[table],
            kind,
            order,
            scale=scale,
            offset=offset,
            signal=data.draw(signals),
            writable=writable,
        )
        points.append(point)
        addresses[table] += point.width
    model = DeviceModel("random", "", "ours", ("modbus-tcp",), tuple(points), step_ns=1000)
    device = Device(model=model, name="d", unit_id=1, key=key)
    for step in (0, 3, 4, 30, 2):
        device.advance(step * 1000)
        assert tables(device.image) == written_one_by_one(model, key, step)


def test_what_c_has_is_in_c(way: str) -> None:
    """Plain registers and doubles are; ints have no end in Python, and a coil is no register."""
    point = Point("p", "holding", 0, "u64", signal=Signal("counter", 1.0, 3.0))
    others = (
        Point("p", "holding", 0, "u64", signal=Signal("counter", 1, 3)),
        Point("p", "coil", 0, signal=Signal("square", 0.0, 1.0)),
        Point("p", "holding", 0, "u32", order="sw", signal=Signal("counter", 1.0, 3.0)),
    )
    assert compiled((point,)) == (way == "compiled")
    assert not any(compiled((point, other)) for other in others)


def test_a_step_in_c_refuses_what_is_none() -> None:
    """And it keeps its memory: that of an image can't be made smaller while it writes there."""
    signals = compiled_part().signals
    point = Point("p", "holding", 3, "u32", signal=Signal("counter", 1.0, 3.0))
    image = RegisterImage((point,), {})
    before = TAKEN.signals
    take(signals)
    try:
        move = step_function((point,), image, 5)
    finally:
        take(before)
    for wrong, error in (
        ((-1,), ValueError),
        ((), TypeError),
        ((1.0,), TypeError),
        ((1 << 64,), OverflowError),
    ):
        with pytest.raises(error):
            move(*wrong)  # type: ignore[arg-type]
    move(4)
    assert image.value(0) == 13.0
    with pytest.raises(BufferError):
        image.raw["holding"].clear()  # type: ignore[union-attr]
    fine = (0, 1.0, 0.0, 5, 0.5, 0.0, 0.0, 0.0, 1.0, 0.0, 0, 0, "H", 1.0, 0.0)
    own, raw = [(0, 1, 2)], [bytearray(2)]
    points = signals.Points([fine])
    signals.Step(points, own, raw)(0)
    assert raw == [b"\0\1"]
    for at, wrong_field in (
        (0, 99),
        (0, -1),
        (3, 0),
        (10, 9),
        (10, -1),
        (11, -2),
        (11, 1 << 40),
        (12, "x"),
    ):
        with pytest.raises(ValueError, match="no plain one"):
            signals.Points([(*fine[:at], wrong_field, *fine[at + 1 :])])
    with pytest.raises(BufferError):
        signals.Step(points, own, [b"\0\0"])
    for wrong_own in ([(-1, 1, 2)], [], [*own, *own]):
        with pytest.raises(ValueError, match=r"shift|as many"):
            signals.Step(points, wrong_own, raw)
    for wrong_points, wrong_raw in (
        (points, []),
        (points, [bytearray(1)]),
        (signals.Points([(*fine[:11], 1, *fine[12:])]), raw),
    ):
        with pytest.raises(ValueError, match=r"as many|shorter"):
            signals.Step(wrong_points, own, wrong_raw)
    for wrong in (("x",), (points, [1], raw), (None, own, raw)):  # type: ignore[assignment]
        with pytest.raises(TypeError):
            signals.Step(*wrong)

"""The generated step function writes what signals and images say, point by point."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinloop.devices.catalogue import catalog
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.encodings import ENCODINGS
from twinloop.devices.model.points import ORDERS, ORDERS_64, Point
from twinloop.devices.model.registers import RegisterImage
from twinloop.devices.model.signal import KINDS, Signal, mixed


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

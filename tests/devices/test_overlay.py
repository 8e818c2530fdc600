"""Sensors that lie: what is read while they do, and that nothing of it stays."""

from __future__ import annotations

import struct

import pytest

from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.fleet import LOOKS_MIN, FleetMember, make_devices
from twinloop.devices.model.overlay import KINDS, ONLY_NODES, ValueFault
from twinloop.devices.model.points import Point
from twinloop.devices.model.signal import Signal

S = 1_000_000_000
POINTS = (
    Point("level", "holding", 0, "f32", signal=Signal("counter", 10.0, 1.0)),
    Point("speed", "holding", 2, "u16", scale=0.1, signal=Signal("counter", 5.0, 0.1)),
    Point("heat", "holding", 3, "i32", "sw", signal=Signal("counter", -100.0, 1.0)),
    Point("open", "coil", 7, signal=Signal("square", 0.0, 1.0, 2, 0.5)),
)
MODEL = DeviceModel("probe", "", "ours", ("modbus-tcp",), POINTS, step_ns=S)


def read(device: Device, now_ns: int) -> tuple[float, float, float]:
    device.advance(now_ns)
    raw = device.image.read_raw("holding", 0, 5)
    assert raw is not None
    words = device.image.read_words("holding", 0, 5)
    assert words is not None
    assert b"".join(word.to_bytes(2, "big") for word in words) == raw, "both ways of reading agree"
    cells = [device.image.cell(i) for i in range(3)]
    return tuple(
        cell.decode(raw[cell.position : cell.position + cell.size]) for cell in cells if cell is not None
    )  # type: ignore[return-value]


def lying(fault: ValueFault, start_ns: int = 5 * S) -> tuple[Device, list[tuple[float, float, float]]]:
    device = Device(model=MODEL, name="d", unit_id=1, key=9)
    end = device.lie(fault, start_ns)
    seen = [read(device, start_ns + i * S) for i in range(4)]
    end()
    assert read(device, start_ns + 3 * S) == read(
        Device(model=MODEL, name="d", unit_id=1, key=9), start_ns + 3 * S
    ), "nothing stays"
    return device, seen


def test_stuck() -> None:
    _, seen = lying(ValueFault("stuck", 0))
    assert [level for level, _, _ in seen] == [15.0] * 4
    assert [heat for _, _, heat in seen] == [-95.0, -94.0, -93.0, -92.0], "the others go on"


def test_drift_spike_dropout_and_force() -> None:
    assert [v[0] for v in lying(ValueFault("drift", 0, by=0.5))[1]] == [15.0, 16.5, 18.0, 19.5]
    assert [v[2] for v in lying(ValueFault("spike", 2, by=1000.0))[1]] == [905.0, 906.0, 907.0, 908.0]
    assert [v[0] for v in lying(ValueFault("dropout", 0))[1]] == [0.0] * 4
    assert [round(v[1], 6) for v in lying(ValueFault("force", 1, by=42.0))[1]] == [42.0] * 4


def test_what_does_not_fit_saturates() -> None:
    assert [round(v[1], 6) for v in lying(ValueFault("force", 1, by=1e9))[1]] == [6553.5] * 4
    assert [v[0] for v in lying(ValueFault("force", 0, by=1e39))[1]] == [float("inf")] * 4


def test_not_a_number_by_type() -> None:
    device = Device(model=MODEL, name="d", unit_id=1, key=9)
    for point in range(3):
        device.lie(ValueFault("nan", point), 0)
    device.advance(S)
    raw = device.image.read_raw("holding", 0, 5)
    assert raw is not None
    value = struct.unpack(">f", raw[:4])[0]
    assert value != value
    assert raw[4:] == b"\xff\xff" + b"\0\0\x80\0", "u16, then i32 with its words swapped"


def test_a_share_of_steps_is_hit_and_always_the_same_ones() -> None:
    device = Device(model=MODEL, name="d", unit_id=1, key=9)
    device.lie(ValueFault("dropout", 0, share=0.25), 0)
    hit = [read(device, i * S)[0] == 0.0 for i in range(400)]
    assert 60 < sum(hit) < 140
    again = Device(model=MODEL, name="d", unit_id=1, key=9)
    again.lie(ValueFault("dropout", 0, share=0.25), 0)
    assert [read(again, i * S)[0] == 0.0 for i in range(399, -1, -1)] == hit[::-1]


def test_coils_stick_drop_and_are_forced() -> None:
    device = Device(model=MODEL, name="d", unit_id=1, key=9)
    free = [device.advance(i * S) or device.image.read_bits("coil", 7, 1) for i in range(4)]
    assert [True] in free
    assert [False] in free
    end = device.lie(ValueFault("stuck", 3), 4 * S)
    assert len({str(device.advance(i * S) or device.image.read_bits("coil", 7, 1)) for i in range(4, 8)}) == 1
    end()
    for by, expected in ((1.0, [True]), (0.0, [False])):
        end = device.lie(ValueFault("force", 3, by=by), 8 * S)
        assert all(
            (device.advance(i * S) or device.image.read_bits("coil", 7, 1)) == expected for i in range(8, 12)
        )
        end()


def test_a_read_that_cuts_a_lying_point_in_half_gets_its_half() -> None:
    device = Device(model=MODEL, name="d", unit_id=1, key=9)
    device.lie(ValueFault("force", 0, by=1.0), 0)
    device.advance(S)
    assert device.image.read_raw("holding", 1, 1) == struct.pack(">f", 1.0)[2:]


def test_a_mask_write_does_not_make_a_lie_permanent() -> None:
    """Function 22 with an AND mask of all ones and an OR mask of nothing changes nothing."""
    from twinloop.devices.catalogue.catalog import model
    from twinloop.devices.modbus.server import ModbusServer

    server = ModbusServer(Device(model=model("press-sensor"), name="d", unit_id=1, key=5))
    index = server.device.model.index("setpoint")
    assert index is not None
    at = server.device.model.points[index].address
    before = server.device.image.read_raw("holding", at, 2)
    end = server.device.lie(ValueFault("force", index, by=99.0), 0)
    assert (
        server.respond_pdu(bytes((22,)) + at.to_bytes(2, "big") + b"\xff\xff\0\0", 0)
        == bytes((22,)) + at.to_bytes(2, "big") + b"\xff\xff\0\0"
    )
    end()
    assert server.device.image.read_raw("holding", at, 2) == before


def test_one_of_a_fleet_lies_and_the_others_do_not() -> None:
    model = DeviceModel("many", "", "ours", ("modbus-tcp",), POINTS[:2], step_ns=S)
    devices = make_devices(model, [FleetMember(f"d/{i}", 1, i) for i in range(LOOKS_MIN)], S)
    devices[3].lie(ValueFault("stuck", 0), 2 * S)
    for device in devices:
        device.advance(9 * S)
    levels = [device.image.cell(0).decode(device.image.read_raw("holding", 0, 2)) for device in devices]  # type: ignore[union-attr, arg-type]
    assert levels == [19.0] * 3 + [12.0] + [19.0] * (LOOKS_MIN - 4)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ONLY_NODES])
def test_every_kind_has_an_effect(kind: str) -> None:
    _, seen = lying(ValueFault(kind, 0, by=3.0))
    assert [v[0] for v in seen] != [15.0, 16.0, 17.0, 18.0]

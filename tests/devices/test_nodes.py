"""What is news of a device's nodes: a value or a status that is another than at the last look, once a
step."""

from __future__ import annotations

from twinloop.devices.catalogue.catalog import model
from twinloop.devices.model.device import Device
from twinloop.devices.model.nodes import News, NodeImage
from twinloop.devices.model.overlay import ValueFault
from twinloop.devices.model.statuses import STATUS_CODES

S = 1_000_000_000
STEP_NS = S // 2
"""a press-sensor's"""
PRESSURE, TEMPERATURE, CYCLES, SETPOINT = 0, 1, 6, 9


def news() -> tuple[Device, News]:
    device = Device(model=model("press-sensor"), name="d/1", unit_id=1, key=5)
    return device, News(NodeImage(device))


def looks(found: News, since_s: int, count: int = 10) -> list[int]:
    return [found.mask(since_s * S + i * STEP_NS) for i in range(count)]


def test_what_changes_is_news_once_and_what_stays_is_none() -> None:
    device, found = news()
    masks = looks(found, 1)
    assert all(mask & 1 << PRESSURE for mask in masks), "a noisy value is another one in each step"
    assert not any(mask & 1 << SETPOINT for mask in masks)
    device.image.write_value(SETPOINT, 3.5)
    assert [bool(mask & 1 << SETPOINT) for mask in looks(found, 6, 3)] == [True, False, False]


def test_a_device_is_looked_at_once_a_step() -> None:
    device, found = news()
    assert found.mask(S)
    assert found.fresh
    device.image.write_value(SETPOINT, 3.5)
    assert found.mask(S + STEP_NS // 2) == 0, "a change within the step waits for the next"
    assert not found.fresh
    assert found.mask(S + STEP_NS) & 1 << SETPOINT
    assert found.fresh


def test_a_status_is_news_and_the_value_below_a_bad_one_is_not() -> None:
    device, found = news()
    looks(found, 1)
    end = device.lie(ValueFault("bad-status", PRESSURE, status=STATUS_CODES["BadSensorFailure"]), 6 * S)
    assert [bool(mask & 1 << PRESSURE) for mask in looks(found, 6, 4)] == [True, False, False, False]
    end()
    assert found.mask(9 * S) & 1 << PRESSURE


def test_not_a_number_is_news_once() -> None:
    """OPC 10000-4 section 7.10: when it begins; and so is the number after it."""
    device, found = news()
    looks(found, 1)
    end = device.lie(ValueFault("nan", TEMPERATURE), 6 * S)
    assert [bool(mask & 1 << TEMPERATURE) for mask in looks(found, 6, 3)] == [True, False, False]
    end()
    assert found.mask(9 * S) & 1 << TEMPERATURE


def test_news_that_states_another_instant_is_marked() -> None:
    device, found = news()
    looks(found, 1)
    device.lie(ValueFault("frozen-timestamp", PRESSURE), 6 * S)
    assert found.mask(6 * S)
    assert found.misdated == 0, "frozen at this very instant"
    assert found.mask(6 * S + STEP_NS) & 1 << PRESSURE
    assert found.misdated == 1 << PRESSURE


def test_all_values_at_once_are_what_each_node_reads() -> None:
    device = Device(model=model("press-sensor"), name="d/1", unit_id=1, key=5)
    image = NodeImage(device)
    for now_ns in (0, S, 7 * S + 1, 1_000 * S):
        assert image.good_values(now_ns) == [image.read(i, now_ns).value for i in range(len(image.types))]


def test_all_values_at_once_are_not_to_be_had_where_a_sensor_lies() -> None:
    device = Device(model=model("press-sensor"), name="d/1", unit_id=1, key=5)
    image = NodeImage(device)
    end = device.lie(ValueFault("nan", TEMPERATURE), S)
    assert image.good_values(2 * S) is None
    end()
    assert image.good_values(3 * S) is not None

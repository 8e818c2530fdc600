"""The device models that ship, by name, and those of third parties (entry point group ``twinloop.devices``).

Belongs here: which device has which points and what they do. Never: protocols or time. A map's source is
something that was opened (SunSpec's JSON), or it says ``ours``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from twinloop.devices.catalogue import packages, plants
from twinloop.devices.catalogue.packages import PackageError
from twinloop.devices.catalogue.sunspec import SunSpecPoint, sunspec_map
from twinloop.devices.catalogue.sunspec_layout import load_model
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.points import Point
from twinloop.devices.model.protocols import EVERY
from twinloop.devices.model.signal import Signal

ENTRY_POINTS = "twinloop.devices"
"""a third party's entry point is a callable that returns a DeviceModel"""


_PRESS_POINTS = (
    Point(
        "pressure",
        "holding",
        0,
        "f32",
        unit="bar",
        low=0.0,
        high=16.0,
        signal=Signal("sine", 6.0, 1.5, 300, noise=0.05),
    ),
    Point(
        "temperature",
        "holding",
        2,
        "f32",
        unit="degC",
        low=-20.0,
        high=120.0,
        signal=Signal("reversion", 55.0, 0.3, duty=0.02),
    ),
    Point(
        "force",
        "holding",
        4,
        "f32",
        unit="kN",
        low=0.0,
        high=400.0,
        signal=Signal("square", 12.0, 240.0, 40, 0.4, noise=1.2),
    ),
    Point(
        "stroke",
        "holding",
        6,
        "i16",
        unit="mm",
        scale=0.1,
        low=0.0,
        high=250.0,
        signal=Signal("ramp", 0.0, 240.0, 40),
    ),
    Point(
        "vibration",
        "holding",
        7,
        "u16",
        unit="mm/s",
        scale=0.01,
        low=0.0,
        high=50.0,
        signal=Signal("walk", 3.0, 0.05, limit=2.5),
    ),
    Point(
        "oil-level",
        "holding",
        8,
        "u16",
        unit="%",
        scale=0.1,
        low=0.0,
        high=100.0,
        signal=Signal("ramp", 90.0, -30.0, 36_000),
    ),
    Point("cycles", "holding", 9, "u32", unit="", signal=Signal("counter", 12_000.0, 0.025)),
    Point("energy", "holding", 11, "u32", unit="Wh", signal=Signal("counter", 840_000.0, 0.4)),
    Point(
        "state",
        "holding",
        13,
        "u16",
        unit="",
        low=0.0,
        high=3.0,
        signal=Signal("square", 1.0, 1.0, 400, 0.8),
    ),
    Point(
        "setpoint",
        "holding",
        14,
        "f32",
        unit="bar",
        low=0.0,
        high=16.0,
        signal=Signal("constant", 6.0),
        writable=True,
    ),
)


def _press_sensor() -> DeviceModel:
    title = "Hydraulic press, 10 points from holding register 0"
    return DeviceModel("press-sensor", title, "ours", EVERY, _PRESS_POINTS, step_ns=500_000_000)


def _sunspec(
    name: str, title: str, number: int, implemented: tuple[SunSpecPoint, ...], step_ns: int
) -> DeviceModel:
    points, constants = sunspec_map(number, implemented)
    source = (
        f"SunSpec model {number} ({load_model(number)['group'].get('label', '')}), JSON shipped by pysunspec2"
    )
    return DeviceModel(
        name, title, source, EVERY, points, constants, vendor="SunSpec sample", step_ns=step_ns
    )


def _energy_meter() -> DeviceModel:
    phases = [
        SunSpecPoint(f"PhVph{p}", -1, Signal("reversion", 230.0, 0.4, duty=0.1), low=207.0, high=253.0)
        for p in "ABC"
    ]
    currents = [
        SunSpecPoint(f"Aph{p}", -2, Signal("reversion", 42.0, 0.8, duty=0.05), low=0.0, high=100.0)
        for p in "ABC"
    ]
    return _sunspec("energy-meter", "Three-phase energy meter", 203, (
        *currents, *phases,
        SunSpecPoint("Hz", -2, Signal("reversion", 50.0, 0.01, duty=0.1), low=49.5, high=50.5),
        SunSpecPoint("W", 1, Signal("sine", 27_000.0, 4_000.0, 9_000, noise=120.0)),
        SunSpecPoint("PF", -2, Signal("reversion", 94.0, 0.2, duty=0.05)),
        SunSpecPoint("TotWhImp", 0, Signal("counter", 1_250_000.0, 0.75), alias="energy-imported"),
    ), step_ns=1_000_000_000)  # fmt: skip


def _pv_inverter() -> DeviceModel:
    return _sunspec("pv-inverter", "Three-phase PV inverter", 103, (
        SunSpecPoint("A", -1, Signal("sine", 30.0, 8.0, 18_000, noise=0.3)),
        SunSpecPoint("PhVphA", -1, Signal("reversion", 230.0, 0.4, duty=0.1), low=207.0, high=253.0),
        SunSpecPoint("PhVphB", -1, Signal("reversion", 230.0, 0.4, duty=0.1), low=207.0, high=253.0),
        SunSpecPoint("PhVphC", -1, Signal("reversion", 230.0, 0.4, duty=0.1), low=207.0, high=253.0),
        SunSpecPoint("W", 0, Signal("sine", 20_000.0, 5_000.0, 18_000, noise=200.0)),
        SunSpecPoint("Hz", -2, Signal("reversion", 50.0, 0.01, duty=0.1), low=49.5, high=50.5),
        SunSpecPoint("WH", 0, Signal("counter", 64_000_000.0, 0.55)),
        SunSpecPoint("DCV", -1, Signal("sine", 640.0, 30.0, 18_000, noise=1.5)),
        SunSpecPoint("TmpCab", -1, Signal("reversion", 41.0, 0.05, duty=0.01), low=-25.0, high=85.0),
        SunSpecPoint("St", 0, Signal("constant", 4.0)),
    ), step_ns=500_000_000)  # fmt: skip


def _weather_station() -> DeviceModel:
    return _sunspec("weather-station", "Weather station", 307, (
        SunSpecPoint("TmpAmb", -1, Signal("sine", 14.0, 6.0, 864_000, noise=0.05), low=-40.0, high=60.0),
        SunSpecPoint("RH", 0, Signal("reversion", 62.0, 0.5, duty=0.01), low=0.0, high=100.0),
        SunSpecPoint("Pres", 0, Signal("reversion", 1013.0, 0.2, duty=0.005), low=870.0, high=1090.0),
        SunSpecPoint("WndSpd", 0, Signal("walk", 6.0, 0.3, limit=6.0), low=0.0, high=75.0),
        SunSpecPoint("WndDir", 0, Signal("walk", 180.0, 2.0, limit=170.0), low=0.0, high=360.0),
        SunSpecPoint("Rain", 0, Signal("square", 0.0, 2.0, 6_000, 0.2)),
    ), step_ns=1_000_000_000)  # fmt: skip


def _battery() -> DeviceModel:
    return _sunspec("battery", "Battery bank", 802, (
        SunSpecPoint("SoC", -1, Signal("sine", 60.0, 25.0, 72_000), low=5.0, high=95.0, alias="soc"),
        SunSpecPoint("SoH", -1, Signal("constant", 97.5), alias="soh"),
        SunSpecPoint("NCyc", 0, Signal("counter", 412.0, 0.00002), alias="cycles"),
        SunSpecPoint("V", -1, Signal("reversion", 51.8, 0.05, duty=0.05), low=44.0, high=58.4),
        SunSpecPoint("A", -1, Signal("sine", 0.0, 80.0, 18_000, noise=0.5)),
        SunSpecPoint("W", 1, Signal("sine", 0.0, 4_100.0, 18_000, noise=40.0)),
        SunSpecPoint("State", 0, Signal("constant", 3.0)),
    ), step_ns=500_000_000)  # fmt: skip


_SHIPPED: dict[str, Callable[[], DeviceModel]] = {
    "press-sensor": _press_sensor,
    "energy-meter": _energy_meter,
    "pv-inverter": _pv_inverter,
    "weather-station": _weather_station,
    "battery": _battery,
    "tank": plants.tank,
    "motor": plants.motor,
    "heater": plants.heater,
    "meter": plants.meter,
    "pv-day": plants.pv_day,
}


def names() -> list[str]:
    """All known device models, shipped ones first."""
    return [*_SHIPPED, *packages.by_name(ENTRY_POINTS, _SHIPPED)]


@cache
def model(name: str) -> DeviceModel:
    """The device model of that name; raises KeyError for an unknown one, PackageError for one of another
    package that can't be made."""
    if name in _SHIPPED:
        return _SHIPPED[name]()
    found = packages.called(packages.by_name(ENTRY_POINTS, _SHIPPED)[name], DeviceModel)
    assert isinstance(found, DeviceModel)
    return found


def usable() -> tuple[list[DeviceModel], dict[str, PackageError]]:
    """All device models that can be made, and by name why the others can't."""
    made, broken = [], {}
    for name in names():
        try:
            made.append(model(name))
        except PackageError as error:
            broken[name] = error
    return made, broken


def ignored(name: str | None = None) -> list[str]:
    """What to say of entry points that aren't used because their name, or just this one, is another's."""
    found = packages.ignored(ENTRY_POINTS, _SHIPPED)
    return [text for one, texts in found.items() if name in (None, one) for text in texts]

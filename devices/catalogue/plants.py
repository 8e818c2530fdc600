"""Device models whose values obey physics (process.py), and whose registers act on it.

Belongs here: their register maps, ours but for the PV inverter's. Never: equations.
"""

from __future__ import annotations

from dataclasses import replace

from twinloop.devices.catalogue.sunspec import SunSpecPoint, sunspec_map
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.points import Point
from twinloop.devices.model.process import Heater, Motor, PowerMeter, PvDay, Tank
from twinloop.devices.model.protocols import EVERY
from twinloop.devices.model.signal import Signal

"""that all shipped models speak: registers, or the same points as nodes or members of a payload"""
LIMIT_REGISTER = 40_200
"""of the PV inverter: vendor's own, behind the SunSpec map"""


def _set(
    name: str,
    table: str,
    address: int,
    first: float,
    kind: str = "f32",
    unit: str = "",
    high: float | None = None,
) -> Point:
    """A point that is written; ``first``: what it is at the beginning."""
    return Point(
        name,
        table,
        address,
        kind,
        unit=unit,
        low=0.0,
        high=high,
        signal=Signal("constant", first),
        writable=True,
    )


def _shows(
    name: str, table: str, address: int, kind: str = "f32", unit: str = "", scale: float = 1.0
) -> Point:
    """A point that shows an output of the process."""
    return Point(name, table, address, kind, unit=unit, scale=scale, output=name)


def tank() -> DeviceModel:
    """A tank with pump and valve."""
    points = (
        _set("pump", "coil", 0, 1.0),
        _set("speed", "holding", 0, 50.0, unit="%", high=100.0),
        _set("valve", "holding", 2, 55.0, unit="%", high=100.0),
        _shows("level", "input", 0, unit="m"),
        _shows("inflow", "input", 2, unit="m3/h"),
        _shows("outflow", "input", 4, unit="m3/h"),
        _shows("pressure", "input", 6, unit="bar"),
        _shows("spilt", "input", 8, unit="m3"),
        _shows("high", "discrete", 0),
        _shows("running", "discrete", 1),
    )
    return DeviceModel("tank", "Tank with pump and valve", "ours", EVERY, points, process=Tank)


def motor() -> DeviceModel:
    """A motor on a drive."""
    points = (
        _set("run", "coil", 0, 1.0),
        _set("setpoint", "holding", 0, 1200.0, unit="rpm", high=1800.0),
        _set("load", "holding", 2, 70.0, unit="%", high=150.0),
        _shows("speed", "input", 0, unit="rpm"),
        _shows("current", "input", 2, unit="A"),
        _shows("torque", "input", 4, unit="Nm"),
        _shows("power", "input", 6, unit="kW"),
        _shows("winding", "input", 8, unit="degC"),
        _shows("hours", "input", 10, "u32", "h", 0.01),
        _shows("starts", "input", 12, "u16"),
        _shows("tripped", "discrete", 0),
    )
    return DeviceModel("motor", "Induction motor on a drive", "ours", EVERY, points, process=Motor)


def heater() -> DeviceModel:
    """A heated vessel with its controller."""
    points = (
        _set("enable", "coil", 0, 1.0),
        _set("setpoint", "holding", 0, 65.0, unit="degC", high=110.0),
        _shows("temperature", "input", 0, unit="degC"),
        _shows("output", "input", 2, unit="%"),
        _shows("energy", "input", 4, "u32", "Wh"),
        _shows("ready", "discrete", 0),
    )
    return DeviceModel("heater", "Heated vessel with a PI controller", "ours", EVERY, points, process=Heater)


def meter() -> DeviceModel:
    """An energy meter whose counters count."""
    points = (
        _shows("power", "input", 0, unit="W"),
        _shows("voltage", "input", 2, unit="V"),
        _shows("current", "input", 4, unit="A"),
        _shows("frequency", "input", 6, unit="Hz"),
        _shows("imported", "input", 8, "u32", "Wh"),
        _shows("exported", "input", 10, "u32", "Wh"),
        _set("feed", "holding", 0, 0.0, unit="W", high=20_000.0),
    )
    return DeviceModel(
        "meter",
        "Energy meter whose counters count",
        "ours",
        EVERY,
        points,
        process=PowerMeter,
        step_ns=1_000_000_000,
    )


def pv_day() -> DeviceModel:
    """A PV inverter over a day."""
    exponents = {
        "A": -1,
        "PhVphA": -1,
        "PhVphB": -1,
        "PhVphC": -1,
        "W": 0,
        "Hz": -2,
        "WH": 0,
        "DCV": -1,
        "TmpCab": -1,
        "St": 0,
    }
    mapped, constants = sunspec_map(
        103, tuple(SunSpecPoint(name, exponent, Signal()) for name, exponent in exponents.items())
    )
    points = tuple(replace(point, output=point.name) for point in mapped)
    limit = _set("limit", "holding", LIMIT_REGISTER, 100.0, "u16", "%", 100.0)
    sun = _shows("irradiance", "holding", LIMIT_REGISTER + 1, "u16", "W/m2")
    return DeviceModel(
        "pv-day",
        "PV inverter from ten in the morning on",
        "SunSpec model 103, JSON shipped by pysunspec2; limit and irradiance: ours",
        EVERY,
        (*points, limit, sun),
        constants,
        process=PvDay,
        step_ns=1_000_000_000,
        vendor="SunSpec sample",
    )

"""Any published SunSpec model by its number, with every number of its fixed block implemented: ``device:
sunspec/103``.

Belongs here: what a point does that nobody has described (ours, by its unit). Never: addresses (sunspec.py).
Repeating groups have no
instances: their count reads 0.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from twinloop.devices.catalogue.sunspec import TYPES, SunSpecPoint, load_model, published, sunspec_map
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.protocols import EVERY
from twinloop.devices.model.signal import Signal

PREFIX = "sunspec/"
_BY_UNIT: dict[str, tuple[int, Signal]] = {
    "V": (-1, Signal("reversion", 230.0, 0.4, duty=0.1)),
    "A": (-2, Signal("reversion", 9.0, 0.05, duty=0.05)),
    "W": (0, Signal("sine", 2000.0, 400.0, 1800, noise=12.0)),
    "VA": (0, Signal("sine", 2080.0, 400.0, 1800, noise=12.0)),
    "var": (0, Signal("reversion", 180.0, 4.0, duty=0.05)),
    "Hz": (-2, Signal("reversion", 50.0, 0.01, duty=0.1)),
    "Wh": (0, Signal("counter", 1_000_000.0, 0.5)),
    "VAh": (0, Signal("counter", 1_000_000.0, 0.5)),
    "varh": (0, Signal("counter", 20_000.0, 0.05)),
    "Ah": (0, Signal("counter", 4000.0, 0.002)),
    "C": (-1, Signal("reversion", 38.0, 0.05, duty=0.01)),
    "Pct": (-1, Signal("reversion", 60.0, 0.2, duty=0.02)),
    "%": (-1, Signal("reversion", 60.0, 0.2, duty=0.02)),
    "PF": (-3, Signal("reversion", 0.95, 0.001, duty=0.05)),
    "cos()": (-3, Signal("reversion", 0.95, 0.001, duty=0.05)),
    "W/m2": (0, Signal("sine", 600.0, 200.0, 1800, noise=5.0)),
    "Secs": (0, Signal("counter", 0.0, 1.0)),
}
_OTHER = (0, Signal("reversion", 10.0, 0.2, duty=0.05))
_CONSTANT = (0, Signal("constant", 0.0))


def _does(raw: dict[str, Any]) -> tuple[int, Signal]:
    """(exponent of its scale factor, what it does)."""
    kind = raw["type"]
    if kind.startswith("enum"):
        symbols = raw.get("symbols") or [{"value": 1}]
        return 0, Signal("constant", float(symbols[min(3, len(symbols) - 1)]["value"]))
    if kind.startswith("bitfield") or kind == "count" or raw["name"] == "N":
        return _CONSTANT
    if kind.startswith("acc") and raw.get("units") not in _BY_UNIT:
        return 0, Signal("counter", 1000.0, 0.1)
    return _BY_UNIT.get(raw.get("units", ""), _OTHER)


@cache
def sunspec_model(number: int) -> DeviceModel:
    """The device model with that SunSpec model; raises KeyError for a number that isn't published, ValueError
    when it holds no numbers."""
    if number not in published():
        raise KeyError(number)
    group = load_model(number)["group"]
    exponents: dict[str, int] = {}
    implemented = []
    for raw in group["points"]:
        if raw["name"] in ("ID", "L") or raw["type"] not in TYPES:
            continue
        exponent, signal = _does(raw)
        factor = raw.get("sf")
        if isinstance(factor, str):
            exponent = exponents.setdefault(factor, exponent)  # points that share a factor share its exponent
        elif isinstance(factor, int):
            exponent = factor
        else:
            exponent = 0
        implemented.append(SunSpecPoint(raw["name"], exponent, signal))
    if not implemented:
        raise ValueError(f"SunSpec model {number} has no numbers in its fixed block")
    points, constants = sunspec_map(number, tuple(implemented))
    source = f"SunSpec model {number} ({group.get('label', '')}), JSON shipped by pysunspec2; values ours"
    title = group.get("label") or f"SunSpec model {number}"
    return DeviceModel(f"{PREFIX}{number}", title, source, EVERY, points, constants, vendor="SunSpec sample")

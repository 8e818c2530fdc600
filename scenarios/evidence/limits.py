"""What of a run is used up: cores, lines, the uplink's window, memory, the store.

Belongs here: shares of what there is, from a result's entry. Never: verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twinloop.scenarios.text.units import show_ratio

USED_UP = 0.9
"""share from which something is named as what limits"""


@dataclass(frozen=True)
class Limit:
    """Something there is so much of. ``used``: which share of it, 0 to 1 (a queue that overflows: 1)."""

    name: str
    used: float

    def __str__(self) -> str:
        """As a report says it."""
        return f"{self.name} ({show_ratio(self.used)})"


def limits(entry: dict[str, Any]) -> list[Limit]:
    """Each of them in one run, the scarcest first."""
    found = [Limit(f"line {name}", one["busy_ratio"]) for name, one in entry["lines"].items()]
    for name, gateway in entry["gateways"].items():
        found += _of_gateway(name, gateway)
    return sorted(found, key=lambda one: (-one.used, one.name))


def _of_gateway(name: str, gateway: dict[str, Any]) -> list[Limit]:
    found = [Limit(f"cores of {name}", gateway["cpu_ratio"])]
    if gateway["memory_bytes"]:
        found.append(Limit(f"memory of {name}", gateway["memory_peak_bytes"] / gateway["memory_bytes"]))
    uplink, store = gateway["uplink"], gateway["store"]
    found.append(Limit(f"uplink window of {name}", uplink["window_peak"] / uplink["window"]))
    if store is not None:
        used = 1.0 if store["evicted"] else store["peak_bytes"] / store["capacity_bytes"]
        found.append(Limit(f"store of {name}", used))
    return found

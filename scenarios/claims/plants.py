"""The plants that claims are tried on: small scenarios, run in this process on a board under a host program,
at the nominal prices and at both ends of their bands.

Belongs here: the scenarios, and what is read off a run. Never: what a claim says of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from twinloop.components.host.host import Host
from twinloop.components.host.outcome import Fault
from twinloop.scenarios import banded, front
from twinloop.scenarios.file.load import LIBRARY
from twinloop.scenarios.judging.judged import Judged
from twinloop.scenarios.runner import Options, run_in
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.machine.budget import PS_PER_NS
from twinloop.sim.model.boards import End
from twinloop.sim.world import World

REGO = LIBRARY.parents[1] / "components" / "starters" / "built" / "rego-policy.wasm"
"""a policy of a few rules in Rego, as OPA compiles it, made a component"""
ROUTE = "route.wasm"
SENSORS = 100
_EXPECTED = (
    "p99(latency.gateway) <= 50 ms",
    "p99(latency.stage{stage=bus}) <= 50 ms",
    "p99(latency.stage{stage=policy}) <= 1 ms",
    "max(gateway.boot) <= 1 h",
)


class Banded(NamedTuple):
    """A modelled figure and the ends of its band."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ran:
    """What one plant came to: times in ns."""

    latency: Banded
    bus: Banded
    policy: Banded
    boot: Banded


def plant(board: str, host: str, policy: str, sensors: int) -> front.Scenario:
    """So many press sensors, polled each second over a LAN by shipped components: a driver each, one
    transform, one policy."""
    component: dict[str, Any] = {"wasm": policy, "grants": ["log"]}
    return front.Scenario.of(
        {
            "format": 2,
            "name": "claims",
            "seed": 1,
            "duration": "2 s",
            "grace": "2 s",
            "fleets": {
                "presses": {
                    "device": "press-sensor",
                    "protocol": "modbus-tcp",
                    "count": sensors,
                    "poll": "1 s",
                    "link": "plant",
                    "gateway": "gw",
                    "driver": "modbus-driver",
                }
            },
            "links": {"plant": {"preset": "lan"}, "cloud": {"preset": "lte"}},
            "components": {
                "modbus-driver": {"wasm": "modbus-driver.wasm", "grants": ["fieldbus", "clock", "log"]},
                "normalize": {"wasm": "normalize.wasm", "grants": ["log"]},
                "policy": component,
            },
            "gateways": {
                "gw": {
                    "board": board,
                    "host": host,
                    "transform": "normalize",
                    "policy": "policy",
                    "uplink": {"link": "cloud"},
                }
            },
            "expect": list(_EXPECTED),
        },
        LIBRARY,
    )


def run_plant(host: Host, scenario: front.Scenario) -> Ran:
    """Run it at all ends of the bands."""
    result = run_in(scenario, Options(band=banded.ALWAYS), host)
    return Ran(*(_banded(one) for one in result.judged))


def _banded(judged: Judged) -> Banded:
    ends = dict(judged.ends)
    found = (judged.measured, ends.get(End.LOW.value), ends.get(End.HIGH.value))
    if any(one is None for one in found):
        raise RuntimeError(f"{judged.expectation.text}: nothing was measured at an end of the bands")
    return Banded(*(float(one or 0) for one in found))


# ---- limits ------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Hit:
    """The first fault of the component that goes too far, in one world."""

    cause: str = ""
    fuel: int = 0
    """that the call had used"""
    fuel_ps: int = 0
    """the board's price of a unit of it, at that end of its band"""
    memory_bytes: float | None = None
    """its linear memory then"""
    at_ns: int = 0
    """when, in simulated time"""

    @property
    def cpu_ns(self) -> float | None:
        """CPU time of the call; None: there was no fault."""
        return self.at_price(self.fuel_ps) if self.cause else None

    def at_price(self, fuel_ps: int) -> float:
        """CPU time of the same fuel at another price."""
        return self.fuel * fuel_ps / PS_PER_NS


@dataclass(slots=True)
class Limits:
    """Given to a run as ``started``: what happens to the component ``hostile`` in each of its worlds."""

    hits: list[Hit] = field(default_factory=list)

    def begin(self, world: World) -> None:
        """Listen to another world."""
        hit = Hit()
        self.hits.append(hit)

        def fault(now_ns: int, slot: Slot, fault: Fault) -> None:
            if slot.spec.name != "hostile" or hit.cause:
                return
            hit.cause, hit.at_ns = fault.cause.value, now_ns
            hit.fuel, hit.fuel_ps = fault.fuel_used, slot.meter.profile.fuel_ps
            if slot.instance is not None:
                hit.memory_bytes = slot.instance.memory.peak_bytes

        for gateway in world.gateways:
            gateway.supervisor.complaints.on_fault.append(fault)


def hostile(board: str, deed: str, limits: dict[str, str], grants: list[Any], seconds: int) -> front.Scenario:
    """One driver that goes too far from its third poll on, beside one that doesn't: the shipped scenario
    ``loops`` with another deed, other limits, other grants."""
    shipped = front.load(LIBRARY / "hostile" / "loops.yaml")
    component = {
        "limits": {"cpu": "10 ms", "deadline": "500 ms", **limits},
        "grants": ["fieldbus", "clock", "log", *grants],
        "with": {"do": deed},
    }
    return shipped.changed(
        {
            "fleets": {"meters": None, "presses": {"count": 1}},
            "links": {"line": None},
            "components": {"hostile": component},
            "gateways": {"gw": {"board": board, "host": "rust-typed"}},
        },
        duration=f"{seconds} s",
        grace="1 s",
        expect=["count(component.faults) >= 0"],
    )


def first_hits(host: Host, scenario: front.Scenario) -> list[Hit]:
    """The first fault at the nominal prices, at the lowest, at the highest."""
    heard = Limits()
    run_in(scenario, Options(band=banded.ALWAYS, started=heard.begin), host)
    return heard.hits[-3:]  # a run that began anew has left more


def opened(host: Host, scenario: front.Scenario) -> int:
    """How many files the component opened before it was refused one; at the nominal prices, on which files
    don't depend."""
    result = run_in(scenario, Options(band=banded.NEVER), host)
    told = result.data["gateways"]["gw"]["told"]["errors"]
    return sum(one["count"] for one in told if one["component"] == "hostile" and "file: open" in one["error"])

"""Go collects its garbage inside the guest: 10 000 calls leave its memory, and this process, as they were.

The guests are built by ``make guests-all``; without them there is nothing to try.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.components.test_big_starters import Place
from tests.components.test_steady_memory import GROWTH_BYTES, grown
from twinloop.components.contract.contract import Origin, PointConfig, Reading, Settings
from twinloop.components.host.host import Host
from twinloop.scenarios.collector import resident_bytes
from twinloop.sim.kernel.clock import S
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.model.wasi import WasiSpec
from twinloop.sim.wasi.system import System

BUILT = Path(__file__).parents[2] / "build" / "guests"
CALLS = 10_000
FUEL = 10_000_000_000
MEMORY_BYTES = 8 << 20
"""of the guest, for life: 4.7 to 5.5 MB were measured, and what go-wasi drops in all is a gigabyte"""
GUESTS = {
    "go-wasi": ({"garbage": "100000"}, 1.0),
    "starter-go-transform": ({"factor": "2"}, 2.0),
}
"""file -> its options, and what it makes of each value"""


class Passing(Place):
    """A place whose time goes on by a second a call: Go also collects when it hasn't for two minutes."""

    calls = 0

    def instant_ns(self) -> int:
        return self.calls * S


class Calls:
    """Of a new instance; each must be answered rightly. ``fuel``: of each."""

    def __init__(self, host: Host, name: str) -> None:
        self._place, self.fuel = Passing(), list[int]()
        options, self._factor = GUESTS[name]
        component = host.load(BUILT / f"{name}.wasm", "transform")
        known = component.wasi_functions()
        system = System(self._place, "go", WasiSpec(("wasi:clocks",)), known, lambda _: RandomStream(1))
        linked = host.link(component, ["clock", "log", "state"])
        handlers = {**system.handlers, "clock.now": lambda: 0}
        self.instance = host.instantiate(linked, handlers, FUEL, MEMORY_BYTES)
        points = [PointConfig(number, f"p{number}", "", "", 1.0, 0.0, None, None) for number in range(10)]
        self._contract = component.contract
        settings = Settings("", points, [*options.items()]).of(self._contract)
        assert self._result("configure", settings).ok

    def _result(self, export: str, *arguments: Any) -> Any:
        instance = self.instance
        instance.begin(export, arguments, FUEL)
        used = instance.advance()
        assert instance.request is None, "it waits for nothing"
        assert instance.fault is None, instance.fault
        self.fuel.append(used)
        return instance.result()

    def turn(self) -> None:
        self._place.calls = call = len(self.fuel)
        values = [call / 4 + number for number in range(10)]  # exact in an f64, doubled as well
        readings = [Reading(number, value, 0, call) for number, value in enumerate(values)]
        lists = 2 if self._contract.track == "0.1" else 3
        batch = (readings, *[[] for _ in range(lists - 1)])
        found = self._result("transform-readings", Origin("d/1", call), batch).value
        assert [tuple(one) for one in found.readings] == [
            (number, value * self._factor, 0, call) for number, value in enumerate(values)
        ]


@pytest.mark.skipif(resident_bytes() is None, reason="this machine doesn't tell what lies in memory")
@pytest.mark.parametrize("name", GUESTS)
def test_ten_thousand_calls_leave_memory_as_it_was(host: Host, name: str) -> None:
    """Its own memory is as large after 10 000 calls as after a third of them, this process grows by noise, and
    a second instance takes as much fuel in each call."""
    if not (BUILT / f"{name}.wasm").exists():
        pytest.skip(f"{name} is not built: make guests-all")
    first, sizes = Calls(host, name), list[int]()

    def turn() -> None:
        first.turn()
        sizes.append(first.instance.memory_bytes)

    growth = grown(turn, CALLS)
    assert len(first.fuel) == CALLS + 1
    assert sizes[CALLS // 3] == sizes[-1] < MEMORY_BYTES
    assert growth < GROWTH_BYTES, growth
    first.instance.close()
    other = Calls(host, name)
    for _ in range(CALLS):
        other.turn()
    assert other.fuel == first.fuel
    assert len({*first.fuel}) > 1, "some calls collect garbage"
    other.instance.close()

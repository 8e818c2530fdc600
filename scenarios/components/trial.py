"""One component on a board, without a plant: its start, its calls, what they cost.

Belongs here: a gateway's slot around one instance, and a bus whose answers are given. Never: what the calls
are (recorded.py). The component runs as it does in a scenario: parked imports wait in simulated time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from twinloop.components.contract.contract import Framing, Settings
from twinloop.components.host.component import Component
from twinloop.components.host.host import Host
from twinloop.components.host.outcome import Fault
from twinloop.scenarios.file.boards.programs import default_host
from twinloop.scenarios.file.boards.reading import shipped
from twinloop.sim.accounts.latency import DRIVER, StageTimes
from twinloop.sim.gateway.call import START, call
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.kernel.clock import Environment, Event, S, Steps, Task
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.kernel.wallclock import WallClock
from twinloop.sim.machine.budget import Budget, CpuProfile, Meter
from twinloop.sim.machine.machine import Machine
from twinloop.sim.model.boards import prices
from twinloop.sim.model.spec import ComponentSpec
from twinloop.sim.model.wasi import WasiSpec

BOARD = "raspberry-pi-4"
"""on which it runs; what it costs on the others follows from its fuel, crossings and values"""
DEADLINE_NS = 60 * S


@dataclass(frozen=True)
class Terms:
    """What a component is tried on: prices of a CPU, limits of a call, of its start, of memory and state."""

    profile: CpuProfile
    deadline_ns: int
    start_ns: int
    cpu_ns: int | None
    memory_bytes: int
    state_bytes: int


@dataclass(slots=True)
class Exchange:
    """One exchange with the device: what the driver must send, and what comes back (None: a timeout)."""

    sends: bytes
    gets: bytes | str


class GivenBus:
    """A device that answers what it was told to, in that order."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self.exchanges: list[Exchange] = []
        self.problems: list[str] = []

    def _answer(self, request: bytes) -> Event:
        event = Event(self._env)
        if not self.exchanges:
            self.problems.append(f"it sends {request.hex()}, and nothing more was expected")
            result: Any = (False, ("timeout", None))
        else:
            exchange = self.exchanges.pop(0)
            if request != exchange.sends:
                self.problems.append(f"it sends {request.hex()}, expected {exchange.sends.hex()}")
            result = (
                (True, exchange.gets) if isinstance(exchange.gets, bytes) else (False, (exchange.gets, None))
            )
        self._env.call_in(1_000_000, event.fire, result)
        return event

    def transact(self, request: bytes, reply: Framing, timeout_ns: int, limit_ns: int) -> Event:
        """The next answer that was given."""
        return self._answer(request)

    def send(self, data: bytes, timeout_ns: int) -> Event:
        """Nobody listens."""
        event = Event(self._env)
        self._env.call_in(0, event.fire, (True, None))
        return event

    def receive(self, frame: Framing, timeout_ns: int) -> Event:
        """Nothing comes by itself."""
        event = Event(self._env)
        self._env.call_in(timeout_ns, event.fire, (False, ("timeout", None)))
        return event

    def reset(self) -> None:
        """There is no connection to drop."""

    def abandon(self) -> None:
        """Nobody waits."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a piece of work took. ``waited_ns``: simulated time in all, on BOARD."""

    fuel: int
    calls: int
    imports: int
    exchanges: int
    values: int
    bytes: int
    waited_ns: int

    def on(self, board: str) -> int:
        """Its CPU time on a board that ships, under the host program that most people ship, ns."""
        return _profile(board).cpu_ns(
            self.fuel, self.calls, self.imports, self.exchanges, self.values, self.bytes
        )


@cache
def _profile(board: str) -> CpuProfile:
    return CpuProfile.of(prices(shipped(board), default_host(), None, False, False))


class Trial:
    """A component on BOARD or on the terms that are given, with all granted that it imports of the
    contract."""

    def __init__(
        self, host: Host, name: str, component: Component, wasi: WasiSpec, terms: Terms | None = None
    ) -> None:
        self.env = self._env = Environment()
        board = shipped(BOARD)
        budget = Budget(board, prices(board, default_host(), None, False, False))
        self._machine = Machine(
            env=self._env, index=0, name="trial", board=board, trace=Trace(self._env), budget=budget,
            clock=WallClock(), syncs=False,
        )  # fmt: skip
        grants = tuple(component.imports)
        spec = ComponentSpec(name, component.role, component, grants, wasi=wasi, start_ns=DEADLINE_NS)
        if terms is not None:
            spec = replace(
                spec, start_ns=terms.start_ns, cpu_ns=terms.cpu_ns, memory_bytes=terms.memory_bytes,
                state_bytes=terms.state_bytes,
            )  # fmt: skip
        self._host = host
        self.slot = Slot(
            machine=self._machine,
            name=name,
            spec=spec,
            linked=host.link(component, grants),
            settings=Settings("", [], []),
            meter=budget.meter(name) if terms is None else Meter(terms.profile),
            deadline_ns=DEADLINE_NS if terms is None else terms.deadline_ns,
            streams=RandomStreams(1),
        )
        self.bus: Any = GivenBus(self._env)
        """its way to a device; who tries a driver may put another one in its place"""

    def start(self) -> tuple[Fault | None, Spent]:
        """Instantiate it and run its start code."""
        instance = self._host.create(
            self.slot.linked, self.slot.imports.handlers, self.slot.spec.memory_bytes
        )
        self.slot.adopt(instance)
        outcome = self._run(START, ())
        self.slot.started()
        return outcome

    def call(
        self, export: str, arguments: Sequence[Any], returns_batch: bool = False
    ) -> tuple[Fault | None, Any, Spent]:
        """One call: (fault, the result, what it took). ``returns_batch``: too large a one is a fault."""
        fault, spent = self._run(export, arguments, returns_batch)
        instance = self.slot.instance
        assert instance is not None
        return fault, None if fault else instance.result(), spent

    def _run(
        self, export: str, arguments: Sequence[Any], returns_batch: bool = False
    ) -> tuple[Fault | None, Spent]:
        began = self._env.now
        before = self._used()
        found: list[Fault | None] = []

        def steps() -> Steps:
            found.append(
                (
                    yield from call(
                        self._machine,
                        self.slot,
                        export,
                        arguments,
                        0,
                        StageTimes(),
                        DRIVER,
                        self.bus,
                        returns_batch,
                    )
                )
            )

        Task(self._env, steps())
        self._env.run()
        after = self._used()
        took_ns = self._env.now - began
        fuel, calls, imports, exchanges, values, count = (
            now - then for now, then in zip(after, before, strict=True)
        )
        return found[0], Spent(fuel, calls, imports, exchanges, values, count, took_ns)

    def _used(self) -> tuple[int, int, int, int, int, int]:
        meter = self.slot.meter
        fuel = meter.fuel + meter.start_fuel
        return fuel, meter.calls, meter.imports, meter.exchanges, meter.values, meter.bytes

    @property
    def stderr(self) -> str:
        """The end of its standard error."""
        return "" if self.slot.imports.wasi is None else self.slot.imports.wasi.stderr

"""A slot: the place of one component instance on a gateway, its life as a table, and what its imports mean.

Belongs here: states, the instance's queue, the handlers of clock, log and state. Never: when it is restarted
(supervisor.py) or called (pipeline.py). An instance serves one call at a time, in simulated time too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twinloop.components.contract.contract import Result, Settings
from twinloop.components.contract.errors import GuestEnded
from twinloop.components.host.component import Linked
from twinloop.components.host.instance import Instance
from twinloop.sim.gateway.history import History
from twinloop.sim.kernel.clock import Event, S
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.kernel.state_machine import StateMachine
from twinloop.sim.machine.budget import PS_PER_NS, Meter
from twinloop.sim.machine.machine import Machine
from twinloop.sim.model.spec import ComponentSpec
from twinloop.sim.wasi.hosts import Hosts
from twinloop.sim.wasi.system import System

LOG_LINE_BYTES_MAX = 4 << 10
LOG_LINES_PER_S = 20
"""a second's worth of lines that one instance may leave; the rest is counted (limit ``log-rate``)"""
FUEL_PER_CALL_MAX = 1 << 40
"""for a call that nothing else limits"""
IMPORTS_PER_LOOK = 64
"""after so many imports that answered at once the CPU time of the call is looked at: they take time that no
fuel counts"""
STATE_KEY_BYTES_MAX = 256
STATE_VALUE_BYTES_MAX = 64 << 10

TRANSITIONS = StateMachine(
    "component",
    {
        ("down", "start"): "starting",
        ("starting", "ready"): "ready",
        ("starting", "fault"): "backoff",
        ("starting", "stop"): "down",
        ("ready", "fault"): "backoff",
        ("ready", "stop"): "down",
        ("backoff", "start"): "starting",
        ("backoff", "quarantine"): "quarantined",
        ("backoff", "stop"): "down",
        ("quarantined", "stop"): "down",
    },
)
"""(state, event) -> state of a component on a gateway; anything else is our mistake"""

_OK: Result = (True, None)


class Slot:
    """One supervised instance: which component, in which state. ``deadline_ns`` of one call."""

    __slots__ = (
        "_machine",
        "_waiters",
        "deadline_ns",
        "fuel_limit",
        "fuel_limit_ns",
        "generation",
        "health",
        "history",
        "imports",
        "instance",
        "linked",
        "meter",
        "name",
        "on_drop",
        "on_move",
        "on_ready",
        "serving",
        "settings",
        "spec",
        "state",
    )

    def __init__(
        self,
        *,
        machine: Machine,
        name: str,
        spec: ComponentSpec,
        linked: Linked,
        settings: Settings,
        meter: Meter,
        deadline_ns: int,
        streams: RandomStreams,
    ) -> None:
        self._machine = machine
        self.name = name
        self.spec = spec
        self.linked = linked
        self.settings = settings
        self.meter = meter
        self.deadline_ns = deadline_ns
        self.fuel_limit_ns = deadline_ns if spec.cpu_ns is None else min(spec.cpu_ns, deadline_ns)
        self.fuel_limit = 0
        """fuel for one call: its CPU limit, or what fits before its deadline, whichever is less"""
        self.reprice()
        self.state = "down"
        self.health = ""
        """what its instance last said of itself; empty before it was asked"""
        self.instance: Instance | None = None
        self.history = History()
        self.generation = 0
        """counts instances, so that a restart that was overtaken knows it"""
        self.on_move: Callable[[str, str], None] | None = None
        """told of each (state, cause) that it comes into, by who watches it through an upgrade"""
        self.on_ready: Callable[[], None] | None = None
        """told when it can be called"""
        self.on_drop: Callable[[], None] | None = None
        """told when the instance goes: its connection goes with it"""
        self.serving = False
        self._waiters: deque[Event] | None = None
        self.imports = Imports(machine, self, streams)

    def reprice(self) -> None:
        """The board's prices have changed: so has what fits into a call."""
        self.fuel_limit = min(FUEL_PER_CALL_MAX, self.meter.profile.fuel_for(self.fuel_limit_ns))

    # ---- life ------------------------------------------------------------------------------------
    def move(self, event: str, cause: str = "") -> None:
        """Take a transition of the table and trace it."""
        following = TRANSITIONS.after(self.name, self.state, event)
        self.state = following
        self._machine.trace.emit("component", self._machine.index, self.name, following, cause)
        if self.on_move is not None:
            self.on_move(following, cause)
        if following == "ready" and self.on_ready is not None:
            self.on_ready()

    def sibling(self, name: str, spec: ComponentSpec, linked: Linked) -> Slot:
        """A slot for the same work with another component; it begins with a copy of what ``state`` keeps."""
        slot = Slot(
            machine=self._machine,
            name=name,
            spec=spec,
            linked=linked,
            settings=self.settings,
            meter=self.meter,
            deadline_ns=self.deadline_ns,
            streams=self.imports.streams,
        )
        slot.imports.begin_with(self.imports)
        return slot

    def adopt(self, instance: Instance) -> None:
        """Take over a new instance; its start code has yet to run."""
        self.generation += 1
        self.instance, self.health = instance, ""
        self._machine.budget.hold_memory(self._machine.budget.instance_bytes)
        self.history.reserved = self._machine.budget.memories.take(self.linked.component)

    def started(self) -> bool:
        """Its start code has run, and it has the memory that it begins with; False when the board has no RAM
        left for it."""
        assert self.instance is not None
        self.instance.memory.on_growth = self._grown
        return self._machine.budget.hold_memory(self.instance.memory_bytes)

    def held_bytes(self) -> int:
        """RAM of its instance; 0 without one."""
        instance = self.instance
        if instance is None:
            return 0
        started = instance.memory.on_growth is not None
        return self._machine.budget.instance_bytes + (instance.memory_bytes if started else 0)

    def _grown(self, change_bytes: int) -> None:
        if not self._machine.budget.hold_memory(change_bytes):
            self._machine.budget.breach("memory")

    def drop(self) -> None:
        """Close the instance, if there is one."""
        held_bytes, instance, self.instance = self.held_bytes(), self.instance, None
        if instance is not None:
            if self.on_drop is not None:
                self.on_drop()
            self._machine.budget.hold_memory(-held_bytes)
            self._machine.budget.memories.give_back(self.linked.component, self.history.reserved)
            instance.memory.on_growth = None
            self.imports.forget_actions()
            instance.close()
            self.imports.instance_gone()

    def reset(self) -> None:
        """The gateway has died: whoever held or waited for the instance is gone."""
        self.serving = False
        self._waiters = None
        self.imports.reset()

    # ---- one call at a time ----------------------------------------------------------------------
    def wait(self) -> Event:
        """Fires when the instance is yours; only for when ``serving`` is True."""
        event = Event(self._machine.env)
        if self._waiters is None:
            self._waiters = deque()
        self._waiters.append(event)
        return event

    def release(self, generation: int) -> None:
        """The next in line has it at this instant; whoever held an instance that is gone since has nothing to
        give back."""
        if generation != self.generation:
            return
        if self._waiters:
            self._waiters.popleft().fire()
        else:
            self.serving = False


_NO_TASKS: dict[str, Callable[..., Any]] = {}


class Imports:
    """What a slot's imports mean: clock, log, state."""

    __slots__ = (
        "_actions", "_limits", "_log_count", "_log_dropped", "_log_lines", "_log_second", "_slot",
        "bytes_carried", "crossings", "handlers", "hosts", "left_ns", "logged", "machine", "name",
        "segment_start_ns", "streams", "tasks", "values", "wasi",
    )  # fmt: skip

    def __init__(self, machine: Machine, slot: Slot, streams: RandomStreams) -> None:
        self.machine, self._slot = machine, slot
        self.name, self.streams = slot.name, streams
        self.segment_start_ns = 0
        self.left_ns = slot.fuel_limit_ns
        """CPU time that the call under way may still take"""
        self.bytes_carried = 0
        """by imports of the segment under way that answered at once"""
        self.crossings = 0
        """imports of the segment under way that answered at once"""
        self.logged = False
        """lines, drops or actions of the segment under way wait for ``flush_log``"""
        self.values: dict[str, bytes] = {}
        """what ``state`` keeps on the gateway's flash; outlives instances"""
        self._log_second, self._log_count, self._log_dropped = -1, 0, 0
        self._log_lines: list[tuple[int, str, str]] = []
        self._limits: dict[str, int] = {}
        """limits that the segment under way has hit"""
        self._actions: list[Callable[[], None]] = []
        """what the segment under way does outside the instance"""
        self.hosts: Hosts | None = None
        """who can be reached over sockets"""
        self.handlers: dict[str, Callable[..., Any]] = {
            "clock.now": self._now, "clock.monotonic": self._monotonic, "log.log": self._logs
        }  # fmt: skip
        if "state" in slot.linked.component.imports:
            self.handlers |= {"state.get": self._get, "state.keys": self._keys}
        self.wasi: System | None = None
        """what it has of WASI; None for a component that imports none of it"""
        self.tasks = _NO_TASKS
        """WASI's imports that park"""
        imported = slot.linked.component.wasi_functions()
        if imported:
            self.wasi = System(
                self,
                slot.spec.name,
                slot.spec.wasi,
                imported,
                lambda purpose: streams.stream(f"wasi/{slot.name}/{purpose}"),
            )
            self.handlers.update(self.wasi.handlers)
            self.tasks = self.wasi.tasks

    def begin_with(self, before: Imports) -> None:
        """With a copy of what another one keeps on the flash."""
        self.values, self.hosts = dict(before.values), before.hosts
        if self.wasi is not None and before.wasi is not None:
            self.wasi.files.copy(before.wasi.files)

    def machine_down(self, power: bool, orderly: bool) -> None:
        """The gateway is down: what is left of its files depends on how."""
        if self.wasi is not None:
            self.wasi.machine_down(power, orderly)

    def instance_gone(self) -> None:
        """What its instance had begun to say is said."""
        if self.wasi is not None:
            self.wasi.instance_gone()
            if self.logged:
                self.flush_log()

    def reset(self) -> None:
        """The gateway has died: what its instance said in the segment under way nobody hears."""
        self._log_lines.clear()
        self._limits.clear()
        self.forget_actions()
        self.logged = False
        self.crossings = self.bytes_carried = 0

    def forget_actions(self) -> None:
        """Its instance dies before the CPU time has passed that led to them."""
        self._actions.clear()

    # ---- what WASI asks and tells ----------------------------------------------------------------
    def instant_ns(self) -> int:
        """Simulated time as the guest has it now."""
        return self.segment_start_ns + self._elapsed_ns()

    def crossed(self) -> None:
        """An import that answers at once was called."""
        self.crossings += 1
        if not self.crossings % IMPORTS_PER_LOOK:
            self._look()

    def _look(self) -> None:
        if self._elapsed_ns() > self.left_ns:
            raise GuestEnded("out-of-fuel", f"{self.crossings} imports")

    def carried(self, size_bytes: int) -> None:
        """An import that answered at once has carried so many bytes."""
        self.bytes_carried += size_bytes

    def say(self, level: str, line: str) -> None:
        """A line of its output: kept and bounded like what it logs."""
        self._log(level, line)

    def after(self, action: Callable[[], None]) -> None:
        """Something that it does outside: done when the segment's CPU time has passed."""
        self._actions.append(action)
        self.logged = True

    def limit(self, name: str, count: int) -> None:
        """It has hit a limit; told when the segment's CPU time has passed."""
        self._limits[name] = self._limits.get(name, 0) + count
        self.logged = True

    # ---- imports that answer at once -------------------------------------------------------------
    def _elapsed_ns(self) -> int:
        """Board time since the segment began: the guest's clock moves while it computes."""
        instance = self._slot.instance
        if instance is None:
            return 0  # its start code runs: no segment of a call
        profile = self._slot.meter.profile  # ``cpu_ns`` of no call and no value, written out
        fuel_ps = instance.segment_fuel() * profile.fuel_ps
        return (fuel_ps + self.crossings * profile.import_ps) // PS_PER_NS

    def _now(self) -> int:
        self.crossings += 1  # ``crossed``, written out: drivers ask in each poll
        if not self.crossings % IMPORTS_PER_LOOK:
            self._look()
        return self.machine.clock.wall(self.segment_start_ns + self._elapsed_ns())

    def _monotonic(self) -> int:
        self.crossings += 1  # likewise
        if not self.crossings % IMPORTS_PER_LOOK:
            self._look()
        return self.machine.clock.monotonic(self.segment_start_ns + self._elapsed_ns())

    def _logs(self, level: str, message: str) -> None:
        self._log(level, message)
        if not self.crossings % IMPORTS_PER_LOOK:
            self._look()

    def _log(self, level: str, message: str) -> None:
        self.crossings += 1
        self.logged = True
        at_ns = self.segment_start_ns + self._elapsed_ns()
        second = at_ns // S
        if second != self._log_second:
            self._log_second, self._log_count = second, 0
        self._log_count += 1
        if self._log_count > LOG_LINES_PER_S:
            self._log_dropped += 1
            return
        raw = message.encode()
        if len(raw) > LOG_LINE_BYTES_MAX:
            message = raw[:LOG_LINE_BYTES_MAX].decode(errors="ignore")
        self._log_lines.append((at_ns, level, message))

    def flush_log(self) -> None:
        """The segment's CPU time has passed: what it logged is now a fact."""
        self.logged = False
        for at_ns, level, text in self._log_lines:
            self.machine.trace.emit("log", self._slot.name, at_ns, level, text)
        self._log_lines.clear()
        for name, count in self._limits.items():
            self.machine.budget.breach(name)
            self._hit(name, count)
        self._limits.clear()
        if self._log_dropped:
            self._hit("log-rate", self._log_dropped)
            self._log_dropped = 0
        actions, self._actions = self._actions, []
        for act in actions:
            act()

    def _hit(self, limit: str, count: int, told: int | None = None) -> None:
        """``told``: what the trace says instead of how often."""
        slot = self._slot
        self.machine.budget.hit(slot.spec.name, slot.name, limit, count)
        self.machine.trace.emit("limit", slot.name, limit, count if told is None else told)

    def _get(self, key: str) -> bytes | None:
        self.crossed()
        return self.values.get(key)

    def _keys(self) -> list[str]:
        self.crossed()
        return sorted(self.values)

    # ---- state that is written (after the CPU time that led to it; the caller waits for the sync) ----
    def write_state(self, key: str, value: bytes) -> Result:
        """``state.set``'s result; on ok the caller parks the guest until the store has synced."""
        size = len(key.encode())
        if size > STATE_KEY_BYTES_MAX:
            return False, ("key-too-long", STATE_KEY_BYTES_MAX)
        if len(value) > STATE_VALUE_BYTES_MAX:
            return False, ("other", f"a value is at most {STATE_VALUE_BYTES_MAX} bytes")
        used = sum(len(k.encode()) + len(v) for k, v in self.values.items() if k != key)
        if used + size + len(value) > self._slot.spec.state_bytes:
            self.machine.budget.breach("state-quota")
            self._hit("state-quota", 1, used + size + len(value))
            return False, ("quota-exceeded", self._slot.spec.state_bytes)
        self.machine.journal.append((self, key, self.values.get(key)))
        self.values[key] = value
        return _OK

    def restore_state(self, key: str, before: bytes | None) -> None:
        """A change that was never synced didn't survive: the key has its value of before (None: it wasn't
        there)."""
        if before is None:
            self.values.pop(key, None)
        else:
            self.values[key] = before

    def delete_state(self, key: str) -> None:
        """``state.delete``."""
        if key in self.values:
            self.machine.journal.append((self, key, self.values.pop(key)))

"""The supervisor: brings components up, asks how they are, and decides what follows a fault: restart after
backoff, or quarantine.

Belongs here: configure, restarts, quarantine, get-status rounds, the watchdog. Never: calls on a sample's way
(pipeline.py). After any fault the store is dead: a new instance is instantiated AND configured, both charged
to the cores. A fault in configure counts like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.components.host.outcome import Cause, Fault
from twinloop.sim.accounts.latency import DRIVER, StageTimes
from twinloop.sim.gateway.call import START, call
from twinloop.sim.gateway.complaints import MESSAGE_MAX, Complaints
from twinloop.sim.gateway.rack import Rack
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.kernel.clock import Event, Steps, Task, Timer
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.machine.machine import Machine
from twinloop.sim.model.spec import RestartSpec

KICKS = 4
"""how often the watchdog is kicked in its time; a kick costs what an acknowledgement costs (ours)"""
CONFIG_VALUES = 10
"""a point-config is a record of eight fields, two of them options"""


class ConfigRefused(Exception):
    """A component refused its settings at boot: the author's mistake. ``args`` = (component name, text)."""

    def __init__(self, component: str, text: str) -> None:
        super().__init__(component, text)


class Supervisor:
    """Of one gateway. ``fault`` is where every fault ends up."""

    def __init__(
        self, machine: Machine, rack: Rack, host: Host, restart: RestartSpec, jitter: RandomStream
    ) -> None:
        self._machine = machine
        self._rack = rack
        self._host = host
        self._restart = restart
        self._jitter = jitter
        self.complaints = Complaints()
        self.faults: dict[tuple[str, str], int] = {}
        """(component, cause) -> faults"""
        self.restarts = self.quarantined = 0
        self.refused: ConfigRefused | None = None
        self.bites = 0
        """resets by the watchdog"""
        self._bite: Timer | None = None
        self.on_round: Callable[[], None] = lambda: None
        """told when it is time to ask every driver how it is"""
        self.on_bite: Callable[[], None] = lambda: None
        """told when nothing has kicked the watchdog: the machine resets"""

    def start(self, slot: Slot) -> Event:
        """Bring a slot up; the signal fires when it is ready or has failed."""
        slot.move("start")
        over = Event(self._machine.env)
        Task(self._machine.env, self._start(slot, over))
        return over

    def _start(self, slot: Slot, over: Event) -> Steps:
        yield from self._bring_up(slot, self._machine.epoch)
        over.fire()

    def _bring_up(self, slot: Slot, epoch: int) -> Steps:
        machine, generation = self._machine, slot.generation
        if machine.epoch != epoch:
            return
        cost = self._start_ns(slot)
        yield from machine.cores.hold(cost)
        if machine.epoch != epoch or slot.generation != generation or slot.state != "starting":
            return
        slot.meter.instantiate_ns += cost
        spec = slot.spec
        instance = self._host.create(slot.linked, slot.imports.handlers, spec.memory_bytes, spec.name)
        slot.adopt(instance)
        instance.memory.each_bytes = machine.budget.memories.each_bytes
        generation, slot.serving = slot.generation, True
        if not slot.history.reserved:
            self._refuse(slot, *machine.budget.memories.why_none())
            slot.release(generation)
            return
        fault = yield from call(machine, slot, START, (), 0, StageTimes(), DRIVER)
        if machine.epoch != epoch or slot.instance is not instance:
            return
        fits = slot.started()
        if not fits and slot not in self._rack.staged:
            fits = self._make_room()
        if fault is not None:
            self.fault(slot, replace(fault, message=f"in its start code: {fault.message}"))
        elif not fits:
            self.refuse_memory(slot)
        else:
            yield from self._configure(slot, instance, epoch)
        if machine.epoch == epoch:
            # whoever waited for the one before is served by this one, or told that there is none
            slot.release(generation)

    def _start_ns(self, slot: Slot) -> int:
        """What a new instance takes on this board, its start code aside."""
        budget = self._machine.budget
        again = budget.memories.again(slot.linked.component)
        price = budget.prices.instantiate_again_ns if again else budget.prices.instantiate_ns
        return budget.work_ns(price.value)

    def _configure(self, slot: Slot, instance: Instance, epoch: int) -> Steps:
        machine = self._machine
        values = CONFIG_VALUES * len(slot.settings.points) + 2 * len(slot.settings.options)
        given = (slot.settings.of(slot.linked.component.contract),)
        fault = yield from call(machine, slot, "configure", given, values, StageTimes(), DRIVER)
        if machine.epoch != epoch or slot.instance is not instance:
            return
        if fault is not None:
            self.fault(slot, fault)
            return
        result = instance.result()
        if not result.ok:
            tag, payload = result.value
            spoken = dict(slot.settings.options).get("protocol")
            why = f" (it doesn't speak {spoken})" if (tag, payload) == ("bad-option", "protocol") else ""
            refusal = ConfigRefused(
                slot.spec.name, f"{slot.name} refused its settings: {tag} {payload!r}{why}"
            )
            self.refused = self.refused or refusal
            self.fault(slot, instance.kill(Cause.CONTRACT, f"configure: {tag} {payload!r}"))
            return
        instance.host.memory.share(instance.memory, slot.linked.component.sha256)
        slot.move("ready")

    def fault_now(self, slot: Slot, cause: Cause, message: str) -> None:
        """The instance broke its contract in a finished call."""
        if slot.instance is not None and slot.state == "ready":
            self.fault(slot, slot.instance.kill(cause, message))

    def fault(self, slot: Slot, fault: Fault, generation: int | None = None) -> None:
        """A component call ended in a fault: its instance is dead. ``generation``: of the instance that was
        called; one that has been replaced since is no news."""
        machine, restart = self._machine, self._restart
        if slot.state not in ("ready", "starting") or generation not in (None, slot.generation):
            return
        key = slot.spec.name, fault.cause.value
        self.faults[key] = self.faults.get(key, 0) + 1
        slot.meter.faults[fault.cause.value] = slot.meter.faults.get(fault.cause.value, 0) + 1
        self.complaints.fault(machine.env.now, slot, fault)
        machine.trace.emit(
            "fault", slot.name, fault.cause.value, fault.message[:MESSAGE_MAX], fault.fuel_used
        )
        slot.move("fault", fault.cause.value)
        slot.drop()
        if slot in self._rack.staged:  # it serves nobody: who needs it again starts it
            self.stop(slot)
            return
        now = machine.env.now
        slot.history.faults.append(now)
        while slot.history.faults and slot.history.faults[0] <= now - restart.window_ns:
            slot.history.faults.pop(0)
        if len(slot.history.faults) >= restart.faults:
            slot.move("quarantine", f"{restart.faults} faults")
            self.quarantined += 1
            return
        slot.history.backoff_ns = (
            restart.first_ns
            if len(slot.history.faults) == 1
            else min(2 * slot.history.backoff_ns, restart.max_ns)
        )
        wait_ns = slot.history.backoff_ns + self._jitter.spread(int(slot.history.backoff_ns * restart.jitter))
        machine.env.call_in(wait_ns, self._again, slot, machine.epoch)

    def answered_error(self, slot: Slot, device: str) -> Any:
        """A component's finished call has answered with this error of its own; of the bus it is no news."""
        assert slot.instance is not None
        error = slot.instance.result().value
        if error[0] != "bus":
            self.complaints.error(self._machine.env.now, slot, device, error)
        return error

    def _again(self, slot: Slot, epoch: int) -> None:
        if slot.state == "backoff" and self._machine.epoch == epoch:
            self.restarts += 1
            self.start(slot)

    # ---- how are they? ---------------------------------------------------------------------------
    def booted(self) -> None:
        """The gateway is up: its rounds and its watchdog begin."""
        machine, restart = self._machine, self._restart
        if restart.status_ns is not None:
            machine.env.call_in(restart.status_ns, self._round, machine.epoch, restart.status_ns)
        if restart.watchdog_ns is not None:
            self._kicked(machine.epoch, restart.watchdog_ns)

    def _round(self, epoch: int, every_ns: int) -> None:
        machine = self._machine
        if machine.epoch != epoch:
            return
        self.on_round()
        machine.env.call_in(every_ns, self._round, epoch, every_ns)

    def said(self, slot: Slot, status: Any) -> None:
        """What a driver says of itself: a change is an event, ``failed`` is a fault."""
        if status.health != slot.health:
            slot.health = status.health
            self._machine.trace.emit("status", slot.name, status.health, status.polls, status.errors)
        if status.health == "failed" and slot.instance is not None and slot.state == "ready":
            self.fault(slot, slot.instance.kill(Cause.UNHEALTHY, f"get-status: {status.detail}"))

    def _kick(self, epoch: int, within_ns: int) -> None:
        """A kick is work like any other: it needs a core, and waits for one behind whoever hogs them."""
        machine = self._machine
        if machine.epoch == epoch and machine.state == "up":
            machine.cores.work(machine.budget.host("ack"), self._kicked, epoch, within_ns)

    def _kicked(self, epoch: int, within_ns: int) -> None:
        machine = self._machine
        if self._bite is not None:
            self._bite.cancel()
        self._bite = machine.env.call_in(within_ns, self._bites, epoch)
        machine.env.call_in(within_ns // KICKS, self._kick, epoch, within_ns)

    def _bites(self, epoch: int) -> None:
        machine = self._machine
        if machine.epoch != epoch or machine.state != "up":
            return
        self.bites += 1
        machine.budget.breach("watchdog")
        machine.trace.emit("breach", machine.index, "watchdog", "")
        self.on_bite()
        machine.on_event(f"restart {machine.name}")

    # ---- the end of an instance ------------------------------------------------------------------
    def refuse_memory(self, slot: Slot) -> None:
        """There is no RAM for this instance: it dies, and that is an event."""
        self._refuse(slot, "memory", "the board has no RAM left for it")

    def _refuse(self, slot: Slot, budget: str, message: str) -> None:
        machine = self._machine
        machine.budget.breach(budget)
        machine.trace.emit("breach", machine.index, budget, slot.name)
        assert slot.instance is not None
        self.fault(slot, slot.instance.kill(Cause.MEMORY_LIMIT, message))

    def _make_room(self) -> bool:
        """One that serves needs RAM: those of an upgrade that don't serve go first, as many as needed. Is
        there enough then?"""
        machine = self._machine
        budget = machine.budget
        while budget.memory_bytes > budget.limit_bytes and any(
            slot.instance is not None for slot in self._rack.staged
        ):
            self._kill_largest([slot for slot in self._rack.staged if slot.instance is not None])
        return budget.memory_bytes <= budget.limit_bytes

    def _kill_largest(self, living: list[Slot]) -> None:
        self.refuse_memory(max(enumerate(living), key=lambda one: (one[1].held_bytes(), one[0]))[1])

    def relieve_memory(self) -> None:
        """Instances need more RAM than there is: of those that don't serve (an upgrade's), then of all, the
        largest goes first, of equal ones the youngest; until the rest fits."""
        while not self._make_room():
            living = [slot for slot in self._rack.slots if slot.instance is not None]
            if not living:
                return
            self._kill_largest(living)

    def stop(self, slot: Slot) -> None:
        """The gateway goes down, and with it the instance."""
        slot.drop()
        slot.reset()
        if slot.state != "down":
            slot.move("stop")

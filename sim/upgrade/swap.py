"""A swap: new instances beside the old ones, put in their place between two calls, and back.

Belongs here: slots changing places. Never: when (upgrades.py) or why (trial.py).
A slot changes places by name: pipelines look up their transform, policy and driver at each call, so that who
waits for the old instance is served by it, and the next one asks the new one. Who doesn't serve isn't
restarted when it dies; what takes a place that needs an instance and has none is started there. A place that
is down (a cold standby's) stays so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twinloop.components.host.component import Component, Linked
from twinloop.components.releases.registry import Version
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.gateway.poller import Poller
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.kernel.clock import Event, Steps, Task
from twinloop.sim.model.spec import ComponentSpec


class Swap:
    """All slots of one component on a gateway. ``old`` and ``new`` by place; ``pollers``: whose polls depend
    on them."""

    def __init__(
        self, gateway: Gateway, old: ComponentSpec, component: Component, linked: Linked, version: Version
    ) -> None:
        self._gateway = gateway
        spec = replace(old, component=component, version=version)
        self.old = [slot for slot in gateway.rack.slots if slot.spec.name == old.name]
        self.new = [slot.sibling(f"{slot.name}@{version}", spec, linked) for slot in self.old]
        self._snapshots = [dict(slot.imports.values) for slot in self.old]
        self._own_names = [slot.name for slot in self.old]
        of_slot = {id(poller.slot): poller for poller in gateway.pollers}
        self._poller_of = [of_slot.get(id(slot)) for slot in self.old]
        self.pollers: list[Poller] = [poller for poller in self._poller_of if poller is not None] or list(
            gateway.pollers
        )
        self.fault = ""
        """what a new instance died of before the swap, in words"""
        self._fault_cause = ""
        self.on_fault: Callable[[str], None] | None = None
        """told of the cause of each fault of a new instance since the swap began"""
        self.faults = 0
        self.last_fault = ""
        self.swapped = False
        self._returning: list[Event] = []
        self._dark_since: dict[int, int] = {}
        self._dark_ns: dict[int, int] = {}
        gateway.rack.staged += self.new

    # ---- beside ----------------------------------------------------------------------------------
    def start(self, place: int) -> Event:
        """Bring one of them up; the signal fires when it is ready or has failed."""
        self._watch(place)
        return self._gateway.supervisor.start(self.new[place])

    def _watch(self, place: int) -> None:
        self.new[place].on_move = lambda state, cause: self._new_moved(place, state, cause)
        self.old[place].on_move = lambda state, cause: self._old_moved(place, state)

    def _new_moved(self, place: int, state: str, cause: str) -> None:
        """A new instance has come into another state."""
        slot = self.new[place]
        if state == "backoff" and self.swapped:
            self.faults, self.last_fault = self.faults + 1, cause
            if self.on_fault is not None:
                self.on_fault(cause)
        elif state == "backoff" and not self.fault:
            self.fault, self._fault_cause = f"{self._own_names[place]}: {cause}", cause
        if self.swapped and slot in self._gateway.rack.slots:
            self._see(place, state)

    def _old_moved(self, place: int, state: str) -> None:
        if self.swapped and self.old[place] in self._gateway.rack.slots:
            self._see(place, state)

    def cause(self) -> str:
        """The cause for an upgrade of what a new instance died of."""
        return {"memory-limit": "memory", "contract": "configure"}.get(self._fault_cause, self._fault_cause)

    # ---- forth and back --------------------------------------------------------------------------
    def forth(self) -> Event:
        """Put the new ones in their places, each between two calls; the signal fires when all are there."""
        self.swapped = True
        return self._change(self.old, self.new, self._hand_over)

    def back(self) -> Steps:
        """The old ones serve again; over when all are in their places, and those that had to be started are
        ready or have failed."""
        yield self._change(self.new, self.old, None)
        yield from self._returning

    def _change(self, leaving: list[Slot], coming: list[Slot], before: Callable[[int], None] | None) -> Event:
        over, left = Event(self._gateway.machine.env), [len(leaving)]

        def change(place: int) -> None:
            if before is not None:
                before(place)
            if coming[place] not in self._gateway.rack.slots:  # going back, some may never have left
                self._place(place, leaving[place], coming[place])
            left[0] -= 1
            if not left[0]:
                self._gateway.machine.env.call_in(0, over.fire)

        for place in range(len(leaving)):
            poller = self._poller_of[place]
            if poller is None:
                change(place)
            else:
                poller.between(lambda place=place: change(place))  # type: ignore[misc]
        return over

    def _hand_over(self, place: int) -> None:
        """``state`` as the old one has it now: what it wrote since the copy was made goes over what the new
        one made of the copy."""
        old, new, seen = self.old[place], self.new[place], self._snapshots[place]
        for key, value in old.imports.values.items():
            if seen.get(key) != value:
                new.imports.values[key] = value
        for key in seen:
            if key not in old.imports.values:
                new.imports.values.pop(key, None)

    def _place(self, place: int, leaving: Slot, coming: Slot, alive: bool = True) -> None:
        gateway, name = self._gateway, self._own_names[place]
        leaving.name, coming.name = f"{name}@{leaving.spec.version}", name
        spec = coming.spec
        coming.meter = gateway.machine.budget.meter(
            spec.name, spec.component.sha256
        )  # whose price may differ
        coming.reprice()
        gateway.rack.slots[gateway.rack.slots.index(leaving)] = coming
        gateway.rack.staged[gateway.rack.staged.index(coming)] = leaving
        if gateway.rack.transform is leaving:
            gateway.rack.transform = coming
        if gateway.rack.policy is leaving:
            gateway.rack.policy = coming
        poller = self._poller_of[place]
        if poller is not None:
            poller.slot = coming
            leaving.on_drop, coming.on_drop = None, poller.port.abandon
            leaving.on_ready, coming.on_ready = None, leaving.on_ready
            poller.port.reset()  # a connection with a half-read answer is nothing to inherit
        gateway.machine.trace.emit("swap", gateway.index, name, str(coming.spec.version))
        if alive:
            self._serve(place, coming, down=leaving.state == "down" and leaving not in self.new)

    def _serve(self, place: int, coming: Slot, down: bool) -> None:
        """What has come into a place serves there, if the place is in use."""
        supervisor = self._gateway.supervisor
        if down or (coming.state == "down" and self._stands_by_cold()):
            supervisor.stop(coming)
            return
        if coming.state in ("backoff", "quarantined"):
            supervisor.stop(coming)
        if coming.state == "down":
            self._returning.append(supervisor.start(coming))
        self._see(place, coming.state)

    def _stands_by_cold(self) -> bool:
        return self._gateway.member.stands_by_cold

    def back_at_once(self) -> None:
        """The gateway has died: the old ones are in their places again, down like all."""
        for place, new in enumerate(self.new):
            if new in self._gateway.rack.slots:
                self._place(place, new, self.old[place], alive=False)

    def retire(self, slots: list[Slot]) -> None:
        """These serve no more: each goes when whoever waits for it has been served."""
        for slot in slots:
            slot.on_move = None
            if slot in self._gateway.rack.staged:
                Task(self._gateway.machine.env, self._retire(slot, self._gateway.machine.epoch))

    def _retire(self, slot: Slot, epoch: int) -> Steps:
        gateway = self._gateway
        if slot.serving and slot.state == "ready":
            yield slot.wait()
        if gateway.machine.epoch == epoch and slot in gateway.rack.staged:
            gateway.rack.staged.remove(slot)
            gateway.supervisor.stop(slot)

    # ---- who can't serve -------------------------------------------------------------------------
    def _see(self, place: int, state: str) -> None:
        now = self._gateway.machine.env.now
        if state == "ready":
            if place in self._dark_since:
                self._dark_ns[place] = self._dark_ns.get(place, 0) + now - self._dark_since.pop(place)
        elif state != "down" and not self._stands_by_cold():
            self._dark_since.setdefault(place, now)

    def dark(self) -> str:
        """The first new instance that should serve and can't, in words; empty when all can."""
        for slot in self.new:
            if slot.state in ("backoff", "quarantined"):
                return f"{slot.name} is {slot.state}"
        return ""

    def downtime_ns(self) -> int | None:
        """The longest that one of its places had no instance that was ready, since the swap; None when there
        was none."""
        if not self.swapped:
            return None
        for place in list(self._dark_since):
            self._see(place, "ready")
        return max(self._dark_ns.values(), default=0)

    def forget(self) -> None:
        """Nobody watches any more."""
        for slot in [*self.old, *self.new]:
            slot.on_move = None

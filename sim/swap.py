"""A swap: new instances beside the old ones, put in their place between two calls, and back.

Belongs here: slots changing places. Never: when (ota.py) or why (trial.py).
A slot changes places by name: pipelines look up their transform, policy and driver at each call, so that who waits for the old
instance is served by it, and the next one asks the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from components.component import Component
from components.host import Linked
from components.registry import Version
from sim.clock import Signal, Steps, Task
from sim.slot import Slot
from sim.spec import ComponentSpec

if TYPE_CHECKING:
    from sim.gateway import Gateway
    from sim.poller import Poller


class Swap:
    """All slots of one component on a gateway. ``old`` and ``new`` by place; ``pollers``: whose polls depend on them."""

    def __init__(self, gateway: Gateway, old: ComponentSpec, component: Component, linked: Linked, version: Version) -> None:
        self._gateway = gateway
        spec = replace(old, component=component, version=version)
        self.old = [slot for slot in gateway.slots if slot.spec.name == old.name]
        self.new = [slot.sibling(f"{slot.name}@{version}", spec, linked) for slot in self.old]
        self._snapshots = [dict(slot.values) for slot in self.old]
        self._own_names = [slot.name for slot in self.old]
        self._down = [slot.state == "down" for slot in self.old]
        """a cold standby's: they stay down"""
        of_slot = {id(poller.slot): poller for poller in gateway.pollers}
        self._poller_of = [of_slot.get(id(slot)) for slot in self.old]
        self.pollers: list[Poller] = [poller for poller in self._poller_of if poller is not None] or list(gateway.pollers)
        self.fault: str | None = None
        """what a new instance died of before the swap, in words"""
        self._fault_cause = ""
        self.on_fault: Callable[[str], None] | None = None
        """told of the cause of each fault of a new instance that serves"""
        self.swapped = False
        self._dark_since: dict[int, int] = {}
        self._dark_ns: dict[int, int] = {}
        gateway.beside += self.new

    # ---- beside -------------------------------------------------------------------------------------------------
    def start(self, place: int) -> Signal:
        """Bring one of them up; the signal fires when it is ready or has failed."""
        self.new[place].on_move = lambda state, cause: self._moved(place, state, cause)
        return self._gateway.supervisor.start(self.new[place])

    def _moved(self, place: int, state: str, cause: str) -> None:
        """A new instance has come into another state."""
        in_place = self.new[place] in self._gateway.slots
        if state == "backoff" and not in_place and self.fault is None:
            self.fault, self._fault_cause = f"{self._own_names[place]}: {cause}", cause
        if in_place:
            self._see(place, state)
            if state == "backoff" and self.on_fault is not None:
                self.on_fault(cause)

    def cause(self) -> str:
        """The cause for an upgrade of what a new instance died of."""
        return {"memory-limit": "memory", "contract": "configure"}.get(self._fault_cause, self._fault_cause)

    # ---- forth and back -----------------------------------------------------------------------------------------
    def forth(self) -> Signal:
        """Put the new ones in their places, each between two calls; the signal fires when all are there."""
        self.swapped = True
        return self._change(self.old, self.new, self._hand_over)

    def back(self) -> Signal:
        """The old ones serve again."""
        return self._change(self.new, self.old, None)

    def _change(self, leaving: list[Slot], coming: list[Slot], before: Callable[[int], None] | None) -> Signal:
        over, left = Signal(self._gateway.env), [len(leaving)]

        def change(place: int) -> None:
            if before is not None:
                before(place)
            self._place(place, leaving[place], coming[place])
            left[0] -= 1
            if not left[0]:
                self._gateway.env.call_in(0, over.fire)

        for place in range(len(leaving)):
            poller = self._poller_of[place]
            if poller is None:
                change(place)
            else:
                poller.between(lambda place=place: change(place))  # type: ignore[misc]
        return over

    def _hand_over(self, place: int) -> None:
        """``state`` as the old one has it now: what it wrote since the copy was made goes over what the new one made of the copy."""
        old, new, seen = self.old[place], self.new[place], self._snapshots[place]
        for key, value in old.values.items():
            if seen.get(key) != value:
                new.values[key] = value
        for key in seen:
            if key not in old.values:
                new.values.pop(key, None)

    def _place(self, place: int, leaving: Slot, coming: Slot) -> None:
        gateway, name = self._gateway, self._own_names[place]
        version = leaving.spec.version
        leaving.name, coming.name = f"{name}@{version}", name
        gateway.slots[gateway.slots.index(leaving)] = coming
        gateway.beside[gateway.beside.index(coming)] = leaving
        if gateway.transform is leaving:
            gateway.transform = coming
        if gateway.policy is leaving:
            gateway.policy = coming
        poller = self._poller_of[place]
        if poller is not None:
            poller.slot = coming
            leaving.on_drop, coming.on_drop = None, poller.port.abandon
            poller.port.reset()  # a connection with a half-read answer is nothing to inherit
        gateway.trace.emit("swap", gateway.index, name, str(coming.spec.version))
        if self._down[place]:
            gateway.supervisor.stop(coming)
        else:
            self._see(place, coming.state)

    def back_at_once(self) -> None:
        """The gateway has died: the old ones are in their places again, down like all."""
        for place, new in enumerate(self.new):
            if new in self._gateway.slots:
                self._place(place, new, self.old[place])

    def retire(self, slots: list[Slot]) -> None:
        """These serve no more: each goes when whoever waits for it has been served."""
        for slot in slots:
            slot.on_move = None
            if slot in self._gateway.beside:
                Task(self._gateway.env, self._retire(slot, self._gateway.epoch))

    def _retire(self, slot: Slot, epoch: int) -> Steps:
        gateway = self._gateway
        if slot.serving:
            yield slot.wait()
        if gateway.epoch == epoch and slot in gateway.beside:
            gateway.beside.remove(slot)
            gateway.supervisor.stop(slot)

    # ---- downtime -----------------------------------------------------------------------------------------------
    def _see(self, place: int, state: str) -> None:
        now = self._gateway.env._now
        if state != "ready":
            self._dark_since.setdefault(place, now)
        elif place in self._dark_since:
            self._dark_ns[place] = self._dark_ns.get(place, 0) + now - self._dark_since.pop(place)

    def downtime_ns(self) -> int | None:
        """The longest that one of its places had no instance that was ready, since the swap; None when there was none."""
        if not self.swapped:
            return None
        for place in list(self._dark_since):
            self._see(place, "ready")
        return max(self._dark_ns.values(), default=0)

    def forget(self) -> None:
        """Nobody watches any more."""
        for slot in [*self.old, *self.new]:
            slot.on_move = None

"""Runs with upgrades, and what tests of them ask: which steps, which version in the end, does everything
work.

Belongs here: building and watching. Never: assertions about one upgrade.
"""

from __future__ import annotations

from typing import Any

from tests.plants import WASM, plant, upgradable
from tests.sim.test_world import conserved
from twinloop.components.host.host import Host
from twinloop.components.releases.registry import Registry, Version
from twinloop.scenarios.file.load import LIBRARY
from twinloop.sim.cloud.orders import ENDS, Upgrade
from twinloop.sim.kernel.clock import S
from twinloop.sim.model.spec import Action, OfferSpec, WorldSpec
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World

ROUTE = (WASM / "route.wasm").read_bytes()
SHIPPED = Registry(LIBRARY / "registry")
STEPS = [
    "ordered",
    "waiting",
    "checking",
    "fetching",
    "verifying",
    "writing",
    "preparing",
    "swapping",
    "trial",
    "committing",
    "done",
]


class Run:
    """A run with the records of its upgrades."""

    def __init__(self, spec: WorldSpec, host: Host) -> None:
        self.records: list[Any] = []
        self.world = world = World(spec, host)
        self.slots = {slot.name: slot for slot in world.gateways[0].rack.slots}
        """as they were at the beginning"""
        world.trace.sinks.append(
            lambda records: self.records.extend(
                r for r in records if r[1] in ("upgrade", "swap", "limit", "component", "gateway", "end")
            )
        )
        try:
            world.run()
            self.final = {slot.name: slot for slot in world.gateways[0].rack.slots}
            self.states = {slot.name: slot.state for slot in world.gateways[0].rack.slots}
            self.memory = {slot.name: slot.held_bytes() for slot in world.gateways[0].rack.slots}
            self.beside = list(world.gateways[0].rack.staged)
            self.memory_bytes = world.gateways[0].machine.budget.memory_bytes
        finally:
            world.close()
        conserved(world)
        self.orders = world.rollout.orders
        assert all(one.state in ENDS for one in self.orders)

    @property
    def order(self) -> Upgrade:
        (only,) = self.orders
        return only

    def at(self, state: str, number: int = 0) -> int:
        return [r[0] for r in self.records if r[1] == "upgrade" and r[5] == state][number]

    def versions(self) -> dict[str, str]:
        return {name: str(slot.spec.version) for name, slot in self.final.items()}

    def works(self) -> bool:
        """Everything is ready, and what was due in the last second was delivered."""
        spec = self.world.spec
        late = [
            r
            for r in self.records
            if r[1] == "end"
            and spec.devices[r[2]].phase_ns + r[3] * spec.devices[r[2]].poll_ns >= spec.duration_ns - S
        ]
        delivered = bool(late) and all(r[5] == "delivered" for r in late)
        return delivered and set(self.states.values()) == {"ready"} and not self.beside


def order(t_s: float, component: str, version: str, gateway: str = "gw") -> Action:
    return act(int(t_s * S), "upgrade", f"{gateway}/{component}", version=version)


def small(
    host: Host,
    *timeline: Action,
    offers: tuple[OfferSpec, ...] = (),
    upgrade: dict[str, Any] | None = None,
    **changes: Any,
) -> WorldSpec:
    spec = plant(host, **{"count": 5, "duration_ns": 10 * S, "timeline": timeline, **changes})
    return upgradable(spec, *offers, **(upgrade or {}))


def shipped(name: str, version: str) -> OfferSpec:
    return OfferSpec(*SHIPPED.read(name, Version.parse(version)))

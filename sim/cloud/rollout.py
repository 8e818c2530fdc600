"""The cloud's side of upgrades: what was ordered when, of which release, and what became of each order.

Belongs here: orders of a world. Never: what a gateway does with one (upgrades.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinloop.sim.upgrade.upgrades import ENDS, Upgrade

if TYPE_CHECKING:
    from twinloop.sim.world import World


class Rollout:
    """Of one world. ``orders`` in the order of their issue: each ends in exactly one of sim.ota.ENDS."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.orders: list[Upgrade] = []
        self._releases = {(offer.release.name, str(offer.release.version)): offer.release for offer in world.spec.offers}
        world.cloud.shelf.bytes_of.update(((offer.release.name, str(offer.release.version)), offer.data) for offer in world.spec.offers)

    def order(self, target: str, version: str) -> None:
        """Order ``gateway/component`` to take a version; it waits for a session like any command."""
        name, _, component = target.partition("/")
        world = self._world
        gateway = world.gateway_of_name[name]
        upgrade = Upgrade(len(self.orders) + 1, name, component, self._releases[component, version], world.env._now)
        self.orders.append(upgrade)
        world.trace.emit("upgrade", gateway.index, component, version, "ordered", "")
        if not world.cloud.command(gateway.index, upgrade):
            gateway.upgrades.move(upgrade, "refuse", "limit")

    def under_way(self) -> bool:
        """Is there an order that has not ended?"""
        return any(upgrade.state not in ENDS for upgrade in self.orders)

    def finish(self) -> None:
        """The run is over: what has not ended is unfinished."""
        for gateway in self._world.gateways:
            gateway.upgrades.finish()
        for upgrade in self.orders:
            if upgrade.state not in ENDS:
                self._world.gateway_of_name[upgrade.gateway].upgrades.move(upgrade, "end-of-run", "end-of-run")

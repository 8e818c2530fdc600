"""The cloud's side of upgrades: what was ordered when, of which release, and what became of each order.

Belongs here: orders of a world. Never: what a gateway does with one (upgrades.py).
"""

from __future__ import annotations

from twinloop.sim.cloud.cloud import Cloud
from twinloop.sim.cloud.orders import ENDS, Upgrade
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.clock import Environment
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.model.spec import OfferSpec


class Rollout:
    """Of one world. ``orders`` in the order of their issue: each ends in exactly one of ENDS."""

    def __init__(
        self,
        env: Environment,
        trace: Trace,
        cloud: Cloud,
        gateways: dict[str, Gateway],
        offers: tuple[OfferSpec, ...],
    ) -> None:
        self._env, self._trace, self._cloud, self._gateways = env, trace, cloud, gateways
        self.orders: list[Upgrade] = []
        self._releases = {(offer.release.name, str(offer.release.version)): offer.release for offer in offers}
        cloud.release_store.bytes_of.update(
            ((offer.release.name, str(offer.release.version)), offer.data) for offer in offers
        )

    def order(self, target: str, version: str) -> None:
        """Order ``gateway/component`` to take a version; it waits for a session like any command."""
        name, _, component = target.partition("/")
        gateway = self._gateways[name]
        upgrade = Upgrade(
            len(self.orders) + 1, name, component, self._releases[component, version], self._env.now
        )
        self.orders.append(upgrade)
        self._trace.emit("upgrade", gateway.index, component, version, "ordered", "")
        if not self._cloud.command(gateway.index, upgrade):
            gateway.upgrades.move(upgrade, "refuse", "limit")

    def under_way(self) -> bool:
        """Is there an order that has not ended?"""
        return any(upgrade.state not in ENDS for upgrade in self.orders)

    def finish(self) -> None:
        """The run is over: what has not ended is unfinished."""
        for gateway in self._gateways.values():
            gateway.upgrades.finish()
        for upgrade in self.orders:
            if upgrade.state not in ENDS:
                self._gateways[upgrade.gateway].upgrades.move(upgrade, "end-of-run", "end-of-run")

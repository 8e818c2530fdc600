"""Is the plant as it should be? What isn't, by name: the difference between "it will come back" and "it
hangs".

Belongs here: looking at a world. Never: bounds or verdicts (scenarios/judging/thresholds.py) or what ends
trouble (timeline.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.clock import Environment
from twinloop.sim.network.link import Link
from twinloop.sim.redundancy.pair import Pair

LOOK_EVERY_NS = 100_000_000
"""how often somebody who waits for it looks: what is measured is late by up to this"""
HANGS_NS = 10_000_000_000
"""beyond a call's deadline: nothing that a poll waits for takes that long"""


class Seen(Protocol):
    """The world that is looked at."""

    env: Environment
    links: dict[str, Link]

    @property
    def pairs(self) -> Sequence[Pair]:
        """Of gateways."""
        ...


def stuck(world: Seen, gateways: Sequence[Gateway]) -> list[str]:
    """What is not (yet) as it should be: gateways that aren't up, components that aren't ready, uplinks
    without a session, stores that aren't drained, links that are still cut or degraded, pairs without exactly
    one leader. Empty: all has come back."""
    found: list[str] = []
    links: dict[str, None] = {}
    for gateway in gateways:
        links.setdefault(gateway.spec.uplink.link)
        for poller in gateway.pollers:
            links.setdefault(poller.spec.link)
        if gateway.state != "up":
            found.append(f"gateway {gateway.name} is {gateway.state}")
            continue
        cold = gateway.member.stands_by_cold
        found += [
            f"{slot.name} is {slot.state}"
            for slot in gateway.rack.slots
            if slot.state != "ready" and not (cold and slot.state == "down")
        ]
        now = world.env.now
        found += [
            f"the poll of {p.name} hangs"
            for p in gateway.pollers
            if p.row is not None and now - p.row.due_ns > p.slot.deadline_ns + HANGS_NS
        ]
        if gateway.outbox.uplink.state != "up":
            found.append(f"the uplink of {gateway.name} is {gateway.outbox.uplink.state}")
        if gateway.upgrades.current is not None:
            found.append(
                f"the upgrade of {gateway.upgrades.current.target} is {gateway.upgrades.current.state}"
            )
        if gateway.outbox.backlog:
            waits = "message waits" if gateway.outbox.backlog == 1 else "messages wait"
            found.append(f"{gateway.outbox.backlog} {waits} in the store of {gateway.name}")
    for pair in world.pairs:
        if any(member.gateway in gateways for member in pair.members):
            links.setdefault(pair.link.name)
            if len(pair.leaders) != 1:
                found.append(f"of {' and '.join(pair.names)} {'both lead' if pair.leaders else 'none leads'}")
    return found + [f"link {name} is cut or degraded" for name in links if world.links[name].troubled]

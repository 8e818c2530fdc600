"""Runs of a pair, and what tests of them ask: how each point ended, when it was due, what the roles were.

Belongs here: building and watching. Never: assertions about one takeover.
"""

from __future__ import annotations

from typing import Any

from tests.plants import plant
from tests.sim.test_world import conserved
from twinloop.components.host.host import Host
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import S
from twinloop.sim.model.spec import Action, WorldSpec
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World


class Seen:
    """A run with what it wrote down: how every point ended, and the records of pairs."""

    def __init__(self, spec: WorldSpec, host: Host) -> None:
        self.ends: dict[tuple[int, int, int], tuple[End, str]] = {}
        self.due_ns: dict[tuple[int, int], int] = {}
        self.records: list[Any] = []
        self.at_crash: dict[tuple[int, int, int], None] = {}
        """points that were open and in no store when the gateway crashed"""
        self.world = world = World(spec, host)
        world.trace.sinks.append(
            lambda records: self.records.extend(
                r for r in records if r[1] in ("role", "failover", "handover", "limit")
            )
        )
        told = world.ledger.on_end
        assert told is not None

        def ended(row: Any, mask: int, end: End, cause: str) -> None:
            self.due_ns[row.device, row.k] = row.due_ns
            self.ends.update({(row.device, row.k, bit): (end, cause) for bit in bits(mask)})
            told(row, mask, end, cause)

        world.ledger.on_end = ended
        crash = world.gateways[0].crash

        def crashed(power: bool = True) -> None:
            self._look()
            crash(power)

        world.gateways[0].crash = crashed  # type: ignore[method-assign]
        try:
            world.run()
        finally:
            world.close()
        conserved(world)
        self.pair = world.pairs[0]

    def _look(self) -> None:
        store = self.world.gateways[0].outbox.store
        stored = {
            (m.row.device, m.row.k, bit): None
            for m in (store.messages() if store is not None else [])
            for bit in bits(m.mask)
        }
        for (device, k), row in self.world.ledger.rows.items():
            self.at_crash.update(
                {(device, k, bit): None for bit in bits(row.open) if (device, k, bit) not in stored}
            )

    def ended_as(self, *ends: End) -> set[tuple[int, int, int]]:
        return {point for point, (end, _) in self.ends.items() if end in ends}

    def due_in(self, first_ns: int, last_ns: int) -> set[tuple[int, int, int]]:
        return {point for point in self.ends if first_ns <= self.due_ns[point[:2]] <= last_ns}

    def roles(self, gateway: int) -> list[str]:
        return [record[3] for record in self.records if record[1] == "role" and record[2] == gateway]


def bits(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def at(t_s: float, verb: str, target: str, for_s: float | None = None, **keys: Any) -> Action:
    return act(int(t_s * S), verb, target, None if for_s is None else int((t_s + for_s) * S), **keys)


def small(host: Host, *timeline: Action, **changes: Any) -> WorldSpec:
    return plant(host, **{"count": 10, "duration_ns": 15 * S, "timeline": timeline, **changes})

"""A release on its way down the uplink: asked for block by block, several ahead, and again where a lost
session left off.

Belongs here: what is asked for. Never: whether the bytes are right (upgrades.py), what the cloud keeps
(sim/cloud/releases.py).
"""

from __future__ import annotations

from twinloop.sim.cloud.releases import BLOCK_BYTES, BlockRequest, ReleaseBlock
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.clock import Event

BLOCKS_AHEAD = 8
"""asked for and not here yet: 128 KiB, what 10 Mbit/s carries in 100 ms"""


class Fetch:
    """One download. ``over`` fires with a cause; empty when all is here, or all that the registry has."""

    def __init__(
        self, *, gateway: Gateway, upgrade: int, name: str, version: str, size_bytes: int, limit_ns: int
    ) -> None:
        self._gateway, self._upgrade, self._name, self._version = gateway, upgrade, name, version
        self._size_bytes = size_bytes
        self._blocks: dict[int, bytes] = {}
        self._asked = 0
        self._end = size_bytes
        """where the registry's bytes end, as far as is known"""
        self.done = Event(gateway.machine.env)
        self.finished = False
        self.restarts = 0
        """how often a session was lost in between"""
        gateway.machine.env.call_in(limit_ns, self._too_long, limit_ns)

    def begin(self) -> None:
        """Ask for what isn't here: at the start, and after each new session."""
        self.restarts += bool(self._asked)
        self._asked = 0
        self._ask()

    def _ask(self) -> None:
        """Ask for what comes next, as far ahead as may be."""
        ahead = BLOCK_BYTES * (len(self._blocks) + BLOCKS_AHEAD)
        while self._asked < min(ahead, self._size_bytes) and self._gateway.outbox.uplink.state == "up":
            if self._asked not in self._blocks:
                self._gateway.outbox.uplink.tell(
                    BlockRequest(self._upgrade, self._name, self._version, self._asked)
                )
            self._asked += BLOCK_BYTES

    def arrived(self, block: ReleaseBlock) -> None:
        """A block is here."""
        if self.finished or block.upgrade != self._upgrade or block.offset in self._blocks:
            return
        self._blocks[block.offset] = block.data
        if len(block.data) < BLOCK_BYTES:
            self._end = min(self._end, block.offset + len(block.data))
        if all(offset in self._blocks for offset in range(0, self._end, BLOCK_BYTES)):
            self._finish("")
        else:
            self._ask()

    def data(self) -> bytes:
        """What has come."""
        return b"".join(self._blocks[offset] for offset in sorted(self._blocks))

    def _too_long(self, limit_ns: int) -> None:
        if not self.finished:
            self._gateway.machine.trace.emit("limit", self._gateway.index, "fetch", limit_ns)
            self._finish("fetch-timeout")

    def _finish(self, cause: str) -> None:
        self.finished = True
        self.done.fire(cause)

    def stop(self) -> None:
        """The gateway is gone."""
        self.finished = True

"""The cloud's end: takes messages, acknowledges, counts what came twice or out of order, sends commands down.

Belongs here: the other end of every uplink. Never: a gateway's belief (uplink.py). A sample is delivered at
the instant at which the cloud accepts it, whatever becomes of the acknowledgement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twinloop.sim.accounts.latency import Latencies
from twinloop.sim.accounts.ledger import Ledger
from twinloop.sim.cloud.leases import Leases
from twinloop.sim.cloud.messages import Command, Message
from twinloop.sim.cloud.releases import ReleaseStore
from twinloop.sim.kernel.clock import Environment
from twinloop.sim.kernel.trace import Trace

Order = Any
"""what the broker keeps for a gateway: a Command, or an Upgrade"""
COMMANDS_MAX = 1000
"""commands that wait in the broker for one gateway's session; more are refused (cause ``limit``)"""


class Cloud:
    """One cloud for all gateways."""

    def __init__(
        self,
        *,
        env: Environment,
        ledger: Ledger,
        latencies: Latencies,
        trace: Trace,
        devices: int,
        gateways: int,
    ) -> None:
        self._env, self._ledger, self._latencies, self._trace = env, ledger, latencies, trace
        self._highest = [-1] * devices
        self._sessions: list[Callable[[Order], None] | None] = [None] * gateways
        self._queues: list[deque[Order]] = [deque() for _ in range(gateways)]
        self._sent: list[list[Order]] = [[] for _ in range(gateways)]
        self._known = [False] * gateways
        self.accepted = 0
        self.leases = Leases()
        self.release_store = ReleaseStore()
        self._stands_in: dict[int, int] = {}
        """of a pair, the gateway that leads no more -> the one that does"""

    def accept(self, gateway: int, message: Message) -> None:
        """A message has arrived whole; the acknowledgement is the uplink's to send."""
        row = message.row
        fresh = self._ledger.deliver(row, message.mask)
        if message.riding is not None and message.riding.deliver() and not fresh:
            self.accepted += 1  # derived readings alone: no sample, so nothing else to count
            return
        if not fresh:
            self._trace.emit("again", gateway, message.device, message.k, message.mask)
            return
        self.accepted += 1
        count = fresh.bit_count()
        self._latencies.accepted(message.device, count, self._env.now - row.due_ns, row.due_ns)
        if message.k < self._highest[message.device]:
            self._ledger.misordered_of[message.device] += count
        else:
            self._highest[message.device] = message.k

    def knows(self, gateway: int) -> bool:
        """Has the gateway had a session before? From now on it has."""
        known, self._known[gateway] = self._known[gateway], True
        return known

    def session(self, gateway: int, deliver: Callable[[Order], None] | None) -> None:
        """A gateway's session begins (what waits is sent) or ends (None: what it hasn't confirmed waits
        again, QoS 1)."""
        self._sessions[gateway] = deliver
        waiting = self._queues[gateway]
        sent, self._sent[gateway] = self._sent[gateway], []
        waiting.extendleft(reversed(sent))
        if gateway in self._stands_in:
            self.redirect(gateway, self._stands_in[gateway])
        while deliver is not None and waiting:
            self._send(gateway, deliver, waiting.popleft())

    def _send(self, gateway: int, deliver: Callable[[Order], None], command: Order) -> None:
        self._sent[gateway].append(command)
        deliver(command)

    def confirmed(self, gateway: int, command: Order) -> None:
        """The gateway has the command."""
        self._sent[gateway] = [sent for sent in self._sent[gateway] if sent is not command]

    def redirect(self, old: int, new: int) -> list[Command]:
        """Commands that wait for one gateway of a pair are for the other one from now on; returns those for
        which there was no room."""
        self._stands_in.pop(new, None)
        self._stands_in[old] = new
        queue = self._queues[old]
        waiting = [order for order in queue if isinstance(order, Command)]
        # an upgrade is for the gateway that it names
        own = [order for order in queue if not isinstance(order, Command)]
        queue.clear()
        queue.extend(own)
        return [command for command in waiting if not self.command(new, command)]

    def command(self, gateway: int, command: Order) -> bool:
        """Send a command, or keep it for the next session; False when too many wait."""
        deliver = self._sessions[gateway]
        if deliver is not None:
            self._send(gateway, deliver, command)
            return True
        if len(self._queues[gateway]) >= COMMANDS_MAX:
            return False
        self._queues[gateway].append(command)
        return True

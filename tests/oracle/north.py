"""The way to the cloud: a session that breaks and comes back, and the store that waits for it.

Belongs here: what becomes of a message. Never: where it comes from. A session stands when four flights have
passed: hello, answer, connect, acknowledgement; each message is acknowledged by itself, at most ``window``
are under way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.oracle.connection import Connection, Way
from tests.oracle.plants import Plant, S
from tests.oracle.timeline import Price, Timeline

ROW_BYTES = 48
"""of a store's row beside its body"""
EPOCH_DIGITS = 10**18
"""a message states its time in ns since 1970: so many digits"""


class Message:
    """A device's sample on its way up. ``there``: the cloud has it; ``row``: its place in the store."""

    def __init__(self, device: str, k: int, points: tuple[int, ...], names: list[str]) -> None:
        self.device, self.k, self.points = device, k, points
        body = {
            "device": device,
            "seq": k,
            "t": EPOCH_DIGITS,
            "values": {names[point]: 5.0 for point in points},
        }
        self.size_bytes = len(json.dumps(body, separators=(",", ":"))) + ROW_BYTES
        self.there = self.gone = False
        self.row: int | None = None


class North:
    """``ended(message, how)`` is told of each end; a message ends once."""

    def __init__(
        self, time: Timeline, plant: Plant, price: Price, ended: Callable[[Message, str], None]
    ) -> None:
        self.time, self.cloud, self.price, self.ended = time, plant.cloud, price, ended
        self.ways = tuple(
            Way(time, plant.cloud.delay_ns, frozenset(), plant.cloud.cuts, plant.cloud.slow) for _ in range(2)
        )
        self.connection: Connection | None = None
        self.up = False
        self.flight: list[Message] = []
        self.backoff_ns = plant.cloud.retry_first_ns
        self.rows: dict[int, Message] = {}
        self.sent: dict[int, None] = {}
        """rows of the store that are in flight"""
        self.number = 0
        self.drains = False
        self.duplicates = 0
        self._dial()

    # ---- the session -----------------------------------------------------------------------------
    def _dial(self) -> None:
        def at_cloud(what: Any) -> None:
            if isinstance(what, Message):
                if what.there:
                    self.duplicates += len(what.points)
                elif not what.gone:
                    self.ended(what, "delivered")
                what.there = True
            connection.send(1, ("ack", what))

        def at_gateway(what: Any) -> None:
            self.time.at(self.time.now + self.price(), lambda: self._answered(connection, what[1]))

        connection = Connection(
            self.time,
            self.ways[0],
            self.ways[1],
            self.cloud.user_timeout_ns,
            at_cloud,
            at_gateway,
            lambda: connection.send(0, "hello"),
            self._broke,
        )
        self.connection = connection

    def _answered(self, connection: Connection, what: Any) -> None:
        if connection.over:
            return
        if what == "hello":
            connection.send(0, "connect")
        elif what == "connect":
            self.up = True
            self.backoff_ns = self.cloud.retry_first_ns
            self._wake()
        elif what in self.flight:
            self.flight.remove(what)
            if what.row in self.rows:
                self._forget(what)
            self._wake()

    def _broke(self) -> None:
        self.up = False
        self.time.at(self.time.now + self.backoff_ns, self._dial)
        self.backoff_ns = min(2 * self.backoff_ns, self.cloud.retry_max_ns)
        flight, self.flight = self.flight, []
        for message in flight:
            self._keep(message)

    # ---- messages --------------------------------------------------------------------------------
    def ready(self) -> bool:
        """May one more go up?"""
        return self.up and len(self.flight) < self.cloud.window

    def take(self, message: Message) -> None:
        """The gateway's policy says: forward."""
        if self.ready():
            self._send(message)
        else:
            self._keep(message)

    def _send(self, message: Message) -> None:
        assert self.connection is not None
        self.flight.append(message)
        self.connection.send(0, message)

    def _end(self, message: Message, how: str) -> None:
        if not message.there and not message.gone:
            message.gone = True
            self.ended(message, how)

    def _keep(self, message: Message) -> None:
        store = self.cloud.store
        if store is None:
            self._end(message, "lost no-store")
            return
        if message.row in self.rows:
            self.sent.pop(message.row or 0)
            self._wake()
            return
        if message.row is not None and (message.there or message.gone):
            return
        message.row = None
        if message.size_bytes > store.capacity_bytes:
            self._end(message, "evicted capacity")
            return
        while sum(one.size_bytes for one in self.rows.values()) + message.size_bytes > store.capacity_bytes:
            waiting = [row for row in self.rows if row not in self.sent]
            if store.refuses or not waiting:
                self._end(message, "evicted capacity")
                return
            oldest = self.rows[min(waiting)]
            self._forget(oldest)
            self._end(oldest, "evicted capacity")
        self.number += 1
        message.row = self.number
        self.rows[self.number] = message
        if store.ttl_ns is not None:
            self.time.at(self.time.now + store.ttl_ns, lambda: self._expire(message, message.row))
        self._wake()

    def _expire(self, message: Message, row: int | None) -> None:
        assert self.cloud.store is not None
        if row not in self.rows:
            return
        if row in self.sent:
            self.time.at(
                self.time.now + S // self.cloud.store.drain_per_s, lambda: self._expire(message, row)
            )
            return
        self._forget(message)
        self._end(message, "evicted ttl")

    def _forget(self, message: Message) -> None:
        assert message.row is not None
        del self.rows[message.row]
        self.sent.pop(message.row, None)

    def _wake(self) -> None:
        store = self.cloud.store
        if store is None or self.drains or not self.ready() or len(self.rows) == len(self.sent):
            return
        self.drains = True
        self.time.at(self.time.now + S // store.drain_per_s, self._drain)

    def _drain(self) -> None:
        self.drains = False
        waiting = [row for row in self.rows if row not in self.sent]
        if not waiting or not self.ready():
            return
        row = min(waiting)
        self.sent[row] = None
        message = self.rows[row]
        self.time.at(
            self.time.now + self.price(), lambda: self._send(message) if self.ready() else self._keep(message)
        )
        self._wake()

    def finish(self) -> None:
        """The run is over."""
        for message in list(self.rows.values()):
            self._end(message, "cached")
        for message in self.flight:
            self._end(message, "lost end-of-run")

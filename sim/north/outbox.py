"""The outbox of a gateway: messages on their way to the cloud, in the uplink's window or in the store behind
it.

Belongs here: what is handed to whom, what is lost when nobody takes it. Never: sessions (uplink.py), rows
(store.py).
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.sim.accounts.ledger import Ledger
from twinloop.sim.accounts.rows import End
from twinloop.sim.cloud.messages import Message
from twinloop.sim.machine.machine import Machine
from twinloop.sim.north.store import Store
from twinloop.sim.north.uplink import Uplink


class Outbox:
    """Of one gateway. ``store`` None: what the uplink can't take is lost."""

    def __init__(self, machine: Machine, ledger: Ledger, uplink: Uplink, store: Store | None) -> None:
        self._env = machine.env
        self._machine = machine
        self._ledger = ledger
        self.uplink = uplink
        self.store = store
        self.on_backlog: list[Callable[[int], None]] = []
        """told of the messages that wait in the store, whenever that changes"""
        uplink.sender = self
        if store is not None:
            store.on_change = self.backlog_changed

    def keep(self, message: Message) -> None:
        """Into the store, or lost when there is none."""
        if self.store is not None:
            self.store.put(message)
            return
        message.end(self._ledger, End.LOST, "no-store")

    def link_state(self) -> tuple[bool, int, int, int, float]:
        """The WIT's link-state, as the gateway believes it."""
        uplink, store = self.uplink, self.store
        used = 0.0 if store is None else store.used_bytes / store.spec.capacity_bytes
        since = self._env.now - uplink.since_ns
        return uplink.state == "up", since, 0 if store is None else store.waiting, uplink.round_trip_ns, used

    # ---- what the uplink reports -----------------------------------------------------------------
    def acknowledged(self, message: Message) -> None:
        """The window has room again."""
        if self.store is not None:
            self.store.acknowledged(message)
        if self.on_backlog:
            self.backlog_changed()

    def session_up(self) -> None:
        """The uplink stands: drain."""
        if self.store is not None:
            self.store.wake()

    def session_lost(self) -> None:
        """The uplink has broken; what was in its window is given back after this."""
        if self.store is not None:
            self.store.session_lost()

    # ---- the gateway's life ----------------------------------------------------------------------
    def boot(self) -> None:
        """The gateway is up: dial, try what waits."""
        self.uplink.dial()
        if self.store is not None:
            self.store.boot()

    def crash(self, cause: str) -> None:
        """The uplink's window is gone; what of it lies in the store as well stays there."""
        for message in self.uplink.stop():
            if message.store_id is None:
                message.end(self._ledger, End.LOST, cause)

    def shut_down(self) -> None:
        """An orderly end: the window is stored, and all of it is synced."""
        for message in self.uplink.stop():
            self.keep(message)
        if self.store is not None:
            self.store.flush()

    def finish(self) -> None:
        """The run is over: what waits in the store is cached (stranded if the gateway is down), the window
        has run out of time."""
        for message in self.store.messages() if self.store is not None else []:
            if self._machine.state != "down":
                message.end(self._ledger, End.CACHED)
            else:
                message.end(self._ledger, End.LOST, "stranded")
        for message in self.uplink.unacknowledged():
            message.end(self._ledger, End.LOST, "end-of-run")

    # ---- figures ---------------------------------------------------------------------------------
    @property
    def backlog(self) -> int:
        """Messages that wait in the store."""
        return 0 if self.store is None else self.store.waiting

    def backlog_changed(self) -> None:
        """Tell whoever watches the gauge."""
        for told in self.on_backlog:
            told(self.backlog)

    def close(self) -> None:
        """Release the store's file."""
        if self.store is not None:
            self.store.close()

"""A gateway: a board with cores and a budget, its slots, its uplink and store, and its life as a table.

Belongs here: boot, crash, restart, who owns what. Never: the way of a sample (pipeline.py).
Gateways are up at t = 0: their first boot is simulated before it. A later boot takes place on the timeline.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinloop.components.host.batch import Batch
from twinloop.components.host.host import Host
from twinloop.sim.accounts.latency import Clockwork, Latencies
from twinloop.sim.accounts.ledger import End, Ledger, Row, Share
from twinloop.sim.cloud.cloud import Cloud
from twinloop.sim.cloud.messages import Command, Message
from twinloop.sim.gateway.budget import Budget
from twinloop.sim.gateway.cores import Cores
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.gateway.store import Store
from twinloop.sim.gateway.supervisor import Supervisor
from twinloop.sim.gateway.uplink import Uplink
from twinloop.sim.kernel.clock import MS, Environment, S, Signal, Steps, Task
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.random import Stream as RandomStream
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.kernel.wallclock import WallClock
from twinloop.sim.model.spec import GatewaySpec
from twinloop.sim.network.link import Link

if TYPE_CHECKING:
    from twinloop.sim.gateway.poller import Poller
    from twinloop.sim.redundancy.member import Member
    from twinloop.sim.truth.truth import Truth
    from twinloop.sim.upgrade.upgrades import Upgrades

TRANSITIONS: dict[tuple[str, str], str] = {
    ("down", "boot"): "booting",
    ("booting", "booted"): "up",
    ("booting", "crash"): "down",
    ("up", "crash"): "down",
    ("up", "shutdown"): "stopping",
    ("stopping", "stopped"): "down",
    ("stopping", "crash"): "down",
}
"""(state, event) -> state of a gateway"""


STORE_FILES = 3
"""of an SQLite database in WAL mode: itself, its log, the log's index"""
SHUTDOWN_GRACE_NS = 5 * S
"""for polls under way when a gateway shuts down; what isn't over then is cut off (limit ``shutdown-grace``)"""
SHUTDOWN_CHECK_NS = 10 * MS
ALERT_TEXT_MAX = 120
"""of an alert's text, in the trace"""


class Gateway:
    """One gateway of a world. ``epoch`` counts its lives: what was begun in an earlier one comes to nothing."""

    def __init__(
        self, env: Environment, index: int, spec: GatewaySpec, host: Host, ledger: Ledger, latencies: Latencies, trace: Trace, cloud: Cloud,
        link: Link, jitter: RandomStream, backoff: RandomStream, metered: bool, device_name: Callable[[int], str], store_path: Path,
        cuts: RandomStream, epoch_ns: int,
    ) -> None:  # fmt: skip
        self.env, self.index, self.spec, self.name, self.board = env, index, spec, spec.name, spec.board
        self.host, self.ledger, self.latencies, self.trace, self.cloud = host, ledger, latencies, trace, cloud
        self.device_name = device_name
        self.budget = Budget(spec.board, metered, spec.small_reservation, spec.files)
        self.clock = WallClock(epoch_ns)
        kept = None if spec.store is not None and not spec.store.volatile else 0
        self.journal: deque[tuple[Slot, str, bytes | None]] = deque(maxlen=kept)
        """what components' ``state`` has changed since the last sync: (slot, key, value before); nothing where nothing syncs"""
        self.cores = Cores(env, spec.board.cores)
        self.busy_ns = 0
        """of cores that died with an earlier life"""
        self.boot_busy_ns = 0
        """core time held before t = 0"""
        self.busy_in_run_ns: int | None = None
        """core time held from t = 0 to the end of the duration, when that is over"""
        self.state = "down"
        self.epoch = 0
        self.boots: list[int] = []
        self.alerts = 0
        self.down_until_ns = 0
        """the latest end of the crashes that keep it down"""
        self.member: Member | None = None
        """its place in a pair"""
        self.sends = True
        """what it reads it hands on; a standby doesn't"""
        self.supervisor = Supervisor(self, spec.restart, backoff)
        self.uplink = Uplink(env, self, spec.uplink, link, jitter)
        self.store = None if spec.store is None else Store(env, self, spec.store, store_path, cuts)
        for _ in range(STORE_FILES if self.store is not None and not self.store.spec.volatile else 0):
            self.budget.files.take()
        self.slots: list[Slot] = []
        self.beside: list[Slot] = []
        """of an upgrade under way: new instances before their swap, old ones after it"""
        self.upgrades: Upgrades
        self.truth: Truth
        self.on_readings: list[Callable[[Poller, Row, Batch], None]]
        self.on_unasked: list[Callable[[Poller, Batch], None]]
        self.pollers: list[Poller] = []
        self._poller_of: dict[int, Poller] = {}
        self._receivers: list[Poller] = []
        """those that listen, whether or not something is due"""
        self.transform: Slot
        self.policy: Slot
        self.on_backlog: list[Callable[[int], None]] = []
        self.on_command: Callable[[Command, str | None], None] = _ignore
        self.on_event: Callable[[str], None] = lambda event: None
        """told of named events that no entry of the timeline made"""
        self.point_ids: dict[str, int] = {}
        """device model -> id of its first point"""

    # ---- life ---------------------------------------------------------------------------------------------------
    def _move(self, event: str) -> None:
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            raise InvariantError(f"gateway {self.name}: {event!r} in state {self.state!r}")
        self.state = following
        self.trace.emit("gateway", self.index, following)

    def boot(self) -> None:
        """Power on: every slot is brought up, the uplink dials."""
        self._move("boot")
        Task(self.env, self._boot(self.epoch))

    def _boot(self, epoch: int) -> Steps:
        if self.epoch != epoch:
            return  # crashed at the instant at which it was switched on
        began = self.env._now
        if self.member is None or not self.member.starts_cold:
            yield from [self.supervisor.start(slot) for slot in self.slots]
        if self.epoch != epoch:
            return
        boot_ns = self.env._now - began
        self.boots.append(boot_ns)
        self._move("booted")
        self.trace.emit("boot", self.index, len(self.slots), boot_ns)
        self.uplink.dial()
        if self.store is not None:
            self.store.boot()
        self.supervisor.booted()
        if self.member is not None:
            self.member.booted()
        self.rouse()

    def rouse(self) -> None:
        """Who listens may be to listen now, or no more."""
        for receiver in self._receivers:
            receiver.rouse()

    @property
    def polls(self) -> bool:
        """Does it read its devices now? A standby may not."""
        return self.state == "up" and (self.member is None or self.member.polls)

    def crash(self, power: bool = True) -> None:
        """The gateway's process is gone, and everything in its memory; what its store wrote is there at the next boot.

        Without ``power`` what was written since the last sync is gone, too.
        """
        if self.state == "down":
            return
        self._move("crash")
        if self.member is not None:
            self.member.leave(handing=False)
        self._stop_work()
        for message in self.uplink.stop():
            if message.store_id is None and message.mask & message.row.open:
                self.ledger.close(message.row, message.mask & message.row.open, End.LOST, "crash" if power else "power-cut")
        self._stop_all(power, "crash")

    def shutdown(self) -> None:
        """An orderly end: nothing new is begun, polls under way end (for SHUTDOWN_GRACE_NS at most), the uplink's window is stored."""
        if self.state == "booting":
            self.crash()
        if self.state != "up":
            return
        self._move("shutdown")
        Task(self.env, self._shut_down(self.epoch))

    def _shut_down(self, epoch: int) -> Steps:
        until = self.env._now + SHUTDOWN_GRACE_NS
        while self.epoch == epoch and any(poller.row is not None for poller in self.pollers) and self.env._now < until:
            yield SHUTDOWN_CHECK_NS
        if self.epoch != epoch:
            return  # crashed meanwhile, perhaps at the very instant
        if any(poller.row is not None for poller in self.pollers):
            self.trace.emit("limit", self.index, "shutdown-grace", SHUTDOWN_GRACE_NS)
        self._move("stopped")
        if self.member is not None:
            if self.member.handover is not None and self.member.hands_in:
                self.member.handover.store()
            self.member.leave(handing=True)
        self._stop_work()
        for message in self.uplink.stop():
            self.keep(message)
        if self.store is not None:
            self.store.flush()
        self._stop_all(True, "gateway-down")

    def _stop_work(self) -> None:
        self.epoch += 1
        self.busy_ns += self.cores.busy_ns
        self.cores.stop()
        self.cores = Cores(self.env, self.board.cores)

    def _stop_all(self, power: bool, cause: str) -> None:
        for poller in self.pollers:
            poller.crash(cause, "crash" if power else "power-cut")
        self.upgrades.stopped("shutdown" if cause == "gateway-down" else "crash" if power else "power-cut")
        for slot in [*self.slots, *self.beside]:
            self.supervisor.stop(slot)
        self.beside.clear()
        if self.member is not None and self.member.handover is not None:
            self.member.handover.forget("unseen" if cause == "gateway-down" else "crash" if power else "power-cut")
        if self.store is not None:
            self.store.crashed(power, "no-store" if cause == "gateway-down" else "crash" if power else "power-cut")

    def restart(self) -> None:
        """Crash if it is up, then boot."""
        self.crash()
        self.boot()

    # ---- a board in trouble -------------------------------------------------------------------------------------
    def step_clock(self, shift_ns: int) -> None:
        """The wall clock jumps; what the gateway does by its clock, it does by the new one."""
        self.clock.step(shift_ns)
        if self.store is not None:
            self.store.clock_stepped()

    def throttle(self, ratio: float) -> Callable[[], None]:
        """The CPU runs at ``ratio`` of its speed; work under way keeps the time that it was given. Returns what ends it."""
        end = self.budget.throttle(ratio)
        self._reprice()

        def over() -> None:
            end()
            self._reprice()

        return over

    def _reprice(self) -> None:
        for slot in [*self.slots, *self.beside]:
            slot.reprice()

    def squeeze(self, left_bytes: int) -> Callable[[], None]:
        """RAM for instances shrinks to ``left_bytes``; who doesn't fit is killed. Returns what ends it."""
        end = self.budget.squeeze(left_bytes)
        self.supervisor.relieve_memory()
        return end

    # ---- what a pipeline needs ------------------------------------------------------------------------------------
    def add_poller(self, poller: Poller) -> None:
        """A device of this gateway."""
        self.pollers.append(poller)
        self.truth.add(poller)
        if poller.listens_by_itself:
            self._receivers.append(poller)
        self._poller_of[poller.index] = poller

    def link_state(self) -> tuple[bool, int, int, int, float]:
        """The WIT's link-state, as this gateway believes it."""
        uplink, store = self.uplink, self.store
        used = 0.0 if store is None else store.used_bytes / store.spec.capacity_bytes
        since = self.env._now - uplink.since_ns
        return uplink.state == "up", since, 0 if store is None else store.waiting, uplink.round_trip_ns, used

    def compose(self, poller: Poller, row: Row, mask: int, lane: int, batch: Batch) -> Message:
        """The message for some points of a batch."""
        table = poller.table
        if mask != row.read:
            batch = batch.only(dict.fromkeys(point for point, bit in table.bit_of.items() if bit & mask))
        return Message(row, mask, lane, poller.topic, table.body.of(poller.name, row.k, batch))

    def carried(self, poller: Poller, row: Row, mask: int, how: str, clockwork: Clockwork | None = None, late: bool = False) -> None:
        """The verdict on these points has been carried out now; of a pair only the first verdict counts, and never a standby's, unless
        it had led when it read them (``late``)."""
        mask &= row.due & ~row.void  # a batch may hold points beside those that were due, and readings without a value
        now, count = self.env._now, mask.bit_count()
        total_ns = now - row.due_ns
        if self.member is not None:
            count = 0
            if self.sends or late:
                count = self.member.pair.carried(row, mask)
                if isinstance(row, Share):
                    row.cared |= mask
        row.carried |= mask
        if not count:
            return
        self.latencies.carried(row.device, count, total_ns, row.due_ns, clockwork or poller.clockwork)
        self.trace.add((now, "carried", row.device, row.k, mask, how, total_ns))
        if total_ns > row.period_ns:
            self.ledger.count_late(row.device, count)

    def hold(self, poller: Poller, row: Row, verdict: Any, message: Message) -> None:
        """It isn't ours to send (any more): a hot standby keeps it for a while, another one that had read it stores it."""
        handover = self.member.handover if self.member is not None else None
        if handover is not None:
            handover.hold(poller, row, verdict, message)
        else:
            self.alert(row, message.mask, verdict)
            self.carried(poller, row, message.mask, "cache", late=True)
            self.keep(message)

    def alert(self, row: Row, mask: int, verdict: Any) -> None:
        """The policy has raised an alert, if it has."""
        if verdict[0] == "alert":
            self.trace.emit("alert", self.index, row.device, row.k, mask, verdict[1][:ALERT_TEXT_MAX])
            self.alerts += mask.bit_count()

    def keep(self, message: Message) -> None:
        """Into the store, or lost when there is none."""
        if self.store is not None:
            self.store.put(message)
            return
        left = message.mask & message.row.open
        if left:
            self.ledger.close(message.row, left, End.LOST, "no-store")

    def take_file(self) -> bool:
        """One more open socket; False, and an event, when the process has no more to give."""
        if self.budget.files.take():
            return True
        self.budget.breach("files")
        self.trace.emit("limit", self.index, "files", self.budget.files.open)
        return False

    def on_flash(self) -> Signal:
        """Fires when what was written to flash until now is durable; without a store the flash syncs at once."""
        if self.store is not None:
            return self.store.on_flash()
        signal = Signal(self.env)
        self.env.call_in(self.budget.board.host_ns["commit"].value, signal.fire)
        return signal

    @property
    def flash_bytes_per_s(self) -> int:
        """What its flash takes."""
        return self.board.flash_bytes_per_s.value if self.store is None else self.store.flash_bytes_per_s

    # ---- what the uplink reports ------------------------------------------------------------------------------------
    def acknowledged(self, message: Message) -> None:
        """The window has room again."""
        if self.store is not None:
            self.store.acknowledged(message)

    def session_up(self) -> None:
        """The uplink stands: drain."""
        if self.store is not None:
            self.store.wake()
        if self.member is not None:
            self.member.session_up()
        self.upgrades.session_up()

    def command(self, command: Command) -> None:
        """A command has come down."""
        self.trace.emit("command", command.device, command.number, "arrived", "")
        poller = self._poller_of.get(command.device)
        if poller is None or self.state != "up":
            self.command_done(command, "gateway-down")
        elif not self.sends:
            self.command_done(command, "standby")
        else:
            poller.command(command)

    def refuse_commands(self) -> None:
        """It leads no more: writes that wait for their turn here could come after the other one's."""
        for poller in self.pollers:
            for command in poller.take_commands():
                self.command_done(command, "standby")

    def command_done(self, command: Command, cause: str | None) -> None:
        """A command has ended: done (None) or failed."""
        self.trace.emit("command", command.device, command.number, "failed" if cause else "done", cause or "")
        self.on_command(command, cause)

    # ---- figures ------------------------------------------------------------------------------------------------
    @property
    def backlog(self) -> int:
        """Messages that wait in the store."""
        return 0 if self.store is None else self.store.waiting

    def backlog_changed(self) -> None:
        """Tell whoever watches the gauge."""
        for told in self.on_backlog:
            told(self.backlog)

    def busy_total_ns(self) -> int:
        """Core time held in all lives."""
        return self.busy_ns + self.cores.busy_ns

    def close(self) -> None:
        """Release instances and the store's file."""
        for slot in [*self.slots, *self.beside]:
            slot.drop()
        for poller in self.pollers:
            poller.arguments.held.release()
        if self.store is not None:
            self.store.close()


def _ignore(command: Command, cause: str | None) -> None:
    """Nobody asked."""

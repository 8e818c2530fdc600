"""A gateway: its life, and who of its parts does what at a boot, a crash, an orderly end.

Belongs here: boot, crash, restart, trouble of its board, what comes down to it. Never: the board
(machine.py), the way of a sample (pipeline.py). Gateways are up at t = 0: their first boot is simulated
before it. A later boot takes place on the timeline.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from twinloop.components.contract.contract import PointConfig
from twinloop.components.host.host import Host
from twinloop.sim.cloud.cloud import Cloud
from twinloop.sim.cloud.leases import LeaseAnswer
from twinloop.sim.cloud.messages import Command
from twinloop.sim.cloud.orders import Upgrade
from twinloop.sim.cloud.releases import ReleaseBlock
from twinloop.sim.gateway.books import Books
from twinloop.sim.gateway.deriving import DerivingPipeline
from twinloop.sim.gateway.pipeline import Pipeline
from twinloop.sim.gateway.poller import Poller
from twinloop.sim.gateway.rack import Rack
from twinloop.sim.gateway.standalone import Standalone
from twinloop.sim.gateway.supervisor import Supervisor
from twinloop.sim.kernel.clock import MS, Environment, S, Steps, Task
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.kernel.wallclock import WallClock
from twinloop.sim.machine.budget import HOST_BYTES_PER_INSTANCE, Budget
from twinloop.sim.machine.machine import Machine
from twinloop.sim.machine.memories import Memories
from twinloop.sim.model.boards import prices
from twinloop.sim.model.spec import GatewaySpec
from twinloop.sim.network.link import Link
from twinloop.sim.north.outbox import Outbox
from twinloop.sim.north.store import Store
from twinloop.sim.north.uplink import Uplink

STORE_FILES = 3
"""of an SQLite database in WAL mode: itself, its log, the log's index"""
SHUTDOWN_GRACE_NS = 5 * S
"""for polls under way when a gateway shuts down; what isn't over then is cut off (limit
``shutdown-grace``)"""
SHUTDOWN_CHECK_NS = 10 * MS


class Installs(Protocol):
    """Who carries out what a gateway is told to install."""

    current: Upgrade | None

    def take_order(self, upgrade: Upgrade) -> None:
        """An order has come down."""
        ...

    def block(self, block: ReleaseBlock) -> None:
        """A block of a download has come."""
        ...

    def session_up(self) -> None:
        """The uplink stands again."""
        ...

    def stopped(self, cause: str) -> None:
        """The gateway is gone."""
        ...

    def move(self, upgrade: Upgrade, event: str, cause: str = "") -> None:
        """An order comes into another state."""
        ...

    def finish(self) -> None:
        """The run is over."""
        ...


def _budget(spec: GatewaySpec, metered: bool) -> Budget:
    pooled = spec.pool is not None
    nominal = prices(spec.board, spec.program, spec.runtime, metered, spec.small_reservation, pooled)
    own = HOST_BYTES_PER_INSTANCE if spec.runtime is None else spec.runtime.instance_bytes
    memories = Memories(spec.memories_max, spec.pool)
    return Budget(spec.board, nominal.at(spec.end), spec.files, memories, own)


class Gateway:
    """One gateway of a world. ``books``: the run's; ``metered``: some component on it has a limit of CPU
    time; ``derives``: its transform may add points."""

    upgrades: Installs

    def __init__(
        self,
        *,
        env: Environment,
        trace: Trace,
        index: int,
        spec: GatewaySpec,
        host: Host,
        books: Books,
        cloud: Cloud,
        link: Link,
        streams: RandomStreams,
        metered: bool,
        store_path: Path,
        epoch_ns: int,
        derives: bool,
    ) -> None:
        self.index, self.spec, self.name, self.host, self.books = index, spec, spec.name, host, books
        budget = _budget(spec, metered)
        syncs = spec.store is not None and not spec.store.volatile
        machine = self.machine = Machine(
            env=env,
            index=index,
            name=spec.name,
            board=spec.board,
            trace=trace,
            budget=budget,
            clock=WallClock(epoch_ns),
            syncs=syncs,
        )
        self.rack = Rack()
        self.supervisor = Supervisor(
            machine, self.rack, host, spec.restart, streams.stream(f"supervisor/{spec.name}/backoff")
        )
        self.supervisor.on_round, self.supervisor.on_bite = self._ask_all, self.restart
        uplink = Uplink(
            machine=machine,
            cloud=cloud,
            receiver=self,
            spec=spec.uplink,
            link=link,
            jitter=streams.stream(f"uplink/{spec.name}/retry"),
        )
        store = None
        if spec.store is not None:
            store = Store(
                machine=machine,
                ledger=books.ledger,
                uplink=uplink,
                spec=spec.store,
                path=store_path,
                cuts=streams.stream(f"power-cut/{spec.name}"),
            )
            machine.flash = store
        for _ in range(STORE_FILES if syncs else 0):
            budget.files.take()
        self.outbox = Outbox(machine, books.ledger, uplink, store)
        way = DerivingPipeline if derives else Pipeline
        self.pipeline = way(machine, self.rack, self.supervisor, self.outbox, books)
        self.boots: list[int] = []
        """how long each took"""
        self.down_until_ns = 0
        """the latest end of the crashes that keep it down"""
        self.pollers: list[Poller] = []
        self._poller_of: dict[int, Poller] = {}
        self._listeners: list[Poller] = []
        """those that listen, whether or not something is due"""
        self.point_ids: dict[str, int] = {}
        """device model -> id of its first point"""
        self.derived: list[PointConfig] = []
        """points that its transform may add"""

    # ---- its parts -------------------------------------------------------------------------------
    @property
    def state(self) -> str:
        """Of its life."""
        return self.machine.state

    @property
    def member(self) -> Standalone:
        """Its part in redundancy."""
        return self.pipeline.member

    @member.setter
    def member(self, member: Standalone) -> None:
        self.pipeline.member = member

    def add_poller(self, poller: Poller) -> None:
        """A device of this gateway."""
        self.pollers.append(poller)
        self.books.truth.add(poller)
        if poller.listens_by_itself:
            self._listeners.append(poller)
        self._poller_of[poller.index] = poller

    # ---- life ------------------------------------------------------------------------------------
    def boot(self) -> None:
        """Power on: every slot is brought up, the uplink dials."""
        self.machine.move("boot")
        Task(self.machine.env, self._boot(self.machine.epoch))

    def _boot(self, epoch: int) -> Steps:
        machine = self.machine
        if machine.epoch != epoch:
            return  # crashed at the instant at which it was switched on
        for slot in self.rack.slots:  # as it is installed: before its first boot
            component = slot.spec.component
            yield from machine.compile(component.sha256, component.size_bytes)
        if machine.epoch != epoch:
            return
        began = machine.env.now
        if not self.member.starts_cold:
            yield from [self.supervisor.start(slot) for slot in self.rack.slots]
        if machine.epoch != epoch:
            return
        boot_ns = machine.env.now - began
        self.boots.append(boot_ns)
        machine.move("booted")
        machine.trace.emit("boot", self.index, len(self.rack.slots), boot_ns)
        self.outbox.boot()
        self.supervisor.booted()
        self.member.booted()
        self.rouse()

    def rouse(self) -> None:
        """Who listens may be to listen now, or no more."""
        for listener in self._listeners:
            listener.rouse()

    def _ask_all(self) -> None:
        for poller in self.pollers:
            if poller.slot.state == "ready":
                poller.ask_status()

    def crash(self, power: bool = True) -> None:
        """The gateway's process is gone, and everything in its memory; what its store wrote is there at the
        next boot.

        Without ``power`` what was written since the last sync is gone, too.
        """
        if self.machine.state == "down":
            if not power:  # what its last life wrote and never synced was in the memory of the board
                for slot in self.rack.all():
                    slot.imports.machine_down(power, orderly=False)
            return
        self.machine.move("crash")
        self.member.leave(handing=False)
        self.machine.end_life()
        self.outbox.crash("crash" if power else "power-cut")
        self._stop_all(power, "crash")

    def shutdown(self) -> None:
        """An orderly end: nothing new is begun, polls under way end (for SHUTDOWN_GRACE_NS at most), the
        uplink's window is stored."""
        if self.machine.state == "booting":
            self.crash()
        if self.machine.state != "up":
            return
        self.machine.move("shutdown")
        Task(self.machine.env, self._shut_down(self.machine.epoch))

    def _shut_down(self, epoch: int) -> Steps:
        machine = self.machine
        until = machine.env.now + SHUTDOWN_GRACE_NS
        while (
            machine.epoch == epoch
            and any(poller.row is not None for poller in self.pollers)
            and machine.env.now < until
        ):
            yield SHUTDOWN_CHECK_NS
        if machine.epoch != epoch:
            return  # crashed meanwhile, perhaps at the very instant
        if any(poller.row is not None for poller in self.pollers):
            machine.trace.emit("limit", self.index, "shutdown-grace", SHUTDOWN_GRACE_NS)
        machine.move("stopped")
        self.member.hand_in()
        self.member.leave(handing=True)
        machine.end_life()
        self.outbox.shut_down()
        self._stop_all(True, "gateway-down")

    def _stop_all(self, power: bool, cause: str) -> None:
        lost = "crash" if power else "power-cut"
        for poller in self.pollers:
            poller.crash(cause, lost)
        self.upgrades.stopped("shutdown" if cause == "gateway-down" else lost)
        for slot in self.rack.all():
            self.supervisor.stop(slot)
            slot.imports.machine_down(power, orderly=cause == "gateway-down")
        self.machine.budget.memories.end_life()
        self.rack.staged.clear()
        self.member.forget("unseen" if cause == "gateway-down" else lost)
        if self.outbox.store is not None:
            self.outbox.store.crashed(power, "no-store" if cause == "gateway-down" else lost)

    def restart(self) -> None:
        """Crash if it is up, then boot."""
        self.crash()
        self.boot()

    # ---- a board in trouble ----------------------------------------------------------------------
    def step_clock(self, shift_ns: int) -> None:
        """The wall clock jumps; what the gateway does by its clock, it does by the new one."""
        self.machine.clock.step(shift_ns)
        if self.outbox.store is not None:
            self.outbox.store.clock_stepped()

    def throttle(self, ratio: float) -> Callable[[], None]:
        """The CPU runs at ``ratio`` of its speed; work under way keeps the time that it was given. Returns
        what ends it."""
        end = self.machine.budget.throttle(ratio)
        self.rack.reprice()

        def over() -> None:
            end()
            self.rack.reprice()

        return over

    def squeeze(self, left_bytes: int) -> Callable[[], None]:
        """RAM for instances shrinks to ``left_bytes``; who doesn't fit is killed. Returns what ends it."""
        end = self.machine.budget.squeeze(left_bytes)
        self.supervisor.relieve_memory()
        return end

    # ---- what comes down -------------------------------------------------------------------------
    def session_up(self) -> None:
        """The uplink stands: what waits is sent, what was to be asked is asked."""
        self.outbox.session_up()
        self.member.session_up()
        self.upgrades.session_up()

    def command(self, command: Command) -> None:
        """A command has come down."""
        self.machine.trace.emit("command", command.device, command.number, "arrived", "")
        poller = self._poller_of.get(command.device)
        if poller is None or self.machine.state != "up":
            self.pipeline.command_done(command, "gateway-down")
        elif not self.member.sends:
            self.pipeline.command_done(command, "standby")
        else:
            poller.command(command)

    def refuse_commands(self) -> None:
        """It leads no more: writes that wait for their turn here could come after the other one's."""
        for poller in self.pollers:
            for command in poller.take_commands():
                self.pipeline.command_done(command, "standby")

    def order(self, upgrade: Upgrade) -> None:
        """An order to install a release has come down."""
        self.upgrades.take_order(upgrade)

    def block(self, block: ReleaseBlock) -> None:
        """A block of its bytes."""
        self.upgrades.block(block)

    def answered(self, answer: LeaseAnswer) -> None:
        """What the cloud says to a question for a lease."""
        self.member.answered(answer)

    def close(self) -> None:
        """Release instances and the store's file."""
        self.rack.close()
        for poller in self.pollers:
            poller.arguments.held.release()
        self.outbox.close()

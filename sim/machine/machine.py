"""The machine under a gateway: a board with cores and an account, clocks, and its life as a table.

Belongs here: what each part of a gateway needs of the board that it runs on. Never: components (rack.py),
messages (outbox.py), what a boot or a crash means for them (gateway.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from twinloop.sim.kernel.clock import Environment, Event, Steps
from twinloop.sim.kernel.state_machine import StateMachine
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.kernel.wallclock import WallClock
from twinloop.sim.machine.budget import Budget
from twinloop.sim.machine.cores import Cores
from twinloop.sim.model.boards import Board

INSTALL_SHOWN_NS = 60_000_000_000
"""of compiling one component at installation that lies on the timeline: gateways are installed and boot in
the ten minutes before t = 0, however slow they are (the whole is in ``install_ns``)"""
COMPILE_SLICE_NS = 1_000_000
"""compiling beside other work goes at low priority: it gives its core away as often as this (ours)"""

TRANSITIONS = StateMachine(
    "gateway",
    {
        ("down", "boot"): "booting",
        ("booting", "booted"): "up",
        ("booting", "crash"): "down",
        ("up", "crash"): "down",
        ("up", "shutdown"): "stopping",
        ("stopping", "stopped"): "down",
        ("stopping", "crash"): "down",
    },
)
"""(state, event) -> state of a gateway"""


class Flash(Protocol):
    """What keeps a gateway's writes."""

    flash_bytes_per_s: int

    def on_flash(self) -> Event:
        """Fires when what was written until now is durable."""
        ...


class Keeps(Protocol):
    """Whose ``state`` can be set back: a component's place."""

    def restore_state(self, key: str, before: bytes | None) -> None:
        """The key has its value of before; None: it wasn't there."""
        ...


class Machine:
    """Of one gateway. ``epoch`` counts its lives: what was begun in an earlier one comes to nothing.
    ``syncs``: something there syncs to flash."""

    def __init__(
        self,
        *,
        env: Environment,
        index: int,
        name: str,
        board: Board,
        trace: Trace,
        budget: Budget,
        clock: WallClock,
        syncs: bool,
    ) -> None:
        self.env, self.index, self.name, self.board, self.trace = env, index, name, board, trace
        self.budget, self.clock = budget, clock
        self.cores = Cores(env, board.cores)
        self.state = "down"
        self.epoch = 0
        self.journal: deque[tuple[Keeps, str, bytes | None]] = deque(maxlen=None if syncs else 0)
        """what components' ``state`` has changed since the last sync: (place, key, value before); nothing
        where nothing syncs"""
        self._compiled: dict[str, None] = {}
        """digests of components whose compiled code it has"""
        self.install_ns = 0
        """what compiling its components took before its first boot"""
        self.flash: Flash | None = None
        """None: what is written syncs at once"""
        self.busy_ns = 0
        """of cores that died with an earlier life"""
        self.boot_busy_ns = 0
        """core time held before t = 0"""
        self.busy_in_run_ns: int | None = None
        """core time held from t = 0 to the end of the duration, when that is over"""
        self.on_event: Callable[[str], None] = lambda event: None
        """told of named events that no entry of the timeline made"""

    def move(self, event: str) -> None:
        """Take a transition of the table and trace it."""
        following = TRANSITIONS.after(self.name, self.state, event)
        self.state = following
        self.trace.emit("gateway", self.index, following)

    def compile(self, digest: str, size_bytes: int, slice_ns: int | None = None) -> Steps:
        """Compile a component on one core, which others get after each ``slice_ns``. None: at installation,
        when the core has nothing else to do. What was compiled in an earlier life lies on the flash."""
        if digest in self._compiled:
            return
        epoch, budget, kib = self.epoch, self.budget, -(-size_bytes // 1024)
        if slice_ns is None:
            left_ns = budget.work_ns(kib * budget.prices.work_ns["compile_kib"].value)
            self.install_ns += left_ns
            left_ns = min(left_ns, INSTALL_SHOWN_NS)
        else:
            left_ns = budget.host_many("compile_kib", kib)
        while left_ns > 0 and self.epoch == epoch:
            part_ns = left_ns if slice_ns is None else min(left_ns, slice_ns)
            yield from self.cores.hold(part_ns)
            left_ns -= part_ns
        if self.epoch == epoch:
            self._compiled[digest] = None

    def end_life(self) -> None:
        """Whoever holds or waits for a core is gone; the next life has its own."""
        self.epoch += 1
        self.busy_ns += self.cores.busy_ns
        self.cores.stop()
        self.cores = self.cores.anew()

    def busy_total_ns(self) -> int:
        """Core time held in all lives."""
        return self.busy_ns + self.cores.busy_ns

    def take_file(self) -> bool:
        """One more open socket; False, and an event, when the process has no more to give."""
        if self.budget.files.take():
            return True
        self.budget.breach("files")
        self.trace.emit("limit", self.index, "files", self.budget.files.open)
        return False

    def on_flash(self) -> Event:
        """Fires when what was written to flash until now is durable; without a store the flash syncs at
        once."""
        if self.flash is not None:
            return self.flash.on_flash()
        signal = Event(self.env)
        self.env.call_in(self.budget.prices.work_ns["commit"].value, signal.fire)
        return signal

    @property
    def flash_bytes_per_s(self) -> int:
        """What its flash takes."""
        return (
            self.budget.prices.flash_bytes_per_s.value if self.flash is None else self.flash.flash_bytes_per_s
        )

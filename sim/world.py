"""A world: everything of one run, wired from a WorldSpec, run event by event, closed.

Belongs here: wiring, the loop, the end. Never: judgement (scenarios/). A run is a pure function of (spec,
component bytes, commands) to a trace; nothing of it lives at module level, and ``close`` must be called.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from twinloop.components.host.host import Host
from twinloop.sim.accounts.derived import Derived
from twinloop.sim.accounts.ends import Ends
from twinloop.sim.accounts.latency import Latencies
from twinloop.sim.accounts.ledger import Ledger
from twinloop.sim.accounts.rows import End, Row, SharedRow
from twinloop.sim.accounts.schedule import put_on_timeline
from twinloop.sim.cloud.cloud import Cloud
from twinloop.sim.cloud.commands import Commands
from twinloop.sim.cloud.messages import Command
from twinloop.sim.gateway.books import Books
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.gateway.poller import Poller
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.pacer import Pacer
from twinloop.sim.kernel.wallclock import BOOT_HORIZON_NS, EPOCH_NS
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.plant import Plant
from twinloop.sim.truth.elsewhere import AttachedWorld
from twinloop.sim.truth.truth import Truth
from twinloop.sim.upgrade.rollout import Rollout
from twinloop.sim.wiring import Wiring

PROGRESS_EVENTS = 1 << 10
"""events between two reports of progress, at which the trace is hashed too: few enough that what waits for it
stays in the caches"""
WIRE_EVENTS = 200
"""the same where real devices take part: they are heard in between"""
SETTLE_CHECK_NS = 10_000_000
"""how often the end looks whether nothing is open any more"""


class World(Plant):
    """One run. ``stop`` (from a signal handler) ends it between two events; then it is aborted."""

    def __init__(
        self,
        spec: WorldSpec,
        host: Host,
        store_path: Callable[[str], Path] | None = None,
        epoch_ns: int = EPOCH_NS,
        outside: AttachedWorld | None = None,
    ) -> None:
        super().__init__(spec, -BOOT_HORIZON_NS, epoch_ns, outside=outside)
        self.host, self._outside = host, outside
        self.finished = self.duration_over = self.closed = False
        self.events = 0
        self.progress: Callable[[int], None] | None = None
        self.pacer: Pacer | None = None
        """keeps the wall's pace from t = 0 on; None: as fast as possible"""
        self.books = self._new_books()
        self.ends = Ends(self.env, self.trace, self.latencies, spec.phases)
        self.ledger.on_end = self.ends.ended
        self.on_happened.append(lambda event: self.truth.trouble_everywhere(self.env.now))
        self.cloud = Cloud(
            env=self.env,
            ledger=self.ledger,
            latencies=self.latencies,
            trace=self.trace,
            devices=len(spec.devices),
            gateways=len(spec.gateways),
        )
        self.commands = Commands(self.trace)
        self.waiting_for: list[Callable[[], bool]] = []
        """the end waits as long as one of them says so"""
        self._folder: TemporaryDirectory[str] | None = None
        wiring = Wiring(self, host, self.books, self.cloud, outside)
        self.gateway_of_name, self.pairs, self.plans = wiring.gateway_of_name, wiring.pairs, wiring.plans
        try:
            wiring.wire(store_path or self._temporary, self.commands.done)
            self.rollout = Rollout(self.env, self.trace, self.cloud, self.gateway_of_name, spec.offers)
            put_on_timeline(self.env, self.plans, spec.duration_ns)
            self.put_trouble()
        except BaseException:
            self.close()
            raise

    def _new_books(self) -> Books:
        devices = self.spec.devices
        shared: dict[tuple[str, ...], tuple[str, ...]] = {}  # devices of a model have one tuple
        points = [
            shared.setdefault(names, names)
            for names in (tuple(point.name for point in device.table.points) for device in devices)
        ]
        ledger = Ledger([device.name for device in devices], points)
        latencies = Latencies([device.fleet for device in devices], len(self.spec.fleets))
        serial = dict.fromkeys(link.name for link in self.spec.links if link.serial_bd is not None)
        return Books(
            ledger,
            latencies,
            # lines have no transaction ids, and a table that is wrong may show it once in a day only
            Truth(self.env, ledger, [one.wires in serial or one.believed is not None for one in devices]),
            Derived(self.trace),
        )

    @property
    def ledger(self) -> Ledger:
        """What became of each sample."""
        return self.books.ledger

    @property
    def latencies(self) -> Latencies:
        """How long it took."""
        return self.books.latencies

    @property
    def truth(self) -> Truth:
        """Whether it was true."""
        return self.books.truth

    def _temporary(self, gateway: str) -> Path:
        """Where a gateway's store lies when nobody wants to keep it."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="twinloop-")
        return Path(self._folder.name) / f"store-{gateway}.sqlite"

    def stop(self) -> None:
        """End the run between two events, or in the middle of a guest's computing; safe in a signal
        handler."""
        self.env.stopped = self.host.interrupted = True

    def outside_notes(self) -> list[str]:
        """What the way to real devices has to say; nothing when there are none."""
        return [] if self._outside is None else self._outside.notes()

    # ---- running ---------------------------------------------------------------------------------
    def boot(self) -> None:
        """Boot the gateways in the time before 0; raises ConfigRefused or InvariantError when one doesn't
        come up, HostLimitError when this machine hasn't room for all their instances."""
        self.host.require_room(
            sum(slot.spec.component.memories for gateway in self.gateways for slot in gateway.rack.slots)
        )
        for gateway in self.gateways:
            gateway.boot()
        self.advance(-1)
        if self.env.stopped:
            return
        self.field.require_started()
        for gateway in self.gateways:
            gateway.machine.boot_busy_ns = gateway.machine.busy_total_ns()
            if gateway.supervisor.refused is not None:
                raise gateway.supervisor.refused
            if gateway.state != "up" and not self.env.stopped:
                raise InvariantError(f"gateway {gateway.name} did not boot within {BOOT_HORIZON_NS} ns")

    def run(self) -> bool:
        """Boot, run to the end, settle; True when it ended by itself, False when it was stopped."""
        self.boot()
        return self.finish()

    def finish(self) -> bool:
        """Run a booted world to the end, settle, audit; as ``run``."""
        self.advance(self.spec.duration_ns)
        self._settle()
        return self.close_books()

    def close_books(self) -> bool:
        """The end of a run that has settled, or was stopped: every sample gets its end; as ``run``."""
        self._finish()
        return not self.env.stopped

    def advance(self, until_ns: int) -> None:
        """Run everything that is due at or before ``until_ns``; the clock stands at the last event."""
        turn = WIRE_EVENTS if self.pacer is not None and self.pacer.wire else PROGRESS_EVENTS
        while True:
            limit_ns = until_ns if self.pacer is None else self._by_now(until_ns, self.pacer)
            if self.some(limit_ns, turn) and (limit_ns == until_ns or self.env.stopped):
                return

    def some(self, until_ns: int, events: int) -> bool:
        """Run at most so many events that are due by then; were those all?"""
        with self.field.inside():
            done = self.env.run_to(until_ns, self.ledger, events)
        self.events += done
        self.trace.flush()
        if self.progress is not None:
            self.progress(self.env.now)
        return done < events

    def _by_now(self, until_ns: int, pacer: Pacer) -> int:
        """Up to where it is time: gateways boot as fast as they can, and nobody waits for nothing."""
        due_ns = self.env.next_ns
        next_ns = until_ns + 1 if due_ns is None else due_ns
        if min(next_ns, until_ns) < 0 or (next_ns > until_ns and not pacer.wire):
            return until_ns
        return min(until_ns, pacer.reach(min(next_ns, until_ns)))

    def _settle(self) -> None:
        at = self.spec.duration_ns
        last = at + self.spec.settle_ns
        while not self.settled(at):
            at += SETTLE_CHECK_NS
            next_ns = self.env.next_ns
            if self.pacer is None and (next_ns is None or next_ns > at):
                # nothing changes until then, whoever looks
                at = last if next_ns is None else at - (at - next_ns) // SETTLE_CHECK_NS * SETTLE_CHECK_NS
            at = min(last, at)
            self.advance(at)

    def settled(self, at_ns: int) -> bool:
        """Of a run that has come to ``at_ns``, at or after its duration: is there nothing to wait for any
        more?"""
        if at_ns == self.spec.duration_ns and not self.duration_over:
            self._end_duration()
        if at_ns >= self.spec.duration_ns + self.spec.settle_ns or self.env.stopped:
            return True
        return not self.ledger.open and not self.books.derived.open and not self.unfinished()

    def _end_duration(self) -> None:
        """What follows is settling: it is in no share of the time."""
        self.duration_over = True
        for gateway in self.gateways:
            gateway.machine.busy_in_run_ns = gateway.machine.busy_total_ns() - gateway.machine.boot_busy_ns
        for line in self.field.lines.values():
            line.occupancy.busy_in_run_ns = line.occupancy.busy_until(self.spec.duration_ns)

    def unfinished(self) -> bool:
        """A command or an upgrade is under way, trouble of the timeline isn't over, a pair has no leader yet
        or has one that is being made, or an expectation waits for something (``... within 60 s after heal
        cloud``)."""
        return (
            self.env.now < self.timeline.last_ns
            or bool(self.commands.open())
            or self.rollout.under_way()
            or any(pair.moving for pair in self.pairs)
            or any(asked() for asked in self.waiting_for)
        )

    def _finish(self) -> None:
        """Nothing stays open: what waits in a store is cached, the rest has run out of time."""
        self.finished = True
        if self._outside is not None:
            self._outside.finish()
        self.truth.finish()
        ledger = self.ledger
        for gateway in self.gateways:
            for slot in gateway.rack.all():
                slot.imports.instance_gone()
            gateway.outbox.finish()
        self.rollout.finish()
        for pair in self.pairs:
            pair.finish()
        for gateway in self.gateways:
            gateway.member.forget("end-of-run")
            for poller in gateway.pollers:
                poller.lose_derived("end-of-run")
        under_way = {
            id(row): poller
            for gateway in self.gateways
            for poller in gateway.pollers
            for row in poller.rows()
        }
        for whole in list(ledger.rows.values()):
            for row in whole.shares if isinstance(whole, SharedRow) else [whole]:
                if row.open:
                    self._give_up(row, under_way)
        for command in self.commands.open():
            self._commanded(command).pipeline.command_done(command, "end-of-run")
        if not self.env.stopped:
            ledger.audit(self.closed_form)
            self.books.derived.audit()
        self.trace.digest()

    def _give_up(self, row: Row, under_way: dict[int, Poller]) -> None:
        self._require_care(row, under_way)
        read = row.open & row.read
        if read:
            self.ledger.close(row, read, End.LOST, "end-of-run")
        if row.open:
            self.ledger.close(row, row.open, End.MISSED, under_way[id(row)].why_not())

    def _require_care(self, row: Row, under_way: dict[int, Poller]) -> None:
        """What is open at the end is being polled, or lies in a store or a window (those have been closed):
        else it was forgotten."""
        carried = row.open & row.carried
        if carried or id(row) not in under_way:
            sample = self.ledger.sample(row.device, row.k, carried or row.open)
            raise InvariantError(f"{sample} is open at the end and in nobody's care")

    def closed_form(self, device: int) -> int:
        """How many points of a device are due in the whole run, from its plan alone."""
        return self.plans[device].closed_points()

    # ---- what happens ----------------------------------------------------------------------------
    def issue(self, command: Command) -> None:
        """Send a command down to the gateway that polls the device."""
        self.commands.issue(command)
        gateway = self._commanded(command)
        if not self.cloud.command(gateway.index, command):
            gateway.pipeline.command_done(command, "limit")

    def _commanded(self, command: Command) -> Gateway:
        """Who polls the device; of a pair, who leads or led last."""
        name = self.spec.devices[command.device].gateway
        pair = next((pair for pair in self.pairs if name in pair.names), None)
        return self.gateway_of_name[name] if pair is None else pair.commanded

    @property
    def polls(self) -> int:
        """Polls begun so far."""
        return sum(poller.polls for gateway in self.gateways for poller in gateway.pollers)

    def close(self) -> None:
        """Release every instance and file; the host stays. Twice is once."""
        if self.closed:
            return
        self.closed = True
        self.host.interrupted = False
        for gateway in self.gateways:
            gateway.close()
        self.field.close()
        if self._folder is not None:
            self._folder.cleanup()

"""A world: everything of one run, wired from a WorldSpec, run event by event, closed.

Belongs here: wiring, the loop, the end. Never: judgement (scenarios/). A run is a pure function of (spec,
component bytes, commands) to a trace; nothing of it lives at module level, and ``close`` must be called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from twinloop.components.contract.contract import Settings
from twinloop.components.host.host import Host
from twinloop.sim.accounts.latency import Latencies
from twinloop.sim.accounts.ledger import End, Ledger, Row, SharedRow
from twinloop.sim.accounts.schedule import SampleSchedule, put_on_timeline
from twinloop.sim.cloud.cloud import Cloud
from twinloop.sim.cloud.messages import Command
from twinloop.sim.gateway.books import Books
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.gateway.listener import LISTEN_CPU_NS, LISTEN_DEADLINE_NS
from twinloop.sim.gateway.poller import Poller
from twinloop.sim.gateway.reader import PointTable, point_configs, points_of, table_key
from twinloop.sim.gateway.readers import Readers, patience
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.kernel.clock import TROUBLE
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.pacer import Pacer
from twinloop.sim.kernel.wallclock import BOOT_HORIZON_NS, EPOCH_NS
from twinloop.sim.model.spec import ComponentSpec, DeviceSpec, GatewaySpec, StandbySpec, WorldSpec
from twinloop.sim.plant import Plant
from twinloop.sim.redundancy.pair import Pair
from twinloop.sim.truth.elsewhere import AttachedWorld, ElsewhereWitness
from twinloop.sim.truth.truth import Truth
from twinloop.sim.upgrade.rollout import Rollout
from twinloop.sim.upgrade.upgrades import Upgrades

PROGRESS_EVENTS = 1 << 14
"""events between two reports of progress, at which the trace is hashed too"""
WIRE_EVENTS = 200
"""the same where real devices take part: they are heard in between"""
SETTLE_CHECK_NS = 10_000_000
"""how often the end looks whether nothing is open any more"""
_LOST_OR_MISSED = (End.MISSED, End.LOST)


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
        self.finished = self.duration_over = False
        self.closed = False
        self.events = 0
        self.progress: Callable[[int], None] | None = None
        self.pacer: Pacer | None = None
        """keeps the wall's pace from t = 0 on; None: as fast as possible"""
        devices = spec.devices
        self.ledger = Ledger(
            [d.name for d in devices], [tuple(p.name for p in d.model.points) for d in devices]
        )
        self.latencies = Latencies([d.fleet for d in devices], len(spec.fleets))
        serial = dict.fromkeys(link.name for link in spec.links if link.serial_bd is not None)
        self.truth = Truth(self.env, self.ledger, [d.link in serial for d in devices])
        self.books = Books(self.ledger, self.latencies, self.truth)
        self.on_happened.append(lambda event: self.truth.trouble_everywhere(self.env._now))
        self.ledger.on_end = self._ended
        self.cloud = Cloud(
            self.env, self.ledger, self.latencies, self.trace, len(devices), len(spec.gateways)
        )
        self.never_carried: dict[tuple[int, End, str], int] = {}
        """(device, end, cause) -> points that never got a verdict; ``never_accepted``: that never reached the
        cloud"""
        self.never_accepted: dict[tuple[int, End, str], int] = {}
        self._commands = 0
        self.commands_issued: list[Command] = []
        self._commands_open: dict[int, Command] = {}
        self.waiting_for: list[Callable[[], bool]] = []
        self.commands_ended: dict[str, int] = {}
        self.on_sample_end: list[Callable[[Row, int, End, str], None]] = []
        """told of each that was neither delivered nor dropped"""
        self.on_command_done: list[Callable[[Command, str | None], None]] = []
        self.gateway_of_name: dict[str, Gateway] = {}
        self.pairs: list[Pair] = []
        self._pair_of: dict[str, Pair] = {}
        """gateway -> the pair of which it is one"""
        self.plans: list[SampleSchedule] = []
        self._readers = Readers(self.field, epoch_ns)
        self._tables: dict[tuple[str, str], PointTable] = {}
        self._folder: TemporaryDirectory[str] | None = None
        try:
            self._wire(store_path or self._temporary)
        except BaseException:
            self.close()
            raise

    def _temporary(self, gateway: str) -> Path:
        """Where a gateway's store lies when nobody wants to keep it."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="twinloop-")
        return Path(self._folder.name) / f"store-{gateway}.sqlite"

    # ---- wiring ----------------------------------------------------------------------------------
    def _wire(self, store_path: Callable[[str], Path]) -> None:
        components = {component.name: component for component in self.spec.components}
        for index, spec in enumerate(self.spec.gateways):
            self._wire_gateway(index, spec, components, store_path(spec.name))
        for spec in self.spec.gateways:
            if spec.standby is not None:
                self._wire_pair(spec.name, spec.standby)
        for i, device in enumerate(self.spec.devices):
            plan = SampleSchedule(self.env, self.ledger, self.trace, i, device, self.spec.duration_ns)
            plan.source, plan.news = self.field.source(i, device), self.field.news(i, device)
            if plan.news is not None:
                self.ledger.asked[i] = 0
            self.plans.append(plan)
            pair = self._pair_of.get(device.gateway)
            for name in (device.gateway,) if pair is None else pair.names:
                plan.pollers.append(
                    self._wire_device(self.gateway_of_name[name], i, device, components[device.driver])
                )
        for gateway in self.gateways:
            cuts = self.streams.stream(f"upgrade/{gateway.name}/cuts")
            gateway.upgrades = Upgrades(
                gateway,
                gateway.spec.upgrade,
                self.spec.trusted,
                [slot.spec for slot in gateway.rack.slots],
                cuts,
            )
        self.rollout = Rollout(self.env, self.trace, self.cloud, self.gateway_of_name, self.spec.offers)
        put_on_timeline(self.env, self.plans, self.spec.duration_ns)
        self.put_trouble()

    def _wire_pair(self, name: str, spec: StandbySpec) -> None:
        mine = [i for i, device in enumerate(self.spec.devices) if device.gateway == spec.of]
        pair = Pair(
            self.env,
            len(self.pairs),
            self.trace,
            self.cloud,
            spec,
            self.gateway_of_name[spec.of],
            self.gateway_of_name[name],
            self.links[spec.link],
            self.happened,
            lambda: sum(self.ledger.duplicates_of.get(i, 0) for i in mine),
        )
        self.pairs.append(pair)
        self._pair_of.update(dict.fromkeys(pair.names, pair))
        self.env.call_at(0, pair.begin, priority=TROUBLE)

    def _wire_gateway(
        self, index: int, spec: GatewaySpec, components: dict[str, ComponentSpec], store_path: Path
    ) -> None:
        named = spec.name if spec.standby is None else spec.standby.of
        mine = [device for device in self.spec.devices if device.gateway == named]
        used = dict.fromkeys([spec.transform, spec.policy, *(device.driver for device in mine)])
        metered = any(components[name].cpu_ns is not None for name in used)
        gateway = Gateway(
            self.env,
            self.trace,
            index,
            spec,
            self.host,
            self.books,
            self.cloud,
            self.links[spec.uplink.link],
            self.streams,
            metered,
            store_path,
            self.epoch_ns,
        )
        self.gateways.append(gateway)
        self.gateway_of_name[spec.name] = gateway
        gateway.pipeline.on_command = self._command_done
        gateway.machine.on_event = self.happened
        points, gateway.point_ids = points_of(mine)
        shortest_ns = min((device.poll_ns for device in mine), default=1_000_000_000)
        gateway.rack.transform = self._slot(
            gateway, components[spec.transform], "transform", Settings("", points, []), shortest_ns
        )
        gateway.rack.policy = self._slot(
            gateway, components[spec.policy], "policy", Settings("", points, []), shortest_ns
        )

    def _slot(
        self,
        gateway: Gateway,
        spec: ComponentSpec,
        name: str,
        settings: Settings,
        deadline_ns: int,
        extra: tuple[tuple[str, str], ...] = (),
    ) -> Slot:
        options = dict(spec.options)
        for key, value in extra:
            options.setdefault(key, value)
        settings = settings._replace(options=list(options.items()))
        linked, meter = self.host.link(spec.component, spec.grants), gateway.machine.budget.meter(spec.name)
        slot = Slot(
            gateway.machine,
            f"{gateway.name}/{name}",
            spec,
            linked,
            settings,
            meter,
            spec.deadline_ns or deadline_ns,
        )
        gateway.rack.slots.append(slot)
        return slot

    def _wire_device(self, gateway: Gateway, index: int, spec: DeviceSpec, driver: ComponentSpec) -> Poller:
        table = self._table(gateway, spec)
        points = table.points
        listens = spec.protocol == "mqtt" or spec.subscribed is not None
        deadline_ns = LISTEN_DEADLINE_NS if listens else spec.poll_ns
        if listens and driver.cpu_ns is None:
            driver = replace(driver, cpu_ns=LISTEN_CPU_NS)
        options = self.field.options(gateway.name, spec, driver.deadline_ns)
        if driver.component.options is not None and not any(
            option.name == "wait" for option in driver.component.options
        ):
            options = tuple(pair for pair in options if pair[0] != "wait")  # it says what it takes
        if not listens:
            options += patience(driver, driver.deadline_ns or deadline_ns, spec.exchanges)
        slot = self._slot(
            gateway, driver, f"driver/{spec.name}", Settings(spec.name, points, []), deadline_ns, options
        )
        poller = self._readers.make(gateway, index, spec, slot, table)
        serving = (
            self._outside.serving(spec.name) if self._outside is not None and spec.place is not None else None
        )
        if serving is not None:
            poller.witness = ElsewhereWitness(
                poller.witness, serving, self.env, index, self.field.servers[index].device
            )
        gateway.add_poller(poller)
        if self.spec.offers:
            poller.remember()
        return poller

    def _table(self, gateway: Gateway, spec: DeviceSpec) -> PointTable:
        """What devices of one model share on a gateway."""
        key = gateway.name, table_key(spec)
        if key not in self._tables:
            self._tables[key] = PointTable(
                point_configs(spec.model, gateway.point_ids[key[1]], spec.protocol)
            )
        return self._tables[key]

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
        self.host.require_room(sum(len(gateway.rack.slots) for gateway in self.gateways))
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
            self.progress(self.env._now)
        return done < events

    def _by_now(self, until_ns: int, pacer: Pacer) -> int:
        """Up to where it is time: gateways boot as fast as they can, and nobody waits for nothing."""
        next_ns: int = self.env._queue[0][0] if self.env._queue else until_ns + 1  # type: ignore[assignment]
        if min(next_ns, until_ns) < 0 or (next_ns > until_ns and not pacer.wire):
            return until_ns
        return min(until_ns, pacer.reach(min(next_ns, until_ns)))

    def _settle(self) -> None:
        at = self.spec.duration_ns
        while not self.settled(at):
            at = min(self.spec.duration_ns + self.spec.settle_ns, at + SETTLE_CHECK_NS)
            self.advance(at)

    def settled(self, at_ns: int) -> bool:
        """Of a run that has come to ``at_ns``, at or after its duration: is there nothing to wait for any
        more?"""
        if at_ns == self.spec.duration_ns and not self.duration_over:
            self._end_duration()
        if at_ns >= self.spec.duration_ns + self.spec.settle_ns or self.env.stopped:
            return True
        return not self.ledger.open and not self.unfinished()

    def _end_duration(self) -> None:
        """What follows is settling: it is in no share of the time."""
        self.duration_over = True
        for gateway in self.gateways:
            gateway.machine.busy_in_run_ns = gateway.machine.busy_total_ns() - gateway.machine.boot_busy_ns
        for line in self.field.lines.values():
            line.busy_in_run_ns = line.busy_until(self.spec.duration_ns)

    def unfinished(self) -> bool:
        """A command or an upgrade is under way, trouble of the timeline isn't over, a pair has no leader yet
        or has one that is being made, or an expectation waits for something (``... within 60 s after heal
        cloud``)."""
        return (
            self.env._now < self.timeline.last_ns
            or bool(self._commands_open)
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
            gateway.outbox.finish()
        self.rollout.finish()
        for pair in self.pairs:
            pair.finish()
        for gateway in self.gateways:
            gateway.member.forget("end-of-run")
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
        for command in list(self._commands_open.values()):
            self._commanded(command).pipeline.command_done(command, "end-of-run")
        if not self.env.stopped:
            ledger.audit(self.closed_form)
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
    def _ended(self, row: Row, mask: int, end: End, cause: str) -> None:
        self.trace.add((self.env._now, "end", row.device, row.k, mask, end.value, cause))
        if self.spec.phases:
            self.ended_in_phase(row, mask, end, cause)
        if end is End.DELIVERED or end is End.DROPPED:
            return
        for told in self.on_sample_end:
            told(row, mask, end, cause)
        device = row.device
        if end in _LOST_OR_MISSED:
            never = (mask & ~row.carried).bit_count()
            if never:
                self.latencies.never_carried(device, never, row.due_ns)
                self.never_carried[device, end, cause] = (
                    self.never_carried.get((device, end, cause), 0) + never
                )
        self.never_accepted[device, end, cause] = (
            self.never_accepted.get((device, end, cause), 0) + mask.bit_count()
        )
        self.latencies.never_accepted(device, mask.bit_count(), row.due_ns)

    def next_command(self) -> int:
        """Commands count from 1."""
        self._commands += 1
        return self._commands

    def issue(self, command: Command) -> None:
        """Send a command down to the gateway that polls the device."""
        self.commands_issued.append(command)
        self._commands_open[command.number] = command
        gateway = self._commanded(command)
        self.trace.emit("command", command.device, command.number, "issued", "")
        if not self.cloud.command(gateway.index, command):
            gateway.pipeline.command_done(command, "limit")

    def _commanded(self, command: Command) -> Gateway:
        """Who polls the device; of a pair, who leads or led last."""
        name = self.spec.devices[command.device].gateway
        return self._pair_of[name].commanded if name in self._pair_of else self.gateway_of_name[name]

    def _command_done(self, command: Command, cause: str | None) -> None:
        del self._commands_open[command.number]
        state = cause or "done"
        self.commands_ended[state] = self.commands_ended.get(state, 0) + 1
        for told in self.on_command_done:
            told(command, cause)

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

"""What the screens want to know beyond a snapshot: the log, last values, latency over time, the slowest
samples, a device's frames.

Belongs here: listening to a world without changing it. Never: drawing, commands. Everything kept has a named
limit.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from twinloop.components.host.batch import Batch
from twinloop.components.host.outcome import Fault
from twinloop.devices.model.misbehaviour import Spread
from twinloop.scenarios.page.windows import Windows
from twinloop.scenarios.text.units import show_duration
from twinloop.sim.accounts.latency import STAGES
from twinloop.sim.accounts.rows import End
from twinloop.sim.accounts.rows import Row as Sample
from twinloop.sim.gateway.poller import Poller
from twinloop.sim.gateway.reader import Reader
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.kernel.clock import NEVER_NS, Environment, Event
from twinloop.sim.kernel.trace import KINDS, Record
from twinloop.sim.model.spec import Action
from twinloop.sim.snapshot import SLOT_STATES
from twinloop.sim.world import World
from twinloop.tui.engine.counting import Rates, Samples
from twinloop.tui.engine.each_device import EachDevice
from twinloop.tui.engine.explored import DeviceView, Frame, Gone, Slow
from twinloop.tui.engine.messages import DeviceRow, LogLine, Span
from twinloop.tui.engine.over_time import OverTime, window_ns
from twinloop.tui.engine.standouts import NAMED_MAX, StandOuts, grid_ns

LOG_MAX = 2000
"""lines of the log"""
FRAMES_MAX = 40
HISTORY_MAX, HISTORY_MIN, HISTORY_ALL = 240, 16, 100_000
"""batches of one device that are kept; so many of all devices, but never fewer of each than the least"""
HAPPENED_MAX = 1000
"""entries of the timeline that are remembered"""
SPARK_MAX = 24
"""of them in a table"""
TOLD = (
    "trouble",
    "link",
    "phase",
    "gateway",
    "session",
    "component",
    "fault",
    "role",
    "failover",
    "handover",
    "upgrade",
    "swap",
    "limit",
    "breach",
    "alert",
    "command",
)
"""kinds of records that are lines of the log; the others come with every poll"""

_kind = itemgetter(1)
BOOT = ("gateway", "fault")
"""those of the first boot; all else that it brings is nobody's news"""


class Watch:
    """Sees one world from its beginning on."""

    def __init__(self, world: World) -> None:
        self.world, self._env = world, world.env
        self.log: deque[LogLine] = deque(maxlen=LOG_MAX)
        self._number = 0
        self.seen: dict[str, int] = {}
        """kind of record -> how many there were"""
        count = len(world.spec.devices)
        depth = max(HISTORY_MIN, min(HISTORY_MAX, HISTORY_ALL // max(1, count)))
        self.values: list[tuple[float | None, int, int]] = [(None, 0, -1)] * count
        self.happened: deque[tuple[int, str]] = deque(maxlen=HAPPENED_MAX)
        """(when, what) of the timeline's entries that have begun, those after an event too"""
        self._begun: dict[tuple[int, str, str], int] = {}
        """(when, what, to what) of those and of the ones that an event has brought about -> until when"""
        world.timeline.on_begin.append(self._began)
        self.due: deque[tuple[int, str]] = deque(maxlen=HAPPENED_MAX)
        """(when, what) of entries that an event has put on the timeline, those that have begun too"""
        world.timeline.on_due.append(self._is_due)
        self._history: list[deque[tuple[float, ...]]] = [deque(maxlen=depth) for _ in range(count)]
        self.each = EachDevice(world)
        longest_ns = max((device.poll_ns for device in world.spec.devices), default=0)
        fleets = len(world.spec.fleets)
        fleet_of = [device.fleet for device in world.spec.devices]
        grid = grid_ns(window_ns(world.spec.duration_ns), Windows.of(world.spec).size_ns)
        self.standouts = StandOuts(grid, fleet_of, tuple(world.spec.fleets))
        self.over_time = over_time = OverTime(world)
        self.carried = Samples(over_time.gateway, Rates(fleets, longest_ns), fleet_of)
        self.delivered = Samples(over_time.cloud, Rates(fleets, longest_ns), fleet_of)
        self._fleet_of, self._keep = fleet_of, self.carried.keep
        self._port: Tapped | None = None
        world.trace.sinks.append(self._took)
        world.latencies.watch_windows(False, self._carried, self._never)
        world.latencies.watch_windows(True, self.delivered.came, over_time.cloud.never)
        world.books.on_readings.append(self._read)
        world.ends.on_end.append(self._ended)
        self._pollers: dict[int, list[Poller]] = {}
        self._trapped: dict[tuple[int, str], tuple[str, tuple[str, ...]]] = {}
        """(when, slot) of a fault that the trace is about to tell -> its component, in which functions"""
        for gateway in world.gateways:
            gateway.supervisor.complaints.on_fault.append(self._faulted)
            for poller in gateway.pollers:
                self._pollers.setdefault(poller.index, []).append(poller)

    def name(self, devices: list[str]) -> None:
        """Count what goes wrong with these one by one, too."""
        numbers = {name: index for index, name in enumerate(self.world.ledger.names)}
        some = [name for name in devices if name in numbers][:NAMED_MAX]
        self.standouts.named = {numbers[name]: name for name in some}

    # ---- listening -------------------------------------------------------------------------------
    def _began(self, action: Action) -> None:
        self.happened.append((self.world.env.now, f"{action.verb} {action.target}"))
        self._remember(action)

    def _is_due(self, action: Action) -> None:
        self.due.append((action.at_ns, f"{action.verb} {action.target}"))
        self._remember(action)

    def _remember(self, action: Action) -> None:
        until_ns = -1 if action.until_ns is None else action.until_ns
        self._begun[action.at_ns, action.verb, action.target] = until_ns
        if len(self._begun) > HAPPENED_MAX:
            del self._begun[next(iter(self._begun))]

    def _took(self, records: list[Record]) -> None:
        kinds = Counter(map(_kind, records))
        for kind, count in kinds.items():
            self.seen[kind] = self.seen.get(kind, 0) + count
        if not kinds.keys().isdisjoint(TOLD):
            for record in records:
                kind = record[1]
                if kind in TOLD:
                    self._news(record, kind)
        if self.carried.many or self.delivered.many:
            self.count()

    def _news(self, record: Record, kind: str) -> None:
        trapped = self._trapped.pop((record[0], record[2]), ("", ())) if kind == "fault" else ("", ())
        if record[0] >= 0 or kind in BOOT:
            self._tell(record, *trapped)

    def count(self) -> None:
        """Count what waits to be counted: before each view."""
        self.each.came(self.carried.count())
        self.delivered.count()

    def _tell(self, record: Record, component: str, functions: tuple[str, ...]) -> None:
        at_ns, kind, words = record[0], record[1], self._words(record, functions)
        last = self.log[-1] if self.log else None
        if kind == "limit" and last is not None and (last.kind, last.text) == (kind, words):
            return  # who hits one again and again would push all else out of the log
        self._number += 1
        self.log.append(LogLine(self._number, at_ns, kind, words, component))

    def _faulted(self, now_ns: int, slot: Slot, fault: Fault) -> None:
        self._trapped[now_ns, slot.name] = slot.spec.name, fault.functions

    def _words(self, record: Record, functions: tuple[str, ...] = ()) -> str:
        if record[1] == "fault":
            slot, cause, message, fuel = record[2:]
            where = f" in {' < '.join(functions)}" if functions else ""
            return f"{slot} {cause} after {fuel} fuel: {message}{where}"
        fields = dict(zip(KINDS[record[1]], record[2:], strict=True))
        for key, names in (
            ("gateway", [gateway.name for gateway in self.world.gateways]),
            ("device", self.world.ledger.names),
            (
                "pair",
                [f"{pair.standby.of} and {pair.name}" for pair in self.world.spec.gateways if pair.standby],
            ),
        ):
            value = fields.get(key)
            if isinstance(value, int) and 0 <= value < len(names):
                fields[key] = names[value]
        return " ".join(_shown(key, value) for key, value in fields.items() if value != "" and key != "mask")

    def _read(self, reader: Reader, row: Sample, batch: Batch) -> None:
        points, values, statuses, _, _ = batch
        if points:
            index = reader.index
            self.values[index] = values[0], statuses[0], self._env.now
            if len(values) == len(reader.table.ids):
                self._history[index].append(values)

    def _carried(self, *sample: int) -> None:
        """A sample has its verdict: most only wait to be counted."""
        self._keep(sample)
        device, _, total_ns, due_ns = sample
        stand = self.standouts
        if (
            total_ns > stand.bars[self._fleet_of[device]]
            or due_ns + total_ns >= stand.until_ns
            or due_ns < stand.from_ns
        ):
            self._looked_at(device, total_ns, due_ns)

    def _looked_at(self, device: int, total_ns: int, due_ns: int) -> None:
        """It may stand out, or a window is over."""
        now, busy, stand = self._env.now, self.over_time.busy, self.standouts
        if now >= busy.next_ns:
            busy.read()
        if stand.takes(device, total_ns, due_ns):
            poller = next(
                (one for one in self._pollers[device] if one.row is not None and one.row.due_ns == due_ns),
                None,
            )
            spent = (0,) * len(STAGES) if poller is None else tuple(poller.times.spent_ns)
            k = -1 if poller is None or poller.row is None else poller.row.k
            stand.add(Slow(device, k, total_ns, spent, due_ns))
        stand.look(device, now, busy.next_ns)

    def _never(self, device: int, points: int, due_ns: int) -> None:
        self.over_time.gateway.never(device, points, due_ns)
        self.each.worst_ns[device] = NEVER_NS

    def _ended(self, row: Sample, mask: int, end: End, cause: str) -> None:
        busy = self.over_time.busy
        if self.world.env.now >= busy.next_ns:
            busy.read()
        if end is End.MISSED or end is End.LOST:
            points = mask.bit_count()
            self.over_time.went_wrong(self.standouts.fleet_of[row.device], points, row.due_ns)
            self.each.ended(row.device, points, end)
        if end is End.MISSED or end is End.LOST or end is End.EVICTED:
            now, points = self.world.env.now, mask.bit_count()
            self.standouts.gone(Gone(row.device, row.k, row.due_ns, points, end.value, cause, now))
        if end is End.MISSED:
            value, _, when = self.values[row.device]
            self.values[row.device] = value, 0x80310000, when

    # ---- telling ---------------------------------------------------------------------------------
    def lines(self, after: int) -> tuple[LogLine, ...]:
        """Of the log, those that are younger."""
        return tuple(line for line in self.log if line.number > after)

    @property
    def spans(self) -> tuple[Span, ...]:
        """Entries that have begun, or that an event has brought about, with their ends."""
        return tuple(
            Span(at_ns, until_ns, verb, target) for (at_ns, verb, target), until_ns in self._begun.items()
        )

    def device(self, index: int) -> DeviceView:
        """One device now; from the first time on its frames are kept."""
        self.select(index)
        server = self.world.field.servers[index]
        device = server.device
        device.advance(max(0, self.world.env.now))
        values: list[tuple[float | str | None, int]] = []
        for point in self.world.spec.devices[index].table.points:
            i = device.model.index(point.name)
            if i is None:
                values.append((None, 0))
                continue
            text = device.model.points[i].text is not None
            values.append((device.image.text(i) if text else device.image.value(i), device.status(i)))
        frames = () if self._port is None else tuple(self._port.frames)
        history = tuple(array("d", column) for column in zip(*self._history[index], strict=True))
        return DeviceView(index, tuple(values), self.faults(index), frames, history)

    def faults(self, index: int) -> tuple[str, ...]:
        """What is wrong with a device now."""
        server = self.world.field.servers[index]
        return tuple(
            [fault.kind for fault in getattr(server, "faults", []) if not isinstance(fault, Spread)]
            + [overlay.kind for overlay in server.device.image.overlays]
        )

    def row(self, index: int) -> DeviceRow:
        """One device of the table."""
        value, status, read_ns = self.values[index]
        return DeviceRow(
            index,
            self.faults(index),
            tuple(values[0] for values in list(self._history[index])[-SPARK_MAX:]),
            value,
            status,
            read_ns,
            self.each.missed[index],
            self.each.lost[index],
            self._state(index),
        )

    def _state(self, index: int) -> str:
        """Of a device's driver: of a pair, of the one that leads."""
        sending = [one for one in self._pollers.get(index, []) if one.pipeline.member.sends]
        return sending[-1].slot.state if sending else SLOT_STATES[0]

    def select(self, index: int) -> None:
        """Keep this device's frames, and no other's."""
        if self._port is not None and self._port.index == index:
            return
        if self._port is not None:
            self._port.poller.port = self._port.port
            self._port = None
        for poller in self._pollers.get(index, [])[:1]:
            self._port = Tapped(self.world.env, poller, index)
            poller.port = self._port


def _shown(key: str, value: object) -> str:
    """A field of a record for people: times have a unit, and names of figures don't end in theirs."""
    if isinstance(value, int) and (key == "ns" or key.endswith("_ns")):
        return show_duration(value)
    if key == "detail":
        return " ".join(word.removesuffix("_ns").replace("_", " ") for word in str(value).split())
    return str(value)


class Tapped:
    """A port that keeps what goes through it; the timeline is the same with it."""

    def __init__(self, env: Environment, poller: Reader, index: int) -> None:
        self.poller, self.port, self.index, self._env = poller, poller.port, index, env
        self.frames: deque[Frame] = deque(maxlen=FRAMES_MAX)

    def transact(self, request: bytes, reply: Any, timeout_ns: int, limit_ns: int) -> Event:
        """As the port's, and kept."""
        self._keep(">", request)
        return self._heard(self.port.transact(request, reply, timeout_ns, limit_ns))

    def send(self, data: bytes, timeout_ns: int) -> Event:
        """As the port's, and kept."""
        self._keep(">", data)
        return self.port.send(data, timeout_ns)

    def receive(self, frame: Any, timeout_ns: int) -> Event:
        """As the port's, and kept."""
        return self._heard(self.port.receive(frame, timeout_ns))

    def _keep(self, way: str, data: bytes) -> None:
        self.frames.append(Frame(self._env.now, way, bytes(data)))

    def _answer(self, value: Any) -> None:
        ok, payload = value
        if ok and isinstance(payload, bytes):
            self._keep("<", payload)
        elif not ok:
            self._keep("!", str(payload[0]).encode())

    def _heard(self, inner: Event) -> Event:
        if inner.fired:
            self._answer(inner.value)
            return inner
        outer = Event(self._env)

        def happen(value: Any) -> None:
            self._answer(value)
            outer.fire(value)

        inner.task = _Relay(happen)  # type: ignore[assignment]  # all that a signal asks of a task
        return outer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.port, name)


class _Relay:
    """Stands where a task would wait."""

    def __init__(self, happen: Callable[[Any], None]) -> None:
        self.happen = happen

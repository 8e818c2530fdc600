"""``twinloop run --perfetto FILE``: a run as a trace for ui.perfetto.dev.

Belongs here: what is a track, a slice, an instant or a counter. Never: bytes (packets.py), how a core is
watched (cores.py), what happened in a run's own records (happenings.py). Whatever is watched goes on as it
would without: the digest of a run is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from twinloop.scenarios.export import cores
from twinloop.scenarios.export.happenings import Happenings
from twinloop.scenarios.export.packets import EVENTS_MAX, PacketFile, protos
from twinloop.scenarios.report.folder import Folder
from twinloop.scenarios.text.words import number_of
from twinloop.sim.field.serial_port import Master
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.wallclock import BOOT_HORIZON_NS
from twinloop.sim.network.serial_line import Line
from twinloop.sim.world import World

THREADS_PER_PROCESS = 1 << 16
"""a gateway's cores have the numbers from its own times this on; none has as many"""


class PerfettoTrace:
    """Asked for before a run; called with its world it writes the trace while the run goes on. ``limit``: of
    events. Raises ScenarioError when the package isn't installed, or the file can't be made."""

    def __init__(self, path: Path, limit: int = EVENTS_MAX) -> None:
        self._path, self._limit = path, limit
        self._messages = protos()
        self.told = ""
        """what the user must know of the trace; empty when it is whole"""

    @contextmanager
    def __call__(self, world: World, folder: Folder | None) -> Iterator[None]:
        """While this is entered the run is written."""
        file = PacketFile(self._path, self._messages, self._limit)
        try:
            shown = _Shown(world, file)
            yield
            shown.finish()
            self.told = shown.cut_short(self._path)
        finally:
            file.close()


class _Shown:
    """One world and its trace."""

    def __init__(self, world: World, file: PacketFile) -> None:
        self._world, self._file = world, file
        self._about = file.track("about this trace")
        groups: list[int] = []
        for gateway in world.gateways:
            group = file.process(f"gateway {gateway.name}", gateway.index + 1)
            groups.append(group)
            _watch_cores(gateway, file)
            _count(gateway, file, group)
        lines = file.track("serial lines") if world.field.lines else 0
        for line in world.field.lines.values():
            for master in line.listeners:
                if isinstance(master, Master):
                    _watch_line(line, master, world, file, lines)
        self._happenings = Happenings(world, file, groups)
        file.note(
            self._about, -BOOT_HORIZON_NS, "clock", clock="simulated time in ns since boot began",
            scenario_begins_at_ns=BOOT_HORIZON_NS, duration_ns=world.spec.duration_ns,
        )  # fmt: skip
        file.note(self._about, 0, "the scenario begins", scenario_ns=0)

    def finish(self) -> None:
        """The run is over, however it ended."""
        world = self._world
        world.trace.flush()
        now = max(world.env.now, 0)
        self._happenings.finish(now)
        busy = {f"busy_ns_of_{gateway.name}": gateway.machine.busy_total_ns() for gateway in world.gateways}
        self._file.note(self._about, now, "the run ends", **busy)
        if self._file.dropped:
            self._file.note(
                self._about, now, "this trace is not whole", events=self._file.events,
                left_out=self._file.dropped,
            )  # fmt: skip

    def cut_short(self, path: Path) -> str:
        """That events are missing, and what to do; empty when none is."""
        file = self._file
        if not file.dropped:
            return ""
        return (
            f"{path}: the trace holds the first {number_of(file.events, 'event')}, and "
            f"{number_of(file.dropped, 'event')} after them are left out; run the scenario with a shorter "
            f"duration (--set duration=...) to have all of them"
        )


def _watch_cores(gateway: Gateway, file: PacketFile) -> None:
    """A track a core, and on it who held it."""
    machine = gateway.machine
    process = gateway.index + 1
    tracks = [
        file.thread(process, process * THREADS_PER_PROCESS + core, f"core {core}")
        for core in range(machine.board.cores)
    ]
    at_speed: dict[float, dict[int, str]] = {}

    def held(core: int, since_ns: int, until_ns: int, component: str | None) -> None:
        if component is not None:
            file.slice(tracks[core], since_ns, until_ns, component, "component")
            return
        speed = machine.budget.speed
        if speed not in at_speed:
            at_speed[speed] = cores.works(machine)
        work = at_speed[speed].get(until_ns - since_ns, "work")
        file.slice(tracks[core], since_ns, until_ns, f"host: {work}", "host")

    meters = cores.watch(machine, held)
    for slot in gateway.rack.all():
        slot.meter = meters[slot.spec.name]


def _count(gateway: Gateway, file: PacketFile, group: int) -> None:
    """A gateway's counters, whenever one of them has changed."""
    outbox, machine = gateway.outbox, gateway.machine
    uplink, budget, env = outbox.uplink, machine.budget, machine.env
    read: list[tuple[int, Callable[[], int]]] = [
        (file.counter("messages that wait in the store", group, "messages"), lambda: outbox.backlog),
        (file.counter("messages in the uplink's window", group, "messages"), lambda: uplink.in_flight),
        (file.counter("memory of instances", group, "bytes"), lambda: budget.memory_bytes),
    ]
    last = [-1] * len(read)

    def look() -> None:
        for place, (track, value_of) in enumerate(read):
            value = value_of()
            if value != last[place]:
                last[place] = value
                file.value(track, env.now, value)

    look()
    outbox.on_backlog.append(lambda waiting: look())
    _after(outbox, "acknowledged", look)
    _after(outbox, "session_lost", look)
    for method in ("publish", "stop"):
        _after(uplink, method, look)
    _after(budget, "hold_memory", look)


def _after(owner: object, method: str, told: Callable[[], None]) -> None:
    """Call ``told`` after each call of that method of this one object; its class stays as it is."""
    plain = getattr(owner, method)

    def both(*arguments: object, **named: object) -> object:
        result = plain(*arguments, **named)
        told()
        return result

    setattr(owner, method, both)


def _watch_line(line: Line, master: Master, world: World, file: PacketFile, lines: int) -> None:
    """A track for each gateway's end of a line: from a request's first character until the next may go
    out."""
    several = len([one for one in line.listeners if isinstance(one, Master)]) > 1
    end = f" (end {line.listeners.index(master) + 1})" if several else ""
    track = file.track(f"line {line.name}{end}", lines)
    names = {
        id(device.server): world.spec.devices[device.index].name
        for mine in line.devices.values()
        for device in mine
    }
    take, release, env = master.take, master.release, line.env
    began = before = timeouts = 0

    def begun(start: Callable[[], None]) -> None:
        nonlocal began, before, timeouts
        began, before, timeouts = env.now, line.exchanges, line.timeouts
        start()

    def over() -> None:
        user = master.user
        if line.exchanges > before and user is not None:  # else nobody waited any more, and nothing went out
            name = names.get(id(user.server), "a device")
            late = {} if several else {"timed_out": int(line.timeouts > timeouts)}
            file.slice(track, began, env.now, name, "line", **late)
        release()

    for name, method in {"take": lambda start: take(lambda: begun(start)), "release": over}.items():
        setattr(master, name, method)

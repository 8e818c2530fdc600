"""What the screen and the engine's process say to one another: commands in, views out; plain, picklable,
without references to a world.

Belongs here: the protocol between two processes. Never: how a command is carried out (engine.py), how a view
is drawn (screens/).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from twinloop.sim.snapshot import Snapshot
from twinloop.tui.engine.explored import NOTHING_CLOSER, CloserView, DeviceView, Slow, Wanted
from twinloop.tui.engine.figures import Figures, Window

# ---- commands ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Play:
    """Go on, at so many times the wall's pace; None: as fast as it goes."""

    speed: Fraction | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Stand still, between two events."""


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One event, then stand still."""


@dataclass(frozen=True, slots=True)
class RunTo:
    """As fast as it goes to an instant, then stand still."""

    to_ns: int


@dataclass(frozen=True, slots=True)
class RunUntil:
    """As fast as it goes until a record of that kind is in the trace, then stand still."""

    kind: str


@dataclass(frozen=True, slots=True)
class Rewind:
    """Back to an instant; what was done later is undone."""

    to_ns: int


@dataclass(frozen=True, slots=True)
class Do:
    """An entry of a timeline, now: as a mapping, without times but ``for``. ``at_ns``: at that instant, where
    it is still to come (-1: at the next one)."""

    entry: dict[str, Any]
    at_ns: int = -1


@dataclass(frozen=True, slots=True)
class Save:
    """The session as a scenario file."""

    target: str


@dataclass(frozen=True, slots=True)
class Look:
    """A view. ``device``: whose details are wanted (-1: nobody's); ``line``: the last of the log that is
    known; ``rows``: of the fleet's table. What follows costs something for each device, or for each line and
    link, so it is only made for who asks: ``sort``: the column by which the table is sorted; ``levels``: what
    cells of all devices say, one of LEVELS; ``loads``; ``due``: points by fleet."""

    device: int = -1
    line: int = 0
    rows: tuple[int, ...] = ()
    sort: str = ""
    levels: str = ""
    loads: bool = False
    due: bool = False
    closer: Wanted | None = None
    """what is behind a figure, when somebody looks at that"""


@dataclass(frozen=True, slots=True)
class Quit:
    """The end; the engine's process ends. ``width``: of the report that is wanted before, in cells; 0:
    none."""

    width: int = 0


Command = Play | Pause | StepEvent | RunTo | RunUntil | Rewind | Do | Save | Look | Quit

# ---- replies -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One device of the plan. ``points``: (name, address or node, unit)."""

    name: str
    fleet: str
    protocol: str
    link: str
    gateway: str
    poll_ns: int
    points: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class FleetInfo:
    """One fleet of the plan: which devices, and how those are read."""

    name: str
    devices: Sequence[int]
    link: str
    gateway: str


@dataclass(frozen=True, slots=True)
class GatewayInfo:
    """One gateway of the plan."""

    name: str
    board: str
    cores: int
    ram_bytes: int
    uplink: str
    standby_of: str = ""
    store_bytes: int = 0
    """its capacity; 0: there is none"""
    band: str = ""
    """how far its modelled CPU times may be off, and where they come from"""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key beside a verb: must it be there, what it may look like, what there is to choose from (empty:
    anything)."""

    name: str
    needed: bool
    example: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VerbInfo:
    """What a timeline can hold: keys that may stand beside the verb, what it can be done to."""

    name: str
    meaning: str
    keys: tuple[KeyInfo, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """One entry of the timeline: from when until when (-1: it has no end of its own), what, to what."""

    at_ns: int
    until_ns: int
    verb: str
    target: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The scenario is there, gateways have booted."""

    name: str
    file: str
    seed: int
    duration_ns: int
    devices: tuple[DeviceInfo, ...]
    gateways: tuple[GatewayInfo, ...]
    verbs: tuple[VerbInfo, ...]
    coming: tuple[tuple[int, str], ...]
    """(at, what) of the timeline"""
    reactions: tuple[str, ...]
    """what follows an event: ``crash gw 5 s after heal cloud``"""
    kinds: tuple[str, ...]
    """of trace records"""
    budget_ns: int = 0
    """the tightest bound that an expectation sets to the gateway's latency; 0: none does"""
    budget: str = ""
    """that expectation"""
    spans: tuple[Span, ...] = ()
    """the entries of ``coming``, in their order"""
    fleets: tuple[FleetInfo, ...] = ()
    """in the order of the file"""
    cloud_budget_ns: int = 0
    """the tightest bound of the latency to the cloud; 0: there is none"""
    cloud_budget: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The scenario can't be run: a mistake of its author's, or this machine's limits."""

    text: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log. ``component``: of a fault, whose it is: an instance has a name of its own."""

    number: int
    at_ns: int
    kind: str
    text: str
    component: str = ""


@dataclass(frozen=True, slots=True)
class LiveVerdict:
    """An expectation as it stands now; ``verdict``: that of the run so far, or OPEN
    (report/standing.py). ``value``: what was
    measured, in ``unit`` (and of a point in ``point_unit``); None: no data."""

    text: str
    verdict: str
    measured: str
    value: float | None = None
    unit: str = ""
    point_unit: str = ""
    number: int = -1
    """in the file's order"""


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device of the table: its faults, the first point's last values, the last one with its status and
    when it was read (-1: never); points that were missed or lost; its driver's state."""

    index: int
    faults: tuple[str, ...]
    history: tuple[float, ...]
    value: float | None
    status: int
    read_ns: int
    missed: int
    lost: int
    state: str


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """One component's meter on a gateway."""

    gateway: str
    component: str
    calls: int
    fuel: int
    cpu_ns: int
    faults: int


@dataclass(frozen=True, slots=True)
class RewindView:
    """What there is to know of going back."""

    progress: float = 1.0
    """of rewinding, 0 to 1"""
    goal_ns: int = 0
    """where it stands, or will when it has been rewound"""
    count: int = 0
    """how often it went back so far"""
    marks: tuple[int, ...] = ()
    """instants from which rewinding can go on at once"""


@dataclass(frozen=True, slots=True)
class EntriesView:
    """The timeline's entries beside those of the plan: (when, what)."""

    stamped: tuple[tuple[int, str], ...]
    """those that were done live, as a file has them"""
    happened: tuple[tuple[int, str], ...]
    """those that have begun"""
    due: tuple[tuple[int, str], ...]
    """those that an event has brought about and that haven't begun"""
    spans: tuple[Span, ...]
    """all that have begun, or that an event or somebody at the keys has brought about"""
    left: tuple[int, ...]
    """how often each of the plan's reactions may still happen, in their order"""
    given: tuple[dict[str, Any], ...] = ()
    """those of ``stamped`` as mappings, without their instants"""


@dataclass(frozen=True, slots=True)
class View:
    """Everything that screens show. ``mode``: playing, paused, rewinding, over; ``latency``: at the
    gateway, of windows."""

    snapshot: Snapshot
    mode: str
    speed: float | None
    lag_ns: int
    verdicts: tuple[LiveVerdict, ...]
    log: tuple[LogLine, ...]
    carried_per_s: tuple[float, ...]
    """points by fleet that got a verdict"""
    delivered_per_s: tuple[float, ...]
    """points by fleet that the cloud has acknowledged"""
    restarts: tuple[int, ...]
    """of components, by gateway"""
    rows: tuple[DeviceRow, ...]
    latency: tuple[Window, ...]
    slowest: tuple[Slow, ...]
    instances: tuple[InstanceRow, ...]
    entries: EntriesView
    wrong: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """(from, points by fleet that ended as missed or lost) of each window of ``latency`` that has some"""
    figures: Figures = field(default_factory=Figures)
    verdict: str = ""
    """once it is over; so the trace's digest"""
    digest: str = ""
    rewind: RewindView = RewindView()
    closer: CloserView = NOTHING_CLOSER

    @property
    def device(self) -> DeviceView | None:
        """The selected device."""
        return self.closer.device

    @property
    def longest(self) -> tuple[Slow | None, ...]:
        """By stage the sample that was longest in it, of those that stand out."""
        return self.closer.longest


@dataclass(frozen=True, slots=True)
class Done:
    """A command was carried out; ``text`` says what."""

    text: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """A command that couldn't be, and why."""

    text: str


@dataclass(frozen=True, slots=True)
class FinalReport:
    """What is left of a session: the report on the run as far as it came."""

    text: str


@dataclass(frozen=True, slots=True)
class Died:
    """The engine's process has ended by a mistake of ours: its last words."""

    text: str


Reply = Ready | Refused | View | Done | Wrong | FinalReport | Died

"""What a world is made of: plain, frozen descriptions that a plan hands over. Validated before they come
here.

Belongs here: fields with units. Never: behaviour, defaults that a user would want to know
(scenarios/file/schema.py has them).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar, NamedTuple, Protocol

from twinloop.components.host.component import Component
from twinloop.components.releases.registry import Keys, Release, Version
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.manners import Manners
from twinloop.devices.model.protocols import PROTOCOLS, DeviceProtocol
from twinloop.records import dataclass
from twinloop.sim.model.boards import Board, End, HostProgram, Runtime
from twinloop.sim.model.pool import Pool
from twinloop.sim.model.wasi import NO_WASI, WasiSpec
from twinloop.sim.network.converter import ConverterModel
from twinloop.sim.network.link import LinkModel
from twinloop.sim.network.serial_line import LineTiming

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class DerivedSpec:
    """A point that a transform may add to what was read; what it is told of it."""

    name: str
    unit: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """A component as a scenario uses it. ``cpu_ns`` and ``deadline_ns`` limit one call (None: none, the poll
    period)."""

    name: str
    role: str
    component: Component
    grants: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    cpu_ns: int | None = None
    deadline_ns: int | None = None
    memory_bytes: int = 32 * MIB
    state_bytes: int = 64 << 10
    """quota of ``state`` for each instance"""
    wasi: WasiSpec = NO_WASI
    """what it is given of WASI"""
    start_ns: int = 1_000_000_000
    """CPU time that its start code may take"""
    version: Version | None = None
    """of the release that is installed at the beginning; None: not known, so it can't be upgraded"""
    derives: tuple[DerivedSpec, ...] = ()
    """of a transform: what it may add"""


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """A network link, or serial lines (``serial_bd`` set: then ``lines`` of them, and the model's loss and
    corruption apply).

    ``parity``: is it checked; ``character_bits`` 9 to 11; ``framing``: the same, as a real port is told;
    ``ascii``: the lines' transmission mode, else RTU.
    """

    name: str
    model: LinkModel
    serial_bd: int | None = None
    lines: int = 1
    character_bits: int = 11
    turnaround_ns: int = 0
    parity: bool = False
    framing: str = "8E1"
    ascii: bool = False

    @property
    def timing(self) -> LineTiming | None:
        """Of its lines, None for a network link."""
        return (
            None
            if self.serial_bd is None
            else LineTiming(
                self.serial_bd,
                self.character_bits,
                self.turnaround_ns,
                self.parity,
                int(self.framing[0]),
                self.ascii,
            )
        )


class Reached(NamedTuple):
    """By which converter a device is reached, and on which serial link it sits behind that."""

    converter: str = ""
    serial_link: str = ""


DIRECTLY = Reached()


@dataclass(frozen=True, slots=True)
class ConverterSpec:
    """A Modbus TCP to RTU converter: an endpoint on the network ``link``, master of the first line of
    ``serial_link``."""

    name: str
    link: str
    serial_link: str
    model: ConverterModel


@dataclass(frozen=True, slots=True)
class MqttSpec:
    """How a device publishes."""

    qos: int = 1
    retain: bool = False
    keep_alive_s: int = 30


@dataclass(frozen=True, slots=True)
class OpcUaSpec:
    """How a device is subscribed to: sampled every ``poll_ns``, its news published every ``publishing_ns``,
    ``queue`` values kept for an item."""

    publishing_ns: int = 1_000_000_000
    queue: int = 10


@dataclass(frozen=True, slots=True)
class PlaceSpec:
    """Where a real device is found: ``host`` and ``port``, or the ``path`` of a serial port. ``url``: as it
    was given."""

    url: str
    host: str = ""
    port: int = 0
    path: str = ""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """One device and the plan by which it is polled: due at phase + k * poll, for each k before the
    duration's end."""

    name: str
    fleet: int
    model: DeviceModel
    protocol: str
    unit_id: int
    poll_ns: int
    phase_ns: int
    overrun: str
    link: str
    line: int
    gateway: str
    driver: str
    response_ns: int
    mqtt: MqttSpec = MqttSpec()
    """of a device that publishes, every ``poll_ns``"""
    subscribed: OpcUaSpec | None = None
    """of an OPC UA device that isn't polled"""
    place: PlaceSpec | None = None
    """of a real device that is polled in its place"""
    believed: DeviceModel | None = None
    """the point table that its gateway goes by, if that isn't the device's own"""
    exchanges: int = 1
    """of one poll, one after the other: by them a timeout that nobody has said is fitted to its deadline"""
    own_manners: Manners | None = None
    """None: as its model"""
    reached: Reached = DIRECTLY
    """by which converter it is reached over ``link``"""

    @property
    def behind(self) -> str:
        """The converter by which it is reached, empty without one."""
        return self.reached.converter

    @property
    def serial_link(self) -> str:
        """Of a device behind a converter the link of the line on which it sits; else empty."""
        return self.reached.serial_link

    @property
    def wires(self) -> str:
        """The link on which it sits itself: ``link``, or the serial one behind its converter."""
        return self.serial_link or self.link

    @property
    def line_name(self) -> str:
        """The name of the serial line on which it sits, or would sit."""
        return f"{self.wires}/{self.line}"

    @property
    def manners(self) -> Manners:
        """What it does that its protocol leaves to it."""
        return self.model.manners if self.own_manners is None else self.own_manners

    @property
    def speaks(self) -> DeviceProtocol:
        """Its protocol."""
        return PROTOCOLS[self.protocol]

    @property
    def table(self) -> DeviceModel:
        """What its gateway takes it for: its points are due, read and written by their names there."""
        return self.model if self.believed is None else self.believed

    @property
    def asked_unit_id(self) -> int:
        """The unit id by which its gateway asks it: another one than its own if the table that is believed
        names another."""
        named = None if self.believed is None else self.believed.profile.unit
        return self.unit_id if named is None else named

    def response_at_ns(self, part: str) -> int:
        """How long an answer takes at the quantile ``part`` (of profile.QUANTILES); of a device that always
        takes as long, that."""
        spread = self.model.profile.response
        return self.response_ns + (0 if spread is None else getattr(spread, f"{part}_ns") - spread.min_ns)

    @property
    def listened_to(self) -> bool:
        """It isn't polled: it publishes, or is subscribed to."""
        return self.speaks.publishes or self.subscribed is not None


@dataclass(frozen=True, slots=True)
class UplinkSpec:
    """The way to the cloud. ``window`` messages may be unacknowledged; reconnects back off from first to max
    with jitter."""

    link: str
    window: int = 32
    retry_first_ns: int = 1_000_000_000
    retry_max_ns: int = 30_000_000_000
    retry_jitter: float = 0.2
    keep_alive_ns: int = 30_000_000_000
    user_timeout_ns: int = 10_000_000_000


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """Store and forward. ``drain_per_s`` messages a second beside fresh traffic; ``ttl_ns`` None: for ever.

    ``volatile``: in memory, gone with the process. ``refuse``: when it is full the newcomer is refused,
    instead of the oldest evicted. ``retry_ns``: what waits is tried every so often only, ``retries`` times at
    most (None: as soon as the uplink is up, and without end). ``flash_bytes_per_s`` None: what the board's
    flash takes.
    """

    capacity_bytes: int = 64 * MIB
    drain_per_s: int = 200
    commit_ns: int = 100_000_000
    ttl_ns: int | None = None
    volatile: bool = False
    refuse: bool = False
    retry_ns: int | None = None
    retries: int | None = None
    flash_bytes_per_s: int | None = None


@dataclass(frozen=True, slots=True)
class RestartSpec:
    """What follows a fault: backoff from first, doubling, to max, with jitter; quarantine after ``faults``
    within ``window_ns``.

    ``status_ns``: how often drivers are asked for their status; ``watchdog_ns``: how long the gateway may not
    get round to its watchdog before that resets it. None: never.
    """

    first_ns: int = 100_000_000
    max_ns: int = 10_000_000_000
    faults: int = 5
    window_ns: int = 60_000_000_000
    jitter: float = 0.2
    status_ns: int | None = None
    watchdog_ns: int | None = None


@dataclass(frozen=True, slots=True)
class StandbySpec:
    """Stands by for gateway ``of``: ``hot`` polls, too, and keeps what it reads for ``handover_ns``; ``warm``
    has its components up; ``cold`` brings them up when it is promoted, which it is after ``misses``
    heartbeats, one ``every_ns`` over ``link``, haven't come.

    ``arbiter`` cloud: who leads needs a lease of ``lease_ns``; none: nobody decides. ``preempt``: ``of``
    leads again when it is back.
    """

    of: str
    link: str
    mode: str = "hot"
    every_ns: int = 500_000_000
    misses: int = 3
    arbiter: str = "cloud"
    lease_ns: int = 1_500_000_000
    handover_ns: int = 5_000_000_000
    preempt: bool = False


@dataclass(frozen=True, slots=True)
class UpgradeSpec:
    """How a gateway takes an upgrade: ``fetch_ns`` is how long a download may take. For ``trial_ns`` after
    the swap it goes back when components have more than ``faults`` faults, more than ``failures`` (0 to 1) of
    the polls come to nothing, or more than TRIAL_LATE (sim/upgrade/trial.py) of them are over later than
    ``latency_ns`` (None: that isn't looked at).
    """

    trial_ns: int = 30_000_000_000
    faults: int = 2
    failures: float = 0.2
    latency_ns: int | None = None
    fetch_ns: int = 600_000_000_000


@dataclass(frozen=True, slots=True)
class OfferSpec:
    """A release as the registry offers it: what it states, and the bytes that lie there, whatever they
    are."""

    release: Release
    data: bytes


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """One gateway. ``runtime`` None: its board's own. ``small_reservation``: its memories reserve 64 MiB of
    addresses instead of 4 GiB, at a price. ``end``: its prices are those at that end of their bands."""

    name: str
    board: Board
    program: HostProgram
    transform: str
    policy: str
    uplink: UplinkSpec
    store: StoreSpec | None
    restart: RestartSpec = RestartSpec()
    doubt: HostProgram | None = None
    """where nobody has said what the host program is: another that it may be"""
    runtime: Runtime | None = None
    small_reservation: bool = False
    memories_max: int | None = None
    """so many memories does its process find addresses for; None: nothing is reserved"""
    pool: Pool | None = None
    """out of which its memories come; None: each is reserved when it is needed"""
    end: End = End.NOMINAL
    files: int | None = None
    """files and sockets that its process may have open; None: not looked at"""
    standby: StandbySpec | None = None
    upgrade: UpgradeSpec = UpgradeSpec()


class Happening(Protocol):
    """What happens to what: an instance of a verb's class (sim/trouble/)."""

    name: ClassVar[str]

    @property
    def target(self) -> str:
        """To what it happens."""

    @property
    def detail(self) -> str:
        """What a record of the trace says of it beside verb and target."""

    def begin(self, stage: Any, until_ns: int | None) -> Callable[[], None] | None:
        """Do it; returns what ends it."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that happens. ``until_ns`` is when it ends by itself."""

    at_ns: int
    deed: Happening
    until_ns: int | None = None

    @property
    def verb(self) -> str:
        """What happens."""
        return self.deed.name

    @property
    def target(self) -> str:
        """To what."""
        return self.deed.target


@dataclass(frozen=True, slots=True)
class Reaction:
    """An action that follows an event, ``delay_ns`` later, the first ``times`` times."""

    event: str
    delay_ns: int
    times: int
    for_ns: int | None
    action: Action


@dataclass(frozen=True, slots=True)
class PhaseSpec:
    """A named stretch of the run; a sample belongs to the phase in which it was due. ``heals``: all trouble
    ends when it begins."""

    name: str
    start_ns: int
    end_ns: int
    heals: bool = False


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """A whole plant with its trouble. Times in ns."""

    seed: int
    duration_ns: int
    settle_ns: int
    fleets: tuple[str, ...]
    devices: tuple[DeviceSpec, ...]
    links: tuple[LinkSpec, ...]
    components: tuple[ComponentSpec, ...]
    gateways: tuple[GatewaySpec, ...]
    timeline: tuple[Action, ...] = field(default=())
    reactions: tuple[Reaction, ...] = field(default=())
    phases: tuple[PhaseSpec, ...] = field(default=())
    offers: tuple[OfferSpec, ...] = field(default=())
    """what the registry has of what the timeline asks for"""
    trusted: Keys = field(default_factory=dict)
    """whose releases gateways believe"""
    converters: tuple[ConverterSpec, ...] = field(default=())

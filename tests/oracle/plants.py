"""What a small plant is, in plain numbers: what the oracle and the test that builds the same plant in
twinloop both read.

Belongs here: descriptions. Never: behaviour. Times are ns on the timeline; a packet's number is its place
among those offered one way of a leg.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MS = 1_000_000
S = 1_000 * MS


@dataclass(frozen=True)
class Wire:
    """A device's leg of a link, or a whole serial line. ``lost_up``, ``lost_down``: numbers of packets (from
    0) that are lost."""

    delay_ns: int = 0
    lost_up: frozenset[int] = frozenset()
    lost_down: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Device:
    """One Modbus device: due at phase + k * period. ``points``: of each block that the driver reads, how many
    points lie in it."""

    name: str
    phase_ns: int
    period_ns: int
    response_ns: int
    timeout_ns: int
    retries: int
    points: tuple[int, ...] = (1,)
    queues: bool = False
    """a poll that falls due while the one before goes on waits for it, instead of being skipped"""
    wire: Wire = Wire()


@dataclass(frozen=True)
class Store:
    """What keeps messages while the uplink can't take them."""

    capacity_bytes: int
    drain_per_s: int
    ttl_ns: int | None = None
    refuses: bool = False


@dataclass(frozen=True)
class Cloud:
    """The way to the cloud. ``cuts``: (from, until), in order, apart."""

    delay_ns: int
    user_timeout_ns: int
    retry_first_ns: int
    retry_max_ns: int
    window: int
    cuts: tuple[tuple[int, int], ...] = ()
    store: Store | None = None
    slow: tuple[tuple[int, int, int], ...] = ()
    """(from, until, delay) while the way is degraded"""


@dataclass(frozen=True)
class Plant:
    """One gateway, its devices, its cloud. ``line_bd``: the devices are on one serial line, whose losses
    ``line`` names."""

    duration_ns: int
    settle_ns: int
    devices: tuple[Device, ...]
    cloud: Cloud
    field_cuts: tuple[tuple[int, int], ...] = ()
    """of the link to the devices"""
    line_bd: int | None = None
    line: Wire = Wire()
    field_slow: tuple[tuple[int, int, int], ...] = ()
    """(from, until, delay) while the links to the devices are degraded"""


@dataclass
class Books:
    """(device, k, point) -> state and cause, as text; ``duplicates``: points that the cloud got a second
    time; ``close_calls``: how often the order of two events decided something that are too near to each other
    to be told apart."""

    ends: dict[tuple[str, int, int], str] = field(default_factory=dict)
    duplicates: int = 0
    close_calls: int = field(default=0, compare=False)

"""The blocks of a gateway: its uplink, its store, supervision, its pair, upgrades; and the registry of
releases.

Belongs here: keys, types, defaults and what each means. Never: what needs two blocks to check
(scenarios/planning/).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from twinloop.scenarios.file.block import Block
from twinloop.scenarios.text import units
from twinloop.scenarios.text.quantities import (
    ByteRate,
    Faults,
    Interval,
    Name,
    PerSecond,
    PositiveDuration,
    PositiveSize,
    Ratio,
)


class Retry(Block):
    """How long to wait before connecting again; the wait doubles from ``first`` to ``max``."""

    first: Interval = units.DURATIONS["s"]
    """Wait before the first attempt to reconnect. After each failed attempt the wait doubles; a session that
    stands sets it back to this. Not longer than `max`."""
    max: Interval = 30 * units.DURATIONS["s"]
    """The wait doesn't double beyond this; `jitter` is added to it or subtracted."""
    jitter: Ratio = 0.2
    """Each wait is made longer or shorter at random, by up to this share of it."""


class Uplink(Block):
    """The gateway's connection to the cloud."""

    link: Name
    """Name of the network link to the cloud. It can't be a serial link or one for heartbeats."""
    window: Annotated[int, Field(ge=1, le=65_535)] = 32
    """How many messages may be sent without being acknowledged yet. When the window is full, further messages
    go to the store, or are lost without one."""
    retry: Retry = Retry.unsaid()
    """How long the gateway waits before it connects again after it has lost its session."""
    keep_alive: Interval = Field(default=30 * units.DURATIONS["s"], alias="keep-alive")
    """How often the gateway sends an MQTT ping to the cloud. If a ping doesn't get through within
    `user-timeout`, the connection is given up."""
    user_timeout: Interval = Field(default=10 * units.DURATIONS["s"], alias="user-timeout")
    """The connection is given up when data stays unacknowledged for this long, and so is an attempt to
    connect."""


class Store(Block):
    """Where messages wait while they can't be sent: a preset, figures, or a preset with some other
    figures."""

    preset: Name | None = None
    """Start from a store that behaves like a documented gateway's (`twinloop list stores`); other keys
    replace single figures. Left out: twinloop's own defaults."""
    capacity: PositiveSize | None = None
    """How many bytes may be stored; each message counts 48 bytes more than its length. Left out: the
    preset's, else 64 MiB."""
    evict: Literal["oldest", "none"] | None = None
    """What a full store does. `oldest`: it deletes the oldest message of the lowest lane (priority); `none`:
    it refuses the new message. Left
    out: the preset's, else `oldest`."""
    drain: PerSecond | None = None
    """How many stored messages per second are sent when the uplink is up, in addition to new ones. Left out:
    the preset's, else 200 /s."""
    commit: Interval | None = None
    """How long after a write the sync to flash starts; a power cut loses what isn't synced. Left out: the
    preset's, else 100 ms. Not with
    `medium: memory`."""
    ttl: PositiveDuration | None = None
    """How old a stored message may become, by the gateway's wall clock; then it is deleted. Left out: the
    preset's, else it is never too old."""
    medium: Literal["flash", "memory"] | None = None
    """Where messages are stored. `flash`: they survive a crash; `memory`: they are lost when the gateway
    stops or crashes. Left out: the preset's, else `flash`."""
    retry: Interval | None = None
    """Stored messages are tried only at this interval. Left out: the preset's, else they are sent as soon as
    the uplink is up."""
    retries: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """A message is lost after this many tries at which the uplink was down. Needs `retry`, own or of the
    preset. Left out: the preset's, else never."""
    flash: ByteRate | None = None
    """Bytes per second that the flash can write. Left out: the preset's, else the board's figure. Not with
    `medium: memory`."""


class Restart(Block):
    """What follows a component's fault; how often drivers are asked for their status; the gateway's
    watchdog."""

    first: Interval = 100 * units.DURATIONS["ms"]
    """Wait before a component restarts after a fault. With each further fault within the time of `quarantine`
    the wait doubles. Not longer than `max`."""
    max: Interval = 10 * units.DURATIONS["s"]
    """The wait doesn't double beyond this; `jitter` is added to it or subtracted."""
    quarantine: Faults = (5, 60 * units.DURATIONS["s"])
    """After this many faults within this time, written `5 in 60 s`, an instance isn't restarted any more
    until the gateway boots again."""
    jitter: Ratio = 0.2
    """Each wait is made longer or shorter at random, by up to this share of it."""
    status: Interval | None = None
    """How often each driver is asked for its status; the answer `failed` counts as a fault. Left out:
    never."""
    watchdog: Interval | None = None
    """The gateway crashes and boots if it gets no CPU time for its watchdog for this long. Left out: there is
    no watchdog."""


class Heartbeat(Block):
    """What two gateways of a pair tell each other: over which link, how often, and how many may fail to
    come."""

    link: Name
    """Name of the network link between the two gateways. No fleet and no uplink may use it."""
    every: Interval = 500 * units.DURATIONS["ms"]
    """How often each gateway sends a heartbeat to the other."""
    misses: Annotated[int, Field(ge=1, le=1000)] = 3
    """When no heartbeat of a leader has come for this many periods, the standby tries to take over. With
    `arbiter: cloud` it also needs the right to lead."""


class Standby(Block):
    """Stands by for another gateway and takes over when that is silent. ``lease`` and ``arbiter: cloud``
    belong together."""

    of: Name
    """Name of the gateway that this one stands by for. That one leads at the start and is no standby itself;
    a pair has two gateways."""
    mode: Literal["hot", "warm", "cold"] = "hot"
    """`hot`: it reads the devices too and keeps the samples for `handover`. `warm`: its components run, but
    it reads nothing. `cold`: its components start when it takes over."""
    heartbeat: Heartbeat
    """How the two gateways tell each other that they are alive."""
    arbiter: Literal["cloud", "none"] = "cloud"
    """`cloud`: only one leads, by a lease of the cloud, or by the other's promise if neither reaches the
    cloud. `none`: without heartbeats both may lead."""
    lease: Interval | None = None
    """How long the cloud's permission to lead is valid; the leader renews it. Left out: twice `every` times
    `misses` of the heartbeat. Only with
    `arbiter: cloud`."""
    handover: PositiveDuration | None = None
    """How long a hot standby keeps the samples that it has read; it sends them when it takes over. Left out:
    5 s. Only with `mode: hot`."""
    preempt: bool = False
    """If true, the gateway that led at the start leads again once it has stood by for `every` times `misses`.
    If false, it stands by until the other one stops leading."""


class Upgrading(Block):
    """How long a download may take; for how long a new version is on trial, and what in that time makes the
    gateway go back."""

    fetch: PositiveDuration = 600 * units.DURATIONS["s"]
    """How long the download of a release may take, interruptions included. If it takes longer, the upgrade is
    refused (`fetch-timeout`)."""
    trial: Interval = 30 * units.DURATIONS["s"]
    """How long the gateway watches the new version after the swap before it keeps it. It should be longer
    than the slowest poll period."""
    faults: Annotated[int, Field(ge=0, le=1_000_000)] = 2
    """How many faults the new version may have during the trial; with one more the gateway goes back to the
    old version."""
    failures: Ratio = 0.2
    """The gateway goes back if more than this share of polls in the trial fail, not counting those that
    usually failed before the upgrade."""
    latency: PositiveDuration | None = None
    """The gateway goes back if more than 5 % of polls in the trial end later than this after they were due.
    Left out: this isn't checked."""


class Registry(Block):
    """A folder of signed releases, and the public keys whose releases gateways believe; paths are relative to
    the scenario."""

    path: str
    """Folder with the signed releases, relative to the scenario. `twinloop registry add` fills it."""
    trust: tuple[str, ...] = Field(min_length=1, strict=False)
    """Files with public keys, relative to the scenario. Gateways install only releases that are signed with
    one of these keys."""


class Pool(Block):
    """The memories that a gateway's process reserves when it starts, as wasmtime's pooling allocator does."""

    memories: Annotated[int, Field(ge=1, le=1_000_000)]
    """How many memories it has: as many as all components of the gateway need at once. A component that finds
    none left isn't started. All their addresses are reserved at once, and have to fit on the board."""
    memory: Annotated[PositiveSize, Field(le=4 << 30)] | None = None
    """Largest size of one memory of a component. More is refused, as beyond `limits: {memory}`. Left out: as
    much as each of them reserves, 4 GiB or 64 MiB."""


class Gateway(Block):
    """A gateway, or one that stands by for another."""

    board: str
    """The computer that the gateway runs on, of `twinloop boards`: CPU speed, cores, memory, flash; or a
    board file of your own, as a path from the scenario's folder such as `./iot2050.yaml`. `--board` on the
    command line replaces it."""
    host: Name | None = None
    """The program that calls the components (`twinloop boards --hosts`): what a call, an import and each
    value cost depends on it. Left out: `rust-typed`, and a verdict that would turn under `c-api` is
    UNSURE."""
    runtime: Name | None = None
    """What executes the components (`twinloop boards --runtimes`). Left out: the board's own, wasmtime on all
    boards that ship."""
    transform: Name
    """Name of the component that all samples pass after their driver, to convert or check them. One instance
    serves the whole gateway."""
    policy: Name
    """Name of the component that decides for each sample: send, store, drop or raise an alert. One instance
    serves the whole gateway."""
    uplink: Uplink
    """The connection to the cloud."""
    store: Store | None = None
    """Where messages wait while they can't be sent; `{}` takes the defaults. Left out: what can't be sent is
    lost."""
    supervision: Restart = Restart.unsaid()
    """How components are restarted after a fault, whether drivers are asked for their status, and the
    watchdog."""
    reservation: Literal["auto", "4 GiB", "64 MiB"] = "auto"
    """Address space that each instance reserves. `64 MiB` makes code about 1.7 times slower, except on an
    interpreter. `auto`: 64 MiB only if 4 GiB each doesn't fit on the board."""
    pool: Pool | None = None
    """Reserve memories of components when the gateway starts, and use them again after restarts. Only with
    wasmtime on 64 bits. Left out: each instance reserves its memory when it starts."""
    max_open_files: Annotated[int, Field(ge=8, le=1 << 20)] | None = Field(
        default=None, alias="max-open-files"
    )
    """How many files and sockets the gateway may have open: device and broker connections, the uplink, 3 for
    a store on flash. More connections fail. Left out: no limit."""
    standby: Standby | None = None
    """Makes this gateway the standby of another one. Left out: it leads its own devices. Fleets can't name a
    standby as their gateway."""
    upgrade: Upgrading = Upgrading.unsaid()
    """How the gateway installs new versions of components. It can only be given if the scenario has a
    `registry`."""

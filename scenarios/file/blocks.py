"""The blocks of a plant in a scenario file: fleets, links, components, gateways, with every key, its type, its range, its default, its meaning.

Belongs here: shapes of single blocks. Never: what happens and when (schema.py), what needs two blocks to check (scenarios/planning/). Durations are
integers of nanoseconds once read, sizes bytes, ratios 0 to 1. The text below a key is its help: in editors, and in docs/reference/keys.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from twinloop.scenarios.file import format_1
from twinloop.scenarios.text import units
from twinloop.scenarios.text.errors import nearest
from twinloop.scenarios.text.quantities import (
    Baud,
    ByteRate,
    Duration,
    Faults,
    Interval,
    Name,
    PerSecond,
    PositiveDuration,
    PositiveSize,
    Rate,
    Ratio,
    Size,
    Version,
)


class Block(BaseModel):
    """A mapping of the file: unknown keys are refused with the nearest known one."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise PydanticCustomError("not_a_mapping", "expected a mapping, got {got}", {"got": _named(data)})
        known = [field.alias or name for name, field in cls.model_fields.items() if not field.exclude]
        for key in data:
            if key not in known and key != "overrides":
                close = nearest(key, known)
                hint = f'; did you mean "{close}"?' if close else ";"
                if format_1.WORDS.get(key) in known:
                    hint = f', which is "{format_1.WORDS[key]}" since format 2;'
                text = f'unknown key "{key}"{hint} known: {", ".join(known)}'
                raise PydanticCustomError("unknown_key", "{text}", {"text": text, "key": key})
        return data


def _yaml(value: Any) -> str:
    """A scalar as the file spells it."""
    return {True: "true", False: "false", None: "null"}.get(value, str(value)) if isinstance(value, bool | None) else str(value)


def _named(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {value!r}"


class Override(Block):
    """What one device of a fleet does otherwise."""

    poll: PositiveDuration | None = None
    """how often this device is polled; left out: as the fleet"""
    driver: Name | None = None
    """the component that drives this device; left out: the fleet's"""
    response: Duration | None = None
    """how long this device takes to answer; left out: as the fleet"""
    twin: str | None = None
    """`recording/FILE.csv`: this device begins where that recording ends"""


class Mqtt(Block):
    """How the devices of a fleet speak MQTT."""

    qos: Annotated[int, Field(ge=0, le=1)] = 1
    """quality of service of what the devices publish: 0 at most once, 1 at least once"""
    retain: bool = False
    """the broker keeps the last message of each device for who subscribes later"""
    keep_alive: PositiveDuration = Field(default=30_000_000_000, alias="keep-alive")
    """the keep-alive time of a device's session with the broker; it pings twice in that time"""


class OpcUa(Block):
    """How the devices of a fleet are subscribed to."""

    publishing: PositiveDuration = 1_000_000_000
    """the publishing interval that drivers ask for: how often the server sends what has changed"""
    queue: Annotated[int, Field(ge=1, le=1000)] = 10
    """how many changes of a point the server keeps between two notifications; older ones are discarded"""


class Fleet(Block):
    """Devices of one kind: ``name/1`` to ``name/count``. They are polled every ``poll``; those that speak MQTT publish every ``publish``; OPC UA
    devices may be subscribed to instead, and then are looked at every ``sampling``. With a ``twin`` they begin where that recording ends.
    """

    device: str
    """the device model: one of `twinloop list devices`, `sunspec/N`, `model/FILE.yaml`, `nodeset/FILE.xml` or `recording/FILE.csv`"""
    twin: str | None = None
    """`recording/FILE.csv`: the devices begin where that recording ends"""
    protocol: Literal["modbus-tcp", "modbus-rtu", "opcua", "mqtt"]
    """what the devices speak; `modbus-rtu` needs a link with `serial`"""
    count: Annotated[int, Field(ge=1, le=20_000)] = 1
    """how many devices there are: `name/1` to `name/count`"""
    poll: PositiveDuration | None = None
    """how often the gateway polls each device; needed by Modbus, and by OPC UA unless `sampling` is given"""
    publish: PositiveDuration | None = None
    """how often each device publishes; needed by MQTT, and by nothing else"""
    mqtt: Mqtt | None = None
    """how the devices speak MQTT; only with `protocol: mqtt`"""
    sampling: PositiveDuration | None = None
    """OPC UA devices are subscribed to instead of polled, and their server looks at them so often"""
    opcua: OpcUa | None = None
    """how the devices are subscribed to; only with `sampling`"""
    phase: Literal["spread", "aligned", "random"] = "spread"
    """when the devices are due within a period: spread evenly, all at once, or by chance (drawn by the seed)"""
    overrun: Literal["skip", "queue"] = "skip"
    """what becomes of a sample that is due while the poll before is still under way: skip misses it, queue lets one wait"""
    link: Name
    """the link on which the devices hang"""
    gateway: Name
    """the gateway that reads the devices; of a pair the one that leads at first"""
    driver: Name
    """the component that drives the devices, one instance for each"""
    response: Duration | None = None
    """how long a device takes to answer; left out: what its model says"""


class Bursts(Block):
    """Gilbert-Elliott: ratios per packet."""

    p: Ratio
    """chance per packet that a burst begins"""
    r: Ratio
    """chance per packet that a burst ends"""
    bad: Ratio = 1.0
    """share of packets that are lost within a burst"""
    good: Ratio = 0.0
    """share of packets that are lost outside of bursts"""


class Degradation(Block):
    """Figures of a link that can be changed while it runs."""

    delay: Duration | None = None
    """how long a packet takes, one way"""
    jitter: Duration | None = None
    """by how much the delay varies, more or less; at most as large as the delay"""
    loss: Ratio | None = None
    """share of packets that are lost, each by itself"""
    correlation: Ratio | None = None
    """how much the loss of a packet depends on that of the packet before; needs `loss`"""
    bursts: Bursts | None = None
    """loss that comes in bursts (Gilbert-Elliott), instead of `loss`"""
    duplicate: Ratio | None = None
    """share of packets that arrive twice"""
    reorder: Ratio | None = None
    """share of packets that skip the delay, and so overtake others; needs `delay`"""
    corrupt: Ratio | None = None
    """share of packets, on a serial line of frames, of which a bit is flipped"""
    rate: Rate | None = None
    """how much the link carries; left out: without limit"""
    queue: Size | None = None
    """how much waits for the rate before packets are dropped; needs `rate`"""


class Link(Degradation):
    """A network link from a preset with changes, or serial lines."""

    preset: Name | None = None
    """figures of a kind of link, of `twinloop list links`; other keys go over them"""
    serial: Baud | None = None
    """the link is made of serial lines (RS-485, Modbus RTU) with this speed"""
    parity: Literal["none", "even", "odd"] | None = None
    """parity of a character on the line; only with `serial`"""
    stop: Annotated[int, Field(ge=1, le=2)] | None = None
    """stop bits of a character on the line; only with `serial`"""
    turnaround: Duration | None = None
    """what each change of direction costs on the line beside the gap between frames; only with `serial`"""
    lines: Annotated[int, Field(ge=1, le=1000)] | None = None
    """how many lines of this kind there are; devices are distributed over them in turn; only with `serial`"""


class Limits(Block):
    """Of one instance: CPU time and simulated time of one call, linear memory for life, bytes of ``state``."""

    cpu: PositiveDuration | None = None
    """CPU time of one call on the simulated board; more ends the instance (out-of-fuel). Left out: none but the deadline"""
    deadline: PositiveDuration | None = None
    """how long one call may take in simulated time, waiting included; left out: the poll period of what it is called for"""
    memory: PositiveSize = 32 << 20
    """linear memory of one instance; more ends it"""
    state: Size = 64 << 10
    """how much the component may keep by `state`, keys and values together; needs the grant `state`"""


class Component(Block):
    """A component: its bytes, which version they are, what it is granted, its limits, its own options."""

    wasm: str
    """the component's file, relative to the scenario, or the name of a shipped one such as `route.wasm`"""
    version: Version | None = None
    """which version it is; needed when it is upgraded in this scenario"""
    grants: tuple[Literal["fieldbus", "clock", "log", "state"], ...] = Field(default=(), strict=False)
    """the interfaces that the component may use; one that it imports and isn't granted is an error when the scenario is planned"""
    limits: Limits = Limits()
    """what one instance may use"""
    options: dict[str, str] = Field(default={}, alias="with")
    """the component's own options, as text; `twinloop list components` names those of shipped ones"""

    @model_validator(mode="before")
    @classmethod
    def _options_are_text(cls, data: Any) -> Any:
        options = data.get("with") if isinstance(data, dict) else None
        if isinstance(options, dict):
            for key, value in options.items():
                if not isinstance(value, str):
                    text = f'option "{key}": expected text (a component reads it), write "{_yaml(value)}"'
                    raise PydanticCustomError("option", "{text}", {"text": text, "key": ("with", key)})
        return data


class Retry(Block):
    """Reconnects: doubling from first to max, plus or minus jitter."""

    first: Interval = units.DURATIONS["s"]
    """how long is waited before the first new try; each further wait is twice as long"""
    max: Interval = 30 * units.DURATIONS["s"]
    """the longest wait"""
    jitter: Ratio = 0.2
    """by how much a wait is longer or shorter at most, drawn by the seed"""


class Uplink(Block):
    """The way to the cloud."""

    link: Name
    """the link to the cloud"""
    window: Annotated[int, Field(ge=1, le=65_535)] = 32
    """how many messages may be sent and not yet acknowledged"""
    retry: Retry = Retry()
    """how soon a lost session is dialled again"""
    keep_alive: Interval = Field(default=30 * units.DURATIONS["s"], alias="keep-alive")
    """how often the gateway pings the cloud"""
    user_timeout: Interval = Field(default=10 * units.DURATIONS["s"], alias="user-timeout")
    """how long nothing may get through before the connection is given up"""


class Store(Block):
    """Store and forward: a preset that behaves like a documented gateway's, figures, or a preset with other figures."""

    preset: Name | None = None
    """a store that behaves as a documented gateway's does, of `twinloop list stores`; other keys go over it"""
    capacity: PositiveSize | None = None
    """how much waits at most, rows with their overhead"""
    evict: Literal["oldest", "none"] | None = None
    """what a full store does: `oldest` makes room by the oldest of the lowest priority, `none` refuses the newcomer"""
    drain: PerSecond | None = None
    """how many messages a second leave the store, beside fresh ones"""
    commit: Interval | None = None
    """how long writes wait for a sync at the longest; a power cut loses what wasn't synced"""
    ttl: PositiveDuration | None = None
    """how long a message may wait, by the gateway's clock; left out: for ever"""
    medium: Literal["flash", "memory"] | None = None
    """where it lies: `flash` survives a crash, `memory` doesn't"""
    retry: Interval | None = None
    """what waits is tried only so often; left out: as soon as the uplink stands"""
    retries: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """after so many tries a message is given up; needs `retry`; left out: never"""
    flash: ByteRate | None = None
    """how much the flash writes a second; left out: what the board's does"""


class Restart(Block):
    """What follows a component's fault; how often drivers are asked for their status; the gateway's watchdog."""

    first: Interval = 100 * units.DURATIONS["ms"]
    """how long a component's restart waits after its first fault; each further wait is twice as long"""
    max: Interval = 10 * units.DURATIONS["s"]
    """the longest wait"""
    quarantine: Faults = (5, 60 * units.DURATIONS["s"])
    """after so many faults within that time a component isn't restarted any more"""
    jitter: Ratio = 0.2
    """by how much a wait is longer or shorter at most, drawn by the seed"""
    status: Interval | None = None
    """how often drivers are asked how they are; a `failed` is a fault; left out: never"""
    watchdog: Interval | None = None
    """the gateway resets when it doesn't get round to its watchdog for so long; left out: there is none"""


class Heartbeat(Block):
    """What two gateways of a pair tell each other: over which link, how often, and how many may fail to come."""

    link: Name
    """the link between the two gateways"""
    every: Interval = 500 * units.DURATIONS["ms"]
    """how often each tells the other that it lives"""
    misses: Annotated[int, Field(ge=1, le=1000)] = 3
    """after so many that didn't come the standby takes over"""


class Standby(Block):
    """Stands by for another gateway and takes over when that is silent. ``lease`` and ``arbiter: cloud`` belong together."""

    of: Name
    """the gateway for which it stands by, which leads at first"""
    mode: Literal["hot", "warm", "cold"] = "hot"
    """`hot` polls the devices, too, and keeps what it reads for a while; `warm` has its components up; `cold` brings them up at its promotion"""
    heartbeat: Heartbeat
    """what the two tell each other"""
    arbiter: Literal["cloud", "none"] = "cloud"
    """`cloud`: only who has the cloud's lease, or the other one's promise, leads; `none`: nobody decides, and both may lead"""
    lease: Interval | None = None
    """how long the cloud's lease holds; only with `arbiter: cloud`; left out: twice the time of the heartbeats that may be missed"""
    handover: PositiveDuration | None = None
    """how long a hot standby keeps what it has read, to send it after a promotion"""
    preempt: bool = False
    """the first one leads again as soon as it is back"""


class Upgrading(Block):
    """How long a download may take; for how long a new version is on trial, and what in that time makes the gateway go back."""

    fetch: PositiveDuration = 600 * units.DURATIONS["s"]
    """how long a download may take"""
    trial: Interval = 30 * units.DURATIONS["s"]
    """for how long a new version is watched before it is committed"""
    faults: Annotated[int, Field(ge=0, le=1_000_000)] = 2
    """more faults than that during the trial send it back"""
    failures: Ratio = 0.2
    """a larger share of polls that come to nothing than this, beyond what was usual before, sends it back"""
    latency: PositiveDuration | None = None
    """when more than 5 % of polls are over later than this, it is sent back; left out: that isn't looked at"""


class Registry(Block):
    """A folder of signed releases, and the public keys whose releases gateways believe; paths are relative to the scenario."""

    path: str
    """the folder with the releases, relative to the scenario"""
    trust: tuple[str, ...] = Field(min_length=1, strict=False)
    """files of public keys whose releases the gateways install, relative to the scenario"""


class Gateway(Block):
    """A gateway, or one that stands by for another."""

    board: str
    """the computer on which it runs, of `twinloop boards`: prices of CPU time, cores, memory, flash"""
    transform: Name
    """the component through which all readings go"""
    policy: Name
    """the component that decides what becomes of them: forward, cache, drop, alert"""
    uplink: Uplink
    """its way to the cloud"""
    store: Store | None = None
    """where messages wait while the uplink can't take them; left out: they are lost"""
    supervision: Restart = Restart()
    """what follows a component's fault; status rounds; the watchdog"""
    reservation: Literal["auto", "4 GiB", "64 MiB"] = "auto"
    """how much address space each instance reserves: a small one costs CPU time; `auto`: small only where the large one doesn't fit the board"""
    max_open_files: Annotated[int, Field(ge=8, le=1 << 20)] | None = Field(default=None, alias="max-open-files")
    """how many files and sockets its process may have open; left out: any number"""
    standby: Standby | None = None
    """it stands by for another gateway; left out: it leads its own devices"""
    upgrade: Upgrading = Upgrading()
    """how it takes upgrades; needs `registry`"""

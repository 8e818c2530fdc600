"""The scenario file, format 2: every key, its type, its range, its default.

Belongs here: shapes of single blocks. Never: what needs two blocks to check (plan.py) or files (load.py). Durations are
integers of nanoseconds once read, sizes bytes, ratios 0 to 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model, model_validator
from pydantic_core import PydanticCustomError

from twinloop.scenarios.file import format_1
from twinloop.scenarios.text import units
from twinloop.scenarios.text.errors import nearest
from twinloop.scenarios.text.quantities import (
    Baud,
    ByteRate,
    ComponentName,
    DeviceName,
    Duration,
    Faults,
    Interval,
    Name,
    PerSecond,
    PositiveDuration,
    PositiveSize,
    Rate,
    Ratio,
    Share,
    Shift,
    Size,
    Skew,
    SlotName,
    Target,
    Version,
)
from twinloop.sim.trouble import verbs


class Block(BaseModel):
    """A mapping of the file: unknown keys are refused with the nearest known one."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True)

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
    driver: Name | None = None
    response: Duration | None = None
    twin: str | None = None


class Mqtt(Block):
    """How the devices of a fleet speak MQTT."""

    qos: Annotated[int, Field(ge=0, le=1)] = 1
    retain: bool = False
    keep_alive: PositiveDuration = Field(default=30_000_000_000, alias="keep-alive")


class OpcUa(Block):
    """How the devices of a fleet are subscribed to."""

    publishing: PositiveDuration = 1_000_000_000
    queue: Annotated[int, Field(ge=1, le=1000)] = 10


class Fleet(Block):
    """Devices of one kind: ``name/1`` to ``name/count``. They are polled every ``poll``; those that speak MQTT publish every ``publish``; OPC UA
    devices may be subscribed to instead, and then are looked at every ``sampling``. With a ``twin`` they begin where that recording ends.
    """

    device: str
    twin: str | None = None
    protocol: Literal["modbus-tcp", "modbus-rtu", "opcua", "mqtt"]
    count: Annotated[int, Field(ge=1, le=20_000)] = 1
    poll: PositiveDuration | None = None
    publish: PositiveDuration | None = None
    mqtt: Mqtt | None = None
    sampling: PositiveDuration | None = None
    opcua: OpcUa | None = None
    phase: Literal["spread", "aligned", "random"] = "spread"
    overrun: Literal["skip", "queue"] = "skip"
    link: Name
    gateway: Name
    driver: Name
    response: Duration | None = None


class Bursts(Block):
    """Gilbert-Elliott: ratios per packet."""

    p: Ratio
    r: Ratio
    bad: Ratio = 1.0
    good: Ratio = 0.0


class Degradation(Block):
    """Figures of a link that can be changed while it runs."""

    delay: Duration | None = None
    jitter: Duration | None = None
    loss: Ratio | None = None
    correlation: Ratio | None = None
    bursts: Bursts | None = None
    duplicate: Ratio | None = None
    reorder: Ratio | None = None
    corrupt: Ratio | None = None
    rate: Rate | None = None
    queue: Size | None = None


class Link(Degradation):
    """A network link from a preset with changes, or serial lines."""

    preset: Name | None = None
    serial: Baud | None = None
    parity: Literal["none", "even", "odd"] | None = None
    stop: Annotated[int, Field(ge=1, le=2)] | None = None
    turnaround: Duration | None = None
    lines: Annotated[int, Field(ge=1, le=1000)] | None = None


class Limits(Block):
    """Of one instance: CPU time and simulated time of one call, linear memory for life, bytes of ``state``."""

    cpu: PositiveDuration | None = None
    deadline: PositiveDuration | None = None
    memory: PositiveSize = 32 << 20
    state: Size = 64 << 10


class Component(Block):
    """A component: its bytes, which version they are, what it is granted, its limits, its own options."""

    wasm: str
    version: Version | None = None
    grants: tuple[Literal["fieldbus", "clock", "log", "state"], ...] = Field(default=(), strict=False)
    limits: Limits = Limits()
    options: dict[str, str] = Field(default={}, alias="with")

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
    max: Interval = 30 * units.DURATIONS["s"]
    jitter: Ratio = 0.2


class Uplink(Block):
    """The way to the cloud."""

    link: Name
    window: Annotated[int, Field(ge=1, le=65_535)] = 32
    retry: Retry = Retry()
    keep_alive: Interval = Field(default=30 * units.DURATIONS["s"], alias="keep-alive")
    user_timeout: Interval = Field(default=10 * units.DURATIONS["s"], alias="user-timeout")


class Store(Block):
    """Store and forward: a preset that behaves like a documented gateway's, figures, or a preset with other figures."""

    preset: Name | None = None
    capacity: PositiveSize | None = None
    evict: Literal["oldest", "none"] | None = None
    drain: PerSecond | None = None
    commit: Interval | None = None
    ttl: PositiveDuration | None = None
    medium: Literal["flash", "memory"] | None = None
    retry: Interval | None = None
    retries: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    flash: ByteRate | None = None


class Restart(Block):
    """What follows a component's fault; how often drivers are asked for their status; the gateway's watchdog."""

    first: Interval = 100 * units.DURATIONS["ms"]
    max: Interval = 10 * units.DURATIONS["s"]
    quarantine: Faults = (5, 60 * units.DURATIONS["s"])
    jitter: Ratio = 0.2
    status: Interval | None = None
    watchdog: Interval | None = None


class Heartbeat(Block):
    """What two gateways of a pair tell each other: over which link, how often, and how many may fail to come."""

    link: Name
    every: Interval = 500 * units.DURATIONS["ms"]
    misses: Annotated[int, Field(ge=1, le=1000)] = 3


class Standby(Block):
    """Stands by for another gateway and takes over when that is silent. ``lease`` and ``arbiter: cloud`` belong together."""

    of: Name
    mode: Literal["hot", "warm", "cold"] = "hot"
    heartbeat: Heartbeat
    arbiter: Literal["cloud", "none"] = "cloud"
    lease: Interval | None = None
    handover: PositiveDuration | None = None
    preempt: bool = False


class Upgrading(Block):
    """How long a download may take; for how long a new version is on trial, and what in that time makes the gateway go back."""

    fetch: PositiveDuration = 600 * units.DURATIONS["s"]
    trial: Interval = 30 * units.DURATIONS["s"]
    faults: Annotated[int, Field(ge=0, le=1_000_000)] = 2
    failures: Ratio = 0.2
    latency: PositiveDuration | None = None


class Registry(Block):
    """A folder of signed releases, and the public keys whose releases gateways believe; paths are relative to the scenario."""

    path: str
    trust: tuple[str, ...] = Field(min_length=1, strict=False)


class Gateway(Block):
    """A gateway, or one that stands by for another."""

    board: str
    transform: Name
    policy: Name
    uplink: Uplink
    store: Store | None = None
    supervision: Restart = Restart()
    reservation: Literal["auto", "4 GiB", "64 MiB"] = "auto"
    max_open_files: Annotated[int, Field(ge=8, le=1 << 20)] | None = Field(default=None, alias="max-open-files")
    standby: Standby | None = None
    upgrade: Upgrading = Upgrading()


class Change(Degradation):
    """What a link degrades to: a preset, or figures, or a preset with other figures."""

    preset: Name | None = None


TYPES: dict[str, Any] = {
    "byte": Annotated[int, Field(ge=1, le=255)], "cause": str, "change": Change, "duration": PositiveDuration, "interval": Interval, "name": Name,
    "number": Annotated[float, Field(allow_inf_nan=False)], "share": Share, "shift": Shift, "size": Size, "skew": Skew,
    "status": Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z]*$", max_length=64)], "text": str, "version": Version,
    "way": Literal["up", "down"],
}  # fmt: skip
"""what the values of a verb's keys (sim/trouble/verb.py) may be in a file"""
TARGETS: dict[str, Any] = {"name": Name, "slot": SlotName, "component": ComponentName, "devices": Target}
"""the same of a verb's target"""
VERBS = tuple(verbs.VERBS)
"""keys of an entry that say what happens"""


def _fields() -> dict[str, Any]:
    """pydantic's fields of an entry: every verb with its target, and the keys that go with some verb."""
    found: dict[str, Any] = {}
    for name, verb in verbs.VERBS.items():
        found[name.replace("-", "_")] = TARGETS[verb.takes] | None, Field(default=None, alias=name, description=verb.help())
    for key in verbs.all_keys():
        found[key.name.replace("-", "_")] = TYPES[key.type] | None, Field(default=None, alias=key.name, description=key.help)
    return found


if TYPE_CHECKING:

    class Deed(Block):
        """What happens: exactly one verb with its target, and the keys that go with it (the verb's class in sim/trouble/ says which)."""

else:
    Deed = create_model(
        "Deed", __base__=Block, __module__=__name__, __doc__="What happens: one verb with its target, and the keys that go with it.", **_fields()
    )


class Entry(Deed):
    """One entry of the timeline: when (``at``; ``every`` with ``after`` and ``times``; or ``after`` an event), what, how long.

    ``after`` is a duration beside ``every``; else an event, ``heal cloud`` or ``heal cloud + 5 s``. With ``phase`` its times count
    from the beginning of that phase and lie within it.
    """

    at: Duration | None = None
    every: PositiveDuration | None = None
    after: str | None = None
    times: Annotated[int, Field(ge=1, le=100_000)] | None = None
    phase: Name | None = None
    for_: PositiveDuration | None = Field(default=None, alias="for")


class Trouble(Block):
    """Random trouble: on average ``mtbf`` after the last has ended one of ``actions``, for ``mttr`` on average."""

    mtbf: Interval
    mttr: Interval | None = None
    actions: tuple[Deed, ...] = Field(min_length=1, strict=False)
    from_: Duration | None = Field(default=None, alias="from")
    until: PositiveDuration | None = None
    phase: Name | None = None


class Phase(Block):
    """A named stretch of the run. ``recover-within``: all trouble ends when it begins, and that long after nothing may be stuck."""

    name: Name
    for_: PositiveDuration = Field(alias="for")
    recover_within: PositiveDuration | None = Field(default=None, alias="recover-within")


class Observe(Block):
    """How a gateway that isn't ours is seen (``serve --judge``): on which ``topic`` it says which sample. ``{device}`` and ``{point}`` stand for
    names; paths lead into a JSON payload. ``each``: where a payload holds a list of samples. ``status``: a StatusCode, by number or
    name, or good, uncertain, bad; where nothing lies it is Good. ``sample``: the register that counts them.
    """

    topic: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    sequence: str
    value: str | None = None
    status: str | None = None
    each: str | None = None
    sample: Annotated[int, Field(ge=0, le=65_534)] | None = None


class Pace(Block):
    """Where real sockets take part: up to which 99th percentile of lateness what was measured counts. Beyond it a run is INVALID."""

    tolerance: PositiveDuration = 10_000_000


class Scenario(Block):
    """A whole file."""

    format: Annotated[int, Field(ge=format_1.FORMAT, le=format_1.FORMAT)]
    name: Name
    description: str = ""
    incident: Annotated[str, StringConstraints(pattern=r"^https://[^\s]+$", max_length=300)] | None = None
    """address of what happened in the field and is rehearsed here"""
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 1
    duration: PositiveDuration
    grace: Duration = 30_000_000_000
    fleets: dict[Name, Fleet] = Field(min_length=1)
    overrides: dict[DeviceName, Override] = Field(default={}, exclude=True)
    """filled from the ``fleet/n`` keys of ``fleets``"""
    links: dict[Name, Link] = Field(min_length=1)
    components: dict[Name, Component] = Field(min_length=1)
    gateways: dict[Name, Gateway] = Field(min_length=1)
    registry: Registry | None = None
    observe: Observe | None = None
    pace: Pace = Pace()
    timeline: tuple[Entry, ...] = Field(default=(), strict=False)
    phases: tuple[Phase, ...] = Field(default=(), strict=False)
    random_faults: tuple[Trouble, ...] = Field(default=(), strict=False, alias="random-faults")
    expect: tuple[str, ...] = Field(default=(), strict=False)

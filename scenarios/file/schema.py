"""The scenario file, format 2: what happens in a plant and when, what is expected, and the file as a whole.

Belongs here: entries, phases, the top level. Never: the blocks of a plant (blocks.py, whose names are this
module's, too), what needs two blocks to check (scenarios/planning/), files (load.py). The text below a key is
its help: in editors, and in docs/reference/keys.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints, WrapValidator, create_model

from twinloop.scenarios.file import format_1
from twinloop.scenarios.file.block import Block
from twinloop.scenarios.file.blocks import (
    Bursts,
    Converter,
    Degradation,
    Fleet,
    Link,
    Mqtt,
    OpcUa,
    Override,
)
from twinloop.scenarios.file.component_blocks import (
    Component,
    DerivedPoint,
    FilesystemGrant,
    Folder,
    Limits,
    SocketsGrant,
)
from twinloop.scenarios.file.gateway_blocks import (
    Gateway,
    Heartbeat,
    Pool,
    Registry,
    Restart,
    Retry,
    Standby,
    Store,
    Upgrading,
    Uplink,
)
from twinloop.scenarios.file.manners_block import MannersBlock
from twinloop.scenarios.text.quantities import (
    ComponentName,
    DeviceName,
    Duration,
    Interval,
    Name,
    PositiveDuration,
    Share,
    Shift,
    Size,
    Skew,
    SlotName,
    Target,
    Version,
)
from twinloop.sim.trouble import verbs


class Change(Degradation):
    """The figures of a link while it is degraded: a preset, figures, or a preset with some other figures."""

    preset: Name | None = None
    """The link gets all figures of this preset (`twinloop list links`); the other keys replace single
    figures. Left out: only the figures that are given change. Not for serial lines."""


def _kept_whole(given: Any, check: Callable[[Any], float]) -> Any:
    """An int that 64 bits hold stays one: a float counts by ones up to 2^53 only."""
    return given if type(given) is int and -(1 << 63) <= given < 1 << 64 else check(given)


Exact = Annotated[float, Field(allow_inf_nan=False), WrapValidator(_kept_whole)]
"""a number; one without point and exponent is exact to 64 bits"""
TYPES: dict[str, Any] = {
    "byte": Annotated[int, Field(ge=1, le=255)],
    "cause": str,
    "change": Change,
    "duration": PositiveDuration,
    "interval": Interval,
    "name": Name,
    "number": Annotated[float, Field(allow_inf_nan=False)],
    "share": Share,
    "shift": Shift,
    "size": Size,
    "skew": Skew,
    "status": Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z]*$", max_length=64)],
    "text": str,
    "value": Exact,
    "version": Version,
    "way": Literal["up", "down"],
}
"""what the values of a verb's keys (sim/trouble/verb.py) may be in a file"""
TARGETS: dict[str, Any] = {"name": Name, "slot": SlotName, "component": ComponentName, "devices": Target}
"""the same of a verb's target"""
VERBS = tuple(verbs.VERBS)
"""keys of an entry that say what happens"""


def _fields() -> dict[str, Any]:
    """pydantic's fields of an entry: every verb with its target, and the keys that go with some verb."""
    found: dict[str, Any] = {}
    for name, verb in verbs.VERBS.items():
        found[name.replace("-", "_")] = (
            TARGETS[verb.takes] | None,
            Field(default=None, alias=name, description=verb.help()),
        )
    for key in verbs.all_keys():
        found[key.name.replace("-", "_")] = (
            TYPES[key.type] | None,
            Field(default=None, alias=key.name, description=key.help),
        )
    return found


if TYPE_CHECKING:

    class Deed(Block):
        """What happens: exactly one verb with its target, and the keys that go with it (the verb's class in
        sim/trouble/ says which)."""

else:
    Deed = create_model(
        "Deed",
        __base__=Block,
        __module__=__name__,
        __doc__="What happens: one verb with its target, and the keys that go with it.",
        **_fields(),
    )


class Entry(Deed):
    """One entry of the timeline: when (``at``; ``every`` with ``after`` and ``times``; or ``after`` an
    event), what, how long.

    ``after`` is a duration beside ``every``; else an event, ``heal cloud`` or ``heal cloud + 5 s``. With
    ``phase`` its times count from the beginning of that phase and lie within it.
    """

    at: Duration | None = None
    """When it happens: time from the start of the run, or from the start of `phase`. Excludes `every`,
    `after` and `times`."""
    every: PositiveDuration | None = None
    """It happens again and again with this period, first after `after`. Excludes `at`."""
    after: str | None = None
    """With `every`: time from the start until the first occurrence (left out: one period). Alone: the event
    that triggers it, as in `heal cloud` or `heal cloud + 5 s`."""
    times: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """How often it happens. With `every`, left out: until the end of the run or phase. With an event in
    `after`: at most so often, left out: once. Not with `at`."""
    phase: Name | None = None
    """Name of a phase: times count from its start, and it must happen before its end. Left out: times count
    from the start of the run. Not with an event in `after`."""
    for_: PositiveDuration | None = Field(default=None, alias="for")
    """How long it lasts. Left out: until the end of the run, or until a phase with `recover-within` begins.
    `flap` needs it; verbs without an end don't allow it."""


class Trouble(Block):
    """Faults at random times: one of ``actions`` begins, on average ``mtbf`` after the last one has ended,
    and lasts ``mttr`` on average."""

    mtbf: Interval
    """Mean time from the end of one fault to the start of the next, and until the first one. The real times
    are random (exponential), drawn from the seed."""
    mttr: Interval | None = None
    """Mean duration of a fault, random (exponential). Left out: faults don't end before the run or a phase
    with `recover-within` ends them. `flap` needs it."""
    actions: tuple[Deed, ...] = Field(min_length=1, strict=False)
    """What can happen; each time one of these is drawn, all with the same chance. Each is written like an
    entry of `timeline`, without times."""
    from_: Duration | None = Field(default=None, alias="from")
    """When the random faults begin, from the start of the run. Left out: at the start. Not with `phase`."""
    until: PositiveDuration | None = None
    """No new fault begins after this time. Left out: the start of the first phase with `recover-within`, else
    the end of `duration`. Not with `phase`."""
    phase: Name | None = None
    """Faults begin only within this phase. Excludes `from` and `until`. Left out: `from` and `until`
    apply."""


class Phase(Block):
    """A named part of the run. With ``recover-within`` all trouble ends when it begins, and after that time
    everything must work again."""

    name: Name
    """Name of the phase, for expectations (`{phase=NAME}`) and for the key `phase` of entries. Each name may
    be used once."""
    for_: PositiveDuration = Field(alias="for")
    """How long the phase lasts. Phases follow one another from the start of the run; together they must fit
    into `duration`."""
    recover_within: PositiveDuration | None = Field(default=None, alias="recover-within")
    """All faults end when this phase begins. The run fails unless everything works again within this time; at
    most `for`. Left out: the phase ends no faults."""


class Observe(Block):
    """How a gateway that isn't ours is seen (``serve --judge``): on which ``topic`` it says which sample.
    ``{device}`` and ``{point}`` stand for names; paths lead into a JSON payload. ``each``: where a payload
    holds a list of samples. ``status``: a StatusCode, by number or name, or good, uncertain, bad; where
    nothing lies it is Good. ``sample``: the register that counts them.
    """

    topic: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    """MQTT topic on which your gateway sends samples, as in `plant/{device}`. It must contain `{device}` (as
    in `presses/3`) and may contain `{point}`; no wildcards."""
    sequence: str
    """JSONPath (RFC 9535) to the sample's number in the message, as in `$.seq`. Your gateway must send the
    number that it reads from the counter at the device."""
    value: str | None = None
    """JSONPath to the value; `{point}` in it stands for the point's name, as in `$.values.{point}` or
    `$.list[?@.name == '{point}'].v`. It must lead to one value. A point without a number there hasn't
    arrived. Left out: every point of the message counts as arrived."""
    status: str | None = None
    """JSONPath to the quality: a StatusCode (number or name), or good, uncertain, bad; nothing there means
    Good. `{point}` may be in it. Left
    out: quality isn't judged."""
    each: str | None = None
    """JSONPath to a list of samples in the message; the other paths then start at each item. Left out: the
    whole message is one sample."""
    sample: Annotated[int, Field(ge=0, le=65_534)] | None = None
    """Address (from 0) of the sample counter, 32 bits in 2 registers, in the table (holding or input) with
    most of the device's points. Left
    out: behind the last register."""


class Pace(Block):
    """How late this computer may be when real sockets take part. If it is later, the run is INVALID."""

    tolerance: PositiveDuration = 10_000_000
    """How late this computer may be, at the 99th percentile, when real sockets take part (`attach`, `serve
    --judge`, `--clock wire`). If it is later, the result is INVALID."""


class Scenario(Block):
    """The whole file."""

    format: Annotated[int, Field(ge=format_1.FORMAT, le=format_1.FORMAT)]
    """Version of the file format, 2. Files of format 1 still run, with a note; `twinloop migrate` rewrites
    them."""
    name: Name
    """Name of the scenario in reports: lower-case letters, digits and hyphens."""
    description: str = ""
    """What the scenario is about, in one sentence. `twinloop list scenarios` shows it for shipped
    scenarios."""
    incident: Annotated[str, StringConstraints(pattern=r"^https://[^\s]+$", max_length=300)] | None = None
    """Web address (https) that describes the real incident which this scenario repeats; the report prints it.
    Left out: none."""
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 1
    """Number from which everything random is drawn: the same seed gives the same run. `--seed` on the command
    line replaces it."""
    duration: PositiveDuration
    """Length of the run: no new sample becomes due after it. `grace` follows."""
    grace: Duration = 30_000_000_000
    """How long the run may go on after `duration` so that open samples, commands and upgrades can finish. It
    ends earlier if nothing is left to wait for."""
    fleets: dict[Name, Fleet] = Field(min_length=1)
    """The devices in groups of one kind, by name. A key such as `presses/3` changes settings of the third
    device of the fleet `presses`."""
    overrides: dict[DeviceName, Override] = Field(default={}, exclude=True)
    """filled from the ``fleet/n`` keys of ``fleets``"""
    links: dict[Name, Link] = Field(min_length=1)
    """The networks and serial lines, by name."""
    converters: dict[Name, Converter] = {}
    """The Modbus TCP to RTU converters, by name, behind which fleets may sit (`behind`). Left out: none."""
    components: dict[Name, Component] = Field(min_length=1)
    """The WebAssembly components, by name. Each must be used by a fleet or a gateway."""
    gateways: dict[Name, Gateway] = Field(min_length=1)
    """The gateways, by name."""
    registry: Registry | None = None
    """The signed releases for upgrades over the air. Required if the scenario orders an upgrade. Left out:
    nothing can be upgraded."""
    observe: Observe | None = None
    """How to recognise the samples of a gateway that isn't simulated, in its MQTT messages. Required for
    `twinloop serve --judge`, not used otherwise."""
    pace: Pace = Pace.unsaid()
    """How well this computer must keep time when real sockets take part."""
    timeline: tuple[Entry, ...] = Field(default=(), strict=False)
    """What happens during the run: faults, writes from the cloud, upgrades. Each entry says when, what and
    for how long."""
    phases: tuple[Phase, ...] = Field(default=(), strict=False)
    """Named parts of the run, one after the other from its start. Left out: the run has no phases."""
    random_faults: tuple[Trouble, ...] = Field(default=(), strict=False, alias="random-faults")
    """Faults at random times, drawn from the seed."""
    expect: tuple[str, ...] = Field(default=(), strict=False)
    """What must hold, one expectation per line; each is measured and judged. Without any expectation the
    verdict is NO-DATA."""


__all__ = [
    "TARGETS",
    "TYPES",
    "VERBS",
    "Block",
    "Bursts",
    "Change",
    "Component",
    "Converter",
    "Deed",
    "Degradation",
    "DerivedPoint",
    "Entry",
    "FilesystemGrant",
    "Fleet",
    "Folder",
    "Gateway",
    "Heartbeat",
    "Limits",
    "Link",
    "MannersBlock",
    "Mqtt",
    "Observe",
    "OpcUa",
    "Override",
    "Pace",
    "Phase",
    "Pool",
    "Registry",
    "Restart",
    "Retry",
    "Scenario",
    "SocketsGrant",
    "Standby",
    "Store",
    "Trouble",
    "Upgrading",
    "Uplink",
]

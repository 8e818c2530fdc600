"""The scenario file, format 2: what happens in a plant and when, what is expected, and the file as a whole.

Belongs here: entries, phases, the top level. Never: the blocks of a plant (blocks.py, whose names are this module's, too), what needs two blocks to
check (scenarios/planning/), files (load.py). The text below a key is its help: in editors, and in docs/reference/keys.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StringConstraints, create_model

from twinloop.scenarios.file import format_1
from twinloop.scenarios.file.blocks import (
    Block,
    Bursts,
    Component,
    Degradation,
    Fleet,
    Gateway,
    Heartbeat,
    Limits,
    Link,
    Mqtt,
    OpcUa,
    Override,
    Registry,
    Restart,
    Retry,
    Standby,
    Store,
    Upgrading,
    Uplink,
)
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
    """What a link degrades to: a preset, or figures, or a preset with other figures."""

    preset: Name | None = None
    """all figures of a preset of `twinloop list links`; other keys go over them"""


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
    """when it happens, from the start of the run (of `phase`, if that is given)"""
    every: PositiveDuration | None = None
    """it happens again and again, first after `after` (or after one period), `times` times"""
    after: str | None = None
    """beside `every`: when it happens first; else the event after which it happens, such as `heal cloud` or `heal cloud + 5 s`"""
    times: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """how often it happens at most: beside `every` left out until the end, after an event once"""
    phase: Name | None = None
    """its times count from the start of this phase, and it happens only within it"""
    for_: PositiveDuration | None = Field(default=None, alias="for")
    """how long it lasts; left out: until the end of the run"""


class Trouble(Block):
    """Random trouble: on average ``mtbf`` after the last has ended one of ``actions``, for ``mttr`` on average."""

    mtbf: Interval
    """mean time from the end of one fault to the next, drawn by the seed (exponentially distributed)"""
    mttr: Interval | None = None
    """mean time that a fault lasts; needed by what must end"""
    actions: tuple[Deed, ...] = Field(min_length=1, strict=False)
    """what happens: one of these each time, each as likely"""
    from_: Duration | None = Field(default=None, alias="from")
    """when it begins; left out: at the start"""
    until: PositiveDuration | None = None
    """when it ends; left out: at the first phase with `recover-within`, or with the run"""
    phase: Name | None = None
    """only within this phase; instead of `from` and `until`"""


class Phase(Block):
    """A named stretch of the run. ``recover-within``: all trouble ends when it begins, and that long after nothing may be stuck."""

    name: Name
    """the name under which expectations speak of it"""
    for_: PositiveDuration = Field(alias="for")
    """how long it lasts; phases follow one another from the start of the run"""
    recover_within: PositiveDuration | None = Field(default=None, alias="recover-within")
    """when the phase begins all trouble ends, and so much later nothing may be stuck: else the run fails"""


class Observe(Block):
    """How a gateway that isn't ours is seen (``serve --judge``): on which ``topic`` it says which sample. ``{device}`` and ``{point}`` stand for
    names; paths lead into a JSON payload. ``each``: where a payload holds a list of samples. ``status``: a StatusCode, by number or
    name, or good, uncertain, bad; where nothing lies it is Good. ``sample``: the register that counts them.
    """

    topic: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    """the topic of its messages; `{device}` and `{point}` stand for names"""
    sequence: str
    """the path in the payload to the number of the sample"""
    value: str | None = None
    """the path in the payload to the value; left out: values aren't looked at"""
    status: str | None = None
    """the path in the payload to the status of the value: a StatusCode by number or name, or good, uncertain, bad; left out: unknown"""
    each: str | None = None
    """the path to a list of samples in one payload; left out: a payload is one sample"""
    sample: Annotated[int, Field(ge=0, le=65_534)] | None = None
    """the holding register with the number of the sample, of devices that are read by Modbus"""


class Pace(Block):
    """Where real sockets take part: up to which 99th percentile of lateness what was measured counts. Beyond it a run is INVALID."""

    tolerance: PositiveDuration = 10_000_000
    """how late events may be, at the 99th percentile; later, and the result is INVALID"""


class Scenario(Block):
    """A whole file."""

    format: Annotated[int, Field(ge=format_1.FORMAT, le=format_1.FORMAT)]
    """2; files of format 1 run with a note, and `twinloop migrate` rewrites them"""
    name: Name
    """its name in reports"""
    description: str = ""
    """what it is about, in a sentence"""
    incident: Annotated[str, StringConstraints(pattern=r"^https://[^\s]+$", max_length=300)] | None = None
    """the address of what happened in the field and is rehearsed here"""
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 1
    """from which all that is random is drawn: the same seed is the same run"""
    duration: PositiveDuration
    """how long samples become due"""
    grace: Duration = 30_000_000_000
    """how long what is under way has to end after that"""
    fleets: dict[Name, Fleet] = Field(min_length=1)
    """the devices, by name; a key `name/3` changes the third device of a fleet"""
    overrides: dict[DeviceName, Override] = Field(default={}, exclude=True)
    """filled from the ``fleet/n`` keys of ``fleets``"""
    links: dict[Name, Link] = Field(min_length=1)
    """networks and serial lines, by name"""
    components: dict[Name, Component] = Field(min_length=1)
    """WebAssembly components, by name"""
    gateways: dict[Name, Gateway] = Field(min_length=1)
    """the gateways, by name"""
    registry: Registry | None = None
    """signed releases for upgrades over the air"""
    observe: Observe | None = None
    """how a physical gateway is seen (`twinloop serve --judge`)"""
    pace: Pace = Pace()
    """how well a run beside real devices must keep time"""
    timeline: tuple[Entry, ...] = Field(default=(), strict=False)
    """what happens, in the order of the file"""
    phases: tuple[Phase, ...] = Field(default=(), strict=False)
    """named stretches of the run"""
    random_faults: tuple[Trouble, ...] = Field(default=(), strict=False, alias="random-faults")
    """trouble that is drawn by the seed"""
    expect: tuple[str, ...] = Field(default=(), strict=False)
    """what must hold; each is judged, and the run passes when all hold"""


__all__ = [
    "TARGETS",
    "TYPES",
    "VERBS",
    "Block",
    "Bursts",
    "Change",
    "Component",
    "Deed",
    "Degradation",
    "Entry",
    "Fleet",
    "Gateway",
    "Heartbeat",
    "Limits",
    "Link",
    "Mqtt",
    "Observe",
    "OpcUa",
    "Override",
    "Pace",
    "Phase",
    "Registry",
    "Restart",
    "Retry",
    "Scenario",
    "Standby",
    "Store",
    "Trouble",
    "Upgrading",
    "Uplink",
]

"""What a verb of the timeline is: one class with its keys, its check, what it does and its help.

Belongs here: the base of all verbs, and what they may ask of a file and find on a stage. Never: a verb
(links.py, gateways.py, components.py, devices.py). From these classes follow the schema of an entry,
``twinloop list troubles``, the form of the terminal and the reference in docs/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, field, fields
from typing import Any, ClassVar, Protocol

from twinloop.devices.model.device import DeviceModel
from twinloop.records import dataclass
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.trouble.stage import Stage, WholeStage

Undo = Callable[[], None]
TYPES = (
    "byte",
    "cause",
    "change",
    "duration",
    "interval",
    "name",
    "number",
    "share",
    "shift",
    "size",
    "skew",
    "status",
    "text",
    "value",
    "version",
    "way",
)
"""how the value of a key is written in a file; scenarios/file/schema.py says what each allows"""


class Mistake(Exception):
    """An entry that can't be. ``key``: where, the verb's own target if empty, the whole entry if None."""

    def __init__(self, key: str | None, text: str) -> None:
        super().__init__(text)
        self.key, self.text = key, text


class Unknown(Exception):
    """A name that means nothing: ``what`` it should be, and ``known`` ones."""

    def __init__(self, key: str | None, what: str, name: str, known: Sequence[str]) -> None:
        super().__init__(what, name)
        self.key, self.what, self.name, self.known = key, what, name, known


@dataclass(frozen=True, slots=True)
class Key:
    """A key that may stand beside a verb. ``type`` is one of TYPES; ``example`` and ``other``: two values
    that do different things, as files spell them; ``choices``: what there is in a plant, for a form."""

    name: str
    type: str
    help: str
    example: str
    other: str
    needed: bool
    choices: Callable[[WorldSpec], Sequence[str]] | None


def key(
    name: str,
    type: str,
    help: str,
    example: str,
    other: str,
    default: Any = MISSING,
    choices: Callable[[WorldSpec], Sequence[str]] | None = None,
) -> Any:
    """A field of a verb's class for one key; without a default the key is needed."""
    if type not in TYPES:
        raise ValueError(f"key {name}: unknown type {type!r}; known: {', '.join(TYPES)}")
    return field(
        default=default, metadata={"key": Key(name, type, help, example, other, default is MISSING, choices)}
    )


class Site(Protocol):
    """What a check may ask of the plant that a file describes. Whatever it names may be missing there: that
    is for the check to say."""

    @property
    def links(self) -> Sequence[str]:
        """Names."""
        ...

    @property
    def gateways(self) -> Sequence[str]:
        """Names."""
        ...

    @property
    def pairs(self) -> Sequence[str]:
        """Names of gateways that are in a pair."""
        ...

    def is_line(self, link: str) -> bool:
        """Is it a serial line?"""
        ...

    def legs(self, link: str) -> Sequence[str]:
        """Devices, gateways and the broker that hang on it by a leg of their own."""
        ...

    def pollers(self, link: str) -> Sequence[str]:
        """Gateways that poll over it."""
        ...

    def has_flash(self, gateway: str) -> bool:
        """Has it a store, and does that lie on flash?"""
        ...

    def polled_by(self, device: str) -> tuple[str, ...]:
        """The gateways of a device: one, or a pair."""
        ...

    def require_release(self, gateway: str, component: str, version: str) -> None:
        """Raises Mistake or Unknown when the gateway can't be told to install that."""
        ...

    def is_polled(self, target: str) -> bool:
        """Does a gateway ask that device or fleet, or does it speak by itself?"""
        ...

    def device(self, target: str) -> tuple[str, DeviceModel]:
        """(protocol, model) of a device, a fleet or ``fleet/any``; raises Mistake or Unknown."""
        ...

    def table(self, target: str) -> DeviceModel:
        """What the gateway takes such a device for; raises as ``device``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """Something that happens to ``target``. The class's docstring is its help. ``begin`` does it, and returns
    what ends it."""

    target: str

    name: ClassVar[str] = ""
    takes: ClassVar[str] = "name"
    """how a target is written: name, slot, component, devices"""
    lasts: ClassVar[bool] = True
    """it may have an end (``for``)"""
    must_end: ClassVar[bool] = False
    boots: ClassVar[bool] = False
    """its end is a boot: the event ``restart GATEWAY``"""
    on_link: ClassVar[bool] = False
    """a plant that is served has it, too"""

    @classmethod
    def own_keys(cls) -> tuple[Key, ...]:
        """The keys that may stand beside it, in order."""
        return tuple(one.metadata["key"] for one in fields(cls) if "key" in one.metadata)

    @classmethod
    def field_of(cls) -> dict[str, str]:
        """Key -> field of this class."""
        return {one.metadata["key"].name: one.name for one in fields(cls) if "key" in one.metadata}

    @classmethod
    def help(cls) -> str:
        """What it means, in one sentence."""
        return " ".join((cls.__doc__ or "").split())

    @classmethod
    def targets(cls, spec: WorldSpec) -> Sequence[str]:
        """To what it can be done in a plant."""
        raise NotImplementedError

    def check(self, site: Site, given: Sequence[str]) -> None:
        """Can it be done there? ``given``: the keys that stand beside it. Raises Mistake or Unknown."""
        raise NotImplementedError

    def begin(self, stage: Any, until_ns: int | None) -> Undo | None:
        """Do it, until then: on a Stage what happens to links and devices, on a WholeStage the rest. Returns
        what ends it; None: nothing does, or a boot."""
        raise NotImplementedError

    @property
    def detail(self) -> str:
        """What a record of the trace says of it beside verb and target."""
        return ""


__all__ = ["Key", "Mistake", "Site", "Stage", "Undo", "Unknown", "Verb", "WholeStage", "key"]

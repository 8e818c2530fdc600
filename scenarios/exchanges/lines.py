"""A file of exchanges: what stands in its lines, and how they are written.

Belongs here: the lines as objects, and each as text; docs/replay.md describes them. Never: reading a file
(reading.py), listening to a run (export/exchanges.py), replaying (replaying.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from twinloop.components.contract.contract import Framing, PointConfig, Result, Settings
from twinloop.components.host.exchange import LengthField

KIND = "exchanges"
VERSION = 1
"""of the format; another first number is refused"""
OPERATIONS = ("transact", "send", "receive", "reset")
"""of the contract's ``fieldbus``"""
EXPORTS = ("start", "configure", "read-sensor", "write-register", "get-status")
"""what is called; ``start``: a new instance is made, and its start code runs"""
GIVEN = (
    "clock.now", "clock.monotonic", "clocks/wall-clock#now", "clocks/monotonic-clock#now",
    "random/random#get-random-bytes", "random/random#get-random-u64",
    "random/insecure#get-insecure-random-bytes", "random/insecure#get-insecure-random-u64",
    "random/insecure-seed#insecure-seed",
)  # fmt: skip
"""imports whose answers are kept with the call: clocks and random numbers"""
FINISHED, ABORTED = "finished", "aborted"
"""how a recording ends"""


@dataclass(frozen=True)
class Header:
    """The first line. ``clock``: simulated, or real where devices were attached or a capture was read;
    ``epoch_ns``: ns since 1970 at 0."""

    by: str
    scenario: str
    digest: str
    seed: int | None
    clock: str
    epoch_ns: int

    def line(self) -> bytes:
        """As text."""
        return _line({"twinloop": KIND, "version": VERSION, **self.__dict__})


@dataclass(frozen=True)
class Terms:
    """On what terms a driver ran. ``prices``: of fuel, a call, an import, an exchange, a value, a byte, in
    ps; limits in ns and bytes; None: no limit of its own. ``folders``: (path, is it read-only, quota, files
    with their content as hexadecimal digits) as they were in the beginning."""

    board: str
    prices: tuple[int, ...]
    deadline_ns: int
    start_ns: int
    cpu_ns: int | None
    memory_bytes: int
    state_bytes: int
    grants: tuple[str, ...]
    wasi: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] = ()
    folders: tuple[tuple[str, bool, int, tuple[tuple[str, str], ...]], ...] = ()


@dataclass(frozen=True)
class Place:
    """One driver of one device on one gateway; ``number`` names it in the lines of its calls. ``sockets``: it
    spoke over sockets of its own, too, which nobody recorded."""

    number: int
    device: str
    gateway: str
    component: str
    sha256: str
    protocol: str
    terms: Terms
    settings: Settings
    sockets: bool = False

    def line(self) -> bytes:
        """As text."""
        settings = {
            "device": self.settings.device,
            "points": [one._asdict() | {"sentinels": list(one.sentinels)} for one in self.settings.points],
            "options": [list(pair) for pair in self.settings.options],
        }
        return _line(
            {
                "place": self.number,
                "device": self.device,
                "gateway": self.gateway,
                "component": self.component,
                "sha256": self.sha256,
                "protocol": self.protocol,
                "sockets": self.sockets,
                "terms": self.terms.__dict__,
                "settings": settings,
            }
        )

    def of(self) -> tuple[str, str]:
        """Whose driver it is: of which gateway, for which device."""
        return self.gateway, self.device

    def with_options(self, others: dict[str, str]) -> Settings:
        """Its settings, with these options in the place of its own, or beside them."""
        return self.settings._replace(options=list((dict(self.settings.options) | others).items()))

    def names(self) -> dict[int, str]:
        """Point id -> its name."""
        return {point.id: point.name for point in self.settings.points}


class Exchange(NamedTuple):
    """One exchange over ``fieldbus``. ``at_ns``: since its call began; ``gets``: None when the call ended
    before anything came; ``after_ns``: how long it took."""

    op: str
    asks: bytes
    frame: Framing | None
    timeout_ns: int
    at_ns: int
    gets: Result | None
    after_ns: int

    def data(self) -> dict[str, Any]:
        """As JSON has it; what says nothing is left out."""
        found: dict[str, Any] = {"op": self.op}
        if self.op in ("transact", "send"):
            found["asks"] = self.asks.hex()
        if self.frame is not None:
            found["frame"] = frame_data(self.frame)
        if self.op != "reset":
            found["timeout_ns"] = self.timeout_ns
        found["at_ns"] = self.at_ns
        if self.gets is None:
            found["error"] = None
        elif not self.gets[0]:
            case, payload = self.gets[1]
            found["error"] = case if payload is None else {case: payload}
        elif self.gets[1] is not None:
            found["gets"] = self.gets[1].hex()
        return found | {"after_ns": self.after_ns}


def frame_data(frame: Framing) -> Any:
    """Where a reply ends, as JSON has it."""
    case, payload = frame
    if case == "length-field":
        names = ("offset", "size", "big-endian", "adjust")
        fields = (payload.offset, payload.size, payload.big_endian, payload.adjust)
        return {case: dict(zip(names, fields, strict=True))}
    if case == "until":
        return {case: payload.hex()}
    return case if payload is None else {case: payload}


def frame_of(data: Any) -> Framing:
    """The reverse; raises KeyError, TypeError or ValueError for what is none."""
    if data == "silence":
        return "silence", None
    ((case, payload),) = data.items()
    if case == "length-field":
        fields = payload["offset"], payload["size"], payload["big-endian"], payload["adjust"]
        return case, LengthField(*fields)
    if case == "until":
        return case, bytes.fromhex(payload)
    if case not in ("exactly", "some") or type(payload) is not int:
        raise ValueError(case)
    return case, payload


@dataclass
class Call:
    """One call of a driver. ``instance``: counts those of its place; ``given``: import -> its answers, in
    order; ``gives``: as a file has the result; ``fault``: cause, message, functions; ``then``: a fault that
    the gateway made of what it gave; ``cut``: why it isn't whole. ``line``: of the file."""

    place: int
    instance: int
    export: str
    at_ns: int
    took_ns: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)
    given: dict[str, list[Any]] = field(default_factory=dict)
    bus: list[Exchange] = field(default_factory=list)
    gives: Any = None
    fault: dict[str, Any] | None = None
    then: dict[str, Any] | None = None
    cut: str = ""
    line: int = 0

    def text(self) -> bytes:
        """As the line of a file."""
        found: dict[str, Any] = {
            "call": self.export,
            "place": self.place,
            "instance": self.instance,
            "at_ns": self.at_ns,
            "took_ns": self.took_ns,
        }
        if self.bus:
            found["bus"] = [one.data() for one in self.bus]
        for key in ("arguments", "given", "gives", "fault", "then", "cut"):
            if getattr(self, key):
                found[key] = getattr(self, key)
        return _line(found)

    @property
    def compared(self) -> bool:
        """Is there something that its replay can be held against?"""
        return not self.cut and (self.export == "start" or self.gives is not None or self.fault is not None)


def end_line(how: str, calls: int, exchanges: int) -> bytes:
    """The last line; a file without one was broken off."""
    return _line({"end": how, "calls": calls, "exchanges": exchanges})


def settings_of(data: Any) -> Settings:
    """As the line of a place has them; raises KeyError, TypeError or ValueError for what are none."""
    points = [PointConfig(**{**one, "sentinels": tuple(one["sentinels"])}) for one in data["points"]]
    options = [(str(name), str(value)) for name, value in data["options"]]
    return Settings(str(data["device"]), points, options)


def _line(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\n"

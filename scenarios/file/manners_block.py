"""The block ``manners`` of a device model's file, a fleet, or one device: what a Modbus device does that a
gateway has to cope with.

Belongs here: its keys, and how they become devices/model/manners.Manners. Never: what a manner does
(devices/modbus/mannered.py, sim/field/mannered_port.py). The text below a key is its help: in editors, and in
docs/reference/keys.md.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from twinloop.devices.model.manners import NONE, SERIAL_ONLY, TCP_ONLY, Manners
from twinloop.scenarios.file.block import Block
from twinloop.scenarios.text.quantities import Duration, Ratio
from twinloop.scenarios.text.units import exact_duration


class MannersBlock(Block):
    """Manners of Modbus devices. Each key that is left out stays as it was: of the model, or without that
    manner."""

    quiet_after_connect: Duration | None = Field(default=None, alias="quiet-after-connect")
    """Modbus TCP: requests that come sooner after the connection stands are swallowed, as inverters do it.
    They are never answered."""
    pause: Duration | None = None
    """A request that comes sooner after the device's last answer is not answered."""
    connections: Annotated[int, Field(ge=0, le=512)] | None = None
    """Modbus TCP: how many connections the device holds at once; 0 for any number."""
    more: Literal["refuse", "drop-first"] | None = None
    """What happens when more than `connections` come: the new one is refused, or the oldest one is dropped.
    Left out: refuse."""
    idle: Duration | None = None
    """Modbus TCP: the device hangs up when no request has come for so long."""
    first_answer: Duration | None = Field(default=None, alias="first-answer")
    """The first answer on a connection (on a serial line: the first of all) takes that much longer."""
    asleep_after: Duration | None = Field(default=None, alias="asleep-after")
    """After so long without an answer the next one takes `first-answer` longer, too. Needs
    `first-answer`."""
    write_single: bool | None = Field(default=None, alias="write-single")
    """If false, the device knows the functions 15 and 16 for writes and answers 5 and 6 with exception
    01."""
    write_takes: Duration | None = Field(default=None, alias="write-takes")
    """A write is answered with exception 05 (acknowledge), and for so long everything with 06 (busy). The
    register shows the value at once."""
    busy: Ratio | None = None
    """Share of requests that are answered with exception 06 (server device busy), by the device's own count
    of them. Such a request has no effect."""
    echo: bool | None = None
    """Modbus RTU: the line brings back what is sent, as a two-wire adapter does that doesn't suppress its own
    echo. One such device makes it so for its whole line."""

    def over(self, manners: Manners) -> Manners:
        """The same manners, with the keys that are given here."""
        return replace(manners, **{_FIELDS[key]: getattr(self, key) for key in sorted(self.given())})

    def given(self) -> frozenset[str]:
        """The keys that have a value, by their names in Python."""
        return frozenset(key for key in _FIELDS if getattr(self, key) is not None)

    def unfit(self, serial: bool) -> str | None:
        """A key that says nothing of such a device, as the file spells it."""
        wrong = TCP_ONLY if serial else SERIAL_ONLY
        for key, field in _FIELDS.items():
            if field in wrong and getattr(self, key):
                return _spelt(key)
        return None


_FIELDS = {
    "quiet_after_connect": "quiet_after_connect_ns",
    "pause": "pause_ns",
    "connections": "connections",
    "more": "more",
    "idle": "idle_ns",
    "first_answer": "first_answer_ns",
    "asleep_after": "asleep_after_ns",
    "write_single": "write_single",
    "write_takes": "write_takes_ns",
    "busy": "busy_share",
    "echo": "echo",
}
"""key -> field of Manners"""
assert set(_FIELDS.values()) == {field.name for field in fields(Manners)}


def _spelt(key: str) -> str:
    return key.replace("_", "-")


def idle_key(manners: Manners) -> tuple[str, str] | None:
    """A key that does nothing, as it is, and the one that it needs."""
    if manners.more != NONE.more and not manners.connections:
        return "more", "connections"
    if manners.asleep_after_ns and not manners.first_answer_ns:
        return "asleep-after", "first-answer"
    return None


def shown(manners: Manners) -> dict[str, Any]:
    """The block of these manners, as a file spells it."""
    out: dict[str, Any] = {}
    for key, name in _FIELDS.items():
        value = getattr(manners, name)
        if value == getattr(NONE, name):
            continue
        if name.endswith("_ns"):
            value = exact_duration(value)
        elif name == "busy_share":
            value = f"{100 * value:.10g} %"
        out[_spelt(key)] = value
    return out

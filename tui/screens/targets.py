"""What lies behind the things on a screen: the targets of the cursor.

Belongs here: one small class each. Never: where they stand (spots.py), how they are opened (terminal/).
"""

from __future__ import annotations

from dataclasses import dataclass

from twinloop.tui.engine.explored import Known


@dataclass(frozen=True, slots=True)
class ToExpectation:
    """The page of an expectation, by its number in the file's order."""

    number: int


@dataclass(frozen=True, slots=True)
class ToWindow:
    """The samples that stand out between two instants; of the devices that an expectation means (-1: all)."""

    expectation: int
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class ToSample:
    """The page of one sample."""

    sample: Known


@dataclass(frozen=True, slots=True)
class ToDevice:
    """The device's screen."""

    index: int


@dataclass(frozen=True, slots=True)
class ToFleet:
    """The table of devices, of one fleet alone."""

    name: str


@dataclass(frozen=True, slots=True)
class ToGateway:
    """The gateways' screen."""

    name: str


@dataclass(frozen=True, slots=True)
class ToComponent:
    """The page of a component, on all gateways."""

    name: str


Target = ToExpectation | ToWindow | ToSample | ToDevice | ToFleet | ToGateway | ToComponent

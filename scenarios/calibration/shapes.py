"""What a call has that costs: crossings, values, bytes, fuel; and the instructions that host programs were
counted to take for it.

Belongs here: shapes and their arithmetic. Never: measuring, fitting. Values are counted as a simulated
gateway counts them (sim/gateway): five for a reading, one way, and so many around it."""

from __future__ import annotations

from dataclasses import dataclass

from twinloop.sim.gateway.call import CONSTANT_VALUES, READING_VALUES
from twinloop.sim.model.boards import HostProgram

TRANSFORM_VALUES, POLICY_VALUES = 3, 9
"""a transform's and a policy's arguments beside the readings (sim/gateway/pipeline.py)"""
_THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class Shape:
    """Of one call, or of many together. ``exchanges``: imports that wait; ``imports``: those that are
    answered at once; ``bytes``: carried by both."""

    calls: int = 1
    imports: int = 0
    exchanges: int = 0
    values: int = 0
    bytes: int = 0
    fuel: int = 0

    def __add__(self, other: Shape) -> Shape:
        return Shape(
            self.calls + other.calls,
            self.imports + other.imports,
            self.exchanges + other.exchanges,
            self.values + other.values,
            self.bytes + other.bytes,
            self.fuel + other.fuel,
        )

    def instructions(self, host: HostProgram) -> float:
        """What a host program was counted to take for it, in aarch64 instructions, guest code aside."""
        return (
            self.calls * host.call.value
            + self.imports * host.imported.value
            + self.exchanges * host.exchange.value
            + self.values * host.value.value
            + self.bytes * host.byte.value
        ) / _THOUSAND

    def carried(self, host: HostProgram) -> float:
        """The part of it that values and bytes take."""
        return (self.values * host.value.value + self.bytes * host.byte.value) / _THOUSAND


def transform_values(readings: int) -> int:
    """Values of a call of transform-readings that hands on as many as it gets."""
    return 2 * READING_VALUES * readings + TRANSFORM_VALUES + CONSTANT_VALUES


def decide_values(readings: int) -> int:
    """Values of a call of decide."""
    return READING_VALUES * readings + POLICY_VALUES + CONSTANT_VALUES


def poll_values(readings: int) -> int:
    """Values of a call of read-sensor."""
    return READING_VALUES * readings + CONSTANT_VALUES

"""Sensors that lie: what a point shows instead of its value, for as long as the fault lasts.

Belongs here: faults of values. Never: faults of the protocol (misbehaviour.py). An overlay changes what is
read, not the
image: when it ends, the true value is there. What it shows at an instant depends on (key, instant) only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from twinloop.devices.model.signal import mixed

if TYPE_CHECKING:
    from twinloop.devices.model.cell import Cell

NS_PER_S = 1_000_000_000


class ValueFault(NamedTuple):
    """``kind`` of KINDS on the point of that index. ``by``: units (drift: units a second); ``share`` of
    steps, 0 to 1, that are hit."""

    kind: str
    point: int
    by: float = 0.0
    share: float = 1.0
    status: int = 0
    """bad-status: the OPC UA StatusCode"""


class Overlay:
    """One fault on one device's point, from ``start_ns`` on. ``frozen``: the point's registers at that
    instant."""

    __slots__ = ("_fault", "_key", "_step_ns", "cell", "frozen", "start_ns")

    def __init__(
        self, *, fault: ValueFault, cell: Cell | None, frozen: bytes, key: int, start_ns: int, step_ns: int
    ) -> None:
        self._fault, self.cell, self.frozen = fault, cell, frozen
        self._key, self.start_ns, self._step_ns = key, start_ns, step_ns

    @property
    def point(self) -> int:
        """Which point it is about."""
        return self._fault.point

    @property
    def kind(self) -> str:
        """Of KINDS."""
        return self._fault.kind

    @property
    def status(self) -> int:
        """bad-status: which."""
        return self._fault.status

    def hits(self, now_ns: int) -> bool:
        """Does it lie at ``now_ns``? All looks within a step see the same."""
        share = self._fault.share
        return share >= 1.0 or mixed(self._key, now_ns // self._step_ns) < int(share * (1 << 64))

    def show(self, true: bytes, now_ns: int) -> bytes:
        """The registers (or the coil's byte) that are read at ``now_ns`` instead of ``true``."""
        fault = self._fault
        if fault.kind in ONLY_NODES or not self.hits(now_ns):
            return true
        if fault.kind == "stuck":
            return self.frozen
        if self.cell is None:  # a coil: it has no value to be off by
            return bytes(len(true)) if fault.kind == "dropout" else bytes((fault.by != 0.0,))
        return _SHOW[fault.kind](self, true, now_ns)

    def _dropout(self, true: bytes, now_ns: int) -> bytes:
        return bytes(len(true))

    def _nan(self, true: bytes, now_ns: int) -> bytes:
        assert self.cell is not None
        return self.cell.not_a_number

    def _force(self, true: bytes, now_ns: int) -> bytes:
        assert self.cell is not None
        return self.cell.encode(self._fault.by)

    def _spike(self, true: bytes, now_ns: int) -> bytes:
        assert self.cell is not None
        return self.cell.encode(self.cell.decode(true) + self._fault.by)

    def _drift(self, true: bytes, now_ns: int) -> bytes:
        assert self.cell is not None
        return self.cell.encode(
            self.cell.decode(true) + self._fault.by * ((now_ns - self.start_ns) / NS_PER_S)
        )


_SHOW: dict[str, Callable[[Overlay, bytes, int], bytes]] = {
    "dropout": Overlay._dropout,
    "nan": Overlay._nan,
    "force": Overlay._force,
    "spike": Overlay._spike,
    "drift": Overlay._drift,
}

KINDS: dict[str, str] = {
    "stuck": "the point keeps the value that it had",
    "drift": "the value drifts away by `value` units a second",
    "spike": "the value is wrong by `value` units",
    "dropout": "all registers of the point are zero",
    "nan": "NaN, or the registers that SunSpec reserves for a value that isn't there",
    "force": "the reading is `value`, whatever the device measures",
    "bad-status": "the point has the StatusCode `status` (OPC UA)",
    "frozen-timestamp": "the point's source timestamp stands still, its value doesn't (OPC UA)",
}
"""kind of value fault -> what is read"""
ONLY_NODES = ("bad-status", "frozen-timestamp")
"""kinds that registers don't have; devices/model/nodes.py knows them"""
NEEDS_AMOUNT = ("drift", "spike", "force")
"""kinds that mean nothing without ``by``"""
OF_TEXTS = ("stuck", "dropout")
"""kinds that a text can have"""
NOT_ON_A_COIL = ("drift", "spike", "nan")

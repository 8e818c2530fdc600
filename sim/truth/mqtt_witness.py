"""A device that publishes, as a witness: what its messages said, and what became of a write that a broker has
taken for it.

Belongs here: which message a batch is of, orders that haven't come to the device yet. Never: packets
(devices/mqtt_*.py), comparisons (truth.py). A driver calls a write done when the broker has it; the device
hears of it later, and again when it is told twice. So an order is compared when the device has been told to
set that point, and at the end when it never was and nobody has the message any more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from twinloop.devices.mqtt.device import MqttDevice
from twinloop.sim.kernel.clock import Environment, S
from twinloop.sim.truth.nobody import Nobody
from twinloop.sim.truth.truth import NOT_WRITTEN, STRAY_SET, Shown
from twinloop.sim.truth.witness import held

if TYPE_CHECKING:
    from twinloop.sim.cloud.messages import Command
    from twinloop.sim.truth.truth import Truth

GRACE_NS = 10 * S
"""so long before the end a write must have been called done, if its device is to have heard of it"""


class MessageWitness(Nobody):
    """``on_its_way()``: is anything for that device in somebody's hands still?"""

    def __init__(self, env: Environment, speaker: MqttDevice, on_its_way: Callable[[], bool]) -> None:
        self._env, self._speaker, self._on_its_way = env, speaker, on_its_way
        self._names, self._said = tuple(point.name for point in speaker.device.model.points), speaker.said
        speaker.on_set.append(self._was_set)
        self._set: list[int] = []
        """points that the device was told to set in this call"""
        self._orders: list[tuple[Truth, Command, int]] = []
        """called done at that instant, and not yet seen at the device"""
        self._payload: bytes | None = None
        self._read: tuple[bytes, dict[str, object]] = b"", {}

    def begin(self) -> None:
        """Which message it is, ``at`` says."""
        self._payload = None
        self._set.clear()

    def at(self, k: int) -> None:
        """The batch is of sample ``k``."""
        self._payload = self._said.get(k)

    def _values(self) -> dict[str, object] | None:
        if self._payload is None:
            return None
        if self._read[0] is not self._payload:
            self._read = self._payload, json.loads(self._payload)["values"]
        return self._read[1]

    def shown(self, index: int) -> list[Shown] | None:
        """The number in the message."""
        values = self._values()
        if values is None:
            return None
        value = values.get(self._names[index])
        return [Shown(float(value))] if isinstance(value, int | float) else []

    def valueless(self, index: int, status: int) -> bool:
        """The message said null."""
        values = self._values()
        return values is not None and values.get(self._names[index], 0) is None

    # ---- writes ----------------------------------------------------------------------------------
    def wrote_later(self, truth: Truth, command: Command) -> None:
        """The broker has it; the device may have heard of it already."""
        if not self._orders:
            truth.on_finish.append(self._finish)
        self._orders.append((truth, command, self._env.now))
        self._compare(self._set)

    def _was_set(self, points: list[int]) -> None:
        self._set += points
        self._compare(points)

    def _compare(self, points: list[int]) -> None:
        """The device was told to set these points: which orders were that?"""
        left = []
        for truth, command, done_ns in self._orders:
            device = self._speaker.device
            true, right = held(device, command.point, command.value)
            strays = [point for point in points if not truth.was_ordered(command.device, point)]
            if strays:
                truth.held(command, true, right, STRAY_SET)
            elif command.point in points and (
                right or not any(held(device, command.point, value)[1] for value in truth.earlier(command))
            ):
                truth.held(command, true, right, "")  # else an earlier one has come (again)
            else:
                left.append((truth, command, done_ns))
        self._orders = left

    def _finish(self) -> None:
        """The run is over: what hasn't come by now was lost, unless it is on its way or only just done."""
        if not self._speaker.accepted or self._on_its_way():
            return
        for truth, command, done_ns in self._orders:
            if done_ns <= self._env.now - GRACE_NS:
                truth.held(
                    command, held(self._speaker.device, command.point, command.value)[0], False, NOT_WRITTEN
                )
        self._orders.clear()

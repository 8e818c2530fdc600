"""What the devices of a served field show, told to a process of ours that attaches to them.

Belongs here: the sentences of that conversation as the serving side says them; the other side is
elsewhere.py. Never: sockets, comparisons. One JSON object a line. To who comes: which devices there are, and
the points of each; then each look at a device and each write to one as it happens, with its instant on this
side's timeline. ``{"ask": n}`` is answered by ``{"asked": n, "now": instant}``, after all that was before.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twinloop.devices.modbus.server import ModbusServer
from twinloop.sim.serving.plant import Caller, ServedPlant, Write
from twinloop.sim.truth.elsewhere import FORMAT, HELLO
from twinloop.sim.truth.truth import Shown
from twinloop.sim.truth.witness import (
    READS,
    WRITES,
    Look,
    held_shown,
    node_shown,
    registers_shown,
    texts_shown,
    written_by,
)

SENTENCE_BYTES_MAX = 4096
"""of one that a listener says; more ends its connection (limit ``not-twinloop``)"""


class Showing:
    """Hears what all devices of a plant show, and tells its listeners. Nothing is worked out while nobody
    listens."""

    def __init__(self, plant: ServedPlant) -> None:
        self.plant = plant
        self.listeners: dict[TruthCaller, None] = {}
        plant.on_look = self._looked
        for index, spec in enumerate(plant.spec.devices):
            if spec.protocol == "opcua":
                self._hear(index, plant.field.servers[index])

    def _hear(self, index: int, server: Any) -> None:
        """An OPC UA server tells of nodes by itself."""
        image = server.image

        def looked(point: int, told: Any) -> None:
            if self.listeners:
                self._say(index, "read", {point: node_shown(image, point, told)})

        def written(point: int) -> None:
            if self.listeners:
                self._say(index, "held", {point: held_shown(image.device, point)})

        server.on_look, server.on_write = looked, written

    def _looked(self, index: int, look: Look) -> None:
        """A Modbus device has answered, rightly."""
        if not self.listeners or look[1][:1] != look[0][:1]:
            return
        server = self.plant.field.servers[index]
        assert isinstance(server, ModbusServer)
        device, code = server.device, look[0][0]
        if code in READS:
            found = {
                point: shown[-1]
                for point in range(len(device.model.points))
                if (shown := registers_shown(device, point, [look]))
            }
            texts = {
                point: said[-1]
                for point, one in enumerate(device.model.points)
                if one.text is not None and (said := texts_shown(device, point, [look]))
            }
            self._say(index, "read", found, texts)
        elif code in WRITES:
            self._say(
                index, "held", {point: held_shown(device, point) for point in written_by(device, look[0])}
            )

    def _say(
        self, index: int, what: str, shown: dict[int, Shown], texts: dict[int, str | None] | None = None
    ) -> None:
        plant = self.plant
        points = plant.spec.devices[index].model.points
        look: dict[str, Any] = {
            "at": plant.env.now,
            "device": index,
            what: {points[point].name: list(one) for point, one in shown.items()},
        }
        if texts:
            look["texts"] = {points[point].name: text for point, text in texts.items()}
        said = _sentence(look)
        for listener in list(self.listeners):
            listener.write(said)

    def hello(self) -> bytes:
        """Which devices there are: [name, number of its model]; of each model its points."""
        models: dict[tuple[str, ...], int] = {}
        devices = [
            [spec.name, models.setdefault(tuple(point.name for point in spec.model.points), len(models))]
            for spec in self.plant.spec.devices
        ]
        return _sentence({HELLO: FORMAT, "devices": devices, "models": [list(names) for names in models]})


def _sentence(said: dict[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


class TruthCaller(Caller):
    """One listener."""

    def __init__(self, showing: Showing, write: Write, hang_up: Callable[[], None]) -> None:
        super().__init__(showing.plant, write, hang_up)
        self._showing, self._buffer = showing, b""
        write(showing.hello())
        showing.listeners[self] = None

    def received(self, data: bytes) -> None:
        """Questions; what is none ends the connection."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            try:
                asked = json.loads(line)["ask"]
            except (ValueError, KeyError, TypeError, RecursionError):
                asked = None
            if type(asked) is not int:
                self._refuse()
                return
            self.write(_sentence({"asked": asked, "now": self.plant.env.now}))
        if len(self._buffer) > SENTENCE_BYTES_MAX:
            self._refuse()

    def _refuse(self) -> None:
        self.plant.limit_met("not-twinloop")
        self.lost()
        self.hang_up()

    def lost(self) -> None:
        """The listener is no more."""
        super().lost()
        self._showing.listeners.pop(self, None)

"""What drivers read, written down as recordings: CSV files that devices/catalogue/recording.py reads again.

Belongs here: rows of readings. Never: the world that is recorded from. ``ns`` is when the driver had the
reading, by the run's clock; ``took_ns`` how long its exchange on the bus took (empty when it took several, or
none that a network has). A sample that was missed is a row of each of its points with a Bad status.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from twinloop.components.host.batch import Batch
from twinloop.devices.catalogue.recording import HEADER, TOOK, UNIT
from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.sim.accounts.latency import BUS
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.gateway.reader import Reader
from twinloop.sim.kernel.clock import Event
from twinloop.sim.model.spec import Action, WorldSpec
from twinloop.sim.world import World

_STATUS = {
    "timeout": "BadTimeout",
    "deadline": "BadTimeout",
    "disconnected": "BadNoCommunication",
    "device": "BadDeviceFailure",
    "malformed": "BadCommunicationError",
}
"""cause of a missed sample -> its StatusCode; of any other BadUnexpectedError"""
KEPT_VERBS = ("device-fault", "write")
"""what of a timeline happens while it is recorded: the rest is trouble of networks and gateways"""


def recordable(spec: WorldSpec, duration_ns: int) -> WorldSpec:
    """The scenario for as long as that, without trouble but the devices' own."""

    def kept(action: Action) -> bool:
        return action.verb in KEPT_VERBS and action.at_ns < duration_ns

    timeline = tuple(action for action in spec.timeline if kept(action))
    reactions = tuple(reaction for reaction in spec.reactions if kept(reaction.action))
    return replace(spec, duration_ns=duration_ns, timeline=timeline, reactions=reactions, phases=())


class Counted:
    """A driver's port, and how many exchanges went through it since somebody looked."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self.exchanges = 0

    def transact(self, request: bytes, reply: Any, timeout_ns: int, limit_ns: int) -> Event:
        """One exchange."""
        self.exchanges += 1
        signal: Event = self._port.transact(request, reply, timeout_ns, limit_ns)
        return signal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


class Recorder:
    """Files of some devices of a world: ``folder``/presses-3.csv. Raises ScenarioError when one exists or
    can't be made. ``close`` it."""

    def __init__(self, world: World, devices: Iterable[int], folder: Path) -> None:
        self.rows = dict.fromkeys(devices, 0)
        """device -> rows written"""
        self.files: dict[int, Path] = {}
        self._world = world
        self._open: list[IO[str]] = []
        self._writers: dict[int, Any] = {}
        self._ports: dict[int, Counted] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for index in self.rows:
                self.files[index] = folder / f"{world.ledger.names[index].replace('/', '-')}.csv"
                file = self.files[index].open("x", encoding="utf-8", newline="")
                self._open.append(file)
                writer = self._writers[index] = csv.writer(file, lineterminator="\n")
                writer.writerow([*HEADER, UNIT, TOOK])
        except OSError as error:
            self.close()
            for written in list(self.files.values())[: len(self._open)]:
                written.unlink()
            raise ScenarioError("--out", None, "", f"{error.filename}: {error.strerror}") from error
        for gateway in world.gateways:
            for poller in gateway.pollers:
                if poller.index in self.rows and gateway.name == poller.spec.gateway:
                    poller.on_batch = self._read
                    # a line's times say nothing of a network
                    if not poller.listens_by_itself and not poller.spec.speaks.serial:
                        counted = self._ports[poller.index] = Counted(poller.port)
                        poller.port = counted
        world.ends.on_end.append(self._missed)

    def _read(self, poller: Reader, row: Row, batch: Batch) -> None:
        port = self._ports.get(poller.index)
        now = self._world.env.now
        took = poller.times.spent_ns[BUS] if port is not None and port.exchanges == 1 else ""
        if port is not None:
            port.exchanges = 0
        points = poller.table.points
        first = points[0].id
        for point, value, status in zip(batch.points, batch.values, batch.statuses, strict=True):
            config = points[point - first]
            self._write(
                poller.index,
                [now, config.name, "" if status >> 31 else repr(value), status, config.unit, took],
            )

    def _missed(self, row: Row, mask: int, end: End, cause: str) -> None:
        if end is not End.MISSED or row.device not in self.rows:
            return
        if row.device in self._ports:
            self._ports[row.device].exchanges = 0
        code = STATUS_CODES[_STATUS.get(cause, "BadUnexpectedError")]
        for i, point in enumerate(self._world.spec.devices[row.device].table.points):
            if mask >> i & 1:
                self._write(row.device, [self._world.env.now, point.name, "", code, point.unit, ""])

    def _write(self, index: int, fields: list[Any]) -> None:
        try:
            self._writers[index].writerow(fields)
        except OSError as error:
            raise ScenarioError("--out", None, "", f"{self.files[index]}: {error.strerror}") from error
        self.rows[index] += 1

    def close(self) -> None:
        """What was written is in the files; raises ScenarioError when there is no room for it."""
        failed: OSError | None = None
        for file in self._open:
            try:
                file.close()
            except OSError as error:
                failed = error
        if failed is not None:
            raise ScenarioError("--out", None, "", failed.strerror or str(failed)) from failed

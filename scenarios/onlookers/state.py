"""The state of a served field as it is told to onlookers: plain data for JSON, format 1 (docs/wire.md).

Belongs here: copying. Never: counting (tally.py), sockets (door.py), a change to what is looked at.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from math import isnan
from typing import TYPE_CHECKING, Any

from twinloop.devices.model.misbehaviour import Spread
from twinloop.scenarios.onlookers.news import News
from twinloop.scenarios.onlookers.tally import Tally
from twinloop.scenarios.report.standing import standing
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.histogram import NEVER
from twinloop.sim.model.spec import Action, DeviceSpec

if TYPE_CHECKING:
    from twinloop.scenarios.judging.judged import Judged
    from twinloop.scenarios.wire.hil import Hil
    from twinloop.scenarios.wire.wire import Endpoint, Wire

FORMAT = 1
DEVICES_A_TURN = 250
"""that are copied before the clients of the field get their turn again"""
FRESH_S, REST = 0.2, 20
"""how long a copy is told to all who ask, at least; and so many times as long as it took to make, so that
looking on takes a twentieth of the time at most"""


class State:
    """What is told of one serving. ``endpoints`` are set when they are known; ``verdict`` at the end."""

    def __init__(self, wire: Wire, name: str, hil: Hil | None, ends_ns: int | None) -> None:
        self._wire, self._name, self._hil, self._ends_ns = wire, name, hil, ends_ns
        self._plant = wire.plant
        self.tally, self.news = Tally(wire.plant), News(wire.plant)
        self._urls: dict[str, str] = {}
        self._ended_ns: int | None = None
        self._verdict = ""
        self._judged: tuple[Judged, ...] = ()
        self._common: tuple[float, str] = (0.0, "")
        """until when it is told (of the loop's clock), and what"""
        self._making = asyncio.Lock()
        self._planned, self._spent_s = "", 0.0

    def found(self, endpoints: Iterable[Endpoint]) -> None:
        """Devices are open to clients."""
        self._urls = {one.device: one.url for one in endpoints}

    def end(self, verdict: str = "", judged: Sequence[Judged] = ()) -> None:
        """It is over; with --judge: how it ended. What is told from now on stays."""
        self._ended_ns, self._verdict, self._common = self._wire.pacer.position_ns(), verdict, (0.0, "")
        self._judged = tuple(judged)

    @property
    def over(self) -> bool:
        """Has it ended?"""
        return self._ended_ns is not None

    # ---- what stays ------------------------------------------------------------------------------
    async def plan(self) -> str:
        """JSON: what doesn't change while it is served, made once."""
        async with self._making:
            if not self._planned:
                devices = await self._in_turns(lambda i: self._device(self._plant.spec.devices[i]))
                self._planned = f'{json.dumps(self._frame())[:-1]}, "devices": [{devices}]}}'
        return self._planned

    async def _in_turns(self, make: Callable[[int], dict[str, Any]]) -> str:
        """JSON of what is made of each device; after some of them clients of the field get their turn."""
        count, parts = len(self._plant.spec.devices), list[str]()
        for first in range(0, count, DEVICES_A_TURN):
            if first:
                await asyncio.sleep(0)
            began = time.monotonic()
            some = [make(i) for i in range(first, min(count, first + DEVICES_A_TURN))]
            parts.append(json.dumps(some)[1:-1])
            self._spent_s += time.monotonic() - began
        return ", ".join(parts)

    def _frame(self) -> dict[str, Any]:
        """The plan without its devices."""
        spec = self._plant.spec
        return {
            "format": FORMAT,
            "twinloop": _version(),
            "name": self._name,
            "seed": spec.seed,
            "judged": self._hil is not None,
            "duration_ns": spec.duration_ns,
            "ends_ns": self._ends_ns,
            "links": [link.name for link in spec.links],
            "timeline": [_entry(action) for action in spec.timeline],
            "reactions": [
                {"after": one.event, "delay_ns": one.delay_ns, **_what(one.action)} for one in spec.reactions
            ],
            "phases": [
                {"name": one.name, "start_ns": one.start_ns, "end_ns": one.end_ns} for one in spec.phases
            ],
        }

    def _device(self, device: DeviceSpec) -> dict[str, Any]:
        return {
            "name": device.name,
            "fleet": self._plant.spec.fleets[device.fleet],
            "protocol": device.protocol,
            "link": device.link,
            "poll_ns": device.poll_ns,
            "url": self._urls.get(device.name, ""),
            "points": [
                {"name": point.name, "at": device.speaks.shown(point), "unit": point.unit}
                for point in device.model.points
            ],
        }

    # ---- what moves ------------------------------------------------------------------------------
    async def now(self, after: int, device: int) -> str:
        """JSON: as it is; lines of the log with higher numbers than ``after``, and the details of a
        ``device`` (-1: of none)."""
        own = {
            "log": self.news.lines(after),
            "device": self._details(device) if 0 <= device < len(self._plant.spec.devices) else None,
        }
        async with self._making:
            until, common = self._common
            if time.monotonic() >= until:
                common = await self._made()
        return f"{common}, {json.dumps(own)[1:]}"

    async def _made(self) -> str:
        """All but what one onlooker asks for, without its last brace."""
        self._spent_s = 0.0
        devices = await self._in_turns(self._row)
        began = time.monotonic()
        common = f'{json.dumps(self._whole())[:-1]}, "devices": [{devices}]'
        self._spent_s += time.monotonic() - began
        self._common = time.monotonic() + max(FRESH_S, REST * self._spent_s), common
        return common

    def _whole(self) -> dict[str, Any]:
        plant, wire = self._plant, self._wire
        now = wire.pacer.position_ns() if self._ended_ns is None else self._ended_ns
        lag = wire.pacer.lag
        begun = [_entry(action) for action in self.news.begun]
        return {
            "format": FORMAT,
            "clock": {
                "now_ns": now,
                "late_p50_ns": lag.percentile(500),
                "late_p99_ns": lag.percentile(990),
            },
            "over": self.over,
            "verdict": self._verdict or None,
            "clients": wire.clients,
            "requests": plant.requests,
            "limits": dict(plant.limits),
            "links": {name: link.troubled for name, link in plant.links.items()},
            "begun": begun,
            "due": [_entry(action) for action in self.news.due if action.at_ns > plant.env.now],
            "waiting": list(plant.timeline.left()),
            "expectations": self._standing(),
            "samples": self._samples(),
        }

    def _standing(self) -> list[dict[str, str]] | None:
        if self._hil is None:
            return None
        if self.over:
            ends = self._plant.spec, self._plant.env.now, True
            return [_expectation(*standing(one, *ends)) for one in self._judged]
        return [_expectation(*one) for one in self._hil.standing()]

    def _samples(self) -> dict[str, Any] | None:
        """As the judge counts them: points, each of which has an end or is open."""
        if self._hil is None:
            return None
        plant = self._hil.plant
        ends = dict.fromkeys((End.DELIVERED, End.MISSED, End.LOST), 0)
        for (_, end, _), count in plant.ledger.ends.items():
            ends[end] = ends.get(end, 0) + count
        cloud = plant.latencies.of().cloud
        ranks = [cloud.percentile(permille) for permille in (500, 950, 990)]
        return {
            "due": plant.ledger.due,
            "open": plant.ledger.open,
            **{end.value: ends[end] for end in (End.DELIVERED, End.MISSED, End.LOST)},
            "duplicates": sum(plant.ledger.duplicates_of),
            "misordered": sum(plant.ledger.misordered_of),
            "messages": plant.messages,
            "strange": plant.strange,
            "cloud_ns": [None if rank is None else min(rank, NEVER) for rank in ranks],
            "by_device": self._by_device(),
        }

    def _by_device(self) -> dict[str, list[int]]:
        ledger = self._hil.plant.ledger if self._hil is not None else None
        assert ledger is not None
        found = {end.value: [0] * len(ledger.names) for end in (End.DELIVERED, End.MISSED, End.LOST)}
        for (device, end, _), count in ledger.ends.items():
            if end.value in found:
                found[end.value][device] += count
        return {"due": list(ledger.due_of), **found}

    def _row(self, index: int) -> dict[str, Any]:
        tally, server = self.tally, self._plant.field.servers[index]
        publishes = self._plant.spec.devices[index].speaks.publishes
        spec = self._plant.spec.devices[index]
        modbus = spec.protocol.startswith("modbus")
        stands = spec.protocol in ("modbus-tcp", "modbus-rtu-over-tcp") and not spec.behind
        return {
            "connections": getattr(server, "connections", None) if stands else None,
            "requests": None if publishes else tally.requests[index],
            "answers": tally.answers[index],
            "exceptions": tally.exceptions[index] if modbus else None,
            "asked_ns": None if tally.asked_ns[index] < 0 else tally.asked_ns[index],
            "faults": self._faults(index),
            "value": _number(tally.value(index)),
        }

    def _faults(self, index: int) -> list[str]:
        server = self._plant.field.servers[index]
        kinds = [fault.kind for fault in getattr(server, "faults", []) if not isinstance(fault, Spread)]
        return kinds + [overlay.kind for overlay in server.device.image.overlays]

    def _details(self, index: int) -> dict[str, Any]:
        device = self._plant.field.servers[index].device
        device.advance(max(0, self._plant.env.now))
        values = []
        for i, point in enumerate(device.model.points):
            value = device.image.text(i) if point.text is not None else _number(device.image.value(i))
            values.append([value, device.status(i)])
        frames = [[at, way, data.hex()] for at, way, data in self.tally.frames(index)]
        return {"index": index, "values": values, "faults": self._faults(index), "frames": frames}


def _version() -> str:
    try:
        return version("twinloop")
    except PackageNotFoundError:  # run from a folder
        return "unknown"


def _number(value: float | None) -> float | str | None:
    """JSON has no NaN and no infinity: they are words."""
    if value is None or value - value == 0.0:
        return value
    return "NaN" if isnan(value) else "inf" if value > 0 else "-inf"


def _expectation(text: str, verdict: str, measured: str) -> dict[str, str]:
    return {"text": text, "verdict": verdict, "measured": measured}


def _entry(action: Action) -> dict[str, Any]:
    return {"at_ns": action.at_ns, "until_ns": action.until_ns, **_what(action)}


def _what(action: Action) -> dict[str, Any]:
    return {"verb": action.verb, "target": action.target}

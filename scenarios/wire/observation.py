"""``observe:``, how a gateway that isn't ours is seen: the counter at each device, and which message says
which sample.

Belongs here: topics, paths into payloads, the point that counts. Never: the books
(sim/serving/judged_plant.py), sockets.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.points import Point
from twinloop.devices.model.signal import Signal
from twinloop.devices.model.statuses import BAD, UNCERTAIN, status_code
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.wire.json_path import NOTHING, SEVERAL, JsonPath, json_path, with_point
from twinloop.sim.accounts.rows import Marks
from twinloop.sim.model.spec import DeviceSpec, WorldSpec
from twinloop.sim.serving.judged_plant import NO_SAMPLE

COUNTER = "sample"
"""the point that counts; over OPC UA the node ns=2;s=sample"""
_WILD = re.compile(r"[+#\0]")


def counted(loaded: Loaded, spec: WorldSpec) -> tuple[WorldSpec, list[str]]:
    """The scenario with a counter in each device that can have one, and who can't, in words; raises
    ScenarioError."""
    block = loaded.scenario.observe
    if block is None:
        raise ScenarioError(
            loaded.document.file.name,
            None,
            "",
            'missing key "observe": how a gateway that isn\'t ours is seen',
        )
    models: dict[str, DeviceModel] = {}
    devices: list[DeviceSpec] = []
    left_out: dict[str, list[str]] = {}
    for device in spec.devices:
        nodeset = "a NodeSet has no room for a counter" if device.model.nodeset else ""
        why = "mqtt devices publish by themselves" if device.speaks.publishes else nodeset
        if why:
            left_out.setdefault(why, []).append(device.name)
            continue
        if device.model.name not in models:
            models[device.model.name] = _with_counter(loaded, device.model, block.sample)
        devices.append(replace(device, model=models[device.model.name], subscribed=None))
    if not devices:
        raise ScenarioError(
            loaded.document.file.name, None, "", "no device of it can be judged: " + "; ".join(left_out)
        )
    notes = [f"left out: {len(names)} devices: {why}" for why, names in left_out.items()]
    there = {spec.fleets[device.fleet] for device in devices} | {device.name for device in devices}
    timeline = tuple(
        action for action in spec.timeline if action.verb != "device-fault" or action.target in there
    )
    reactions = tuple(
        reaction
        for reaction in spec.reactions
        if reaction.action.verb != "device-fault" or reaction.action.target in there
    )
    return replace(spec, devices=tuple(devices), timeline=timeline, reactions=reactions), notes


def _with_counter(loaded: Loaded, model: DeviceModel, address: int | None) -> DeviceModel:
    if any(point.name == COUNTER for point in model.points):
        raise loaded.document.error(
            ("observe",), f'{model.name} has a point "{COUNTER}" of its own: its samples can\'t be counted'
        )
    tables = [point.table for point in model.points if point.table in ("holding", "input")]
    table = max(("holding", "input"), key=tables.count)
    taken = [point.address + point.width for point in model.points if point.table == table]
    taken += [at + 1 for where, at in model.constants if where == table]
    first = max(taken, default=0) if address is None else address
    counter = Point(COUNTER, table, first, "u32", signal=Signal("constant", float(NO_SAMPLE)), writable=True)
    try:
        return replace(model, points=(*model.points, counter))
    except ValueError as error:
        raise loaded.document.error(("observe", "sample"), str(error)) from error


class Observation:
    """What messages say. ``pattern``: the subscription that brings them all. Raises ScenarioError."""

    def __init__(self, loaded: Loaded, spec: WorldSpec) -> None:
        block = loaded.scenario.observe
        assert block is not None
        error = loaded.document.error
        if "{device}" not in block.topic or _WILD.search(block.topic):
            text = "expected a topic with {device} in it and without wildcards, e.g. plant/{device}"
            raise error(("observe", "topic"), f'{text}, got "{block.topic}"')
        self._value = block.value
        self._by_point = block.value is not None and "{point}" in block.value
        paths: dict[str, JsonPath] = {}
        given: dict[str, str | None] = {
            "sequence": block.sequence,
            "each": block.each,
            "value": block.value and with_point(block.value, "x"),
            "status": block.status and with_point(block.status, "x"),
        }
        for key, path in given.items():
            try:
                paths[key] = json_path("$" if path is None else path)
            except ValueError as problem:
                raise error(("observe", key), str(problem)) from problem
        if block.value is not None and "{point}" in block.value and "{point}" in block.topic:
            raise error(("observe", "value"), "{point} is in the topic already")
        self._sequence, self._each = paths["sequence"], None if block.each is None else paths["each"]
        self._topics: dict[str, tuple[int, int | None]] = {}
        self._paths: list[list[JsonPath]] = []
        self._statuses: list[list[JsonPath]] = []
        self.tells_quality = block.status is not None
        for index, device in enumerate(spec.devices):
            names = [point.name for point in device.model.points[:-1]]
            self._paths.append([self._path(self._value, name) for name in names])
            self._statuses.append([self._path(block.status, name) for name in names])
            topic = block.topic.replace("{device}", device.name)
            if "{point}" in topic:
                self._topics.update(
                    (topic.replace("{point}", name), (index, i)) for i, name in enumerate(names)
                )
            else:
                self._topics[topic] = index, None
        fixed = block.topic.partition("{")[0].rpartition("/")[0]
        self.pattern = f"{fixed}/#" if fixed else "#"

    @staticmethod
    def _path(text: str | None, point: str) -> JsonPath:
        return json_path("$" if text is None else with_point(text, point))

    def read(self, topic: str, payload: bytes) -> list[tuple[int, int, int, Marks] | str]:
        """(device, k, points as bits, StatusCode -> points of those that aren't Good) of each sample in a
        message, or what is wrong with it."""
        where = self._topics.get(topic)
        if where is None:
            return [f"topic {topic[:100]}: no device's"]
        try:
            data = json.loads(payload)
        except (ValueError, RecursionError):
            return [f"topic {topic}: not JSON"]
        try:
            parts = [data] if self._each is None else self._each.of(data)
        except ValueError as error:
            return [f"topic {topic}: {error}"]
        if not isinstance(parts, list):
            return [f"topic {topic}: no list where each sample is to be"]
        found: list[tuple[int, int, int, Marks] | str] = []
        for part in parts:
            try:
                k = self._sequence.of(part)
                if not isinstance(k, int) or isinstance(k, bool):
                    raise ValueError(f"{_what(k, 'no whole number')} where the sequence is to be")
                mask = self._mask(part, *where)
                marks = self._marks(part, *where) if self.tells_quality else {}
            except ValueError as error:
                found.append(f"topic {topic}: {error}")
                continue
            for status, points in marks.items():
                mask |= points if status >= BAD else 0  # a value that isn't there has its status all the same
            found.append((where[0], k, mask, marks))
        return found

    def _marks(self, part: Any, index: int, point: int | None) -> Marks:
        """What isn't Good. Raises ValueError for what is no status."""
        marks: Marks = {}
        for i, path in enumerate(self._statuses[index]):
            if point in (None, i):
                status = _status(path.of(part))
                if status:
                    marks[status] = marks.get(status, 0) | 1 << i
        return marks

    def _mask(self, part: Any, index: int, point: int | None) -> int:
        """The points whose value is there. Raises ValueError where there are several values."""
        paths = self._paths[index]
        if point is not None:
            return 1 << point if self._value is None or _is_value(paths[point].of(part)) else 0
        if self._value is None or not self._by_point:
            return (1 << len(paths)) - 1 if self._value is None or _is_value(paths[0].of(part)) else 0
        return sum(1 << i for i, path in enumerate(paths) if _is_value(path.of(part)))


def _what(value: Any, otherwise: str) -> str:
    return "more than one value" if value is SEVERAL else otherwise


_WORDS = {"good": 0, "uncertain": UNCERTAIN, "bad": BAD}


def _status(value: Any) -> int:
    """A StatusCode: 0 where there is none. Raises ValueError."""
    if value is NOTHING or value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32:
        return value if value >= UNCERTAIN else 0
    if isinstance(value, str):
        code = _WORDS.get(value.lower(), status_code(value))
        if code is not None:
            return code if code >= UNCERTAIN else 0
    if value is SEVERAL:
        raise ValueError("more than one value where the status is to be")
    raise ValueError(
        f"{str(value)[:60]!r} is no status: expected a StatusCode, its name, or good, uncertain, bad"
    )


def _is_value(value: Any) -> bool:
    """A finite number, or a switch. Raises ValueError for several values."""
    if value is SEVERAL:
        raise ValueError("more than one value where one is to be")
    return isinstance(value, int | float) and value - value == 0

"""``twinloop device probe``: from its flags to what it prints and writes.

Belongs here: durations and rates of the command line, the wall's clock between two looks. Never: the work
(scenarios/learning/).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NamedTuple

from twinloop.scenarios.file.datasheet.reading import read_model
from twinloop.scenarios.judging.verdict import ABORTED
from twinloop.scenarios.learning.asked import ranges
from twinloop.scenarios.learning.beginning import next_lines, target_of, write
from twinloop.scenarios.learning.learned import learned_file, told
from twinloop.scenarios.learning.probing import Probed, client_of
from twinloop.scenarios.learning.probing import probe as probe_device
from twinloop.scenarios.text import units
from twinloop.scenarios.text.errors import ScenarioError, printable, shown_path, unknown
from twinloop.scenarios.text.words import number_of
from twinloop.scenarios.wire.places import where

_PARITIES = {"none": "N", "even": "E", "odd": "O"}


class Asked(NamedTuple):
    """The flags as they were given."""

    registers: str
    looks: int
    every: str
    pause: str
    timeout: str
    requests: int
    serial: str
    parity: str
    stop: int
    out: Path | None


def learn(url: str, asked: Asked) -> int:
    """The command; raises ScenarioError. Exit code 130 when it was interrupted, whatever was written."""
    place = where("URL", url)
    if not place.speaks.registers:
        raise ScenarioError(
            "URL", None, "", f"{url}: {place.speaks.name} has no registers: a Modbus device is probed"
        )
    if place.unit is None:
        raise ScenarioError("URL", None, "", f"{url}: expected a unit id, as in {url}?unit=1")
    wanted = ranges(asked.registers)
    every_ns, timeout_ns = _of("--every", asked.every, True), _of("--timeout", asked.timeout, True)
    pause_ns = _of("--pause", asked.pause, False)
    if asked.parity not in _PARITIES:
        raise ScenarioError("--parity", None, "", unknown("parity", asked.parity, _PARITIES))
    try:
        rate_bd = units.baud(asked.serial)
    except ValueError as error:
        raise ScenarioError("--serial", None, "", str(error)) from error
    target = None if asked.out is None else target_of(asked.out.stem, asked.out)
    client = client_of(place, timeout_ns, pause_ns, rate_bd, f"8{_PARITIES[asked.parity]}{asked.stop}")
    try:
        if not client.connect():
            raise ScenarioError(
                "URL", None, "", f"{url}: no connection: is the device there, and nobody else on it?"
            )
        found = probe_device(
            client,
            url,
            wanted,
            looks=asked.looks,
            every_ns=every_ns,
            wait=lambda ns: time.sleep(ns / 1e9),
            requests_max=asked.requests,
            told=lambda text: print(text, file=sys.stderr),
        )
    finally:
        client.close()
    return _tell(found, target)


def _of(flag: str, text: str, positive: bool) -> int:
    try:
        return units.positive_duration(text) if positive else units.duration(text)
    except ValueError as error:
        raise ScenarioError(flag, None, "", str(error)) from error


def _tell(found: Probed, target: Path | None) -> int:
    name = "learned" if target is None else target.stem
    for line in told(found):
        print(printable(line))
    if found.ended:
        print(f"note: ended early: {found.ended}; what was learned until then stays")
    try:
        text = learned_file(found, name, found.url)
    except ValueError as error:
        if found.interrupted:
            print(f"note: no model: {error}")
            return ABORTED
        raise ScenarioError("URL", None, "", f"{found.url}: {error}") from error
    model = read_model(text, target or Path(f"{name}.yaml"), name)
    if target is None:
        print(text, end="")
    else:
        write(target, text)
        print(f"{shown_path(target)}: {number_of(len(model.points), 'point')}")
        for line in next_lines(target):
            print(line)
    return ABORTED if found.interrupted else 0

"""What a served field tells on a terminal and in files: where its devices are, how it goes.

Belongs here: words. Never: serving (serve.py), judging (judging.py).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.text.words import number_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from twinloop.scenarios.wire.wire import Endpoint, Wire

STATUS_S = 1.0
"""between two status lines"""
LOOK_S = 0.02
"""how soon it is looked again whether it is over"""
NS_PER_STATUS = 1_000_000_000


def tell(
    endpoints: list[Endpoint],
    map_file: Path | None,
    counters: dict[str, str] | None = None,
    aside: bool = False,
    shown: str = "",
) -> None:
    """Print and write where each device is. ``counters``: where each counts its samples; ``shown``: where
    this process tells what devices show;
    ``aside``: stdout is for something else."""
    stream: TextIO = sys.stderr if aside else sys.stdout
    width = max(len(endpoint.device) for endpoint in endpoints)
    counters = counters or {}
    for endpoint in endpoints:
        counts = f"  counts its samples in {counters[endpoint.device]}" if endpoint.device in counters else ""
        print(f"{endpoint.device:{width}}  {endpoint.url}{counts}", file=stream)
    stream.flush()
    if map_file is None:
        return
    asked = {"shown": shown} if shown else {}
    found = {
        endpoint.device: {"protocol": endpoint.protocol, "url": endpoint.url, **asked}
        for endpoint in endpoints
    }
    for device, counter in counters.items():
        found[device]["counter"] = counter
    try:
        # who finds the map finds all of it, and all its ports open
        whole = map_file.with_name(f"{map_file.name}.{os.getpid()}")
        whole.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        whole.replace(map_file)
    except OSError as error:
        raise ScenarioError("--map", None, "", f"{map_file}: {error.strerror}") from error


async def until(wire: Wire, over: Callable[[], bool], ends_ns: int | None) -> None:
    """A status line each second, on a terminal, until it is over; ``ends_ns``: when to look, at the
    latest."""
    shown, before = sys.stderr.isatty(), 0
    while not wire.stopped.is_set() and not over():
        left_ns = NS_PER_STATUS if ends_ns is None else wire.pacer.wall_at(ends_ns)[0]
        try:
            await asyncio.wait_for(wire.stopped.wait(), max(LOOK_S, min(STATUS_S, left_ns / 1e9)))
        except TimeoutError:
            if shown:
                rate, before = wire.plant.requests - before, wire.plant.requests
                sys.stderr.write(f"\r\x1b[K{rate / STATUS_S:.0f} requests/s  {status(wire)}")
                sys.stderr.flush()
    if shown:
        sys.stderr.write("\r\x1b[K")


def status(wire: Wire) -> str:
    """Where it stands, in a line."""
    from twinloop.scenarios.text.units import show_duration

    lag, plant = wire.pacer.lag, wire.plant
    text = (
        f"{show_duration(wire.pacer.position_ns() // 1_000_000_000 * 1_000_000_000)}, "
        f"{number_of(wire.clients, 'client')}, {number_of(plant.requests, 'request')}"
    )
    if lag.count:
        p50, p99 = lag.percentile(500), lag.percentile(990)
        text += f", late by {show_duration(p50 or 0)} p50, {show_duration(p99 or 0)} p99"
    for limit, count in sorted(plant.limits.items()):
        text += f", {limit} {count}"
    return text

"""``twinloop serve --judge``: serve, listen in the north, judge the gateway in between.

Belongs here: from flags to the report. Never: what is judged (scenarios/wire/hil.py).
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from twinloop.devices.live.tcp import say
from twinloop.devices.model.nodes import node_id
from twinloop.scenarios.cli.running import Outputs, write_out
from twinloop.scenarios.cli.telling import tell, until
from twinloop.scenarios.judging.verdict import exit_code
from twinloop.scenarios.onlookers.opening import Onlookers
from twinloop.scenarios.outcome import Ran
from twinloop.scenarios.report.console import console_of, report
from twinloop.scenarios.text.errors import ScenarioError, shown_path
from twinloop.scenarios.wire.hil import Hil
from twinloop.scenarios.wire.observation import counted
from twinloop.scenarios.wire.wire import Wire, served
from twinloop.sim.kernel.pacer import Pacer
from twinloop.sim.serving.broker import North
from twinloop.sim.serving.judged_plant import ObservedPlant

if TYPE_CHECKING:
    from collections.abc import Callable

    from twinloop.scenarios.file.load import Loaded
    from twinloop.scenarios.report.result import Result
    from twinloop.sim.model.spec import WorldSpec

WELCOME_S = 10.0
"""for which a broker may take to let us listen"""


class Told(NamedTuple):
    """Who hears of it: ``aside``: stdout is for the result; ``watch_port``: of onlookers, None: there are
    none."""

    aside: bool
    watch_port: int | None


def judge_gateway(
    loaded: Loaded,
    whole: WorldSpec,
    host: str,
    ports: tuple[int, int, int],
    broker: tuple[str, int] | None,
    map_file: Path | None,
    outputs: Outputs,
    lead_ns: int,
    watch_port: int | None = None,
) -> int:
    """Returns the exit code; raises ScenarioError. ``ports``: of Modbus TCP, OPC UA and our broker;
    ``broker``: the one to listen at instead; ``watch_port``: of onlookers."""
    if any(gateway.standby is not None for gateway in whole.gateways):
        raise ScenarioError(
            loaded.document.file.name, None, "", "it has a pair: one gateway is judged at a time"
        )
    uplink = whole.gateways[0]
    kept, not_judged = counted(loaded, whole)
    spec, left_out = served(kept, broker is not None, "" if broker is not None else uplink.uplink.link)
    notes = [*not_judged, *(f"left out: {text}" for text in left_out)]
    for note in notes:
        print(note, file=sys.stderr)
    plant = ObservedPlant(spec, time.time_ns())
    began = time.perf_counter()
    try:
        hil = Hil(loaded, plant)
        with plant.field.inside():
            plant.boot(lead_ns)
            if broker is None:
                north: North | None = North(plant, plant.links[uplink.uplink.link], uplink.name)
            else:
                north = None
            told = Told(outputs.json_file == "-", watch_port)
            result = asyncio.run(
                _serve(
                    hil, host, ports, north, broker, map_file, told,
                    lambda: hil.result(notes, time.perf_counter() - began),
                )
            )  # fmt: skip
    finally:
        plant.close()
    report(console_of(aside=outputs.json_file == "-"), result, shown_path(loaded.file))
    code = exit_code(result.verdict)
    write_out([Ran(loaded.file, result, code)], outputs, strict=False)
    return code


async def _serve(
    hil: Hil,
    host: str,
    ports: tuple[int, int, int],
    north: North | None,
    broker: tuple[str, int] | None,
    map_file: Path | None,
    told: Told,
    ended: Callable[[], Result],
) -> Result:
    """Serve until it is over; ``ended`` judges it."""
    plant = hil.plant
    wire = Wire(plant, Pacer(wire=True))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, wire.stopped.set)
    plant.pacer = wire.pacer
    stream: TextIO = sys.stderr if told.aside else sys.stdout
    onlookers = Onlookers(wire, hil.loaded.scenario.name, told.watch_port, hil=hil, ends_ns=hil.ends_ns)
    try:
        try:
            endpoints = await wire.open(host, ports[0], ports[1], broker)
            if north is not None:
                hil.join(north)
                print(f"broker  {await wire.open_north(host, ports[2], north)}", file=stream)
            elif broker is not None:
                wire.observe(hil, *broker)
                await _welcome(hil, wire, broker)
            await onlookers.open(endpoints, stream)
            tell(endpoints, map_file, _counters(plant.spec), told.aside)
            await until(
                wire, lambda: plant.complete() or wire.pacer.position_ns() >= hil.ends_ns, hil.ends_ns
            )
            hil.hear_no_more(stopped=wire.stopped.is_set())
        finally:
            await wire.close()
            if broker is not None:
                await say(*broker, hil.listener.farewell())
        if wire.failure is not None:
            raise wire.failure
        result = ended()
        onlookers.judged(result)
    finally:
        await onlookers.end()
    return result


async def _welcome(hil: Hil, wire: Wire, broker: tuple[str, int]) -> None:
    """Wait until the broker lets us listen; raises ScenarioError when it doesn't."""
    ends = time.monotonic() + WELCOME_S
    while not hil.listener.listening and not wire.stopped.is_set():
        if hil.listener.why or time.monotonic() > ends:
            why = hil.listener.why or f"it doesn't let us listen within {WELCOME_S:g} s"
            raise ScenarioError("--broker", None, "", f"mqtt://{broker[0]}:{broker[1]}: {why}")
        await asyncio.sleep(0.02)


def _counters(spec: WorldSpec) -> dict[str, str]:
    """device -> where it counts, in words."""
    found = {}
    for device in spec.devices:
        point = device.model.points[-1]
        found[device.name] = (
            f"node {node_id(point)}" if device.protocol == "opcua" else f"{point.table} {point.address} (u32)"
        )
    return found

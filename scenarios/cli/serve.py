"""``twinloop serve``: a scenario's field on real sockets and lines, for a gateway that isn't ours."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from scenarios.errors import ScenarioError

if TYPE_CHECKING:
    from scenarios.wire import Endpoint, Wire
    from sim.served import ServedPlant
    from sim.spec import WorldSpec

STATUS_S = 1.0
"""between two status lines"""


def serve(
    file: Annotated[str, typer.Argument(help="a scenario file, or the name of a shipped scenario", metavar="SCENARIO")],
    host: Annotated[str, typer.Option(help="address to listen at; nothing is asked of who comes", metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="first Modbus TCP port; 0: any that are free", min=0, max=65_535, metavar="BASE")] = 5020,
    opcua_port: Annotated[int, typer.Option(help="first OPC UA port; 0: any that are free", min=0, max=65_535, metavar="BASE")] = 4840,
    broker: Annotated[str | None, typer.Option(help="where MQTT devices publish", metavar="mqtt://HOST[:PORT]")] = None,
    map_file: Annotated[Path | None, typer.Option("--map", help="write where each device is found, as JSON", metavar="FILE")] = None,
    seed: Annotated[int | None, typer.Option(help="instead of the scenario's", min=0, max=2**63 - 1)] = None,
    lasts: Annotated[str | None, typer.Option("--for", help='how long, e.g. "10 min"; else until SIGINT or SIGTERM', metavar="DURATION")] = None,
) -> int:
    """Serve a scenario's devices to real clients: Modbus TCP, RTU on pseudo-terminals, OPC UA; MQTT devices publish to a broker.

    Values move as in a run of the same seed; the timeline's trouble happens on the wire, from the moment at which serving begins.
    """
    from scenarios.units import positive_duration
    from sim.served import ServedPlant

    try:
        lasts_ns = None if lasts is None else positive_duration(lasts)
    except ValueError as error:
        raise ScenarioError("--for", None, "", str(error)) from error
    if map_file is not None and not map_file.parent.is_dir():
        raise ScenarioError("--map", None, "", f"{map_file}: no such folder: {map_file.parent}")
    for number in (signal.SIGINT, signal.SIGTERM):  # until sockets are open; explicitly: a shell's background job ignores SIGINT
        signal.signal(number, signal.default_int_handler)
    publish_to = None if broker is None else _broker(broker)
    spec, left_out = _planned(file, seed, publish_to is not None)
    for text in left_out:
        print(f"left out: {text}", file=sys.stderr)
    plant = ServedPlant(spec, time.time_ns())
    try:
        with plant.field.inside():  # for good: nobody else in this process uses the protocol libraries
            plant.boot()
            asyncio.run(_serve(plant, host, (port, opcua_port), publish_to, map_file, lasts_ns))
    finally:
        plant.close()
    return 0


def _broker(url: str) -> tuple[str, int]:
    """(host, port); raises ScenarioError."""
    from scenarios.wire import MQTT_PORT

    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or MQTT_PORT
    except ValueError as error:
        raise ScenarioError("--broker", None, "", f"{url}: {error}") from error
    if parts.scheme != "mqtt" or not host or parts.path.strip("/") or parts.query or parts.username is not None:
        raise ScenarioError("--broker", None, "", f'expected mqtt://HOST[:PORT], without TLS, user or path, got "{url}"')
    return host, port


def _planned(file: str, seed: int | None, broker: bool) -> tuple[WorldSpec, list[str]]:
    from components.host import Host
    from scenarios.load import find, load
    from scenarios.plan import Planner
    from scenarios.wire import served

    path = find(file)
    if path.is_dir():
        raise ScenarioError(file, None, "", "it is a folder: one scenario is served at a time")
    host = Host()
    try:
        spec, left_out = served(Planner(load(path), host, seed).world(), broker)
    finally:
        host.close()
    if not broker and all(device.protocol == "mqtt" for device in spec.devices):
        raise ScenarioError(file, None, "", "all its devices publish: say where, with --broker mqtt://HOST")
    return spec, left_out


async def _serve(
    plant: ServedPlant, host: str, ports: tuple[int, int], broker: tuple[str, int] | None, map_file: Path | None, lasts_ns: int | None
) -> None:
    from scenarios.wire import Wire
    from sim.pacer import Pacer

    wire = Wire(plant, Pacer())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, wire.stopped.set)
    try:
        endpoints = await wire.open(host, *ports, broker)
        _tell(endpoints, map_file)
        await _until(wire, lasts_ns)
    finally:
        await wire.close()
    if wire.failure is not None:
        raise wire.failure
    print(f"served {_status(wire)}", file=sys.stderr)


def _tell(endpoints: list[Endpoint], map_file: Path | None) -> None:
    width = max(len(endpoint.device) for endpoint in endpoints)
    for endpoint in endpoints:
        print(f"{endpoint.device:{width}}  {endpoint.url}")
    sys.stdout.flush()
    if map_file is None:
        return
    found = {endpoint.device: {"protocol": endpoint.protocol, "url": endpoint.url} for endpoint in endpoints}
    try:
        map_file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ScenarioError("--map", None, "", f"{map_file}: {error.strerror}") from error


async def _until(wire: Wire, lasts_ns: int | None) -> None:
    """A status line each second, on a terminal, until it is over."""
    shown, before = sys.stderr.isatty(), 0
    while not wire.stopped.is_set():
        left_ns = None if lasts_ns is None else wire.pacer.wall_at(lasts_ns)[0]
        if left_ns is not None and left_ns <= 0:
            break
        try:
            await asyncio.wait_for(wire.stopped.wait(), STATUS_S if left_ns is None else min(STATUS_S, left_ns / 1e9))
        except TimeoutError:
            if shown:
                rate, before = wire.plant.requests - before, wire.plant.requests
                sys.stderr.write(f"\r\x1b[K{rate / STATUS_S:.0f} requests/s  {_status(wire)}")
                sys.stderr.flush()
    if shown:
        sys.stderr.write("\r\x1b[K")


def _status(wire: Wire) -> str:
    from scenarios.units import show_duration

    lag, plant = wire.pacer.lag, wire.plant
    text = f"{show_duration(wire.pacer.position_ns() // 1_000_000_000 * 1_000_000_000)}, {wire.clients} clients, {plant.requests} requests"
    if lag.count:
        p50, p99 = lag.percentile(500), lag.percentile(990)
        text += f", late by {show_duration(p50 or 0)} p50, {show_duration(p99 or 0)} p99"
    for limit, count in sorted(plant.limits.items()):
        text += f", {limit} {count}"
    return text

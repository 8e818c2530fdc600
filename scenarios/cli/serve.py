"""``twinloop serve``: a scenario's field on real sockets and lines, for a gateway that isn't ours."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from twinloop.scenarios.cli.finding import SET_HELP, settings_of
from twinloop.scenarios.cli.running import Outputs, write_out
from twinloop.scenarios.cli.telling import status, tell, until
from twinloop.scenarios.outcome import died
from twinloop.scenarios.text.errors import ScenarioError

if TYPE_CHECKING:
    from twinloop.scenarios.file.load import Loaded
    from twinloop.sim.model.spec import WorldSpec
    from twinloop.sim.serving.plant import ServedPlant

LEAD_MAX_NS = 500 * 1_000_000_000
"""servers start in the ten minutes before t = 0"""

_File = Annotated[
    str, typer.Argument(help="a scenario file, or the name of a shipped scenario", metavar="SCENARIO")
]
_Host = Annotated[
    str, typer.Option(help="address to listen at; nothing is asked of who comes", metavar="ADDRESS")
]
_Port = Annotated[
    int,
    typer.Option(
        help="first port of Modbus over TCP; 0: any that are free", min=0, max=65_535, metavar="BASE"
    ),
]
_OpcUaPort = Annotated[
    int, typer.Option(help="first OPC UA port; 0: any that are free", min=0, max=65_535, metavar="BASE")
]
_Broker = Annotated[str | None, typer.Option(help="where MQTT devices publish", metavar="mqtt://HOST[:PORT]")]
_MapFile = Annotated[
    Path | None, typer.Option("--map", help="write where each device is found, as JSON", metavar="FILE")
]
_Seed = Annotated[int | None, typer.Option(help="instead of the scenario's", min=0, max=2**63 - 1)]
_Set = Annotated[list[str] | None, typer.Option("--set", help=SET_HELP, metavar="PATH=VALUE")]
_Judge = Annotated[
    bool,
    typer.Option(
        "--judge", help="judge the gateway that comes: observe, expect and duration of the scenario hold"
    ),
]
_BrokerPort = Annotated[
    int,
    typer.Option(
        help="with --judge and no --broker: where ours listens; 0: any that is free", min=0, max=65_535
    ),
]
_Lead = Annotated[
    str,
    typer.Option(help="with --judge: how long before t = 0 devices and broker are there", metavar="DURATION"),
]
_Json = Annotated[
    str | None,
    typer.Option("--json", help="with --judge: write the result as JSON; - is stdout", metavar="FILE"),
]
_Junit = Annotated[Path | None, typer.Option(help="with --judge: write a JUnit report", metavar="FILE")]
_WatchPort = Annotated[
    int | None,
    typer.Option(
        help="let onlookers see how it goes, over HTTP on 127.0.0.1, by the URL that is printed; "
        "0: any port that is free",
        min=0,
        max=65_535,
        metavar="PORT",
    ),
]
_Begin = Annotated[
    int | None,
    typer.Option(hidden=True, help="t = 0, in ns of this machine's monotonic clock", metavar="NS"),
]
_Lasts = Annotated[
    str | None,
    typer.Option("--for", help='how long, e.g. "10 min"; else until SIGINT or SIGTERM', metavar="DURATION"),
]


def serve(
    file: _File,
    host: _Host = "127.0.0.1",
    port: _Port = 5020,
    opcua_port: _OpcUaPort = 4840,
    broker: _Broker = None,
    map_file: _MapFile = None,
    seed: _Seed = None,
    set_: _Set = None,
    judge: _Judge = False,
    broker_port: _BrokerPort = 1883,
    lead: _Lead = "5 s",
    json_file: _Json = None,
    junit: _Junit = None,
    watch_port: _WatchPort = None,
    begin: _Begin = None,
    lasts: _Lasts = None,
) -> int:
    """Serve a scenario's devices to real clients: Modbus TCP and RTU over TCP, RTU and ASCII on
    pseudo-terminals, OPC UA; MQTT devices publish to a broker.

    Values move as in a run of the same seed; the timeline's trouble happens on the wire, from the moment at
    which serving begins. With --judge a gateway that isn't ours is judged by what arrives at the broker
    (ours, or that of --broker); exit codes are those of run.
    """
    from twinloop.scenarios.cli.judging import judge_gateway
    from twinloop.scenarios.text.units import positive_duration

    try:
        lasts_ns = None if lasts is None else positive_duration(lasts)
    except ValueError as error:
        raise ScenarioError("--for", None, "", str(error)) from error
    if map_file is not None and not os.path.isdir(map_file.parent):
        raise ScenarioError("--map", None, "", f"{map_file}: no such folder: {map_file.parent}")
    # until sockets are open; explicitly: a shell's background job ignores SIGINT
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    publish_to = None if broker is None else _broker(broker)
    outputs = Outputs(json_file, junit)
    ports = port, opcua_port
    if judge:
        outputs.check()
        if lasts_ns is not None:
            raise ScenarioError("--for", None, "", "with --judge it lasts as long as the scenario's duration")
        lead_ns = _lead_ns(lead)
        try:
            loaded, whole = scenario_of(file, seed, set_)
            return judge_gateway(
                loaded, whole, host, (*ports, broker_port), publish_to, map_file, outputs, lead_ns, watch_port
            )
        # whatever it is: an older result must not stand in for this one
        except (Exception, KeyboardInterrupt) as error:
            write_out([died(Path(file), error)], outputs, strict=False)
            raise
    if json_file is not None or junit is not None:
        raise ScenarioError(
            "--json" if json_file is not None else "--junit",
            None,
            "",
            "goes with --judge: without it there is no result",
        )
    name, spec, left_out = _planned(file, seed, publish_to is not None, set_)
    for text in left_out:
        print(f"left out: {text}", file=sys.stderr)
    _serve_until(spec, host, ports, publish_to, map_file, lasts_ns, begin, (name, watch_port))
    return 0


def _lead_ns(text: str) -> int:
    from twinloop.scenarios.text.units import duration

    try:
        lead_ns = duration(text)
        if lead_ns > LEAD_MAX_NS:
            raise ValueError(f"at most {LEAD_MAX_NS // 10**9} s")
    except ValueError as error:
        raise ScenarioError("--lead", None, "", str(error)) from error
    return lead_ns


def _serve_until(
    spec: WorldSpec,
    host: str,
    ports: tuple[int, int],
    publish_to: tuple[str, int] | None,
    map_file: Path | None,
    lasts_ns: int | None,
    begin: int | None,
    watched: tuple[str, int | None],
) -> None:
    from twinloop.sim.serving.plant import ServedPlant

    plant = ServedPlant(spec, time.time_ns())
    try:
        with plant.field.inside():  # for good: nobody else in this process uses the protocol libraries
            plant.boot(max(0, (begin or 0) - time.monotonic_ns()))
            asyncio.run(_serve(plant, host, ports, publish_to, map_file, lasts_ns, begin, watched))
    finally:
        plant.close()


def _broker(url: str) -> tuple[str, int]:
    """(host, port); raises ScenarioError."""
    from twinloop.scenarios.wire.wire import MQTT_PORT

    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or MQTT_PORT
    except ValueError as error:
        raise ScenarioError("--broker", None, "", f"{url}: {error}") from error
    if (
        parts.scheme != "mqtt"
        or not host
        or parts.path.strip("/")
        or parts.query
        or parts.username is not None
    ):
        raise ScenarioError(
            "--broker", None, "", f'expected mqtt://HOST[:PORT], without TLS, user or path, got "{url}"'
        )
    return host, port


def scenario_of(file: str, seed: int | None, texts: list[str] | None = None) -> tuple[Loaded, WorldSpec]:
    """A scenario, with what ``--set`` says, and what it comes to; raises ScenarioError."""
    from twinloop.components.host.host import Host
    from twinloop.scenarios.file.load import find, load
    from twinloop.scenarios.planning.plan import Planner

    path = find(file)
    if os.path.isdir(path):
        raise ScenarioError(file, None, "", "it is a folder: one scenario is served at a time")
    host = Host()
    try:
        loaded = load(path, settings_of(texts))
        return loaded, Planner(loaded, host, seed).world()
    finally:
        host.close()


def _planned(
    file: str, seed: int | None, broker: bool, texts: list[str] | None
) -> tuple[str, WorldSpec, list[str]]:
    """(the scenario's name, what is served, what isn't)."""
    from twinloop.scenarios.wire.wire import served

    loaded, whole = scenario_of(file, seed, texts)
    spec, left_out = served(whole, broker)
    if not broker and all(device.speaks.publishes for device in spec.devices):
        raise ScenarioError(file, None, "", "all its devices publish: say where, with --broker mqtt://HOST")
    return loaded.scenario.name, spec, left_out


async def _serve(
    plant: ServedPlant,
    host: str,
    ports: tuple[int, int],
    broker: tuple[str, int] | None,
    map_file: Path | None,
    lasts_ns: int | None,
    begin: int | None,
    watched: tuple[str, int | None],
) -> None:
    """``watched``: the scenario's name, and the port of onlookers."""
    from twinloop.scenarios.onlookers.opening import Onlookers
    from twinloop.scenarios.wire.wire import Wire
    from twinloop.sim.kernel.pacer import Pacer

    wire = Wire(plant, Pacer())
    loop = asyncio.get_running_loop()
    if begin is not None:  # whoever has started us holds the other end of our stdin: we end with it
        wire.pacer.begin_at(begin)
        loop.add_reader(sys.stdin.fileno(), wire.stopped.set)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, wire.stopped.set)
    onlookers = Onlookers(wire, *watched, ends_ns=lasts_ns)
    try:
        endpoints = await wire.open(host, *ports, broker)
        await onlookers.open(endpoints, sys.stdout)
        tell(endpoints, map_file, shown="" if map_file is None else await wire.open_showing(host))
        await until(wire, lambda: lasts_ns is not None and wire.pacer.position_ns() >= lasts_ns, lasts_ns)
    finally:
        await wire.close()
        await onlookers.end()
    if wire.failure is not None:
        raise wire.failure
    print(f"served {status(wire)}", file=sys.stderr)

"""``twinloop components exchanges``: a capture or a log as a file of exchanges, for a replay."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Annotated, Any

import typer

from twinloop.scenarios.cli.evidence.files import cleared, writable
from twinloop.scenarios.cli.recordings.replay import options_of
from twinloop.scenarios.text.errors import ScenarioError, printable, unknown
from twinloop.scenarios.text.words import number_of

COMMAND = "components exchanges"
BOARD = "raspberry-pi-4"
DEADLINE_NS = 60_000_000_000
"""of a call: a capture doesn't know the gateway's, and a driver's own timeouts come first"""
_LISTED_MAX = 8


def exchanges(
    file: Annotated[Path, typer.Argument(help="a pcap, a pcap-ng, or a log", metavar="CAPTURE")],
    device: Annotated[
        str, typer.Option(help="a model file, or the name of a shipped device", metavar="FILE|NAME")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="the file that is written", metavar="FILE")],
    option: Annotated[
        list[str] | None,
        typer.Option(help="an option of the driver; may be given again", metavar="KEY=VALUE"),
    ] = None,
    poll: Annotated[str, typer.Option(help="how often the device was polled", metavar="TIME")] = "1 s",
    protocol: Annotated[
        str, typer.Option(help="modbus-tcp or modbus-rtu", metavar="PROTOCOL")
    ] = "modbus-tcp",
    server: Annotated[
        str | None, typer.Option(help="of several devices in it: whose address", metavar="HOST[:PORT]")
    ] = None,
    unit: Annotated[int | None, typer.Option(help="of several units: which", min=0, max=255)] = None,
    port: Annotated[
        int, typer.Option(help="on which Modbus TCP devices listen in a capture", min=1, max=65535)
    ] = 502,
) -> int:
    """Write what somebody else's gateway asked of a device, and got, as twinloop components replay reads it.

    A log is lines of TIME > HEX and TIME < HEX, pymodbus's debug log, or what mbpoll -v prints.
    """
    from twinloop.scenarios.exchanges.conversing import FRAMINGS, calls, sorted_out

    if protocol not in FRAMINGS:
        raise ScenarioError("--protocol", None, "", unknown("protocol", protocol, FRAMINGS))
    poll_ns = _duration(poll)
    options = options_of(option or [])
    model = _model(device)
    writable("--out", out)
    for read in (file, Path(device)):
        if os.path.isfile(read) and out.resolve() == read.resolve():
            text = f"{out}: it is read by this command, and would be overwritten"
            raise ScenarioError("--out", None, "", text)
    cleared(out)
    frames, told = _frames(file, port, protocol)
    found, damaged = sorted_out(protocol, frames)
    which = _chosen(file, found, server, unit, protocol)
    said = found[which]
    made = list(calls(said, protocol, poll_ns))
    _write(out, file, said, which[1], model, protocol, options, made)
    polls, asked = len(made) - 2, sum(len(one.bus) for one in made)
    print(
        f"{out}: unit {which[1]} of {which[0]}: {number_of(asked, 'exchange')} in {number_of(polls, 'poll')}"
    )
    if damaged:
        told.append(f"frames that can't be read or answer nobody: {damaged}")
    if said.unasked:
        told.append(f"answers to no request: {said.unasked}")
    for text in told:
        print(f"note  {printable(text)}")
    return 0


def _duration(text: str) -> int:
    from twinloop.scenarios.text.units import positive_duration

    try:
        return positive_duration(text)
    except ValueError as error:
        raise ScenarioError("--poll", None, "", str(error)) from error


def _model(name: str) -> Any:
    from twinloop.devices.catalogue import catalog
    from twinloop.scenarios.file.datasheet.reading import read_model

    if not name.endswith((".yaml", ".yml")):
        if name not in catalog.names():
            raise ScenarioError(
                "--device", None, "", unknown("device", name, [*catalog.names(), "FILE.yaml"])
            )
        return catalog.model(name)
    file = Path(name)
    if not os.path.isfile(file):
        raise ScenarioError("--device", None, "", f"{name}: no such file")
    try:
        return read_model(file.read_text(encoding="utf-8-sig"), file, name)
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError("--device", None, "", f"{name}: {error}") from error


def _frames(file: Path, port: int, protocol: str) -> tuple[Iterator[Any] | list[Any], list[str]]:
    """(frames, what a reader must know)."""
    from twinloop.scenarios.exchanges.modbus import RTU
    from twinloop.scenarios.exchanges.packets import is_capture

    if not os.path.isfile(file):
        why = "it is no file" if os.path.exists(file) else "no such file"
        raise ScenarioError(str(file), None, "", f"{why}; expected a pcap, a pcap-ng or a log")
    with file.open("rb") as opened:
        captured = is_capture(opened.read(4))
    if captured:
        from twinloop.scenarios.exchanges.packets import Wires
        from twinloop.scenarios.export.extras import needed

        parts = ("ethernet", "ip", "ip6", "tcp", "sll", "sll2", "loopback", "utils")
        dpkt = needed(COMMAND, "pcap", "dpkt", *(f"dpkt.{part}" for part in parts))[0]
        wires = Wires(dpkt, port, protocol == RTU)
        found = list(wires.frames(file))
        return found, wires.told()
    from twinloop.scenarios.exchanges.logs import Log

    log = Log(file)
    found = list(log.frames())
    return found, [f"lines without bytes: {log.left_out}"] if log.left_out else []


def _chosen(
    file: Path, found: dict[tuple[str, int], Any], server: str | None, unit: int | None, protocol: str
) -> tuple[str, int]:
    """Which (server, unit) is meant."""
    mine = [
        (at, number)
        for at, number in found
        if (server is None or server in (at, at.rpartition(":")[0])) and unit in (None, number)
    ]
    if len(mine) == 1:
        return mine[0]
    listed = [
        f"{at} unit {number} ({number_of(len(found[at, number].asked), 'request')})" for at, number in found
    ]
    shown = ", ".join(listed[:_LISTED_MAX]) + (", ..." if len(listed) > _LISTED_MAX else "")
    if not found:
        text = f"there is no request of {protocol} in it; --protocol and --port say what is looked for"
    elif not mine:
        text = f"nobody of these is meant by --server and --unit: {shown}"
    else:
        text = f"there are several devices in it; name one with --server and --unit: {shown}"
    raise ScenarioError(str(file), None, "", text)


def _write(
    out: Path,
    file: Path,
    said: Any,
    unit: int,
    model: Any,
    protocol: str,
    options: dict[str, str],
    made: list[Any],
) -> None:
    from twinloop import __version__
    from twinloop.components.contract.contract import Settings
    from twinloop.scenarios.exchanges.lines import FINISHED, Header, Place, Terms, end_line
    from twinloop.scenarios.export.growing import GrowingFile
    from twinloop.scenarios.file.boards.programs import default_host
    from twinloop.scenarios.file.boards.reading import shipped
    from twinloop.sim.gateway.reader import point_configs
    from twinloop.sim.kernel.wallclock import EPOCH_NS
    from twinloop.sim.machine.budget import CpuProfile
    from twinloop.sim.model.boards import prices

    first_ns = said.asked[0].at_ns if said.timed else EPOCH_NS
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    header = Header(f"twinloop {__version__}", file.name, digest, None, "real", first_ns)
    profile = CpuProfile.of(prices(shipped(BOARD), default_host(), None, False, False))
    grants = ("fieldbus", "clock", "log", "state")
    terms = Terms(BOARD, astuple(profile), DEADLINE_NS, 1_000_000_000, None, 32 << 20, 64 << 10, grants)
    given = {"protocol": protocol, "unit": str(unit), **options}
    settings = Settings("device", point_configs(model, 0, protocol), list(given.items()))
    place = Place(0, "device", "gateway", "", "", protocol, terms, settings)
    target = GrowingFile(out, "--out", "file")
    try:
        target.write(header.line())
        target.write(place.line())
        for one in made:
            target.write(one.text())
        target.write(end_line(FINISHED, len(made), sum(len(one.bus) for one in made)))
    finally:
        target.close()

"""``twinloop attach``: the simulated gateway with its real components polls real devices; the rest stays
simulated."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from twinloop.scenarios.cli.finding import SET_HELP, settings_of
from twinloop.scenarios.cli.running import STRICT_HELP, Outputs, run_all
from twinloop.scenarios.export.asked import Asked, exports_of
from twinloop.scenarios.text.errors import ScenarioError


def attach(
    file: Annotated[
        str, typer.Argument(help="a scenario file, or the name of a shipped scenario", metavar="SCENARIO")
    ],
    device: Annotated[
        list[str] | None, typer.Option(help="a device, and where the real one is", metavar="DEVICE=URL")
    ] = None,
    map_file: Annotated[
        Path | None,
        typer.Option("--map", help="attach every device of a map that serve has written", metavar="FILE"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="instead of the scenario's", min=0, max=2**63 - 1)] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help=SET_HELP, metavar="PATH=VALUE")] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", help="write the result as JSON; - is stdout", metavar="FILE")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="write a JUnit report", metavar="FILE")] = None,
    out: Annotated[
        Path | None, typer.Option(help="write result, trace and samples into a folder", metavar="DIR")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help=STRICT_HELP)] = False,
    exchanges: Annotated[
        Path | None,
        typer.Option(help="write what drivers asked and got, for twinloop components replay", metavar="FILE"),
    ] = None,
    exchanges_of: Annotated[
        list[str] | None,
        typer.Option(help="with --exchanges: only this device or fleet; may be given again", metavar="NAME"),
    ] = None,
) -> int:
    """Run a scenario with real devices in the place of simulated ones: tcp://HOST[:PORT][/UNIT],
    rtu:///dev/ttyX[?unit=N], ascii:///dev/ttyX[?unit=N], rtu+tcp://HOST:PORT[/UNIT], opc.tcp://HOST[:PORT]/.

    The clock is the wall's (clock wire). CPU time and uplink stay modelled; exit codes are those of run.
    """
    from twinloop.scenarios.file.load import find
    from twinloop.scenarios.runner import Options
    from twinloop.scenarios.wire.places import places, shown_at

    found = places(device or [], map_file)
    asked = Asked(exchanges=exchanges, exchanges_of=tuple(exchanges_of or ()))
    outputs = Outputs(json_file, junit, out, exchanges=exchanges)
    outputs.check([file])
    path = find(file)
    if os.path.isdir(path):
        raise ScenarioError(file, None, "", "it is a folder: one scenario is attached at a time")
    flags = [
        *(("--map", str(map_file)) if map_file is not None else ()),
        *(part for pair in device or [] for part in ("--device", pair)),
    ]
    options = Options(
        seed=seed,
        strict=strict,
        places=found,
        shown=shown_at(device or [], map_file),
        attached_by=tuple(flags),
    )
    settings = settings_of(set_)
    outputs.begin()
    exports = exports_of(asked, out, options, [path], settings)
    with exports.telling() as tell:
        return tell(run_all([path], replace(options, watches=exports.watches), outputs, settings))

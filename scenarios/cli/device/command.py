"""``twinloop device``: write the model file of a device, show its map, learn one from a device that answers.

Belongs here: flags and what is printed. Never: the work (scenarios/learning/).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from twinloop.scenarios.text.errors import ScenarioError, printable, shown_path
from twinloop.scenarios.text.words import number_of

app = typer.Typer(
    no_args_is_help=True, help="Describe a device of your own: write, show, learn.", rich_markup_mode=None
)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="of the device; the file is model/NAME.yaml", metavar="NAME")],
    from_: Annotated[
        str,
        typer.Option(
            "--from",
            help="a register list as CSV, what mbpoll printed, sunspec:N, a model file, or a shipped device",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="another file than model/NAME.yaml", metavar="FILE")
    ] = None,
    addresses_from: Annotated[
        int | None,
        typer.Option(help="what the source's first address is: 0, or 1", min=0, max=1, metavar="0|1"),
    ] = None,
) -> int:
    """Write a model file from what you have. Nothing is overwritten."""
    from twinloop.scenarios.learning.beginning import begin, next_lines, target_of, write

    target = target_of(name, out)
    begun = begin(name, from_, addresses_from)
    write(target, begun.text)
    for note in begun.notes:
        print(f"note: {printable(note)}")
    print(f"{shown_path(target)}: {number_of(len(begun.model.points), 'point')}")
    for line in next_lines(target):
        print(line)
    return 0


@app.command("show")
def show(
    device: Annotated[
        str, typer.Argument(help="as in `device:` of a scenario, or a model file", metavar="NAME")
    ],
    at: Annotated[str, typer.Option(help="the instant of the run", metavar="DURATION")] = "0 s",
    seed: Annotated[int, typer.Option(help="of the run", min=0, max=2**63 - 1)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> int:
    """Show where each point lies, what its registers hold at an instant, and what that means; then how the
    device answers."""
    from twinloop.scenarios.file.recordings import device_named
    from twinloop.scenarios.learning.showing import lines, shown
    from twinloop.scenarios.text.units import duration

    try:
        at_ns = duration(at)
    except ValueError as error:
        raise ScenarioError("--at", None, "", str(error)) from error
    found = shown(device_named(device, "NAME"), at_ns, seed)
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return 0
    for line in lines(found):
        print(printable(line))
    return 0


@app.command("probe")
def probe(
    url: Annotated[str, typer.Argument(help="where it is, as for attach", metavar="URL")],
    registers: Annotated[
        str, typer.Option(help="addresses that are asked for", metavar="TABLE:A..B,...")
    ] = "holding:0..199,input:0..199,coil:0..99,discrete:0..99",
    looks: Annotated[int, typer.Option(help="at all that is there", min=1, max=1000)] = 5,
    every: Annotated[str, typer.Option(help="from one look to the next", metavar="DURATION")] = "1 s",
    pause: Annotated[
        str, typer.Option(help="at least, from an answer to the next request", metavar="DURATION")
    ] = "0 s",
    timeout: Annotated[str, typer.Option(help="for an answer", metavar="DURATION")] = "1 s",
    requests: Annotated[int, typer.Option(help="at most, to find what is there", min=1, max=200_000)] = 2000,
    serial: Annotated[str, typer.Option(help="of a serial port: its rate", metavar="RATE")] = "9600 Bd",
    parity: Annotated[str, typer.Option(help="of a serial port: none, even or odd")] = "none",
    stop: Annotated[int, typer.Option(help="of a serial port: stop bits", min=1, max=2)] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="write a model file", metavar="FILE")
    ] = None,
) -> int:
    """Learn a map from a device that answers: tables, holes, the largest read, identity, times, and types by
    guess, each with its reason. Nothing is written to the device. Ctrl-C ends it with what was learned."""
    from twinloop.scenarios.cli.device.probing import Asked, learn

    return learn(url, Asked(registers, looks, every, pause, timeout, requests, serial, parity, stop, out))

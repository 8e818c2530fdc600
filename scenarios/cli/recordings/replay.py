"""``twinloop components replay``: a recording's calls, made again on a driver."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from twinloop.scenarios.cli.evidence.files import cleared, writable, write
from twinloop.scenarios.text.errors import ScenarioError, printable


def options_of(pairs: list[str]) -> dict[str, str]:
    """What ``--option`` says; raises ScenarioError."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ScenarioError("--option", None, "", f'expected KEY=VALUE, got "{pair}"')
        found[name] = value
    return found


def replay(
    driver: Annotated[
        Path, typer.Argument(help="the driver's .wasm, or the name of a shipped one", metavar="DRIVER.wasm")
    ],
    file: Annotated[
        Path,
        typer.Argument(
            help="what run or attach --exchanges, or components exchanges, has written", metavar="FILE"
        ),
    ],
    device: Annotated[
        str | None, typer.Option(help="only of this device, or of a fleet's devices", metavar="NAME")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="an option of the driver, in the place of a recorded one", metavar="KEY=VALUE"),
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", help="write what was found as JSON; - is stdout", metavar="FILE")
    ] = None,
) -> int:
    """Make the recorded calls again on this driver, with the recorded answers and clocks, and compare.

    Exit code 0 when every call gave what was recorded, or failed in the field and no longer does; 1 when
    something differs.
    """
    from twinloop.scenarios.exchanges.reading import Recorded
    from twinloop.scenarios.exchanges.replaying import replayed
    from twinloop.scenarios.exchanges.telling import Findings, document, lines, passed

    target = None if json_file in (None, "-") else Path(str(json_file))
    if target is not None and target.resolve() in (driver.resolve(), file.resolve()):
        raise ScenarioError(
            "--json", None, "", f"{target}: it is read by this command, and would be overwritten"
        )
    writable("--json", target)
    cleared(target)
    findings = Findings()
    found = replayed(driver, Recorded(file), device, findings.add, options_of(option or []))
    out = sys.stderr if json_file == "-" else sys.stdout
    for line in lines(found, findings):
        print(printable(line), file=out)
    for line in found.stderr.rstrip().splitlines() if not passed(found) else []:
        print(f"  stderr  {printable(line)}", file=out)
    text = json.dumps(document(found, findings), indent=2, ensure_ascii=False) + "\n"
    if json_file == "-":
        sys.stdout.write(text)
    elif target is not None:
        write("--json", target, text)
    return 0 if passed(found) else 1

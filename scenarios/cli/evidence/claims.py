"""``twinloop claims``: what is often said of WebAssembly on gateways, and whether it is true.

Belongs here: the command's options and outputs. Never: claims and figures (scenarios/claims/).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from twinloop.scenarios.cli.evidence.files import cleared, writable, write


def claims(
    json_file: Annotated[
        str | None, typer.Option("--json", help="write all figures as JSON; - is stdout", metavar="FILE")
    ] = None,
    board: Annotated[
        list[str] | None,
        typer.Option("--board", help="only this board; repeat for more (default: all)", metavar="NAME"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="fewer rounds, and two boards where none is named")
    ] = False,
) -> int:
    """Measure on this machine, and model on each board, what is often said of WebAssembly on gateways:
    starts, memory, density, latency, limits, speed, crossings, containers. Says of each claim whether it is
    true.

    Takes up to a minute, with --quick a few seconds. The exit code is 0 whatever is true.
    """
    from twinloop.scenarios.claims.finding import boards_asked, findings
    from twinloop.scenarios.claims.measured import measured
    from twinloop.scenarios.claims.telling import document, tell
    from twinloop.scenarios.report.console import console_of

    boards = boards_asked(board or [], quick)
    target = None if json_file in (None, "-") else Path(str(json_file))
    writable("--json", target)
    cleared(target)
    measured()  # a damaged installation is told before anything is measured
    found = findings(boards, quick, _say)
    tell(console_of(json_file == "-"), found)
    text = json.dumps(document(found), indent=2, ensure_ascii=False) + "\n"
    if json_file == "-":
        sys.stdout.write(text)
    elif target is not None:
        write("--json", target, text)
    return 0


def _say(words: str) -> None:
    print(f"measuring: {words}", file=sys.stderr)

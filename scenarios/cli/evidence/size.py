"""``twinloop size``: how much of something a scenario carries.

Belongs here: flags, and what is said of what was found. Never: the search (scenarios/evidence/size.py), its
words (size_document.py).
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from twinloop.scenarios.cli.evidence.files import apart, cleared, writable, write

NOT_FOUND = 1


def size(
    scenario: Annotated[str, typer.Argument(help="a scenario file, or the name of a shipped one")],
    vary: Annotated[str, typer.Option(help="the place whose value is looked for", metavar="PATH")],
    start: Annotated[str, typer.Option("--from", help="a value with which it holds", metavar="A")],
    end: Annotated[str, typer.Option("--to", help="a value with which it doesn't", metavar="B")],
    while_: Annotated[
        list[str] | None,
        typer.Option(
            "--while", help="what has to hold, in place of the scenario's expectations", metavar="EXPECTATION"
        ),
    ] = None,
    step: Annotated[
        str, typer.Option(help="how exactly; 1, or a thousandth of the way", metavar="STEP")
    ] = "",
    seeds: Annotated[str | None, typer.Option(help="has to hold under each of them", metavar="1..5")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="a value that is the same in all", metavar="PATH=VALUE")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="in so many processes", min=1, max=1024)] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write what was found as JSON", metavar="FILE")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="write a report page with pictures", metavar="FILE")
    ] = None,
) -> int:
    """Find the last value that holds on the way from A to B: the largest where A is the smaller one, else the
    smallest.

    Holds means PASS under each seed, at the pessimistic end of the board's band too; the value that holds
    without the band is told beside it. Exit code 1 when A doesn't hold, when B does, or when more isn't
    always worse; that of the run for what isn't judged.
    """
    from twinloop.scenarios.evidence.size import read_ends
    from twinloop.scenarios.evidence.size import size as look
    from twinloop.scenarios.evidence.size_document import document
    from twinloop.scenarios.evidence.sizing import Sizing
    from twinloop.scenarios.interrupts import interruptible

    writable("--json", json_file)
    writable("--html", html)
    apart({"--json": json_file, "--html": html}, [scenario])
    cleared(json_file, html)
    kind, first, last, by = read_ends(start, end, step)
    with interruptible() as interrupts:
        sizing = Sizing(scenario, vary, kind, set_ or [], while_ or [], seeds, jobs, interrupts)
        sizing.check(first, last)
        found = look(first, last, by, sizing.verdicts)
        if sizing.stopped:
            return sizing.stopped
        scarce = [] if found.next_bad is None else sizing.limits(found.next_bad)
        data = document(found, sizing, (first, last), by, scarce)
        _tell(data)
        if json_file is not None:
            write("--json", json_file, json.dumps(data, indent=2) + "\n")
        if html is not None:
            from twinloop.scenarios.page.evidence.size import size_page

            again = ["twinloop", "size", scenario, "--vary", vary, "--from", start, "--to", end]
            again += [part for text in while_ or [] for part in ("--while", text)]
            again += ["--step", step] if step else []
            again += ["--seeds", seeds] if seeds else []
            again += [part for text in set_ or [] for part in ("--set", text)]
            write("--html", html, size_page(data, shlex.join(again), sizing.entries()))
    return NOT_FOUND if found.problem or found.beyond else 0


def _tell(data: dict[str, Any]) -> None:
    from twinloop.scenarios.evidence.size_document import answer, head, in_order, measured

    print(head(data))
    for text in data["expectations"]:
        print(f"  while {text}")
    for one in in_order(data):
        print("  ".join([f"  {one['verdict'] or 'ERROR':<8} {one['text']}", *measured(one)]))
    print()
    for line in answer(data):
        print(line)

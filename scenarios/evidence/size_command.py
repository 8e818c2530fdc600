"""``twinloop size``: how much of something a scenario carries.

Belongs here: flags, and what is said of what was found. Never: the search (size.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinloop.scenarios.text.errors import ScenarioError

if TYPE_CHECKING:
    from twinloop.scenarios.evidence.limits import Limit
    from twinloop.scenarios.evidence.size import Kind, Sized

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
) -> int:
    """Find the last value that holds on the way from A to B: the largest where A is the smaller one, else the
    smallest.

    Holds means PASS under each seed, at the pessimistic end of the board's band too; the value that holds
    without the band is told beside it. Exit code 1 when A doesn't hold, when B does, or when more isn't
    always worse; that of the run for what isn't judged.
    """
    from twinloop.scenarios.evidence.size import read_ends
    from twinloop.scenarios.evidence.size import size as look
    from twinloop.scenarios.evidence.sizing import Sizing
    from twinloop.scenarios.evidence.sweep_command import write
    from twinloop.scenarios.interrupts import interruptible

    if json_file is not None and not json_file.parent.is_dir():
        raise ScenarioError("--json", None, "", f"{json_file}: no such folder: {json_file.parent}")
    kind, first, last, by = read_ends(start, end, step)
    with interruptible() as interrupts:
        sizing = Sizing(scenario, vary, kind, set_ or [], while_ or [], seeds, jobs, interrupts)
        sizing.check(first, last)
        found = look(first, last, by, sizing.verdicts)
        if sizing.stopped:
            return sizing.stopped
        scarce = [] if found.next_bad is None else sizing.limits(found.next_bad)
        _tell(found, kind, sizing, first, last, scarce)
        if json_file is not None:
            write(json_file, json.dumps(_document(found, sizing, by, scarce), indent=2) + "\n")
    return NOT_FOUND if found.problem or found.beyond else 0


def _tell(found: Sized, kind: Kind, sizing: Any, first: int, last: int, scarce: list[Limit]) -> None:
    print(f"{sizing.name}  {sizing.path}  from {kind.shown(first)} to {kind.shown(last)}")
    for text in sizing.expectations:
        print(f"  while {text}")
    for value, verdict in sorted(found.tried.items(), reverse=last < first):
        print(f"  {verdict or 'ERROR':<8} {kind.shown(value)}{sizing.measured(value)}")
    if found.problem == "start":
        print(f"\nno answer: it doesn't hold with {kind.shown(first)} (--from); give a value that does")
        print(f"reproduce: {sizing.reproduce(first)}")
        return
    if found.problem == "end":
        print(
            f"\nno answer: it holds with {kind.shown(last)} (--to), too; give a value with which it doesn't"
        )
        return
    assert found.knee is not None
    assert found.nominal is not None
    word = "largest" if last > first else "smallest"
    print(f"\n{word} that holds: {kind.shown(found.knee)}")
    if sizing.beside(found.knee):
        print(f"beside it {sizing.beside(found.knee)}")
    if found.nominal != found.knee:
        print(f"without the board's band: {kind.shown(found.nominal)}")
    if scarce:
        print(f"beyond it is scarce: {', '.join(map(str, scarce))}")
    if any(one.name.startswith("cores of") for one in scarce):
        print(
            f"the band covers the CPU time of each sample, not the waiting for a core that it brings: boards "
            f"are modelled {sizing.band(found.next_bad)}, so plan with less"
        )
    if found.beyond:
        again = ", ".join(kind.shown(value) for value in found.beyond)
        print(f"not to be relied on: it holds again with {again}; more isn't always worse here")
    assert found.next_bad is not None
    word = "isn't certain to hold" if found.tried[found.next_bad] == "UNSURE" else "doesn't hold"
    print(f"reproduce what {word}: {sizing.reproduce(found.next_bad)}")


def _document(found: Sized, sizing: Any, step: int, scarce: list[Limit]) -> dict[str, Any]:
    return {
        "format": 1,
        "kind": "size",
        "scenario": sizing.name,
        "path": sizing.path,
        "unit": {"whole number": "count", "duration": "ns", "size": "bytes"}[sizing.kind.name],
        "expectations": sizing.expectations,
        "step": step,
        "found": found.knee,
        "nominal": found.nominal,
        "problem": found.problem or None,
        "holds_again": found.beyond,
        "limits": {one.name: round(one.used, 6) for one in scarce},
        "tried": [{"value": value, "verdict": verdict} for value, verdict in sorted(found.tried.items())],
    }

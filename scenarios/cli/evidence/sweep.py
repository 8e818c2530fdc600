"""``twinloop sweep``: every combination of values, side by side.

Belongs here: flags and output. Never: the combinations (scenarios/evidence/sweep.py).
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from twinloop.scenarios.cli.evidence.files import apart, cleared, writable, write

JUDGED = (0, 1, 4)
"""exit codes of a point that was judged, whatever the verdict"""


def sweep(
    scenario: Annotated[str, typer.Argument(help="a scenario file, or the name of a shipped one")],
    vary: Annotated[
        list[str],
        typer.Option(help="a place and its values; several: each combination", metavar="PATH=[…]"),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="a value that is the same in all of them", metavar="PATH=VALUE"),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="each under these seeds, not the scenario's own", metavar="1..20")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="in so many processes", min=1, max=1024)] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="write the table as CSV", metavar="FILE")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write the figures as JSON", metavar="FILE")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="write a report page with pictures", metavar="FILE")
    ] = None,
) -> int:
    """Run a scenario with every combination of some values, and put what was measured side by side.

    Exit code 0 when every combination was judged, whatever its verdict; else that of the worst run.
    """
    from twinloop.scenarios.evidence.points import run_points, variants
    from twinloop.scenarios.evidence.seeds import read_seeds
    from twinloop.scenarios.evidence.sweep import as_csv, combinations, document, read_vary, told
    from twinloop.scenarios.file.load import find
    from twinloop.scenarios.file.settings import parse_setting
    from twinloop.scenarios.interrupts import interruptible
    from twinloop.scenarios.judging.verdict import worst
    from twinloop.scenarios.report.console import console_of
    from twinloop.scenarios.runner import Options

    for flag, target in (("--csv", csv_file), ("--json", json_file), ("--html", html)):
        writable(flag, target)
    apart({"--csv": csv_file, "--json": json_file, "--html": html}, [scenario])
    cleared(csv_file, json_file, html)
    under = None if seeds is None else read_seeds(seeds)
    varied = combinations([read_vary(text) for text in vary], len(under or [0]))
    fixed = [parse_setting(text) for text in set_ or []]
    scenarios = variants(find(scenario), fixed, varied)
    with interruptible() as interrupts:
        points = run_points(scenarios, varied, under, Options(), jobs, interrupts)
        told(console_of(aside=False), points)
        if csv_file is not None:
            write("--csv", csv_file, as_csv(points))
        if json_file is not None:
            write("--json", json_file, json.dumps(document(points), indent=2) + "\n")
        if html is not None:
            from twinloop.scenarios.page.evidence.sweep import sweep_page

            again = ["twinloop", "sweep", scenario, *(part for text in vary for part in ("--vary", text))]
            again += [part for text in set_ or [] for part in ("--set", text)]
            again += ["--seeds", seeds] if seeds else []
            write("--html", html, sweep_page(points, shlex.join(again)))
    return worst([code for point in points if (code := int(point.summary["code"])) not in JUDGED])

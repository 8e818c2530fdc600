"""``twinloop merge``: the results of all shards as one command would have written them.

Belongs here: flags and output. Never: what belongs together (scenarios/evidence/seeds_document.py).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from twinloop.scenarios.cli.evidence.files import apart, check_one, cleared, writable, write
from twinloop.scenarios.judging.verdict import worst


def merge(
    files: Annotated[
        list[Path],
        typer.Argument(help="what twinloop run --seeds … --shard … --json wrote", metavar="FILE.json..."),
    ],
    json_file: Annotated[
        str | None, typer.Option("--json", help="write the whole result as JSON; - is stdout", metavar="FILE")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="write a JUnit report", metavar="FILE")] = None,
    html: Annotated[
        Path | None, typer.Option(help="write a report page with pictures, of one scenario", metavar="FILE")
    ] = None,
) -> int:
    """Put the results of shards together, report them, exit as the whole command would have.

    The merged result is that of one command without --shard, but for times and versions.
    """
    from twinloop.scenarios.evidence.seeds_document import merged, text
    from twinloop.scenarios.evidence.seeds_junit import write_seeds_junit
    from twinloop.scenarios.evidence.seeds_report import seeds_report
    from twinloop.scenarios.report.console import console_of

    for flag, target in (("--junit", junit), ("--html", html)):
        writable(flag, target)
    if json_file not in (None, "-"):
        writable("--json", Path(str(json_file)))
    named = None if json_file in (None, "-") else Path(str(json_file))
    apart({"--json": named, "--junit": junit, "--html": html}, [str(file) for file in files])
    cleared(named, junit, html)
    done = merged(files)
    if html is not None:
        check_one(len(done))
    console = console_of(aside=json_file == "-")
    for one in done:
        seeds_report(console, one.summary, one.entries)
    if junit is not None:
        write_seeds_junit(junit, done)
    if json_file is not None:
        whole = text([entry for one in done for entry in one.entries], [one.summary for one in done])
        if json_file == "-":
            sys.stdout.write(whole)
        else:
            write("--json", Path(json_file), whole)
    if html is not None:
        from twinloop.scenarios.page.evidence.seeds import seeds_page

        (one,) = done
        write("--html", html, seeds_page(one.summary, one.entries))
    return worst([int(one.summary["code"]) for one in done])

"""``twinloop merge``: the results of all shards as one command would have written them.

Belongs here: flags and output. Never: what belongs together (seeds_document.py).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from twinloop.scenarios.judging.verdict import worst
from twinloop.scenarios.text.errors import MachineError, ScenarioError


def merge(
    files: Annotated[
        list[Path],
        typer.Argument(help="what twinloop run --seeds … --shard … --json wrote", metavar="FILE.json..."),
    ],
    json_file: Annotated[
        str | None, typer.Option("--json", help="write the whole result as JSON; - is stdout", metavar="FILE")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="write a JUnit report", metavar="FILE")] = None,
) -> int:
    """Put the results of shards together, report them, exit as the whole command would have.

    The merged result is that of one command without --shard, but for times and versions.
    """
    from twinloop.scenarios.evidence.seeds_document import merged, text
    from twinloop.scenarios.evidence.seeds_junit import write_seeds_junit
    from twinloop.scenarios.evidence.seeds_report import seeds_report
    from twinloop.scenarios.report.console import console_of

    if junit is not None and not junit.parent.is_dir():
        raise ScenarioError("--junit", None, "", f"{junit}: no such folder: {junit.parent}")
    done = merged(files)
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
            try:
                Path(json_file).write_text(whole, encoding="utf-8")
            except OSError as error:
                raise MachineError(f"--json {json_file}: {error.strerror}") from error
    return worst([int(one.summary["code"]) for one in done])

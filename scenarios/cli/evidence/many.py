"""``twinloop run --seeds``: scenarios under many seeds, to the files that were asked for.

Belongs here: the way from options to output. Never: flags (scenarios/cli/run.py), running
(scenarios/evidence/many.py).
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from twinloop.scenarios.cli.evidence.files import check_one, write
from twinloop.scenarios.evidence.many import Many, Seeded, run_seeds
from twinloop.scenarios.evidence.seeds_document import written
from twinloop.scenarios.evidence.seeds_junit import write_seeds_junit
from twinloop.scenarios.file.load import load
from twinloop.scenarios.file.settings import Setting
from twinloop.scenarios.interrupts import interruptible
from twinloop.scenarios.judging.verdict import ABORTED, worst
from twinloop.scenarios.outcome import Ran, died, tell
from twinloop.scenarios.report.console import console_of, patient
from twinloop.scenarios.runner import Options


def run_many(
    scenarios: list[Path],
    options: Options,
    many: Many,
    settings: tuple[Setting, ...],
    json_file: str | None,
    junit: Path | None,
    html: Path | None = None,
) -> int:
    """Run scenarios under many seeds, report each, write what was asked for; returns the worst exit code.
    ``options.out``: a folder for each seed below it. Raises ScenarioError when ``html`` is asked for several
    scenarios."""
    if html is not None:
        check_one(len(scenarios))
    patient()
    console = console_of(aside=json_file == "-")
    done: list[Seeded | Ran] = []
    with interruptible() as interrupts:
        for file in scenarios:
            out = options.out if len(scenarios) == 1 or options.out is None else options.out / file.stem
            try:
                loaded = load(file, settings)
                done.append(run_seeds(loaded, replace(options, out=out), many, interrupts, console))
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # told, with a code of its own; the other scenarios' results are kept
                done.append(tell(died(file, error)))
            if interrupts.asked:
                break
        if junit is not None:
            write_seeds_junit(junit, done)
        if json_file == "-":
            sys.stdout.write(written(done))
        elif json_file is not None:
            write("--json", Path(json_file), written(done))
    if html is not None and isinstance(done[0], Seeded):
        from twinloop.scenarios.page.evidence.seeds import seeds_page

        write("--html", html, seeds_page(done[0].summary, done[0].entries))
    left = len(scenarios) - len(done)
    codes = [one.code if isinstance(one, Ran) else int(one.summary["code"]) for one in done]
    return worst(codes + ([ABORTED] if left else []))

"""What a session leaves on the terminal when it ends: the report of ``twinloop run``, on the run as far as it
came.

Belongs here: closing the books and writing the report. Never: figures of its own.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from twinloop.scenarios.judging.judged import Judged
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.report.console import report
from twinloop.scenarios.report.result import collect
from twinloop.scenarios.runner import Options, command
from twinloop.scenarios.text.errors import shown_path
from twinloop.sim.kernel.invariants import InvariantError

if TYPE_CHECKING:
    from twinloop.tui.engine.engine import Engine


def final_report(engine: Engine, width: int) -> str:
    """The report with its colours. A run that isn't over is ABORTED, as by Ctrl-C: the engine can't go on
    after this."""
    world, loaded = engine.world, engine.loaded
    notes, broken = [], engine.broken
    judged: list[Judged] = []
    verdict = Verdict.BROKEN
    try:
        if not world.finished and not broken:
            world.stop()
            world.close_books()
            verdict = Verdict.ABORTED
        if not broken:
            judged = engine.judge.judge()
            verdict = engine.judge.verdict(judged) if engine.mode == "over" else verdict
    except InvariantError as error:
        broken, verdict = str(error), Verdict.BROKEN
    if engine.live.entries:
        notes.append(
            f"given live: {len(engine.live.entries)}; only the scenario saved with them (w) repeats this "
            f"run, the command below doesn't"
        )
    result = collect(
        loaded,
        world,
        engine.judge,
        judged,
        verdict,
        notes,
        command(loaded, world.spec.seed, Options()),
        engine.wall_s,
    )
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, highlight=False)
    report(console, replace(result, error=broken), shown_path(loaded.file))
    return out.getvalue()

"""Executed instructions that a poll takes more when somebody looks on: in the engine behind the terminal,
against a run that nobody sees, step by step.

Belongs here: those steps. Never: how instructions are counted (instructions.py), times (ratios.py). To count:

    python -m benchmarks.watching

It needs valgrind. Marks to rewind to aren't counted: what they cost is the kernel's, who copies memory.
"""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.instructions import counted, counting
from benchmarks.ratios import PLANT
from twinloop.components.host.host import Host
from twinloop.components.native.choice import CHOICE
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.planning.plan import Planner
from twinloop.sim.world import PROGRESS_EVENTS, World
from twinloop.tui.engine.engine import Engine
from twinloop.tui.engine.messages import Look, Play
from twinloop.tui.engine.process import answer, host_of_engine

DEVICES, PERIOD = 20, "100 ms"
"""of the plant: valgrind leaves room for the memories of thirty instances, and a window of time is to hold
some hundred polls, as in a large plant"""
WARM, POLLS, LOOK_POLLS = 6000, 4000, 400
"""polls until all is warm; those that are counted; those between two views: what an engine does in the 15th
of a second that lies between them"""
FILE = PLANT.format(count=DEVICES).replace("poll: 1 s", f"poll: {PERIOD}")
UNSEEN, HEARD, SEEN = "unseen", "heard", "seen"
STEPS = {
    UNSEEN: "as `twinloop run` does it",
    HEARD: "in an engine, of whom nobody wants a view",
    SEEN: f"with a view every {LOOK_POLLS} polls",
}
"""what is counted -> how it is run"""


def unseen() -> Callable[[int], int]:
    """Runs on for at least so many polls, and returns how many there were."""
    host = Host(threads=False, fibers=False)
    world = World(Planner(load_text(FILE, Path("bench.yaml")), host).world(), host)
    world.boot()
    return _by(world, lambda: world.some(world.spec.duration_ns, PROGRESS_EVENTS))


def engine(look_polls: int) -> Callable[[int], int]:
    """The same in an engine as its process has it; ``look_polls``: between two views, 0: there are none."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.yaml"
        file.write_text(FILE, encoding="utf-8")
        made = Engine(host_of_engine(forks=True), file, None)
    made.handle(Play(None))
    looked = 0

    def some() -> None:
        nonlocal looked
        made.slice()
        if look_polls and made.world.polls - looked >= look_polls:
            looked = made.world.polls
            pickle.dumps(answer(made, Look(7)))

    return _by(made.world, some)


def _by(world: World, some: Callable[[], object]) -> Callable[[int], int]:
    def run(polls: int) -> int:
        before = world.polls
        while world.polls - before < polls:
            some()
        ill = world.gateways[0].supervisor.faults
        if ill:
            raise RuntimeError(f"components have faults, so this is no usual poll: {ill}")
        return world.polls - before

    return run


def inside(step: str) -> None:
    """Under valgrind: run until all is warm, then count."""
    run = unseen() if step == UNSEEN else engine(LOOK_POLLS if step == SEEN else 0)
    gc.collect()
    gc.freeze()
    gc.set_threshold(1_000_000, 50, 100)
    run(WARM)
    with counting():
        polls = run(POLLS)
    print(polls, flush=True)
    os._exit(0)  # the end of the process isn't counted


def main(words: list[str]) -> int:
    """Count and print; the exit code."""
    if words:
        inside(words[0])
    if shutil.which("valgrind") is None:
        print("valgrind isn't there: nothing is counted", file=sys.stderr)
        return 1
    print(
        f"{DEVICES} Modbus devices, each polled every {PERIOD}, twinloop {CHOICE.word}: "
        "executed instructions of a poll"
    )
    least = before = 0
    for step, meaning in STEPS.items():
        found = counted("benchmarks.watching", [step], pure=False)
        least = least or found
        more = f", {found - before:+} by this, {found - least:+} in all" if before else ""
        print(f"{step} ({meaning}): {found}{more}", flush=True)
        before = found
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Executed instructions of a poll, which a busy machine doesn't change: pure, and with the compiled part.

Belongs here: counting under valgrind's callgrind. Never: the plants (once.py), times (paired.py). To count:

    python -m benchmarks.instructions

It needs valgrind, and the compiled part (``make compiled``) for the second figure. Two counts of one tree
differ by some thousandths.
"""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import once
from twinloop.components.native.choice import CHOICE, COMPILED, PURE

KINDS = {
    "modbus": "protocol: modbus-tcp, count: 10, poll: 1 s",
    "mqtt": "protocol: mqtt, count: 10, publish: 1 s",
    "opcua": "protocol: opcua, count: 10, poll: 1 s",
}
"""kind of ``once.polls`` -> its fleet: few devices, because valgrind takes fifty times as long"""
WARM_S, BEFORE, COUNTED = 45, 20, 30
"""simulated seconds until all is warm; shares of a second each before the count, and in it"""
WITHIN_S = 600
MODULE = "benchmarks.instructions"


def inside(kind: str) -> None:
    """Under valgrind: run until all is warm, count some shares, print how many polls they had."""
    _, driver, _ = once.FLEETS[kind]
    once.FLEETS[kind], once.WARM_UP_S = (KINDS[kind], driver, 1), WARM_S
    with once.polls(kind) as run:
        gc.collect()
        gc.freeze()
        gc.set_threshold(1_000_000, 50, 100)
        _shares(run, BEFORE)
        with counting():
            polls = _shares(run, COUNTED)
        print(polls, flush=True)
        os._exit(0)  # the end of the process isn't counted


def _shares(run: Callable[[], int], count: int) -> int:
    return sum(run() for _ in range(count))


@contextlib.contextmanager
def counting() -> Iterator[None]:
    """Under valgrind: instructions count while it lasts, in this process."""
    _control("-i", "on")
    yield
    _control("-i", "off")
    _control("-d")


def _control(*what: str) -> None:
    command = ["callgrind_control", *what, str(os.getpid())]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def counted(module: str, words: list[str], pure: bool) -> int:
    """Instructions of one poll in a process of its own: ``module`` with those arguments, whose last word on
    standard output says how many polls it had while it was ``counting``."""
    with tempfile.TemporaryDirectory(prefix="twinloop-instructions-") as folder:
        out = Path(folder) / "out"
        done = subprocess.run(
            [
                "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}", "-q",
                sys.executable, "-m", module, *words,
            ],
            env={**os.environ, "PYTHONHASHSEED": "0", "TWINLOOP_PURE": "1" if pure else "0"},
            stdout=subprocess.PIPE, text=True, timeout=WITHIN_S, check=True,
        )  # fmt: skip
        texts = [one.read_text(encoding="utf-8", errors="replace") for one in sorted(Path(folder).iterdir())]
    total = max(int(found) for text in texts for found in re.findall(r"^totals: (\d+)", text, re.MULTILINE))
    return round(total / int(done.stdout.split()[-1]))


def main(kinds: list[str]) -> int:
    """Count and print; the exit code."""
    if kinds:
        inside(kinds[0])
    if shutil.which("valgrind") is None:
        print("valgrind isn't there: nothing is counted", file=sys.stderr)
        return 1
    print(f"{platform.machine()}, Python {platform.python_version()}: executed instructions of a poll")
    for kind in KINDS:
        pure = counted(MODULE, [kind], pure=True)
        found = f"{PURE} {pure}"
        if CHOICE.word == COMPILED:
            compiled = counted(MODULE, [kind], pure=False)
            found += f", {COMPILED} {compiled} ({compiled / pure:.3f} of it)"
        print(f"{kind}: {found}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

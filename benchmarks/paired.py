"""What work costs in this tree against a named commit of its own past, run by turns on the same machine: the
ratio that says slower or faster.

Belongs here: the commit, the bounds, the taking of turns. A clone without that commit measures nothing and
says so.
"""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from twinloop.components.native.choice import CHOICE, COMPILED

COMMIT = os.environ.get("BASE") or "40f7595f99fe00fca8d924965200b107eda0f9c0"
"""what the bounds are ratios to; ``make bench BASE=COMMIT`` compares with another one"""
PROCESSES, SHARES = 5, 12
LARGE = {"modbus-5000": 2}
"""pairs of processes (each lies elsewhere in memory), and by how many shares of work they take turns: two
shares lie half a second apart, in which a shared machine changes less than between two processes. LARGE:
those that take long to get ready have fewer processes"""
BOUNDS = {
    "modbus": ("a Modbus poll of 10 points, 1 000 devices", 0.5, 1.06),
    "modbus-5000": ("a Modbus poll of 10 points, 5 000 devices", 0.5, 1.06),
    "opcua": ("an OPC UA poll of 10 nodes", 0.7, 1.06),
    "mqtt": ("an MQTT message of 10 points", 0.7, 1.06),
    "request": ("a Modbus request at a server", 0.5, 1.03),
}
"""kind of ``benchmarks.once`` -> its words, the most that it may cost in times of what it cost then with the
compiled part, and without it. Polls of every protocol carry quality and truth since; a server's answer
doesn't"""
Worker = subprocess.Popen[str]
ROOT = Path(__file__).parents[1]
ONCE = Path(__file__).with_name("once.py")


class MissingCommitError(Exception):
    """This clone's history doesn't reach that far back."""


def measured() -> list[tuple[str, float, float, str]]:
    """(words, median ratio, bound, detail) of each kind.

    Raises:
        MissingCommitError: in a shallow clone, or without git.
    """
    with tempfile.TemporaryDirectory(prefix="twinloop-bench-") as folder:
        then = Path(folder)
        _unpack(then)
        return [_paired(kind, then) for kind in BOUNDS]


def _unpack(folder: Path) -> None:
    try:
        packed = subprocess.run(["git", "archive", COMMIT], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingCommitError(f"{COMMIT[:7]} is not in this clone: fetch its whole history") from error
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


def _paired(kind: str, then: Path) -> tuple[str, float, float, str]:
    words, compiled, pure = BOUNDS[kind]
    bound = compiled if CHOICE.word == COMPILED else pure
    ratios, costs = [], []
    for _ in range(LARGE.get(kind, PROCESSES)):
        with _worker(kind, ROOT) as ours, _worker(kind, then) as theirs:
            for number in range(SHARES):
                first, second = (ours, theirs) if number % 2 else (theirs, ours)
                cost = {first: _cost(first), second: _cost(second)}
                ratios.append(cost[ours] / cost[theirs])
                costs.append(cost[ours])
    quarter = sorted(ratios)
    spread = f"{quarter[len(quarter) // 4]:.2f} to {quarter[-1 - len(quarter) // 4]:.2f}"
    detail = (
        f"{statistics.median(costs):.1f} us of CPU time; the middle half of {len(ratios)} pairs: {spread}"
    )
    return words, statistics.median(ratios), bound, detail


@contextlib.contextmanager
def _worker(kind: str, tree: Path) -> Iterator[Worker]:
    """A process over ``tree`` that has its plant ready."""
    with subprocess.Popen(
        [sys.executable, str(ONCE), kind],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        if worker.stdout.readline() != "ready\n":
            raise RuntimeError(f"benchmarks.once {kind} in {tree} has ended with {worker.wait()}")
        yield worker
        worker.stdin.close()


def _cost(worker: Worker) -> float:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())

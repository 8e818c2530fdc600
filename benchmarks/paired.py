"""What work costs in this tree against a named commit of its own past, run by turns on the same machine: the
ratio that says slower or faster.

Belongs here: the commit, the bounds, the taking of turns. A clone without that commit measures nothing and
says so.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

COMMIT = "40f7595f99fe00fca8d924965200b107eda0f9c0"
"""what the bounds are ratios to"""
PAIRS = 10
BOUNDS = {
    "modbus": ("a Modbus poll of 10 points", 1.06),
    "opcua": ("an OPC UA poll of 10 nodes", 1.06),
    "mqtt": ("an MQTT message of 10 points", 1.06),
    "request": ("a Modbus request at a server", 1.03),
}
"""kind of ``benchmarks.once`` -> its words, the most that it may cost in times of what it cost then. Polls of
every protocol carry quality and truth since; a server's answer doesn't"""
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
    words, bound = BOUNDS[kind]
    ratios, costs = [], []
    for number in range(PAIRS):
        trees = (ROOT, then) if number % 2 else (then, ROOT)
        cost = {tree: _cost(kind, tree) for tree in trees}
        ratios.append(cost[ROOT] / cost[then])
        costs.append(cost[ROOT])
    quarter = sorted(ratios)
    spread = f"the middle half of {PAIRS} pairs: {quarter[PAIRS // 4]:.2f} to {quarter[-1 - PAIRS // 4]:.2f}"
    return words, statistics.median(ratios), bound, f"{statistics.median(costs):.1f} us of CPU time; {spread}"


def _cost(kind: str, tree: Path) -> float:
    command = [sys.executable, str(ONCE), kind]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    return float(
        subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=True).stdout
    )

"""Runs of shipped scenarios: each is run once a suite, by whichever worker asks for it first; the others read
what it came to.

Belongs here: running them as they are, keeping what came of it. Never: assertions, or a run with other
options.
"""

from __future__ import annotations

import fcntl
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import LIBRARY, load
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.report.console import report
from twinloop.scenarios.runner import Options, run


@dataclass(frozen=True)
class Came:
    """What one came to. Whoever asks gets a copy of their own."""

    verdict: Verdict
    data: dict[str, Any]
    printed: str
    """its report, 100 columns wide"""


class ShippedRuns:
    """In ``folder``, which the workers of one suite share, and no other suite."""

    def __init__(self, folder: Path, host: Host) -> None:
        self._folder, self._host = folder, host

    def __call__(self, name: str) -> Came:
        kept = self._folder / f"{name.replace('/', '+')}.run"
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be at it just now; let go with the file
            if not kept.exists():
                kept.write_bytes(pickle.dumps(self._run(name)))
        found: Came = pickle.loads(kept.read_bytes())
        return found

    def _run(self, name: str) -> Came:
        result = run(load(LIBRARY / f"{name}.yaml"), Options(), self._host)
        text = io.StringIO()
        report(Console(file=text, width=100), result, name)
        return Came(result.verdict, result.data, text.getvalue())

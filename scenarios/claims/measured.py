"""What ``make claims`` has measured and left in measured.json: figures that need a compiler, a container or
another process, and what this command found on that machine.

Belongs here: the file's shape, and reading it. Never: measuring (benchmarks/claims).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from twinloop.scenarios.text.errors import MachineError

FILE = Path(__file__).parent / "measured.json"
TOOLS = ("native", "process", "containers")
"""its parts that need tools: guest code against native code, a process of its own, containers"""


class Kept(NamedTuple):
    """One figure of the file. ``value`` None: it could not be measured there, and ``how`` says why."""

    value: float | None
    how: str


@cache
def measured() -> dict[str, Any]:
    """The whole file. Raises MachineError when it can't be read: the installation is damaged."""
    try:
        found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MachineError(
            f"{FILE.name} of twinloop's claims can't be read ({error}): expected what `make claims` writes; "
            f"install twinloop anew, or run `make claims` in its sources"
        ) from error
    return found


def said() -> str:
    """Where the file's figures are from: command, machine, date."""
    found = measured()
    return f"make claims, {found['machine']}, {found['date']}"


def kept(*path: str) -> Kept:
    """The figure at that place of the file, such as ``kept("containers", "runc", "start_ns")``; a part that
    was left out says so itself (``missing``)."""
    at: Any = measured()
    for name in path:
        if "missing" in at:
            return Kept(None, str(at["missing"]))
        if name not in at:
            return Kept(None, f"{' '.join(path)} was not measured by make claims")
        at = at[name]
    if isinstance(at, dict):
        return Kept(None, str(at.get("missing", f"{' '.join(path)} holds no number")))
    return Kept(float(at), said())

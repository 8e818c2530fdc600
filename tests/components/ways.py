"""The two ways over the boundary, for tests of both: in Python alone, and by the compiled part.

Belongs here: a compiled part, whatever this process uses itself. Never: what a test asserts.
"""

from __future__ import annotations

import fcntl
from functools import cache
from pathlib import Path

import pytest

from twinloop.components.host.crossing import PURE, WAY, Way, compiled
from twinloop.components.native import choice, compiling

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "native-tests"
"""where it lies when the tree has none: no run looks for it there"""


@cache
def compiled_way() -> Way:
    """The compiled part of this source; skips where there is no compiler, and nowhere else."""
    if WAY is not PURE:
        return WAY
    found = _current(compiling.place().parent) or _current(FOLDER)
    if found is None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        with (FOLDER / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # let go with the file
            try:
                found = _current(FOLDER) or compiling.compiled(FOLDER, compiling.version_here())
            except compiling.NotCompiled as why:
                pytest.skip(f"no compiled part: {why}")
    return compiled(choice.found(found, {}).crossing)


def _current(folder: Path) -> Path | None:
    """That of this source, if it lies there."""
    at, stamp = folder / compiling.FILE, compiling.stamp(compiling.version_here()).encode()
    return at if at.is_file() and stamp in at.read_bytes() else None


def other_way() -> Way:
    """The one that this process doesn't take."""
    return compiled_way() if WAY is PURE else PURE

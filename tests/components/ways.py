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
def compiled_part() -> choice.Choice:
    """The compiled part of these sources, whatever this process uses itself; skips where there is no compiler,
    and nowhere else."""
    if choice.CHOICE.word == choice.COMPILED:
        return choice.CHOICE
    folder = next((one for one in (compiling.place(), FOLDER) if _current(one)), None)
    if folder is None:
        folder = FOLDER
        FOLDER.mkdir(parents=True, exist_ok=True)
        with (FOLDER / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # let go with the file
            try:
                if not _current(FOLDER):
                    compiling.compiled(FOLDER, compiling.version_here())
            except compiling.NotCompiled as why:
                pytest.skip(f"no compiled part: {why}")
    return choice.found(folder, {})


@cache
def compiled_way() -> Way:
    """Over the boundary by the compiled part."""
    return WAY if WAY is not PURE else compiled(compiled_part().crossing)


def _current(folder: Path) -> bool:
    """Do all libraries of these sources lie there?"""
    stamp = compiling.stamp(compiling.version_here()).encode()
    libraries = [folder / file for file in compiling.FILES.values()]
    return all(at.is_file() and stamp in at.read_bytes() for at in libraries)


def other_way() -> Way:
    """The one that this process doesn't take."""
    return compiled_way() if WAY is PURE else PURE

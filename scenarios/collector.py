"""Python's collector of garbage around a run: a world is built and then only churns.

Belongs here: when it collects. Never: what is run. Nothing of a run depends on it but its speed and memory.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path

GROWTH_BYTES = 64 << 20
"""of this process since all garbage was collected last: a whole collection looks at everything that lives,
the address space that all OPC UA servers share among it, and takes up to a second"""


class _Start:
    """Of this process. ``waits``: no garbage is looked for until its command's modules are there."""

    waits = False


def wait_for_modules() -> None:
    """This process is to be a command, whose modules are imported now: they live as long as it does, and to
    look for garbage among them is a twentieth of a start."""
    gc.disable()
    _Start.waits = True


def modules_are_there() -> None:
    """They are. A process that has its own reasons not to look for garbage is left alone."""
    if _Start.waits:
        _Start.waits = False
        gc.freeze()
        gc.enable()


class Collector:
    """Of one process."""

    def __init__(self) -> None:
        self._clean_bytes: int | None = None
        self._begun = False

    @contextlib.contextmanager
    def calm(self) -> Iterator[None]:
        """While it lasts what existed before is set aside, and young garbage is collected in larger bites."""
        before = gc.get_threshold()
        self.collect()
        gc.freeze()
        gc.set_threshold(1_000_000, 50, 100)
        try:
            yield
        finally:
            gc.set_threshold(*before)
            gc.unfreeze()

    def collect(self) -> None:
        """All garbage if the process has grown, or if nobody knows; else what is young. Before its first run
        nothing has churned yet, and all that a whole collection would do is take its time."""
        now = resident_bytes()
        if not self._begun:
            self._begun, self._clean_bytes = True, now
        elif now is not None and self._clean_bytes is not None and now - self._clean_bytes < GROWTH_BYTES:
            gc.collect(1)
        else:
            gc.collect()
            self._clean_bytes = resident_bytes()


def resident_bytes() -> int | None:
    """What of this process lies in memory; None where that can't be asked."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


COLLECTOR = Collector()
"""this process's"""

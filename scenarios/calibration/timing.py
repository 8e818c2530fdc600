"""Samples of CPU time: of a function, and of an instance's segments.

Belongs here: clocks. Never: what is run, what is made of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from twinloop.components.host.call_state import Owner
from twinloop.components.host.capi import Word
from twinloop.components.host.component import Linked
from twinloop.components.host.instance import Instance
from twinloop.components.host.memory import MemoryOwner

SAMPLE_NS = 4_000_000
"""how long one sample of something short shall last"""


def cpu_ns(run: Callable[[int], object], count: int) -> int:
    """CPU time of this thread while ``run`` does something ``count`` times."""
    began = time.thread_time_ns()
    run(count)
    return time.thread_time_ns() - began


def often_enough(run: Callable[[int], object], sample_ns: int = SAMPLE_NS) -> int:
    """How often ``run`` has to do it until a sample lasts ``sample_ns``, found by doubling; warms up
    meanwhile."""
    count = 1
    while (took_ns := cpu_ns(run, count)) < sample_ns:
        count = max(2 * count, count * sample_ns // max(took_ns, 1) // 2)
    return count


class TimedInstance(Instance):
    """An instance that knows what its last segment took here. ``took_ns``: CPU time in wasmtime and the
    guest, with the crossings of imports that answer at once."""

    __slots__ = ("took_ns",)

    def __init__(
        self, host: Owner, linked: Linked, handlers: Mapping[str, Callable[..., Any]], memory: MemoryOwner
    ) -> None:
        super().__init__(host, linked, handlers, memory)
        self.took_ns = 0

    def advance(self) -> int:
        """As Instance, timed."""
        began = time.thread_time_ns()
        try:
            return super().advance()
        finally:
            self.took_ns = time.thread_time_ns() - began

    def call_at(self, export: str, arguments_at: Word, fuel: int) -> int:
        """As Instance, timed."""
        began = time.thread_time_ns()
        try:
            return super().call_at(export, arguments_at, fuel)
        finally:
            self.took_ns = time.thread_time_ns() - began

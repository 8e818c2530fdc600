"""What an instance keeps of the call under way: the words that the C API writes, and who waits for what.

Belongs here: the state, and what it needs of the host. Never: running guest code (instance.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ctypes import addressof, c_uint64
from typing import Any, NamedTuple, Protocol

from twinloop.components.host.capi import Word, amount, quick_get_fuel, word
from twinloop.components.host.codec import Signature
from twinloop.components.host.memory import MemoryCreator
from twinloop.components.host.start import Start

RESULT, ERROR, FLAG, FUEL = 0, 4, 5, 6
"""words of a block: the result value (32 bytes), an error pointer, the continuation's flag, fuel"""


class NeedsFibers(Exception):
    """A call of a component took longer than a slice, in a host that hoped for none: ``args[0]`` is its
    digest. Begin anew: now the host knows."""


class Request(NamedTuple):
    """A parked import: ``name`` is interface.function, ``arguments`` its decoded arguments."""

    name: str
    arguments: list[Any]


class Owner(Protocol):
    """What an instance needs of the host that made it."""

    fibers: bool
    interrupted: bool
    memory: MemoryCreator
    long: dict[str, None]

    def forget(self, instance: Any) -> None:
        """It is closed."""
        ...


class CallWords:
    """The memory of one instance that the C API writes to: its ``words``, and where some are; the store that
    writes there, at the address ``context``."""

    __slots__ = ("at", "context", "error_at", "error_to", "flag_at", "fuel_to", "result_to", "words")

    def __init__(self, context: int) -> None:
        self.context = word(context)
        self.words = (c_uint64 * 8)()
        self.at = addressof(self.words)
        self.error_at = self.at + 8 * ERROR
        self.flag_at = self.at + 8 * FLAG
        self.result_to, self.fuel_to = word(self.at), word(self.at + 8 * FUEL)
        self.error_to = word(self.error_at)

    def fuel(self) -> int:
        """What the store has left now."""
        quick_get_fuel(self.context, self.fuel_to)
        return self.words[FUEL]


class CallState:
    """The call under way, or the last one. ``arguments_at``: of C values; None: ``arguments`` are still to be
    lowered. ``pending``: how the result of a parked import is written, and where."""

    __slots__ = (
        "arguments",
        "arguments_at",
        "begun",
        "fuel_given",
        "function",
        "future",
        "pending",
        "signature",
        "start",
    )

    def __init__(self) -> None:
        self.signature: Signature
        self.function = amount(0)
        self.arguments: Sequence[Any] = ()
        self.arguments_at: Word | None = None
        self.begun = False
        self.future: int | None = None
        self.fuel_given = 0
        self.start: Start | None = None
        """set while start code runs, in place of a call"""
        self.pending: tuple[Callable[[Any, int], None], int] | None = None

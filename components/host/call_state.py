"""What an instance keeps of the call under way: the words that the C API writes, and who waits for what.

Belongs here: the state, what it needs of the host, and the steps into C of which the compiled part has a twin
of its own. Never: in which order they come (instance.py).
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import addressof, c_uint64
from typing import Any, NamedTuple, Protocol

from twinloop.components.host.capi import (
    Word,
    fuel_as_c,
    future_delete,
    future_poll,
    quick_call,
    quick_call_async,
    quick_delete,
    quick_get_fuel,
    quick_set_fuel,
    word,
)
from twinloop.components.host.memory import MemoryCreator

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
    words: Callable[[int], CallWords]
    """CallWords of a store at an address: this module's, or the compiled part's"""

    def forget(self, instance: Any) -> None:
        """It is closed."""
        ...


class CallWords:
    """The memory of one instance that the C API writes to, and the steps that have it written: ``at`` where a
    result is, ``error`` the address of an error (0: none), ``left`` the fuel after the last step. Of the
    store at the address ``context``.

    The compiled part (components/native/crossing.c) has the same by the same names.
    """

    __slots__ = (
        "_context",
        "_error_to",
        "_fuel_to",
        "_future",
        "_result_to",
        "_words",
        "at",
        "error",
        "left",
    )

    def __init__(self, context: int) -> None:
        self._words = (c_uint64 * 8)()
        self.at = addressof(self._words)
        self.left = self.error = 0
        self._future: int | None = None
        self._context = word(context).c
        self._result_to, self._fuel_to = word(self.at).c, word(self.at + 8 * FUEL).c
        self._error_to = word(self.error_at).c

    @property
    def error_at(self) -> int:
        """Where C writes the error of a call on a fiber."""
        return self.at + 8 * ERROR

    @property
    def flag_at(self) -> int:
        """Where the continuation of a parked import looks whether it may go on."""
        return self.at + 8 * FLAG

    def fuel(self) -> int:
        """What the store has left now, which ``left`` is then, too."""
        quick_get_fuel(self._context, self._fuel_to)
        self.left = left = self._words[FUEL]
        return left

    def set_fuel(self, fuel: int) -> None:
        """What the store has left from now on."""
        quick_set_fuel(self._context, fuel_as_c(fuel))

    def call(self, function: Word, arguments_at: Word, takes: Word, gives: Word, fuel: int) -> int:
        """Call it to its end within ``fuel``; returns what is left of that. ``takes`` and ``gives`` say how
        many values."""
        words, context = self._words, self._context
        words[RESULT] = 0  # the C API drops what the slot held: let that be a bool
        quick_set_fuel(context, fuel_as_c(fuel))
        self.error = quick_call(function.c, context, arguments_at.c, takes.c, self._result_to, gives.c) or 0
        quick_get_fuel(context, self._fuel_to)
        self.left = left = words[FUEL]
        return left

    def start(self, function: Word, arguments_at: Word, takes: Word, gives: Word) -> bool:
        """Begin a call on a fiber and run it to its next parked import or its end; is it done?"""
        words = self._words
        words[RESULT] = words[ERROR] = self.error = 0  # as above
        self._future = quick_call_async(
            function.c, self._context, arguments_at.c, takes.c, self._result_to, gives.c, self._error_to
        )
        return self.poll()

    def adopt(self, future: int) -> bool:
        """As ``start``, for a future that was made elsewhere."""
        self._future = future
        return self.poll()

    def poll(self) -> bool:
        """Run the call on a fiber to its next parked import or its end; is it done?"""
        done: bool = future_poll(self._future)
        quick_get_fuel(self._context, self._fuel_to)
        self.left = self._words[FUEL]
        if done:
            self.error = self._words[ERROR]
        return done

    def end(self) -> None:
        """Let go of the call on a fiber, if there is one; a parked guest is unwound. Must come before the
        store goes."""
        future, self._future = self._future, None
        if future:
            future_delete(future)

    def delete_result(self) -> None:
        """Free the result."""
        quick_delete(self._result_to)

    def wait(self) -> None:
        """The parked import has no answer yet."""
        self._words[FLAG] = 0

    def go_on(self) -> None:
        """It has one."""
        self._words[FLAG] = 1

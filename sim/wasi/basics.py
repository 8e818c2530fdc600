"""Clocks, random numbers, environment, arguments, exit: the small interfaces.

Belongs here: wasi:clocks, wasi:random, wasi:cli. Never: streams and waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twinloop.components.contract.errors import GuestEnded
from twinloop.sim.kernel.clock import S
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.wasi.guest import Guest, Handler, random_bytes
from twinloop.sim.wasi.streams import Input, Lines
from twinloop.sim.wasi.waiting import Pollable, Timer

RANDOM_BYTES_MAX = 1 << 20
"""that one call may ask for"""


class Clocks:
    """wasi:clocks: the gateway's own, which may be wrong."""

    def __init__(self, guest: Guest) -> None:
        self._guest, self._clock = guest, guest.machine.clock
        self.now: dict[str, Handler] = {
            "clocks/monotonic-clock#now": self._monotonic,
            "clocks/monotonic-clock#resolution": lambda: 1,
            "clocks/monotonic-clock#subscribe-instant": self._at,
            "clocks/monotonic-clock#subscribe-duration": self._after,
            "clocks/wall-clock#now": self._wall,
            "clocks/wall-clock#resolution": lambda: (0, 1),
            "clocks/timezone#display": lambda when: (0, "UTC", False),
            "clocks/timezone#utc-offset": lambda when: 0,
        }
        self.later: dict[str, Callable[..., Any]] = {}

    def _monotonic(self) -> int:
        # Go's runtime ends a program to which its clock says 0
        return max(1, self._clock.monotonic(self._guest.instant_ns()))

    def _wall(self) -> tuple[int, int]:
        return divmod(self._clock.wall(self._guest.instant_ns()), S)

    def _at(self, when_ns: int) -> Pollable:
        return Timer(self._guest, when_ns)

    def _after(self, time_ns: int) -> Pollable:
        return Timer(self._guest, self._clock.monotonic(self._guest.instant_ns()) + time_ns)


class Random:
    """wasi:random from a named stream of the run: the same seed, the same bytes."""

    def __init__(self, guest: Guest, stream: Callable[[], RandomStream]) -> None:
        self._guest, self._make = guest, stream
        self._stream: RandomStream | None = None
        self.now: dict[str, Handler] = {
            "random/random#get-random-bytes": self._bytes,
            "random/random#get-random-u64": self._word,
            "random/insecure#get-insecure-random-bytes": self._bytes,
            "random/insecure#get-insecure-random-u64": self._word,
            "random/insecure-seed#insecure-seed": lambda: (self._word(), self._word()),
        }
        self.later: dict[str, Callable[..., Any]] = {}

    def _words(self) -> RandomStream:
        if self._stream is None:
            self._stream = self._make()
        return self._stream

    def _bytes(self, count: int) -> bytes:
        if count > RANDOM_BYTES_MAX:
            raise GuestEnded("quota", f"{count} random bytes at once; {RANDOM_BYTES_MAX} are the limit")
        self._guest.carried(count)
        return random_bytes(self._words(), count)

    def _word(self) -> int:
        return self._words().word()


class Cli:
    """wasi:cli: what the scenario says of arguments and environment; output as lines; an end by exit."""

    def __init__(self, guest: Guest, environment: tuple[tuple[str, str], ...], arguments: list[str]) -> None:
        self.out, self.error = Lines(guest, "stdout"), Lines(guest, "stderr")
        self.now: dict[str, Handler] = {
            "cli/environment#get-environment": lambda: list(environment),
            "cli/environment#get-arguments": lambda: arguments,
            "cli/environment#initial-cwd": lambda: None,
            "cli/exit#exit": self._exit,
            "cli/exit#exit-with-code": self._exit_code,
            "cli/stdin#get-stdin": Input,
            "cli/stdout#get-stdout": lambda: self.out,
            "cli/stderr#get-stderr": lambda: self.error,
            "cli/terminal-stdin#get-terminal-stdin": lambda: None,
            "cli/terminal-stdout#get-terminal-stdout": lambda: None,
            "cli/terminal-stderr#get-terminal-stderr": lambda: None,
        }
        self.later: dict[str, Callable[..., Any]] = {}

    def _exit(self, status: Any) -> None:
        raise GuestEnded("exit", f"it ended itself: exit({'ok' if status[0] else 'err'})")

    def _exit_code(self, code: int) -> None:
        raise GuestEnded("exit", f"it ended itself: exit with code {code}")

    def end(self) -> None:
        """The instance is gone."""
        self.out.end()
        self.error.end()

"""What protocol libraries take for the time and for chance, replaced for a run: simulated clocks, seeded
entropy.

Belongs here: finding and replacing names in loaded modules. Never: a clock of our own. Names are found by
identity after everything is imported (a module imported later isn't seen, hence ``MODULES``), and put back
afterwards; one such run at a time in a process. Not covered: names captured as default arguments, and
OpenSSL's randomness. What a library's upgrade brings anew fails a test (tests/sim/libraries/test_neutral.py
holds the list of what is replaced).
"""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import sys
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from twinloop.sim.kernel.clock import Environment, S
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.random import RandomStream, RandomStreams
from twinloop.sim.kernel.wallclock import EPOCH_NS

_TIME, _DATETIME, _RANDOM = (importlib.import_module(name) for name in ("time", "datetime", "random"))
"""never called: compared with what a library has"""
PACKAGES = ("asyncua", "pymodbus", "amqtt")
_running = False


class _Standin(types.ModuleType):
    """A module of which some names are ours."""

    def __init__(self, real: types.ModuleType, ours: dict[str, Any]) -> None:
        super().__init__(real.__name__)
        self._real = real
        self.__dict__.update(ours)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _bytes(stream: RandomStream) -> Callable[..., bytes]:
    def draw(nbytes: int | None = None) -> bytes:
        count = 32 if nbytes is None else nbytes
        return b"".join(stream.word().to_bytes(8, "little") for _ in range(-(-count // 8)))[:count]

    return draw


def _datetime(env: Environment, epoch_ns: int) -> Any:
    """``datetime.datetime`` with another now; what it makes are real ones."""
    real = _DATETIME.datetime
    epoch = real.fromtimestamp(epoch_ns // S, _DATETIME.timezone.utc)

    def at(tz: Any) -> Any:
        moment = epoch + _DATETIME.timedelta(microseconds=(epoch_ns % S + env.now) // 1000)
        return moment.astimezone(tz) if tz is not None else moment.replace(tzinfo=None)

    class Kind(type):
        def __instancecheck__(cls, thing: Any) -> bool:
            return isinstance(thing, real)

        def __subclasscheck__(cls, kind: Any) -> bool:
            return issubclass(kind, real)

    names = {
        "__new__": lambda cls, *given, **named: real(*given, **named),
        "now": classmethod(lambda cls, tz=None: at(tz)),
        "utcnow": classmethod(lambda cls: at(None)),
        "today": classmethod(lambda cls: at(None)),
    }
    return Kind("datetime", (real,), names)


def _replacements(env: Environment, streams: RandomStreams, epoch_ns: int) -> dict[int, Any]:
    """id of what a library may hold -> what it gets."""
    entropy = _bytes(streams.stream("libraries/entropy"))

    def seconds() -> float:
        return env.now / S

    def blocked(_: float) -> None:
        raise InvariantError(
            "a library sleeps with time.sleep inside the simulation: nothing would ever happen"
        )

    clocks = {
        "time": lambda: (epoch_ns + env.now) / S,
        "time_ns": lambda: epoch_ns + env.now,
        "monotonic": seconds,
        "monotonic_ns": lambda: env.now,
        "perf_counter": seconds,
        "perf_counter_ns": lambda: env.now,
        "sleep": blocked,
    }
    moment = _datetime(env, epoch_ns)

    def uuid4(*_: Any, **__: Any) -> uuid.UUID:
        return uuid.UUID(bytes=entropy(16), version=4)

    seeded = _RANDOM.Random(int.from_bytes(entropy(16), "little"))
    drawn = {
        name: getattr(seeded, name)
        for name in _RANDOM.__all__
        if hasattr(seeded, name) and name not in ("Random", "SystemRandom")
    }
    utc: dict[str, Any] = {
        "localtime": lambda at_s=None: _TIME.gmtime((epoch_ns + env.now) / S if at_s is None else at_s),
        "strftime": lambda text, moment=None: _TIME.strftime(
            text, utc["gmtime"]() if moment is None else moment
        ),
        "ctime": lambda at_s=None: _TIME.asctime(utc["gmtime"](at_s)),
    }
    utc["gmtime"] = utc["localtime"]
    clocks.update(utc)
    given = {
        "token_bytes": entropy,
        "token_hex": lambda nbytes=None: entropy(nbytes).hex(),
        "token_urlsafe": lambda nbytes=None: entropy(nbytes).hex(),
        "choice": seeded.choice,
        "randbelow": seeded.randrange,
        "randbits": seeded.getrandbits,
    }
    found: dict[int, Any] = {
        id(_TIME): _Standin(_TIME, clocks),
        id(_DATETIME): _Standin(_DATETIME, {"datetime": moment}),
        id(_DATETIME.datetime): moment,
        id(os): _Standin(os, {"urandom": entropy}),
        id(os.urandom): entropy,
        id(uuid): _Standin(uuid, {"uuid1": uuid4, "uuid4": uuid4}),
        id(uuid.uuid4): uuid4,
        id(uuid.uuid1): uuid4,
        id(secrets): _Standin(secrets, given),
        id(_RANDOM): _Standin(_RANDOM, drawn),
    }
    found.update((id(getattr(secrets, name)), value) for name, value in given.items())
    found.update((id(getattr(_TIME, name)), ours) for name, ours in clocks.items())
    found.update((id(getattr(_RANDOM, name)), value) for name, value in drawn.items())
    return found


class PatchedLibraries:
    """Inside (``with``), the loaded modules of ``packages`` see simulated time and seeded entropy; outside
    they are as they were.

    ``names``: what was replaced when it was last entered. Raises InvariantError when another run is inside:
    modules belong to the whole process.
    """

    def __init__(
        self,
        env: Environment,
        streams: RandomStreams,
        packages: tuple[str, ...] = PACKAGES,
        epoch_ns: int = EPOCH_NS,
    ) -> None:
        self._ours = _replacements(env, streams, epoch_ns)
        self._packages = packages
        self._found: list[tuple[types.ModuleType, str, Any]] = []
        self._looked = 0
        self.active = False

    @property
    def names(self) -> list[str]:
        """Module and name of everything that is replaced."""
        return [f"{module.__name__}.{key}" for module, key, _ in self._found]

    def _look(self) -> None:
        """Find the names; only anew when modules have been imported since."""
        if self._looked == len(sys.modules):
            return
        self._looked, self._found = len(sys.modules), []
        for name, module in sorted(sys.modules.items()):
            if module is None or not any(
                name == package or name.startswith(f"{package}.") for package in self._packages
            ):
                continue
            self._found += [
                (module, key, value)
                for key, value in vars(module).items()
                if id(value) in self._ours and not key.startswith("__")
            ]

    def __enter__(self) -> PatchedLibraries:
        global _running  # noqa: PLW0603  # modules are global, and so is who has changed them
        if _running:
            raise InvariantError("two simulations of protocol libraries at a time in one process")
        self._look()
        _running = self.active = True
        for module, key, value in self._found:
            setattr(module, key, self._ours[id(value)])
        return self

    def __exit__(self, *_: object) -> None:
        global _running  # noqa: PLW0603  # as above
        for module, key, value in self._found:
            setattr(module, key, value)
        _running = self.active = False


@contextlib.contextmanager
def neutralised(
    env: Environment, streams: RandomStreams, packages: tuple[str, ...] = PACKAGES
) -> Iterator[list[str]]:
    """A ``PatchedLibraries`` for once; gives the names that were replaced."""
    with PatchedLibraries(env, streams, packages) as neutral:
        yield neutral.names

"""python-wasi: a transform that does to WASI, through Python's own library, what its options say.

`do`: names parted by spaces, done in each call in their order; what happened stands in a text reading in place of the
batch's first reading: "sleep ok; read [Errno 44] ...". `when`: call, or configure. `path`, `text`, `seconds`: see below.
"""

import encodings.idna  # noqa: F401  # socket imports it late: a component has no library to load from
import os
import random
import socket
import sys
import time
from collections.abc import Callable

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.types import (
    Batch,
    ConfigError_BadOption,
    ConfigError_UnknownOption,
    Origin,
    Settings,
    TextReading,
    TransformError_NotConfigured,
)

OPTIONS = {"do": "", "when": "call", "path": "/data/file", "text": "hello\n", "seconds": "2.5"}


class Kept:
    """What is kept between two calls."""

    options: dict[str, str] | None = None
    told = ""


def option(name: str) -> str:
    """Its value."""
    assert Kept.options is not None
    return Kept.options[name]


def sleep() -> str:
    """For that many seconds of the monotonic clock."""
    before = time.monotonic_ns()
    time.sleep(float(option("seconds")))
    return f"{time.monotonic_ns() - before} ns"


def to_stdout() -> str:
    """Through a buffer of Python's own: flushed, or it is said late."""
    print(option("text"), end="", flush=True)
    return "ok"


def to_stderr() -> str:
    """Not buffered beyond a line."""
    print(option("text"), end="", file=sys.stderr, flush=True)
    return "ok"


def read() -> str:
    """The file at `path`."""
    with open(option("path"), encoding="utf-8") as file:
        return file.read()


def write() -> str:
    """`text` to `path`, in place of what was there."""
    with open(option("path"), "w", encoding="utf-8") as file:
        return f"{file.write(option('text'))} characters"


def append() -> str:
    """`text` to the end of `path`, durably."""
    with open(option("path"), "a", encoding="utf-8") as file:
        count = file.write(option("text"))
        file.flush()
        os.fsync(file.fileno())
    return f"{count} characters"


def stat() -> str:
    """Size and time of change of `path`."""
    found = os.stat(option("path"))
    return f"{found.st_size} bytes mtime {found.st_mtime_ns}"


def fail() -> str:
    """An exception that nobody catches."""
    raise RuntimeError("as asked")


def recurse() -> str:
    """Python's own limit ends it with RecursionError, or the stack of the component is too small for that."""

    def deeper(count: int) -> int:
        return deeper(count + 1) + 1

    return str(deeper(0))


def endless() -> str:
    """Python's limit out of the way: only the gateway's can end it."""
    sys.setrecursionlimit(1 << 30)
    return recurse()


def numbers() -> str:
    """From the system, and from a generator that it seeds."""
    return f"{os.urandom(8).hex()} {random.SystemRandom().random()} {random.random()}"


def clocks() -> str:
    """Wall and monotonic, in ns."""
    return f"wall {time.time_ns()} monotonic {time.monotonic_ns()}"


def connect() -> str:
    """A socket to a port where nothing is."""
    with socket.create_connection(("10.0.0.1", 502), timeout=1.0) as opened:
        return str(opened.getsockname())


def end(status: int) -> str:
    """The interpreter's way, an exception, not a call of exit."""
    sys.exit(status)


def end_now(status: int) -> str:
    """The process's way."""
    os._exit(status)


CAUGHT: dict[str, Callable[[], str]] = {
    "sleep": sleep,
    "stdout": to_stdout,
    "stderr": to_stderr,
    "env": lambda: ",".join(f"{name}={value}" for name, value in os.environ.items()),
    "args": lambda: ",".join(sys.argv),
    "read": read,
    "write": write,
    "append": append,
    "listdir": lambda: ",".join(os.listdir(option("path"))),
    "stat": stat,
    "mkdir": lambda: str(os.mkdir(option("path"))),
    "remove": lambda: str(os.remove(option("path"))),
    "rename": lambda: str(os.rename(option("path"), option("text"))),
    "random": numbers,
    "clocks": clocks,
    "socket": connect,
    "resolve": lambda: str(socket.getaddrinfo("localhost", 502)),
}
"""what may fail with an exception of Python's, which is told"""
ENDS: dict[str, Callable[[], str]] = {
    "raise": fail,
    "exit": lambda: end(3),
    "exit-now": lambda: end_now(3),
    "recurse": recurse,
    "endless": endless,
}
"""what is meant to end the component"""


def act() -> None:
    """All of `do`, in order."""
    said = []
    for name in option("do").split():
        if name in ENDS:
            said.append(f"{name} {ENDS[name]()}")
            continue
        try:
            said.append(f"{name} {CAUGHT[name]()}")
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told
            said.append(f"{name} {type(error).__name__} {error}")
    Kept.told = "; ".join(said)


class Transform(exports.Transform):
    """What the gateway calls."""

    def configure(self, settings: Settings) -> None:
        """Take the options."""
        Kept.options = None
        taken = dict(OPTIONS)
        for name, value in settings.options:
            if name not in taken:
                raise Err(ConfigError_UnknownOption(name))
            taken[name] = value
        if any(name not in CAUGHT and name not in ENDS for name in taken["do"].split()):
            raise Err(ConfigError_BadOption("do"))
        Kept.options = taken
        if option("when") == "configure":
            act()

    def transform_readings(self, source: Origin, input: Batch) -> Batch:
        """Do it, and tell in place of the first reading."""
        if Kept.options is None:
            raise Err(TransformError_NotConfigured())
        if option("when") == "call":
            act()
        first, *rest = input.readings
        told = TextReading(first.point, Kept.told, 0, first.measured)
        return Batch(rest, [*input.texts, told], input.integers)

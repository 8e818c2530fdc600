"""One component's place on a machine, without a component: what WASI's functions need, and calls of them.

Belongs here: a guest that notes what it is told. Never: assertions.
"""

from __future__ import annotations

from typing import Any

from twinloop.scenarios.file.boards.programs import default_host
from twinloop.scenarios.file.boards.reading import shipped
from twinloop.sim.kernel.clock import MS, Environment, S, Task
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.kernel.wallclock import WallClock
from twinloop.sim.machine.budget import Budget
from twinloop.sim.machine.machine import Machine
from twinloop.sim.model.boards import prices
from twinloop.sim.model.wasi import Folder
from twinloop.sim.wasi.descriptors import Descriptor
from twinloop.sim.wasi.files import Files
from twinloop.sim.wasi.filesystem import Filesystem
from twinloop.sim.wasi.guest import OK
from twinloop.sim.wasi.streams import Streams
from twinloop.sim.wasi.waiting import Waiting

ONE = "filesystem/types#[method]descriptor."
DATA = Folder("/data", read_only=False, quota_bytes=4096)
ETC = Folder("/etc", read_only=True, quota_bytes=4096, content=(("motd", b"be kind\n"), ("ssl/ca", b"x")))


class Place:
    """A guest whose WASI is called by name."""

    def __init__(self, *folders: Folder) -> None:
        self.name = "gw/transform"
        self.env = Environment()
        self.machine = machine(self.env)
        self.limits: dict[str, int] = {}
        self.lines: list[tuple[str, str]] = []
        self.carried_bytes = 0
        self.files = Files(folders)
        waiting = Waiting(self)
        parts = [waiting, Streams(self, waiting), Filesystem(self, self.files)]
        self.now = {name: answer for part in parts for name, answer in part.now.items()}
        self.later = {name: task for part in parts for name, task in part.later.items()}

    # ---- what WASI tells it ----------------------------------------------------------------------
    def instant_ns(self) -> int:
        """No time passes while it computes."""
        return self.env.now

    def crossed(self) -> None:
        """Not noted."""

    def carried(self, size_bytes: int) -> None:
        """Noted."""
        self.carried_bytes += size_bytes

    def say(self, level: str, line: str) -> None:
        """Noted."""
        self.lines.append((level, line))

    def limit(self, name: str, count: int) -> None:
        """Noted."""
        self.limits[name] = self.limits.get(name, 0) + count

    # ---- what it asks ----------------------------------------------------------------------------
    def call(self, name: str, *arguments: Any) -> Any:
        """Of an import that answers at once, or that waits, for a minute at most."""
        if name in self.now:
            return self.now[name](*arguments)
        task = Task(self.env, self.later[name](*arguments, self.env.now + 60 * S))
        while not task.done:
            self.env.run(self.env.now + MS)
        return task.value

    def fd(self, function: str, *arguments: Any) -> Any:
        """Of a descriptor's function."""
        return self.call(ONE + function, *arguments)

    def root(self, which: int = 0) -> Descriptor:
        """A granted folder."""
        found: Descriptor = self.now["filesystem/preopens#get-directories"]()[which][0]
        return found

    def open(self, at: Descriptor, path: str, *how: str, flags: tuple[str, ...] = ("read", "write")) -> Any:
        """``open-at``: a descriptor, or the code."""
        _, value = self.fd("open-at", at, frozenset(), path, frozenset(how), frozenset(flags))
        return value

    def put(self, at: Descriptor, path: str, data: bytes, sync: bool = False) -> None:
        """A file with that content."""
        fd = self.open(at, path, "create", "truncate")
        assert self.fd("write", fd, data, 0) == (True, len(data))
        if sync:
            assert self.fd("sync", fd) == OK
        fd.dropped()

    def get(self, at: Descriptor, path: str) -> Any:
        """A file's content, or the code."""
        fd = self.open(at, path, flags=("read",))
        if isinstance(fd, str):
            return fd
        _, (data, end) = self.fd("read", fd, 1 << 40, 0)
        assert end
        fd.dropped()
        return data

    def names(self, at: Descriptor) -> list[tuple[str, str]]:
        """A folder's listing."""
        _, listing = self.fd("read-directory", at)
        found = []
        while entry := self.call(
            "filesystem/types#[method]directory-entry-stream.read-directory-entry", listing
        )[1]:
            found.append(entry)
        listing.dropped()
        return found


def machine(env: Environment) -> Machine:
    """One that is up, alone."""
    board = shipped("raspberry-pi-4")
    budget = Budget(board, prices(board, default_host(), None, True, False))
    return Machine(
        env=env, index=0, name="gw", board=board, trace=Trace(env), budget=budget, clock=WallClock(), syncs=False,
    )  # fmt: skip

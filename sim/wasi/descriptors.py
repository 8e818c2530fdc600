"""What a guest holds of files: descriptors, listings, streams; and how a path leads from one to a file.

Belongs here: the resources of wasi:filesystem, paths. Never: WASI's functions (filesystem.py). A path never
leaves its folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from twinloop.components.contract.contract import Result
from twinloop.components.wasi.interfaces import resource_number
from twinloop.sim.kernel.clock import Steps
from twinloop.sim.wasi.files import DEPTH_MAX, Node, Tree
from twinloop.sim.wasi.guest import OK
from twinloop.sim.wasi.streams import CLOSED, Input, Output, failed

NAME_BYTES_MAX = 255
"""of one name in a path (NAME_MAX of Linux's file systems)"""
PATH_NAMES_MAX = DEPTH_MAX + 1
"""names in one path"""


class Descriptor:
    """An open file or folder. ``reads``, ``writes``: what it was opened for; ``closed``: called when neither
    it nor a stream of it is left."""

    resource = resource_number("descriptor")

    def __init__(
        self, tree: Tree, node: Node, reads: bool, writes: bool, closed: Callable[[], None] = lambda: None
    ) -> None:
        self.tree, self.node, self.reads, self.writes = tree, node, reads, writes
        self._closed, self._holders = closed, 1
        tree.opened(node)

    def held(self) -> None:
        """A stream of it is one more that keeps it open."""
        self._holders += 1

    def dropped(self) -> None:
        """One that kept it open is gone; with the last it is closed."""
        self._holders -= 1
        if not self._holders:
            self.tree.closed(self.node)
            self._closed()

    @property
    def kind(self) -> str:
        """WASI's descriptor-type."""
        return kind(self.node)

    @property
    def no_write(self) -> str:
        """WASI's code for a write by it."""
        return "read-only" if self.tree.folder.read_only else "bad-descriptor"


class Listing:
    """A directory-entry-stream; ``closed``: called when it is gone."""

    resource = resource_number("directory-entry-stream")

    def __init__(self, node: Node, closed: Callable[[], None]) -> None:
        self._node, self._names, self._closed = node, iter(node.listing()), closed

    def entry(self) -> tuple[str, str] | None:
        """(kind, name) of the next one of those that were there when it began and still are; None: the
        end."""
        for name in self._names:
            found = self._node.names.get(name)
            if found is not None:
                return kind(found), name
        return None

    def dropped(self) -> None:
        """Whoever read it has read enough."""
        self._closed()


class Reader(Input):
    """An input-stream of a file, from an offset on."""

    def __init__(self, descriptor: Descriptor, at: int) -> None:
        self._descriptor, self._at = descriptor, at
        descriptor.held()

    def read(self, count: int) -> Result:
        """What is there, from where the last read ended."""
        content = self._descriptor.node.data
        assert content is not None
        data = bytes(content[self._at : self._at + count])
        self._at += len(data)
        return (True, data) if data or not count else CLOSED

    def dropped(self) -> None:
        """It keeps its file open no longer."""
        self._descriptor.dropped()


class Writer(Output):
    """An output-stream of a file, from an offset on; None: always at its end. ``write``: of the file."""

    def __init__(
        self, descriptor: Descriptor, at: int | None, write: Callable[[Descriptor, bytes, int], Result]
    ) -> None:
        self._descriptor, self._at, self._write, self._failed = descriptor, at, write, False
        descriptor.held()

    def room(self) -> Result:
        """As any stream's; nothing after a failure: it closes a stream (WASI's stream-error)."""
        return CLOSED if self._failed else super().room()

    def write(self, data: bytes) -> Result:
        """Where the last write ended; or at the end of the file, whatever that is now."""
        if self._failed:
            return CLOSED
        at = self._descriptor.node.size_bytes if self._at is None else self._at
        result = self._write(self._descriptor, data, at)
        if not result[0]:
            self._failed = True
            return failed(f"write to a file: {result[1]}", result[1])
        if self._at is not None:
            self._at += len(data)
        return OK

    def flush(self, until_ns: int) -> Steps:
        """What was written is in the file; nothing after a failure."""
        yield from ()
        return CLOSED if self._failed else OK

    def dropped(self) -> None:
        """It keeps its file open no longer."""
        self._descriptor.dropped()


class Place(NamedTuple):
    """Where a path leads: ``folder``, ``name`` in it (empty: the descriptor's own folder), ``node``: what has
    that name or None. ``slash``: the path says that it is a folder."""

    folder: Node
    name: str
    node: Node | None
    slash: bool


def find(fd: Descriptor, path: str) -> Place | str:
    """Where it leads from there, or WASI's code why it leads nowhere."""
    if fd.node.is_file:
        return "not-directory"
    if not path:
        return "no-entry"
    if "\0" in path:
        return "invalid"
    if path.startswith("/"):
        return "not-permitted"
    steps = [name for name in path.split("/") if name]
    names = [name for name in steps if name != "."]
    if len(names) > PATH_NAMES_MAX or any(len(name.encode()) > NAME_BYTES_MAX for name in names):
        return "name-too-long"
    way: list[tuple[Node, str, Node | None]] = [(fd.node, "", fd.node)]
    for name in steps:
        folder = way[-1][2]
        if folder is None:
            return "no-entry"
        if folder.is_file:
            return "not-directory"
        if name == ".":
            continue
        if name != "..":
            way.append((folder, name, folder.names.get(name)))
        elif len(way) == 1:
            return "not-permitted"
        else:
            way.pop()
    slash = path.endswith("/")
    found = way[-1][2]
    if slash and found is not None and found.is_file:
        return "not-directory"
    if found is None and not way[-1][0].named:
        return "no-entry"  # nothing comes to be in a folder that was removed
    return Place(*way[-1], slash)


def kind(node: Node) -> str:
    """WASI's descriptor-type."""
    return "regular-file" if node.is_file else "directory"

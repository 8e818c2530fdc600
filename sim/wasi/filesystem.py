"""wasi:filesystem over the folders that a component was granted.

Belongs here: the functions of descriptors, by their names; errors as WASI's codes. Never: what is durable
(files.py). There are no links, no devices and no owners. A path never leaves its folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twinloop.components.contract.contract import Result
from twinloop.components.wasi.interfaces import resource_number
from twinloop.sim.kernel.clock import S, Steps
from twinloop.sim.wasi.files import Files, Full, Node, Tree
from twinloop.sim.wasi.guest import OK, TRANSFER_BYTES_MAX, Guest, Handler
from twinloop.sim.wasi.streams import CLOSED, Input, Output, failed

OPEN_FILES_MAX = 10
"""descriptors that one component may have open at once, beside the folders it was granted; one more is
refused with ``insufficient-memory`` (limit ``open-files``)"""
NAME_BYTES_MAX = 255
"""of one name in a path (NAME_MAX of Linux's file systems)"""
PATH_NAMES_MAX = 32
"""names in one path, so that no tree is deeper than anybody can walk"""

Later = dict[str, Callable[..., Any]]


def refused(code: str) -> Result:
    """WASI's error-code."""
    return False, code


class Descriptor:
    """An open file or folder. ``granted``: one of the folders that are open from the beginning."""

    resource = resource_number("descriptor")

    def __init__(self, part: Filesystem, tree: Tree, node: Node, writes: bool, granted: bool = False) -> None:
        self._part, self.tree, self.node, self.writes, self._granted = part, tree, node, writes, granted

    def dropped(self) -> None:
        """It is closed."""
        if not self._granted:
            self._part.closed()


class _Listing:
    resource = resource_number("directory-entry-stream")

    def __init__(self, entries: list[tuple[str, str]]) -> None:
        self.entries = entries

    def dropped(self) -> None:
        """Whoever read it has read enough."""


class _Reader(Input):
    def __init__(self, descriptor: Descriptor, at: int) -> None:
        self._node, self._at = descriptor.node, at

    def read(self, count: int) -> Result:
        """What is there, from where the last read ended."""
        data = bytes((self._node.data or b"")[self._at : self._at + count])
        self._at += len(data)
        return (True, data) if data or not count else CLOSED


class _Writer(Output):
    def __init__(self, part: Filesystem, descriptor: Descriptor, at: int | None) -> None:
        self._part, self._descriptor, self._at = part, descriptor, at

    def write(self, data: bytes) -> Result:
        """Where the last write ended; or at the end of the file, whatever that is now."""
        at = self._descriptor.node.size_bytes if self._at is None else self._at
        result = self._part.write(self._descriptor, data, at)
        if not result[0]:
            return failed(f"write to a file: {result[1]}", result[1])
        if self._at is not None:
            self._at += len(data)
        return OK


class Filesystem:
    """wasi:filesystem of one component's place."""

    def __init__(self, guest: Guest, files: Files) -> None:
        self._guest, self._files = guest, files
        self._open = 0
        one = "filesystem/types#[method]descriptor."
        self.now: dict[str, Handler] = {
            "filesystem/preopens#get-directories": self._granted,
            "filesystem/types#[method]directory-entry-stream.read-directory-entry": self._entry,
            "filesystem/types#filesystem-error-code": lambda error: error.code,
            f"{one}read-via-stream": self._reader,
            f"{one}write-via-stream": self._writer,
            f"{one}append-via-stream": lambda fd: self._writer(fd, None),
            f"{one}advise": lambda fd, at, length, advice: OK,
            f"{one}get-flags": self._flags,
            f"{one}get-type": lambda fd: (True, _kind(fd.node)),
            f"{one}set-size": self._resize,
            f"{one}set-times": lambda fd, accessed, modified: self._set_times(
                fd, fd.node, accessed, modified
            ),
            f"{one}read": self._read,
            f"{one}write": self.write,
            f"{one}read-directory": self._list,
            f"{one}create-directory-at": self._make_folder,
            f"{one}stat": lambda fd: (True, self._stat(fd.node)),
            f"{one}stat-at": self._stat_at,
            f"{one}set-times-at": self._set_times_at,
            f"{one}link-at": lambda *_: refused("unsupported"),
            f"{one}open-at": self._open_at,
            f"{one}readlink-at": self._read_link,
            f"{one}remove-directory-at": self._remove_folder,
            f"{one}rename-at": self._rename,
            f"{one}symlink-at": lambda *_: refused("unsupported"),
            f"{one}unlink-file-at": self._unlink,
            f"{one}is-same-object": lambda fd, other: fd.node is other.node,
            f"{one}metadata-hash": lambda fd: (True, (fd.node.number, 0)),
            f"{one}metadata-hash-at": self._hash_at,
        }
        self.later: Later = {f"{one}sync": self._sync, f"{one}sync-data": self._sync}

    def closed(self) -> None:
        """One descriptor fewer is open."""
        self._open -= 1
        self._guest.machine.budget.files.give()

    # ---- paths -----------------------------------------------------------------------------------
    def _granted(self) -> list[tuple[Descriptor, str]]:
        return [
            (Descriptor(self, tree, tree.root, not tree.folder.read_only, granted=True), tree.folder.path)
            for tree in self._files.trees
        ]

    def _find(self, fd: Descriptor, path: str) -> tuple[Node, str, Node | None] | str:
        """(folder, name in it, what has that name or None) of a path, or the code why not; the name is empty
        for the descriptor's own folder."""
        if fd.node.is_file:
            return "not-directory"
        if not path:
            return "no-entry"
        if path.startswith("/"):
            return "not-permitted"
        names = [name for name in path.split("/") if name not in ("", ".")]
        if len(names) > PATH_NAMES_MAX or any(len(name.encode()) > NAME_BYTES_MAX for name in names):
            return "name-too-long"
        way: list[tuple[Node, str, Node | None]] = [(fd.node, "", fd.node)]
        for name in names:
            folder = way[-1][2]
            if folder is None:
                return "no-entry"
            if folder.is_file:
                return "not-directory"
            if name != "..":
                way.append((folder, name, folder.names.get(name)))
            elif len(way) == 1:
                return "not-permitted"
            else:
                way.pop()
        if path.endswith("/") and way[-1][2] is not None and way[-1][2].is_file:
            return "not-directory"
        return way[-1]

    def _open_at(self, fd: Descriptor, follow: Any, path: str, how: Any, flags: Any) -> Result:
        found = self._find(fd, path)
        if isinstance(found, str):
            return refused(found)
        folder, name, node = found
        if node is not None and {"create", "exclusive"} <= how:
            return refused("exist")
        writes = "write" in flags or "truncate" in how
        if not fd.writes and (writes or (node is None and "create" in how)):
            return refused("read-only")
        if node is None and "create" not in how:
            return refused("no-entry")
        if node is not None and "directory" in how and node.is_file:
            return refused("not-directory")
        if node is not None and writes and not node.is_file:
            return refused("is-directory")
        if not self._take():
            return refused("insufficient-memory")
        if node is None:
            try:
                node = fd.tree.add(folder, name, is_file=True)
            except Full as full:
                self.closed()
                return self._full(full)
            self._touch(folder, node)
        elif "truncate" in how:
            fd.tree.resize(node, 0)
            self._touch(node)
        writable = fd.writes and ("write" in flags or not node.is_file)
        return True, Descriptor(self, fd.tree, node, writable)

    def _take(self) -> bool:
        if self._open >= OPEN_FILES_MAX:
            self._guest.limit("open-files", OPEN_FILES_MAX)
            return False
        if not self._guest.machine.take_file():
            return False
        self._open += 1
        return True

    def _full(self, full: Full) -> Result:
        self._guest.limit("file-quota", 1)
        return refused("quota")

    def _touch(self, *nodes: Node) -> None:
        now_ns = self._guest.machine.clock.wall(self._guest.instant_ns())
        for node in nodes:
            node.modified_ns = now_ns

    # ---- content ---------------------------------------------------------------------------------
    def _reader(self, fd: Descriptor, at: int) -> Result:
        return (True, _Reader(fd, at)) if fd.node.is_file else refused("is-directory")

    def _writer(self, fd: Descriptor, at: int | None) -> Result:
        if not fd.node.is_file:
            return refused("is-directory")
        return (True, _Writer(self, fd, at)) if fd.writes else refused(_no_write(fd))

    def _read(self, fd: Descriptor, length: int, at: int) -> Result:
        if fd.node.data is None:
            return refused("is-directory")
        data = bytes(fd.node.data[at : at + min(length, TRANSFER_BYTES_MAX)])
        self._guest.carried(len(data))
        return True, (data, at + len(data) >= fd.node.size_bytes)

    def write(self, fd: Descriptor, data: bytes, at: int) -> Result:
        """``descriptor.write``: how many bytes were written."""
        if not fd.node.is_file:
            return refused("is-directory")
        if not fd.writes:
            return refused(_no_write(fd))
        if at + len(data) > fd.tree.folder.quota_bytes:
            return self._full(Full())
        self._guest.carried(len(data))
        try:
            fd.tree.write(fd.node, data, at)
        except Full as full:
            return self._full(full)
        self._touch(fd.node)
        return True, len(data)

    def _resize(self, fd: Descriptor, size: int) -> Result:
        if not fd.node.is_file:
            return refused("is-directory")
        if not fd.writes:
            return refused(_no_write(fd))
        try:
            fd.tree.resize(fd.node, size)
        except Full as full:
            return self._full(full)
        self._touch(fd.node)
        return OK

    def _sync(self, fd: Descriptor, until_ns: int) -> Steps:
        """Until the flash has it: the wait for its turn, then the time that its bytes take."""
        machine = self._guest.machine
        epoch, size_bytes = machine.epoch, fd.node.size_bytes
        durable = machine.on_flash()
        timer = machine.env.call_in(until_ns - machine.env.now, durable.fire, False)
        in_time = yield durable
        timer.cancel()
        takes_ns = size_bytes * S // machine.flash_bytes_per_s
        if takes_ns:
            yield min(takes_ns, max(0, until_ns - machine.env.now))
        if in_time is not False and machine.epoch == epoch and machine.env.now < until_ns:
            fd.tree.sync(fd.node)
        return OK

    # ---- folders ---------------------------------------------------------------------------------
    def _list(self, fd: Descriptor) -> Result:
        if fd.node.is_file:
            return refused("not-directory")
        return True, _Listing([(_kind(node), name) for name, node in sorted(fd.node.names.items())])

    def _entry(self, listing: _Listing) -> Result:
        return True, listing.entries.pop(0) if listing.entries else None

    def _make_folder(self, fd: Descriptor, path: str) -> Result:
        found = self._find(fd, path)
        if isinstance(found, str):
            return refused(found)
        folder, name, node = found
        if node is not None:
            return refused("exist")
        if not fd.writes:
            return refused("read-only")
        try:
            self._touch(folder, fd.tree.add(folder, name, is_file=False))
        except Full as full:
            return self._full(full)
        return OK

    def _unlink(self, fd: Descriptor, path: str) -> Result:
        return self._remove(fd, path, is_file=True)

    def _remove_folder(self, fd: Descriptor, path: str) -> Result:
        return self._remove(fd, path, is_file=False)

    def _remove(self, fd: Descriptor, path: str, is_file: bool) -> Result:
        found = self._find(fd, path)
        if isinstance(found, str):
            return refused(found)
        folder, name, node = found
        if node is None:
            return refused("no-entry")
        if not fd.writes:
            return refused("read-only")
        if not name:
            return refused("busy")
        if node.is_file != is_file:
            return refused("is-directory" if is_file else "not-directory")
        if node.names:
            return refused("not-empty")
        del folder.names[name]
        fd.tree.count()
        self._touch(folder)
        return OK

    def _rename(self, fd: Descriptor, path: str, to: Descriptor, to_path: str) -> Result:
        found, target = self._find(fd, path), self._find(to, to_path)
        if isinstance(found, str) or isinstance(target, str):
            return refused(found if isinstance(found, str) else str(target))
        (folder, name, node), (into, new, there) = found, target
        if node is None:
            return refused("no-entry")
        if not fd.writes or not to.writes:
            return refused("read-only")
        if fd.tree is not to.tree:
            return refused("cross-device")
        if not name or not new:
            return refused("busy")
        if not node.is_file and any(below is into for below in node.below()):
            return refused("invalid")
        if there is not None and there is not node:
            if there.is_file != node.is_file:
                return refused("not-directory" if there.is_file else "is-directory")
            if there.names:
                return refused("not-empty")
        del folder.names[name]
        into.names[new] = node
        fd.tree.count()
        self._touch(folder, into)
        return OK

    # ---- what is known of them -------------------------------------------------------------------
    def _flags(self, fd: Descriptor) -> Result:
        flags = ["read"]
        if fd.writes:
            flags.append("write" if fd.node.is_file else "mutate-directory")
        return True, flags

    def _stat(self, node: Node) -> tuple[Any, ...]:
        accessed, modified = divmod(node.accessed_ns, S), divmod(node.modified_ns, S)
        return _kind(node), 1, node.size_bytes, accessed, modified, modified

    def _stat_at(self, fd: Descriptor, follow: Any, path: str) -> Result:
        node = self._there(fd, path)
        return refused(node) if isinstance(node, str) else (True, self._stat(node))

    def _hash_at(self, fd: Descriptor, follow: Any, path: str) -> Result:
        node = self._there(fd, path)
        return refused(node) if isinstance(node, str) else (True, (node.number, 0))

    def _read_link(self, fd: Descriptor, path: str) -> Result:
        node = self._there(fd, path)
        return refused(node if isinstance(node, str) else "invalid")

    def _there(self, fd: Descriptor, path: str) -> Node | str:
        found = self._find(fd, path)
        if isinstance(found, str):
            return found
        return "no-entry" if found[2] is None else found[2]

    def _set_times_at(self, fd: Descriptor, follow: Any, path: str, accessed: Any, modified: Any) -> Result:
        node = self._there(fd, path)
        return refused(node) if isinstance(node, str) else self._set_times(fd, node, accessed, modified)

    def _set_times(self, fd: Descriptor, node: Node, accessed: Any, modified: Any) -> Result:
        if not fd.writes:
            return refused(_no_write(fd))
        now_ns = self._guest.machine.clock.wall(self._guest.instant_ns())
        node.accessed_ns = _time(accessed, now_ns, node.accessed_ns)
        node.modified_ns = _time(modified, now_ns, node.modified_ns)
        return OK


def _kind(node: Node) -> str:
    return "regular-file" if node.is_file else "directory"


def _no_write(fd: Descriptor) -> str:
    return "read-only" if fd.tree.folder.read_only else "bad-descriptor"


def _time(said: Any, now_ns: int, before_ns: int) -> int:
    """A new-timestamp as ns since 1970."""
    tag, value = said
    if tag == "timestamp":
        return int(value[0] * S + value[1])
    return now_ns if tag == "now" else before_ns

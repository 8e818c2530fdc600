"""wasi:filesystem over the folders that a component was granted.

Belongs here: the functions of descriptors, by their names; errors as WASI's codes. Never: what is durable
(files.py). There are no links, no devices and no owners.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twinloop.components.contract.contract import Result
from twinloop.sim.kernel.clock import S, Steps
from twinloop.sim.wasi.descriptors import Descriptor, Listing, Reader, Writer, find, kind
from twinloop.sim.wasi.files import Files, Full, Node, TooDeep
from twinloop.sim.wasi.guest import OK, TRANSFER_BYTES_MAX, Guest, Handler

OPEN_FILES_MAX = 10
"""descriptors that one component may have open at once, beside the folders it was granted, and as many
listings; one more is refused with ``insufficient-memory`` (limit ``open-files``)"""
_HASHES = 1 << 64

Later = dict[str, Callable[..., Any]]


def refused(code: str) -> Result:
    """WASI's error-code."""
    return False, code


class Filesystem:
    """wasi:filesystem of one component's place."""

    def __init__(self, guest: Guest, files: Files) -> None:
        self._guest, self._files = guest, files
        self._open = self._listings = 0
        one = "filesystem/types#[method]descriptor."
        self.now: dict[str, Handler] = {
            "filesystem/preopens#get-directories": self._granted,
            "filesystem/types#[method]directory-entry-stream.read-directory-entry": lambda listing: (
                True,
                listing.entry(),
            ),
            "filesystem/types#filesystem-error-code": lambda error: error.code,
            f"{one}read-via-stream": self._reader,
            f"{one}write-via-stream": self._writer,
            f"{one}append-via-stream": lambda fd: self._writer(fd, None),
            f"{one}advise": lambda fd, at, length, advice: OK,
            f"{one}get-flags": self._flags,
            f"{one}get-type": lambda fd: (True, fd.kind),
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
            f"{one}link-at": _no_links,
            f"{one}open-at": self._open_at,
            f"{one}readlink-at": self._read_link,
            f"{one}remove-directory-at": self._remove_folder,
            f"{one}rename-at": self._rename,
            f"{one}symlink-at": _no_links,
            f"{one}unlink-file-at": self._unlink,
            f"{one}is-same-object": lambda fd, other: fd.node is other.node,
            f"{one}metadata-hash": lambda fd: (True, _hash(fd.node)),
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
            (Descriptor(tree, tree.root, True, not tree.folder.read_only), tree.folder.path)
            for tree in self._files.trees
        ]

    def _open_at(self, fd: Descriptor, follow: Any, path: str, how: Any, flags: Any) -> Result:
        found = find(fd, path)
        if isinstance(found, str):
            return refused(found)
        folder, name, node, slash = found
        if "directory" in how and how & {"create", "exclusive", "truncate"}:
            return refused("invalid")
        if node is not None and {"create", "exclusive"} <= how:
            return refused("exist")
        if not fd.writes and (flags & {"write", "mutate-directory"} or how & {"create", "truncate"}):
            return refused("read-only")
        if node is None and "create" not in how:
            return refused("no-entry")
        if node is not None and "directory" in how and node.is_file:
            return refused("not-directory")
        if slash if node is None else not node.is_file and ("write" in flags or how & {"create", "truncate"}):
            return refused("is-directory")
        if not self._take():
            return refused("insufficient-memory")
        if node is None:
            try:
                node = fd.tree.add(folder, name, is_file=True)
            except Full:
                self.closed()
                return self._full()
            self._created(folder, node)
        elif "truncate" in how:
            fd.tree.resize(node, 0)
            self._touch(node)
        writes = fd.writes and ("write" in flags or not node.is_file)
        return True, Descriptor(fd.tree, node, "read" in flags or not node.is_file, writes, self.closed)

    def _take(self) -> bool:
        if self._open >= OPEN_FILES_MAX:
            self._guest.limit("open-files", 1)
            return False
        if not self._guest.machine.take_file():
            return False
        self._open += 1
        return True

    def _full(self) -> Result:
        self._guest.limit("file-quota", 1)
        return refused("quota")

    def _touch(self, *nodes: Node) -> None:
        now_ns = self._guest.machine.clock.wall(self._guest.instant_ns())
        for node in nodes:
            node.modified_ns = now_ns

    def _created(self, folder: Node, node: Node) -> None:
        self._touch(folder, node)
        node.accessed_ns = node.modified_ns

    # ---- content ---------------------------------------------------------------------------------
    def _reader(self, fd: Descriptor, at: int) -> Result:
        code = _no_read(fd)
        return refused(code) if code else (True, Reader(fd, at))

    def _writer(self, fd: Descriptor, at: int | None) -> Result:
        if not fd.node.is_file:
            return refused("is-directory")
        return (True, Writer(fd, at, self.write)) if fd.writes else refused(fd.no_write)

    def _read(self, fd: Descriptor, length: int, at: int) -> Result:
        code = _no_read(fd)
        if code or fd.node.data is None:
            return refused(code)
        data = bytes(fd.node.data[at : at + min(length, TRANSFER_BYTES_MAX)])
        self._guest.carried(len(data))
        return True, (data, at + len(data) >= fd.node.size_bytes)

    def write(self, fd: Descriptor, data: bytes, at: int) -> Result:
        """``descriptor.write``: how many bytes were written."""
        if not fd.node.is_file:
            return refused("is-directory")
        if not fd.writes:
            return refused(fd.no_write)
        if at + len(data) > fd.tree.folder.quota_bytes:
            return self._full()
        self._guest.carried(len(data))
        try:
            fd.tree.write(fd.node, data, at)
        except Full:
            return self._full()
        self._touch(fd.node)
        return True, len(data)

    def _resize(self, fd: Descriptor, size: int) -> Result:
        if not fd.node.is_file:
            return refused("is-directory")
        if not fd.writes:
            return refused(fd.no_write)
        try:
            fd.tree.resize(fd.node, size)
        except Full:
            return self._full()
        self._touch(fd.node)
        return OK

    def _sync(self, fd: Descriptor, until_ns: int) -> Steps:
        """Until the flash has it: the wait for its turn, then the time that its bytes take."""
        if not fd.writes:
            return OK  # WASI: it has no effect
        machine = self._guest.machine
        epoch, size_bytes = machine.epoch, fd.node.unsynced_bytes
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
        if self._listings >= OPEN_FILES_MAX:
            self._guest.limit("open-files", 1)
            return refused("insufficient-memory")
        self._listings += 1
        return True, Listing(fd.node, self._listed)

    def _listed(self) -> None:
        self._listings -= 1

    def _make_folder(self, fd: Descriptor, path: str) -> Result:
        found = find(fd, path)
        if isinstance(found, str):
            return refused(found)
        folder, name, node, _ = found
        if node is not None:
            return refused("exist")
        if not fd.writes:
            return refused("read-only")
        try:
            self._created(folder, fd.tree.add(folder, name, is_file=False))
        except Full:
            return self._full()
        except TooDeep:
            return refused("name-too-long")
        return OK

    def _unlink(self, fd: Descriptor, path: str) -> Result:
        return self._remove(fd, path, is_file=True)

    def _remove_folder(self, fd: Descriptor, path: str) -> Result:
        return self._remove(fd, path, is_file=False)

    def _remove(self, fd: Descriptor, path: str, is_file: bool) -> Result:
        found = find(fd, path)
        if isinstance(found, str):
            return refused(found)
        folder, name, node, _ = found
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
        fd.tree.remove(folder, name)
        self._touch(folder)
        return OK

    def _rename(self, fd: Descriptor, path: str, to: Descriptor, to_path: str) -> Result:
        found, target = find(fd, path), find(to, to_path)
        if isinstance(found, str) or isinstance(target, str):
            return refused(found if isinstance(found, str) else str(target))
        (folder, name, node, _), (into, new, there, slash) = found, target
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
        if slash and node.is_file:
            return refused("not-directory")
        if there is not None and there is not node:
            if there.is_file != node.is_file:
                return refused("not-directory" if there.is_file else "is-directory")
            if there.names:
                return refused("not-empty")
        try:
            fd.tree.move(folder, name, into, new)
        except TooDeep:
            return refused("name-too-long")
        self._touch(folder, into)
        return OK

    # ---- what is known of them -------------------------------------------------------------------
    def _flags(self, fd: Descriptor) -> Result:
        flags = ["read"] if fd.reads else []
        if fd.writes:
            flags.append("write" if fd.node.is_file else "mutate-directory")
        return True, flags

    def _stat(self, node: Node) -> tuple[Any, ...]:
        accessed, modified = divmod(node.accessed_ns, S), divmod(node.modified_ns, S)
        return kind(node), 1, node.size_bytes, accessed, modified, modified

    def _stat_at(self, fd: Descriptor, follow: Any, path: str) -> Result:
        node = self._there(fd, path)
        return refused(node) if isinstance(node, str) else (True, self._stat(node))

    def _hash_at(self, fd: Descriptor, follow: Any, path: str) -> Result:
        node = self._there(fd, path)
        return refused(node) if isinstance(node, str) else (True, _hash(node))

    def _read_link(self, fd: Descriptor, path: str) -> Result:
        node = self._there(fd, path)
        return refused(node if isinstance(node, str) else "invalid")

    def _there(self, fd: Descriptor, path: str) -> Node | str:
        found = find(fd, path)
        if isinstance(found, str):
            return found
        return "no-entry" if found[2] is None else found[2]

    def _set_times_at(self, fd: Descriptor, follow: Any, path: str, accessed: Any, modified: Any) -> Result:
        node = self._there(fd, path)
        return refused(node) if isinstance(node, str) else self._set_times(fd, node, accessed, modified)

    def _set_times(self, fd: Descriptor, node: Node, accessed: Any, modified: Any) -> Result:
        if fd.tree.folder.read_only:
            return refused("read-only")
        if any(tag == "timestamp" and value[1] >= S for tag, value in (accessed, modified)):
            return refused("invalid")
        now_ns = self._guest.machine.clock.wall(self._guest.instant_ns())
        node.accessed_ns = _time(accessed, now_ns, node.accessed_ns)
        node.modified_ns = _time(modified, now_ns, node.modified_ns)
        return OK


def _no_links(*arguments: Any) -> Result:
    return refused("unsupported")


def _no_read(fd: Descriptor) -> str:
    """The code why it can't be read; empty: it can."""
    return "is-directory" if not fd.node.is_file else "" if fd.reads else "bad-descriptor"


def _hash(node: Node) -> tuple[int, int]:
    """It changes when the file does: another object, another time, another size."""
    return node.number, (node.modified_ns * 31 + node.size_bytes) % _HASHES


def _time(said: Any, now_ns: int, before_ns: int) -> int:
    """A new-timestamp as ns since 1970."""
    tag, value = said
    if tag == "timestamp":
        return int(value[0] * S + value[1])
    return now_ns if tag == "now" else before_ns

"""The files of one component on a gateway's flash: folders that were granted, what is in them, and what a
power cut leaves.

Belongs here: nodes, names, quotas, what is durable. Never: WASI's functions (filesystem.py) or what a sync
costs. A file's content is durable when it has been synced, and so are its names; a folder's names when the
folder has been. Without power, each change that wasn't synced may have reached the flash, in part or not at
all: a stream of random numbers decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field

from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.model.wasi import ENTRY_BYTES, Folder


class Full(Exception):
    """The folder's quota has no room for it."""


@dataclass(slots=True)
class Node:
    """A file (``data``) or a folder (``names``). ``kept``: what the flash has for sure; None: nothing."""

    number: int
    data: bytearray | None = None
    names: dict[str, Node] = field(default_factory=dict)
    kept: bytes | None = None
    kept_names: dict[str, Node] = field(default_factory=dict)
    accessed_ns: int = 0
    modified_ns: int = 0

    @property
    def is_file(self) -> bool:
        """A file, not a folder."""
        return self.data is not None

    @property
    def size_bytes(self) -> int:
        """Of its content."""
        return 0 if self.data is None else len(self.data)

    def below(self) -> Iterator[Node]:
        """It, and everything in it."""
        yield self
        for _, node in sorted(self.names.items()):
            yield from node.below()


class Tree:
    """A granted folder with what is in it."""

    def __init__(self, folder: Folder, number: Callable[[], int]) -> None:
        self.folder, self.number = folder, number
        self.root = Node(number())
        for path, data in folder.content:
            node = self.root
            *parents, name = path.split("/")
            for parent in parents:
                node = node.names.setdefault(parent, Node(number()))
            node.names[name] = Node(number(), data=bytearray(data))
        self.used_bytes = 0
        """what counts against the quota now"""
        self.count()
        self.sync(self.root, whole=True)

    # ---- room ------------------------------------------------------------------------------------
    def count(self) -> None:
        """Reckon anew what counts against the quota."""
        self.used_bytes = sum(ENTRY_BYTES + node.size_bytes for node in self.root.below()) - ENTRY_BYTES

    def need(self, more_bytes: int) -> None:
        """So many more are used; raises Full when they don't fit."""
        if more_bytes > 0 and self.used_bytes + more_bytes > self.folder.quota_bytes:
            raise Full(f"{self.folder.path}: its quota is {self.folder.quota_bytes} bytes")
        self.used_bytes += more_bytes

    def add(self, parent: Node, name: str, is_file: bool) -> Node:
        """A new, empty file or folder; raises Full."""
        self.need(ENTRY_BYTES)
        node = parent.names[name] = Node(self.number(), data=bytearray() if is_file else None)
        return node

    def write(self, node: Node, data: bytes, at: int) -> None:
        """Write into a file, zeroes up to there if it is shorter; raises Full, and nothing is written."""
        content = node.data
        assert content is not None
        self.need(max(0, at + len(data) - len(content)))
        if at > len(content):
            content.extend(bytes(at - len(content)))
        content[at : at + len(data)] = data

    def resize(self, node: Node, size: int) -> None:
        """Cut a file, or fill it with zeroes; raises Full."""
        content = node.data
        assert content is not None
        self.need(size - len(content))
        if size < len(content):
            del content[size:]
        else:
            content.extend(bytes(size - len(content)))

    # ---- what is durable -------------------------------------------------------------------------
    def sync(self, node: Node, whole: bool = False) -> None:
        """What it is now is durable; ``whole``: with everything in it."""
        if node.data is not None:
            node.kept = bytes(node.data)
            for parent in self.root.below():  # a new file's name goes with its content
                for name, child in parent.names.items():
                    if child is node:
                        parent.kept_names[name] = node
        else:
            node.kept_names = dict(node.names)
        if whole:
            for child in list(node.below())[1:]:
                if child.data is not None:
                    child.kept = bytes(child.data)
                else:
                    child.kept_names = dict(child.names)

    def cut_power(self, coins: RandomStream) -> int:
        """Only what is durable is there, and perhaps some of the rest; how many files and folders aren't as
        they were."""
        changed = self._cut(self.root, coins, {})
        self.count()
        return changed

    def _cut(self, node: Node, coins: RandomStream, done: dict[int, None]) -> int:
        if node.number in done:
            return 0
        done[node.number] = None
        if node.data is not None:
            return self._tear(node, coins)
        changed = 0
        names: dict[str, Node] = {}
        for name in sorted({**node.names, **node.kept_names}):
            before, after = node.kept_names.get(name), node.names.get(name)
            found = before if before is after or coins.below(2) else after
            changed += found is not after
            if found is not None:
                names[name] = found
        node.names, node.kept_names = names, dict(names)
        for _, child in sorted(names.items()):
            changed += self._cut(child, coins, done)
        return changed

    @staticmethod
    def _tear(node: Node, coins: RandomStream) -> int:
        """Of a file: what was there, overwritten up to some byte by what was to be there."""
        kept, now = node.kept or b"", bytes(node.data or b"")
        if node.kept is not None and kept == now:
            return 0
        reached = coins.below(len(now) + 1)
        torn = now[:reached] + kept[reached:]
        node.data, node.kept = bytearray(torn), torn
        return int(torn != now)


class Files:
    """All granted folders of one component's place; they outlive its instances."""

    def __init__(self, folders: tuple[Folder, ...]) -> None:
        self._last = 0
        self.trees = [Tree(folder, self._next) for folder in folders]

    def _next(self) -> int:
        self._last += 1
        return self._last

    def sync_all(self) -> None:
        """An orderly end: everything is durable."""
        for tree in self.trees:
            tree.sync(tree.root, whole=True)

    def cut_power(self, coins: RandomStream) -> int:
        """As Tree.cut_power, of all."""
        return sum(tree.cut_power(coins) for tree in self.trees)

    def copy(self, other: Files) -> None:
        """Begin with what is in another's folders; those are the same."""
        self._last, self.trees = other._last, deepcopy(other.trees)
        for tree in self.trees:
            tree.number = self._next

    def content(self) -> Mapping[str, bytes]:
        """Every file's content, by its absolute path."""
        found: dict[str, bytes] = {}

        def walk(node: Node, path: str) -> None:
            if node.data is not None:
                found[path] = bytes(node.data)
            for name, child in sorted(node.names.items()):
                walk(child, f"{path}/{name}")

        for tree in self.trees:
            walk(tree.root, "" if tree.folder.path == "/" else tree.folder.path)
        return found

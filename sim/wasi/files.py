"""The files of one component on a gateway's flash: folders that were granted, what is in them, and what a
power cut leaves.

Belongs here: nodes, names, quotas, what is durable. Never: WASI's functions (filesystem.py) or what a sync
costs. A file's content is durable when it has been synced. Changes of names are kept as a journalling file
system keeps them: in order, each whole or not at all, and a sync of any file or folder writes all of them.
Without power, some of what wasn't synced may have reached the flash: the first so many changes of names, and
of a file's new content a part, all or nothing. A stream of random numbers decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace

from twinloop.records import dataclass
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.model.wasi import ENTRY_BYTES, Folder

JOURNAL_MAX = 1000
"""changes of names that wait for a sync; then they are written without one, as a kernel does after a while"""
DEPTH_MAX = 31
"""folders in folders: a path in it has at most one name more"""


class Full(Exception):
    """The folder's quota has no room for it."""


class TooDeep(Exception):
    """No folder may lie so deep."""


@dataclass(slots=True, eq=False)
class Node:
    """A file (``data``) or a folder (``names``). ``kept``: what the flash has for sure; None: nothing."""

    number: int
    data: bytearray | None = None
    names: dict[str, Node] = field(default_factory=dict)
    kept: bytes | None = None
    kept_names: dict[str, Node] = field(default_factory=dict)
    dirty_bytes: int = 0
    """written since its last sync"""
    depth: int = 0
    """of a folder: how many are above it"""
    named: bool = True
    opened: int = 0
    """by so many descriptors: its content stays while there is one, with a name or without"""
    order: list[str] | None = None
    """names as a listing has them; None: they have changed"""
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

    @property
    def unsynced_bytes(self) -> int:
        """Of its content: what a sync has to write."""
        return min(self.dirty_bytes, self.size_bytes)

    def below(self) -> Iterator[Node]:
        """It, and everything in it."""
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo.extend(node.names[name] for name in reversed(node.listing()))

    def listing(self) -> list[str]:
        """Its names, in order."""
        if self.order is None:
            self.order = sorted(self.names)
        return self.order


Edit = tuple[Node, str, Node | None]
"""(folder, name in it, what has that name now; None: nothing)"""


class Tree:
    """A granted folder with what is in it."""

    def __init__(self, folder: Folder, number: Callable[[], int]) -> None:
        self.folder, self.number = folder, number
        self.root = Node(number())
        self.used_bytes = 0
        """what counts against the quota now: what has a name, and what is still open without one"""
        self._journal: list[tuple[Edit, ...]] = []
        self._gone_bytes = 0
        """content that only the journal knows: bounded, too"""
        for path, data in folder.content:
            node = self.root
            *parents, name = path.split("/")
            for parent in parents:
                node = node.names.get(parent) or self._new(node, parent, is_file=False)
            self._new(node, name, is_file=True).data = bytearray(data)
            self.used_bytes += len(data)
        self.sync_all()

    # ---- room ------------------------------------------------------------------------------------
    def need(self, more_bytes: int) -> None:
        """So many more are used; raises Full when they don't fit."""
        if more_bytes > 0 and self.used_bytes + more_bytes > self.folder.quota_bytes:
            raise Full(f"{self.folder.path}: its quota is {self.folder.quota_bytes} bytes")
        self.used_bytes += more_bytes

    def count(self) -> None:
        """Reckon anew what is used, when nothing is open."""
        self.used_bytes = sum(ENTRY_BYTES + node.size_bytes for node in self.root.below()) - ENTRY_BYTES

    def opened(self, node: Node) -> None:
        """One descriptor more."""
        node.opened += 1

    def closed(self, node: Node) -> None:
        """One descriptor fewer."""
        node.opened -= 1
        self._let_go(node)

    def _let_go(self, node: Node) -> None:
        if not node.named and not node.opened:
            self.used_bytes -= ENTRY_BYTES + node.size_bytes
            self._gone_bytes += node.size_bytes

    # ---- names -----------------------------------------------------------------------------------
    def add(self, parent: Node, name: str, is_file: bool) -> Node:
        """A new, empty file or folder; raises Full, and TooDeep."""
        if not is_file and parent.depth >= DEPTH_MAX:
            raise TooDeep
        if self.used_bytes + ENTRY_BYTES > self.folder.quota_bytes:
            raise Full(f"{self.folder.path}: its quota is {self.folder.quota_bytes} bytes")
        return self._new(parent, name, is_file)

    def _new(self, parent: Node, name: str, is_file: bool) -> Node:
        node = Node(self.number(), data=bytearray() if is_file else None, depth=parent.depth + 1)
        self.used_bytes += ENTRY_BYTES
        self._change((parent, name, node))
        return node

    def remove(self, parent: Node, name: str) -> None:
        """That name is gone; its file with it, unless it is open."""
        node = parent.names[name]
        self._change((parent, name, None))
        node.named = False
        self._let_go(node)

    def move(self, parent: Node, name: str, into: Node, new: str) -> None:
        """It has another name, in one step, and what had that before is gone; raises TooDeep."""
        node, there = parent.names[name], into.names.get(new)
        if node is there:
            return
        below = [] if node.is_file else [one for one in node.below() if not one.is_file]
        deeper = into.depth + 1 - node.depth
        if any(one.depth + deeper > DEPTH_MAX for one in below):
            raise TooDeep
        for one in below:
            one.depth += deeper
        self._change((parent, name, None), (into, new, node))
        if there is not None:
            there.named = False
            self._let_go(there)

    def _change(self, *edits: Edit) -> None:
        for folder, name, node in edits:
            _edit(folder.names, name, node)
            folder.order = None
        self._journal.append(edits)
        if len(self._journal) > JOURNAL_MAX or self._gone_bytes > self.folder.quota_bytes:
            self._write_journal(len(self._journal))

    def _write_journal(self, count: int) -> None:
        for edits in self._journal[:count]:
            for folder, name, node in edits:
                _edit(folder.kept_names, name, node)
        self._journal.clear()
        self._gone_bytes = 0

    # ---- content ---------------------------------------------------------------------------------
    def write(self, node: Node, data: bytes, at: int) -> None:
        """Write into a file, zeroes up to there if it is shorter; raises Full, and nothing is written."""
        content = node.data
        assert content is not None
        if not data:
            return  # POSIX: a write of no bytes has no other effect
        self.need(max(0, at + len(data) - len(content)))
        if at > len(content):
            content.extend(bytes(at - len(content)))
        content[at : at + len(data)] = data
        node.dirty_bytes += len(data)

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
    def sync(self, node: Node) -> None:
        """What it is now is durable, and so is every name."""
        if node.data is not None:
            node.kept, node.dirty_bytes = bytes(node.data), 0
        self._write_journal(len(self._journal))

    def sync_all(self) -> None:
        """All that it is now is durable."""
        for node in self.root.below():
            self.sync(node)

    def cut_power(self, coins: RandomStream) -> int:
        """Only what is durable is there, and perhaps some of the rest; how many files and folders aren't as
        they were. Nobody has any of them open."""
        before = dict(_walk(self.root, ""))
        self._write_journal(coins.below(len(self._journal) + 1) if self._journal else 0)
        todo, torn = [self.root], 0
        while todo:
            node = todo.pop()
            if node.data is not None:
                torn += _tear(node, coins)
                continue
            node.names, node.order = dict(node.kept_names), None
            for name in node.listing():
                child = node.names[name]
                child.named, child.depth = True, node.depth + 1
                todo.append(child)
        self.count()
        after = dict(_walk(self.root, ""))
        return torn + sum(before.get(path) is not after.get(path) for path in {**before, **after})

    def copy(self, number: Callable[[], int]) -> Tree:
        """What is in it, and what of that is durable, for another place; nobody has it open there."""
        copies: dict[int, Node] = {}
        todo = [self.root]
        for edits in self._journal:
            todo += [node for at, _, child in edits for node in (at, child) if node is not None]
        while todo:
            node = todo.pop()
            if node.number not in copies:
                copies[node.number] = replace(
                    node, data=None if node.data is None else bytearray(node.data), order=None, opened=0
                )
                todo += [*node.names.values(), *node.kept_names.values()]
        for node in copies.values():
            node.names = {name: copies[child.number] for name, child in node.names.items()}
            node.kept_names = {name: copies[child.number] for name, child in node.kept_names.items()}
        tree = Tree(replace(self.folder, content=()), number)
        tree.folder, tree.root = self.folder, copies[self.root.number]
        tree._journal = [
            tuple((copies[at.number], name, node and copies[node.number]) for at, name, node in edits)
            for edits in self._journal
        ]
        tree._gone_bytes = self._gone_bytes
        tree.count()
        return tree


def _edit(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _walk(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """Everything below a folder, with its path."""
    todo = [(path, node)]
    while todo:
        path, node = todo.pop()
        for name in reversed(node.listing()):
            todo.append((f"{path}/{name}", node.names[name]))
        if path:
            yield path, node


def _tear(node: Node, coins: RandomStream) -> int:
    """Of a file: what was there, overwritten up to some byte by what was to be there; its new length comes
    with its last byte. Isn't it as it was?"""
    kept, now = node.kept or b"", bytes(node.data or b"")
    if node.kept is None or kept != now:
        reached = coins.below(len(now) + 1)
        torn = now if reached == len(now) else now[:reached] + kept[reached:]
        node.data, node.kept = bytearray(torn), torn
    node.dirty_bytes = 0
    return int(node.kept != now)


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
            tree.sync_all()

    def cut_power(self, coins: RandomStream) -> int:
        """As Tree.cut_power, of all."""
        return sum(tree.cut_power(coins) for tree in self.trees)

    def copy(self, other: Files) -> None:
        """Begin with what is in another's folders; those are the same."""
        self.trees = [tree.copy(self._next) for tree in other.trees]
        self._last = other._last

    def content(self) -> Mapping[str, bytes]:
        """Every file's content, by its absolute path."""
        found: dict[str, bytes] = {}
        for tree in self.trees:
            above = "" if tree.folder.path == "/" else tree.folder.path
            found.update(
                (f"{above}{path}", bytes(node.data))
                for path, node in _walk(tree.root, "")
                if node.data is not None
            )
        return found

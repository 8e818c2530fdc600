"""What sync, crashes and power cuts do to files: single cases by hand, and random ones against a model of dicts."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from tests.sim.wasi.place import DATA, Place
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.model.wasi import ENTRY_BYTES, Folder
from twinloop.sim.wasi.descriptors import Descriptor
from twinloop.sim.wasi.files import Files
from twinloop.sim.wasi.guest import OK

CUTS = 200
"""power cuts that one case is tried with: each possible end of it is met"""


def ends(*steps: Any) -> set[tuple[tuple[str, bytes], ...]]:
    """What is there after a power cut at the end of those steps, which are called with a place and its folder; of many."""
    found = set()
    for number in range(CUTS):
        place = Place(DATA)
        for step in steps:
            step(place, place.root())
        place.files.cut_power(RandomStream(number))
        found.add(tuple(place.files.content().items()))
    return found


def put(path: str, data: bytes, sync: bool = False) -> Any:
    return lambda place, root: place.put(root, path, data, sync)


def rename(path: str, to: str) -> Any:
    return lambda place, root: place.fd("rename-at", root, path, root, to)


def unlink(path: str) -> Any:
    return lambda place, root: place.fd("unlink-file-at", root, path)


def sync(place: Place, root: Descriptor) -> None:
    assert place.fd("sync", root) == OK


def test_what_was_synced_is_there() -> None:
    assert ends(put("f", b"abc", sync=True)) == {(("/data/f", b"abc"),)}
    assert ends(put("g", b"12"), put("f", b"abc", sync=True)) == {
        (("/data/f", b"abc"), ("/data/g", b"12"[:length])) for length in range(3)
    }, "of the other the name is, for it came before"


def test_a_new_file_may_be_gone_or_there_with_some_of_its_content() -> None:
    assert ends(put("f", b"ab")) == {(), *((("/data/f", b"ab"[:length]),) for length in range(3))}


def test_an_overwritten_file_has_its_old_length_or_is_as_new() -> None:
    possible = (b"old", b"Nld", b"Ne")
    assert ends(put("f", b"old", sync=True), put("f", b"Ne")) == {(("/data/f", data),) for data in possible}


def test_a_file_that_was_synced_is_never_lost_by_a_rename() -> None:
    assert ends(put("f", b"abc", sync=True), rename("f", "g")) == {
        (("/data/f", b"abc"),),
        (("/data/g", b"abc"),),
    }


def test_a_rename_over_another_file_leaves_the_old_one_or_the_new_one() -> None:
    """How programs replace a file: write another, sync it, rename it."""
    steps = put("f", b"old", sync=True), put("new", b"NEW", sync=True), rename("new", "f")
    assert ends(*steps) == {(("/data/f", b"old"), ("/data/new", b"NEW")), (("/data/f", b"NEW"),)}
    assert ends(*steps, sync) == {(("/data/f", b"NEW"),)}


def test_without_its_sync_a_rename_may_bring_an_empty_file() -> None:
    found = ends(put("f", b"old", sync=True), put("new", b"N"), rename("new", "f"))
    assert (("/data/f", b""),) in found
    assert (("/data/f", b"old"),) in found


def test_an_unlinked_file_may_be_there_again_until_its_folder_is_synced() -> None:
    steps = put("f", b"abc", sync=True), unlink("f")
    assert ends(*steps) == {(), (("/data/f", b"abc"),)}
    assert ends(*steps, sync) == {()}


def test_names_of_folders_come_in_order() -> None:
    def folders(place: Place, root: Descriptor) -> None:
        for path in ("d", "d/e"):
            assert place.fd("create-directory-at", root, path) == OK

    assert ends(folders, put("d/e/f", b"")) == {(), (("/data/d/e/f", b""),)}


def test_an_orderly_end_keeps_everything_and_a_copy_is_its_own() -> None:
    place = Place(DATA)
    place.put(place.root(), "f", b"abc")
    place.put(place.root(), "g", b"")
    other = Files((DATA,))
    other.copy(place.files)
    place.files.sync_all()
    assert place.files.cut_power(RandomStream(1)) == 0
    assert place.files.content() == {"/data/f": b"abc", "/data/g": b""}
    ends_of_copy = set()
    for number in range(CUTS):
        third = Files((DATA,))
        third.copy(other)
        third.cut_power(RandomStream(number))
        ends_of_copy.add(len(third.content()))
    assert ends_of_copy == {0, 1, 2}, "what wasn't synced isn't in the copy either"
    tree = other.trees[0]
    tree.write(tree.root.names["g"], b"xyz", 0)
    assert place.files.content()["/data/g"] == b""
    assert tree.used_bytes == 2 * ENTRY_BYTES + 6
    assert tree.number() > max(node.number for node in tree.root.below())


def test_what_changed_is_counted() -> None:
    counts = set()
    for number in range(CUTS):
        place = Place(DATA)
        place.put(place.root(), "kept", b"abc", sync=True)
        place.put(place.root(), "f", b"abc")
        counts.add(
            (place.files.cut_power(RandomStream(number)), place.files.content().get("/data/f") == b"abc")
        )
    assert counts == {(1, False), (0, True)}


def test_changes_of_names_dont_pile_up() -> None:
    """Without a sync, a kernel writes after a while: neither names nor content that is gone are kept for ever."""
    place = Place(DATA)
    for number in range(3000):
        place.put(place.root(), "f", bytes(number % 2000))
        place.fd("unlink-file-at", place.root(), "f")
    tree = place.files.trees[0]
    assert tree.used_bytes == 0
    assert len(tree._journal) <= 1000
    waits = {
        node.number: node.size_bytes for edits in tree._journal for _, _, node in edits if node is not None
    }
    assert sum(waits.values()) <= 2 * DATA.quota_bytes


# ---- random ones ---------------------------------------------------------------------------------
QUOTA = 1000
NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.one_of(
    NAMES, st.builds("{}/{}".format, NAMES, NAMES), st.builds("{}/{}/{}".format, NAMES, NAMES, NAMES)
)
Kinds = dict[str, int | None]
"""path -> number of a file; None: a folder"""


class Model(RuleBasedStateMachine):
    """``states``: what was named how, since the flash was last sure of it; ``now`` and ``kept`` of each file."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.place = Place(Folder("/data", read_only=False, quota_bytes=QUOTA))
        self.root = self.place.root()
        self.states: list[Kinds] = [{}]
        self.now: dict[int, bytes] = {}
        self.kept: dict[int, bytes] = {}
        self.open: list[tuple[Any, int]] = []

    @property
    def names(self) -> Kinds:
        """Now."""
        return self.states[-1]

    def used(self) -> int:
        """What counts: each name, and each file that is open without one."""
        files = {*(number for number in self.names.values() if number), *(number for _, number in self.open)}
        folders = sum(number is None for number in self.names.values())
        return ENTRY_BYTES * (folders + len(files)) + sum(len(self.now[number]) for number in files)

    def parent(self, path: str) -> str | None:
        """The code why nothing can be in the folder above it."""
        above, _, _ = path.rpartition("/")
        if not above:
            return None
        if above not in self.names:
            return self.parent(above) or "no-entry"
        return None if self.names[above] is None else "not-directory"

    def changed(self, names: Kinds) -> None:
        """One step of names."""
        self.states.append(names)

    def durable(self, number: int | None) -> None:
        """A sync: of a file its content, and all names."""
        if number:
            self.kept[number] = self.now[number]
        self.states = [self.names]

    def write(self, fd: Any, number: int, data: bytes, at: int) -> None:
        """By a descriptor."""
        before = self.now[number]
        after = before if not data else before.ljust(at, b"\0")[:at] + data + before[at + len(data) :]
        fits = self.used() + len(after) - len(before) <= QUOTA
        assert self.place.fd("write", fd, data, at) == ((True, len(data)) if fits else (False, "quota"))
        self.now[number] = after if fits else before

    @rule(path=PATHS, data=st.binary(max_size=6), at=st.integers(0, 400), sync=st.booleans())
    def write_file(self, path: str, data: bytes, at: int, sync: bool) -> None:
        """Create it if it isn't there."""
        fd = self.place.open(self.root, path, "create")
        code = self.parent(path)
        if code is None and path in self.names and self.names[path] is None:
            code = "is-directory"
        if code is None and path not in self.names and self.used() + ENTRY_BYTES > QUOTA:
            code = "quota"
        if code is not None:
            assert fd == code
            return
        if path not in self.names:
            self.now[fd.node.number] = b""
            self.changed({**self.names, path: fd.node.number})
        number = self.names[path]
        assert number
        self.write(fd, number, data, at)
        if sync:
            assert self.place.fd("sync", fd) == OK
            self.durable(number)
        fd.dropped()

    @rule(path=PATHS, size=st.integers(0, 400))
    def resize(self, path: str, size: int) -> None:
        """Of a file that is there."""
        number = self.names.get(path)
        if number is None:
            return
        fd = self.place.open(self.root, path)
        after = self.now[number][:size].ljust(size, b"\0")
        fits = size <= len(self.now[number]) or self.used() + size - len(self.now[number]) <= QUOTA
        assert self.place.fd("set-size", fd, size) == (OK if fits else (False, "quota"))
        if fits:
            self.now[number] = after
        fd.dropped()

    @rule(target=held, path=PATHS)
    def hold(self, path: str) -> Any:
        """Open it and leave it so."""
        number = self.names.get(path)
        if number is None or len(self.open) > 7:
            return multiple()
        self.open.append((self.place.open(self.root, path), number))
        return self.open[-1]

    @rule(one=held, data=st.binary(min_size=1, max_size=6), at=st.integers(0, 400))
    def write_held(self, one: tuple[Any, int], data: bytes, at: int) -> None:
        """With a name or without."""
        if one in self.open:
            self.write(*one, data, at)

    @rule(one=consumes(held))
    def close(self, one: tuple[Any, int]) -> None:
        """One of them."""
        if one in self.open:
            self.open.remove(one)
            one[0].dropped()

    @rule(path=PATHS)
    def make_folder(self, path: str) -> None:
        """Or the code why not."""
        full = "quota" if self.used() + ENTRY_BYTES > QUOTA else None
        code = self.parent(path) or ("exist" if path in self.names else full)
        assert self.place.fd("create-directory-at", self.root, path) == ((False, code) if code else OK)
        if code is None:
            self.changed({**self.names, path: None})

    @rule(path=PATHS, folder=st.booleans())
    def remove(self, path: str, folder: bool) -> None:
        """A file or a folder."""
        code = self.parent(path) or (None if path in self.names else "no-entry")
        if code is None and (self.names[path] is None) is not folder:
            code = "not-directory" if folder else "is-directory"
        if code is None and any(name.startswith(f"{path}/") for name in self.names):
            code = "not-empty"
        function = "remove-directory-at" if folder else "unlink-file-at"
        assert self.place.fd(function, self.root, path) == ((False, code) if code else OK)
        if code is None:
            self.changed({name: number for name, number in self.names.items() if name != path})

    @rule(path=PATHS, to=PATHS)
    def rename(self, path: str, to: str) -> None:
        """With all that is in it."""
        names = self.names
        code = self.parent(path) or (None if path in names else "no-entry") or self.parent(to)
        if code is None and names[path] is None and to.startswith(f"{path}/"):
            code = "invalid"
        if code is None and to in names and to != path:
            if (names[to] is None) is not (names[path] is None):
                code = "is-directory" if names[to] is None else "not-directory"
            elif any(name.startswith(f"{to}/") for name in names):
                code = "not-empty"
        result = self.place.fd("rename-at", self.root, path, self.root, to)
        if code is not None:
            assert not result[0]
            return
        assert result == OK
        left = {name: number for name, number in names.items() if name != to or to == path}
        moved = {
            to + name[len(path) :] if name == path or name.startswith(f"{path}/") else name: number
            for name, number in left.items()
        }
        self.changed(moved)

    @rule(path=PATHS)
    def sync(self, path: str) -> None:
        """Of a file or a folder that is there."""
        if path in self.names:
            flags = ("read",) if self.names[path] is None else ("read", "write")
            fd = self.place.open(self.root, path, flags=flags)
            assert self.place.fd("sync-data", fd) == OK
            self.durable(self.names[path])
            fd.dropped()

    @rule()
    def crash(self) -> None:
        """Of the component: what was open is closed, and that is all."""
        for fd, _ in self.open:
            fd.dropped()
        self.open.clear()

    @rule(seed=st.integers(0, 1 << 32))
    def cut_power(self, seed: int) -> None:
        """One of the states of names, and of each file in it one of its states."""
        self.crash()
        self.place.files.cut_power(RandomStream(seed))
        found = self.found()
        assert found in self.states
        for path, number in found.items():
            if number is None:
                continue
            data = self.place.get(self.root, path)
            now, kept = self.now[number], self.kept.get(number, b"")
            assert data == now or any(data == now[:reached] + kept[reached:] for reached in range(len(now)))
            self.now[number] = self.kept[number] = data
        self.states = [found]

    @rule()
    def shut_down(self) -> None:
        """In order."""
        self.crash()
        self.place.files.sync_all()
        self.kept = dict(self.now)
        self.states = [self.names]

    def found(self) -> Kinds:
        """What is there, by listings."""
        found: Kinds = {}
        todo = [""]
        while todo:
            above = todo.pop()
            fd = self.place.open(self.root, above or ".", flags=("read",))
            for kind, name in self.place.names(fd):
                path = f"{above}/{name}".lstrip("/")
                number = self.place.fd("metadata-hash-at", self.root, frozenset(), path)[1][0]
                found[path] = None if kind == "directory" else number
                todo += [path] if kind == "directory" else []
            fd.dropped()
        return found

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        """Names, content, room."""
        assert self.found() == self.names
        expected = {f"/data/{path}": self.now[number] for path, number in self.names.items() if number}
        assert self.place.files.content() == expected
        assert self.place.files.trees[0].used_bytes == self.used()
        assert self.place.machine.budget.files.open == len(self.open)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

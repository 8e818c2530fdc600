"""wasi:filesystem's functions, held against what WASI's WIT says of them, and POSIX where it refers to that."""

from __future__ import annotations

import pytest

from tests.sim.wasi.place import DATA, ETC, Place
from twinloop.sim.model.wasi import ENTRY_BYTES, Folder
from twinloop.sim.wasi.descriptors import NAME_BYTES_MAX, PATH_NAMES_MAX
from twinloop.sim.wasi.filesystem import OPEN_FILES_MAX
from twinloop.sim.wasi.guest import OK

OUT = "io/streams#[method]output-stream."
INTO = "io/streams#[method]input-stream."


def no(code: str) -> tuple[bool, str]:
    return False, code


# ---- paths ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("", "no-entry"), ("nothing", "no-entry"), ("nothing/", "no-entry"), ("nothing/x", "no-entry"), ("nothing/..", "no-entry"),
        ("..", "not-permitted"), ("../data/f", "not-permitted"), ("d/../../f", "not-permitted"), ("d/../..", "not-permitted"),
        ("/", "not-permitted"), ("/data/f", "not-permitted"), ("//f", "not-permitted"),
        ("f/", "not-directory"), ("f/.", "not-directory"), ("f/..", "not-directory"), ("f/x", "not-directory"),
        ("f\0", "invalid"), ("é" * 128, "name-too-long"), ("./" + "a/" * 33, "name-too-long"),
    ],
)  # fmt: skip
def test_a_path_that_leads_nowhere(path: str, code: str) -> None:
    place = Place(DATA)
    root = place.root()
    place.put(root, "f", b"1")
    place.fd("create-directory-at", root, "d")
    assert place.open(root, path, flags=("read",)) == code
    assert place.fd("stat-at", root, frozenset(), path) == no(code)
    assert place.fd("unlink-file-at", root, path) == no(code)
    assert place.fd("rename-at", root, path, root, "elsewhere") == no(code)


@pytest.mark.parametrize("path", ["f", "./f", "d/../f", "d//..//f", "d/./e/../../f", "./././f"])
def test_paths_that_lead_to_one_file(path: str) -> None:
    place = Place(DATA)
    root = place.root()
    place.put(root, "f", b"1")
    place.fd("create-directory-at", root, "d")
    place.fd("create-directory-at", root, "d/e")
    assert place.get(root, path) == b"1"


def test_a_folder_that_is_no_root_isnt_left_upwards_either() -> None:
    place = Place(DATA)
    place.fd("create-directory-at", place.root(), "d")
    place.put(place.root(), "f", b"1")
    assert place.open(place.open(place.root(), "d", flags=("read",)), "../f") == "not-permitted"


def test_names_as_long_as_linux_has_them() -> None:
    place = Place(DATA)
    assert not isinstance(place.open(place.root(), "x" * NAME_BYTES_MAX, "create"), str)
    assert place.open(place.root(), "x" * (NAME_BYTES_MAX + 1), "create") == "name-too-long"


def test_no_tree_grows_deeper_than_a_path_reaches() -> None:
    """By a folder's own descriptor, too, and by a rename of a folder with others in it."""
    place = Place(Folder("/data", read_only=False, quota_bytes=1 << 20))
    at, depth = place.root(), 0
    while (made := place.fd("create-directory-at", at, "d")) == OK:
        below = place.open(at, "d", flags=("read",))
        at.dropped()
        at, depth = below, depth + 1
    assert made == no("name-too-long")
    assert depth == PATH_NAMES_MAX - 1
    root = place.root()
    assert place.fd("create-directory-at", root, "two") == OK
    assert place.fd("create-directory-at", root, "two/deep") == OK
    at = place.open(root, "/".join(["d"] * (depth - 1)), flags=("read",))
    assert place.fd("rename-at", root, "two", at, "two") == no("name-too-long")
    assert place.fd("rename-at", root, "two/deep", at, "deep") == OK
    place.put(root, "d/" * depth + "f", b"1")


# ---- opening -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "how", "flags", "code"),
    [
        ("new", ("create", "directory"), ("read",), "invalid"), ("d", ("directory", "truncate"), ("read",), "invalid"),
        ("f", ("create", "exclusive"), ("read", "write"), "exist"), ("d", ("create", "exclusive"), ("read",), "exist"),
        ("f", ("directory",), ("read",), "not-directory"), ("d", (), ("read", "write"), "is-directory"),
        ("d", ("truncate",), ("write",), "is-directory"), ("d", ("create",), ("read",), "is-directory"),
        ("new/", ("create",), ("read", "write"), "is-directory"), ("new", (), ("read", "write"), "no-entry"),
        ("d/e/new", ("create",), ("write",), "no-entry"),
    ],
)  # fmt: skip
def test_what_open_refuses(path: str, how: tuple[str, ...], flags: tuple[str, ...], code: str) -> None:
    """As openat(2): EINVAL, EEXIST, ENOTDIR, EISDIR, ENOENT; and nothing has come of it."""
    place = Place(DATA)
    root = place.root()
    place.put(root, "f", b"1")
    place.fd("create-directory-at", root, "d")
    assert place.open(root, path, *how, flags=flags) == code
    assert place.names(root) == [("directory", "d"), ("regular-file", "f")]
    assert place.get(root, "f") == b"1"


def test_a_descriptor_does_what_it_was_opened_for() -> None:
    place = Place(DATA)
    place.put(place.root(), "f", b"12345")
    reads, writes = (place.open(place.root(), "f", flags=(flag,)) for flag in ("read", "write"))
    for function, arguments in (
        ("write", (b"x", 0)),
        ("set-size", (0,)),
        ("write-via-stream", (0,)),
        ("append-via-stream", ()),
    ):
        assert place.fd(function, reads, *arguments) == no("bad-descriptor")
    for function, arguments in (("read", (1, 0)), ("read-via-stream", (0,))):
        assert place.fd(function, writes, *arguments) == no("bad-descriptor")
    assert place.fd("get-flags", reads) == (True, ["read"])
    assert place.fd("get-flags", writes) == (True, ["write"])
    assert place.fd("get-flags", place.root()) == (True, ["read", "mutate-directory"])
    assert place.get(place.root(), "f") == b"12345"


def test_what_a_read_only_folder_refuses() -> None:
    place = Place(ETC, DATA)
    etc, data = place.root(0), place.root(1)
    place.put(data, "f", b"1")
    read_only = no("read-only")
    for how, flags in (
        ((), ("write",)),
        (("truncate",), ("read",)),
        (("create",), ("read",)),
        ((), ("mutate-directory",)),
    ):
        assert place.open(etc, "motd", *how, flags=flags) == "read-only"
    assert place.open(etc, "new", "create") == "read-only"
    assert place.fd("create-directory-at", etc, "new") == read_only
    assert place.fd("unlink-file-at", etc, "motd") == read_only
    assert place.fd("remove-directory-at", etc, "ssl") == read_only
    assert place.fd("rename-at", etc, "motd", etc, "other") == read_only
    assert place.fd("rename-at", etc, "motd", data, "other") == read_only
    assert place.fd("rename-at", data, "f", etc, "other") == read_only
    assert place.fd("set-times-at", etc, frozenset(), "motd", ("now", None), ("now", None)) == read_only
    fd = place.open(etc, "motd", flags=("read",))
    for function, arguments in (
        ("write", (b"x", 0)),
        ("set-size", (0,)),
        ("append-via-stream", ()),
        ("set-times", (("now", None),) * 2),
    ):
        assert place.fd(function, fd, *arguments) == read_only
    below = place.open(etc, "ssl", flags=("read",))
    assert place.open(below, "ca", flags=("write",)) == "read-only"
    assert place.fd("get-flags", etc) == (True, ["read"])
    assert place.files.content() == {"/data/f": b"1", "/etc/motd": b"be kind\n", "/etc/ssl/ca": b"x"}


def test_ten_are_open_at_once_streams_and_all() -> None:
    place = Place(DATA)
    root = place.root()
    held = [place.open(root, f"f{number}", "create") for number in range(OPEN_FILES_MAX)]
    assert place.open(root, "f0", flags=("read",)) == "insufficient-memory"
    assert place.open(root, "one-more", "create") == "insufficient-memory"
    assert place.limits == {"open-files": 2}
    assert "one-more" not in dict(map(reversed, place.names(root)))
    _, stream = place.fd("append-via-stream", held[0])
    held[0].dropped()
    assert place.open(root, "f0") == "insufficient-memory", "its stream keeps it open"
    stream.dropped()
    assert place.machine.budget.files.open == OPEN_FILES_MAX - 1
    held[0] = place.open(root, "f0")
    for fd in held:
        fd.dropped()
    assert place.machine.budget.files.open == 0


def test_listings_are_bounded_too() -> None:
    place = Place(DATA)
    held = [place.fd("read-directory", place.root())[1] for _ in range(OPEN_FILES_MAX)]
    assert place.fd("read-directory", place.root()) == no("insufficient-memory")
    held.pop().dropped()
    assert place.fd("read-directory", place.root())[0]


# ---- names ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("f", "d", "is-directory"), ("d", "f", "not-directory"), ("e", "d", "not-empty"), ("d", "d/x/y", "invalid"), ("d", "d/y", "invalid"),
        ("f", "new/", "not-directory"), ("d", ".", "busy"), (".", "new", "busy"), ("nothing", "new", "no-entry"), ("f", "no/where", "no-entry"),
    ],
)  # fmt: skip
def test_what_rename_refuses(old: str, new: str, code: str) -> None:
    """As renameat(2): EISDIR, ENOTDIR, ENOTEMPTY, EINVAL, EBUSY, ENOENT."""
    place = Place(DATA)
    root = place.root()
    place.put(root, "f", b"1")
    for name in ("d", "d/x", "e"):
        place.fd("create-directory-at", root, name)
    before = place.names(root)
    assert place.fd("rename-at", root, old, root, new) == no(code)
    assert place.names(root) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [("f", "f"), ("f", "g"), ("f", "new"), ("d", "e"), ("d", "d"), ("d", "new/"), ("d/x", "x")],
)
def test_what_rename_does(old: str, new: str) -> None:
    place = Place(DATA)
    root = place.root()
    place.put(root, "f", b"f")
    place.put(root, "g", b"g")
    for name in ("d", "d/x", "e"):
        place.fd("create-directory-at", root, name)
    hash_of = place.fd("metadata-hash-at", root, frozenset(), old)
    count = sum(1 for _ in place.files.trees[0].root.below())
    assert place.fd("rename-at", root, old, root, new) == OK
    assert place.fd("metadata-hash-at", root, frozenset(), new) == hash_of
    assert (place.fd("stat-at", root, frozenset(), old)[0]) == (old == new)
    replaced = old != new and new in ("g", "e")
    assert sum(1 for _ in place.files.trees[0].root.below()) == count - replaced
    assert place.files.trees[0].used_bytes == (count - replaced - 1) * ENTRY_BYTES + 2 - (new == "g")


def test_a_rename_stays_in_its_folder() -> None:
    place = Place(DATA, Folder("/log", read_only=False, quota_bytes=4096))
    place.put(place.root(0), "f", b"1")
    assert place.fd("rename-at", place.root(0), "f", place.root(1), "f") == no("cross-device")


def test_folders_and_files_are_removed_each_by_its_function() -> None:
    place = Place(DATA)
    root = place.root()
    place.fd("create-directory-at", root, "d/")
    place.put(root, "d/f", b"1")
    assert place.fd("create-directory-at", root, "d") == no("exist")
    assert place.fd("unlink-file-at", root, "d") == no("is-directory")
    assert place.fd("remove-directory-at", root, "d") == no("not-empty")
    assert place.fd("remove-directory-at", root, "d/f") == no("not-directory")
    assert place.fd("remove-directory-at", root, ".") == no("busy")
    below = place.open(root, "d", flags=("read",))
    assert place.fd("unlink-file-at", root, "d/f") == OK
    assert place.fd("remove-directory-at", root, "d") == OK
    assert place.names(root) == []
    assert place.names(below) == []


def test_nothing_is_made_in_a_folder_that_is_gone() -> None:
    """As in POSIX: ENOENT; else it would take room that nothing gives back."""
    place = Place(DATA)
    root = place.root()
    place.fd("create-directory-at", root, "d")
    below = place.open(root, "d", flags=("read",))
    place.put(root, "f", b"1")
    place.fd("remove-directory-at", root, "d")
    assert place.open(below, "f", "create") == "no-entry"
    assert place.fd("create-directory-at", below, "e") == no("no-entry")
    assert place.fd("rename-at", root, "f", below, "f") == no("no-entry")
    below.dropped()
    assert place.files.trees[0].used_bytes == ENTRY_BYTES + 1


def test_a_listing_is_in_the_order_of_names_and_shows_what_was_there_when_it_began() -> None:
    place = Place(DATA)
    root = place.root()
    for name in ("b", "a", "é", "Z", "a1"):
        place.put(root, name, b"")
    place.fd("create-directory-at", root, "c")
    entry = "filesystem/types#[method]directory-entry-stream.read-directory-entry"
    listing = place.fd("read-directory", root)[1]
    assert place.call(entry, listing) == (True, ("regular-file", "Z"))
    place.fd("unlink-file-at", root, "a1")
    place.put(root, "aa", b"")
    rest = [place.call(entry, listing)[1] for _ in range(6)]
    assert rest == [
        ("regular-file", "a"),
        ("regular-file", "b"),
        ("directory", "c"),
        ("regular-file", "é"),
        None,
        None,
    ]
    assert [name for _, name in place.names(root)] == ["Z", "a", "aa", "b", "c", "é"]
    assert place.fd("read-directory", place.open(root, "a")) == no("not-directory")

"""Content of files, quotas, times and sync, held against what WASI's WIT says, and POSIX where it refers to that."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.wasi.place import DATA, Place
from twinloop.components.contract.errors import GuestEnded
from twinloop.sim.kernel.clock import MS, S, Task
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.model.wasi import ENTRY_BYTES, Folder
from twinloop.sim.wasi.guest import OK, TRANSFER_BYTES_MAX

OUT = "io/streams#[method]output-stream."
INTO = "io/streams#[method]input-stream."


def no(code: str) -> tuple[bool, str]:
    return False, code


# ---- content -------------------------------------------------------------------------------------
def test_pwrite_and_pread() -> None:
    """Past the end: zeroes between; no bytes: no effect (pwrite(2)); read: what is there, and whether that is all."""
    place = Place(DATA)
    fd = place.open(place.root(), "f", "create")
    assert place.fd("write", fd, b"ab", 3) == (True, 2)
    assert place.fd("write", fd, b"", 100) == (True, 0)
    assert place.fd("read", fd, 100, 0) == (True, (b"\0\0\0ab", True))
    assert place.fd("read", fd, 4, 0) == (True, (b"\0\0\0a", False))
    assert place.fd("read", fd, 2, 3) == (True, (b"ab", True))
    assert place.fd("read", fd, 2, (1 << 64) - 1) == (True, (b"", True))
    assert place.fd("write", fd, b"X", 4) == (True, 1)
    assert place.fd("set-size", fd, 4) == OK
    assert place.fd("set-size", fd, 6) == OK
    assert place.fd("read", fd, 100, 0) == (True, (b"\0\0\0a\0\0", True))


def test_one_read_carries_no_more_than_a_guest_can_take() -> None:
    place = Place(Folder("/data", read_only=False, quota_bytes=1 << 20))
    place.put(place.root(), "f", bytes(TRANSFER_BYTES_MAX + 1))
    fd = place.open(place.root(), "f")
    before = place.carried_bytes
    assert place.fd("read", fd, 1 << 63, 0) == (True, (bytes(TRANSFER_BYTES_MAX), False))
    assert place.carried_bytes == before + TRANSFER_BYTES_MAX


def test_streams_of_one_file_dont_interfere_and_an_append_is_always_at_the_end() -> None:
    place = Place(DATA)
    fd, other = (place.open(place.root(), "f", "create") for _ in range(2))
    appends, writes, reads = (
        place.fd(f"{kind}-via-stream", one, *arguments)[1]
        for kind, one, arguments in (("append", fd, ()), ("write", other, (1,)), ("read", fd, (0,)))
    )
    assert place.call(f"{OUT}write", appends, b"aaaa") == OK
    assert place.call(f"{OUT}write", writes, b"b") == OK
    assert place.call(f"{INTO}read", reads, 3) == (True, b"aba")
    assert place.fd("write", other, b"cc", 4) == (True, 2)
    assert place.call(f"{OUT}write", appends, b"a") == OK
    assert place.call(f"{OUT}write", writes, b"b") == OK
    assert place.call(f"{INTO}read", reads, 100) == (True, b"acca")
    assert place.call(f"{INTO}read", reads, 100) == (False, ("closed", None))
    assert place.call(f"{INTO}read", reads, 0) == (True, b"")
    assert place.get(place.root(), "f") == b"abbacca"


def test_a_stream_whose_write_failed_is_closed() -> None:
    """WASI's stream-error: "After this, the stream will be closed"."""
    place = Place(DATA)
    fd = place.open(place.root(), "f", "create")
    stream = place.fd("write-via-stream", fd, 4096)[1]
    failed, (tag, error) = place.call(f"{OUT}blocking-write-and-flush", stream, b"x")
    assert (failed, tag) == (False, "last-operation-failed")
    assert place.call("filesystem/types#filesystem-error-code", error) == "quota"
    assert "quota" in place.call("io/error#[method]error.to-debug-string", error)
    closed = (False, ("closed", None))
    for name, arguments in (
        ("check-write", ()),
        ("write", (b"x",)),
        ("flush", ()),
        ("blocking-flush", ()),
        ("blocking-write-and-flush", (b"x",)),
    ):
        assert place.call(f"{OUT}{name}", stream, *arguments) == closed


@pytest.mark.parametrize(
    ("name", "argument"),
    [("write", bytes(TRANSFER_BYTES_MAX + 1)), ("write-zeroes", TRANSFER_BYTES_MAX + 1), ("blocking-write-and-flush", bytes(4097)), ("blocking-write-zeroes-and-flush", 4097)],
)  # fmt: skip
def test_writing_more_than_is_permitted_traps(name: str, argument: Any) -> None:
    place = Place(Folder("/data", read_only=False, quota_bytes=1 << 20))
    stream = place.fd("append-via-stream", place.open(place.root(), "f", "create"))[1]
    with pytest.raises(GuestEnded, match=rf"^{name} of "):
        place.call(f"{OUT}{name}", stream, argument)
    assert place.get(place.root(), "f") == b""


def test_splice_and_zeroes() -> None:
    place = Place(DATA)
    place.put(place.root(), "from", b"0123456789")
    source = place.fd("read-via-stream", place.open(place.root(), "from"), 2)[1]
    sink = place.fd("append-via-stream", place.open(place.root(), "to", "create"))[1]
    assert place.call(f"{OUT}splice", sink, source, 3) == (True, 3)
    assert place.call(f"{INTO}skip", source, 2) == (True, 2)
    assert place.call(f"{OUT}blocking-write-zeroes-and-flush", sink, 2) == OK
    assert place.call(f"{OUT}blocking-splice", sink, source, 100) == (True, 3)
    assert place.call(f"{OUT}blocking-splice", sink, source, 100) == (False, ("closed", None))
    assert place.get(place.root(), "to") == b"234" + bytes(2) + b"789"


# ---- quota ---------------------------------------------------------------------------------------
def test_the_quota_counts_holes_and_empty_files() -> None:
    place = Place(Folder("/data", read_only=False, quota_bytes=1000))
    fd = place.open(place.root(), "f", "create")
    assert place.fd("write", fd, b"x", 1000 - ENTRY_BYTES) == no("quota")
    assert place.fd("write", fd, b"x", (1 << 64) - 1) == no("quota")
    assert place.fd("set-size", fd, 1000 - ENTRY_BYTES + 1) == no("quota")
    assert place.fd("set-size", fd, (1 << 64) - 1) == no("quota")
    assert place.fd("set-size", fd, 1000 - ENTRY_BYTES) == OK
    assert place.open(place.root(), "g", "create") == "quota"
    assert place.fd("create-directory-at", place.root(), "g") == no("quota")
    assert place.limits == {"file-quota": 6}
    assert place.machine.budget.files.open == 1
    assert place.fd("set-size", fd, 0) == OK
    made = [place.open(place.root(), f"e{number}", "create") for number in range(8)]
    assert not any(isinstance(one, str) for one in made)
    assert (1000 - ENTRY_BYTES) // ENTRY_BYTES - 6 == 8


def test_what_is_unlinked_counts_as_long_as_it_is_open() -> None:
    place = Place(Folder("/data", read_only=False, quota_bytes=1000))
    root = place.root()
    held = []
    for _ in range(3):
        fd = place.open(root, "f", "create")
        place.fd("set-size", fd, 200)
        assert place.fd("unlink-file-at", root, "f") == OK
        held.append(fd)
    assert place.files.trees[0].used_bytes == 3 * (200 + ENTRY_BYTES)
    assert place.fd("set-size", held[0], 600) == no("quota")
    assert place.fd("read", held[0], 300, 0) == (True, (bytes(200), True)), "it can still be read"
    assert place.fd("set-size", held[1], 0) == OK
    for fd in held:
        fd.dropped()
    assert place.files.trees[0].used_bytes == 0


def test_what_a_rename_replaces_is_gone_when_nobody_has_it_open() -> None:
    place = Place(DATA)
    root = place.root()
    place.put(root, "a", b"new")
    place.put(root, "b", b"older")
    old = place.open(root, "b")
    assert place.fd("rename-at", root, "a", root, "b") == OK
    assert place.fd("read", old, 9, 0) == (True, (b"older", True))
    assert place.files.trees[0].used_bytes == 2 * ENTRY_BYTES + 8
    old.dropped()
    assert place.files.trees[0].used_bytes == ENTRY_BYTES + 3
    assert place.files.content() == {"/data/b": b"new"}


# ---- what is known of them -----------------------------------------------------------------------
def test_stat_and_times() -> None:
    place = Place(DATA)
    root = place.root()
    place.env.run(2 * S + 5)
    fd = place.open(root, "f", "create")
    created = divmod(EPOCH_NS + 2 * S + 5, S)
    assert place.fd("stat", fd) == (True, ("regular-file", 1, 0, created, created, created))
    place.env.run(3 * S)
    place.fd("write", fd, b"12", 0)
    written = divmod(EPOCH_NS + 3 * S, S)
    assert place.fd("stat", fd)[1][2:5] == (2, created, written)
    place.env.run(4 * S)
    place.fd("read", fd, 9, 0)
    assert place.fd("stat", fd)[1][2:5] == (2, created, written)
    assert place.fd("set-times", fd, ("timestamp", (7, 8)), ("no-change", None)) == OK
    assert place.fd("stat-at", root, frozenset(), "f")[1][3:5] == ((7, 8), written)
    assert place.fd("set-times-at", root, frozenset(), "f", ("no-change", None), ("now", None)) == OK
    assert place.fd("stat", fd)[1][3:5] == ((7, 8), divmod(EPOCH_NS + 4 * S, S))
    last = ((1 << 64) - 1, S - 1)
    assert place.fd("set-times", fd, ("timestamp", last), ("timestamp", last)) == OK
    assert place.fd("set-times", fd, ("timestamp", (0, S)), ("now", None)) == no("invalid")
    assert place.fd("stat", fd)[1][3:5] == (last, last)
    kind, *_ = place.fd("stat-at", root, frozenset(), ".")[1]
    assert kind == "directory"


def test_the_metadata_hash_is_the_files_own_and_changes_with_it() -> None:
    place = Place(DATA)
    root = place.root()
    place.put(root, "f", b"1")
    place.put(root, "g", b"1")
    fd = place.open(root, "f")
    first = place.fd("metadata-hash", fd)
    assert place.fd("metadata-hash-at", root, frozenset(), "f") == first
    assert place.fd("metadata-hash-at", root, frozenset(), "g") != first
    place.fd("read", fd, 1, 0)
    assert place.fd("metadata-hash", fd) == first
    place.fd("write", fd, b"22", 0)
    longer = place.fd("metadata-hash", fd)
    place.env.run(1)
    place.fd("write", fd, b"33", 0)
    assert len({str(one) for one in (first, longer, place.fd("metadata-hash", fd))}) == 3
    assert place.fd("is-same-object", fd, place.open(root, "f")) is True
    assert place.fd("is-same-object", fd, place.open(root, "g")) is False


def test_there_are_no_links() -> None:
    place = Place(DATA)
    root = place.root()
    place.put(root, "f", b"1")
    assert place.fd("link-at", root, frozenset(), "f", root, "g") == no("unsupported")
    assert place.fd("symlink-at", root, "f", "g") == no("unsupported")
    assert place.fd("readlink-at", root, "f") == no("invalid")
    assert place.fd("readlink-at", root, "nothing") == no("no-entry")
    assert place.fd("advise", place.open(root, "f"), 0, 0, "normal") == OK


# ---- sync ----------------------------------------------------------------------------------------
def test_sync_takes_as_long_as_what_has_been_written_since_the_last_one() -> None:
    place = Place(Folder("/data", read_only=False, quota_bytes=1 << 20))
    machine = place.machine
    commit_ns = machine.budget.prices.work_ns["commit"].value
    fd = place.open(place.root(), "f", "create")

    def sync_ns(one: Any) -> int:
        before = place.env.now
        spent: list[int] = []

        def steps() -> Any:
            yield from place.later["filesystem/types#[method]descriptor.sync"](one, before + 60 * S)
            spent.append(place.env.now - before)

        Task(place.env, steps())
        place.env.run(before + S)
        return spent[0]

    place.fd("set-size", fd, 1000)
    for size in (50_000, 100_000):
        place.fd("write", fd, bytes(size), 1000)
        assert sync_ns(fd) == commit_ns + size * S // machine.flash_bytes_per_s
    assert sync_ns(fd) == commit_ns, "nothing new"
    assert sync_ns(place.open(place.root(), "f", flags=("read",))) == 0, (
        "WASI: no effect unless opened for writing"
    )
    assert commit_ns < 100 * MS

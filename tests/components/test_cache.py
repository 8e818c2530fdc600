"""Compiled code on disk: it saves compiling, and whatever is wrong with it costs a compile and nothing else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest
import wasmtime

from tests.plants import WASM
from twinloop.components.host import cache as module
from twinloop.components.host.cache import LIMIT_BYTES, CodeCache, size_bytes
from twinloop.components.host.component import ComponentRefused
from twinloop.components.host.engines import CODE_FLAGS
from twinloop.components.host.host import Host

NORMALIZE = (WASM / "normalize.wasm").read_bytes()
DIGEST = sha256(NORMALIZE).hexdigest()
HEADER = 16 + 32 + 32 + 8


def cache(folder: Path, **settings: int) -> CodeCache:
    return CodeCache(CODE_FLAGS, folder, **settings)


def compiled(host: Host, found: CodeCache, data: bytes = NORMALIZE) -> tuple[int, int]:
    """(hits, misses) after the code of that component was asked for."""
    component = found.compiled(host.engines.plain.raw, data, sha256(data).hexdigest())
    assert component.type.exports(host.engines.plain.raw)
    return found.hits, found.misses


def filled(host: Host, folder: Path) -> Path:
    assert compiled(host, cache(folder)) == (0, 1)
    (path,) = folder.iterdir()
    return path


def another(number: int) -> bytes:
    """The same component with a custom section of its own."""
    return NORMALIZE + b"\x00\x05\x03xyz" + bytes((number,))


def test_what_was_compiled_is_found_by_the_next(host: Host, tmp_path: Path) -> None:
    folder = tmp_path / "above" / "cache"
    path = filled(host, folder)
    found = cache(folder)
    assert compiled(host, found) == (1, 0)
    assert compiled(host, found) == (2, 0)
    assert found.note == ""
    assert path == found.path(found.key(DIGEST))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes()[HEADER:][:4] == b"\x7fELF"


def test_a_guest_computes_the_same_whether_compiled_or_kept(tmp_path: Path) -> None:
    used = []
    for hits in (0, 1):
        own = Host(cache=cache(tmp_path))
        component = own.load(WASM / "smooth.wasm", "transform")
        assert own.engines.plain.cache.hits == hits
        instance = own.instantiate(own.link(component, []), {}, 1_000_000)
        instance.begin("configure", [("", [], [("window", "3")])], 1_000_000)
        used.append((instance.advance(), instance.result(), instance.memory_bytes))
        own.close()
    assert used[0] == used[1]


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"", lambda data: data[:10], lambda data: data[:HEADER], lambda data: data[:-1], lambda data: data + b"\0",
        lambda data: _flip(data, 0), lambda data: _flip(data, 20), lambda data: _flip(data, 50), lambda data: _flip(data, 80),
        lambda data: _flip(data, HEADER), lambda data: _flip(data, len(data) // 2), lambda data: _flip(data, len(data) - 1),
    ],
    ids=["empty", "part of a header", "header only", "a byte less", "a byte more", "magic", "key", "digest", "length", "first byte", "middle", "last byte"],
)  # fmt: skip
def test_damaged_code_is_compiled_anew_and_replaced(host: Host, tmp_path: Path, damage: object) -> None:
    path = filled(host, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))  # type: ignore[operator]
    assert compiled(host, cache(tmp_path)) == (0, 1)
    assert path.read_bytes()[:HEADER] == whole[:HEADER]
    assert compiled(host, cache(tmp_path)) == (1, 0)


def test_code_of_another_component_under_this_name_is_not_run(host: Host, tmp_path: Path) -> None:
    path = filled(host, tmp_path)
    found = cache(tmp_path)
    compiled(host, found, (WASM / "route.wasm").read_bytes())
    (other,) = (one for one in tmp_path.iterdir() if one != path)
    path.write_bytes(other.read_bytes())
    assert compiled(host, cache(tmp_path)) == (0, 1)


def test_code_that_others_could_have_written_is_not_run(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = filled(host, tmp_path)
    path.chmod(0o620)
    assert compiled(host, cache(tmp_path)) == (0, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert compiled(host, cache(tmp_path)) == (0, 1)
    assert not path.is_symlink()
    found = cache(tmp_path)
    assert found._usable()
    us = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: us + 1)
    assert found._payload(found.key(DIGEST)) is None


def test_a_folder_that_others_may_write_to_is_not_used(host: Host, tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    found = cache(tmp_path)
    assert compiled(host, found) == (0, 1)
    assert "others may write to it" in found.note
    assert list(tmp_path.iterdir()) == []


def test_other_settings_of_the_engine_have_code_of_their_own(host: Host, tmp_path: Path) -> None:
    filled(host, tmp_path)
    assert compiled(host, CodeCache("other flags", tmp_path)) == (0, 1)
    assert len(list(tmp_path.iterdir())) == 2


def test_code_that_wasmtime_refuses_is_compiled_anew(host: Host, tmp_path: Path) -> None:
    plain = wasmtime.Engine()
    found = cache(tmp_path)
    found.compiled(plain, NORMALIZE, DIGEST)  # under the same flags, which is a lie: without fuel
    assert compiled(host, found) == (0, 2)
    assert compiled(host, found) == (1, 2)


def test_an_engine_without_threads_and_one_with_them_share_code(host: Host, tmp_path: Path) -> None:
    own = Host(threads=False, cache=cache(tmp_path))
    own.load(NORMALIZE, "transform")
    own.close()
    assert compiled(host, cache(tmp_path)) == (1, 0)


def test_a_folder_that_cannot_be_made_costs_a_note(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        found = cache(folder)
        assert compiled(host, found) == (0, 1)
        assert compiled(host, found) == (0, 2)
        assert found.note.startswith(f"compiled code isn't kept: {folder}: ")


def test_a_full_disk_costs_a_note_and_leaves_nothing(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    found = cache(tmp_path)
    assert compiled(host, found) == (0, 1)
    assert found.note == f"compiled code isn't kept: {tmp_path}: No space left on device"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(tempfile, "mkstemp", full)
    assert compiled(host, found) == (0, 2)


def test_what_does_not_compile_is_said_as_without_a_cache(tmp_path: Path) -> None:
    own = Host(cache=cache(tmp_path))
    with pytest.raises(
        ComponentRefused, match="does not compile: failed to parse WebAssembly module Caused by"
    ):
        own.load(NORMALIZE[:2000], "transform")
    assert list(tmp_path.iterdir()) == []
    own.close()


# ---- how much is kept ----------------------------------------------------------------------------
def test_least_recently_used_code_goes_first_and_the_newest_never(host: Host, tmp_path: Path) -> None:
    found = cache(tmp_path)
    paths = []
    for number in range(3):
        compiled(host, found, another(number))
        paths.append(found.path(found.key(sha256(another(number)).hexdigest())))
        os.utime(paths[-1], (1000 + number, 1000 + number))
    size = paths[0].stat().st_size
    compiled(host, found, another(0))  # used: now the second is the oldest
    bounded = cache(tmp_path, limit_bytes=3 * size + 100)
    compiled(host, bounded, another(3))
    assert [path.exists() for path in paths] == [True, False, True]
    tiny = cache(tmp_path, limit_bytes=0)
    compiled(host, tiny, another(4))
    assert [path.name for path in tmp_path.iterdir()] == [
        tiny.path(tiny.key(sha256(another(4)).hexdigest())).name
    ]


def test_what_killed_writers_left_is_removed_after_an_hour(host: Host, tmp_path: Path) -> None:
    names = {"old.tmp": 3700, "old.lock": 3700, "young.tmp": 3500, "young.lock": 3500, "not-ours.txt": 9999}
    for name, age in names.items():
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    filled_name = cache(tmp_path)
    compiled(host, filled_name)
    kept = sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".cwasm")
    assert kept == ["not-ours.txt", "young.lock", "young.tmp"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000000", 1_000_000), ("512 MiB", 512 << 20), ("512mib", 512 << 20), ("1.5 GiB", 3 << 29), ("2 GB", 2 * 10**9), ("7 B", 7), ("0", 0),
        ("", None), ("-1", None), ("many", None), ("5 apples", None), ("1e9", None),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int | None) -> None:
    assert size_bytes(text) == size


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    def folder(**environment: str) -> Path | None:
        return CodeCache.of_environment("", environment).folder

    monkeypatch.setenv("HOME", "/home/somebody")
    assert folder() == Path("/home/somebody/.cache/twinloop")
    assert folder(XDG_CACHE_HOME="/var/caches") == Path("/var/caches/twinloop")
    assert folder(XDG_CACHE_HOME="relative") == Path("/home/somebody/.cache/twinloop")
    assert folder(XDG_CACHE_HOME="/var/caches", TWINLOOP_CACHE="/else/where") == Path("/else/where")
    assert folder(TWINLOOP_CACHE="here") == Path.cwd() / "here"
    assert folder(TWINLOOP_CACHE="off") is None
    limited = CodeCache.of_environment("", {"TWINLOOP_CACHE_LIMIT": "512 MiB"})
    assert (limited.limit_bytes, limited.note) == (512 << 20, "")
    odd = CodeCache.of_environment("", {"TWINLOOP_CACHE_LIMIT": "plenty"})
    assert odd.limit_bytes == LIMIT_BYTES
    assert odd.note == "TWINLOOP_CACHE_LIMIT='plenty' is no size such as 512 MiB; the limit is 2 GiB"


def test_off_keeps_nothing(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = CodeCache.of_environment(CODE_FLAGS, {"TWINLOOP_CACHE": "off"})
    assert compiled(host, found) == (0, 1)
    assert compiled(host, found) == (0, 2)
    assert (found.note, list(tmp_path.iterdir())) == ("", [])


# ---- several at once -----------------------------------------------------------------------------
LOADS = """
import sys
from pathlib import Path
from twinloop.components.host.cache import CodeCache
from twinloop.components.host.engines import CODE_FLAGS
from twinloop.components.host.host import Host
host = Host(cache=CodeCache(CODE_FLAGS, Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    for path in sys.argv[4:]:
        host._components.clear()
        host.load(Path(path), "transform")
    if sys.argv[2] == "damage":
        for path in Path(sys.argv[1]).glob("*.cwasm"):
            path.unlink(missing_ok=True)
print(host.engines.plain.cache.hits, host.engines.plain.cache.misses, host.engines.plain.cache.note)
"""


def processes(folder: Path, mode: str, turns: int, *paths: Path, count: int = 2) -> list[tuple[int, int]]:
    """(hits, misses) of that many processes which load the same components at the same time."""
    command = [sys.executable, "-c", LOADS, str(folder), mode, str(turns), *map(str, paths)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in started:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    found = []
    for one in started:
        out, _ = one.communicate(timeout=120)
        assert one.returncode == 0
        hits, misses = out.split()
        found.append((int(hits), int(misses)))
    return found


def test_two_processes_at_once_each_get_whole_code(tmp_path: Path) -> None:
    found = processes(tmp_path, "damage", 10, WASM / "normalize.wasm", WASM / "smooth.wasm")
    assert [sum(pair) for pair in found] == [20, 20]
    assert [path for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def large_component(path: Path) -> Path:
    """``normalize`` in more than a MiB: it isn't slow to compile, and counts as large."""
    size = module.LARGE_BYTES
    length = bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21))
    path.write_bytes(NORMALIZE + b"\0" + length + b"\x03xyz" + bytes(size - 4))
    return path


def test_of_two_processes_one_compiles_what_is_large(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    path = large_component(tmp_path / "large.wasm")
    found = processes(folder, "keep", 1, path, count=3)
    assert sorted(found) == [(0, 1), (1, 0), (1, 0)]
    assert [one.suffix for one in folder.iterdir()] == [".cwasm"]


def test_who_waits_too_long_compiles_itself(host: Host, tmp_path: Path) -> None:
    data = large_component(tmp_path / "large.wasm").read_bytes()
    folder = tmp_path / "cache"
    first, second = cache(folder), cache(folder)
    assert first._usable()
    second.wait_s = 0.1
    with first._turn(first.key(sha256(data).hexdigest())):
        assert compiled(host, second, data) == (0, 1)
    assert compiled(host, second, data) == (1, 1)


def test_who_waits_gets_what_the_first_has_compiled(host: Host, tmp_path: Path) -> None:
    data = large_component(tmp_path / "large.wasm").read_bytes()
    folder = tmp_path / "cache"
    first, second = cache(folder), cache(folder)
    assert first._usable()
    key = first.key(sha256(data).hexdigest())
    found: list[tuple[int, int]] = []
    waiting = threading.Thread(target=lambda: found.append(compiled(host, second, data)))
    with first._turn(key):
        waiting.start()
        time.sleep(0.2)
        assert found == []
        first._fresh(host.engines.plain.raw, data, key)
    waiting.join(60)
    assert found == [(1, 0)]


HOLDS = """
import sys, time
from pathlib import Path
from twinloop.components.host.cache import CodeCache
from twinloop.components.host.engines import CODE_FLAGS
cache = CodeCache(CODE_FLAGS, Path(sys.argv[1]))
assert cache._usable()
with cache._turn(bytes.fromhex(sys.argv[2])):
    print("held", flush=True)
    time.sleep(300)
"""


def test_who_waits_goes_on_when_the_first_is_killed(host: Host, tmp_path: Path) -> None:
    data = large_component(tmp_path / "large.wasm").read_bytes()
    found = cache(tmp_path / "cache")
    key = found.key(sha256(data).hexdigest()).hex()
    first = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "cache"), key], stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    counted: list[tuple[int, int]] = []
    waiting = threading.Thread(target=lambda: counted.append(compiled(host, found, data)))
    waiting.start()
    time.sleep(0.2)
    assert counted == []
    first.kill()
    first.communicate(timeout=60)
    waiting.join(60)
    assert counted == [(0, 1)]
    assert [one.suffix for one in (tmp_path / "cache").iterdir()] == [".cwasm"]


def test_a_lock_that_cannot_be_had_is_done_without(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*arguments: object) -> None:
        raise OSError(37, "No locks available")

    data = large_component(tmp_path / "large.wasm").read_bytes()
    monkeypatch.setattr(module.fcntl, "flock", without)
    assert compiled(host, cache(tmp_path / "cache"), data) == (0, 1)
    assert compiled(host, cache(tmp_path / "cache"), data) == (1, 0)


def test_core_modules_are_kept_like_components(tmp_path: Path) -> None:
    """One that is kept is read, one that was changed is compiled anew; a component of the same digest is
    another thing."""
    engine = wasmtime.Engine()
    data = bytes(wasmtime.wat2wasm('(module (func (export "f") (result i32) (i32.const 7)))'))
    digest = sha256(data).hexdigest()

    def answer(cache: CodeCache) -> int:
        store = wasmtime.Store(engine)
        made = wasmtime.Instance(store, cache.module(engine, data, digest), [])
        return int(made.exports(store)["f"](store))  # type: ignore[operator]  # a function

    assert answer(CodeCache("flags", tmp_path)) == 7
    (file,) = tmp_path.glob("*.cwasm")
    first = file.read_bytes()
    stamp = file.stat().st_mtime_ns
    assert answer(CodeCache("flags", tmp_path)) == 7
    file.write_bytes(first[:-1] + bytes([first[-1] ^ 1]))
    assert answer(CodeCache("flags", tmp_path)) == 7
    assert file.read_bytes() == first, "what was changed was replaced"
    assert stamp <= file.stat().st_mtime_ns
    assert answer(CodeCache("flags", None)) == 7
    cache = CodeCache("flags", tmp_path)
    assert cache.key(digest) != cache.key(digest, "module")

"""Compiled code kept on disk, so that equal bytes are compiled once a machine and not once a process.

Belongs here: where it lies, what of it is trusted, how much of it is kept. Never: what a component may do, or
any figure of a simulated world: whether code came from here is told by the wall clock alone.

Compiled code is run as it is, so a file is believed only when it is ours, nobody else may write to it, and
its header holds this very key and the SHA-256 of the rest; what was hashed is handed to wasmtime from memory,
never read a second time. Anything else is compiled anew and replaced. Readers see whole files (a rename);
writers need no lock. For a large component the second process waits for the first one's compile.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import platform
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from struct import Struct

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime import component as wc

from twinloop.components.host.capi import WASMTIME

FOLDER_VARIABLE, LIMIT_VARIABLE = "TWINLOOP_CACHE", "TWINLOOP_CACHE_LIMIT"
LIMIT_BYTES = 2 << 30
LARGE_BYTES = 1 << 20
"""a component (not its code) larger than that compiles for seconds: a second process waits for the first"""
WAIT_S = 120.0
"""wall time after which it compiles itself"""
STALE_S = 3600.0
"""wall time after which what a killed writer left is removed"""
_LOOK_S = 0.05
_MAGIC = b"twinloop code 1\n"
_HEADER = Struct("<16s32s32sQ")
"""magic, key, SHA-256 of the payload, bytes of the payload"""
_UNITS = {
    "": 1,
    "B": 1,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}


class CodeCache:
    """A folder of compiled components. ``folder`` None keeps nothing. ``flags``: text of every setting of the
    engine that changes the code (wasmtime doesn't check them all when it loads).

    ``note`` is empty, or one line that says why nothing, or less, is kept; never an error.
    """

    def __init__(self, flags: str, folder: Path | None, limit_bytes: int = LIMIT_BYTES) -> None:
        self.flags, self.limit_bytes = flags, limit_bytes
        self.folder = folder
        self.note = ""
        self.hits = self.misses = 0
        self.wait_s = WAIT_S
        self._checked = False

    @classmethod
    def of_environment(cls, flags: str, environment: Mapping[str, str] = os.environ) -> CodeCache:
        """The user's: TWINLOOP_CACHE (``off`` for none), else twinloop in XDG_CACHE_HOME, else in ~/.cache;
        TWINLOOP_CACHE_LIMIT in bytes or as ``512 MiB``."""
        named, above = environment.get(FOLDER_VARIABLE, ""), environment.get("XDG_CACHE_HOME", "")
        if named == "off":
            return cls(flags, None)
        note = ""
        folder: Path | None = None
        if named:
            folder = Path(named).absolute()
        elif above.startswith("/"):  # the XDG specification: a relative one is to be ignored
            folder = Path(above) / "twinloop"
        else:
            try:
                folder = Path.home() / ".cache" / "twinloop"
            except RuntimeError:
                note = f"compiled code isn't kept: there is no home folder; set {FOLDER_VARIABLE}"
        limit = environment.get(LIMIT_VARIABLE, "")
        limit_bytes = size_bytes(limit) if limit else LIMIT_BYTES
        if limit_bytes is None:
            note = note or f"{LIMIT_VARIABLE}={limit!r} is no size such as 512 MiB; the limit is 2 GiB"
        found = cls(flags, folder, LIMIT_BYTES if limit_bytes is None else limit_bytes)
        found.note = note
        return found

    def compiled(self, engine: wasmtime.Engine, data: bytes, sha256: str) -> wc.Component:
        """The component of those bytes (or that component text), whose digest is ``sha256``, for that engine.

        Raises wasmtime.WasmtimeError when it doesn't compile.
        """
        if not self._usable():
            self.misses += 1
            return wc.Component(engine, data)
        key = self.key(sha256)
        found = self._kept(engine, key)
        if found is not None:
            return found
        if len(data) <= LARGE_BYTES:
            return self._fresh(engine, data, key)
        with self._turn(key):
            return self._kept(engine, key) or self._fresh(engine, data, key)

    def module(self, engine: wasmtime.Engine, data: bytes, sha256: str) -> wasmtime.Module:
        """The same for a core module."""
        key = self.key(sha256, "module") if self._usable() else b""
        payload = self._payload(key) if key else None
        if payload is not None:
            with contextlib.suppress(wasmtime.WasmtimeError):  # as for components
                return wasmtime.Module.deserialize(engine, payload)
        made = wasmtime.Module(engine, data)
        if key:
            self._keep(key, made)
        return made

    def key(self, sha256: str, kind: str = "") -> bytes:
        """What a file must be for: bytes, wasmtime, settings, machine."""
        parts = sha256, WASMTIME, self.flags, platform.machine(), sys.platform, *((kind,) if kind else ())
        return hashlib.sha256("\n".join(parts).encode()).digest()

    def path(self, key: bytes) -> Path:
        """Where the code of that key lies, if it is kept."""
        assert self.folder is not None
        return self.folder / f"{key.hex()}.cwasm"

    # ---- the folder ------------------------------------------------------------------------------
    def _usable(self) -> bool:
        if self.folder is None or self._checked:
            return self.folder is not None
        self._checked = True
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self.folder.stat()
        except OSError as error:
            self._remark(f"compiled code isn't kept: {self.folder}: {error.strerror}")
            self.folder = None
            return False
        if not _is_ours(status) or not stat.S_ISDIR(status.st_mode):
            self._remark(
                f"compiled code isn't kept: {self.folder} belongs to another user, or others may write to it"
            )
            self.folder = None
        return self.folder is not None

    def _remark(self, note: str) -> None:
        self.note = self.note or note

    # ---- reading ---------------------------------------------------------------------------------
    def _kept(self, engine: wasmtime.Engine, key: bytes) -> wc.Component | None:
        payload = self._payload(key)
        if payload is None:
            return None
        try:
            found = _deserialized(engine, payload)
        except wasmtime.WasmtimeError:
            return None  # of an engine that is set otherwise, or of a machine that can do more
        self.hits += 1
        return found

    def _payload(self, key: bytes) -> bytes | None:
        """The verified code of that key; None for none that can be trusted."""
        try:
            handle = os.open(self.path(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        with open(handle, "rb", buffering=0) as file, contextlib.suppress(OSError):
            status = os.fstat(handle)
            if not _is_ours(status) or not stat.S_ISREG(status.st_mode):
                return None
            header = file.read(_HEADER.size)
            if len(header) != _HEADER.size:
                return None
            magic, its_key, digest, size = _HEADER.unpack(header)
            if magic != _MAGIC or its_key != key or size != status.st_size - _HEADER.size:
                return None
            payload = file.read(size)
            if not payload or hashlib.sha256(payload).digest() != digest:
                return None
            with contextlib.suppress(OSError):
                os.utime(handle)  # used just now: it goes last
            return payload
        return None

    # ---- writing ---------------------------------------------------------------------------------
    def _fresh(self, engine: wasmtime.Engine, data: bytes, key: bytes) -> wc.Component:
        self.misses += 1
        found = wc.Component(engine, data)
        self._keep(key, found)
        return found

    def _keep(self, key: bytes, found: wc.Component | wasmtime.Module) -> None:
        try:
            self._write(key, found.serialize())
            self._bound(self.path(key).name)
        except (OSError, wasmtime.WasmtimeError) as error:
            self._remark(f"compiled code isn't kept: {self.folder}: {getattr(error, 'strerror', error)}")

    def _write(self, key: bytes, payload: bytearray) -> None:
        handle, name = tempfile.mkstemp(".tmp", dir=self.folder)  # mode 0600
        try:
            with open(handle, "wb", buffering=0) as file:
                header = _HEADER.pack(_MAGIC, key, hashlib.sha256(payload).digest(), len(payload))
                for part in (header, payload):
                    rest = memoryview(part)
                    while rest:
                        rest = rest[file.write(rest) :]
            os.replace(name, self.path(key))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise

    def _bound(self, newest: str) -> None:
        """Remove what was used least recently until the limit is kept, and what killed writers left; never
        ``newest``."""
        assert self.folder is not None
        kept: list[tuple[float, str, int]] = []
        total = 0
        stale = time.time() - STALE_S
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(".cwasm"):
                        total += status.st_size
                        kept.append((status.st_mtime, entry.name, status.st_size))
                    elif entry.name.endswith((".tmp", ".lock")) and status.st_mtime < stale:
                        os.unlink(entry.path)
        for _, name, size in sorted(kept):
            if total <= self.limit_bytes:
                break
            if name != newest:
                with contextlib.suppress(OSError):  # another process may have removed it
                    (self.folder / name).unlink()
                total -= size

    @contextlib.contextmanager
    def _turn(self, key: bytes) -> Iterator[None]:
        """Alone among processes at compiling that key, as far as that can be had in time.

        Who finishes removes the lock's file; who waits gets the lock of that nameless file, then finds the
        code.
        """
        path = self.path(key).with_suffix(".lock")
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:  # nothing can be written there: alone or not, it must compile
            yield
            return
        held = False
        try:
            held = _locked(handle, time.monotonic() + self.wait_s)
            yield
        finally:
            if held:
                with contextlib.suppress(OSError):
                    path.unlink()
                fcntl.flock(handle, fcntl.LOCK_UN)  # a fork made meanwhile holds the same lock
            os.close(handle)


def size_bytes(text: str) -> int | None:
    """A size such as ``1000000``, ``512 MiB`` or ``2 GB`` in bytes; None for another text."""
    found = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*", text, re.ASCII)
    if found is None or found[2].upper() not in _UNITS:
        return None
    return int(float(found[1]) * _UNITS[found[2].upper()])


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _locked(handle: int, until: float) -> bool:
    """Wait for the lock; False when it can't be had by then, or at all."""
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK_S)
        except OSError:  # a file system without locks
            return False
        else:
            return True


def _deserialized(engine: wasmtime.Engine, payload: bytes) -> wc.Component:
    """wasmtime-py's ``Component.deserialize`` without its copy of the bytes."""
    pointer = ctypes.POINTER(ffi.wasmtime_component_t)()
    at = ctypes.cast(ctypes.c_char_p(payload), ctypes.POINTER(ctypes.c_uint8))
    error = ffi.wasmtime_component_deserialize(engine.ptr(), at, len(payload), ctypes.byref(pointer))
    if error:
        raise wasmtime.WasmtimeError._from_ptr(error)
    return wc.Component._from_ptr(pointer)

"""Linear memories that the host can see: size, peak and every refused growth, per instance; and their pages
that many instances of one component have alike, kept once.

Belongs here: wasmtime's custom memory creator. Never: what a refusal means (outcome.py) or what a board has
(sim/). Needs ``memory_init_cow`` off: with it on, wasmtime aborts at instantiation. So wasmtime's own way of
sharing pages, copying on write from the module's data, isn't to be had.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections.abc import Callable
from ctypes import c_int, c_long, c_size_t, c_void_p
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

import wasmtime
from wasmtime import _bindings

from twinloop.components.contract.errors import HostLimitError
from twinloop.components.host.capi import MEMORY, error_new

_PROT_NONE, _PROT_RW = 0, mmap.PROT_READ | mmap.PROT_WRITE
_MAP_FLAGS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000
"""0x4000 is MAP_NORESERVE on Linux: 4 GiB of addresses per memory must not count as memory"""
REFUSED_MAX = 1000
"""growths beyond the limit that one call may ask for: each costs the host what no fuel counts. Then what it
asks for is granted in figures only (touching it traps), which ends the asking, and its instance is killed"""
DYNAMIC_BYTES = 1 << 26
"""reserved for a memory that wasmtime asks for without a reservation of its own"""
PAGE_BYTES = mmap.PAGESIZE
IMAGES_MAX = 64
"""more are not kept: each is a file descriptor and some pages"""
_BLANK = bytes(PAGE_BYTES)
_PAGEMAP = Path("/proc/self/pagemap")
_ENTRY = Struct("<Q")
_THERE = 62
"""bits 62 and 63 of an entry: the page is in the swap, or in memory (kernel's Documentation, pagemap.rst)"""
_PLACED = mmap.MAP_PRIVATE | 0x10 | 0x4000
"""0x10 is MAP_FIXED on Linux"""


class LinearMemory:
    """One guest memory. ``size_bytes`` now, ``peak_bytes``, ``refused`` growths."""

    __slots__ = (
        "address",
        "capacity_bytes",
        "mapped_bytes",
        "owner",
        "peak_bytes",
        "refused",
        "shown_bytes",
        "size_bytes",
    )

    def __init__(
        self, owner: MemoryOwner, address: int, mapped_bytes: int, capacity_bytes: int, size_bytes: int
    ) -> None:
        self.owner = owner
        self.address, self.mapped_bytes, self.capacity_bytes = address, mapped_bytes, capacity_bytes
        self.size_bytes = self.peak_bytes = self.shown_bytes = size_bytes
        self.refused = 0


class MemoryOwner:
    """What an instance owns in linear memory, and its limit in bytes."""

    __slots__ = ("asked", "each_bytes", "limit_bytes", "memories", "on_growth")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.each_bytes: int | None = None
        """the most that each of its memories may have, as in a pool; None: no such limit"""
        self.asked = 0
        """growths beyond the limit that the call under way has asked for"""
        self.memories: list[LinearMemory] = []
        self.on_growth: Callable[[int], None] | None = None
        """told of each growth after the first allocation, in bytes"""

    @property
    def size_bytes(self) -> int:
        """All its memories now."""
        return sum(memory.size_bytes for memory in self.memories)

    @property
    def peak_bytes(self) -> int:
        """The sum of their largest sizes."""
        return sum(memory.peak_bytes for memory in self.memories)

    @property
    def refused(self) -> int:
        """Growths that were refused."""
        return sum(memory.refused for memory in self.memories)


class _Image(NamedTuple):
    """``pages``: index -> what is in it, of those that aren't blank; the file has the same."""

    file: int
    pages: dict[int, bytes]


class Images:
    """Pages of one host's memories that are kept once. A guest sees nothing of it: what it reads is what was
    there, and a page that it writes to becomes its own, by the kernel. Linux only; elsewhere, or where the
    system refuses, memories stay as they are. What is alike after an instance has been configured, and isn't
    written to in each call, is shared for good: of ``modbus-driver`` 2 pages of 8 (ARCHITECTURE.md, "Memory
    of a device").

    ``place``: mmap(address, bytes, protection, flags, file, offset); ``protect``: mprotect.
    """

    def __init__(self, place: Callable[..., int | None], protect: Callable[..., int]) -> None:
        self._place, self._protect = place, protect
        self._images: dict[tuple[str, int, int], _Image | None] = {}
        """(component, size, addresses) -> what memories of that kind lie over; None: there was one so far"""
        self._files: list[int] = []
        self._refused = not (hasattr(os, "memfd_create") and _PAGEMAP.exists())
        weakref.finalize(self, _close, self._files)

    def share(self, of: str, address: int, size_bytes: int, mapped_bytes: int) -> int:
        """Put a memory of the component ``of``, in which no guest code runs now, over the image of its kind;
        returns how many of its pages are shared. The second of a kind makes the image: most components have
        one instance."""
        key = of, size_bytes, mapped_bytes
        if self._refused:
            return 0
        if key not in self._images:
            if len(self._images) < IMAGES_MAX:
                self._images[key] = None
            return 0
        image = self._images[key]
        try:
            pages = _pages(address, size_bytes)
            if image is None:
                image = self._images[key] = self._image(pages, mapped_bytes)
        except OSError:  # no such file system, no more files, another kernel: then nothing is shared
            self._refused = True
            return 0
        own = {i: data for i, data in pages.items() if image.pages.get(i) != data}
        own |= {i: _BLANK for i in image.pages if i not in pages}
        placed = self._place(address, mapped_bytes, _PROT_NONE, _PLACED, image.file, 0) == address
        if self._protect(address, size_bytes, _PROT_RW):
            raise HostLimitError("this machine refused to give back a guest memory whose pages were shared")
        if not placed:  # what was there is there still
            self._refused = True
            return 0
        for i, data in own.items():
            MEMORY[address + i * PAGE_BYTES : address + (i + 1) * PAGE_BYTES] = data
        return len(image.pages) - sum(i in image.pages for i in own)

    def _image(self, pages: dict[int, bytes], mapped_bytes: int) -> _Image:
        file = os.memfd_create("twinloop-guest-memory", os.MFD_CLOEXEC)
        self._files.append(file)
        os.ftruncate(file, mapped_bytes)  # as long as its addresses: then no growth needs another mapping
        for i, data in pages.items():
            os.pwrite(file, data, i * PAGE_BYTES)
        return _Image(file, pages)


def _pages(address: int, size_bytes: int) -> dict[int, bytes]:
    """Index -> what is in it, of the pages that aren't blank. Most were never written to, and the kernel says
    which; it is asked by a file that is opened each time, because in a fork it is another one."""
    with _PAGEMAP.open("rb", buffering=0) as table:
        table.seek(address // PAGE_BYTES * _ENTRY.size)
        entries = table.read(size_bytes // PAGE_BYTES * _ENTRY.size)
    if len(entries) != size_bytes // PAGE_BYTES * _ENTRY.size:
        raise OSError("the kernel told of fewer pages than there are")
    found: dict[int, bytes] = {}
    for i, (entry,) in enumerate(_ENTRY.iter_unpack(entries)):
        if entry >> _THERE:
            first = address + i * PAGE_BYTES
            data = bytes(MEMORY[first : first + PAGE_BYTES])
            if data != _BLANK:
                found[i] = data
    return found


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)


class MemoryCreator:
    """wasmtime's memory creator over mmap. ``owner`` is whose instance is being instantiated; set it
    before."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype, libc.mmap.argtypes = c_void_p, [c_void_p, c_size_t, c_int, c_int, c_int, c_long]
        libc.mprotect.argtypes = [c_void_p, c_size_t, c_int]
        libc.munmap.argtypes = [c_void_p, c_size_t]
        self._libc = libc
        self._memories: dict[int, LinearMemory] = {}
        self._last = 0
        self.owner: MemoryOwner | None = None
        self._get = _bindings.wasmtime_memory_get_callback_t(self._get_memory)
        self._grow = _bindings.wasmtime_memory_grow_callback_t(self._grow_memory)
        self._free = ctypes.CFUNCTYPE(None, c_void_p)(self._free_memory)
        self._new = _bindings.wasmtime_new_memory_callback_t(self._new_memory)
        self._none = ctypes.CFUNCTYPE(None, c_void_p)(0)
        self._images = Images(libc.mmap, libc.mprotect)

    @property
    def live(self) -> int:
        """How many guest memories are mapped."""
        return len(self._memories)

    def memories(self) -> list[LinearMemory]:
        """Those that are mapped."""
        return list(self._memories.values())

    def share(self, owner: MemoryOwner, of: str) -> int:
        """An instance of the component with that digest has been configured, and none of its calls is under
        way: pages that it has like others of its kind are kept once from here on. Returns how many these
        are."""
        return sum(
            self._images.share(of, memory.address, memory.size_bytes, memory.mapped_bytes)
            for memory in owner.memories
        )

    def install(self, config: wasmtime.Config) -> None:
        """Make ``config`` use this creator; the creator must outlive every engine made from it."""
        creator = _bindings.wasmtime_memory_creator_t()
        creator.new_memory = self._new  # type: ignore[assignment]  # ctypes fields typed as pointers
        creator.finalizer = self._none  # type: ignore[assignment]  # ctypes fields typed as pointers
        _bindings.wasmtime_config_memory_init_cow_set(config.ptr(), False)
        _bindings.wasmtime_config_host_memory_creator_set(config.ptr(), ctypes.byref(creator))

    def _new_memory(
        self, env: Any, kind: Any, minimum: int, maximum: int, reserved: int, guard: int, out: Any
    ) -> int:
        owner = self.owner
        if owner is None:
            return int(error_new(b"no instance asks for this memory"))
        if owner.size_bytes + minimum > owner.limit_bytes:
            return int(
                error_new(
                    f"memory limit: starts with {minimum} bytes, the limit is {owner.limit_bytes}".encode()
                )
            )
        if owner.each_bytes is not None and minimum > owner.each_bytes:
            text = (
                f"memory limit: a memory starts with {minimum} bytes, one of the pool has {owner.each_bytes}"
            )
            return int(error_new(text.encode()))
        mapped = reserved + guard if reserved else max(minimum, DYNAMIC_BYTES) + guard
        at = self._libc.mmap(None, mapped, _PROT_NONE, _MAP_FLAGS, -1, 0)
        if at in (None, ctypes.c_size_t(-1).value):
            return int(error_new(f"this machine refused to map {mapped} bytes of addresses".encode()))
        if minimum and self._libc.mprotect(at, minimum, _PROT_RW):
            self._libc.munmap(at, mapped)
            return int(error_new(b"this machine refused to commit a guest memory"))
        memory = LinearMemory(owner, at, mapped, mapped - guard, minimum)
        self._last += 1
        self._memories[self._last] = memory
        owner.memories.append(memory)
        slot = out[0]
        slot.env = self._last
        slot.get_memory = self._get
        slot.grow_memory = self._grow
        slot.finalizer = self._free
        return 0

    def _get_memory(self, env: int, size: Any, capacity: Any) -> int:
        memory = self._memories[env]
        size[0], capacity[0] = memory.shown_bytes, memory.capacity_bytes
        return memory.address

    def _grow_memory(self, env: int, new_bytes: int) -> int:
        memory = self._memories[env]
        owner = memory.owner
        most = owner.limit_bytes - (owner.size_bytes - memory.size_bytes)
        if owner.each_bytes is not None:
            most = min(most, owner.each_bytes)
        if new_bytes > most or new_bytes > memory.capacity_bytes:
            memory.refused += 1
            memory.owner.asked += 1
            if memory.owner.asked > REFUSED_MAX and new_bytes <= memory.capacity_bytes:
                memory.shown_bytes = memory.capacity_bytes  # there is no more to ask for
                return 0
            return int(error_new(b"memory limit"))
        if self._libc.mprotect(memory.address, new_bytes, _PROT_RW):
            memory.refused += 1
            return int(error_new(b"this machine refused to commit a guest memory"))
        growth, memory.size_bytes = new_bytes - memory.size_bytes, new_bytes
        memory.shown_bytes = new_bytes
        if memory.owner.on_growth is not None:
            memory.owner.on_growth(growth)
        memory.peak_bytes = max(memory.peak_bytes, new_bytes)
        return 0

    def _free_memory(self, env: int) -> None:
        memory = self._memories.pop(env)
        self._libc.munmap(memory.address, memory.mapped_bytes)
        del memory.owner  # which still counts it: else the two would wait for the garbage collector

"""Pages that the memories of many instances of one component have alike, kept once.

Belongs here: images of memories, and whose pages lie over one. Never: what a memory is (memory.py). A guest sees
nothing of it: what it reads is what was there, and a page that it writes to becomes its own, by the kernel. Linux
only; elsewhere, or where the system refuses, memories stay as they are.

What is alike after an instance has been configured, and isn't written to in each call, is shared for good: of
``modbus-driver`` 2 pages of 8 (ARCHITECTURE.md, "Memory of a device"). wasmtime's own way of sharing, copying on
write from the module's data, needs memories that it makes itself.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from twinloop.components.host.capi import MEMORY

PAGE_BYTES = mmap.PAGESIZE
IMAGES_MAX = 64
"""more are not kept: each is a file descriptor and some pages"""
_BLANK = bytes(PAGE_BYTES)
_PAGEMAP = Path("/proc/self/pagemap")
_ENTRY = Struct("<Q")
_THERE = 62
"""bits 62 and 63 of an entry: the page is in the swap, or in memory (kernel's Documentation, pagemap.rst)"""
_NONE, _RW = 0, mmap.PROT_READ | mmap.PROT_WRITE
_PLACED = mmap.MAP_PRIVATE | 0x10 | 0x4000
"""MAP_FIXED and MAP_NORESERVE on Linux"""


class _Image(NamedTuple):
    """``pages``: index -> what is in it, of those that the first memory had touched; the file has the same."""

    file: int
    pages: dict[int, bytes]


class Images:
    """Of one host. ``place``: mmap(address, bytes, protection, flags, file, offset); ``protect``:
    mprotect."""

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
            touched = {
                i: bytes(MEMORY[address + i * PAGE_BYTES : address + (i + 1) * PAGE_BYTES])
                for i in _touched(address, size_bytes)
            }
            if image is None:
                image = self._images[key] = self._image(touched, mapped_bytes)
        except OSError:  # no such file system, no more files, another kernel: then nothing is shared
            self._refused = True
            return 0
        own = {i: data for i, data in touched.items() if image.pages.get(i, _BLANK) != data}
        own |= {i: _BLANK for i in image.pages if i not in touched}
        if self._place(address, mapped_bytes, _NONE, _PLACED, image.file, 0) != address:
            self._refused = True  # what was there is there still
            return 0
        if self._protect(address, size_bytes, _RW):
            raise MemoryError("this machine took a guest memory away and doesn't give it back")
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


def _touched(address: int, size_bytes: int) -> list[int]:
    """Which pages there are memory; the others were never written to. The file is opened each time: in a fork
    it is another one."""
    with _PAGEMAP.open("rb", buffering=0) as table:
        table.seek(address // PAGE_BYTES * _ENTRY.size)
        entries = table.read(size_bytes // PAGE_BYTES * _ENTRY.size)
    if len(entries) != size_bytes // PAGE_BYTES * _ENTRY.size:
        raise OSError("the kernel told of fewer pages than there are")
    return [i for i, (entry,) in enumerate(_ENTRY.iter_unpack(entries)) if entry >> _THERE]


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)

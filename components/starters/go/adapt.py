"""adapt.py MODULE OUT: give a Go module the allocator that the WASI adapter asks for, `cabi_realloc_adapter`.

The adapter needs memory before Go's own start, so Go's allocator can't serve it. There is an array for it in
runtime/wit/runtime/runtime.go; the function that is added here hands out that array, piece by piece, and
traps at its end. Needs Python alone. Format: WebAssembly core specification, chapter 5.
"""

from __future__ import annotations

import sys
from pathlib import Path

MAGIC = b"adapter-arena\x17\xa5\x5a"
ARENA_BYTES = 192 << 10
TYPE, IMPORT, FUNCTION, GLOBAL, EXPORT, CODE, DATA = 1, 2, 3, 6, 7, 10, 11
I32, I32_CONST, END = 0x7F, 0x41, 0x0B


def unsigned(value: int) -> bytes:
    """An unsigned LEB128 number."""
    out = b""
    while value > 0x7F:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value,))


def signed(value: int) -> bytes:
    """A signed LEB128 number."""
    out = b""
    while not -64 <= value < 64:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value & 0x7F,))


def number(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def sections(module: bytes) -> list[tuple[int, bytes]]:
    """Each section: its kind, and its content."""
    found, at = [], 8
    while at < len(module):
        kind = module[at]
        size, at = number(module, at + 1)
        found.append((kind, module[at : at + size]))
        at += size
    return found


def imported_functions(body: bytes) -> int:
    """How many of the imports are functions; Go's module imports nothing else."""
    count, at = number(body, 0)
    for _ in range(count):
        for _ in range(2):
            size, at = number(body, at)
            at += size
        if body[at] != 0:
            raise SystemExit("adapt.py: an import that is no function: this is no module of Go's")
        _, at = number(body, at + 1)
    return count


def arena_address(body: bytes) -> int:
    """Where in memory the data segment lies that begins the array."""
    count, at = number(body, 0)
    for _ in range(count):
        if body[at] != 0 or body[at + 1] != I32_CONST:
            raise SystemExit("adapt.py: a data segment without an address: this is no module of Go's")
        offset, at = number(body, at + 2)  # it is positive: its sign is 0, and changes nothing
        size, at = number(body, at + 1)
        begins = body.find(MAGIC, at, at + size)
        if begins >= 0:
            return offset + begins - at
        at += size
    raise SystemExit("adapt.py: the array for the adapter isn't in this module (is it built with ./runtime?)")


def appended(body: bytes, entry: bytes) -> bytes:
    """A section with one entry more."""
    count, at = number(body, 0)
    return unsigned(count + 1) + body[at:] + entry


def allocator(counter: int, arena: int) -> bytes:
    """(old, old size, align, size) -> address: the next free byte of the array, aligned."""
    text = [
        *(b"\x23" + unsigned(counter), b"\x20\x02\x6a\x41\x01\x6b"),  # counter + align - 1
        *(b"\x41\x00\x20\x02\x6b\x71", b"\x22\x04"),  # & -align: the address
        *(b"\x20\x03\x6a", b"\x24" + unsigned(counter)),  # the counter is behind it
        b"\x23" + unsigned(counter) + b"\x41" + signed(arena + ARENA_BYTES) + b"\x4b",
        b"\x04\x40\x00\x0b",  # past the end: unreachable
        b"\x20\x04\x0b",
    ]
    code = b"\x01\x01" + bytes((I32,)) + b"".join(text)
    return unsigned(len(code)) + code


def adapted(module: bytes) -> bytes:
    """The module with the allocator; entries at the end of a section change no index."""
    parts = sections(module)
    body = dict(parts)
    types, functions, counter = (number(body[kind], 0)[0] for kind in (TYPE, FUNCTION, GLOBAL))
    index = imported_functions(body[IMPORT]) + functions
    arena = arena_address(body[DATA])
    name = b"cabi_realloc_adapter"
    entries = {
        TYPE: b"\x60\x04" + bytes((I32,)) * 4 + b"\x01" + bytes((I32,)),
        FUNCTION: unsigned(types),
        GLOBAL: bytes((I32, 1, I32_CONST)) + signed(arena) + bytes((END,)),
        EXPORT: unsigned(len(name)) + name + b"\x00" + unsigned(index),
        CODE: allocator(counter, arena),
    }
    out = module[:8]
    for kind, content in parts:
        if kind in entries:
            content = appended(content, entries[kind])
        out += bytes((kind,)) + unsigned(len(content)) + content
    return out


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    Path(sys.argv[2]).write_bytes(adapted(Path(sys.argv[1]).read_bytes()))

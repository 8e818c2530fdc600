"""Which of a component's imports are WASI 0.2, which package of it needs a grant, and which functions park.

Belongs here: names and types. Never: what a function does (sim/wasi has that), calls. A component of any
0.2.x is taken: within 0.2 functions are only added (WASI's own promise), and one that isn't known here traps
by its name when it is called.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_NAME = re.compile(r"wasi:([a-z0-9-]+/[a-z0-9-]+)@0\.2\.\d+")
_ANY = re.compile(r"wasi:[a-z0-9-]+/[a-z0-9-]+@")

ALWAYS = ("wasi:cli", "wasi:io", "wasi:random")
"""packages that need no grant: what they give is the component's own (its arguments and environment as the
scenario states them, its output, which is kept, seeded random numbers)"""
GRANTABLE = ("wasi:clocks", "wasi:filesystem", "wasi:sockets", "wasi:http")
"""packages that reach something, each only where it is granted"""

_HARMLESS = ("filesystem/preopens#get-directories", "sockets/instance-network#instance-network")

RESOURCES = (
    "pollable", "error", "input-stream", "output-stream", "terminal-input", "terminal-output", "descriptor",
    "directory-entry-stream", "network", "tcp-socket", "udp-socket", "incoming-datagram-stream",
    "outgoing-datagram-stream", "resolve-address-stream", "fields", "incoming-request", "outgoing-request",
    "request-options", "response-outparam", "incoming-response", "incoming-body", "future-trailers",
    "outgoing-response", "outgoing-body", "future-incoming-response",
)  # fmt: skip
"""resource types of WASI 0.2 by name; each is a type of its own to wasmtime, numbered from 1"""
_ALIASES = {"io-error": "error", "headers": "fields", "trailers": "fields"}
"""other names of resources in wasi:http/types"""

PARKING = (
    "io/poll#[method]pollable.block",
    "io/poll#poll",
    "io/streams#[method]input-stream.blocking-read",
    "io/streams#[method]input-stream.blocking-skip",
    "io/streams#[method]output-stream.blocking-write-and-flush",
    "io/streams#[method]output-stream.blocking-flush",
    "io/streams#[method]output-stream.blocking-write-zeroes-and-flush",
    "io/streams#[method]output-stream.blocking-splice",
    "filesystem/types#[method]descriptor.sync",
    "filesystem/types#[method]descriptor.sync-data",
)
"""functions that wait, or that act outside the instance: the guest is parked, and they act after the CPU time
that led to them"""


def wasi_interface(full_name: str) -> str | None:
    """``io/poll`` for ``wasi:io/poll@0.2.9``; None for what isn't WASI 0.2, or of no package of it."""
    match = _NAME.fullmatch(full_name)
    if match is None or f"wasi:{match[1].split('/')[0]}" not in ALWAYS + GRANTABLE:
        return None
    return match[1]


def other_wasi(full_name: str) -> bool:
    """Is it WASI of another version, or of a package that isn't offered?"""
    return _ANY.match(full_name) is not None and wasi_interface(full_name) is None


def package(interface: str) -> str:
    """``wasi:io`` for ``io/poll``."""
    return f"wasi:{interface.split('/', maxsplit=1)[0]}"


def harmless(name: str) -> bool:
    """Does that function give nothing by itself, granted or not? Without a grant there is no folder, the
    network takes no call, and http/types makes requests that nobody sends."""
    return name in _HARMLESS or name.startswith("http/types#")


def resource_number(name: str) -> int:
    """wasmtime's number for a resource type of that name, from 1; all that no list has
    share the number after the last (nothing here ever makes one)."""
    known = _ALIASES.get(name, name)
    return RESOURCES.index(known) + 1 if known in RESOURCES else len(RESOURCES) + 1


@cache
def signatures() -> dict[str, str]:
    """``io/poll#poll`` -> its type as ``describe_function`` writes it, of every function of WASI 0.2.12.

    Read from signatures.txt, which says how it was made.
    """
    short: dict[str, str] = {}
    table: dict[str, str] = {}
    text = (Path(__file__).parent / "signatures.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        name, _, said = line.partition(" ")
        if not name or name == "#":
            continue
        for key, value in short.items():
            said = said.replace(key, value)
        if name.startswith("$"):
            short[f"{name}$"] = said
        else:
            table[name] = said
    return table

"""Where in its code a guest trapped: the function names in wasmtime's text of the error.

Belongs here: reading that text, and making names of Rust short. Never: what the trap means (outcome.py). The
names are the guest's own words: they are cut to a length and to what can be printed, and mean nothing to us.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

FRAMES_MAX = 8
NAME_CHARACTERS_MAX = 120
_READ_CHARACTERS_MAX = 1000
"""of a name as it came: the guest chooses its length"""
_OPENING = "error while executing at wasm backtrace:"
_FRAME = re.compile(r" +\d+: (?: *0x[0-9a-f]+ - )?(.+)")
_INLINED = re.compile(r" {10,}- (.+)")
_PLACE = re.compile(r" {10,}at ")
_LEGACY = re.compile(r"_?_ZN(.+)17h[0-9a-f]{16}E(?:\.llvm\.\w+)?")
_HASH = re.compile(r"::h[0-9a-f]{16}$")
_CRATE = re.compile(r"(?<=\w)\[[0-9a-f]+\]")
_SKIPPED = re.compile(r"[sB][0-9A-Za-z]*_")
_NUMBER = re.compile(r"[0-9]+")
_ESCAPES = {
    "$LT$": "<",
    "$GT$": ">",
    "$RF$": "&",
    "$BP$": "*",
    "$LP$": "(",
    "$RP$": ")",
    "$C$": ",",
    "$SP$": "@",
}


def trapped_in(text: str) -> tuple[str, ...]:
    """The functions in which a guest was when it trapped, innermost first, eight at most; empty when the text
    of the error holds no backtrace. A function without a name is ``<wasm function 12>``."""
    found: list[str] = []
    for name in _frames(text):
        if len(found) == FRAMES_MAX:
            break
        found.append(short_name(name))
    return tuple(found)


def short_name(name: str) -> str:
    """A function's name as people know it: the last two parts of a path in Rust, mangled or not; others
    stay."""
    printable = "".join(one for one in name[:_READ_CHARACTERS_MAX] if one.isprintable())
    legacy = _LEGACY.fullmatch(printable)
    if legacy:
        short = "::".join(_legacy_parts(legacy[1])[-2:]) or printable
    elif printable.startswith(("_R", "__R")):
        short = "::".join(_identifiers(printable)[-2:]) or printable
    elif "::" in printable and "(" not in printable:
        short = _short_path(printable)
    else:
        short = printable
    return short if len(short) <= NAME_CHARACTERS_MAX else short[: NAME_CHARACTERS_MAX - 1] + "…"


def _frames(text: str) -> Iterator[str]:
    """The name of each frame. With WASMTIME_BACKTRACE_DETAILS=1 a frame has several, from debugging
    information: the last is the function itself, the others were put into it by its compiler."""
    lines = iter(text.split("\n"))
    name: str | None = None
    for line in lines:
        if line.endswith(_OPENING):
            break
    for line in lines:
        frame, inlined = _FRAME.match(line), _INLINED.match(line)
        if not line or line.startswith("Caused by:"):
            break
        if inlined and name is not None:
            name = inlined[1]
        elif frame:
            if name is not None:
                yield _without_module(name)
            name = frame[1]
        elif _PLACE.match(line) and name is not None and "!" not in name.split("::")[0]:
            name = "!" + name  # with details no module is named
    if name is not None:
        yield _without_module(name)


def _without_module(name: str) -> str:
    return name.partition("!")[2] or name


def _short_path(path: str) -> str:
    """``a::b::c::h0123456789abcdef`` -> ``b::c``, ``<a::B<c::D> as e::F>::g`` -> ``B::g``."""
    parts = _split(_CRATE.sub("", _HASH.sub("", path)), "::")
    kept = [part for at, part in enumerate(parts) if at == 0 or not part.startswith("<")]
    return "::".join(_owner(part) for part in kept[-2:])


def _owner(part: str) -> str:
    """A type in angle brackets by its own last name."""
    if part.startswith("<") and part.endswith(">"):
        inner = _split(part[1:-1], " as ")[0]
        part = _split(inner.removeprefix("impl "), "::")[-1]
    return part.split("<")[0] or part


def _split(text: str, at: str) -> list[str]:
    """Split where no angle bracket is open."""
    parts, depth, begin, place = [], 0, 0, 0
    while place < len(text):
        if text[place] == "<":
            depth += 1
        elif text[place] == ">":
            depth -= 1
        elif depth == 0 and text.startswith(at, place):
            parts.append(text[begin:place])
            place += len(at)
            begin = place
            continue
        place += 1
    return [*parts, text[begin:]]


def _legacy_parts(body: str) -> list[str]:
    """``6driver4poll`` -> driver, poll; names with escapes as they would be written."""
    parts = []
    at = 0
    while (number := _NUMBER.match(body, at)) is not None and len(number[0]) < 6:
        at = number.end() + int(number[0])
        part = body[number.end() : at]
        for escape, character in _ESCAPES.items():
            part = part.replace(escape, character)
        part = re.sub(r"\$u([0-9a-f]{2,5})\$", lambda one: chr(int(one[1], 16)), part).replace("..", "::")
        part = part.removeprefix("_") if part.startswith("_<") else part
        parts.append(_owner(part))
    return parts


def _identifiers(name: str) -> list[str]:
    """The identifiers of Rust's second mangling in their order, crate first; best effort."""
    found = []
    at = name.index("R") + 1
    while at < len(name) and name[at] != ".":
        skipped, number = _SKIPPED.match(name, at), _NUMBER.match(name, at)
        if skipped:
            at = skipped.end()
        elif number and len(number[0]) < 6:
            begin = number.end() + name.startswith("_", number.end())
            at = begin + int(number[0])
            found.append(name[begin:at])
        else:
            at += 1
    return [one for one in found if one]

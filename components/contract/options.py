"""The options that a component states of itself: a custom section ``twinloop:options`` at the top level of
its bytes, in JSON.

Belongs here: reading and writing the section. Never: checking values: a component's own ``configure`` judges
them. Payload: ``{"options": [{"name": "timeout", "type": "duration", "unit": "", "default": "1 s", "text":
"..."}]}``. Custom sections: WebAssembly core specification 3.0, section 5.5.3, which the component model's
binary format takes over.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

SECTION = "twinloop:options"
TYPES = ("text", "integer", "number", "duration", "choice", "list")
_HEADER_BYTES = 8
"""magic, version and layer"""


class Option(NamedTuple):
    """One option. ``type``: of TYPES; ``default``: as it would be written, empty for none; ``text``: what it
    means, and its range."""

    name: str
    type: str
    unit: str
    default: str
    text: str


def stated_options(data: bytes) -> tuple[Option, ...] | None:
    """The options in a component's bytes; None when it states none, or in a form that isn't this one."""
    payload = options_payload(data)
    if payload is None:
        return None
    try:
        found: Any = json.loads(payload)
        return tuple(
            Option(*(str(one.get(field, "")) for field in Option._fields)) for one in found["options"]
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def with_options(data: bytes, options: list[dict[str, str]]) -> bytes:
    """A component's bytes with the section; raises ValueError for an option that isn't well formed."""
    for one in options:
        if tuple(one) != Option._fields or one["type"] not in TYPES:
            raise ValueError(
                f"option {one}: expected the fields {', '.join(Option._fields)} and a type of "
                f"{', '.join(TYPES)}"
            )
    payload = json.dumps({"options": options}, separators=(",", ":"), ensure_ascii=False).encode()
    name = SECTION.encode()
    body = _leb128(len(name)) + name + payload
    return data + b"\0" + _leb128(len(body)) + body


def options_payload(data: bytes) -> bytes | None:
    """The section's payload as it stands; None when there is none."""
    at, wanted = _HEADER_BYTES, SECTION.encode()
    while at < len(data):
        kind = data[at]
        size, at = _number(data, at + 1)
        if size is None or at + size > len(data):
            return None
        if kind == 0:
            length, begins = _number(data, at)
            if length is not None and data[begins : begins + length] == wanted:
                return data[begins + length : at + size]
        at += size
    return None


def _number(data: bytes, at: int) -> tuple[int | None, int]:
    value = shift = 0
    while at < len(data) and shift < 35:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return None, at


def _leb128(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value,))

"""What was learned of a device as a model file, and in words.

Belongs here: the file's keys and comments, the summary. Never: asking (probing.py), guesses (guessing.py).
"""

from __future__ import annotations

from typing import Any

from twinloop.devices.model.device import POINTS_MAX
from twinloop.devices.model.points import BITS
from twinloop.devices.model.profile import IDENTITY, IDENTITY_BYTES_MAX, QUANTILES, READ_MAX
from twinloop.scenarios.file.datasheet.blocks import FORMAT
from twinloop.scenarios.file.datasheet.writing import file_text
from twinloop.scenarios.learning.guessing import guessed
from twinloop.scenarios.learning.mapping import FUNCTIONS
from twinloop.scenarios.learning.probing import Probed, tables_of
from twinloop.scenarios.text.units import exact_duration, show_duration
from twinloop.scenarios.text.words import number_of

_WRITES = {"coil": (5, 15), "holding": (6, 16, 22, 23)}
"""functions that write, of each table: they aren't tried"""
_PARTS = (0, 50, 95, 99, 100)
_HOLES_SHOWN = 8


def quantiles(took_ns: list[int]) -> dict[str, int]:
    """min, p50, p95, p99, max by nearest rank, in ns."""
    rising = sorted(took_ns)
    return {
        name: rising[max(0, -(-len(rising) * part // 100) - 1)]
        for name, part in zip(QUANTILES, _PARTS, strict=True)
    }


def learned_file(found: Probed, name: str, shown_url: str) -> str:
    """The text of a model file; raises ValueError when there is nothing to describe."""
    points, reasons, constants = _points(found)
    mapped = found.mapped
    if not points:
        raise ValueError(
            "nothing that was asked for is there, or all of it is 0: say other addresses (--registers)"
        )
    keys: dict[str, Any] = {
        "format": FORMAT,
        "title": name,
        "source": f"learned from {shown_url} by twinloop device probe: "
        f"{number_of(mapped.requests, 'request')}, {number_of(len(found.looks), 'look')}; types are guesses",
        "step": exact_duration(found.every_ns),
    }
    if mapped.took_ns:
        keys["response"] = {key: exact_duration(value) for key, value in quantiles(mapped.took_ns).items()}
    if _functions(found):
        keys["functions"] = _functions(found)
    most, exact = mapped.largest_read()
    if exact and most < READ_MAX:
        keys["largest-read"] = most
    if any(mapped.holes(table) for table in tables_of(found)):
        keys["holes"] = "refused"
    identity = _identity(mapped.identity)
    if identity:
        keys["identity"] = identity
    if constants:
        keys["constants"] = constants
    keys["points"] = points
    head = [
        "Learned from a device. Compare types, scales and names with its datasheet: no register tells them.",
        *(line for line in told(found) if not line.startswith("note")),
        *([f"Ended early: {found.ended}"] if found.ended else []),
    ]
    return file_text(keys, reasons, "\n".join(line.strip() for line in head))


def _points(found: Probed) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
    """(points, reasons, constants): what is 0 in all looks, or one too many, is a constant."""
    points: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    constants: dict[str, dict[int, list[int]]] = {}
    for table in tables_of(found):
        rest: dict[int, int] = {}
        for first, count in found.mapped.islands(table):
            looks = [[look.get((table, at), 0) for at in range(first, first + count)] for look in found.looks]
            rest |= {first + i: word for i, word in enumerate(looks[0])}
            for address, width, keys, reason in (
                _bits(first, looks) if table in BITS else guessed(first, looks)
            ):
                if len(points) < POINTS_MAX:
                    name = f"{table}-{address}"
                    points[name] = {"table": table, "address": address} | keys
                    reasons[name] = reason
                    for at in range(address, address + width):
                        del rest[at]
        if rest:
            constants[table] = _runs(rest)
    return points, reasons, constants


def _bits(first: int, looks: list[list[int]]) -> list[tuple[int, int, dict[str, Any], str]]:
    """Coils and discrete inputs that were 1 at least once."""
    found: list[tuple[int, int, dict[str, Any], str]] = []
    for i in range(len(looks[0])):
        ones = sum(look[i] for look in looks)
        if ones == len(looks):
            found.append(
                (first + i, 1, {"type": "u16", "signal": {"level": 1}}, f"1 in {number_of(ones, 'look')}")
            )
        elif ones:
            signal = {"kind": "square", "level": 0, "swing": 1, "duty": ones / len(looks)}
            found.append(
                (first + i, 1, {"type": "u16", "signal": signal}, f"1 in {ones} of {len(looks)} looks")
            )
    return found


def _runs(words: dict[int, int]) -> dict[int, list[int]]:
    runs: dict[int, list[int]] = {}
    last = -1
    for address in sorted(words):
        if runs and last + len(runs[last]) == address and len(runs[last]) < READ_MAX:
            runs[last].append(words[address])
        else:
            last = address
            runs[last] = [words[address]]
    return runs


def _functions(found: Probed) -> list[int]:
    """Only if one of those that were tried isn't known: then which are, with those that write and weren't
    tried."""
    mapped = found.mapped
    if not mapped.absent and mapped.identifies:
        return []
    asked = [table for table in mapped.there if table not in mapped.absent]
    known = [FUNCTIONS[table] for table in asked] + [one for table in asked for one in _WRITES.get(table, ())]
    return sorted(known + ([43] if mapped.identifies else []))


def _identity(objects: dict[int, str]) -> dict[str, str]:
    """Nothing unless the three are there that each device has to have."""
    found = {
        key: objects[number]
        for number, key in enumerate(IDENTITY)
        if number in objects and objects[number].isascii() and 1 <= len(objects[number]) <= IDENTITY_BYTES_MAX
    }
    return found if all(key in found for key in IDENTITY[:3]) else {}


# ---- in words ------------------------------------------------------------------------------------
def told(found: Probed) -> list[str]:
    """What was learned, a line each."""
    mapped, lines = found.mapped, []
    for table, words in mapped.there.items():
        if table in mapped.absent:
            lines.append(f"{table}: function {FUNCTIONS[table]} is exception 01: there are none")
        elif not words:
            lines.append(f"{table}: none of the addresses that were asked for is there")
        else:
            lines.append(f"{table}: {_spans(mapped.islands(table))}{_missing(mapped.holes(table))}")
    most, exact = mapped.largest_read()
    if most:
        lines.append(
            f"reads: {number_of(most, 'register')} at once, one more is refused"
            if exact
            else f"reads: {number_of(most, 'register')} at once are answered; whether more are wasn't seen"
        )
    if mapped.identity:
        names = [IDENTITY[n] if n < len(IDENTITY) else f"object {n}" for n in mapped.identity]
        lines.append(
            "identity: " + ", ".join(f"{a} {b}" for a, b in zip(names, mapped.identity.values(), strict=True))
        )
    else:
        lines.append("identity: none (function 43)")
    if mapped.sunspec is not None:
        lines.append(
            f"SunSpec: its map begins at holding {mapped.sunspec}; twinloop device new NAME --from sunspec:N "
            f"writes a model from the published one"
        )
    if mapped.took_ns:
        times = ", ".join(f"{key} {show_duration(value)}" for key, value in quantiles(mapped.took_ns).items())
        lines.append(f"answers: {times}, the way there and back included")
    if mapped.codes:
        codes = ", ".join(
            f"{code:02X} {number_of(count, 'time')}" for code, count in sorted(mapped.codes.items())
        )
        lines.append(f"exceptions while it was mapped: {codes}")
    if mapped.silences:
        lines.append(f"silence: {number_of(mapped.silences, 'request')} without an answer")
    return lines


def _spans(runs: list[tuple[int, int]]) -> str:
    shown = [f"{first}..{first + count - 1}" if count > 1 else str(first) for first, count in runs]
    return ", ".join(shown[:_HOLES_SHOWN]) + (
        f" and {len(shown) - _HOLES_SHOWN} more" if shown[_HOLES_SHOWN:] else ""
    )


def _missing(holes: list[tuple[int, int]]) -> str:
    return f"; holes: {_spans(holes)}" if holes else "; no holes between them"

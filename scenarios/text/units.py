"""Quantities: a number and a unit as text, to an integer or a ratio, exactly.

Belongs here: units. Never: ranges of single keys (schema.py). A bare number where a unit is due is an error,
and so is a unit where none is due.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

DURATIONS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
}
SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
RATES = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}
_QUANTITY = re.compile(r"^\s*([-+]?[0-9]*\.?[0-9]+)\s*([A-Za-z%/]*)\s*$")
LARGEST = 1 << 60
TEXT_MAX = 60
"""characters of a quantity"""
PER_SECOND_MAX = 1_000_000


def parse(text: Any, units: dict[str, int], what: str, example: str) -> int:
    """``"50 ms"`` with DURATIONS is 50_000_000; raises ValueError with what was expected and what came."""
    if not isinstance(text, str):
        raise ValueError(f'expected {what} with a unit, e.g. "{example}", got {text!r}')
    found = _QUANTITY.match(text) if len(text) <= TEXT_MAX else None
    if not found:
        raise ValueError(f'expected {what}, e.g. "{example}", got "{text[:TEXT_MAX]}"')
    number, unit = found.groups()
    if unit not in units:
        got = f'unit "{unit}"' if unit else "no unit"
        raise ValueError(
            f'expected {what}, e.g. "{example}" (units: {", ".join(units)}), got {got} in "{text}"'
        )
    value = Decimal(number) * units[unit]
    if value != value.to_integral_value() or abs(value) > LARGEST:
        raise ValueError(f'{what} "{text}" is not a whole number of {next(iter(units))}, or too large')
    return int(value)


def duration(text: Any) -> int:
    """Nanoseconds, 0 or more."""
    value = parse(text, DURATIONS, "a duration", "50 ms")
    if value < 0:
        raise ValueError(f'a duration can\'t be negative, got "{text}"')
    return value


def shift(text: Any) -> int:
    """Nanoseconds either way, not 0."""
    value = parse(text, DURATIONS, "a duration, + or -", "-2 s")
    if not value:
        raise ValueError(f'expected a duration other than 0, got "{text}"')
    return value


def positive_duration(text: Any) -> int:
    """Nanoseconds, at least 1."""
    value = duration(text)
    if not value:
        raise ValueError(f'expected a duration over 0, got "{text}"')
    return value


def size(text: Any) -> int:
    """Bytes, 0 or more."""
    value = parse(text, SIZES, "a size", "64 MiB")
    if value < 0:
        raise ValueError(f'a size can\'t be negative, got "{text}"')
    return value


def positive_size(text: Any) -> int:
    """Bytes, at least 1."""
    value = size(text)
    if not value:
        raise ValueError(f'expected a size over 0, got "{text}"')
    return value


def interval(text: Any) -> int:
    """Nanoseconds, at least 1 ms: shorter ones would fill the run with nothing but themselves."""
    value = duration(text)
    if value < DURATIONS["ms"]:
        raise ValueError(f'expected at least 1 ms, got "{text}"')
    return value


def bit_rate(text: Any) -> int:
    """Bits per second, over 0."""
    value = parse(text, RATES, "a rate", "10 Mbit/s")
    if value <= 0:
        raise ValueError(f'expected a rate over 0, got "{text}"')
    return value


def byte_rate(text: Any) -> int:
    """Bytes per second, over 0."""
    value = parse(text, {f"{unit}/s": scale for unit, scale in SIZES.items()}, "a byte rate", "10 MB/s")
    if value <= 0:
        raise ValueError(f'expected a byte rate over 0, got "{text}"')
    return value


def baud(text: Any) -> int:
    """Baud, 300 to 4 000 000."""
    value = parse(text, {"Bd": 1, "kBd": 1000}, "a baud rate", "9600 Bd")
    if not 300 <= value <= 4_000_000:
        raise ValueError(f'expected 300 Bd to 4 MBd, got "{text}"')
    return value


def per_second(text: Any) -> int:
    """Events per second, at least 1."""
    value = parse(text, {"/s": 1}, "a number per second", "200 /s")
    if not 1 <= value <= PER_SECOND_MAX:
        raise ValueError(f'expected 1 /s to {PER_SECOND_MAX} /s, got "{text}"')
    return value


def ratio(text: Any) -> float:
    """0 to 1, from a percentage."""
    if not isinstance(text, str) or not text.rstrip().endswith("%"):
        raise ValueError(f'expected a percentage, e.g. "0.1 %", got {text!r}')
    number = re.fullmatch(r"\s*([-+]?[0-9]*\.?[0-9]+)\s*%\s*", text)
    if not number:
        raise ValueError(f'expected a percentage, e.g. "0.1 %", got "{text}"')
    value = Decimal(number.group(1)) / 100
    if not 0 <= value <= 1:
        raise ValueError(f'expected 0 % to 100 %, got "{text}"')
    return float(value)


def positive_ratio(text: Any) -> float:
    """0.0001 to 1, from a percentage."""
    value = ratio(text)
    if value < 0.0001:
        raise ValueError(f'expected 0.01 % to 100 %, got "{text}"')
    return value


def skew(text: Any) -> int:
    """Billionths, from parts per million, + or -, at most 100 000 ppm."""
    value = parse(text, {"ppm": 1000, "ppb": 1}, "a clock's skew", "200 ppm")
    if not 0 < abs(value) <= 100_000_000:
        raise ValueError(f'expected -100000 ppm to 100000 ppm and not 0, got "{text}"')
    return value


def faults_in_window(text: Any) -> tuple[int, int]:
    """``"5 in 60 s"``: (5, 60 s in ns)."""
    found = re.match(r"^\s*([0-9]+)\s+in\s+(.+)$", text) if isinstance(text, str) else None
    if not found or int(found.group(1)) < 1:
        raise ValueError(f'expected a number of faults in a window, e.g. "5 in 60 s", got {text!r}')
    return int(found.group(1)), positive_duration(found.group(2))


def show_number(value: float, digits: int = 6) -> str:
    """A number for people: so many digits that count, whole numbers with all of theirs, no exponent where
    others have to read it (very small ones have one)."""
    if isinstance(value, int):
        return str(value)
    if abs(value) >= 10**digits or value % 1 == 0:
        return f"{value:.0f}"
    text = f"{value:.{digits}g}"
    return text if "e+" not in text else f"{value:.0f}"


def show_duration(value_ns: int | float) -> str:
    """A duration for people: three digits and the unit that fits."""
    for unit, scale in (("h", 3600 * 10**9), ("min", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if abs(value_ns) >= scale and not (unit in ("min", "h") and abs(value_ns) < 2 * scale):
            return f"{_of_three_digits(value_ns / scale)} {unit}"
    return f"{_of_three_digits(value_ns)} ns" if value_ns else "0 s"


def exact_duration(value_ns: int) -> str:
    """A duration for a file: all its digits, in the unit that fits; ``duration`` reads the same from it."""
    for unit in ("s", "ms", "us"):
        if abs(value_ns) >= DURATIONS[unit]:
            return f"{Decimal(value_ns) / DURATIONS[unit]:f} {unit}"
    return f"{value_ns} ns" if value_ns else "0 s"


def _of_three_digits(value: float) -> str:
    """All digits before the point, where they are more."""
    text = f"{value:.3g}"
    return text if "e+" not in text else f"{value:.0f}"


def show_ratio(value: float) -> str:
    """A share for people: three digits, more where it would seem to be the whole and isn't."""
    percent = 100 * value
    for digits in range(3, 17):
        text = f"{percent:.{digits}g}"
        if float(text) != 100.0 or percent == 100.0:
            return f"{text} %"
    return "100 %"


def show_clock(at_ns: int) -> str:
    """How far into something: ``3 h 05 min``, ``5 min 12 s``, ``12.3 s``."""
    seconds = at_ns // 10**9
    if seconds < 60:
        return show_duration(at_ns)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"


def show_size(value_bytes: int | float) -> str:
    """A size for people."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(value_bytes) >= scale:
            return f"{_of_three_digits(value_bytes / scale)} {unit}"
    return f"{value_bytes:.0f} B"

"""WIT types as tests write them: random ones, their text, and how the canonical ABI lays them out.

Belongs here: types by themselves, from the component model's CanonicalABI.md. Never: values, calls, and any
code of codec.py: what is held against each other has to come from two hands.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

SCALARS = ("bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string")
NAMED = ("record", "variant", "enum", "flags")
"""kinds that a component has to export by a name before its functions may use them"""
WORDS = (
    "class", "from", "import", "lambda", "none", "self", "count", "index", "value", "tag", "ok", "make", "replace",
    "a", "is-up", "HTTP-port", "x1-y2", "very-long-name-of-many-words", "fields", "asdict", "true", "return",
)  # fmt: skip
"""names of fields and cases: keywords of Python, names of a tuple's own methods, what WIT allows beyond Python"""
FLAT_MAX = 16
"""parameters that are passed as core values; more are passed by a pointer"""
QUOTED = '"{}"'.format
_FLAT = {"s64": "i64", "u64": "i64", "f32": "f32", "f64": "f64"}
_SIZES = {
    "bool": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "s64": 8, "u64": 8, "f32": 4, "f64": 8,
    "char": 4, "own": 4, "borrow": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Wit:
    """A type. ``parts``: its element, fields, payloads of its cases, ok and error (None: there is none)."""

    kind: str
    parts: tuple[Wit | None, ...] = ()
    names: tuple[str, ...] = field(default=(), repr=False)

    def some(self) -> list[Wit]:
        """Its parts without those that aren't there."""
        return [part for part in self.parts if part is not None]


def names_of(dice: random.Random, count: int) -> tuple[str, ...]:
    """So many names, no two alike."""
    few = dice.sample(WORDS, min(count, len(WORDS)))
    return (*few, *(f"more-n{number}" for number in range(count - len(few))))


def random_type(dice: random.Random, depth: int = 4, leaves: tuple[str, ...] = SCALARS) -> Wit:
    """A type at most so deep; its innermost types are of ``leaves``."""
    if depth == 0 or dice.random() < 0.15:
        return Wit(dice.choice(leaves))
    inner = lambda: random_type(dice, depth - 1, leaves)
    kind = dice.choice(
        ("list", "bytes", "tuple", "record", "record", "variant", "variant", "enum", "flags", "option", "options", "result")
    )  # fmt: skip
    if kind == "bytes":
        return Wit("list", (Wit("u8"),))
    if kind in ("list", "option"):
        return Wit(kind, (inner(),))
    if kind == "options":
        return Wit("option", (Wit("option", (inner(),)),))
    if kind == "result":
        return Wit(kind, tuple(inner() if dice.random() < 0.7 else None for _ in range(2)))
    if kind == "enum":
        return Wit(kind, names=names_of(dice, dice.choice((1, 2, 3, 7, 255, 256, 257, 300))))
    if kind == "flags":
        return Wit(kind, names=names_of(dice, dice.choice((1, 2, 8, 9, 16, 17, 31, 32))))
    if dice.random() < 0.08:  # so many that they don't fit into parameters
        return Wit(kind, tuple(Wit(dice.choice(leaves)) for _ in range(18)), names_of(dice, 18))
    count = dice.randint(1, 5)
    parts = tuple(None if kind == "variant" and dice.random() < 0.3 else inner() for _ in range(count))
    return Wit(kind, parts, () if kind == "tuple" else names_of(dice, count))


def replaced(wit: Wit, old: str, new: str) -> Wit:
    """The same type with ``new`` for each ``old``."""
    if wit.kind == old:
        return Wit(new)
    return Wit(wit.kind, tuple(part and replaced(part, old, new) for part in wit.parts), wit.names)


# ---- layout --------------------------------------------------------------------------------------
def _discriminant(wit: Wit) -> int:
    count = len(wit.names) or 2
    return 1 if count <= 1 << 8 else 2 if count <= 1 << 16 else 4


def align(wit: Wit) -> int:
    """Of a value in memory."""
    if wit.kind in ("string", "list"):
        return 4
    if wit.kind == "flags":
        return size(wit)
    if wit.kind in ("enum", "variant", "option", "result"):
        return max([_discriminant(wit), *map(align, wit.some())])
    return max(map(align, wit.some())) if wit.parts else _SIZES[wit.kind]


def size(wit: Wit) -> int:
    """In memory."""
    if wit.kind in ("string", "list"):
        return 8
    if wit.kind == "flags":
        return 1 if len(wit.names) <= 8 else 2 if len(wit.names) <= 16 else 4
    if wit.kind in ("tuple", "record"):
        return size_of_fields(wit.some())
    if wit.kind in _SIZES:
        return _SIZES[wit.kind]
    widest = max(map(align, wit.some()), default=1)
    return _up(
        _up(_discriminant(wit), widest) + max(map(size, wit.some()), default=0),
        max(_discriminant(wit), widest),
    )


def size_of_fields(parts: list[Wit]) -> int:
    """Of a record of these."""
    at = 0
    for part in parts:
        at = _up(at, align(part)) + size(part)
    return _up(at, max(map(align, parts)))


def _up(number: int, to: int) -> int:
    return -(-number // to) * to


def flat(wit: Wit) -> list[str]:
    """The core values of it."""
    if wit.kind in ("string", "list"):
        return ["i32", "i32"]
    if wit.kind in ("tuple", "record"):
        return [core for part in wit.some() for core in flat(part)]
    if wit.kind in ("enum", "variant", "option", "result"):
        joined: list[str] = []
        for part in wit.some():
            for at, core in enumerate(flat(part)):
                if at == len(joined):
                    joined.append(core)
                elif joined[at] != core:
                    joined[at] = "i32" if {joined[at], core} == {"i32", "f32"} else "i64"
        return ["i32", *joined]
    return [_FLAT.get(wit.kind, "i32")]


# ---- text ----------------------------------------------------------------------------------------
class Text:
    """The text that defines types: of an interface, which exports those with names, and of the component that
    imports it. ``resource``: the name of the resource's type in both."""

    def __init__(self, resource: str = "") -> None:
        self.interface: list[str] = []
        self.component: list[str] = []
        self._resource = resource
        self._known: dict[Wit, str] = {}

    def of(self, wit: Wit) -> str:
        """How a type is referred to; it is defined where it wasn't."""
        if wit.kind in SCALARS:
            return wit.kind
        if wit not in self._known:
            said = self._said(wit)
            number = len(self._known)
            self._known[wit] = name = f"$t{number}"
            if wit.kind in NAMED:
                self.interface.append(
                    f'(type $d{number} {said}) (export "n{number}" (type {name} (eq $d{number})))'
                )
                self.component.append(f'(alias export $host "n{number}" (type {name}))')
            else:
                self.interface.append(f"(type {name} {said})")
                self.component.append(f"(type {name} {said})")
        return self._known[wit]

    def _said(self, wit: Wit) -> str:
        refs = [part and self.of(part) for part in wit.parts]
        if wit.kind in ("own", "borrow"):
            return f"({wit.kind} {self._resource})"
        if wit.kind in ("list", "option", "tuple"):
            return f"({wit.kind} {' '.join(map(str, refs))})"
        if wit.kind == "result":
            ok, error = (ref or "" for ref in refs)
            return f"(result {ok} {f'(error {error})' if error else ''})"
        if not wit.parts:
            return f"({wit.kind} {' '.join(map(QUOTED, wit.names))})"
        word = "field" if wit.kind == "record" else "case"
        items = [f"({word} {QUOTED(name)} {ref or ''})" for name, ref in zip(wit.names, refs, strict=True)]
        return f"({wit.kind} {' '.join(items)})"

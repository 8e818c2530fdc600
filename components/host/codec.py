"""Typed component calls: a WIT type is compiled once into a codec over wasmtime's C values.

Belongs here: Python values to C values and back, for every WIT type but streams and futures; resources
cross as resources.py says. Never: calls.

A codec treats a value's 24 payload bytes as ONE struct slot ``form``; ``load`` maps that slot to Python and
``store`` maps Python to it (None: the slot is the value). Ownership: arguments are built in an arena which
the C API only reads; a call's result belongs to wasmtime until one ``val_delete``; a host import's result is
built in the arena and deep-copied by one ``val_clone``.
"""

from __future__ import annotations

import ctypes
import mmap
from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from struct import Struct, error
from typing import Any, NamedTuple

from wasmtime import component as wc

from twinloop.components.contract.errors import WrongValue
from twinloop.components.host.capi import MEMORY, QQ, VAL_BYTES, Q, amount, val_clone
from twinloop.components.host.misfit import SURROGATES, misfit
from twinloop.components.host.resources import Crossing

ARENA_BYTES = 64 << 20
"""room for one call's arguments; only the pages that were touched are in memory"""


class WitResult(NamedTuple):
    """A WIT result<T, E>."""

    ok: bool
    value: Any


class Case(NamedTuple):
    """A WIT variant."""

    tag: str
    value: Any


class Some(NamedTuple):
    """The present value of an option<option<T>>."""

    value: Any


class Codec(NamedTuple):
    """How one WIT type crosses: value kind, struct form of the payload, payload -> Python, Python ->
    payload."""

    kind: int
    form: str
    load: Callable[[Any], Any] | None
    store: Callable[[Any], Any] | None


_SCALARS = {
    wc.S8: (1, "b"), wc.U8: (2, "B"), wc.S16: (3, "h"), wc.U16: (4, "H"), wc.S32: (5, "i"),
    wc.U32: (6, "I"), wc.S64: (7, "q"), wc.U64: (8, "Q"), wc.F32: (9, "f"), wc.F64: (10, "d"),
}  # fmt: skip
_SCALAR_KIND_MAX = 11
"""values of these kinds own nothing"""
_NULL = bytes(8)
_NO_ROWS = (str, dict, set, frozenset)
"""they have a length and can be looked through, but are neither lists nor tuples"""
_WRONG = (error, ValueError, TypeError, LookupError, AttributeError, OverflowError)
"""what storing a wrong value raises"""
_BYTE_BLOCK = 4096
_BYTE_TEMPLATE = (b"\x02" + bytes(31)) * _BYTE_BLOCK


def _text(slot: bytes | memoryview) -> str:
    size, at = QQ.unpack_from(slot)
    return str(MEMORY[at : at + size], "utf-8")


_truth = {True: True, False: False}.__getitem__
"""a bool, also numpy's; struct would take anything for one"""


def _code_point(value: str) -> int:
    """Of a character; wasmtime ends the process when it is given a surrogate."""
    code = ord(value)
    if code in SURROGATES:
        raise ValueError("a surrogate is no character")
    return code


def _some(value: Any) -> tuple[Any]:
    if not isinstance(value, tuple):
        raise TypeError("neither None nor Some")
    return value


def _no_payload(value: Any) -> bytes:
    if value is not None:
        raise ValueError("a value where the case has none")
    return _NULL


def _head(codec: Codec) -> bytes:
    return bytes((codec.kind, 0, 0, 0, 0, 0, 0, 0))


class Codecs:
    """Compiles WIT types to codecs that share one arena."""

    def __init__(self) -> None:
        self._arena = mmap.mmap(-1, ARENA_BYTES)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self._arena))
        self._top = self.base
        self._end = self.base + ARENA_BYTES
        self._names: dict[str, tuple[bytes, Any]] = {}
        self.resources = Crossing()

    # ---- the arena -------------------------------------------------------------------------------
    def reset(self, reserved_bytes: int) -> int:
        """Forget what the arena held; the first ``reserved_bytes`` are the caller's. Returns their
        address."""
        self._top = self.base + reserved_bytes
        return self.base

    def _alloc(self, size: int) -> int:
        at = self._top
        self._top = at + (size + 7 & ~7)
        if self._top > self._end:
            raise OverflowError(f"component arguments larger than {ARENA_BYTES >> 20} MiB")
        return at

    def _put(self, data: bytes) -> int:
        at = self._alloc(len(data))
        MEMORY[at : at + len(data)] = data
        return at

    def _name(self, text: str) -> bytes:
        """(size, pointer) of a name that lives as long as these codecs."""
        if text not in self._names:
            raw = text.encode()
            self._names[text] = raw, ctypes.create_string_buffer(raw)
        raw, buffer = self._names[text]
        return QQ.pack(len(raw), ctypes.addressof(buffer))

    # ---- types -----------------------------------------------------------------------------------
    def codec(self, wit: Any) -> Codec:
        """The codec of a WIT type; raises TypeError for a type that can't cross the C API (it would
        abort)."""
        kind = type(wit)
        if kind in _SCALARS:
            number, form = _SCALARS[kind]
            return Codec(number, f"{form}{24 - Struct(form).size}x", None, None)
        build = self._BUILDERS.get(kind)
        if build is None:
            raise TypeError(f"{kind.__name__} cannot cross the wasmtime C API")
        return build(self, wit)

    def _bool(self, wit: Any) -> Codec:
        return Codec(0, "?23x", None, _truth)

    def _char(self, wit: Any) -> Codec:
        return Codec(11, "I20x", chr, _code_point)

    def _string(self, wit: Any) -> Codec:
        def store(value: str) -> bytes:
            raw = value.encode()
            return QQ.pack(len(raw), self._put(raw))

        return Codec(12, "24s", _text, store)

    def _own(self, wit: Any) -> Codec:
        crossing = self.resources
        return Codec(21, "24s", lambda slot: crossing.load(slot, owned=True), crossing.store)

    def _borrow(self, wit: Any) -> Codec:
        crossing = self.resources
        return Codec(21, "24s", lambda slot: crossing.load(slot, owned=False), crossing.store)

    def _enum(self, wit: Any) -> Codec:
        return Codec(17, "24s", _text, {name: self._name(name) for name in wit.names}.__getitem__)

    def _flags(self, wit: Any) -> Codec:
        names = {name: self._name(name) for name in wit.names}

        def load(slot: bytes) -> frozenset[str]:
            count, at = QQ.unpack_from(slot)
            return frozenset(_text(MEMORY[q : q + 16]) for q in range(at, at + 16 * count, 16))

        def store(value: Sequence[str]) -> bytes:
            if isinstance(value, str):
                raise TypeError("a string is no flags")
            return QQ.pack(len(value), self._put(b"".join([names[flag] for flag in value])))

        return Codec(20, "24s", load, store)

    def _tuple(self, wit: Any) -> Codec:
        codecs = [self.codec(element) for element in wit.elements]
        return self._block(15, tuple, [_head(codec) for codec in codecs], codecs)

    def _record(self, wit: Any) -> Codec:
        names, codecs = [name for name, _ in wit.fields], [self.codec(field) for _, field in wit.fields]
        record: Any = namedtuple("record", [name.replace("-", "_") for name in names], rename=True)  # type: ignore[misc]  # built from the WIT
        return self._block(
            14, record._make, [self._name(n) + _head(c) for n, c in zip(names, codecs, strict=True)], codecs
        )

    def _option(self, wit: Any) -> Codec:
        load, store = self._boxed(self.codec(wit.payload))
        if type(wit.payload) is wc.OptionType:
            return Codec(
                18,
                "24s",
                lambda b: Some(load(b)) if Q.unpack_from(b)[0] else None,
                lambda v: _NULL if v is None else store(*_some(v)),
            )
        return Codec(
            18,
            "24s",
            lambda b: load(b) if Q.unpack_from(b)[0] else None,
            lambda v: _NULL if v is None else store(v),
        )

    def _result(self, wit: Any) -> Codec:
        sides = [self._boxed(side and self.codec(side)) for side in (wit.err, wit.ok)]

        def store(value: Any) -> bytes:
            ok, content = value
            packed: bytes = Q.pack(ok) + sides[ok][1](content)
            return packed

        return Codec(
            19,
            "24s",
            lambda b: WitResult(bool(b[0]), sides[b[0]][0](b[8:])),
            store,
        )

    def _variant(self, wit: Any) -> Codec:
        cases = {
            name: (self._name(name), *self._boxed(payload and self.codec(payload)))
            for name, payload in wit.cases
        }
        loads = {name.encode(): (name, case[1]) for name, case in cases.items()}

        def load(slot: bytes) -> Case:
            size, at = QQ.unpack_from(slot)
            tag, payload = loads[MEMORY[at : at + size].tobytes()]
            return Case(tag, payload(slot[16:]))

        def store(value: Any) -> bytes:
            tag, content = value
            name, _, payload = cases[tag]
            return name + payload(content)

        return Codec(16, "24s", load, store)

    def _boxed(self, codec: Codec | None) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
        """Payloads of option, result and variant: a pointer to a value, null when the case has none."""
        if codec is None:
            return (lambda slot: None), _no_payload
        kind, form, inner_load, inner_store = codec
        one, new = Struct("<8x" + form).unpack_from, Struct("<B7x" + form).pack_into

        def load(slot: bytes) -> Any:
            (value,) = one(MEMORY, Q.unpack_from(slot)[0])
            return inner_load(value) if inner_load else value

        def store(value: Any) -> bytes:
            payload = inner_store(value) if inner_store else value
            at = self._alloc(VAL_BYTES)
            new(MEMORY, at, kind, payload)
            return Q.pack(at)

        return load, store

    def _block(self, kind: int, make: Callable[[Any], Any], heads: list[bytes], codecs: list[Codec]) -> Codec:
        """Record and tuple: one block of values, each after its fixed head."""
        count = len(codecs)
        loads, stores = [c.load for c in codecs], [c.store for c in codecs]
        plain, any_store = not any(loads), any(stores)
        read = Struct("<" + "".join(f"{len(h)}x{c.form}" for h, c in zip(heads, codecs, strict=True)))
        write = Struct("<" + "".join(f"{len(h)}s{c.form}" for h, c in zip(heads, codecs, strict=True)))
        size, pack_into = write.size, write.pack_into
        blank: list[Any] = [x for head in heads for x in (head, None)]

        def load(slot: bytes) -> Any:
            values = read.unpack_from(MEMORY, QQ.unpack_from(slot)[1])
            return make(values if plain else [f(v) if f else v for f, v in zip(loads, values, strict=True)])

        def store(value: Any) -> bytes:
            if isinstance(value, _NO_ROWS):
                raise TypeError("a row of values is wanted")
            out = blank[:]
            out[1::2] = [f(x) if f else x for f, x in zip(stores, value, strict=True)] if any_store else value
            at = self._alloc(size)
            pack_into(MEMORY, at, *out)
            return QQ.pack(count, at)

        return Codec(kind, "24s", load, store)

    def _list(self, wit: Any) -> Codec:
        codec = self.codec(wit.element)
        if codec.kind == 2:
            return self._bytes()
        kind, form, inner_load, inner_store = codec
        one, new = Struct("<8x" + form), Struct("<B7x" + form).pack

        def load(slot: bytes) -> list[Any]:
            count, at = QQ.unpack_from(slot)
            values = one.iter_unpack(MEMORY[at : at + VAL_BYTES * count])
            return [inner_load(v) for (v,) in values] if inner_load else [v for (v,) in values]

        def store(value: Sequence[Any]) -> bytes:
            if isinstance(value, _NO_ROWS):
                raise TypeError("a list is wanted")
            parts = (
                [new(kind, inner_store(x)) for x in value] if inner_store else [new(kind, x) for x in value]
            )
            return QQ.pack(len(value), self._put(b"".join(parts)))

        return Codec(13, "24s", load, store)

    def _bytes(self) -> Codec:
        """list<u8> as bytes."""

        def load(slot: bytes) -> bytes:
            count, at = QQ.unpack_from(slot)
            return MEMORY[at + 8 : at + 8 + VAL_BYTES * count : VAL_BYTES].tobytes()

        def store(value: bytes) -> bytes:
            count = len(value)
            at = self._alloc(VAL_BYTES * count)
            size = VAL_BYTES * count
            MEMORY[at : at + size] = (
                _BYTE_TEMPLATE[:size] if count <= _BYTE_BLOCK else _BYTE_TEMPLATE[:VAL_BYTES] * count
            )
            MEMORY[at + 8 : at + 8 + size : VAL_BYTES] = value
            return QQ.pack(count, at)

        return Codec(13, "24s", load, store)

    _BUILDERS: dict[Any, Callable[[Codecs, Any], Codec]] = {
        wc.Bool: _bool, wc.Char: _char, wc.String: _string, wc.EnumType: _enum, wc.FlagsType: _flags,
        wc.ListType: _list, wc.TupleType: _tuple, wc.RecordType: _record, wc.OptionType: _option,
        wc.ResultType: _result, wc.VariantType: _variant, wc.OwnType: _own, wc.BorrowType: _borrow,
    }  # fmt: skip


class LazySignature:
    """The codecs of a function that may never be called, made when it is. ``known`` False: nothing is known
    of it, so that its arguments aren't looked at."""

    def __init__(self, codecs: Codecs, function: Any, known: bool) -> None:
        self._codecs, self._function, self._known = codecs, function, known
        self._made: Signature | None = None

    def _signature(self) -> Signature:
        if self._made is None:
            self._made = Signature(self._codecs, self._function)
        return self._made

    def get_arguments(self, at: int) -> list[Any]:
        """As Signature's."""
        return self._signature().get_arguments(at) if self._known else []

    def put_result(self, value: Any, at: int) -> None:
        """As Signature's."""
        (self._made or self._signature()).put_result(value, at)


class Signature:
    """The codecs of one function type; raises TypeError when a type in it can't cross."""

    def __init__(self, codecs: Codecs, function: Any) -> None:
        self.codecs, self.function = codecs, function
        self.names = [name for name, _ in function.params]
        self.arity = len(self.names)
        self.results = 1 if function.result else 0
        self.takes, self.gives = amount(self.arity), amount(self.results)
        """the same for C"""
        self.params = [codecs.codec(wit) for _, wit in function.params]
        self.result = codecs.codec(function.result) if function.result else None
        self._arguments = [
            (Struct("<B7x" + c.form).pack_into, Struct("<8x" + c.form).unpack_from, VAL_BYTES * i, c)
            for i, c in enumerate(self.params)
        ]
        if self.result:
            self._get = Struct("<8x" + self.result.form).unpack_from
            self._new = Struct("<B7x" + self.result.form).pack_into

    def put_arguments(self, values: Sequence[Any]) -> int:
        """Encode a call's arguments; the returned address holds until the next encode."""
        if len(values) != len(self._arguments):
            raise TypeError(f"expected arguments ({', '.join(self.names)}), got {len(values)}")
        base = self.codecs.reset(VAL_BYTES * len(values))
        try:
            for (new, _, at, codec), value in zip(self._arguments, values, strict=True):
                new(MEMORY, base + at, codec.kind, codec.store(value) if codec.store else value)
        except _WRONG as wrong:
            wits = [wit for _, wit in self.function.params]
            self._explain(zip(wits, values, self.names, strict=True), wrong)
            raise
        return base

    def get_arguments(self, at: int) -> list[Any]:
        """Decode the arguments that a host import was called with."""
        out = []
        for _, get, offset, codec in self._arguments:
            (value,) = get(MEMORY, at + offset)
            out.append(codec.load(value) if codec.load else value)
        return out

    def get_result(self, at: int) -> Any:
        """Decode a call's result; it still belongs to wasmtime."""
        if self.result is None:
            return None
        (value,) = self._get(MEMORY, at)
        return self.result.load(value) if self.result.load else value

    def put_result(self, value: Any, at: int) -> None:
        """Store a host import's result in wasmtime's slot."""
        result = self.result
        if result is None:
            return
        kind, _, _, store = result
        try:
            if store is None:
                self._new(MEMORY, at, kind, value)  # a scalar owns nothing
                return
            base = at if kind <= _SCALAR_KIND_MAX else self.codecs.reset(VAL_BYTES)
            self._new(MEMORY, base, kind, store(value))
            if base != at:
                val_clone(base, at)
        except _WRONG as wrong:
            self.codecs.resources.free()
            self._explain([(self.function.result, value, "result")], wrong)
            raise
        if self.codecs.resources.lent:
            self.codecs.resources.free()

    def _explain(self, values: Iterable[tuple[Any, Any, str]], wrong: Exception) -> None:
        """Raise WrongValue when one of them is what is wrong; else it was something else."""
        for wit, value, name in values:
            said = misfit(wit, value, name)
            if said is not None:
                raise WrongValue(said) from wrong

"""Components called past wasmtime's component API: what the compiled part needs to know for it.

Belongs here: types of values as tuples, core modules compiled, the host's functions by core types, and the
start of such an instance. Never: how values cross (components/native/canonical.h, direct.h), which component
can be called so (components/binary/plan.py). Without the compiled part nothing here is used; with it a run is
the same, byte for byte, at a lower price.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import wasmtime
from wasmtime import component as wc

from twinloop.components.binary.plan import HostFunction, Plan, Source
from twinloop.components.contract.errors import HostError
from twinloop.components.host import capi
from twinloop.components.host.capi import word
from twinloop.components.host.component import Component
from twinloop.components.host.start import DirectParts, Functions

_SCALARS = {
    wc.Bool: 0, wc.S8: 1, wc.U8: 2, wc.S16: 3, wc.U16: 4, wc.S32: 5, wc.U32: 6, wc.S64: 7, wc.U64: 8,
    wc.F32: 9, wc.F64: 10, wc.Char: 11, wc.String: 12,
}  # fmt: skip
_LIST, _RECORD, _TUPLE, _VARIANT, _ENUM, _OPTION, _RESULT, _FLAGS = 13, 14, 15, 16, 17, 18, 19, 20
"""kinds of wasmtime_component_val_t"""
_CORE = (wasmtime.ValType.i32, wasmtime.ValType.i64, wasmtime.ValType.f32, wasmtime.ValType.f64)
_MODULE = b"h"
"""under which name the host's functions are in the linker"""


def told(wit: Any) -> tuple[Any, ...]:
    """A WIT type as (kind, parts): fields and cases as (name, type or None), elements as types. Raises
    TypeError for a resource, a stream, a future, or what else isn't plain data."""
    kind = type(wit)
    if kind in _SCALARS:
        return (_SCALARS[kind],)
    if kind is wc.ListType:
        return _LIST, (told(wit.element),)
    if kind is wc.RecordType:
        return _RECORD, tuple((name, told(field)) for name, field in wit.fields)
    if kind is wc.TupleType:
        return _TUPLE, tuple(told(element) for element in wit.elements)
    if kind is wc.VariantType:
        return _VARIANT, tuple((name, payload and told(payload)) for name, payload in wit.cases)
    if kind is wc.EnumType:
        return _ENUM, tuple((name, None) for name in wit.names)
    if kind is wc.OptionType:
        return _OPTION, (None, told(wit.payload))
    if kind is wc.ResultType:
        return _RESULT, (wit.ok and told(wit.ok), wit.err and told(wit.err))
    if kind is wc.FlagsType:
        return _FLAGS, tuple((name, None) for name in wit.names)
    raise TypeError(f"{kind.__name__} is no plain data")


def told_function(function: Any) -> tuple[Any, Any]:
    """(types of its parameters, type of its result or None)."""
    return tuple(told(wit) for _, wit in function.params), function.result and told(function.result)


class Import(NamedTuple):
    """A function of the host: what the compiled trampoline is given, its WIT type, does it park."""

    made: Any
    function: Any
    parks: bool


def blueprint(
    crossing: Any, component: Component, plan: Plan, imports: Mapping[tuple[str, str], Import]
) -> DirectParts | None:
    """How instances of it are made and called directly; None when something of it is left to wasmtime.
    ``imports``: by interface's full name and function."""
    try:
        types = component.function_types()
        exports = plan.exports[component.interface]
        lowered = {
            name: crossing.Lowered(one.made, told_function(one.function), one.parks)
            for name, one in imports.items()
        }
        numbers = {name: number for number, name in enumerate(lowered)}
        told_exports = tuple(
            (told_function(types[name]), tuple(exports[name].core), after and tuple(after))
            for name in component.exports
            for after in (exports[name].after,)
        )
        steps = [
            (step, tuple(_wanted(of, field, source, numbers) for (of, field), source in step.wanted.items()))
            for step in plan.steps
        ]
    except (KeyError, TypeError):  # WASI, a resource, more flags than cross
        return None
    engine = component.engine.raw
    modules = [component.engine.cache.module(engine, data, _digest(data)) for data in plan.modules]
    linker = wasmtime.Linker(engine)
    for name, one in lowered.items():
        _define(crossing, linker, str(numbers[name]).encode(), one, imports[name].parks)
    made = crossing.Blueprint(
        capi.address(engine.ptr()),
        capi.address(linker.ptr()),
        (modules, linker, lowered),
        tuple((capi.address(modules[step.module].ptr()), wanted, step.starts) for step, wanted in steps),
        told_exports,
        plan.memory and tuple(plan.memory),
        plan.realloc and tuple(plan.realloc),
    )
    functions: Functions = {
        name: (component.exports[name][0], word(place), made)
        for name, place in zip(component.exports, made.exports, strict=True)
    }
    return DirectParts(made, functions)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _wanted(
    of: str, field: str, source: Source, numbers: Mapping[tuple[str, str], int]
) -> tuple[str, str, int, tuple[int, str] | None]:
    if isinstance(source, HostFunction):
        return of, field, numbers[source], None
    return of, field, -1, (source.instance, source.name)


def _define(crossing: Any, linker: wasmtime.Linker, name: bytes, lowered: Any, parks: bool) -> None:
    takes, gives = lowered.core
    kind = wasmtime.FuncType([_CORE[core]() for core in takes], [_CORE[core]() for core in gives])
    define = capi.define_async if parks else capi.define
    error = define(
        capi.address(linker.ptr()), _MODULE, len(_MODULE), name, len(name), capi.address(kind.ptr()),
        crossing.LOWERED_ASYNC if parks else crossing.LOWERED_SYNC, lowered.at, None,
    )  # fmt: skip
    if error:
        raise HostError(f"wasmtime refused a core import: {capi.error_at(error)}")


class DirectStart:
    """The start of an instance, as start.py's."""

    __slots__ = ("_parts",)

    def __init__(self, parts: DirectParts) -> None:
        self._parts = parts

    def on_fiber(self, slice_fuel: int, context: int, block: Any) -> bool:
        """As Start's."""
        capi.fuel_yield(context, slice_fuel)
        done: bool = self._parts.blueprint.on_fiber(block)
        return done

    def at_once(self, context: int, block: Any) -> int:
        """As Start's."""
        return int(self._parts.blueprint.at_once(block))

    def exports(self, context: int) -> Functions:
        """As Start's."""
        return self._parts.functions

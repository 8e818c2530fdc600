"""The start of an instance: its core modules are instantiated and their start code runs.

Belongs here: what leads to an instance's exports. Never: driving it (instance.py): start code is guest code
like any other, it takes fuel and may be parked.
"""

from __future__ import annotations

from ctypes import addressof, sizeof
from typing import Any, NamedTuple, Protocol

from wasmtime import _ffi as ffi
from wasmtime import component as wc

from twinloop.components.contract.errors import HostError
from twinloop.components.host import capi
from twinloop.components.host.capi import Word, word
from twinloop.components.host.codec import Signature

Functions = dict[str, tuple[Signature, Word, Any]]
"""export -> signature, address, and what keeps the address alive"""


class DirectParts(NamedTuple):
    """What all instances of a component share: the compiled part's blueprint, and its exports."""

    blueprint: Any
    functions: Functions


class Beginning(Protocol):
    """A start, whichever way its component is called: by wasmtime's component API (Start), or directly
    (direct.py)."""

    def on_fiber(self, slice_fuel: int, context: int, block: Any) -> bool:
        """Begin it on a fiber, in the store at ``context``, and run it to its next parked import or its end;
        is it done? From here on the store knows async calls only. ``block``: the instance's words."""
        ...

    def at_once(self, context: int, block: Any) -> int:
        """Run it; returns the address of its error, 0 when there is none."""
        ...

    def exports(self, context: int) -> Functions:
        """What can be called, when it has ended well."""
        ...


class Start:
    """By wasmtime's component API: of one instance. ``index``: export -> its signature and its index."""

    __slots__ = ("_component", "_index", "_linker", "_raw")

    def __init__(
        self, linker: wc.Linker, component: wc.Component, index: dict[str, tuple[Signature, Any]]
    ) -> None:
        self._linker, self._component, self._index = linker, component, index
        self._raw = ffi.wasmtime_component_instance_t()

    def on_fiber(self, slice_fuel: int, context: int, block: Any) -> bool:
        """As Beginning's."""
        capi.fuel_yield(context, slice_fuel)
        future = capi.instantiate_async(
            capi.address(self._linker.ptr()),
            context,
            capi.address(self._component.ptr()),
            addressof(self._raw),
            block.error_at,
        )
        done: bool = block.adopt(int(future))
        return done

    def at_once(self, context: int, block: Any) -> int:
        """As Beginning's."""
        return (
            capi.instantiate(
                capi.address(self._linker.ptr()),
                context,
                capi.address(self._component.ptr()),
                addressof(self._raw),
            )
            or 0
        )

    def exports(self, context: int) -> Functions:
        """As Beginning's."""
        found = (ffi.wasmtime_component_func_t * len(self._index))()  # one piece of memory for all of them
        instance, at = addressof(self._raw), addressof(found)
        functions: Functions = {}
        for name, (signature, index) in self._index.items():
            if not capi.get_function(instance, context, capi.address(index.ptr()), at):
                raise HostError(f"export {name} vanished at instantiation")
            functions[name] = signature, word(at), found
            at += sizeof(ffi.wasmtime_component_func_t)
        return functions

"""The start of an instance: its core modules are instantiated and their start code runs.

Belongs here: what leads to an instance's exports. Never: driving it (instance.py): start code is guest code
like any other, it takes fuel and may be parked.
"""

from __future__ import annotations

from ctypes import addressof
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime import component as wc

from twinloop.components.contract.errors import HostError
from twinloop.components.host import capi
from twinloop.components.host.capi import Word, word
from twinloop.components.host.codec import Signature
from twinloop.components.host.component import Linked

Functions = dict[str, tuple[Signature, Word, Any]]
"""export -> signature, address, and what keeps the address alive"""


class Start:
    """Of one instance, in the store at ``context``."""

    __slots__ = ("_context", "_linked", "_raw")

    def __init__(self, linked: Linked, context: int) -> None:
        self._linked, self._context = linked, context
        self._raw = ffi.wasmtime_component_instance_t()

    def on_fiber(self, slice_fuel: int, error_at: int) -> int:
        """A future that runs it; from here on the store knows async calls only. ``error_at``: where its error
        is written."""
        linked = self._linked
        capi.fuel_yield(self._context, slice_fuel)
        return int(
            capi.instantiate_async(
                capi.address(linked.linker.ptr()),
                self._context,
                capi.address(linked.component.raw.ptr()),
                addressof(self._raw),
                error_at,
            )
        )

    def at_once(self) -> int:
        """Run it; returns the address of its error, 0 when there is none."""
        linked = self._linked
        return (
            capi.instantiate(
                capi.address(linked.linker.ptr()),
                self._context,
                capi.address(linked.component.raw.ptr()),
                addressof(self._raw),
            )
            or 0
        )

    def exports(self, store: wasmtime.Store) -> Functions:
        """What can be called, when it has ended well."""
        exported = wc.Instance._from_raw(self._raw)
        functions: Functions = {}
        for name, (signature, index) in self._linked.component.exports.items():
            function = exported.get_func(store, index)
            if function is None:
                raise HostError(f"export {name} vanished at instantiation")
            functions[name] = signature, word(addressof(function._func)), function
        return functions

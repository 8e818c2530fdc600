"""A component with one pure function, ``decode: list<u8> -> result<record, string>``, called in three ways.

Belongs here: the typed call of this package, wasmtime-py's own, and the bare one of the C API, over the same
bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import addressof, c_uint64
from types import SimpleNamespace

import wasmtime
from wasmtime import component as wc

from twinloop.components.host.call_state import RESULT
from twinloop.components.host.capi import func_call, set_fuel, val_delete
from twinloop.components.host.codec import Codecs, Signature
from twinloop.components.host.host import Host, Linked
from twinloop.components.host.instance import Instance
from twinloop.components.host.memory import MemoryOwner

DECODE = b"""(component
  (core module $m
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32)
      (local.set 4 (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const 0xfff8)))
      (global.set $top (i32.const 4096)) (local.get 4))
    (func (export "decode") (param i32 i32) (result i32)
      (i32.store (i32.const 1024) (i32.const 0))
      (f64.store (i32.const 1032) (f64.convert_i32_u (i32.load8_u offset=3 (local.get 0))))
      (i64.store (i32.const 1040) (i64.extend_i32_u (local.get 1)))
      (i32.store (i32.const 1048) (i32.const 2048)) (i32.store (i32.const 1052) (i32.const 4))
      (i32.store (i32.const 2048) (i32.const 0x43676564))
      (i32.const 1024)))
  (core instance $i (instantiate $m))
  (type $r (record (field "value" f64) (field "size" u64) (field "unit" string)))
  (export $reading "reading" (type $r))
  (type $result (result $reading (error string)))
  (func (export "decode") (param "frame" (list u8)) (result $result)
    (canon lift (core func $i "decode") (memory (core memory $i "memory"))
      (realloc (core func $i "realloc")))))"""
FRAME = bytes.fromhex("01030200e7f80e")
FUEL = 1 << 60


def _instance(host: Host, codecs: Codecs) -> Instance:
    component = wc.Component(host.engines.plain.raw, DECODE)
    function = next(
        item.ty for name, item in component.type.exports(host.engines.plain.raw).items() if name == "decode"
    )
    exports = {"decode": (Signature(codecs, function), component.get_export_index("decode"))}
    named = SimpleNamespace(engine=host.engines.plain, sha256="", raw=component, exports=exports)
    return host.instantiate(Linked(named, wc.Linker(host.engines.plain.raw), (), False), {}, FUEL)  # type: ignore[arg-type]


def typed(host: Host) -> Callable[[], None]:
    """The call as a driver's is made: fuel set, result decoded and freed."""
    instance = _instance(host, host.codecs)
    arguments = (FRAME,)

    def once() -> None:
        instance.begin("decode", arguments, FUEL)
        instance.advance()
        if not instance.result().ok:
            raise RuntimeError("decode failed")

    return once


def raw(host: Host) -> Callable[[], None]:
    """The least that the C API needs for the same function: fuel, the call (which ends with its post-return),
    the result freed. Its argument is lowered once, nobody reads the result."""
    instance = _instance(host, codecs := Codecs())  # an arena of its own: nothing else is ever written there
    signature, word, _ = instance._functions["decode"]
    function = int(word)
    assert signature.codecs is codecs
    arguments_at, context = signature.put_arguments((FRAME,)), instance.context
    words = (c_uint64 * 4)()
    at = addressof(words)

    def once() -> None:
        words[RESULT] = 0  # the C API drops what the slot held: let that be a bool
        set_fuel(context, FUEL)
        if func_call(function, context, arguments_at, 1, at, 1):
            raise RuntimeError("decode failed")
        val_delete(at)

    return once


def stock(host: Host) -> Callable[[], None]:
    """wasmtime-py's own call of the same function on the same engine."""
    store = wasmtime.Store(host.engines.plain.raw)
    store.set_fuel(FUEL)
    component = wc.Component(host.engines.plain.raw, DECODE)
    host.memory.owner = owner = MemoryOwner(1 << 30)
    instance = wc.Linker(host.engines.plain.raw).instantiate(store, component)
    host.memory.owner = None
    function = instance.get_func(store, "decode")
    if function is None or not owner.memories:
        raise RuntimeError("the probe has no decode")
    frame = FRAME

    def once() -> None:
        function(store, frame)
        function.post_return(store)

    return once

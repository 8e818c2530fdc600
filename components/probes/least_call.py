"""What a crossing of a boundary takes at least, in this process: into a core function that does nothing, and
from one component into another.

Belongs here: two small guests and the time of their calls. Never: calls of gateways' components
(instance.py), what a crossing costs on a board (scenarios/file/boards/hosts.yaml).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ctypes import addressof, c_uint64

import wasmtime
from wasmtime import component as wc

from twinloop.components.contract.errors import HostError
from twinloop.components.host import capi
from twinloop.components.host.capi import word

_EMPTY = b'(module (func (export "empty") (param i32) (result i32) (local.get 0)))'
_PAIR = """(component
  (component $callee
    (core module $m
      (memory (export "memory") 1)
      (func (export "scalar") (param i32) (result i32) (local.get 0))
      (func (export "bytes") (param i32 i32) (result i32) (local.get 1))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
    (core instance $i (instantiate $m))
    (func (export "scalar") (param "x" u32) (result u32) (canon lift (core func $i "scalar")))
    (func (export "bytes") (param "x" (list u8)) (result u32)
      (canon lift (core func $i "bytes") (memory (core memory $i "memory"))
        (realloc (core func $i "realloc")))))
  (component $caller
    (import "scalar" (func $scalar (param "x" u32) (result u32)))
    (import "bytes" (func $bytes (param "x" (list u8)) (result u32)))
    (core module $memory (memory (export "memory") 1))
    (core instance $shared (instantiate $memory))
    (core func $scalar-low (canon lower (func $scalar)))
    (core func $bytes-low (canon lower (func $bytes) (memory (core memory $shared "memory"))))
    (core module $m
      (import "of" "scalar" (func $scalar (param i32) (result i32)))
      (import "of" "bytes" (func $bytes (param i32 i32) (result i32)))
      (func $own (param i32) (result i32) (local.get 0))
      (table 1 funcref)
      (elem (i32.const 0) func $own)
      (type $call (func (param i32) (result i32)))
      %s)
    (core instance $i (instantiate $m (with "of" (instance
      (export "scalar" (func $scalar-low)) (export "bytes" (func $bytes-low))))))
    (func (export "turn") (param "n" u32) (result u32) (canon lift (core func $i "turn")))
    (func (export "inside") (param "n" u32) (result u32) (canon lift (core func $i "inside")))
    (func (export "scalar") (param "n" u32) (result u32) (canon lift (core func $i "scalar")))
    (func (export "bytes") (param "n" u32) (result u32) (canon lift (core func $i "bytes"))))
  (instance $one (instantiate $callee))
  (instance $two (instantiate $caller
    (with "scalar" (func $one "scalar")) (with "bytes" (func $one "bytes"))))
  (export "turn" (func $two "turn"))
  (export "inside" (func $two "inside"))
  (export "scalar" (func $two "scalar"))
  (export "bytes" (func $two "bytes")))"""
_LOOP = """(func (export "%s") (param $n i32) (result i32) (local $sum i32)
        (loop $again
          (local.set $sum (i32.add (local.get $sum) %s))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum))"""
_TURN = "turn"
"""the loop with nothing in it, which goes off the others"""
_BODIES = {
    _TURN: "(local.get $n)",
    "inside": "(call_indirect (type $call) (local.get $n) (i32.const 0))",
    "scalar": "(call $scalar (local.get $n))",
    "bytes": "(call $bytes (i32.const 0) (i32.const 64))",
}
KINDS = tuple(kind for kind in _BODIES if kind != _TURN)
"""``inside``: a call through a table within one module, for comparison; ``scalar``: of another component,
with a u32; ``bytes``: of another component, with 64 bytes, which are copied"""


def _engine() -> wasmtime.Engine:
    """As wasmtime sets it up by itself, but without threads that compile: whoever forks has none of them."""
    config = wasmtime.Config()
    config.parallel_compilation = False
    return wasmtime.Engine(config)


def _least_ns(work: Callable[[], None], times: int, rounds: int) -> float:
    """CPU ns of one of ``times`` in the quickest round: others on the machine only make it slower."""
    found = []
    for _ in range(rounds):
        began = time.process_time_ns()
        work()
        found.append((time.process_time_ns() - began) / times)
    return min(found)


def components_ns(rounds: int = 60, times: int = 50_000) -> dict[str, float]:
    """CPU time in ns of one call of each of KINDS, made by a loop of guest code, whose own turn goes off
    (0.01 is the least that it says). The host takes no part. Kinds are measured in turns."""
    engine = _engine()
    loops = "\n      ".join(_LOOP % one for one in _BODIES.items())
    component = wc.Component(engine, (_PAIR % loops).encode())
    store = wasmtime.Store(engine)
    instance = wc.Linker(engine).instantiate(store, component)
    work = {kind: _looped(store, instance, kind, times) for kind in _BODIES}
    least = dict.fromkeys(_BODIES, float("inf"))
    for _ in range(rounds):
        for kind, one in work.items():
            least[kind] = min(least[kind], _least_ns(one, times, 1))
    store.close()
    return {kind: max(0.01, least[kind] - least[_TURN]) for kind in KINDS}


def _looped(store: wasmtime.Store, instance: wc.Instance, kind: str, times: int) -> Callable[[], None]:
    function = instance.get_func(store, kind)
    if function is None:
        raise HostError(f"the probe has no {kind}")

    def work() -> None:
        function(store, times)
        function.post_return(store)

    return work


def host_ns(rounds: int = 60, times: int = 3000) -> float | None:
    """CPU time in ns of one call from the host into an empty core function, by wasmtime's C interface,
    without what Python takes to reach C: the time of a C function that only reads a pointer goes off. None
    where that leaves nothing: the way through Python takes tens of times as long, and this machine was
    busy."""
    engine = _engine()
    store = wasmtime.Store(engine)
    instance = wasmtime.Instance(store, wasmtime.Module(engine, _EMPTY), [])
    function = instance.exports(store)["empty"]
    assert isinstance(function, wasmtime.Func)
    context = word(capi.address(store._context())).c
    called = capi.quick("wasmtime_func_call_unchecked", capi._p)
    asked = capi.quick("wasmtime_context_get_data", None)
    cell, trap = (c_uint64 * 2)(7), (c_uint64 * 1)()
    at, cell_at, trap_at = (word(addressof(one)).c for one in (function._func, cell, trap))
    one = word(1).c
    if called(context, at, cell_at, one, trap_at):
        raise HostError("the empty function failed")

    def call() -> None:
        for _ in range(times):
            called(context, at, cell_at, one, trap_at)

    def road() -> None:
        for _ in range(times):
            asked(context, at, cell_at, one, trap_at)  # C ignores what it has no parameter for

    pairs = [(_least_ns(call, times, 1), _least_ns(road, times, 1)) for _ in range(rounds)]
    store.close()
    found = min(with_call for with_call, _ in pairs) - min(without for _, without in pairs)
    return found if found > 0 else None

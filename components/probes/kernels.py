"""The probe guests: 14 kernels as gateways run them, three as interpreters do, and a chase through memory
beyond the caches.

Belongs here: core modules, run as a gateway would run them: with wasmtime's own settings, metered or not.
Never: how long they take. kernels.wasm has CRC, JSON, hash, sort, formatting, floating point and others;
its sources and how it is built are in benchmarks/runtimes. interpreters.wasm has what components in Python
or JavaScript do all the time: a stack machine, a tree of expressions, objects with names;
benchmarks/calibration builds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import wasmtime

KERNELS_WASM = Path(__file__).with_name("kernels.wasm")
INTERPRETERS_WASM = Path(__file__).with_name("interpreters.wasm")
MODULES = (KERNELS_WASM, INTERPRETERS_WASM)
EMPTY = "empty"
"""an export that does nothing, however often: for the price of a call (benchmarks/runtimes)"""
CHASES = {"16 KiB": 14, "256 KiB": 18, "8 MiB": 23}
"""memory that a chase walks through -> its size as a power of two"""
_FUEL = 1 << 60
_CHASE = """
(module
  (memory 129)
  ;; each word holds the place of the next one; a step is odd in words, so that one round visits all
  (func (export "lay") (param $mask i32) (local $at i32) (local $next i32)
    (loop $more
      (local.set $next (i32.and (i32.add (local.get $at) (i32.const 1664516)) (local.get $mask)))
      (i32.store (local.get $at) (local.get $next))
      (local.set $at (local.get $next))
      (br_if $more (local.get $at))))
  (func (export "walk") (param $steps i32) (result i32) (local $at i32)
    (loop $more
      (local.set $at (i32.load (local.get $at)))
      (br_if $more (local.tee $steps (i32.sub (local.get $steps) (i32.const 1)))))
    (local.get $at)))
"""


class Guest:
    """A core module in a store of its own. ``metered``: it counts fuel."""

    def __init__(self, module: bytes, metered: bool) -> None:
        config = wasmtime.Config()
        config.consume_fuel = metered
        engine = wasmtime.Engine(config)
        self._store = wasmtime.Store(engine)
        if metered:
            self._store.set_fuel(_FUEL)
        instance = wasmtime.Instance(self._store, wasmtime.Module(engine, module), [])
        self._functions: dict[str, Any] = {
            name: value
            for name, value in instance.exports(self._store).items()
            if isinstance(value, wasmtime.Func) and name is not None
        }

    @property
    def names(self) -> list[str]:
        """Of its functions that take how often they shall do their work."""
        return [name for name in self._functions if name != EMPTY and not name.startswith("_")]

    def run(self, name: str) -> Callable[[int], Any]:
        """One of its functions."""
        function, store = self._functions[name], self._store
        return lambda count: function(store, count)

    def fuel_of(self, name: str, count: int) -> int:
        """What a run of one of its functions uses; only when it is metered."""
        before = self._store.get_fuel()
        self.run(name)(count)
        return before - self._store.get_fuel()


def chase(bits: int) -> Callable[[int], Any]:
    """A walk through 2^``bits`` bytes, each step waiting for the one before; a function of how many steps."""
    guest = Guest(bytes(wasmtime.wat2wasm(_CHASE)), False)
    guest.run("lay")((1 << bits) - 4)
    walk = guest.run("walk")
    walk(1 << (bits - 2))  # once around: what fits is in the caches
    return walk

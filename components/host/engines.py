"""The engines of a host: one for most components, another for those that use the component model's async.

Belongs here: wasmtime's configuration, and which component needs which. Never: compiling (cache.py), calls.
Async takes wasmtime's concurrency support, which makes each call dearer; who doesn't use it doesn't pay.
"""

from __future__ import annotations

from typing import NamedTuple

import wasmtime
from wasmtime import _bindings

from twinloop.components.binary.sections import Contents
from twinloop.components.host.cache import CodeCache
from twinloop.components.host.capi import address, stack_creator
from twinloop.components.host.memory import MemoryCreator

WASM_STACK_BYTES = 64 << 10
"""of a guest's call: C guests here need a few KiB"""
STACK_BYTES = 256 << 10
"""of a fiber; only touched pages are in memory. An import that answers at once may have the guest make room,
which is a call of its own: two wasm stacks, and what the host needs between them"""
CODE_FLAGS = "fuel, canonical NaNs, deterministic relaxed SIMD, own memories without CoW"
"""what ``_config`` sets that changes compiled code, beside concurrency: change it there and here (wasmtime
looks at most of them when it loads code, but not at NaNs)"""


class Engine(NamedTuple):
    """One engine with what it has compiled. ``fibers``: every call must run on a fiber."""

    raw: wasmtime.Engine
    cache: CodeCache
    fibers: bool


class Engines:
    """Of one host. ``cache``: in place of the one that the environment names. ``stacks``: address of who
    makes the stacks of fibers, in place of wasmtime; 0: nobody."""

    def __init__(
        self, memory: MemoryCreator, threads: bool, cache: CodeCache | None = None, stacks: int = 0
    ) -> None:
        self._memory, self._threads, self._stacks = memory, threads, stacks
        plain = cache or CodeCache.of_environment(f"{CODE_FLAGS}, no concurrency")
        self.plain = Engine(wasmtime.Engine(self._config(concurrent=False)), plain, fibers=False)
        self._concurrent: Engine | None = None

    @property
    def concurrent(self) -> Engine:
        """The one for async components, made when the first of them comes."""
        if self._concurrent is None:
            cache = CodeCache.of_environment(f"{CODE_FLAGS}, concurrency, async")
            self._concurrent = Engine(wasmtime.Engine(self._config(concurrent=True)), cache, fibers=True)
        return self._concurrent

    def of(self, contents: Contents | None) -> Engine:
        """The one that a component needs, by what its sections say (None: nothing)."""
        if contents is None or not (contents.uses_async or contents.uses_streams):
            return self.plain
        return self.concurrent

    def _config(self, concurrent: bool) -> wasmtime.Config:
        config = wasmtime.Config()
        config.consume_fuel = True
        config.parallel_compilation = self._threads
        config.wasm_relaxed_simd_deterministic = True
        config.max_wasm_stack = WASM_STACK_BYTES
        _bindings.wasmtime_config_cranelift_nan_canonicalization_set(config.ptr(), True)
        _bindings.wasmtime_config_concurrency_support_set(config.ptr(), concurrent)
        if concurrent:
            _bindings.wasmtime_config_wasm_component_model_async_set(config.ptr(), True)
            _bindings.wasmtime_config_wasm_component_model_more_async_builtins_set(config.ptr(), True)
        _bindings.wasmtime_config_async_stack_size_set(config.ptr(), STACK_BYTES)
        if self._stacks:
            stack_creator(address(config.ptr()), self._stacks)
        self._memory.install(config)
        return config

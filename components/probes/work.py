"""Work of a gateway's libraries outside WebAssembly: an instance made, code compiled, a signature verified.

Belongs here: what does it once, or so many times. Never: how long that takes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import wasmtime
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from wasmtime import component as wc

from twinloop.components.host import capi
from twinloop.components.host.component import Linked
from twinloop.components.host.start import Start

_FUEL = 1 << 40


def library() -> Path:
    """The shared library of wasmtime's C API that Python's package brings."""
    (found,) = Path(wasmtime.__file__).parent.glob("*/_libwasmtime.so")
    return found


def instantiate(linked: Linked) -> wasmtime.Store:
    """An instance from compiled code in a store of its own, which whoever asked closes."""
    store = wasmtime.Store(linked.component.engine.raw)
    store.set_fuel(_FUEL)
    start = Start(linked.linker, linked.component.raw, linked.component.exports)
    start.at_once(capi.address(store._context()), None)
    return store


def compiling(file: Path) -> Callable[[int], None]:
    """Compiles a component so many times, metered, in this thread."""
    config = wasmtime.Config()
    config.consume_fuel = True
    config.parallel_compilation = False
    engine = wasmtime.Engine(config)
    code = file.read_bytes()

    def compile_it(count: int) -> None:
        for _ in range(count):
            wc.Component(engine, code)

    return compile_it


def verifying() -> Callable[[int], None]:
    """Verifies an Ed25519 signature of 256 bytes so many times."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public, said = key.public_key(), bytes(256)
    signature = key.sign(said)

    def verify(count: int) -> None:
        for _ in range(count):
            public.verify(signature, said)

    return verify

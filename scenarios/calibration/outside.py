"""What a gateway does outside WebAssembly, as far as this machine can show it: instances, compiling, hashing,
verifying.

Belongs here: the time of work that a library does here as a gateway's would. Never: what only a gateway's own
program does (a message sent, stored or acknowledged): that stays an estimate (board.py).
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from twinloop.components.host.component import Linked
from twinloop.components.host.crossing import PURE
from twinloop.components.host.host import Host
from twinloop.components.probes import work
from twinloop.scenarios.calibration.timing import cpu_ns, often_enough
from twinloop.scenarios.planning.components import SHIPPED

COMPILED = ("normalize", "route", "modbus-driver")
_MIB, _KIB = 1 << 20, 1 << 10


@dataclass(frozen=True, slots=True)
class Outside:
    """CPU time in nanoseconds: of an instance made from compiled code, a KiB compiled (of each of
    COMPILED), a KiB hashed by SHA-256, an Ed25519 signature verified."""

    instantiate_ns: int
    compile_kib_ns: tuple[float, ...]
    digest_kib_ns: int
    verify_ns: int


def measured(rounds: int) -> Outside:
    """The smallest of ``rounds`` of each."""
    return Outside(_instantiate(rounds * 10), _compile(rounds), _digest(rounds), _verify(rounds))


def _instantiate(rounds: int) -> int:
    host = Host(fibers=False, way=PURE)  # what is fitted was measured by wasmtime's component API
    try:
        component = host.load(SHIPPED / "normalize.wasm", "transform")
        linked = host.link(component, tuple(component.imports))
        return max(1, min(_one_instance(linked) for _ in range(rounds)))
    finally:
        host.close()


def _one_instance(linked: Linked) -> int:
    began = time.thread_time_ns()
    store = work.instantiate(linked)
    took = time.thread_time_ns() - began
    store.close()
    return took


def _compile(rounds: int) -> tuple[float, ...]:
    found = []
    for name in COMPILED:
        file = SHIPPED / f"{name}.wasm"
        compiles = work.compiling(file)
        found.append(min(cpu_ns(compiles, 1) for _ in range(rounds)) * _KIB / file.stat().st_size)
    return tuple(found)


def _digest(rounds: int) -> int:
    block = bytes(_MIB)

    def digest(count: int) -> None:
        for _ in range(count):
            hashlib.sha256(block).digest()

    return max(1, min(cpu_ns(digest, 4) for _ in range(rounds)) * _KIB // (4 * _MIB))


def _verify(rounds: int) -> int:
    verify = work.verifying()
    count = often_enough(verify)
    return max(1, min(cpu_ns(verify, count) for _ in range(rounds)) // count)

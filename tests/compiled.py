"""Components are compiled once a process of the suite, not once for each host of its hundreds: the second
host gets the same machine code.

Belongs here: keeping what wasmtime has compiled. Never: what is refused, which is compiled anew, and refused
anew.
"""

from __future__ import annotations

from pathlib import Path

import wasmtime
from wasmtime import component as wc

from twinloop.components.host import component
from twinloop.components.host.host import Host

WASM = Path(__file__).parent.parent / "components" / "wasm"
_compile = component._compile
_known: dict[bytes, bytearray] = {}
"""bytes of a component -> what wasmtime made of them; it looks itself whether that is for an engine like this
one, and raises if it isn't"""


def _compiled(engine: wasmtime.Engine, data: bytes) -> wc.Component:
    if data not in _known:
        fresh = _compile(engine, data)
        _known[data] = fresh.serialize()
        return fresh
    return wc.Component.deserialize(engine, _known[data])


def install() -> None:
    """From now on, in this process."""
    component._compile = _compiled


def shipped() -> None:
    """Compiles the shipped components, in this thread alone: a process that forks has no others in its
    forks."""
    host = Host(threads=False)
    for path in sorted(WASM.glob("*.wasm")):
        _compiled(host.engine, path.read_bytes())
    host.close()

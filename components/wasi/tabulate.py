"""Writes signatures.txt: the functions of WASI with their types, from a component that imports all of them.

Belongs here: the table's text. Never: reading it (interfaces.py).

    python -m twinloop.components.wasi.tabulate COMPONENT > components/wasi/signatures.txt

The component is made from WASI's WIT, in a folder with a world ``everything`` that includes the worlds of all
its packages:

    wasm-tools component embed FOLDER --world everything --dummy --all-features -o core.wasm
    wasm-tools component new core.wasm -o COMPONENT

A function's type is written as the contract's are (contract.describe_function), so that equal text means
equal types, but for the names of resources, which wasmtime compares. Types that come more than once are
written once, as ``$0``, ``$1`` and so on.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import wasmtime
from wasmtime import component as wc
from wasmtime.component._types import ComponentInstanceType, FuncType

from twinloop.components.contract.contract import describe_function
from twinloop.components.wasi.interfaces import wasi_interface

HEAD = """\
# The functions of WASI 0.2.12, each with its type; $1$ stands for what the line $1 says. Made by
# python -m twinloop.components.wasi.tabulate COMPONENT, from a component that imports all of it.
"""
SHORT_CHARACTERS = 30
"""a shorter type is written where it is"""


def functions(data: bytes) -> list[tuple[str, str]]:
    """(``io/poll#poll``, its type) of each function of WASI that a component imports, in the order of the
    interfaces' names, then the component's own."""
    engine = wasmtime.Engine()
    found = []
    for full_name, item in sorted(wc.Component(engine, data).type.imports(engine).items()):
        interface = wasi_interface(full_name)
        if interface is not None and isinstance(item.ty, ComponentInstanceType):
            found += [
                (f"{interface}#{name}", describe_function(one.ty))
                for name, one in item.ty.exports(engine).items()
                if isinstance(one.ty, FuncType)
            ]
    return found


def shortened(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Types that come more than once, each in a row of its own before; the innermost first."""
    short: list[tuple[str, str]] = []
    while True:
        counts = Counter(braced for _, text in rows for braced in _braces(text))
        counts.update(braced for _, text in short for braced in _braces(text) if braced != text)
        again = [braced for braced, many in counts.items() if many > 1 and len(braced) >= SHORT_CHARACTERS]
        if not again:
            return short + rows
        once = min(again, key=len)
        name = f"${len(short)}"
        rows = [(function, text.replace(once, f"{name}$")) for function, text in rows]
        short = [(other, text.replace(once, f"{name}$")) for other, text in short] + [(name, once)]


def _braces(text: str) -> Iterator[str]:
    """Every ``record{...}``, ``variant{...}``, ``enum{...}`` and ``flags{...}`` in it."""
    begun: list[int] = []
    for at, character in enumerate(text):
        if character == "{":
            start = at
            while start and text[start - 1].isalpha():
                start -= 1
            begun.append(start)
        elif character == "}":
            yield text[begun.pop() : at + 1]


def table(data: bytes) -> str:
    """The text of signatures.txt for that component."""
    return HEAD + "".join(f"{name} {text}\n" for name, text in shortened(functions(data)))


if __name__ == "__main__":
    sys.stdout.write(table(Path(sys.argv[1]).read_bytes()))

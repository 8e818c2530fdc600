"""The Go starter's adapt.py: what it adds to a module hands out an array, aligned, and traps at its end."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime

from twinloop.components.starters.go.adapt import ARENA_BYTES, MAGIC, adapted

AT = 70_000


def module(data: str) -> bytes:
    magic = "".join(f"\\{byte:02x}" for byte in MAGIC)
    text = f"""(module
      (import "env" "nothing" (func))
      (memory (export "memory") 8)
      (global (mut i32) (i32.const 7))
      (func (export "seven") (result i32) (global.get 0))
      {data.replace("MAGIC", magic)}
    )"""
    return bytes(wasmtime.wat2wasm(text))


def test_the_array_is_handed_out_in_pieces() -> None:
    data = f'(data (i32.const 16) "ab") (data (i32.const {AT - 5}) "12345MAGIC and more")'
    store = wasmtime.Store()
    nothing = wasmtime.Func(store, wasmtime.FuncType([], []), lambda: None)
    made = wasmtime.Module(store.engine, adapted(module(data)))
    exports: Any = wasmtime.Instance(store, made, [nothing]).exports(store)

    def allocate(align: int, size: int) -> int:
        found: int = exports["cabi_realloc_adapter"](store, 0, 0, align, size)
        return found

    assert [allocate(1, 3), allocate(8, 10), allocate(4, 1), allocate(1, 0)] == [
        AT,
        AT + 8,
        AT + 20,
        AT + 21,
    ]
    assert allocate(65536, 1) == 131072
    assert allocate(1, ARENA_BYTES - (131073 - AT)) == 131073
    assert exports["seven"](store) == 7
    with pytest.raises(wasmtime.Trap, match="unreachable"):
        allocate(1, 1)


@pytest.mark.parametrize("data", ['(data (i32.const 16) "ab")', '(data "MAGIC")'])
def test_a_module_without_the_array_is_refused(data: str) -> None:
    with pytest.raises(SystemExit, match=r"^adapt\.py: "):
        adapted(module(data))

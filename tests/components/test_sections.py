"""What a component's bytes say of it before anything is compiled, and what bytes that are no component say."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable

import pytest
import wasmtime
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wasmtime import component as wc

from tests.components import guests
from tests.plants import WASM
from twinloop.components.binary.reader import ITEMS_MAX, SectionsError
from twinloop.components.binary.sections import (
    COMPONENT_PREAMBLE,
    MODULE_PREAMBLE,
    Extern,
    Memory,
    read_sections,
)
from twinloop.components.build import _wasm_tools
from twinloop.components.contract.contract import interface
from twinloop.components.host.component import ComponentRefused, served
from twinloop.components.host.host import Host

MODBUS = (WASM / "modbus-driver.wasm").read_bytes()


def binary(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def leb(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value,))


def section(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + leb(len(body)) + body


def name(text: str) -> bytes:
    return leb(len(text.encode())) + text.encode()


def test_a_shipped_driver() -> None:
    found = read_sections(MODBUS)
    assert found.imports == (
        Extern(interface("types"), "instance", (), ()),
        Extern(interface("fieldbus"), "instance", ("transact", "send", "receive", "reset"), ()),
        Extern(interface("clock"), "instance", ("now", "monotonic", "sleep"), ()),
        Extern(interface("log"), "instance", ("log",), ()),
    )
    assert found.exports == (Extern(interface("driver"), "instance"),)
    assert found.producers == {"processed-by": (("wit-component", "0.262.0"), ("wit-bindgen-c", "0.63.0"))}
    assert [(one.name, one.named_functions) for one in found.modules] == [
        ("", 0), ("wit-component:shim", 4), ("wit-component:fixups", 5),
    ]  # fmt: skip
    assert found.memories == (Memory(1, None),)
    assert (found.components, found.uses_async, found.uses_streams) == (1, False, False)


@pytest.mark.parametrize("path", sorted(WASM.glob("*.wasm")), ids=lambda path: path.stem)
def test_every_shipped_guest_imports_and_exports_what_wasmtime_says(host: Host, path: object) -> None:
    data = path.read_bytes()  # type: ignore[attr-defined]
    kind = wc.Component(host.engines.plain.raw, data).type
    found = read_sections(data)
    assert {one.name: one.functions for one in found.imports} == {
        name: tuple(
            each
            for each, inner in item.ty.exports(host.engines.plain.raw).items()
            if type(inner.ty).__name__ == "FuncType"
        )
        for name, item in kind.imports(host.engines.plain.raw).items()
    }
    assert [one.name for one in found.exports] == list(kind.exports(host.engines.plain.raw))


@pytest.mark.parametrize(
    "guest",
    [guests.empty, lambda: guests.sleeping(1), lambda: guests.keeping(3), lambda: guests.slow_transform(1)],
)
def test_component_text_as_binary(guest: Callable[[], bytes]) -> None:
    found = read_sections(binary(guest().decode()))
    assert found.imports[0].name == interface("types", "0.1.0")
    assert len(found.modules) == 2
    assert found.modules[1].name == "m"


def test_every_kind_of_import_and_export() -> None:
    found = read_sections(
        binary("""(component
          (import "a:b/resources@0.2.0" (instance (export "stream" (type (sub resource))) (export "read" (func))))
          (import "a:b/empty" (instance))
          (import "f" (func (param "x" (list u8)) (result (option string))))
          (import "t" (type (sub resource)))
          (import "m" (core module (import "a" "b" (func (param i32))) (export "c" (memory 1))))
          (import "c" (component (import "inner" (func)) (export "outer" (func))))
          (type $later (instance (type $r (record (field "a" u8))) (export "r" (type (eq $r))) (export "g" (func (result $r)))))
          (alias outer 0 $later (type $same))
          (import "a:b/aliased" (instance (type $same)))
          (export "f2" (func 0)) (export "t2" (type 3)) (export "i2" (instance 0)) (export "c2" (component 0))
          (export "m2" (core module 0))
        )""")
    )
    assert found.imports == (
        Extern("a:b/resources@0.2.0", "instance", ("read",), ("stream",)),
        Extern("a:b/empty", "instance", (), ()),
        Extern("f", "func"),
        Extern("t", "type"),
        Extern("m", "module"),
        Extern("c", "component"),
        Extern("a:b/aliased", "instance", ("g",), ()),
    )
    assert [(one.name, one.kind) for one in found.exports] == [
        ("f2", "func"), ("t2", "type"), ("i2", "instance"), ("c2", "component"), ("m2", "module"),
    ]  # fmt: skip


def test_memories_wherever_they_are_defined() -> None:
    found = read_sections(
        binary("""(component
          (core module (memory 2 5))
          (component (component (core module (memory 7) (memory 1 1 shared)) (core module)))
          (core module (import "a" "b" (memory 9)) (memory i64 3 4))
          (core module (memory 10 (pagesize 1)))
        )""")
    )
    assert found.memories == (
        Memory(2, 5), Memory(7, None), Memory(1, 1, shared=True), Memory(3, 4, wide=True), Memory(10, None, page_bytes=1),
    )  # fmt: skip
    assert (len(found.modules), found.components) == (5, 2)


def test_names_of_functions() -> None:
    found = read_sections(
        binary("""(component (core module $driver (func $poll) (func $read) (func)) (core module (func)))""")
    )
    assert [(one.name, one.named_functions) for one in found.modules] == [("driver", 2), ("", 0)]


def test_producers_of_all_modules_each_once() -> None:
    def producers(field: str, *pairs: tuple[str, str]) -> bytes:
        values = leb(len(pairs)) + b"".join(name(one) + name(version) for one, version in pairs)
        return section(0, name("producers") + b"\x01" + name(field) + values)

    one = MODULE_PREAMBLE + producers("language", ("Rust", ""), ("C11", ""))
    two = MODULE_PREAMBLE + producers("language", ("Rust", ""))
    data = COMPONENT_PREAMBLE + section(1, one) + section(1, two) + producers("sdk", ("Emscripten", "4.0"))
    assert read_sections(data).producers == {
        "language": (("Rust", ""), ("C11", "")),
        "sdk": (("Emscripten", "4.0"),),
    }
    broken = COMPONENT_PREAMBLE + section(0, name("producers") + b"\x05\x01a") + producers("sdk", ("x", "1"))
    assert read_sections(broken).producers == {"sdk": (("x", "1"),)}
    names = MODULE_PREAMBLE + section(0, name("name") + section(0, name("mine")) + b"\x01\xff")
    assert read_sections(COMPONENT_PREAMBLE + section(1, names)).modules[0].name == "mine"


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ('(component (import "a" (func)))', (False, False)),
        ('(component (import "a" (func async)))', (True, False)),
        ('(component (import "a" (func (result (future u8)))))', (True, True)),
        ('(component (import "a" (instance (type $s (stream u8)) (export "b" (func (param "x" $s))))))', (True, True)),
        ("(component (core func (canon task.cancel)))", (True, False)),
        ("(component (core func (canon waitable-set.new)))", (True, False)),
        ("(component (type $s (stream u8)) (core func (canon stream.new $s)))", (True, True)),
        ("(component (component (type $s (future)) (core func (canon future.new $s))))", (True, True)),
        ('(component (import "a" (func $f)) (core func (canon lower (func $f) async)))', (True, False)),
        ('(component (type $r (resource (rep i32))) (core func (canon resource.new $r)) (core func (canon resource.drop $r)))', (False, False)),
    ],
)  # fmt: skip
def test_async(text: str, uses: tuple[bool, bool]) -> None:
    found = read_sections(parsed(text))
    assert (found.uses_async, found.uses_streams) == uses


def parsed(text: str) -> bytes:
    """By wasm-tools: wasmtime-py's own reader of text knows less."""
    command = [_wasm_tools(), "parse", "-"]
    return subprocess.run(command, input=text.encode(), check=True, capture_output=True).stdout


def test_a_built_in_that_is_not_known_is_async_and_no_error() -> None:
    for canon in (b"\x09\x00\x50", b"\x7e", b"\x00\x00\x00\x01\x09\x00"):
        found = read_sections(COMPONENT_PREAMBLE + section(8, b"\x01" + canon))
        assert found.uses_async == (canon[0] != 0)


def test_a_definition_that_is_not_known_hides_types_and_nothing_else() -> None:
    unknown = section(7, b"\x01\x45\x00")
    instance = section(7, b"\x01\x42\x00")
    imports = section(10, b"\x01\x00" + name("a:b/c") + b"\x05\x00")
    found = read_sections(COMPONENT_PREAMBLE + unknown + instance + imports)
    assert found.imports == (Extern("a:b/c", "instance"),)


@pytest.mark.parametrize("named", [b"\x00", b"\x01"])
def test_both_forms_of_names_and_those_with_attributes(named: bytes) -> None:
    attributes = b"\x02" + name("b") + b"\x01\x00" + name("a:b/c")
    body = b"\x02" + named + name("a") + b"\x01\x00" + attributes + b"\x01\x00"
    data = COMPONENT_PREAMBLE + section(7, b"\x01\x40\x00\x01\x00") + section(10, body)
    assert [one.name for one in read_sections(data).imports] == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "no component"),
        (MODULE_PREAMBLE, "no component"),
        (MODBUS[:2000], "section 1 should have .* bytes, .* follow"),
        (COMPONENT_PREAMBLE + b"\x0a", "byte 9: the bytes end"),
        (COMPONENT_PREAMBLE + section(13, b""), "section 13 .*no component has"),
        (COMPONENT_PREAMBLE + section(1, b"\0asm"), "byte 10: expected 0061736d01000000, got 0061736d"),
        (COMPONENT_PREAMBLE + section(4, MODULE_PREAMBLE), "expected 0061736d0d000100"),
        (COMPONENT_PREAMBLE + section(1, MODULE_PREAMBLE + section(14, b"")), "no core module has"),
        (COMPONENT_PREAMBLE + section(10, b"\x02\x00\x01a\x01\x00"), "the bytes end in the middle"),
        (COMPONENT_PREAMBLE + section(10, b"\x01\x00\x02\xff\xfe\x01\x00"), "no UTF-8"),
        (COMPONENT_PREAMBLE + section(10, b"\x01\x00\x01a\x09\x00"), "of an unknown kind"),
        (COMPONENT_PREAMBLE + section(10, b"\x01\x00\x01a\x02\x01\x50"), "a type of an unknown form"),
        (COMPONENT_PREAMBLE + section(10, b"\x7f"), "127 items are announced, 0 bytes follow"),
        (COMPONENT_PREAMBLE + b"\x0a\xff\xff\xff\xff\x7f", "more than 32 bits"),
        (COMPONENT_PREAMBLE + b"\x0a\x80\x80\x80\x80\x80\x00", "more than 32 bits"),
        (COMPONENT_PREAMBLE + section(10, b"\x01\x00" + leb(100_001) + b"a" * 100_001 + b"\x01\x00"), "the limit is 100000"),
        (COMPONENT_PREAMBLE + section(1, MODULE_PREAMBLE + section(5, b"\x01\x40\x00")), "unknown flags 0x40"),
    ],
)  # fmt: skip
def test_garbage_is_named(data: bytes, text: str) -> None:
    with pytest.raises(SectionsError, match=text):
        read_sections(data)


def test_nesting_has_an_end() -> None:
    def nested(depth: int) -> bytes:
        data = COMPONENT_PREAMBLE
        for _ in range(depth):
            data = COMPONENT_PREAMBLE + section(4, data)
        return data

    assert read_sections(nested(100)).components == 100
    with pytest.raises(SectionsError, match="nested deeper than 100"):
        read_sections(nested(101))
    types = b"\x42\x00"
    for _ in range(2000):
        types = b"\x42\x01\x01" + types
    with pytest.raises(SectionsError, match="types are nested deeper than 100"):
        read_sections(COMPONENT_PREAMBLE + section(7, b"\x01" + types))


@pytest.mark.parametrize(
    "data",
    [
        COMPONENT_PREAMBLE + section(0, b"\0") * 2_000_000,
        COMPONENT_PREAMBLE + section(7, leb(20_000_000) + b"\x7f" * 20_000_000),
        COMPONENT_PREAMBLE + section(8, leb(2_000_000) + b"\x1f" * 2_000_000),
        COMPONENT_PREAMBLE + section(1, MODULE_PREAMBLE + section(5, leb(2_000_000) + b"\x00" * 4_000_000)),
        COMPONENT_PREAMBLE + section(1, MODULE_PREAMBLE) * 1_000_000,
    ],
    ids=["sections", "types", "canons", "memories", "modules"],
)
def test_a_million_definitions_are_too_many_and_found_out_in_time(data: bytes) -> None:
    begun = time.process_time()
    with pytest.raises(SectionsError, match=f"more than {ITEMS_MAX} definitions"):
        read_sections(data)
    assert time.process_time() - begun < 20


# ---- any bytes -----------------------------------------------------------------------------------
def understood(data: bytes) -> None:
    """Read, or refused by that error and no other."""
    with contextlib.suppress(SectionsError):
        read_sections(data)


BODIES = st.binary(max_size=60)
SECTIONS = st.lists(st.tuples(st.integers(0, 14), BODIES), max_size=6)


@settings(deadline=None)
@given(st.binary(max_size=200))
@example(b"\0asm")
def test_any_bytes(data: bytes) -> None:
    understood(data)
    understood(COMPONENT_PREAMBLE + data)


@settings(deadline=None)
@given(SECTIONS, st.integers(0, 2))
def test_any_sections(sections: list[tuple[int, bytes]], nested: int) -> None:
    body = b"".join(section(kind, content) for kind, content in sections)
    data = (MODULE_PREAMBLE if nested == 2 else COMPONENT_PREAMBLE) + body
    if nested:
        data = COMPONENT_PREAMBLE + section(1 if nested == 2 else 4, data)
    understood(data)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(WASM.glob("*.wasm"))),
    st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), max_size=8),
    st.integers(0, 1 << 30),
)
def test_shipped_guests_with_other_bytes_in_them(
    path: object, changes: list[tuple[int, int]], end: int
) -> None:
    data = bytearray(path.read_bytes())  # type: ignore[attr-defined]
    for at, byte in changes:
        data[at % min(len(data), 4000) if at % 2 else at % len(data)] = byte
    understood(bytes(data))
    understood(bytes(data[: end % len(data)]))


# ---- what is refused before it is compiled -------------------------------------------------------
def refused(host: Host, text: str, role: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(
        host.engines.plain.cache, "compiled", lambda *arguments: pytest.fail("it was compiled")
    )
    with pytest.raises(ComponentRefused) as caught:
        host.load(text.encode(), role)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "role", "words"),
    [
        ('(component (import "wasi:logging/logging@0.1.0" (instance (export "exit" (func)))))', "driver", "imports wasi:logging/logging@0.1.0, which no gateway offers; of WASI this host offers 0.2: wasi:cli, wasi:io, wasi:random, wasi:clocks, wasi:filesystem, wasi:sockets, wasi:http"),
        ('(component (import "wasi:io/error@0.3.0" (instance (export "error" (type (sub resource))))))', "driver", "imports wasi:io/error@0.3.0, which no gateway offers; of WASI this host offers 0.2: wasi:cli, wasi:io, wasi:random, wasi:clocks, wasi:filesystem, wasi:sockets, wasi:http"),
        ('(component (import "bare" (func)))', "policy", "imports bare, which no gateway offers"),
        ('(component (import "twinloop:gateway/clock@0.3.0" (instance (export "now" (func (result u64))))))', "driver",
         "imports twinloop:gateway/clock@0.3.0, which no gateway offers; " + served()),
        (f'(component (import "{interface("fieldbus")}" (instance (export "reset" (func)))))', "transform", "imports fieldbus, which a transform can't be granted"),
    ],
)  # fmt: skip
def test_unknown_imports_are_refused_before_anything_is_compiled(
    host: Host, text: str, role: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(host, text, role, monkeypatch) == words


def test_types_alone_are_no_capability_and_what_is_unclear_is_left_to_wasmtime(host: Host) -> None:
    with pytest.raises(ComponentRefused, match="it exports nothing"):
        host.load(
            b'(component (import "a:b/types" (instance (type $r u8) (export "r" (type (eq $r))))))', "driver"
        )
    borrowed = b"""(component
      (import "a:b/types" (instance $i (export "r" (type (sub resource)))))
      (alias export $i "r" (type $r))
      (import "a:b/same" (instance (export "r" (type (eq $r))))))"""
    with pytest.raises(ComponentRefused, match="imports a:b/types, which no gateway offers"):
        host.load(borrowed, "driver")

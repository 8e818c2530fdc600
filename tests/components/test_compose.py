"""One component out of several: who gives what to whom, what is imported by the whole, what is refused."""

from __future__ import annotations

from contextlib import suppress
from itertools import permutations
from pathlib import Path

import pytest
import wasmtime

from tests.plants import WASM
from twinloop.components.binary.sections import read_sections
from twinloop.components.compose.adapting import joined
from twinloop.components.compose.joining import composed
from twinloop.components.compose.types import ComposeError
from twinloop.components.host.component import Component, ComponentRefused
from twinloop.components.host.host import Host

GUESTS = Path(__file__).parents[1] / "guests"
LOGGING = (GUESTS / "logging" / "logging.wasm").read_bytes()
DRIVER = (WASM / "modbus-driver.wasm").read_bytes()
BUILT = WASM.parent / "starters" / "built"
HOSTILE = WASM.parents[1] / "scenarios" / "library" / "hostile" / "hostile-driver.wasm"
SOME_BUILT = [
    path
    for path in sorted((GUESTS.parents[1] / "build" / "guests").glob("starter-*-driver.wasm"))
    if path.stat().st_size < 4 << 20
]
"""Go and QuickJS, where they were built"""
CLOCK = """
  (type $u u64)
  (import "twinloop:gateway/clock@0.2.0" (instance $c
    (export "timestamp" (type (eq $u))) (export "duration" (type (eq $u)))
    (export "now" (func (result u64))) (export "monotonic" (func (result u64)))
    (export "sleep" (func (param "time" u64)))))"""
PASSING = f'(component {CLOCK} (export "twinloop:gateway/clock@0.2.0" (instance $c)))'
"""gives the clock that it gets"""


def binary(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def imports(data: bytes) -> list[str]:
    return [one.name for one in read_sections(data).imports]


def part(name: str, needs: tuple[str, ...] = (), gives: tuple[str, ...] = ()) -> tuple[str, bytes]:
    """One that imports and exports interfaces without anything in them."""
    text = "".join(f'(import "{one}" (instance))' for one in needs)
    text += "".join(
        f'(component $c{index}) (instance $i{index} (instantiate $c{index})) (export "{one}" (instance $i{index}))'
        for index, one in enumerate(gives)
    )
    return name, binary(f"(component {text})")


def compiled(data: bytes) -> None:
    """wasmtime takes it: its types fit."""
    wasmtime.component.Component(wasmtime.Engine(), data)


def test_a_driver_with_a_log_between(host: Host) -> None:
    data = composed([("driver", DRIVER), ("logging", LOGGING)])
    whole = host.load(data, "driver")
    assert [*whole.imports] == ["log", "fieldbus", "clock"]
    assert whole.memories == 2
    assert whole.options == host.load(DRIVER, "driver").options
    assert data == composed([("other", DRIVER), ("names", LOGGING)])


@pytest.mark.parametrize(
    "path",
    [BUILT / "c-driver.wasm", *sorted(BUILT.glob("rust-driver*.wasm")), HOSTILE, *SOME_BUILT],
    ids=lambda path: path.stem,
)
def test_components_of_toolchains_keep_what_they_import(host: Host, path: Path) -> None:
    """WASI, too: resources of one interface that others use, and types of others."""
    alone = host.load(path, "driver")
    data = composed([("theirs", path.read_bytes()), ("clock", binary(PASSING))])
    whole: Component = host.load(data, "driver")
    assert sorted(whole.imports) == sorted(alone.imports)
    assert {name: [*items] for name, items in whole.wasi.items()} == {
        name: [*items] for name, items in alone.wasi.items()
    }


def test_all_of_wasi_is_imported_as_it_was() -> None:
    text = (GUESTS / "wasi-0.2.12.wat").read_text()
    data = binary(f"(component {text} {CLOCK})")
    whole = composed([("all", data), ("clock", binary(PASSING))])
    assert sorted(imports(whole)) == sorted(imports(data))
    compiled(whole)


def test_each_comes_from_the_one_that_exports_it() -> None:
    parts = [
        part("role", ("a:b/x@1.0.0", "a:b/y@1.0.0"), ("r:r/role@1.0.0",)),
        part("x", ("a:b/y@1.0.0",), ("a:b/x@1.0.0",)),
        part("y", ("a:b/z@1.0.0",), ("a:b/y@1.0.0", "a:b/unused@1.0.0")),
    ]
    for rest in permutations(parts[1:]):
        data = composed([parts[0], *rest])
        compiled(data)
        contents = read_sections(data)
        assert [one.name for one in contents.imports] == ["a:b/z@1.0.0"]
        assert [one.name for one in contents.exports] == ["r:r/role@1.0.0"]


@pytest.mark.parametrize(
    ("wanted", "offered", "fits"),
    [
        ("1.2.0", "1.3.1", True), ("1.2.0", "2.2.0", False), ("0.2.1", "0.2.6", True), ("0.2.6", "0.2.1", True),
        ("0.2.0", "0.3.0", False), ("0.0.1", "0.0.2", False), ("1.0.0-rc1", "1.0.0", False),
    ],
)  # fmt: skip
def test_versions(wanted: str, offered: str, fits: bool) -> None:
    parts = [part("one", (f"a:b/x@{wanted}",)), part("other", gives=(f"a:b/x@{offered}",))]
    if fits:
        assert imports(composed(parts)) == []
    else:
        said = rf"other is not used by anything: .*; one imports a:b/x@{wanted}, another version"
        with pytest.raises(ComposeError, match=said):
            composed(parts)


def test_the_same_version_goes_before_a_compatible_one() -> None:
    parts = [
        part("one", ("a:b/x@1.0.0", "a:b/x@1.1.0")),
        part("old", gives=("a:b/x@1.0.0",)),
        part("new", gives=("a:b/x@1.1.0",)),
    ]
    compiled(composed(parts))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([part("a")], "expected 2 to 8 components, got 1"),
        ([part("a"), part("b")], "b is not used by anything: it exports no interface; what the others import: nothing"),
        ([part("a", ("i:i/x",)), part("b", gives=("i:i/x",)), part("c", gives=("i:i/x",))],
         r"a imports i:i/x, which b \(i:i/x\) and c \(i:i/x\) export: it must be one of them"),
        ([part("a", ("i:i/x",)), part("b", ("i:i/y",), ("i:i/x",)), part("c", ("i:i/x",), ("i:i/y",))],
         "they need each other: b needs c needs b"),
        ([part("a"), ("b", b"\0asm\1\0\0\0")], "b: no component: its first eight bytes are others"),
        ([part("a"), ("b", part("b")[1][:8] + b"\x0a\x30")], r"b: byte \d+: section 10 should have 48 bytes"),
        ([("a", binary('(component (import "f" (func)))')), part("b")], "a imports f, a func: only interfaces can be composed"),
    ],
)  # fmt: skip
def test_what_cannot_be_one(parts: list[tuple[str, bytes]], said: str) -> None:
    with pytest.raises(ComposeError, match=said):
        composed(parts)


def test_a_resource_of_a_part_is_not_the_gateways() -> None:
    """One exports wasi:io/poll, and what the gateway gives has pollables of its own."""
    uses = """(component
      (import "wasi:io/poll@0.2.0" (instance $p (export "pollable" (type (sub resource)))))
      (alias export $p "pollable" (type $t))
      (import "wasi:clocks/monotonic-clock@0.2.0" (instance (alias outer 1 $t (type $o))
        (export "pollable" (type $x (eq $o))) (type $own (own $x)) (export "subscribe" (func (result $own))))))"""
    with pytest.raises(ComposeError, match=r"uses pollable of wasi:io/poll@0[.]2[.]0, which isn't"):
        composed([("one", binary(uses)), part("two", gives=("wasi:io/poll@0.2.0",))])


def test_parts_that_differ_in_what_they_import() -> None:
    def one(name: str, function: str, *gives: str, needs: str = "") -> tuple[str, bytes]:
        more = "".join(
            f'(component $c) (instance $i (instantiate $c)) (export "{give}" (instance $i))' for give in gives
        )
        needed = f'(import "{needs}" (instance))' if needs else ""
        text = f'(component (import "a:b/x" (instance {function})) {needed} {more})'
        return name, binary(text)

    data = composed(
        [one("one", '(export "f" (func))', needs="a:b/y"), one("two", '(export "g" (func))', "a:b/y")]
    )
    assert sorted(read_sections(data).imports[0].functions or ()) == ["f", "g"]
    compiled(data)
    with pytest.raises(ComposeError, match="one imports a:b/x#f with another type than the others"):
        composed(
            [
                one("one", '(export "f" (func))', needs="a:b/y"),
                one("two", '(export "f" (func (result u8)))', "a:b/y"),
            ]
        )


def test_types_that_do_not_fit_are_wasmtimes_affair(host: Host) -> None:
    other = PASSING.replace("(func (result u64))", "(func (result u32))")
    data = joined([("driver", DRIVER), ("clock", other.encode())])
    with pytest.raises(ComponentRefused, match=r"type mismatch for import `twinloop:gateway/clock@0.2.0`"):
        host.load(data, "driver")
    with pytest.raises(ComponentRefused, match=r"^core: expected a component, it is a core module"):
        joined([("driver", DRIVER), ("core", b"\0asm\1\0\0\0")])


def test_types_that_double_take_no_time() -> None:
    """2^90 leaves by structure, ninety types in the file."""
    doubled = "".join(f"(type $t{i + 1} (tuple $t{i} $t{i}))" for i in range(90))
    text = f'(component (import "a:b/x" (instance (type $t0 (tuple u8)) {doubled} (export "f" (func (param "a" $t90))))) (import "a:b/y" (instance)))'
    data = composed([("one", binary(text)), part("two", gives=("a:b/y",))])
    assert len(data) < 5000


def test_cut_bytes_are_refused_with_words() -> None:
    for end in range(8, len(LOGGING), 7):
        with suppress(ComposeError):  # and nothing else is raised
            composed([("driver", DRIVER), ("logging", LOGGING[:end])])

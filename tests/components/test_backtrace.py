"""Where a guest trapped, in its own words: from real guests with and without names, and from texts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from twinloop.components.build import CFLAGS, HERE, _wasm_tools
from twinloop.components.contract.contract import Settings
from twinloop.components.host import capi
from twinloop.components.host.backtrace import FRAMES_MAX, NAME_CHARACTERS_MAX, short_name, trapped_in
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance

SOURCE = """
#include "bindings/reading_transform.h"
#define OWN __attribute__((noinline)) static
static volatile int turns;
OWN int scale(int x) { if (x > 3) __builtin_trap(); return x + turns; }
OWN int convert(int x) { return scale(x + 1) + 1; }
OWN int each(int x) { return convert(x * 2) + 2; }
bool exports_twinloop_gateway_transform_configure(
    exports_twinloop_gateway_transform_settings_t *s, exports_twinloop_gateway_transform_config_error_t *err) {
  return each(s->options.len ? 3 : 0) != 0;
}
bool exports_twinloop_gateway_transform_transform_readings(
    exports_twinloop_gateway_transform_origin_t *source, exports_twinloop_gateway_transform_batch_t *input,
    exports_twinloop_gateway_transform_batch_t *ret, exports_twinloop_gateway_transform_transform_error_t *err) {
  return each(3) != 0;
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One C guest that traps through nested calls, with names, and stripped."""
    found = tmp_path_factory.mktemp("traps")
    (found / "trap.c").write_text(SOURCE)
    bindings = ["bindings/reading_transform.c", "bindings/reading_transform_component_type.o"]
    for name in ("named", "stripped"):
        flags = [flag for flag in CFLAGS if name == "stripped" or flag != "-s"]
        core, out = found / f"{name}.core.wasm", found / f"{name}.wasm"
        compiler = [
            sys.executable,
            "-m",
            "ziglang",
            "cc",
            *flags,
            "-I",
            ".",
            "-o",
            str(core),
            str(found / "trap.c"),
        ]
        subprocess.run([*compiler, *bindings], check=True, cwd=HERE / "guests")
        subprocess.run([_wasm_tools(), "component", "new", str(core), "-o", str(out)], check=True)
    return found


def error_of(host: Host, path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """wasmtime's text when that guest traps in ``configure``."""
    texts = []

    def keep(at: int) -> wasmtime.WasmtimeError:
        error = taken(at)
        texts.append(str(error))
        return error

    taken = capi.error_at
    monkeypatch.setattr(capi, "error_at", keep)
    instance: Instance = host.instantiate(host.link(host.load(path, "transform"), []), {}, 1_000_000)
    instance.begin("configure", [Settings("", [], [("a", "b")])], 1_000_000)
    instance.advance()
    assert str(instance.fault) == "unreachable: wasm trap: wasm `unreachable` instruction executed"
    instance.close()
    (text,) = texts
    return str(text)


def test_a_guest_with_names(host: Host, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = trapped_in(error_of(host, folder / "named.wasm", monkeypatch))
    assert found == (
        "scale",
        "convert",
        "each",
        "exports_twinloop_gateway_transform_configure",
        "__wasm_export_exports_twinloop_gateway_transform_configure",
    )


def test_the_same_guest_stripped(host: Host, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = trapped_in(error_of(host, folder / "stripped.wasm", monkeypatch))
    assert len(found) == 5
    assert all(name.startswith("<wasm function ") and name.endswith(">") for name in found)
    assert len(dict.fromkeys(found)) == 5


DETAILS = """
import sys
from pathlib import Path
import pytest
from tests.components.test_backtrace import error_of
from twinloop.components.host.backtrace import trapped_in
from twinloop.components.host.host import Host
host = Host()
text = error_of(host, Path(sys.argv[1]), pytest.MonkeyPatch())
assert "trap.c" in text
print(*trapped_in(text))
"""


def test_details_of_the_environment_change_nothing(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DETAILS, str(folder / "named.wasm")],
        env={**os.environ, "WASMTIME_BACKTRACE_DETAILS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split()[:4] == [
        "scale",
        "convert",
        "each",
        "exports_twinloop_gateway_transform_configure",
    ]


def text_of(*frames: str) -> str:
    lines = "\n".join(f"  {at:>3}: {frame}" for at, frame in enumerate(frames))
    return f"error while executing at wasm backtrace:\n{lines}\n\nCaused by:\n    0: memory fault\n    1: wasm trap: x"


def test_a_deep_stack_is_cut_at_its_inner_end() -> None:
    frames = ["app!recurse", *["  0x4b4 - app!recurse"] * 18, " 0x123456 - app!main"]
    assert trapped_in(text_of(*frames)) == ("recurse",) * FRAMES_MAX


def test_texts_without_a_backtrace() -> None:
    for text in (
        "",
        "list pointer/length out of bounds of memory",
        "error while executing at wasm backtrace:",
    ):
        assert trapped_in(text) == ()


def test_modules_without_a_name_and_names_with_a_mark() -> None:
    found = trapped_in(
        text_of(
            "  0x3ed - <unknown>!<wasm function 7>", "   0x1 - app!a!b", "   0x1 - app!main.(*Driver).Poll"
        )
    )
    assert found == ("<wasm function 7>", "a!b", "main.(*Driver).Poll")


def test_inlined_functions_are_left_out() -> None:
    text = text_of(
        "  0x3ee - core::panicking::panic\n                    at /x/core.rs:1:2\n              - driver::modbus::poll\n"
        "                    at /x/driver.rs:5:39",
        "  0x3cb - convert\n                    at /x/driver.rs:6",
    )
    assert trapped_in(text) == ("modbus::poll", "convert")


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("_ZN6driver6modbus4poll17h0123456789abcdefE", "modbus::poll"),
        ("_ZN6driver4poll17h0123456789abcdefE.llvm.12345", "driver::poll"),
        ("_ZN4core3ptr42drop_in_place$LT$alloc..string..String$GT$17h0123456789abcdefE", "ptr::drop_in_place"),
        ("_ZN46_$LT$driver..Modbus$u20$as$u20$driver..Bus$GT$4poll17h0123456789abcdefE", "Modbus::poll"),
        ("_RNvNtCs1234_7mycrate3foo3bar", "foo::bar"),
        ("_RNvMs_Cs1234_7mycrateNtB4_3Foo3bar", "Foo::bar"),
        ("_RINvNtC3std3mem8align_ofjE", "mem::align_of"),
        ("mycrate[3c1c0]::foo::bar", "foo::bar"),
        ("<mycrate[3c1c0]::Foo>::bar", "Foo::bar"),
        ("<alloc::vec::Vec<T> as core::ops::Drop>::drop", "Vec::drop"),
        ("std::mem::align_of::<usize>", "mem::align_of"),
        ("core::option::unwrap::h0123456789abcdef", "option::unwrap"),
        ("driver::poll::{closure#0}", "poll::{closure#0}"),
        ("driver::read(int, char const*)", "driver::read(int, char const*)"),
        ("_ZN6driver4readEi", "_ZN6driver4readEi"),
        ("main.(*Driver).Poll", "main.(*Driver).Poll"),
        ("runtime.gopanic", "runtime.gopanic"),
        ("<wasm function 12>", "<wasm function 12>"),
        ("a\x1b[31mb", "a[31mb"),
        ("x" * 500, "x" * (NAME_CHARACTERS_MAX - 1) + "…"),
    ],
)  # fmt: skip
def test_names_as_people_know_them(name: str, short: str) -> None:
    assert short_name(name) == short


@settings(deadline=None)
@given(st.text(max_size=300) | st.from_regex(r"_(R|ZN)[\w$.]{0,80}", fullmatch=True))
def test_any_name_is_a_name(name: str) -> None:
    assert len(short_name(name)) <= NAME_CHARACTERS_MAX
    assert len(trapped_in(text_of(name))) <= FRAMES_MAX


def test_hostile_names_take_no_time() -> None:
    for name in ("_R" + "s" * 100_000, "_ZN" + "17h" * 50_000, "<" * 100_000 + "::", "_ZN" + "9" * 100_000):
        assert len(short_name(name)) <= NAME_CHARACTERS_MAX

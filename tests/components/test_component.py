"""What can be wrong with a `.wasm` before it runs, each with its own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.components import guests
from tests.plants import WASM
from twinloop.components.host.component import ComponentRefused
from twinloop.components.host.host import Host

CORE = b"\0asm\x01\0\0\0"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "the file is empty"), (b"ELF", "something else"), (CORE, "a core module; make one with: wasm-tools component new"),
        (WASM.joinpath("route.wasm").read_bytes()[:2000], "does not compile"), (b"\0asm\x0e\0\x01\0", "unknown version"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_component(host: Host, data: bytes, text: str) -> None:
    with pytest.raises(ComponentRefused, match=text):
        host.load(data, "driver")


def test_another_world_is_named(host: Host) -> None:
    with pytest.raises(ComponentRefused, match=r"expected a driver .*it is a policy"):
        host.load(WASM / "route.wasm", "driver")


def test_no_such_file(host: Host) -> None:
    with pytest.raises(ComponentRefused, match="no such file"):
        host.load(Path("nowhere.wasm"), "driver")
    with pytest.raises(ComponentRefused, match="not a file"):
        host.load(WASM, "driver")


def test_an_import_that_nobody_offers(host: Host) -> None:
    text = b'(component (import "acme:gpio/pins@1.0.0" (instance (export "set" (func)))))'
    with pytest.raises(ComponentRefused, match=r"imports acme:gpio/pins@1.0.0, which no gateway offers$"):
        host.load(text, "driver")


def test_an_ungranted_import_is_refused_by_name(host: Host) -> None:
    component = host.load(WASM / "modbus-driver.wasm", "driver")
    with pytest.raises(ComponentRefused, match="imports clock, log, which it is not granted"):
        host.link(component, ["fieldbus"])


def test_a_wrong_signature_is_refused_before_it_runs(host: Host) -> None:
    text = guests.empty().replace(b'(param "value" f64)', b'(param "valeu" f64)')
    with pytest.raises(ComponentRefused, match=r"write-register: expected func\(point:u16,value:f64\)"):
        host.load(text, "driver")


@pytest.mark.parametrize("name", ["modbus-driver", "normalize", "smooth", "derive", "route"])
def test_committed_guests_import_nothing_but_the_contract(name: str) -> None:
    data = (WASM / f"{name}.wasm").read_bytes()
    assert b"wasi_snapshot_preview1" not in data
    assert b"wasi:" not in data


def test_equal_bytes_compile_once_and_a_custom_section_changes_the_digest_only(host: Host) -> None:
    data = (WASM / "route.wasm").read_bytes()
    one, two = host.load(data, "policy"), host.load(data, "policy")
    assert one is two
    changed = host.load(data + b"\x00\x05\x03xyz1", "policy")
    assert changed.sha256 != one.sha256

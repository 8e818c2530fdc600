"""The registry: keys, releases, what is refused, what a signature covers."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plants import WASM
from twinloop.components.host.host import Host
from twinloop.components.releases.demo_registry import DEMO_KEY, RELEASES, STRANGERS_KEY, marked
from twinloop.components.releases.keys import (
    read_private_key,
    read_public_key,
    trust,
    write_keys,
)
from twinloop.components.releases.registry import (
    Registry,
    RegistryError,
    Release,
    Version,
    bytes_fault,
    key_id,
    sign,
    signature_fault,
)
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import LIBRARY

TRUSTED = trust(DEMO_KEY.public_key())
ROUTE = (WASM / "route.wasm").read_bytes()


def release() -> Release:
    return sign("route", Version(1, 2, 3), ROUTE, DEMO_KEY)


def test_a_signature_covers_everything_that_a_release_states() -> None:
    good = release()
    assert signature_fault(good, TRUSTED) == ""
    changes = {"name": "rout", "version": Version(1, 2, 4), "size_bytes": len(ROUTE) + 1, "sha256": "0" * 64}
    for field, value in changes.items():
        assert signature_fault(replace(good, **{field: value}), TRUSTED) == "bad-signature", field
    assert (
        signature_fault(
            replace(good, signature=good.signature[:-1] + bytes([good.signature[-1] ^ 1])), TRUSTED
        )
        == "bad-signature"
    )
    assert signature_fault(replace(good, signature=b""), TRUSTED) == "bad-signature"
    assert signature_fault(replace(good, key=key_id(STRANGERS_KEY.public_key())), TRUSTED) == "unknown-key"
    assert (
        signature_fault(
            sign("route", Version(1, 2, 3), ROUTE, STRANGERS_KEY),
            trust(STRANGERS_KEY.public_key(), DEMO_KEY.public_key()),
        )
        == ""
    )


def test_bytes_are_held_against_size_and_digest() -> None:
    good = release()
    assert bytes_fault(good, ROUTE) == ""
    assert bytes_fault(good, ROUTE[:-1]) == "truncated"
    assert bytes_fault(good, b"") == "truncated"
    assert bytes_fault(good, ROUTE + b"\0") == "too-long"
    assert bytes_fault(good, ROUTE[:-1] + bytes([ROUTE[-1] ^ 1])) == "wrong-digest"


@given(st.binary(min_size=1, max_size=200), st.integers(0, 10**9 - 1), st.integers(0, 1600))
def test_a_flipped_bit_is_never_believed(data: bytes, minor: int, bit: int) -> None:
    good = sign("x", Version(0, minor, 0), data, DEMO_KEY)
    assert signature_fault(good, TRUSTED) == bytes_fault(good, data) == ""
    bit %= 8 * len(data)
    wrong = bytearray(data)
    wrong[bit >> 3] ^= 1 << (bit & 7)
    assert bytes_fault(good, bytes(wrong)) == "wrong-digest"
    at = bit % 512
    forged = bytearray(good.signature)
    forged[at >> 3] ^= 1 << (at & 7)
    assert signature_fault(replace(good, signature=bytes(forged)), TRUSTED) == "bad-signature"


@pytest.mark.parametrize(
    "text", ["1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.2.x", "", "1.2.3-rc1", "1.2.1000000000"]
)
def test_versions_are_three_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="expected a version"):
        Version.parse(text)
    assert Version.parse("1.10.0") > Version.parse("1.9.99")
    assert str(Version.parse("0.0.10")) == "0.0.10"


def test_a_release_is_read_as_it_was_written(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    added = registry.add("route", Version(1, 2, 3), ROUTE, DEMO_KEY)
    assert registry.read("route", Version(1, 2, 3)) == (added, ROUTE)
    assert registry.add("route", Version(1, 2, 3), ROUTE, DEMO_KEY) == added, "twice is once"
    assert registry.names() == ["route"]
    registry.add("route", Version(1, 10, 0), marked(ROUTE, "x"), DEMO_KEY)
    assert registry.versions("route") == [(1, 2, 3), (1, 10, 0)]
    assert registry.fault("route", Version(1, 10, 0), TRUSTED) == ""
    assert sorted(path.name for path in (tmp_path / "registry" / "route").iterdir()) == ["1.10.0", "1.2.3"], (
        "nothing half done is left"
    )


def test_a_released_version_never_changes(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.add("route", Version(1, 0, 0), ROUTE, DEMO_KEY)
    for data, key in ((marked(ROUTE, "x"), DEMO_KEY), (ROUTE, STRANGERS_KEY)):
        with pytest.raises(RegistryError, match=r"1\.0\.0: is there already with other bytes or another key"):
            registry.add("route", Version(1, 0, 0), data, key)
    assert registry.read("route", Version(1, 0, 0))[1] == ROUTE


@pytest.mark.parametrize(("change", "message"), [
    ({"format": 2}, "expected format 1"), ({"size": 0}, "size: expected"), ({"size": "1"}, "size: expected"), ({"sha256": "xyz"}, "sha256: expected"),
    ({"name": "../x"}, "name: expected"), ({"version": "1.0"}, "expected a version"), ({"signature": "%"}, "signature: expected base64"),
    ({"extra": 1}, "expected an object with"), ({"name": "normalize"}, "lies where route 1.0.0 should"),
])  # fmt: skip
def test_a_statement_that_is_none_is_named_with_its_file(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    registry = Registry(tmp_path)
    registry.add("route", Version(1, 0, 0), ROUTE, DEMO_KEY)
    file = tmp_path / "route" / "1.0.0" / "release.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(RegistryError, match=message) as caught:
        registry.read("route", Version(1, 0, 0))
    assert str(file) in str(caught.value)
    assert message in registry.fault("route", Version(1, 0, 0), TRUSTED)
    for text in ("", "{", "[]", "\ud800".encode("utf-8", "surrogatepass").decode("latin1")):
        file.write_text(text)
        assert str(file) in registry.fault("route", Version(1, 0, 0), TRUSTED)


@pytest.mark.parametrize("text", ["[" * 30_000, '{"format": ' * 5000])
def test_deep_json_is_no_traceback(text: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.add("route", Version(1, 0, 0), ROUTE, DEMO_KEY)
    (tmp_path / "route" / "1.0.0" / "release.json").write_text(text)
    with pytest.raises(RegistryError, match="is no JSON"):
        registry.read("route", Version(1, 0, 0))


def test_what_is_no_file_is_never_read(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.add("route", Version(1, 0, 0), ROUTE, DEMO_KEY)
    statement = tmp_path / "route" / "1.0.0" / "release.json"
    statement.unlink()
    os.mkfifo(statement)
    with pytest.raises(RegistryError, match="expected a file"):
        registry.read("route", Version(1, 0, 0))
    statement.unlink()
    statement.symlink_to("/dev/zero")
    with pytest.raises(RegistryError, match="expected a file"):
        registry.read("route", Version(1, 0, 0))
    for stem in (tmp_path / ("x" * 300), Path("/"), Path()):
        with pytest.raises(RegistryError):
            write_keys(stem)
    with pytest.raises(RegistryError, match="is no file's name"):
        read_public_key(Path("a\0b.pub"))


def test_keys_are_written_once_and_read_by_kind(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path / "keys" / "release")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert key_id(read_private_key(private).public_key()) == key_id(read_public_key(public))
    with pytest.raises(RegistryError, match="a key is never overwritten"):
        write_keys(tmp_path / "keys" / "release")
    for wrong, read, message in (
        (public, read_private_key, "this is the public half"),
        (private, read_public_key, "this is the private half"),
        (WASM / "route.wasm", read_public_key, "not a PEM file of one"),
        (tmp_path / "none.pub", read_public_key, "No such file"),
    ):
        with pytest.raises(RegistryError, match=message) as caught:
            read(wrong)
        assert str(wrong) in str(caught.value)


def test_the_shipped_registry_is_what_it_says() -> None:
    registry = Registry(LIBRARY / "registry")
    trusted = trust(read_public_key(LIBRARY / "registry" / "demo.pub"))
    faults = {
        (name, version): registry.fault(name, Version.parse(version), trusted)
        for name, version, _, _ in RELEASES
    }
    bad = {key: fault for key, fault in faults.items() if fault}
    assert bad == {
        ("normalize", "1.2.0"): "unknown-key",
        ("normalize", "1.3.0"): "bad-signature",
        ("normalize", "1.4.0"): "wrong-digest",
        ("normalize", "1.5.0"): "truncated",
    }
    assert sorted(faults) == sorted(
        (name, str(version)) for name in registry.names() for version in registry.versions(name)
    )


@pytest.mark.parametrize(
    ("name", "version", "role"),
    [("route", "1.2.0", "policy"), ("route", "1.3.0", "policy"), ("modbus-driver", "1.2.0", "driver")],
)
def test_unfit_releases_are_components(name: str, version: str, role: str, host: Host) -> None:
    _, data = Registry(LIBRARY / "registry").read(name, Version.parse(version))
    assert host.load(data, role).role == role


def test_the_command_says_when_the_same_bytes_were_there_already(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wasm, (private, _) = tmp_path / "route.wasm", write_keys(tmp_path / "release")
    wasm.write_bytes(ROUTE)
    command = ["registry", "add", str(tmp_path / "r"), str(wasm), "--version", "1.2.0", "--key", str(private)]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert "route 1.2.0  " in first
    assert "nothing is new" not in first
    assert main(command) == 0
    assert (
        capsys.readouterr().out == f"{first.rstrip()}  (nothing is new: the same bytes were there already)\n"
    )

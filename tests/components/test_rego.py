"""Policies in Rego: from OPA's bytes to a component, what they decide, what they cost, and what is refused."""

from __future__ import annotations

import gzip
import io
import math
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plants import WASM
from twinloop.components.contract.contract import (
    IntegerReading,
    LinkState,
    Origin,
    PointConfig,
    Reading,
    Settings,
    TextReading,
)
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.components.rego import compiling
from twinloop.components.rego.__main__ import main
from twinloop.components.rego.compiling import rego_to_wasm
from twinloop.components.rego.core_module import Reader
from twinloop.components.rego.splice import TEMPLATE, PolicyRefused, component_of

BUILT = WASM.parent / "starters" / "built" / "rego-policy.wasm"
UNFIT = Path(__file__).with_name("rego-unfit.tar.gz")
"""made by opa build -t wasm -e twinloop/decision of a policy that calls sprintf and time.now_ns"""
FUEL = 100_000_000
POINTS = [PointConfig(n, f"p{n}", "x", "degC", 1.0, 0.0, None, 90.5) for n in range(10)]
READINGS = [Reading(n, 20.0 + 9.9 * n, 0, 1000 + n) for n in range(10)]
UP = LinkState(True, 5, 0, 3, 0.1)


def modules(component: bytes) -> list[bytes]:
    found, whole = [], Reader(component, 8)
    while whole.at < len(component):
        kind = whole.byte()
        body = whole.take(whole.unsigned())
        if kind == 1:
            found.append(body)
    return found


POLICY = modules(BUILT.read_bytes())[1]


@pytest.fixture
def policy(host: Host) -> Iterator[Instance]:
    instance = host.instantiate(host.link(host.load(component_of(POLICY), "policy"), []), {}, FUEL)
    assert instance.fault is None
    yield instance
    instance.close()


def call(instance: Instance, export: str, *arguments: Any) -> Any:
    instance.begin(export, arguments, FUEL)
    instance.advance()
    assert instance.fault is None
    return instance.result()


def configure(instance: Instance, *options: tuple[str, str]) -> Any:
    return call(instance, "configure", Settings('a "quoted"\n name', POINTS, list(options)))


def alerts(instance: Instance, *readings: Reading) -> list[int]:
    decision = call(instance, "decide", Origin("d", 7), (list(readings), [], []), UP)
    return [point for point, verdict in decision.value[1] if verdict == ("alert", "above its high limit")]


def test_the_same_policy_makes_the_same_component() -> None:
    assert component_of(POLICY) == BUILT.read_bytes()
    assert len(TEMPLATE.read_bytes()) < 32_000


def test_a_bundle_is_opened() -> None:
    assert component_of(bundle({"/policy.wasm": POLICY, "/data.json": b"{}"})) == component_of(POLICY)


def test_decisions(policy: Instance) -> None:
    assert configure(policy).ok
    texts = [TextReading(3, 'a "b"\\ \n é', 0, 5)]
    for up, kind in ((True, "forward"), (False, "cache")):
        decision = call(policy, "decide", Origin("d", 0), (READINGS, texts, []), UP._replace(up=up))
        assert decision.value[0] == (kind, 1)
        assert [point for point, _ in decision.value[1]] == [8, 9]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_in_json_is_bad_for_the_policy(policy: Instance, value: float) -> None:
    configure(policy)
    assert alerts(policy, Reading(0, value, 0, 0), Reading(1, 91.0, 0, 0)) == [1]


@pytest.mark.parametrize(
    ("value", "above"),
    [(90.5, False), (90.50000000000001, True), (90.49999999999999, False), (1e308, True), (-5e-324, False), (9007199254740993.0, True)],
)  # fmt: skip
def test_numbers_arrive_to_the_last_bit(policy: Instance, value: float, above: bool) -> None:
    configure(policy)
    assert alerts(policy, Reading(0, value, 0, 0)) == ([0] if above else [])


@pytest.mark.parametrize(
    ("high", "value", "above"),
    [
        (2.0**53, 2**53, False), (2.0**53, 2**53 + 1, True), (2.0**53, 2**53 - 1, False), (2.0**63, 2**63, False), (2.0**63, 2**63 + 1, True),
        (2.0**64, 2**64 - 1, False), (2.0**64 - 2048, 2**64 - 1, True), (-(2.0**53), -(2**53) - 1, False), (-(2.0**53), -(2**53), False),
        (-(2.0**53) - 2, -(2**53) - 1, True), (-(2.0**63), -(2**63), False), (-(2.0**63), -(2**63) + 1, True), (0.5, 0, False), (0.5, 1, True),
    ],
)  # fmt: skip
def test_whole_numbers_are_readings_with_all_their_digits(
    policy: Instance, high: float, value: int, above: bool
) -> None:
    points = [PointConfig(n, f"p{n}", "x", "", 1.0, 0.0, None, high) for n in range(3)]
    assert call(policy, "configure", Settings("d", points, [])).ok
    readings = [Reading(0, math.inf, 0, 5), Reading(1, -1e308, 0, 5)]
    for case in ["signed"] * (value < 2**63) + ["unsigned"] * (value >= 0):
        for texts in ([], [TextReading(1, "t", 0, 5)]):
            whole = [IntegerReading(2, (case, value), 0, 5), IntegerReading(44, (case, value), 0, 5)]
            decision = call(policy, "decide", Origin("d", 7), (readings, texts, whole), UP)
            assert [point for point, _ in decision.value[1]] == [2] * above
            bad = call(policy, "decide", Origin("d", 7), ([], texts, [whole[0]._replace(status=1 << 31)]), UP)
            assert bad.ok
            assert not [*bad.value[1]]


def test_bad_readings_and_unknown_points_raise_nothing(policy: Instance) -> None:
    configure(policy)
    assert alerts(policy, Reading(0, 99.0, 0x80000000, 0), Reading(44, 99.0, 0, 0)) == []


def test_not_configured_until_a_configure_was_taken(policy: Instance) -> None:
    assert call(policy, "decide", Origin("d", 0), (READINGS, [], []), UP).value == ("not-configured", None)
    assert configure(policy).ok
    assert configure(policy, ("lane", "2"), ("other", "3")).value == ("unknown-option", "lane")
    assert call(policy, "decide", Origin("d", 0), (READINGS, [], []), UP).value == ("not-configured", None)


def test_memory_is_flat(policy: Instance) -> None:
    configure(policy)
    before = policy.memory_bytes
    arguments = (Origin("d", 0), (READINGS, [], []), UP)
    first = policy_fuel(policy, arguments)
    for _ in range(20_000):
        last = policy_fuel(policy, arguments)
    assert policy.memory_bytes == before
    assert abs(last - first) < 100
    for _ in range(300):
        configure(policy)
    assert policy.memory_bytes == before


def policy_fuel(instance: Instance, arguments: tuple[Any, ...]) -> int:
    instance.begin("decide", arguments, FUEL)
    return instance.advance()


def bundle(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "no WebAssembly: expected what this makes: opa build -t wasm -e twinloop/decision"),
        (b"package twinloop", "no WebAssembly"),
        (BUILT.read_bytes(), "a component already"),
        (b"\0asm\x02\0\0\0", "damaged: no core module"),
        (b"\0asm\x01\0\0\0", "no policy of OPA: it doesn't export opa_malloc"),
        (POLICY[:5000], "damaged: it ends too early"),
        (POLICY.replace(b"opa_wasm_abi_version", b"opa_wasm_abi_venison"), "ABI version unknown of OPA policies, expected 1"),
        (POLICY.replace(b"twinloop/decision\0", b"twinloop/decisiom\0"), "built for twinloop/decisiom, not for twinloop/decision"),
        (POLICY.replace(b"\x03env\x06memory\x02\x00\x02", b"\x03env\x06memory\x02\x00\x20"), "own data take 2048 KiB, at most 1024"),
        (b"\x1f\x8bxx", "no bundle that can be read"),
        (gzip.compress(b"not a tar"), "no bundle that can be read"),
        (bundle({"/policy.rego": b""}), "a bundle without policy.wasm"),
        (bundle({"/policy.wasm": POLICY, "/data.json": b'{"limit": 3}'}), "data of its own"),
        (UNFIT.read_bytes(), r"calls sprintf \(use concat and format_int\), time.now_ns \(a reading has its time"),
    ],
    ids=lambda one: "bytes" if isinstance(one, bytes) else None,  # some hold the time at which they were packed
)  # fmt: skip
def test_refused_with_the_reason(data: bytes, text: str) -> None:
    with pytest.raises(PolicyRefused, match=text):
        component_of(data)


def test_damage_is_refused_or_spliced_but_nothing_else() -> None:
    """Cut anywhere, and a byte changed anywhere in the first sections."""
    for length in range(8, 3000, 7):
        with pytest.raises(PolicyRefused):
            component_of(POLICY[:length])
    for at in range(8, 1500, 3):
        for byte in (0, 0x7F, 0xFF):
            try:
                component_of(POLICY[:at] + bytes([byte]) + POLICY[at + 1 :])
            except PolicyRefused:
                continue


def test_the_shim_refuses_what_reading_the_bytes_did_not_see(host: Host) -> None:
    """A policy that needs built-ins is told so when it is configured, if it was spliced by another tool."""
    with tarfile.open(UNFIT) as archive:
        file = archive.extractfile("/policy.wasm")
        assert file is not None
        unfit = file.read()
    template = TEMPLATE.read_bytes()
    hollow = modules(template)[1]
    spliced = template.replace(_sized(hollow), _sized(unfit))
    instance = host.instantiate(host.link(host.load(spliced, "policy"), []), {}, FUEL)
    case, text = configure(instance).value
    assert case == "other"
    assert "only OPA itself has" in text
    assert "sprintf" in text
    instance.close()


def _sized(module: bytes) -> bytes:
    size, out = len(module), b"\x01"
    while size > 0x7F:
        out += bytes([size & 0x7F | 0x80])
        size >>= 7
    return out + bytes([size]) + module


def test_without_opa_the_cure_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    with pytest.raises(PolicyRefused, match=r"needs opa.*go install .*give the bundle"):
        rego_to_wasm(tmp_path)


def test_opas_words_are_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opa = tmp_path / "opa"
    opa.write_text("#!/bin/sh\necho 'rego_parse_error: unexpected token' >&2\nexit 1\n")
    opa.chmod(0o755)
    monkeypatch.setattr(compiling.shutil, "which", lambda name: str(opa))
    policy = tmp_path / "policy.rego"
    with pytest.raises(PolicyRefused, match="no such file"):
        rego_to_wasm(policy)
    policy.write_text("package twinloop\n")
    with pytest.raises(PolicyRefused, match="opa build refuses it: rego_parse_error: unexpected token"):
        rego_to_wasm(policy)


@pytest.mark.skipif(shutil.which("opa") is None, reason="no opa here")
def test_built_from_source() -> None:
    assert rego_to_wasm(WASM.parent / "starters" / "rego" / "policy.rego") == BUILT.read_bytes()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "policy.wasm", tmp_path / "out.wasm"
    source.write_bytes(POLICY)
    assert main([str(source), str(out)]) == 0
    assert out.read_bytes() == component_of(POLICY)
    assert main([str(UNFIT), str(out)]) == 2
    assert "sprintf" in capsys.readouterr().err
    assert main([]) == 2

"""Runtimes side by side: the kernels compute what Python computes, and page and profiles say what was measured."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import shutil
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
import wasmtime
import yaml

from benchmarks.runtimes import figures
from benchmarks.runtimes.__main__ import MEASURED, PAGE, PROFILES_YAML
from benchmarks.runtimes.measuring import KERNELS, TOUCHED, WORD_N, summary, times
from benchmarks.runtimes.modes import KERNELS_WASM, MODES, PROFILES, REFERENCE, Mode
from benchmarks.runtimes.runners import Runner

WORD = 0xFFFFFFFF
KEYS = {"title", "components", "isas", "metered", "reservation", "fuel", "instance"}
OPTIONAL = {"interpreter", "lacks"}


def mix(word: int, value: int) -> int:
    return ((word ^ value) & WORD) * 16777619 & WORD


def draw(state: int) -> int:
    state ^= state << 13 & WORD
    state ^= state >> 17
    return (state ^ state << 5) & WORD


def drawn(state: int) -> Iterator[int]:
    while True:
        state = draw(state)
        yield state


def frames(count: int, seed: int, n: int) -> Iterator[bytes]:
    """The bytes that a kernel has before each time."""
    draws = drawn(seed)
    frame = bytearray(next(draws) >> 24 for _ in range(count))
    for i in range(n):
        frame[i % count] ^= (i + 1) & 255
        yield bytes(frame)


def words(values: Iterator[int]) -> int:
    word = 0
    for value in values:
        word = mix(word, value)
    return word


def crc16(n: int) -> int:
    def one(frame: bytes) -> int:
        crc = 0xFFFF
        for byte in frame:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        return crc

    assert one(b"123456789") == 0x4B37  # the catalogue's check value of CRC-16/MODBUS
    return words(one(frame) for frame in frames(200, 1, n))


def crc32(n: int) -> int:
    return words(zlib.crc32(frame) for frame in frames(256, 2, n))


def base64_(n: int) -> int:
    def values() -> Iterator[int]:
        for frame in frames(192, 3, n):
            yield from base64.b64encode(frame)[::8]
            yield from frame[::8]

    return words(values())


def sha256(n: int) -> int:
    def values() -> Iterator[int]:
        for frame in frames(200, 4, n):
            digest = hashlib.sha256(frame).digest()
            yield from (int.from_bytes(digest[at : at + 4]) for at in range(0, 32, 4))

    return words(values())


MESSAGE = (
    '{"device":"press-07","seq":100234,"ok":true,"fault":null,"values":['
    '{"name":"oil temperature","value":61.250,"unit":"Cel","quality":"good"},'
    '{"name":"pressure","value":-3.125,"unit":"bar","quality":"good"},'
    '{"name":"cycles","value":884213,"unit":"1","quality":"uncertain"}],'
    r'"tags":["hall 2","line \"A\"",[1,2,[3,4]]]}'
)


def leaves(found: Any, depth: int) -> Iterator[int]:
    """What the kernel adds to its word, in order."""
    if isinstance(found, str):
        yield from found.encode()
        yield len(found)
    elif isinstance(found, bool) or found is None:
        yield int(found is True)
    elif isinstance(found, int | Decimal):
        yield int(found * 1000) & WORD
    else:
        yield depth
        for one in found:
            if isinstance(found, dict):
                yield from leaves(one, depth)
            yield from leaves(found[one] if isinstance(found, dict) else one, depth + 1)


def json_(n: int) -> int:
    def values() -> Iterator[int]:
        for i in range(n):
            text = MESSAGE.replace("100234", f"10023{i % 10}")
            yield from leaves(json.loads(text, parse_float=Decimal), 1)

    return words(values())


def fmt(n: int) -> int:
    draws = drawn(5)

    def values() -> Iterator[int]:
        for i in range(n):
            milli = next(draws) % 250000
            state = ("good", "uncertain", "bad")[milli % 3]
            text = f'press,line={i % 100} value={milli / 1000:.3f},state="{state}",raw=0x{next(draws):08x} '
            yield from f"{text}{1_700_000_000 + i}000000000".encode()

    return words(values())


def sort(n: int) -> int:
    draws = drawn(6)
    return words(one for _ in range(n) for one in sorted(next(draws) for _ in range(256))[::16])


def maths(n: int) -> int:
    draws = drawn(9)

    def flow() -> float:
        ohms = 100.0 + (next(draws) % 100000) / 1000.0
        a, b = 3.9083e-3, -5.775e-7
        celsius = (math.sqrt(a * a - 4.0 * b * (1.0 - ohms / 100.0)) - a) / (2.0 * b)
        density = 999.84 / (1.0 + celsius * (2.1e-4 + celsius * 3.0e-6))
        return math.sqrt(2.0 * (celsius + 10.0) * 100.0 / density)

    def values() -> Iterator[int]:
        for _ in range(n):
            total = 0.0
            for _ in range(32):
                total += flow()
            yield int(total * 1000.0) & WORD

    return words(values())


NATIVE: dict[str, Callable[[int], int]] = {
    "crc16": crc16,
    "crc32": crc32,
    "base64": base64_,
    "sha256": sha256,
    "json": json_,
    "fmt": fmt,
    "sort": sort,
    "maths": maths,
}


@cache
def compiled() -> tuple[wasmtime.Engine, wasmtime.Module]:
    engine = wasmtime.Engine()
    return engine, wasmtime.Module(engine, KERNELS_WASM.read_bytes())


def called(name: str, n: int) -> int:
    engine, module = compiled()
    store = wasmtime.Store(engine)
    function = wasmtime.Instance(store, module, []).exports(store)[name]
    assert isinstance(function, wasmtime.Func)
    return int(function(store, n)) & WORD


@pytest.mark.parametrize("n", [1, 3, 29])
@pytest.mark.parametrize("name", NATIVE)
def test_a_kernel_computes_what_python_computes(name: str, n: int) -> None:
    assert called(name, n) == NATIVE[name](n)


@cache
def measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(MEASURED.read_text())
    return found


def test_the_measure_is_of_the_committed_module() -> None:
    assert measured()["kernels"]["sha256"] == hashlib.sha256(KERNELS_WASM.read_bytes()).hexdigest()
    for mode, found in measured()["modes"].items():
        assert list(found["kernels_ns"]) == list(KERNELS), mode


def test_the_measure_holds_the_factors_that_follow_from_it() -> None:
    assert measured()["profiles"] == json.loads(json.dumps(figures.profiles(measured())))


def test_the_page_has_the_tables_of_the_measure() -> None:
    text = PAGE.read_text()
    assert figures.page(text, measured()) == text, "run python -m benchmarks.runtimes --write"


def test_the_profiles_are_those_of_the_measure() -> None:
    assert PROFILES_YAML.read_text() == figures.profiles_yaml(measured()), (
        "run python -m benchmarks.runtimes --write"
    )


def test_a_profile_has_the_keys_that_the_simulator_knows_and_the_measured_factor() -> None:
    found = yaml.safe_load(PROFILES_YAML.read_text())
    assert found["format"] == 1
    assert list(found["runtimes"]) == [one.name for one in PROFILES if one.name in measured()["modes"]]
    for name, one in found["runtimes"].items():
        assert KEYS <= one.keys() <= KEYS | OPTIONAL, name
        assert set(one["isas"]) <= {"aarch64", "armv7", "x86-64"}
        ratios = figures.ratios(measured(), name)
        assert one["fuel"]["value"] == pytest.approx(math.prod(ratios) ** (1 / len(ratios)), rel=0.005)
        assert one["fuel"]["low"] == pytest.approx(min(ratios), rel=0.005)
        assert one["fuel"]["high"] == pytest.approx(max(ratios), rel=0.005)
    assert found["runtimes"][REFERENCE]["fuel"] | {"source": "", "date": ""} == {
        "value": 1, "low": 1, "high": 1, "source": "", "date": "",
    }  # fmt: skip


def mode_of(kernels_ns: list[float], **more: Any) -> dict[str, Any]:
    plain = {"version": "v2.5.7 (of today)", "compile_us": 500.0, "instantiate_us": 7.0, "call_ns": 9.0}
    kept = {"kernels_ns": dict(zip(KERNELS, kernels_ns, strict=True)), "paired_ratios": {"crc16": 4.0}}
    return {**plain, **kept, "addresses_bytes": 0, "memory_bytes": 76 << 10, **more}


def test_factors_of_a_measure_by_hand() -> None:
    """Half of the kernels take twice, half eight times the reference: four times in the mean."""
    found = {
        "machine": "a machine",
        "date": "2026-01-02",
        "modes": {
            REFERENCE: mode_of([100.0] * 14, compile_us=1000.0),
            "wasmi": mode_of([200.0] * 7 + [800.0] * 7, addresses_bytes=(128 << 20) + 8192),
            "wasmi+fuel": mode_of([300.0] * 7 + [1200.0] * 7),
        },
    }
    one = figures.profile(found, "wasmi")
    assert one["fuel_factor"] == {"value": 4.0, "low": 2.0, "high": 8.0}
    assert (one["metered_factor"], one["compile_factor"]) == (1.5, 0.5)
    assert one["address_reservation_bytes"] == 128 << 20
    assert figures.profile(found, REFERENCE)["metered_factor"] is None
    text = figures.profiles_yaml(found)
    assert "    title: wasmi 2.5 (interpreter)\n" in text
    assert "    reservation: 128 MiB\n" in text
    assert "    instance: 76 KiB\n" in text


def test_the_smallest_sample_counts_and_ratios_are_of_one_round() -> None:
    def samples(kernel: list[float]) -> dict[str, list[float]]:
        others = {question: [5000.0, 4000.0, 6000.0] for question in ("compile", "instantiate", "calls")}
        return {**others, **{f"kernel {name}": kernel for name in KERNELS}}

    found = summary({REFERENCE: samples([10.0, 20.0, 40.0]), "node": samples([30.0, 50.0, 160.0])})
    assert found["node"]["kernels_ns"]["tlv"] == 30.0
    assert found["node"]["paired_ratios"]["tlv"] == 3.0  # of 3, 2.5 and 4
    assert found["node"]["compile_us"] == 4.0


class Clock:
    """In the place of a runner: 50 us a time, whatever is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def numbers(self, question: str) -> tuple[int, int]:
        self.asked.append(int(question.rsplit(maxsplit=1)[-1]))
        return 50_000 * self.asked[-1], 0


def test_a_sample_is_made_long_enough_after_a_warm_up() -> None:
    clock = Clock()
    assert times(clock, "kernel tlv") * 50_000 >= 4_000_000  # type: ignore[arg-type]
    assert sum(clock.asked) * 50_000 >= 60_000_000
    assert max(clock.asked) * 50_000 < 12_000_000


def test_a_page_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"docs/runtimes\.md: expected the lines"):
        figures.page("nothing", measured())


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_a_runner_that_is_built_answers_as_python_computes(mode: Mode) -> None:
    if not mode.needs.exists() or shutil.which(mode.words[0]) is None:
        pytest.skip("not built: make runtimes")
    runner = Runner(mode)
    try:
        assert runner.numbers(f"kernel {TOUCHED} {WORD_N}")[1] == fmt(WORD_N)
        took, word = runner.numbers("calls 10")
        assert (took > 0, word) == (True, 7)
    finally:
        runner.close()


def test_a_runner_that_ends_is_told_with_its_words() -> None:
    mode = Mode("gone", ("sh", "-c", "echo no such module >&2; exit 1"), MEASURED)
    with pytest.raises(RuntimeError, match=r"gone: the runner ended at 'version': no such module"):
        Runner(mode).ask("version")

"""The check of a calibration: its list, and its arithmetic."""

from __future__ import annotations

from pathlib import Path

from benchmarks.calibration.__main__ import ROOT, build, halves, held_out, predicted
from benchmarks.languages import LANGUAGES
from twinloop.components.probes.kernels import INTERPRETERS_WASM, MODULES, Guest
from twinloop.scenarios.calibration.components import Used
from twinloop.scenarios.calibration.crossings import CrossingPrices
from twinloop.scenarios.calibration.fitting import Level
from twinloop.scenarios.calibration.shapes import Shape
from twinloop.scenarios.file.load import find

PRICES = CrossingPrices(call_ns=1_000, fiber_ns=9_000, import_ns=100, weight=0.0, band=2.0)


def test_twenty_exports_are_held_out_in_several_languages() -> None:
    ones = held_out()
    assert len(set(ones)) == len(ones) == 20
    assert {"rust", "go", "python"} <= {one.pipeline for one in ones}
    for one in ones:
        known = one.pipeline in LANGUAGES if one.pipeline else find(one.scenario).is_file()
        assert known or (ROOT / one.scenario).is_file(), one


def test_a_prediction_is_crossings_and_fuel_each_at_the_end_of_its_band() -> None:
    """A call: 1 us of crossings x/÷ 2, and 10 000 units of 0.1 ns x/÷ 3."""
    used = Used("x", "0" * 64, False, [(Shape(fuel=10_000), 4_400)] * 4)
    found = predicted(used, Level(0.1, 3.0), PRICES)
    assert (found.low, found.value, found.high) == (500 + 1_000 / 3, 2_000, 2_000 + 3_000)
    assert found.measured == 4_400
    assert found.inside
    assert not predicted(used, Level(0.1, 1.1), PRICES).inside


def test_halves_are_the_first_calls_and_the_last() -> None:
    calls = [(Shape(fuel=n), n) for n in range(5)]
    first, last = halves(Used("x", "0" * 64, False, calls))
    assert first.calls + last.calls == calls
    assert [took for _, took in first.calls] == [0, 1]


def test_the_probes_of_interpreters_are_what_their_source_builds_to(tmp_path: Path) -> None:
    build(tmp_path / "built.wasm")
    assert (tmp_path / "built.wasm").read_bytes() == INTERPRETERS_WASM.read_bytes()


def test_every_probe_gives_the_same_word_metered_and_not() -> None:
    for module in MODULES:
        plain, metered = (Guest(module.read_bytes(), counts) for counts in (False, True))
        assert plain.names == metered.names
        for name in plain.names:
            assert plain.run(name)(3) == metered.run(name)(3), name
            assert metered.fuel_of(name, 2) > 0

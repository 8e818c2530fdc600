"""What executes the components: each profile moves a scenario's answer as its figures say."""

from __future__ import annotations

from pathlib import Path

import pytest

import twinloop
from tests.scenarios.file.test_boards import text
from tests.scenarios.test_banded import SCENARIO, STAGE
from twinloop.scenarios.file.boards.programs import runtimes
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.runner import Options


def run(folder: Path, gateway: str, expect: str) -> twinloop.Result:
    """The board takes 1 ns for a unit of wasmtime's fuel."""
    (folder / "own.yaml").write_text(text(), encoding="utf-8")
    said = SCENARIO.replace("EXPECT", expect).replace("COUNT", "1").replace("HOST", gateway)
    (folder / "s.yaml").write_text(said, encoding="utf-8")
    return twinloop.run(twinloop.load(folder / "s.yaml"), Options(band="never"))


@pytest.mark.parametrize("name", list(runtimes()))
def test_a_profile_moves_the_answer(tmp_path: Path, name: str) -> None:
    """Guest code takes its factor of 1 ns; a bound just above what that comes to holds, and one just below
    doesn't."""
    runtime = runtimes()[name]
    first = run(tmp_path, f"runtime: {name}", f"{STAGE} <= 1 s")
    band, spent = first.data["bands"]["gw"], first.data["gateways"]["gw"]["spent"]["transform"]
    meter = first.data["gateways"]["gw"]["components"]["normalize"]
    assert band["runtime"] == name
    assert band["host"] == ("rust-typed" if runtime.components else "by-hand")
    assert band["fuel_ps"] == runtime.fuel.value, "picoseconds: thousandths of 1 ns"
    assert spent["fuel_ns"] == meter["fuel"] * runtime.fuel.value // 1000
    assert any("runs no components" in note for note in first.notes) is not runtime.components
    measured = first.judged[0].measured
    assert measured is not None
    assert run(tmp_path, f"runtime: {name}", f"{STAGE} <= {int(measured) + 1} ns").verdict is not Verdict.FAIL
    assert run(tmp_path, f"runtime: {name}", f"{STAGE} < {int(measured)} ns").verdict is Verdict.FAIL


def test_an_interpreter_pays_nothing_for_small_reservations(tmp_path: Path) -> None:
    for name, factor in (("wasmtime", 1.7), ("wasmtime-pulley", 1.0)):
        result = run(tmp_path, f"runtime: {name}, reservation: 64 MiB", f"{STAGE} <= 1 s")
        expected = runtimes()[name].fuel.value * factor
        assert result.data["bands"]["gw"]["fuel_ps"] == pytest.approx(expected, abs=1)

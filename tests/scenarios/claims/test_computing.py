"""Guest code against native code, and crossings: ratios and cycles by hand."""

from __future__ import annotations

import pytest

from tests.scenarios.claims.benches import Bench
from twinloop.scenarios.claims import computing
from twinloop.scenarios.claims.claim import Holds, Verdict, of_what, verdict
from twinloop.scenarios.claims.measured import Kept
from twinloop.scenarios.file.boards.programs import hosts
from twinloop.scenarios.file.boards.reading import shipped

KERNELS = {
    "a": {"native_ns": 100.0, "wasm_ns": 100.0, "metered_ns": 150.0},
    "b": {"native_ns": 100.0, "wasm_ns": 121.0, "metered_ns": 150.0},
}


def keep(monkeypatch: pytest.MonkeyPatch, part: dict[str, object], call_cycles: float | None = 40.0) -> None:
    monkeypatch.setattr(computing, "measured", lambda: {"native": part})
    monkeypatch.setattr(computing, "said", lambda: "make claims, there, then")
    monkeypatch.setattr(computing, "kept", lambda *path: Kept(call_cycles, "kept"))


def test_the_mean_is_geometric(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(monkeypatch, {"how": "so", "kernels": KERNELS})
    figures = computing.native(Bench())
    assert [round(one.value or 0, 6) for one in figures] == [1.1, 1.0, 1.21, 1.5]
    assert verdict(figures) is Verdict.DEPENDS
    assert computing.why_native(figures) == (
        "It is 10 % slower on x86-64 in the mean of the kernels, from 0 % slower to 21 % slower, and 50 % slower "
        "when instructions are counted."
    )


def test_slow_guest_code_makes_it_false(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = {"a": {"native_ns": 100.0, "wasm_ns": 200.0, "metered_ns": 300.0}}
    keep(monkeypatch, {"how": "so", "kernels": slow})
    assert verdict(computing.native(Bench())) is Verdict.FALSE
    quick = {"a": {"native_ns": 100.0, "wasm_ns": 80.0, "metered_ns": 110.0}}
    keep(monkeypatch, {"how": "so", "kernels": quick})
    figures = computing.native(Bench())
    assert verdict(figures) is Verdict.TRUE
    assert computing.why_native(figures).startswith("It is 20 % faster")


def test_without_a_compiler_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(monkeypatch, {"missing": "no compiler"})
    figures = computing.native(Bench("raspberry-pi-4"))
    assert verdict(figures) is Verdict.OPEN
    assert figures[0].how == "no compiler"
    assert "needs a compiler" in computing.why_native(figures)


def test_on_a_board_that_compiles() -> None:
    """The runtime is the one that was measured; counting costs 0.28 / 0.19."""
    plain, counted = computing.native_on(shipped("raspberry-pi-4"), [1.0, 1.21])
    assert (plain.value, plain.low, plain.high) == pytest.approx((1.1, 1.0, 1.21))
    assert plain.holds is Holds.BAND
    assert counted.value == pytest.approx(1.1 * 0.28 / 0.19)
    assert counted.holds is Holds.NO


def test_on_a_board_that_interprets() -> None:
    board = shipped("imx6ull")
    plain, _ = computing.native_on(board, [1.0, 1.21])
    assert plain.value == pytest.approx(1.1 * board.runtime.fuel.value / 1000)
    assert plain.holds is Holds.NO
    assert "(imx6ull) it takes" in computing.why_native(
        [*_means(), plain],
    )


def _means() -> list[computing.Figure]:
    names = (computing.MEAN, computing.BEST, computing.WORST, computing.COUNTED)
    return [computing.Figure(name, "kept", 1.1, "times", computing.Bound(most=1.2)) for name in names]


def test_a_call_of_a_component_in_cycles() -> None:
    """6845 instructions of 0.331 ns at 1.8 GHz; band: 1.9 with 1.11."""
    found = computing.call_cycles(shipped("raspberry-pi-4"), hosts()["rust-typed"])
    assert found.value == pytest.approx(6845 * 0.331 * 1.8, rel=1e-6)
    assert found.high == pytest.approx(6845 * 0.331 * 1.8 * 1.92, rel=1e-3)
    assert found.holds is Holds.NO


def test_crossings_of_a_known_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(monkeypatch, {})
    monkeypatch.setattr(computing, "clock_mhz", lambda: 2000.0)
    monkeypatch.setattr(
        computing.least_call, "components_ns", lambda rounds: {"inside": 1.0, "scalar": 3.0, "bytes": 50.0}
    )
    monkeypatch.setattr(computing.least_call, "host_ns", lambda rounds: 20.0)
    figures = computing.crossing(Bench("raspberry-pi-4"))
    assert [one.value for one in figures[:4]] == [40.0, 6.0, 100.0, 40.0]
    assert verdict(figures) is Verdict.DEPENDS
    why = computing.why_crossing(figures)
    assert "with one number, it is 6 cycles" in why
    assert "4078 (2124 ... 7830) cycles at the least (raspberry-pi-4, rust-typed)" in why
    monkeypatch.setattr(
        computing.least_call, "components_ns", lambda rounds: {"inside": 1.0, "scalar": 30.0, "bytes": 50.0}
    )
    assert verdict(computing.crossing(Bench("raspberry-pi-4"))) is Verdict.FALSE


def test_without_a_clock_nothing_is_in_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(monkeypatch, {}, None)
    monkeypatch.setattr(computing, "clock_mhz", lambda: None)
    figures = computing.crossing(Bench())
    assert verdict(figures) is Verdict.OPEN
    assert computing.why_crossing(figures) == "Nothing was measured."
    assert of_what(figures, computing.CALL) == []


def test_a_busy_machine_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        computing.least_call, "components_ns", lambda rounds: {"inside": 1.0, "scalar": 3.0, "bytes": 50.0}
    )
    monkeypatch.setattr(computing.least_call, "host_ns", lambda rounds: None)
    called = computing.crossings_here(Bench(), 2000.0)[0]
    assert called.value is None
    assert "too busy" in called.how

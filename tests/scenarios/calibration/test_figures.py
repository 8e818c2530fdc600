"""Figures of a calibration from samples that were made up, so that the right ones are known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from twinloop.scenarios.calibration.board import HOST_TO_HOST, Figures, component, figures
from twinloop.scenarios.calibration.components import Used
from twinloop.scenarios.calibration.crossings import CrossingPrices, Timed, fitted
from twinloop.scenarios.calibration.fitting import BAND_LEAST, Level, level
from twinloop.scenarios.calibration.kernels import Kernel
from twinloop.scenarios.calibration.machine import Facts, Flash
from twinloop.scenarios.calibration.outside import Outside
from twinloop.scenarios.calibration.programs import ProgramTime, instruction
from twinloop.scenarios.calibration.shapes import Shape, decide_values, poll_values, transform_values
from twinloop.scenarios.calibration.writing import Measured, board_file, derived
from twinloop.scenarios.file.boards.programs import hosts
from twinloop.scenarios.file.boards.reading import read_board

PRICES = CrossingPrices(call_ns=2_000, fiber_ns=15_000, import_ns=3_000, weight=0.1, band=1.2)
KERNELS = [Kernel("a", 1_000, 50, 60), Kernel("b", 1_000, 100, 120), Kernel("c", 1_000, 200, 240)]
C_API = hosts()["c-api"]


def test_a_level_is_the_geometric_mean_and_its_band_what_the_others_miss_each_by() -> None:
    """Of 1 and 4 the mean is 2, and each alone predicts the other with a miss of 4."""
    found = level([1.0, 4.0])
    assert found.value == pytest.approx(2)
    assert found.band == pytest.approx(4)
    assert (found.low, found.high) == (pytest.approx(0.5), pytest.approx(8))
    assert level([3.0, 3.0, 3.0]).band == BAND_LEAST, "two measurements of the same differ by as much"
    assert level([7.0]).value == pytest.approx(7)


def test_bands_of_independent_factors_come_together_as_sides_of_a_right_angle() -> None:
    three, four = Level(2.0, math.exp(0.3)), Level(5.0, math.exp(0.4))
    assert three.times(four).value == 10
    assert math.log(three.times(four).band) == pytest.approx(0.5)


def test_values_are_counted_as_a_simulated_gateway_counts_them() -> None:
    """Ten readings: five values each, one way; a transform's go both ways."""
    assert transform_values(10) == 50 + 50 + 3 + 4
    assert decide_values(10) == 50 + 9 + 4
    assert poll_values(10) == 50 + 4
    assert (Shape(1, 2, 3, 4, 5, 6) + Shape(1, 1, 1, 1, 1, 1)) == Shape(2, 3, 4, 5, 6, 7)


def made_up(prices: CrossingPrices, fuel_ns: float) -> list[Timed]:
    shapes = [
        (False, Shape(values=transform_values(10), fuel=1_600)),
        (False, Shape(values=transform_values(40), fuel=5_000)),
        (False, Shape(values=decide_values(1), fuel=700)),
        (True, Shape(1, 1, 1, poll_values(10), 40, 3_000)),
        (True, Shape(1, 10, 10, poll_values(10), 230, 10_000)),
        (True, Shape(1, 4, 4, poll_values(40), 230, 10_000)),
    ]
    return [
        Timed(f"{n}", shape, fiber, prices.of(shape, fiber).value + shape.fuel * fuel_ns)
        for n, (fiber, shape) in enumerate(shapes)
    ]


def test_prices_of_crossings_are_found_again() -> None:
    found = fitted(made_up(PRICES, 0.1), 0.1)
    assert found.call_ns == pytest.approx(PRICES.call_ns, rel=1e-3)
    assert found.fiber_ns == pytest.approx(PRICES.fiber_ns, rel=1e-3)
    assert found.import_ns == pytest.approx(PRICES.import_ns, rel=1e-3)
    assert found.weight == pytest.approx(PRICES.weight, rel=1e-3)
    assert found.band == BAND_LEAST


def test_an_instruction_of_a_host_program_is_its_time_without_guest_code_over_what_was_counted() -> None:
    shape = Shape(values=100, fuel=1_000)
    counted = (C_API.call.value + 100 * C_API.value.value) / 1_000
    took = counted * 0.25 + 1_000 * 0.1
    assert instruction("c-api", [ProgramTime("x", shape, took)], 0.1).value == pytest.approx(0.25)


def times(instruction_ns: float, fuel_ns: float) -> list[ProgramTime]:
    shapes = [Shape(values=17, fuel=600), Shape(values=407, fuel=5_000)]
    return [
        ProgramTime("x", one, one.instructions(C_API) * instruction_ns + one.fuel * fuel_ns) for one in shapes
    ]


def own_figures() -> Figures:
    return figures(KERNELS, PRICES, {"c-api": times(0.2, 0.1), "python": times(0.3, 0.1)})


def test_a_host_that_was_not_measured_has_the_others_time_of_an_instruction_and_a_wider_band() -> None:
    found = own_figures()
    assert found.fuel.value == pytest.approx(0.1), "the geometric mean of 0.05, 0.1 and 0.2"
    assert found.metered_fuel.value == pytest.approx(0.12)
    assert found.counting.value == pytest.approx(1.2)
    assert found.hosts["c-api"].value == pytest.approx(0.2)
    assert found.instruction.value == pytest.approx(0.2), "Python isn't like a native host"
    assert found.instruction.band >= HOST_TO_HOST.band


def test_calls_that_come_seldom_are_within_the_band_of_a_host_program() -> None:
    """Back to back an instruction takes 0.2 ns, in a run 0.8: the figure is their mean, and the band holds both.
    Python's is moved alike."""
    found = figures(
        KERNELS, replace(PRICES, weight=0.8), {"c-api": times(0.2, 0.1), "python": times(0.3, 0.1)}
    )
    assert found.hosts["c-api"].value == pytest.approx(0.4)
    assert found.hosts["c-api"].low <= 0.2
    assert found.hosts["c-api"].high >= 0.8
    assert found.hosts["python"].value == pytest.approx(2 * own_figures().hosts["python"].value)


def test_without_a_compiler_the_c_api_is_what_twinloop_itself_calls() -> None:
    found = figures(KERNELS, PRICES, {"python": times(0.3, 0.1)})
    assert found.hosts["c-api"].value == pytest.approx(PRICES.weight)
    assert found.hosts["c-api"].band > HOST_TO_HOST.band


def test_metered_fuel_is_never_cheaper() -> None:
    """What was seen the other way round is noise; a board file with it would be refused."""
    odd = [replace(one, metered_ns=one.plain_ns * 0.9) for one in KERNELS]
    found = figures(odd, PRICES, {"python": times(0.3, 0.1)})
    assert found.metered_fuel.value == found.fuel.value


def used(fuel: int, fuel_ns: float, calls: int = 50) -> Used:
    shape = Shape(values=107, fuel=fuel)
    took = round(PRICES.of(shape, False).value + fuel * fuel_ns)
    return Used("own", "5" * 64, False, [(shape, took)] * calls)


def test_a_component_that_computes_has_its_own_fuel() -> None:
    """A million units at 0.3 ns: crossings (2 us and 107 values) are a thirtieth of it, so that their band of
    1.2 moves it by less than a hundredth."""
    found = component(used(1_000_000, 0.3), PRICES, own_figures())
    assert not found.why_not
    assert found.metered.value == pytest.approx(0.3, rel=1e-3)
    assert 1.1 <= found.metered.band < 1.12
    assert found.plain.value == pytest.approx(0.3 / 1.2, rel=1e-3), "less what counting takes"


def test_calls_that_differ_widen_its_band() -> None:
    calls = [one for fuel_ns in (0.1, 0.2, 0.3, 0.4, 0.5) for one in used(1_000_000, fuel_ns, 1).calls] * 20
    found = component(Used("own", "5" * 64, False, calls), PRICES, own_figures())
    assert found.metered.band > 1.5


def test_a_component_that_hardly_computes_has_none() -> None:
    """1 600 units are 0.2 us, crossings 11 us."""
    found = component(used(1_600, 0.1), PRICES, own_figures())
    assert "too little to be told from what crossings take" in found.why_not


MEASURED = Measured(
    title='a "board": of ours',
    facts=Facts("aarch64", 4, 1 << 30, 1_100, 39),
    figures=own_figures(),
    components=[
        component(used(1_000_000, 0.3), PRICES, own_figures()),
        replace(component(used(1_600, 0.1), PRICES, own_figures()), name="small"),
    ],
    chased={"16 KiB": 1.2, "8 MiB": 98.7},
    outside=Outside(12_000, (1e6, 1.2e6, 1.1e6), 800, 150_000),
    flash=Flash(12_300_000, 4_000_000, 90_000),
    method="twinloop calibrate",
    date="2026-11-29",
)


def test_the_file_that_is_written_is_a_board_with_these_figures() -> None:
    board = read_board(board_file(MEASURED), Path("own.yaml"), "own")
    assert board.title == 'a "board": of ours'
    assert (board.isa, board.cores, board.clock_mhz, board.va_bits) == ("aarch64", 4, 1_100, 39)
    assert board.memory_bytes == 1 << 30
    assert board.calibrated
    assert (board.fuel_ps.value, board.metered_fuel_ps.value) == (100, 120)
    assert board.host_instruction_ps["c-api"].value == 200
    assert "rust-typed" not in board.host_instruction_ps
    assert board.flash_bytes_per_s.value == 12_300_000
    assert board.work_ns["commit"].value == 90_000
    (own,) = board.component_fuel_ps.items()
    assert own[0] == "5" * 64
    assert (own[1].metered_ps.value, own[1].plain_ps.value) == (300, 250)
    for figure in (board.instruction_ps, board.fuel_ps, *board.work_ns.values()):
        assert figure.source
        assert figure.date == "2026-11-29"
    assert "rust-typed: not measured" in derived(MEASURED)
    assert "# small: the board's own fuel" in board_file(MEASURED)


def test_a_component_counted_more_quickly_than_not_still_makes_a_file() -> None:
    """That is noise, and a board file with it would be refused after minutes of measuring."""
    odd = [replace(one, metered_ns=one.plain_ns * 0.9) for one in KERNELS]
    found = figures(odd, PRICES, {"python": times(0.3, 0.1)})
    own = component(used(1_000_000, 0.3), PRICES, found)
    assert own.plain.value == own.metered.value
    read_board(board_file(replace(MEASURED, figures=found, components=[own])), Path("own.yaml"), "own")

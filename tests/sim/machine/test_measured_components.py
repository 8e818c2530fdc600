"""Components that were measured on a board: a price of their own, for these bytes and no others."""

from __future__ import annotations

from dataclasses import replace

from twinloop.scenarios.file.boards.programs import hosts
from twinloop.scenarios.file.boards.reading import shipped
from twinloop.sim.machine.budget import Budget
from twinloop.sim.model.boards import ComponentFuel, End, Figure, prices

FUEL = ComponentFuel(Figure(7_000, "measured", 1.5), Figure(8_000, "measured", 2.0))
BOARD = replace(shipped("raspberry-pi-4"), component_fuel_ps={"a" * 64: FUEL})
HOST = hosts()["rust-typed"]


def budget(metered: bool = False, end: End = End.NOMINAL) -> Budget:
    return Budget(BOARD, prices(BOARD, HOST, None, metered, False).at(end))


def test_a_measured_component_has_its_own_fuel() -> None:
    one = budget()
    measured, other = one.meter("own", "a" * 64), one.meter("other", "b" * 64)
    assert measured.charge(1_000, 0, 0, 0, 0, 0) == 7_000
    assert other.charge(1_000, 0, 0, 0, 0, 0) == 190
    assert budget(metered=True).meter("own", "a" * 64).profile.fuel_ps == 8_000


def test_crossings_cost_it_what_they_cost_others() -> None:
    one = budget()
    measured, other = one.meter("own", "a" * 64).profile, one.meter("other", "b" * 64).profile
    assert replace(measured, fuel_ps=other.fuel_ps) == other


def test_its_band_is_its_own() -> None:
    assert budget(end=End.HIGH).meter("own", "a" * 64).profile.fuel_ps == 10_500
    assert budget(metered=True, end=End.LOW).meter("own", "a" * 64).profile.fuel_ps == 4_000


def test_another_release_of_the_name_has_the_boards_price_and_the_old_one_its_own_again() -> None:
    one = budget()
    meter = one.meter("own", "a" * 64)
    assert one.meter("own", "c" * 64) is meter, "one component, one account"
    assert meter.profile.fuel_ps == 190
    assert one.meter("own", "a" * 64).profile.fuel_ps == 7_000


def test_a_slow_cpu_slows_it_too() -> None:
    one = budget()
    meter = one.meter("own", "a" * 64)
    end = one.throttle(0.5)
    assert meter.profile.fuel_ps == 14_000
    assert one.meter("later", "a" * 64).profile.fuel_ps == 14_000
    end()
    assert meter.profile.fuel_ps == 7_000


def test_what_checks_cost_comes_on_top() -> None:
    """64 MiB reservations: 1.7 times."""
    found = prices(BOARD, HOST, None, False, True).component_fuel_ps["a" * 64]
    assert found.value == 11_900


def test_a_host_program_that_was_measured_has_its_own_time_of_an_instruction() -> None:
    own = Figure(1_000, "measured", 1.1)
    board = replace(BOARD, host_instruction_ps={"c-api": own})
    assert prices(board, hosts()["c-api"], None, False, False).call_ps.value == hosts()["c-api"].call.value
    derived = prices(board, HOST, None, False, False).call_ps.value
    assert derived == prices(BOARD, HOST, None, False, False).call_ps.value


def test_guest_code_keeps_the_price_that_it_had() -> None:
    """100 units at 7 ns, then another release's 100 at 0.19 ns, half of them on a CPU at half its speed.
    Not throttled, they would all have cost 0.19 ns."""
    one = budget()
    meter = one.meter("own", "a" * 64)
    meter.charge(100, 0, 0, 0, 0, 0)
    one.meter("own", "c" * 64).charge(50, 0, 0, 0, 0, 0)
    end = one.throttle(0.5)
    meter.charge(50, 0, 0, 0, 0, 0)
    end()
    assert meter.fuel_ns == (100 * 7_000 + 50 * 190 + 50 * 380) // 1000
    assert meter.fuel_full_ps == 100 * 7_000 + 100 * 190
    assert meter.cpu_ns == meter.fuel_ns, "it crossed nothing"


def test_every_figure_counts_for_how_far_off_a_call_may_be() -> None:
    """A byte's too: a driver that carries much takes what bytes take."""
    host = replace(HOST, byte=HOST.byte._replace(band=50.0))
    assert prices(BOARD, host, None, False, False).band >= 50

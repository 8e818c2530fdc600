"""What a component has used, and what it costs: by hand, and the same whichever way it is charged."""

from __future__ import annotations

from twinloop.sim.machine.budget import CpuProfile, Meter

PROFILE = CpuProfile(
    fuel_ps=700, call_ps=50_000, import_ps=9_001, exchange_ps=1_003, value_ps=333, byte_ps=17
)


def test_a_segment_costs_what_its_parts_cost_together_and_what_is_left_over_is_carried() -> None:
    meter = Meter(PROFILE)
    # 11 * 700 + 50 000 + 2 * 9 001 + 1 003 + 5 * 333 + 3 * 17 = 78 421 ps
    assert [meter.charge(11, 1, 2, 1, 5, 3) for _ in range(3)] == [78, 78, 79]
    assert (meter.spent_ps, meter.cpu_ns) == (3 * 78_421, 235)
    used = meter.fuel, meter.calls, meter.imports, meter.exchanges, meter.values, meter.bytes
    assert used == (33, 3, 6, 3, 15, 9)


def test_what_a_segment_hasnt_got_costs_nothing() -> None:
    meter = Meter(PROFILE)
    assert meter.charge(10, 0, 0, 0, 0, 0) == 7
    used = meter.fuel, meter.calls, meter.imports, meter.exchanges, meter.values, meter.bytes
    assert used == (10, 0, 0, 0, 0, 0)


def test_a_whole_call_is_charged_as_the_segment_that_it_is() -> None:
    whole, general = Meter(PROFILE), Meter(PROFILE)
    for fuel, values in ((1_765, 54), (1_137, 0), (3, 7)):
        assert whole.charge_call(fuel, values) == general.charge(fuel, 1, 0, 0, values, 0)
    for name in ("fuel", "calls", "values", "spent_ps", "cpu_ns"):
        assert getattr(whole, name) == getattr(general, name)
    slower = PROFILE.slowed(0.5)
    whole.reprice(slower)
    general.reprice(slower)
    assert whole.charge_call(100, 9) == general.charge(100, 1, 0, 0, 9, 0)

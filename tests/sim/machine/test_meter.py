"""What a component has used, and what it costs: by hand, and the same whichever way it is charged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.components.ways import compiled_part
from twinloop.sim.machine.budget import Charges, CpuProfile, Meter

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


# ---- the compiled part ---------------------------------------------------------------------------
counts = st.integers(0, 1 << 33)
segments = st.one_of(
    st.tuples(*[counts] * 6),
    st.tuples(counts, counts),
    st.tuples(st.just("prices"), *[st.integers(0, 1 << 24)] * 6),
)
NAMES = "fuel", "calls", "imports", "exchanges", "values", "bytes", "cpu_ns", "_rest_ps"


@given(st.lists(segments, max_size=12))
def test_c_charges_the_same(segments: list[tuple[int, ...]]) -> None:
    both = Charges(), compiled_part().engine.Charges()
    for one in both:
        one._price(7, 11, 13, 17, 19, 23)
        for name in NAMES:
            setattr(one, name, 0)
    for segment in segments:
        if segment[0] == "prices":
            took = [one._price(*segment[1:]) for one in both]
        elif len(segment) == 6:
            took = [one.charge(*segment) for one in both]
        else:
            took = [one.charge_call(*segment) for one in both]
        assert took[0] == took[1]
        assert [getattr(both[0], name) for name in NAMES] == [getattr(both[1], name) for name in NAMES]


def test_what_no_segment_can_be_is_an_error_in_c() -> None:
    charges = compiled_part().engine.Charges()
    charges._price(*[1 << 40] * 6)
    for given_, error in (
        ((1,), TypeError),
        ((1, -1), ValueError),
        ((1.5, 1), TypeError),
        ((1 << 30, 0), OverflowError),
    ):
        with pytest.raises(error):
            charges.charge_call(*given_)
    with pytest.raises(OverflowError):
        charges.charge(0, 0, 0, 0, 0, 1 << 62)
    assert [getattr(charges, name) for name in NAMES] == [0] * 8, "nothing of it is kept"

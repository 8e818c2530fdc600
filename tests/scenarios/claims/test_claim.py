"""When a figure holds, what figures say together, and how they are shown."""

from __future__ import annotations

import pytest

from twinloop.components.contract.errors import HostError, HostLimitError
from twinloop.scenarios.claims.claim import (
    HERE,
    KEPT,
    Bound,
    Figure,
    Holds,
    Verdict,
    boards_where,
    here,
    of_what,
    shown,
    some,
    verdict,
    where_interpreted,
)
from twinloop.scenarios.claims.workbench import MeasureFailedError, Tried, tried
from twinloop.sim.kernel.histogram import NEVER

MOST = Bound(most=10)


def figure(
    value: float | None, low: float | None = None, high: float | None = None, where: str = HERE
) -> Figure:
    return Figure("x", where, value, "cycles", MOST, low, high)


@pytest.mark.parametrize(
    ("found", "holds"),
    [
        (figure(10), Holds.YES),
        (figure(10.1), Holds.NO),
        (figure(5, 2, 10), Holds.YES),
        (figure(5, 2, 11), Holds.BAND),
        (figure(12, 9, 20), Holds.BAND),
        (figure(12, 11, 20), Holds.NO),
        (figure(None), Holds.OPEN),
        (figure(5, 2, float("inf")), Holds.BAND),
    ],
)
def test_a_figure_holds_at_both_ends_or_not(found: Figure, holds: Holds) -> None:
    assert found.holds is holds


def test_a_bound_has_its_ends() -> None:
    both = Bound(least=2, most=4)
    assert [both.has(value) for value in (1.9, 2, 4, 4.1)] == [False, True, True, False]
    assert both.text("ns") == "at least 2 ns and at most 4 ns"
    assert Bound(most=1e6).text("ns") == "at most 1 ms"


@pytest.mark.parametrize(
    ("figures", "found"),
    [
        ([figure(1), figure(2)], Verdict.TRUE),
        ([figure(11), figure(12)], Verdict.FALSE),
        ([figure(1), figure(12)], Verdict.DEPENDS),
        ([figure(5, 2, 11)], Verdict.DEPENDS),
        ([figure(1), figure(None)], Verdict.TRUE),
        ([figure(None)], Verdict.OPEN),
        ([], Verdict.OPEN),
        ([figure(12), Figure("of it", HERE, 1, "cycles", Bound())], Verdict.FALSE),
    ],
)
def test_figures_together(figures: list[Figure], found: Verdict) -> None:
    assert verdict(figures) is found


def test_figures_for_people() -> None:
    assert figure(4078.25, 2123.9, 7830.2).text == "4078 (2124 ... 7830) cycles"
    assert figure(None).text == "not measured"
    assert Figure("x", "b", 1e6, "ns", MOST, 5e5, 2e6).text == "1 ms (500 us ... 2 ms)"
    assert Figure("x", "b", 1e7, "ns", MOST, 9_999_999.0, 1e7).text == "10 ms"
    assert Figure("x", "b", 126, "count", MOST, 126, 126).text == "126"
    assert shown(NEVER, "ns") == shown(float("inf"), "bytes") == "never"
    assert shown(2048, "bytes") == "2 KiB"
    assert shown(1.1985, "times") == "1.2 times"


def test_measured_ones_and_boards_are_told_apart() -> None:
    figures = [
        figure(1),
        figure(11, where=KEPT),
        figure(12, 11, 13, "imx6ull"),
        figure(5, 4, 6, "jetson-nano"),
    ]
    assert [one.measured for one in figures] == [True, True, False, False]
    assert boards_where(figures, Holds.NO) == ["imx6ull"]
    assert [one.where for one in of_what(figures, "x", measured=False)] == ["imx6ull", "jetson-nano"]
    assert of_what(figures, "y") == []


def test_names_in_a_sentence() -> None:
    assert [some(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert where_interpreted(["imx6ull", "beaglebone-black"]) == ", where code is interpreted"
    assert where_interpreted(["imx6ull", "raspberry-pi-4"]) == ""


@pytest.mark.parametrize(
    "error",
    [OSError("no such file"), HostError("no host"), HostLimitError("no room"), MeasureFailedError("x")],
)
def test_what_cannot_be_measured_has_a_reason(error: Exception) -> None:
    def work() -> float:
        raise error

    found = here("x", tried(work), "ns", MOST, "as always")
    assert (found.value, found.how) == (None, f"this machine can't: {error}")
    assert here("x", Tried(5.0), "ns", MOST, "as always").how == "as always"
    assert tried(lambda: None).value is None
    assert "busy" in tried(lambda: None).why

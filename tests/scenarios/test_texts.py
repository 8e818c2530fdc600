"""Figures as people read them."""

from __future__ import annotations

import pytest

from twinloop.scenarios.text.units import show_duration, show_number, show_size


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (3, "3"), (2.5, "2.5"), (0.1234567, "0.123457"), (1_500_000, "1500000"), (1_234_567.8, "1234568"), (999_999.7, "1000000"), (-2e7, "-20000000")],
)  # fmt: skip
def test_numbers_have_no_exponent(value: float, text: str) -> None:
    assert show_number(value) == text


def test_a_figure_that_rounds_up_to_a_thousand_has_no_exponent() -> None:
    assert show_duration(999_700_000) == "1000 ms"
    assert show_duration(999.6) == "1000 ns"
    assert show_duration(1_234_000_000) == "1.23 s"
    assert show_size(1023 * 1024) == "1023 KiB"
    assert show_size(1536) == "1.5 KiB"

"""A detector of outliers in Python earns its price: without it spikes arrive as Good, with it as Uncertain.

The detector is built by ``make -C tests/guests python-zscore``; without it only the plant is tried.
"""

from __future__ import annotations

import pytest

from benchmarks.outliers import BOARDS, DETECTOR, SHIPPED, once

built = pytest.mark.skipif(not DETECTOR.exists(), reason="not built: make -C tests/guests python-zscore")


@pytest.mark.parametrize("board", BOARDS)
def test_without_it_every_spike_arrives_as_good(board: str) -> None:
    data, arrived = once(board, SHIPPED)
    assert data["verdict"] == "PASS"
    assert len(arrived.spikes) == 26
    outside = {at for at, value in arrived.values.items() if not 4.2 <= value <= 7.8}
    assert outside == arrived.spikes, "each planted spike hit one reading, and nothing else is out there"
    assert arrived.marked == set()


@built
@pytest.mark.parametrize("board", BOARDS)
def test_with_it_every_spike_arrives_as_uncertain_and_nothing_else_does(board: str) -> None:
    data, arrived = once(board)
    assert data["verdict"] == "PASS"
    assert arrived.caught == len(arrived.spikes) == 26
    assert arrived.false_alarms == 0
    plain, _ = once(board, SHIPPED)
    more_ns = data["latency"]["gateway"]["p99_ns"] - plain["latency"]["gateway"]["p99_ns"]
    assert 0 < more_ns < 20_000_000
    assert data["gateways"]["gw"]["cpu_ratio"] < 0.2


@built
def test_a_threshold_too_low_marks_what_is_well() -> None:
    _, low = once(BOARDS[0], {"with": {"threshold": "3"}})
    assert low.caught == 26
    assert low.false_alarms > 26


@built
def test_it_is_told_which_points_by_name() -> None:
    from twinloop.scenarios.text.errors import ScenarioError

    with pytest.raises(ScenarioError, match="bad-option 'points'"):
        once(BOARDS[0], {"with": {"points": "pressure, presure"}})

"""Time limits: what runs of plants come to, and what is said of it."""

from __future__ import annotations

import pytest

from tests.scenarios.claims.benches import MS, Bench, banded
from twinloop.components.host.host import Host
from twinloop.scenarios.claims import plants, reacting
from twinloop.scenarios.claims.claim import Holds, Verdict, verdict
from twinloop.scenarios.claims.plants import Ran


def ran(latency_ms: float = 2, policy_ms: float = 0.1) -> Ran:
    return Ran(banded(latency_ms * MS), banded(1 * MS), banded(policy_ms * MS), banded(MS))


def test_a_hundred_sensors() -> None:
    figures = reacting.sensors(Bench("raspberry-pi-4", ran=ran()))
    assert verdict(figures) is Verdict.TRUE
    assert figures[0].holds is Holds.OPEN  # nothing here is a gateway
    assert reacting.why_sensors(figures) == (
        "The slowest is raspberry-pi-4 under rust-typed: 2 ms (1 ms ... 4 ms). 1 ms (500 us ... 2 ms) of it is the "
        "time on the network and in the devices."
    )


@pytest.mark.parametrize(("latency_ms", "found"), [(101, Verdict.FALSE), (30, Verdict.DEPENDS)])
def test_too_slow_a_board(latency_ms: float, found: Verdict) -> None:
    """101 ms at the nominal prices, 50.5 at the low ones; 30 ms, of which the high end makes 60."""
    figures = reacting.sensors(Bench("imx6ull", ran=ran(latency_ms)))
    assert verdict(figures) is found
    assert "Not on imx6ull." in reacting.why_sensors(figures)


def test_policies() -> None:
    figures = reacting.policy(Bench("raspberry-pi-4", "imx6ull", ran=ran(policy_ms=0.1)))
    assert verdict(figures) is Verdict.TRUE
    assert reacting.why_policy(figures).count("holds it on every board: 100 us") == 2
    figures = reacting.policy(Bench("imx6ull", ran=ran(policy_ms=10)))
    assert verdict(figures) is Verdict.DEPENDS
    assert verdict([one for one in figures if not one.measured]) is Verdict.FALSE
    assert "in Rego takes too long on imx6ull, where code is interpreted: 10 ms" in reacting.why_policy(
        figures
    )
    figures = reacting.policy(Bench("raspberry-pi-4", ran=ran(policy_ms=0.7)))
    assert "On raspberry-pi-4 the band decides." in reacting.why_policy(figures)


def test_no_board_no_sentence() -> None:
    assert reacting.why_sensors(reacting.sensors(Bench())) == "No board was asked for."
    assert reacting.why_policy(reacting.policy(Bench())) == "No board was asked for."


def test_a_plant_is_run_at_its_ends(host: Host) -> None:
    found = plants.run_plant(host, plants.plant("raspberry-pi-4", "c-api", plants.ROUTE, 2))
    for one in (found.latency, found.policy, found.boot):
        assert 0 < one.low <= one.value <= one.high
    assert found.policy.high > 2 * found.policy.low
    assert found.bus.value < found.latency.value


def test_a_policy_in_rego_costs_more(host: Host) -> None:
    one, other = (
        plants.run_plant(host, plants.plant("imx6ull", "rust-typed", policy, 1))
        for policy in (plants.ROUTE, str(plants.REGO))
    )
    assert other.policy.value > 10 * one.policy.value


def test_a_boot_takes_as_many_times_as_long_as_there_are_more_drivers(host: Host) -> None:
    """What density.py rests on, on a board of one core."""
    boots = [
        plants.run_plant(host, plants.plant("beaglebone-black", "rust-typed", plants.ROUTE, count)).boot.value
        for count in (100, 400)
    ]
    assert boots[1] == pytest.approx(4 * boots[0], rel=0.05)

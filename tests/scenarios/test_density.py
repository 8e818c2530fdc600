"""How many components' memories fit on a board, by arithmetic, and what becomes of those that don't."""

from __future__ import annotations

from pathlib import Path

import pytest

import twinloop
from tests.scenarios.file.test_boards import text
from tests.scenarios.test_banded import SCENARIO
from twinloop.scenarios.file.boards.reading import shipped
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.sim.model.boards import RESERVATION_DEFAULT_BYTES, memories_that_fit

DRIVERS, POLLS, POINTS = 20, 10, 10
BITS, FIT = 36, 15
"""36 bits are 64 GiB: 15 times 4 160 MiB; two are of transform and policy"""


def run(folder: Path, keys: str, timeline: str = "[]") -> twinloop.Result:
    bits = {"value": BITS, "source": "ours", "date": "2026-11-29"}
    (folder / "own.yaml").write_text(text(**{"address-bits": bits}), encoding="utf-8")
    said = SCENARIO.replace("EXPECT", "count(samples.missed) == 0").replace("COUNT", str(DRIVERS))
    said = said.replace("HOST", f"host: rust-typed, {keys}")
    said += f"timeline: {timeline}\n"
    (folder / "s.yaml").write_text(said, encoding="utf-8")
    return twinloop.run(twinloop.load(folder / "s.yaml"))


def test_the_drivers_that_find_no_addresses_never_start(tmp_path: Path) -> None:
    result = run(tmp_path, "reservation: 4 GiB")
    assert result.verdict is Verdict.FAIL
    alive = FIT - 2
    assert result.samples.delivered == alive * POLLS * POINTS
    assert result.data["ledger"]["missed"] == {"quarantined": (DRIVERS - alive) * POLLS * POINTS}
    gateway = result.data["gateways"]["gw"]
    assert gateway["quarantined"] == DRIVERS - alive
    assert gateway["breaches"]["addresses"] == 5 * (DRIVERS - alive), "each is tried five times"
    assert gateway["told"]["faults"][0]["message"] == "the board has no addresses left for its memory"
    (note,) = (one for one in result.notes if "addresses" in one)
    assert "22 instances reserve 89 GiB of addresses, own holds 15 (36 bits): 7 of them can't be made" in note
    assert "reservation: 64 MiB lifts it to 1023, and guest code costs x1.7" in note


def test_with_64_mib_each_all_fit_at_a_price(tmp_path: Path) -> None:
    """64 GiB hold 1023 times 64 MiB and 64 KiB; by itself a gateway takes them when it must."""
    fuel_ps = []
    for reservation in ("64 MiB", "auto"):
        result = run(tmp_path, f"reservation: {reservation}")
        assert result.verdict is Verdict.PASS
        assert result.samples.delivered == DRIVERS * POLLS * POINTS
        fuel_ps.append(result.data["bands"]["gw"]["fuel_ps"])
    assert fuel_ps == [1700, 1700]


def test_the_kernel_s_maps_are_a_limit_where_addresses_are_not() -> None:
    """48 bits would hold 64 527; 65 530 maps are 16 382 times four."""
    assert memories_that_fit(shipped("imx8m-mini"), RESERVATION_DEFAULT_BYTES) == 16_382


def test_a_pool_that_is_too_small_leaves_the_rest_unmade(tmp_path: Path) -> None:
    """Of 10 memories, 8 are for drivers."""
    result = run(tmp_path, "pool: {memories: 10}")
    assert result.samples.delivered == 8 * POLLS * POINTS
    gateway = result.data["gateways"]["gw"]
    assert gateway["quarantined"] == DRIVERS - 8
    assert gateway["breaches"] == {"pool": 5 * (DRIVERS - 8)}, "each is tried five times"
    told = gateway["told"]["faults"][0]["message"]
    assert told == "the gateway's pool has no memory left for it: all 10 are taken"
    (note,) = (one for one in result.notes if "pool" in one)
    assert note == (
        "gateway gw: its instances need 22 memories, its pool has 10: 12 find none; "
        "pool: {memories: 22} lifts it"
    )


def test_a_pool_that_fits_serves_all_and_takes_small_reservations_where_it_must(tmp_path: Path) -> None:
    """22 memories of 4 GiB don't fit into 36 bits; what isn't metered and reserves 64 MiB costs x1.7."""
    result = run(tmp_path, "pool: {memories: 22}")
    assert result.verdict is Verdict.PASS
    assert result.data["gateways"]["gw"]["breaches"] == {}
    assert result.data["bands"]["gw"]["fuel_ps"] == 1700
    (note,) = (one for one in result.notes if "pool" in one)
    assert "22 memories of a pool reserve 88.8 GiB of addresses when the gateway starts" in note
    assert "own has 64 GiB (36 bits): they reserve 64 MiB instead" in note


@pytest.mark.parametrize(
    ("keys", "place", "said"),
    [
        (
            "reservation: 4 GiB, pool: {memories: 16}",
            "$.gateways.gw.pool.memories",
            "16 memories of a pool reserve 64.6 GiB of addresses when the gateway starts, own has 64 GiB "
            "(36 bits): at most 15, or reservation: 64 MiB, which holds 987; guest code costs x1.7",
        ),
        (
            "pool: {memories: 16, memory: 65 MiB}",
            "$.gateways.gw.pool.memories",
            "at most 15, or reservation: 64 MiB with memory: 64 MiB at most, which holds 987",
        ),
        ("pool: {memories: 988}", "$.gateways.gw.pool.memories", "(36 bits): at most 987"),
        (
            "reservation: 64 MiB, pool: {memories: 22, memory: 65 MiB}",
            "$.gateways.gw.pool.memory",
            "65 MiB don't fit into reservation: 64 MiB",
        ),
        ("pool: {memories: 22, memory: 5 GiB}", "$.gateways.gw.pool.memory", "4294967296"),
    ],
)
def test_a_pool_that_the_board_cannot_hold_is_an_error(
    tmp_path: Path, keys: str, place: str, said: str
) -> None:
    with pytest.raises(ScenarioError) as error:
        run(tmp_path, keys)
    assert place in str(error.value)
    assert said in str(error.value)


def test_a_memory_of_the_pool_ends_where_the_pool_says(tmp_path: Path) -> None:
    """The shipped components begin with more than one page of 64 KiB, or grow at their start."""
    result = run(tmp_path, "pool: {memories: 22, memory: 64 KiB}")
    gateway = result.data["gateways"]["gw"]
    assert gateway["faults"] == {"memory-limit": 5 * (DRIVERS + 2)}
    assert result.samples.delivered == 0


def test_a_restart_takes_a_used_memory_and_a_reboot_a_new_one(tmp_path: Path) -> None:
    """100 us on this board without a pool; 108 us in a new memory, 68 us in a used one, and 108 us again in the
    new process. The start code's time is the same."""
    timeline = "[{at: 2 s, fault-component: gw/policy}, {at: 6 s, restart: gw}]"
    alone_ns, pooled_ns = (
        run(tmp_path, f"reservation: 64 MiB{pool}", timeline).data["gateways"]["gw"]["components"]["route"][
            "instantiate_ns"
        ]
        for pool in ("", ", pool: {memories: 22}")
    )
    assert pooled_ns - alone_ns == (108 + 68 + 108 - 3 * 100) * 1000

"""How many components' memories fit on a board, by arithmetic, and what becomes of those that don't."""

from __future__ import annotations

from pathlib import Path

import twinloop
from tests.scenarios.file.test_boards import text
from tests.scenarios.test_banded import SCENARIO
from twinloop.scenarios.file.boards.reading import shipped
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.sim.model.boards import RESERVATION_DEFAULT_BYTES, memories_that_fit

DRIVERS, POLLS, POINTS = 20, 10, 10
BITS, FIT = 36, 15
"""36 bits are 64 GiB: 15 times 4 160 MiB; two are of transform and policy"""


def run(folder: Path, reservation: str) -> twinloop.Result:
    bits = {"value": BITS, "source": "ours", "date": "2026-11-29"}
    (folder / "own.yaml").write_text(text(**{"address-bits": bits}), encoding="utf-8")
    said = SCENARIO.replace("EXPECT", "count(samples.missed) == 0").replace("COUNT", str(DRIVERS))
    said = said.replace("HOST", f"host: rust-typed, reservation: {reservation}")
    (folder / "s.yaml").write_text(said, encoding="utf-8")
    return twinloop.run(twinloop.load(folder / "s.yaml"))


def test_the_drivers_that_find_no_addresses_never_start(tmp_path: Path) -> None:
    result = run(tmp_path, "4 GiB")
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
        result = run(tmp_path, reservation)
        assert result.verdict is Verdict.PASS
        assert result.samples.delivered == DRIVERS * POLLS * POINTS
        fuel_ps.append(result.data["bands"]["gw"]["fuel_ps"])
    assert fuel_ps == [1700, 1700]


def test_the_kernel_s_maps_are_a_limit_where_addresses_are_not() -> None:
    """48 bits would hold 64 527; 65 530 maps are 16 382 times four."""
    assert memories_that_fit(shipped("imx8m-mini"), RESERVATION_DEFAULT_BYTES) == 16_382

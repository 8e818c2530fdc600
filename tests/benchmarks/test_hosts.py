"""What a host pays for a crossing: the prices that are committed follow from the counts that are committed, and hold them."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import arm64
from benchmarks.arm64 import CannotRun
from benchmarks.hosts import building, counting, fitting
from benchmarks.hosts.__main__ import markdown, said, summary
from benchmarks.hosts.cases import CASES, HERE, Case
from benchmarks.hosts.fitting import (
    FITTED,
    PRICES,
    Fitted,
    Row,
    by_host,
    fitted,
    load,
    outside,
    report,
    shape,
)
from twinloop.scenarios.file.boards.programs import hosts
from twinloop.sim.gateway import call

ROWS = load()
HOSTS = by_host(ROWS)
DATA = json.loads(FITTED.read_text())


KNOWN = (7000.0, 1500.0, 800.0, 200.0, 2.0, 11000.0, 5000.0)


def imports(case: Case) -> int:
    return case.size if case.export == "ask" else 2 * (case.export == "poll")


def row(case: Case, prices: Sequence[float], miss: float = 1.0) -> Row:
    made = {
        "guest": case.guest, "export": case.export, "size": case.size, "step": case.step, "imports": imports(case),
        "values": case.values, "bytes": case.size if case.export in {"take", "give"} else 0, "characters": case.characters,
    }  # fmt: skip
    return made | {
        "instructions": miss * sum(n * price for n, price in zip(shape(made), prices, strict=True))
    }


def test_each_host_is_counted_in_each_case() -> None:
    assert list(HOSTS) == ["c-api", "rust-typed", "python"]
    for rows in HOSTS.values():
        assert [(r["guest"], r["export"], r["size"], r["step"]) for r in rows] == [
            (case.guest, case.export, case.size, case.step) for case in CASES
        ]
        assert [r["values"] for r in rows] == [case.values for case in CASES]


def test_the_same_calls_are_counted_in_each_host() -> None:
    """What crosses, and what the guest does with it, doesn't depend on who calls."""
    crossing = [[(r["imports"], r["values"], r["bytes"], r["fuel"]) for r in rows] for rows in HOSTS.values()]
    assert crossing[0] == crossing[1] == crossing[2]
    for alike in zip(*HOSTS.values(), strict=True):
        own = [r["guest_instructions"] for r in alike]
        assert max(own) - min(own) <= 0.05 * min(own) + 40, fitting.named(alike[0])


def test_values_are_counted_as_the_gateway_counts_them() -> None:
    assert Case("normalize", "transform").values == call.CONSTANT_VALUES + 3
    readings = Case("normalize", "transform", 10).values - Case("normalize", "transform").values
    assert readings == 2 * 10 * call.READING_VALUES
    assert Case("route", "decide", 10).values == 10 * call.READING_VALUES + 9 + call.CONSTANT_VALUES
    assert Case("modbus-driver", "poll", 10).values == 10 * call.READING_VALUES + call.CONSTANT_VALUES


def test_the_committed_prices_are_those_of_the_committed_counts() -> None:
    assert report(ROWS) == DATA


@pytest.mark.parametrize("host", HOSTS)
def test_every_counted_point_lies_within_the_bands(host: str) -> None:
    prices = DATA["hosts"][host]["prices"]
    for one in HOSTS[host]:
        low = sum(
            n * prices[name]["instructions"] / prices[name]["band"]
            for n, name in zip(shape(one), PRICES, strict=True)
        )
        high = sum(
            n * prices[name]["instructions"] * prices[name]["band"]
            for n, name in zip(shape(one), PRICES, strict=True)
        )
        assert low <= one["instructions"] <= high, fitting.named(one)
    assert all(price["band"] >= price["left_out"] for price in prices.values())


@pytest.mark.parametrize(("readings", "instructions"), [(10, 80_600), (40, 394_500)])
def test_points_that_another_host_in_c_was_counted_with_lie_within_the_bands_that_are_printed(
    readings: int, instructions: int
) -> None:
    """``normalize`` through the C API under qemu-user, counted on 2026-11-27 with another program, before
    anything was fitted."""
    host, values = hosts()["c-api"], Case("normalize", "transform", readings).values
    low = host.call.value / host.call.band + values * host.value.value / host.value.band
    high = host.call.value * host.call.band + values * host.value.value * host.value.band
    assert low <= 1000 * instructions <= high


def test_known_prices_are_found_again() -> None:
    rows = [row(case, KNOWN) for case in CASES]
    found = fitted(rows)
    assert found.prices == pytest.approx(KNOWN, rel=1e-3)
    assert max(found.bands) <= 1.01
    assert outside(rows, found) == []


def test_what_is_missed_widens_the_bands() -> None:
    chance = random.Random(1)
    rows = [row(case, KNOWN, math.exp(chance.gauss(0, 0.2))) for case in CASES]
    far = rows[5] | {"instructions": rows[5]["instructions"] * 4}
    found, wider = fitted(rows), fitted([*rows, far])
    assert outside(rows, found) == []
    assert outside([*rows, far], wider) == []
    assert found.bands[2] < 2 < wider.bands[2]
    assert wider.worst[0] < 0.3


def test_a_point_outside_is_named() -> None:
    one = row(CASES[4], (1.0,) * 7)
    exact = Fitted((1.0,) * 7, (1.0,) * 7, (1.05,) * 7, 1.0, 1.0, (1.0, ""))
    assert outside([one], exact) == []
    assert outside([one | {"instructions": one["instructions"] * 1.1}], exact) == ["normalize transform 10"]


def test_no_band_holds_what_is_far_away() -> None:
    rows = [row(case, KNOWN) for case in CASES]
    with pytest.raises(ValueError, match="no band of x/÷ 100 holds a count of 1"):
        fitted([*rows, rows[7] | {"instructions": 1}])


def test_the_summary_has_each_price() -> None:
    shown = "\n".join(summary(DATA))
    for host, one in DATA["hosts"].items():
        assert host in shown
        for price in one["prices"].values():
            assert f"{said(price['instructions'])} x/÷{price['band']:g} ({price['left_out']:g})" in shown


def test_the_readme_has_the_committed_prices() -> None:
    page = (HERE / "README.md").read_text()
    assert "\n".join(markdown(DATA)) in page
    for one in DATA["hosts"].values():
        assert f"x/÷ {one['left_out']:g}" in page
        assert f"{one['worst']['point']}, x {one['worst']['ratio']:g}" in page
    for own in DATA["guest"].values():
        assert (
            f"{own['call']:g} a call + {own['import']:g} an import + {own['fuel']:g} a unit of fuel" in page
        )


def test_a_missing_tool_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arm64.shutil, "which", lambda tool: None if tool == "qemu-aarch64" else tool)
    with pytest.raises(CannotRun, match=r"^counting needs qemu-aarch64 \(apt-get install qemu-user\)$"):
        building.need_tools()


def test_a_command_that_fails_is_named_with_what_it_said() -> None:
    with pytest.raises(CannotRun, match=r"(?s)^sh ended with 3:\nno such thing$"):
        arm64.run("sh", "-c", "echo no such thing >&2; exit 3")


def test_another_call_than_the_c_hosts_is_refused() -> None:
    found = {"imports": 2, "bytes": 23, "fuel": 0, "guest": 1, "host": 1}
    with pytest.raises(CannotRun, match="python, modbus-driver poll:1:1: it isn't the same call as in c-api"):
        counting._row("python", Case("modbus-driver", "poll", 1), found, found | {"bytes": 24})
    assert counting._of_a_call([2, 23, 5], (100, 1000), (300, 3000), 20) == found | {
        "fuel": 5,
        "guest": 10,
        "host": 100,
    }


GUEST = {"call": 545.0, "import": 167.0, "transact": 167.0}
"""what the guest's own compiled code takes to enter and to leave, between its plain and its metered form"""


@pytest.mark.parametrize("name", ["rust-typed", "c-api", "python"])
def test_the_host_programs_that_ship_are_the_fit(name: str) -> None:
    """Thousandths of an instruction: the host's part and the guest's."""
    fitted = json.loads((Path(fitting.__file__).parent / "fitted.json").read_text())
    for price, half in GUEST.items():
        modes = [fitted["guest"][mode][price.replace("transact", "import")] for mode in ("plain", "metered")]
        assert abs(half - sum(modes) / 2) <= 0.5, price
    found, prices = hosts()[name], fitted["hosts"][name]["prices"]
    for figure, price in (
        (found.call, "call"),
        (found.imported, "import"),
        (found.exchange, "transact"),
        (found.value, "value"),
        (found.byte, "byte"),
    ):
        whole = prices[price]["instructions"] + GUEST.get(price, 0)
        assert figure.value == pytest.approx(1000 * whole, rel=1e-5, abs=1), price
        assert figure.band == prices[price]["band"]

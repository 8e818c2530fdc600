"""Limits of CPU time, memory and files: three guests that go too far are stopped, and if not it is said."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.claims.benches import MS, Bench
from twinloop.components.host.host import Host
from twinloop.scenarios.claims import limits, plants
from twinloop.scenarios.claims.claim import Holds, Verdict, verdict
from twinloop.scenarios.claims.plants import Hit
from twinloop.scenarios.claims.workbench import Workbench

BOARD = "raspberry-pi-4"


def test_a_call_that_never_returns_is_stopped_at_10_ms(host: Host) -> None:
    """As much metered fuel as 10 ms hold, to a unit, at each end's price: 0.28 ns each, band 2.45."""
    hits = plants.first_hits(host, plants.hostile(BOARD, "loop", {}, [], 3))
    assert [hit.cause for hit in hits] == ["out-of-fuel"] * 3
    for hit, price_ps in zip(hits, (280, 280 * 1000 // 2450, 280 * 2450 // 1000), strict=True):
        assert hit.cpu_ns is not None
        assert 10 * MS - price_ps / 1000 < hit.cpu_ns <= 10 * MS


def test_memory_grows_to_32_mib(host: Host) -> None:
    hits = plants.first_hits(host, plants.hostile(BOARD, "grow", {"memory": "32 MiB"}, [], 3))
    assert [(hit.cause, hit.memory_bytes) for hit in hits] == [("memory-limit", 32 << 20)] * 3
    assert limits.grown_bytes(Workbench(host, ())) == 32 << 20


def test_ten_files_are_opened(host: Host) -> None:
    grants = [{"wasi:filesystem": {"/data": {"quota": "64 KiB"}}}]
    assert plants.opened(host, plants.hostile(BOARD, "open", {}, grants, 16)) == 10
    assert (
        plants.opened(host, plants.hostile(BOARD, "open", {}, grants, 6)) == 4
    )  # one a poll, from the third on


def found(monkeypatch: pytest.MonkeyPatch, hits: list[Hit], opened: int) -> list[Any]:
    monkeypatch.setattr(plants, "first_hits", lambda *_: hits)
    monkeypatch.setattr(plants, "opened", lambda *_: opened)
    monkeypatch.setattr(limits, "grown_bytes", lambda _: float(32 << 20))
    return limits.enforced(Bench(BOARD))


def test_all_three_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    hits = [Hit("out-of-fuel", 10_000_000, 1000, 32 << 20, 2_010_000_000)] * 3
    figures = found(monkeypatch, hits, 10)
    assert verdict(figures) is Verdict.TRUE
    assert figures[1].how == "out-of-fuel, 2.01 s after the start"
    assert limits.why_enforced(figures) == "Each guest is stopped at its limit, if the host asks for one."


def test_what_is_counted_at_a_wrong_price_takes_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 ms of fuel at 1000 ps are 4 ms at 400 ps and 25 ms at 2500 ps, though each end has its own limit."""
    hits = [
        Hit("out-of-fuel", fuel, price_ps, 32 << 20)
        for fuel, price_ps in ((10_000_000, 1000), (25_000_000, 400), (4_000_000, 2500))
    ]
    figures = found(monkeypatch, hits, 10)
    assert (figures[2].value, figures[2].low, figures[2].high) == (10 * MS, 4 * MS, 25 * MS)
    assert [one.holds for one in figures] == [Holds.YES, Holds.YES, Holds.BAND, Holds.YES, Holds.YES]
    assert verdict(figures) is Verdict.DEPENDS
    assert f"stops such a call after 4 ms to 25 ms on {BOARD}" in limits.why_enforced(figures)


def test_a_limit_that_is_not_kept_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = found(monkeypatch, [Hit()] * 3, 14)
    assert [one.holds for one in figures] == [Holds.YES, Holds.NO, Holds.NO, Holds.NO]
    assert figures[1].text == "never"
    assert limits.why_enforced(figures) == (
        f"The limit of CPU time isn't kept on {BOARD}. The limit of memory isn't kept on {BOARD}. "
        f"The limit of files isn't kept on {BOARD}."
    )

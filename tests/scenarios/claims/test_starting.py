"""An instance's start and memory, against hand computations and with other figures."""

from __future__ import annotations

import pytest

from tests.scenarios.claims.benches import MS, Bench
from twinloop.components.contract.errors import HostLimitError
from twinloop.scenarios.claims import starting
from twinloop.scenarios.claims.claim import Holds, Verdict, of_what, verdict
from twinloop.scenarios.claims.measured import Kept
from twinloop.scenarios.file.boards.reading import shipped


def test_a_board_has_its_price_and_band() -> None:
    """70 us, band 2."""
    found = starting.started_on(shipped("raspberry-pi-4"))
    assert (found.value, found.low, found.high) == (70_000, 35_000, 140_000)
    assert found.holds is Holds.YES


def test_memory_on_a_board() -> None:
    """Five pages, and what its runtime keeps: 21 KiB."""
    board = shipped("raspberry-pi-4")
    assert board.runtime.instance_bytes == 21 << 10
    assert starting.memory_on(board, 5 << 16).value == 327_680 + 21_504


def test_an_instance_starts_in_less_than_a_millisecond() -> None:
    figures = starting.instantiate(Bench("raspberry-pi-5", "imx6ull"))
    assert verdict(figures) is Verdict.TRUE
    why = starting.why_instantiate(figures)
    assert why.startswith(
        "70 us here, through a host in Python; 38 us (19 us ... 76 us) on raspberry-pi-5 to 359 us"
    )


@pytest.mark.parametrize(("boards", "found"), [((), Verdict.FALSE), (("raspberry-pi-4",), Verdict.DEPENDS)])
def test_a_slow_machine_makes_it_false(boards: tuple[str, ...], found: Verdict) -> None:
    assert verdict(starting.instantiate(Bench(*boards, instantiate_ns=1.5 * MS))) is found


@pytest.mark.parametrize(
    ("process_ns", "sentence"), [(2 * MS, "Not true of a process"), (0.5 * MS, "True of a process")]
)
def test_the_sentence_follows_the_process(
    process_ns: float, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"start_ns": process_ns, "resident_bytes": 3e6}
    monkeypatch.setattr(starting, "kept", lambda part, name: Kept(values[name], "kept"))
    figures = starting.start_and_memory(Bench("raspberry-pi-4"))
    assert sentence in starting.why_start_and_memory(figures)
    assert verdict(figures) is Verdict.DEPENDS  # a process in Python takes 65 ms


def test_no_process_and_no_room_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "kept", lambda *path: Kept(None, "no compiler"))
    bench = Bench(crowd=HostLimitError("too few maps"), python_ns=OSError("no processes"))
    figures = starting.start_and_memory(bench)
    open_ones = {one.what: one.how for one in figures if one.holds is Holds.OPEN}
    assert open_ones[starting.MEMORY] == "this machine can't: too few maps"
    assert open_ones[starting.PROCESS_START].endswith("no compiler")
    assert len(of_what(figures, starting.START)) == 1
    assert starting.why_start_and_memory(figures) == "No instance was measured here."

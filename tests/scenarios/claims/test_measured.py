"""measured.json: its shape, and what is asked of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from twinloop.scenarios.claims import measured as keeping
from twinloop.scenarios.claims.claim import Bound, Figure, verdict
from twinloop.scenarios.claims.finding import CLAIMS
from twinloop.scenarios.claims.workbench import every_board
from twinloop.scenarios.text.errors import MachineError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(keeping, "FILE", tmp_path / "measured.json")
    keeping.measured.cache_clear()
    yield tmp_path / "measured.json"
    keeping.measured.cache_clear()


def test_its_parts() -> None:
    found = keeping.measured()
    assert list(found) == [
        "machine", "date", "load", "clock_mhz", "native", "process", "containers", "claims",
    ]  # fmt: skip
    for one in found["native"]["kernels"].values():
        assert set(one) == {"native_ns", "wasm_ns", "metered_ns"}
        assert min(one.values()) > 0
    assert [one["id"] for one in found["claims"]] == [one.id for one in CLAIMS]


def test_it_has_every_board_and_its_verdicts_follow_from_its_figures() -> None:
    for one in keeping.measured()["claims"]:
        boards = {figure["where"] for figure in one["figures"] if figure["kind"] == "modelled"}
        assert boards in (set(), set(every_board())), one["id"]
        figures = [figure_of(figure) for figure in one["figures"]]
        assert verdict(figures).value == one["verdict"]
        assert [figure.holds.value for figure in figures] == [figure["holds"] for figure in one["figures"]]


def figure_of(entry: dict[str, Any]) -> Figure:
    def number(value: Any) -> float | None:
        return float("inf") if value == "never" else value

    bound = Bound(entry["at_least"], entry["at_most"])
    low, high = number(entry.get("low")), number(entry.get("high"))
    return Figure(entry["what"], entry["where"], number(entry["value"]), entry["unit"], bound, low, high)


def test_a_figure_is_found_by_its_path(file: Path) -> None:
    found = {
        "machine": "m", "date": "d", "process": {"start_ns": 5}, "containers": {"crun": {"missing": "no rights"}},
    }  # fmt: skip
    file.write_text(json.dumps(found))
    assert keeping.kept("process", "start_ns") == (5.0, "make claims, m, d")
    assert keeping.kept("containers", "crun", "start_ns") == (None, "no rights")
    assert keeping.kept("containers", "crun") == (None, "no rights")
    assert keeping.kept("process", "end_ns") == (None, "process end_ns was not measured by make claims")


@pytest.mark.parametrize("text", [None, "{"])
def test_a_damaged_installation_is_told(file: Path, text: str | None) -> None:
    if text is not None:
        file.write_text(text)
    with pytest.raises(MachineError, match=r"measured\.json .* install twinloop anew"):
        keeping.measured()

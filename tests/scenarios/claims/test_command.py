"""``twinloop claims``: its outputs, its exit code, its mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scenarios.claims.test_telling import findings
from twinloop.scenarios.claims import finding
from twinloop.scenarios.claims.claim import Finding
from twinloop.scenarios.claims.finding import CLAIMS, boards_asked
from twinloop.scenarios.claims.workbench import QUICK_BOARDS, every_board
from twinloop.scenarios.cli.main import main


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[str, ...], bool]]:
    """What is asked of the measure, which is not made."""
    seen: list[tuple[tuple[str, ...], bool]] = []

    def found(boards: tuple[str, ...], quick: bool, say: object) -> list[Finding]:
        seen.append((tuple(boards), quick))
        return findings()

    monkeypatch.setattr(finding, "findings", found)
    return seen


def test_it_writes_what_it_prints(
    asked: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "claims.json"
    assert main(["claims", "--quick", "--board", "raspberry-pi-4", "--json", str(target)]) == 0
    assert asked == [(("raspberry-pi-4",), True)]
    told, written = capsys.readouterr().out, json.loads(target.read_text())
    for one in written["claims"]:
        assert one["why"] in told
    assert "FALSE" in told or "DEPENDS" in told  # and exit code 0 all the same


def test_json_on_stdout_leaves_the_table_to_stderr(
    asked: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["claims", "--json", "-"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["format"] == 1
    assert "An instance starts in less than 1 ms" in told.err
    assert asked == [(every_board(), False)]


def test_a_board_that_does_not_ship_is_refused(
    asked: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["claims", "--board", "rasberry-pi-4"]) == 3
    assert '--board: unknown board "rasberry-pi-4"; did you mean "raspberry-pi-4"?' in capsys.readouterr().err
    assert asked == []


def test_a_folder_that_is_not_there_is_told_before_anything_is_measured(
    asked: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["claims", "--json", "no/such/claims.json"]) == 3
    assert "no such folder" in capsys.readouterr().err
    assert asked == []


def test_boards() -> None:
    assert boards_asked([], quick=True) == QUICK_BOARDS
    assert boards_asked(["imx6ull", "imx6ull"], quick=True) == ("imx6ull",)


def test_all_claims_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Really, on one board: no figure of the board is open."""
    assert main(["claims", "--quick", "--board", "raspberry-pi-4", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in found["claims"]] == [one.id for one in CLAIMS]
    modelled = [
        figure for one in found["claims"] for figure in one["figures"] if figure["kind"] == "modelled"
    ]
    assert {figure["where"] for figure in modelled} == {"raspberry-pi-4"}
    assert None not in [figure["value"] for figure in modelled]
    verdicts = {one["id"]: one["verdict"] for one in found["claims"]}
    assert verdicts["hundred-sensors"] == "TRUE"
    assert verdicts["limits"] == verdicts["instances-in-4-gb"] == "DEPENDS"

"""The page of a comparison: its figures are those of the document, its pictures lie where hand computation
says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.evidence.diff.test_command import RANK, result, slower
from tests.scenarios.page.evidence.made import carried, rows
from tests.scenarios.page.test_page import HOSTILE, SIZE_MAX, Read, require_self_contained
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.evidence.diff.difference import compared
from twinloop.scenarios.evidence.diff.documents import Run, Side
from twinloop.scenarios.page.evidence import forest
from twinloop.scenarios.page.evidence.diff import diff_page


def side(*results: dict[str, Any], named: str = "a.json") -> Side:
    return Side([named], [Run(named, one) for one in results])


def seeds(scenario: str, factor: float, count: int = 8, text: str = "") -> list[dict[str, Any]]:
    """Of each seed another latency, ``factor`` times as long."""
    out = []
    for seed in range(1, count + 1):
        rank = {**RANK, "p99_ns": int((1_000_000 + 10_000 * seed) * factor)}
        latency = {"gateway": rank, "cloud": RANK, "stages": {f"bus{text}": rank}}
        out.append(
            result(
                seed,
                scenario=scenario,
                latency=latency,
                digest=f"{factor}-{seed}",
                components={f"route{text}": "b" * 64},
            )
        )
    return out


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, one in {"a.json": seeds("x", 1), "b.json": seeds("x", 1.2), "c.json": [slower()]}.items():
        Path(name).write_text(json.dumps({"format": 1, "results": one}))


def test_its_figures_are_those_of_the_document(here: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "a.json", "b.json", "--html", "page.html", "--json", "data.json"]) == 1
    first = Path("page.html").read_text()
    page, found = carried(first), json.loads(Path("data.json").read_text())
    told = capsys.readouterr().out
    (one,), (whole,) = page["scenarios"], found["scenarios"]
    differing = [each for each in whole["figures"] if each["a"] != each["b"]]
    assert one["figures"] == differing
    assert one["figures_equal"] == len(whole["figures"]) - len(differing)
    assert page["regressions"] == found["regressions"] == 2
    assert page["headline"] == told.rstrip().splitlines()[-1]
    assert [row[0] for row in rows(first, "Latency and stages")[1:]] == [each["figure"] for each in differing]
    assert (
        "Where nothing has changed, at most 5 % of such reports raise a false alarm about figures." in first
    )
    assert main(["diff", "a.json", "b.json", "--html", "again.html"]) == 1
    assert Path("again.html").read_text() == first


def test_the_line_of_a_figure_reaches_over_all_pairs() -> None:
    """By hand: 1 to 1.1, 2 to 2.6 and 4 to 3: ratios 1.1, 1.3 and 0.75."""
    before, after = [1, 2, 4], [1.1, 2.6, 3]
    ends = [
        [
            result(i, ledger={"due": 9, "delivered": value, "late": value}, digest=f"{side}{i}")
            for i, value in enumerate(values, 1)
        ]
        for side, values in (("a", before), ("b", after))
    ]
    (scenario,) = compared(side(*ends[0]), side(*ends[1])).scenarios
    change = next(one for one in scenario.figures if one.name == "samples late")
    assert change.pairs == pytest.approx((0.75, 1.3))
    (scenario,) = compared(side(ends[0][0]), side(ends[1][0])).scenarios
    assert all(one.pairs is None for one in scenario.figures), "a single pair has no spread"
    zero = [result(i, ledger={"due": 9, "delivered": 9, "late": i - 1}) for i in (1, 2)]
    (scenario,) = compared(side(*zero), side(*zero)).scenarios
    assert next(one for one in scenario.figures if one.name == "samples late").pairs is None


def test_where_a_change_lies() -> None:
    """The axis reaches to twice: a doubling is at its right end (228), a half at its left (12), x1.41 halfway."""
    one: dict[str, Any] = {
        "pairs": {"least": 0.5, "most": 2.0},
        "ratio": 2**0.5,
        "mark": "improvement",
        "a": 1,
        "b": 2,
        "never": {"a": 0, "b": 0},
    }
    assert forest.reach([one], 0.05) == 2.0
    drawn = forest.row(one, 2.0, 0.05, "words")
    assert re.search(r'class="whisker" d="M12 11H228"', drawn)
    assert re.search(r'<circle class="m good" cx="174" cy="11"', drawn)
    far = {**one, "ratio": 30.0, "pairs": None}
    assert forest.reach([far], 0.05) == 10.0
    assert 'd="M237 11l-8 -5v10z"' in forest.row(far, 10.0, 0.05, ""), "an arrow at the right end"
    gone = {**far, "ratio": None, "a": 5, "b": 0}
    assert 'd="M3 11l8 -5v10z"' in forest.row(gone, 10.0, 0.05, "")
    never = {**far, "ratio": None, "a": 5, "b": None, "never": {"a": 0, "b": 1}}
    assert 'd="M237 11l-8 -5v10z"' in forest.row(never, 10.0, 0.05, "")
    same = {**far, "ratio": None, "a": 0, "b": 0, "mark": ""}
    assert 'class="m' not in forest.row(same, 10.0, 0.05, "")


def test_what_got_worse_better_and_changed_is_said() -> None:
    before, after = seeds("x", 1.2), seeds("x", 1)
    for one in after:
        one["components"] = {"route": "c" * 64}
        one["ledger"] = {**one["ledger"], "lost": {"crash": 3}}
    text = diff_page(compared(side(*before), side(*after, named="b.json")), "again")
    assert "component route: bbbbbbbbbbbb -&gt; cccccccccccc" in text
    assert "<b>x</b>: 24 samples lost with the cause crash; before, none was" in text
    told = {row[0]: row for row in rows(text, "Latency and stages")}
    assert told["latency gateway p99"][-1] == "better"
    assert re.search(r"\d+ other figures? equal on both sides", text)


def hostile(suffix: str) -> str:
    before, after = seeds(f"x{suffix}", 1, text=suffix), seeds(f"x{suffix}", 1.2, text=suffix)
    for one in after:
        one["components"] = {f"route{suffix}": f"c{suffix}"}
        one["gateways"] = {f"gw{suffix}": {"board": suffix, "cpu_ratio": 0.2}}
        one["expectations"] = [{"expression": suffix, "verdict": "FAIL", "measured": 3, "unit": suffix}]
    for one in before:
        one["expectations"] = [{"expression": suffix, "verdict": "PASS", "measured": 2, "unit": suffix}]
    a = side(*before, result(1, scenario=f"gone{suffix}"), named=suffix)
    b = side(*after, named=suffix)
    b.errors.append((f"y{suffix}", f"error{suffix}"))
    return diff_page(compared(a, b), suffix)


def test_nothing_of_the_users_becomes_markup() -> None:
    text = hostile(HOSTILE)
    assert text.count("onerror") > 30
    read, plain = Read(text), Read(hostile("harmless"))
    assert [tag for tag, _ in read.elements] == [tag for tag, _ in plain.elements]
    require_self_contained(read, text)


def test_many_scenarios_are_below_2_mb_and_what_is_left_out_is_said() -> None:
    """60 scenarios with 100 components each: 50 have a section, with 30 figures."""
    before, after = [], []
    for number in range(60):
        for target, fuel in ((before, 1000), (after, 1000 + number)):
            components = {
                f"component-{i}": {"fuel": fuel * (i + 1), "calls": 1, "cpu_ns": 7} for i in range(100)
            }
            gateways = {"gw": {"board": "raspberry-pi-4", "components": components}}
            target.append(result(1, scenario=f"scenario-{number}", gateways=gateways, digest=f"{fuel}"))
    found = compared(side(*before), side(*after))
    text = diff_page(found, "again")
    assert len(text.encode()) < SIZE_MAX
    assert len(re.findall(r'<section aria-labelledby="scenario-', text)) == 50
    assert "10 scenarios that got worse less have no section here." in text
    assert "70 more figures that differ by less, not shown here." in text


@pytest.mark.parametrize("where", [".", "nowhere/page.html"])
def test_a_place_that_cannot_be_is_refused(
    here: None, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "a.json", "b.json", "--html", where]) == 3
    told = capsys.readouterr()
    assert "--html" in told.err
    assert told.out == ""


def test_a_single_pair_has_a_page(here: None, capsys: pytest.CaptureFixture[str]) -> None:
    Path("d.json").write_text(json.dumps({"format": 1, "results": [result()]}))
    assert main(["diff", "d.json", "c.json", "--html", "page.html"]) == 1
    capsys.readouterr()
    text = Path("page.html").read_text()
    require_self_contained(Read(text), text)
    assert "no rate of false alarms can be stated" in text

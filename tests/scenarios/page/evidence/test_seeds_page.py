"""The page of many seeds: what it says is what the document of ``--json`` has, seed by seed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.evidence.plant import scenario
from tests.scenarios.page.evidence.made import LATENCY, MISSED, carried, entry, failed, marks, rows
from tests.scenarios.page.test_page import HOSTILE, SIZE_MAX, Read, require_self_contained
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.evidence.summary import Asked, summary
from twinloop.scenarios.page.evidence.seeds import MARKS_MAX, ROWS_MAX, seeds_page
from twinloop.scenarios.page.evidence.told import command_of

MIXED = [
    entry(1),
    entry(2, missed=30),
    entry(3, latency="never"),
    entry(4, missed=None),
    failed(5),
    failed(6, code=130, error="not run: interrupted"),
    entry(7, missed=10, latency=5_000_000),
]


def page_of(entries: list[dict[str, Any]], **asked: Any) -> str:
    return seeds_page(summary(entries, Asked(f"1..{len(entries)}", **asked)), entries)


@pytest.fixture(scope="module")
def mixed() -> str:
    return page_of(MIXED)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page, the document and the shards of one plant under six seeds."""
    folder = tmp_path_factory.mktemp("seeds")
    file = folder / "lucky.yaml"
    file.write_text(scenario(missed=10), encoding="utf-8")
    many = ["run", str(file), "--seeds", "1..6"]
    html, whole = str(folder / "whole.html"), str(folder / "whole.json")
    assert main([*many, "--jobs", "1", "--html", html, "--json", whole]) == 1
    for number in ("1", "2"):
        main([*many, "--jobs", "2", "--shard", f"{number}/2", "--json", str(folder / f"{number}.json")])
    return folder


def test_its_figures_are_those_of_the_document(ran: Path) -> None:
    document = json.loads((ran / "whole.json").read_text())
    text = (ran / "whole.html").read_text()
    data = carried(text)
    (found,) = document["seeds"]
    assert data["summary"] == found
    by_seed = {one["seed"]: one for one in data["seeds"]}
    for one in document["results"]:
        mine = by_seed.pop(one["seed"])
        assert mine["verdict"] == one["verdict"]
        assert mine["values"] == [each["measured"] for each in one["expectations"]]
        assert mine["verdicts"] == [each["verdict"] for each in one["expectations"]]
    assert not by_seed
    for i, row in enumerate(found["expectations"]):
        chart = data["charts"][f"expectation-{i}"]
        assert chart["at"] == [str(one["seed"]) for one in document["results"]]
        assert chart["values"] == [one["expectations"][i]["measured"] for one in document["results"]]
        assert chart["spread"] == {name: row[name] for name in ("p5", "median", "p95")}
        assert len(marks(text, f"expectation-{i}")) == 6
    told = rows(text, "How often each expectation held")
    assert [row[0] for row in told[1:]] == [row["expression"] for row in found["expectations"]]
    assert [row[2] for row in told[1:]] == [f"{row['held']} of 6" for row in found["expectations"]]
    assert found["reproduce"] in [one for _, one in Read(text).texts]


def test_the_repeating_command_has_one_page_but_for_a_line(
    ran: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = carried((ran / "whole.html").read_text())
    again = shlex.split(data["command"])
    assert again[1:] == ["run", str(ran / "lucky.yaml"), "--seeds", "1..6"]
    main([*again[1:], "--jobs", "2", "--html", str(ran / "again.html")])
    capsys.readouterr()
    first, second = ((ran / f"{name}.html").read_text().splitlines() for name in ("whole", "again"))
    differing = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
    assert all('id="machine"' in a and 'id="machine"' in b for a, b in differing)


def test_merged_shards_have_the_page_of_the_whole(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = [str(ran / "1.json"), str(ran / "2.json")]
    assert main(["merge", *shards, "--html", str(ran / "merged.html")]) == 1
    capsys.readouterr()
    first, second = ((ran / f"{name}.html").read_text() for name in ("whole", "merged"))
    assert [line for line in first.splitlines() if 'id="machine"' not in line] == [
        line for line in second.splitlines() if 'id="machine"' not in line
    ]


def test_what_has_no_value_is_seen(mixed: str) -> None:
    """By hand: of seven seeds five have a value of the first, four of the second that is a time, one never."""
    chart = carried(mixed)["charts"]["expectation-0"]
    assert chart["values"] == [0, 30, 0, None, None, None, 10]
    assert chart["without"] == ["", "", "", "NO-DATA", "ERROR", "ABORTED", ""]
    assert chart["none"] == 3
    found = marks(mixed, "expectation-0")
    assert sorted(shape for shape, _ in found) == sorted(
        ["circle good"] * 3 + ["path bad", "rect open doubt", "rect doubt", "path doubt"]
    )
    lane = [float(at) for shape, at in found if shape.startswith("rect")]
    axis = max(float(at) for shape, at in found if shape.startswith("circle"))
    assert all(at > axis for at in lane), "below the axis"
    assert "3 seeds in the lane none, without a value" in mixed
    second = carried(mixed)["charts"]["expectation-1"]
    assert second["values"] == [3_000_000, 3_000_000, "never", 3_000_000, None, None, 5_000_000]
    assert "1 seed in the lane never, later than any bound" in mixed


def test_a_mark_stands_at_its_value() -> None:
    """By hand: 0 lies at the bottom (220), 30 at 1/1.08 of the way up to 24; 10 at a third of that."""
    text = page_of([entry(1), entry(2, missed=30), entry(3, missed=10)])
    circles = [float(at) for shape, at in marks(text, "expectation-0") if shape == "circle good"]
    assert circles == pytest.approx([220, 220 - 196 / 1.08 / 3], abs=0.06)
    (crossed,) = [
        float(at.split("l")[0]) for shape, at in marks(text, "expectation-0") if shape == "path bad"
    ]
    assert crossed + 4.5 == pytest.approx(220 - 196 / 1.08, abs=0.06)


def test_the_verdict_says_why(mixed: str) -> None:
    head = mixed[mixed.index("<header>") : mixed.index("</header>")]
    assert "<strong>ABORTED</strong>Under seeds 1..7: 2 of 6 seeds held" in head
    assert "Held least often: count(samples.missed) &lt;= 10, in 3 of 5." in head
    assert "<li>seed 5: no memory</li><li>seed 6: not run: interrupted</li>" in head
    assert [row[:2] for row in rows(mixed, "Seeds that aren't PASS")[1:]] == [
        ["2", "FAIL"], ["3", "FAIL"], ["4", "NO-DATA"], ["5", "ERROR"], ["6", "ABORTED"],
    ]  # fmt: skip
    assert rows(mixed, "What was measured under seed 2")[1:] == [
        [MISSED, "30", "FAIL"],
        [LATENCY, "3 ms", "PASS"],
    ]


def test_a_share_that_is_required_is_told() -> None:
    text = page_of([entry(seed) for seed in range(1, 21)], require="80 %")
    assert "PASS 80 % are required, and at least 83.8 % hold" in text
    assert "There is none: every seed that was judged is a PASS." in text


def test_seeds_of_which_none_was_judged() -> None:
    text = page_of([failed(1), failed(2)])
    Read(text)
    assert "No seed came as far as to be judged." in text
    assert command_of(summary([failed(1)], Asked("1..1")), [failed(1)]) == ""


def test_many_seeds_share_marks_at_the_worst_of_them() -> None:
    """1 000 seeds, three a mark; one of them fails, another has no value."""
    entries = [
        entry(seed, missed=30 if seed == 500 else None if seed == 499 else seed % 3)
        for seed in range(1, 1001)
    ]
    text = page_of(entries)
    data = carried(text)
    chart = data["charts"]["expectation-0"]
    assert chart["each"] == 3
    assert len(chart["at"]) == 334 <= MARKS_MAX
    assert (chart["at"][0], chart["at"][-1]) == ("1..3", "1000")
    place = chart["at"].index("499..501")
    assert (chart["values"][place], chart["verdicts"][place], chart["without"][place]) == (
        30,
        "FAIL",
        "NO-DATA",
    )
    assert all(value == 2 for i, value in enumerate(chart["values"][:-1]) if i != place)
    assert len(marks(text, "expectation-0")) == 335
    assert len(data["seeds"]) == ROWS_MAX
    assert [one["seed"] for one in data["seeds"][:2]] == [499, 500], "those that aren't PASS first"
    assert f"{1000 - ROWS_MAX} more seeds, not shown here: --json has all." in text


def test_nothing_comes_from_elsewhere(mixed: str) -> None:
    require_self_contained(Read(mixed), mixed)


OURS = ("board", "factor", "expression", "verdict", "measured", "unit", "never", "wall_s")
WORDS = ("kind", "verdict", "unit", "reproduce")


def spoilt(value: Any, suffix: str, key: str = "") -> Any:
    """Every text of an entry with a suffix, names too, but for the words of twinloop's own."""
    if isinstance(value, dict):
        return {
            name if key == "" or name in OURS else name + suffix: spoilt(one, suffix, name)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [spoilt(one, suffix, "expectations_") for one in value]
    return value + suffix if isinstance(value, str) and key not in WORDS else value


def spoilt_page(suffix: str) -> str:
    entries = []
    for one in MIXED:
        if one["kind"] == "result":
            again = ["twinloop", "run", suffix, "--seed", str(one["seed"]), "--set", f"a={suffix}"]
            one = {**one, "unspoken": {"lost": 3}, "reproduce": shlex.join(again)}
        entries.append(spoilt(one, suffix))
    return page_of(entries, require="50 %")


def test_nothing_of_the_users_becomes_markup() -> None:
    text = spoilt_page(HOSTILE)
    attacked = Read(text)
    assert text.count("onerror") > 40
    assert [tag for tag, _ in attacked.elements] == [
        tag for tag, _ in Read(spoilt_page(" harmless")).elements
    ]
    require_self_contained(attacked, text)


def test_200_seeds_are_below_2_mb() -> None:
    """Of 40 expectations; a few seeds fail in all of them."""
    entries = []
    for seed in range(1, 201):
        one = entry(seed, missed=30 if seed % 20 == 0 else seed % 7)
        first = one["expectations"][0]
        one["expectations"] = [
            {**first, "expression": f"count(samples.missed{{fleet=fleet-with-a-long-name-{i}}}) <= 10"}
            for i in range(40)
        ]
        entries.append(one)
    text = page_of(entries)
    assert len(text.encode()) < SIZE_MAX
    assert "20 more expectations held more often, and have no picture." not in text
    assert len(re.findall("<figure", text)) == 20


# ---- the command ---------------------------------------------------------------------------------
@pytest.mark.parametrize("where", ["", "nowhere/report.html"])
@pytest.mark.parametrize("command", ["run", "merge", "sweep", "size"])
def test_a_place_that_cannot_be_is_refused_before_anything_runs(
    ran: Path, command: str, where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {
        "run": [str(ran / "lucky.yaml"), "--seeds", "1..2"],
        "merge": [str(ran / "whole.json")],
        "sweep": [str(ran / "lucky.yaml"), "--vary", "fleets.presses.count=[1, 2]"],
        "size": [str(ran / "lucky.yaml"), "--vary", "fleets.presses.count", "--from", "1", "--to", "9"],
    }[command]
    capsys.readouterr()
    assert main([command, *arguments, "--html", str(tmp_path / where)]) == 3
    told = capsys.readouterr()
    assert "--html" in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


def test_several_scenarios_are_refused(ran: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = json.loads((ran / "whole.json").read_text().replace("lucky.yaml", "other.yaml"))
    (tmp_path / "other.json").write_text(json.dumps(other))
    target = tmp_path / "page.html"
    capsys.readouterr()
    assert main(["merge", str(ran / "whole.json"), str(tmp_path / "other.json"), "--html", str(target)]) == 3
    assert "a page is of one scenario, and 2 were given" in capsys.readouterr().err
    assert not target.exists()


def test_a_page_that_cannot_be_written_costs_no_report(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    capsys.readouterr()
    assert main(["merge", str(ran / "whole.json"), "--html", str(tmp_path / "page.html")]) == 71
    told = capsys.readouterr()
    assert "UNSTABLE" in told.out
    assert "page.html: No space left on device" in told.err

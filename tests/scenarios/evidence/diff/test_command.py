"""What twinloop diff reads and writes: both shapes of documents, Markdown, JSON, and what is wrong with a
command line."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from twinloop.scenarios.cli.main import main
from twinloop.scenarios.evidence.diff.documents import results_of
from twinloop.scenarios.evidence.diff.markdown import literal

RANK = {
    "count": 10,
    "never": 0,
    "p50_ns": 1_000_000,
    "p95_ns": 2_000_000,
    "p99_ns": 3_000_000,
    "max_ns": 4_000_000,
}


def result(seed: int = 1, **changes: Any) -> dict[str, Any]:
    return copy.deepcopy(
        {
            "kind": "result", "file": "x.yaml", "seed": seed, "verdict": "PASS", "code": 0, "scenario": "x", "clock": "virtual",
            "digest": f"{seed:064x}", "scenario_digest": "a" * 64, "components": {"route": "b" * 64}, "versions": {"twinloop": "0.1.0"},
            "expectations": [{"expression": "p99(latency.gateway) <= 5 ms", "verdict": "PASS", "measured": 3_000_000, "unit": "ns"}],
            "ledger": {"due": 10, "delivered": 10, "lost": {}, "missed": {}, "evicted": {}, "dropped": {}},
            "latency": {"gateway": RANK, "cloud": RANK, "stages": {"bus": RANK}}, "gateways": {"gw": {"board": "raspberry-pi-4", "cpu_ratio": 0.1}},
            **changes,
        }
    )  # fmt: skip


def slower(**changes: Any) -> dict[str, Any]:
    one = result(**{"digest": "9" * 64, **changes})
    if "latency" not in changes:
        one["latency"] = {**one["latency"], "gateway": {**RANK, "p99_ns": 4_000_000}}
    return one


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, document in {
        "a.json": {"format": 1, "results": [result()]},
        "b.json": {"format": 1, "results": [slower()]},
        "two.json": {"format": 1, "runs": [result(1), result(2)]},
        "other.json": {"format": 1, "results": [result(scenario="other")]},
        "newer.json": {"format": 2, "results": [result()]},
        "empty.json": {"format": 1, "results": []},
        "list.json": [result()],
        "short.json": {"format": 1, "results": [{"kind": "result", "scenario": "x", "seed": 1}]},
        "text.json": {"format": 1, "results": ["x"]},
        "verdict.json": {"format": 1, "results": [result(verdict="FINE")]},
        "expects.json": {"format": 1, "results": [result(expectations=[3])]},
        "died.json": {"format": 1, "results": [{"kind": "error", "file": "x.yaml", "error": "no"}]},
    }.items():
        Path(name).write_text(json.dumps(document))
    Path("no.json").write_text("{")
    Path("bytes.json").write_bytes(b"\xff\xfe\x00")
    Path("hollow").mkdir()
    Path("lone").mkdir()
    Path("lone/result.json").write_text(Path("a.json").read_text())
    Path("odd").mkdir()
    Path("odd/result.json").write_text(Path("b.json").read_text())
    Path("odd/run.sqlite").write_text("no database at all")


@pytest.mark.parametrize(
    ("document", "seeds"),
    [
        ({"results": [{"ledger": 1, "seed": 1}, {"ledger": 1, "seed": 2}]}, [1, 2]),
        ({"runs": [{"ledger": 1, "seed": 1}]}, [1]),
        ({"results": [{"kind": "runs", "runs": [{"seed": 3}, {"seed": 4}]}, {"ledger": 1, "seed": 5}]}, [3, 4, 5]),
        ({"results": 3}, []),
    ],
)  # fmt: skip
def test_the_shapes_of_a_document(document: dict[str, Any], seeds: list[int]) -> None:
    assert [one["seed"] for one in results_of(document)] == seeds


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a.json"], "diff: expected A and B, got a.json alone; separate several files of one side by commas"),
        (["a.json", "b.json", "two.json"], "diff: expected A and B, got 3 arguments"),
        (["a.json", "gone.json"], "gone.json: no such file; write it with twinloop run SCENARIO --json FILE"),
        (["a.json", "no.json"], "no.json: expected JSON, got something else"),
        (["a.json", "bytes.json"], "bytes.json: expected JSON, got something else"),
        (["a.json", "list.json"], "list.json: expected a document of twinloop, got a JSON list"),
        (["a.json", "newer.json"], "newer.json: $.format: expected 1, got 2; results of different formats aren't compared"),
        (["a.json", "empty.json"], "empty.json: expected results or runs, got a document without any"),
        (["a.json", "short.json"], "short.json: $.results[0].verdict: expected a text, got nothing"),
        (["a.json", "text.json"], "text.json: $.results[0]: expected a result, got str"),
        (["a.json", "verdict.json"], 'verdict.json: $.results[0].verdict: expected one of BROKEN, ABORTED, '),
        (["a.json", "expects.json"], "expects.json: $.results[0].expectations[0]: expected an expression with a verdict"),
        (["a.json", "other.json"], 'other.json: no scenario in common with a.json: unknown scenario "other"; known: x; results are paired'),
        (["died.json", "died.json"], "died.json: no scenario in common with died.json: it holds no result, only errors"),
        (["a.json,two.json", "b.json"], 'two.json: scenario "x" with seed 1 is in a.json, too; give each run once'),
        (["a.json", "hollow"], "hollow: expected a folder that twinloop run --out has written, got one without result.json"),
        (["lone", "odd"], "lone/run.sqlite: expected the database of a run, got something else"),
        (["a.json", "b.json", "--margin", "5"], '--margin: expected a percentage, e.g. "0.1 %", got \'5\''),
        (["a.json", "b.json", "--json", "-", "--markdown", "-"], "--markdown: --json goes to stdout, too: give one of them a file"),
        (["a.json", "b.json", "--json", "hollow"], "--json: hollow: it is a folder"),
        (["a.json", "b.json", "--markdown", "none/x.md"], "--markdown: none/x.md: no such folder: none"),
    ],
)  # fmt: skip
def test_usage_errors(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *arguments]) == 3
    error = capsys.readouterr().err
    assert error.startswith(f"error: {told}")
    assert "Traceback" not in error


def test_several_files_of_a_side(capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (3, 4):
        Path(f"{seed}.json").write_text(json.dumps({"format": 1, "results": [result(seed)]}))
    Path("with,comma.json").write_text(Path("a.json").read_text())
    assert main(["diff", "--against", "two.json", "--against", "3.json", "two.json", "3.json"]) == 0
    assert "seeds 1 to 3: both sides are the same" in capsys.readouterr().out
    assert main(["diff", "two.json,3.json", "two.json, 4.json"]) == 0
    assert "only B has the seeds 4" in capsys.readouterr().out
    assert main(["diff", "with,comma.json", "a.json"]) == 0


def test_json_and_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "a.json", "b.json", "--json", "-", "--markdown", "x.md"]) == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["kind"], found["regressions"], found["margin"], found["false_alarms"]) == (
        "difference",
        1,
        0.05,
        0.05,
    )
    (only,) = found["scenarios"]
    assert (only["how"], only["seeds"], only["seeds_needed"]) == ("margin", {"a": [1], "b": [1]}, 5)
    worse = [one for one in only["figures"] if one["mark"] == "regression"]
    assert [(one["figure"], one["a"], one["b"], one["p"]) for one in worse] == [
        ("latency gateway p99", 3_000_000, 4_000_000, None)
    ]
    assert "REGRESSION: 1 thing got worse" in captured.err
    text = Path("x.md").read_text()
    assert text.startswith("### twinloop diff: REGRESSION: 1 thing got worse\n\n| scenario | figure |")
    assert "| x | latency gateway p99 | 3 ms | 4 ms | +33.3 % | not tested | worse |" in text
    assert text.count("<details>") == text.count("</details>") == 1
    assert main(["diff", "a.json", "a.json", "--markdown", "-"]) == 0
    assert capsys.readouterr().out.startswith("### twinloop diff: NO REGRESSION\n")


NASTY = "a|b\n`c` <b>*d*</b> [e](http://f) @everyone \\| &amp; $x$\x1b[31m"


def test_no_name_breaks_the_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    told = [{"expression": NASTY, "verdict": "PASS", "measured": 1, "unit": "ns"}]
    one, other = (
        made(scenario=NASTY, expectations=told, components={NASTY: sha * 64}, gateways={NASTY: {"board": NASTY, "cpu_ratio": cpu}})
        for made, sha, cpu in ((result, "b", 0.1), (slower, "c", 0.2))
    )  # fmt: skip
    other["expectations"] = [{**told[0], "verdict": "FAIL", "measured": None}]
    other["ledger"]["lost"] = {NASTY: 3}
    Path("n.json").write_text(json.dumps({"format": 1, "results": [one]}))
    Path("m.json").write_text(json.dumps({"format": 1, "results": [other]}))
    assert main(["diff", "n.json", "m.json", "--markdown", "-"]) == 1
    captured = capsys.readouterr()
    assert "\x1b[31m" not in captured.out + captured.err
    widths = 0
    for line in captured.out.splitlines():
        if line.startswith("|"):
            cells = line.count("|")
            assert widths in (0, cells)  # as many as in the table's head
            widths = cells
        else:
            widths = 0
    for raw in ("`", "<b>", "](", "@everyone", "$x$"):
        assert raw not in captured.out
    tags = re.findall(r"<[^>]*>", captured.out)
    assert tags == ["<details>", "<summary>", "</summary>", "</details>"]


def test_literal_keeps_what_is_harmless() -> None:
    assert literal("p99(latency.gateway) = 5 ms, +10.1 %") == "p99(latency.gateway) = 5 ms, +10.1 %"
    assert literal("a|b\nc") == "a&#124;b c"


@pytest.mark.parametrize(
    "change",
    [
        {"latency": {"gateway": 3, "cloud": {"p50_ns": "x", "never": True}}},
        {"gateways": {"gw": None, "b": {"components": {"c": {"fuel": 10**400, "calls": 0}}}}},
        {"ledger": {"lost": [1], "missed": {"x": "y"}, "delivered": True}},
        {"truth": 3, "quality": [], "links": {"l": {"lost": 1, "offered": 0}}, "recordings": None},
        {"expectations": [{"expression": "x", "verdict": "PASS", "measured": float("nan"), "unit": 3}]},
        {"versions": {"a": None}, "components": {"a": 3}, "clock": None},
    ],
)  # fmt: skip
def test_whatever_a_document_holds_there_is_no_traceback(
    change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("odd.json").write_text(json.dumps({"format": 1, "results": [slower(**change)]}))
    for arguments in (["a.json", "odd.json"], ["odd.json", "a.json"]):
        assert main(["diff", *arguments, "--json", "x.json", "--markdown", "x.md"]) in (0, 1)
    assert "Traceback" not in capsys.readouterr().err

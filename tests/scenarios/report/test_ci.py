"""What CI sees of a run: totals, one document, exit codes, folders, and what a verdict says of what nobody
asked. The letters are those of the hunt that found the cases."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from tests.scenarios.cases import result, scenario, text_of
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.judging.thresholds import Judge, read_expectations
from twinloop.scenarios.judging.verdict import Verdict, exit_code, worst
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.report.document import SCHEMA
from twinloop.scenarios.report.junit import write_junit
from twinloop.scenarios.report.total import total
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.sim.world import World

ROOT = Path(__file__).parents[3]


def folder_of_four(tmp_path: Path) -> Path:
    plant = tmp_path / "plant"
    plant.mkdir()
    (plant / "good.yaml").write_text(scenario(tmp_path))
    (plant / "bad.yml").write_text(scenario(tmp_path, timeline=[{"at": "1 s", "cut": "plant", "for": "5 s"}]))
    (plant / "broken.yaml").write_text("format: 2\nfleets: [\n")
    (plant / "compose.yaml").write_text("services:\n  db: {image: x}\n")
    return plant


def test_a11_several_scenarios_end_with_a_table_and_one_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant = folder_of_four(tmp_path)
    code = main(["run", str(plant), "--json", str(tmp_path / "r.json"), "--junit", str(tmp_path / "r.xml")])
    told = capsys.readouterr()
    assert code == 3
    assert told.out.strip().splitlines()[-1].startswith("ERROR  3 scenarios: 1 FAIL, 1 ERROR, 1 PASS")
    assert "skipped:" in told.err
    assert "compose.yaml" in told.err
    document = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert [(one["kind"], one["verdict"], one["code"]) for one in document["results"]] == [
        ("result", "FAIL", 1),
        ("error", None, 3),
        ("result", "PASS", 0),
    ]
    suites = ET.parse(tmp_path / "r.xml").getroot()  # written just now by us
    assert [suite.get("errors") for suite in suites] == ["0", "1", "0"]


def test_a11_a_folder_without_a_scenario_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    assert main(["run", str(tmp_path)]) == 3
    assert "no scenario in this folder" in capsys.readouterr().err


def test_a11_one_document_even_when_nothing_can_be_read(tmp_path: Path) -> None:
    assert main(["run", str(tmp_path / "none.yaml"), "--json", str(tmp_path / "r.json")]) == 3
    document = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert document["results"][0]["kind"] == "error"


def test_a11_exit_codes_worst_first() -> None:
    order = [70, 2, 71, 130, 3, 5, 1, 4, 0]
    assert [worst(order[at:]) for at in range(len(order))] == order


def test_a11_a_closed_pipe_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(scenario(tmp_path))
    command = f"{sys.executable} -c 'from twinloop.scenarios.cli.start import script; script()' run {tmp_path}/s.yaml | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
    assert "Traceback" not in done.stderr


def test_without_expectations_nothing_can_hold(tmp_path: Path, host: Host) -> None:
    found = result(tmp_path, host, expect=None)
    assert found.verdict is Verdict.NO_DATA
    assert "nothing is expected of this run" in text_of(found)


def test_an_expectation_over_samples_of_which_none_was_due_has_no_data(tmp_path: Path, host: Host) -> None:
    phases = [{"name": "before", "for": "1 ms"}, {"name": "rest", "for": "10 s"}]
    found = result(
        tmp_path,
        host,
        fleet={"phase": "aligned"},
        phases=[phases[0], phases[1]],
        duration="20 s",
        overrides=None,
        expect=[
            "count(samples.missed{phase=rest}) == 0",
            "count(samples.missed{device=m/1,phase=before}) == 0",
        ],
    )
    assert [one.verdict for one in found.judged] == [Verdict.PASS, Verdict.PASS]
    late = result(
        tmp_path,
        host,
        fleet={"poll": "30 s", "count": 2},
        expect=["count(samples.missed{device=m/2}) == 0", "count(samples.lost) == 0"],
    )
    assert [one.verdict for one in late.judged] == [Verdict.PASS, Verdict.PASS]
    never = result(
        tmp_path, host, fleet={"poll": "60 s", "count": 2}, expect=["count(samples.missed{device=m/2}) == 0"]
    )
    assert never.judged[0].verdict is Verdict.NO_DATA


def test_a_pass_beside_what_nobody_speaks_of_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = [{"at": "5 s", "cut": "plant", "for": "5 s"}]
    (tmp_path / "s.yaml").write_text(scenario(tmp_path, timeline=cut, expect=["count(samples.lost) == 0"]))
    assert main(["run", str(tmp_path / "s.yaml")]) == 0
    assert "; beside it 50 missed samples of which no expectation speaks" in capsys.readouterr().out
    assert main(["run", str(tmp_path / "s.yaml"), "--strict"]) == 1
    (tmp_path / "s.yaml").write_text(
        scenario(tmp_path, timeline=cut, expect=["count(samples.lost) == 0", "count(samples.missed) <= 50"])
    )
    assert main(["run", str(tmp_path / "s.yaml"), "--strict"]) == 0


def test_d7_two_runs_do_not_share_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import fcntl
    import os

    (tmp_path / "s.yaml").write_text(scenario(tmp_path))
    out = tmp_path / "out"
    assert main(["run", str(tmp_path / "s.yaml"), "--out", str(out)]) == 0
    taken = os.open(out / ".twinloop-out", os.O_RDWR)
    fcntl.flock(taken, fcntl.LOCK_EX)
    try:
        assert main(["run", str(tmp_path / "s.yaml"), "--out", str(out)]) == 71
    finally:
        os.close(taken)
    assert "another run is writing into this folder" in capsys.readouterr().err
    assert main(["run", str(tmp_path / "s.yaml"), "--out", str(out)]) == 0


def test_d7_a_full_disk_keeps_the_other_results(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(scenario(tmp_path))
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(scenario(tmp_path))
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / ".twinloop-out").write_text("")
    (tmp_path / "out" / "a" / "run.sqlite").symlink_to("/dev/full")
    code = main(
        [
            "run",
            str(tmp_path / "a.yaml"),
            str(tmp_path / "b.yaml"),
            "--out",
            str(tmp_path / "out"),
            "--json",
            str(tmp_path / "r.json"),
        ]
    )
    document = json.loads((tmp_path / "r.json").read_text())
    assert [one["kind"] for one in document["results"]] == ["error", "result"]
    assert code in (3, 71)
    assert document["results"][1]["verdict"] == "PASS"


def test_d8_only_what_a_run_has_written_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(scenario(tmp_path))
    out = tmp_path / "out"
    assert main(["run", str(tmp_path / "s.yaml"), "--out", str(out)]) == 0
    mine = [out / name for name in ("run.sqlite.bak", "store-of-mine.csv", "result.json.old", "notes.txt")]
    for path in mine:
        path.write_text("mine")
    assert main(["run", str(tmp_path / "s.yaml"), "--out", str(out)]) == 0
    assert [path.read_text() for path in mine] == ["mine"] * 4
    (out / ".twinloop-out").write_text("an old mark\n")
    assert main(["run", str(tmp_path / "s.yaml"), "--out", str(out)]) == 3
    assert "no run of twinloop has written it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("expect", "unspoken"),
    [
        ("count(samples.lost) == 0", 5), ("count(readings.wrong{device=m/1}) == 0", 5), ("count(readings.wrong{fleet=m}) <= 3", 2),
        ("count(commands.wrong{device=m/1}) == 0", 5), ("count(commands.wrong{device=m/2}) <= 2", 3),
    ],
)  # fmt: skip
def test_an_expectation_speaks_of_wrong_values_of_its_own_devices_only(
    tmp_path: Path, host: Host, expect: str, unspoken: int
) -> None:
    """m/2 has 3 wrong readings and 2 wrong writes; whoever speaks of m/1 alone says nothing of that."""
    writes = [{"at": "1.5 s", "write": f"m/{number}", "point": "setpoint", "value": 6} for number in (1, 2)]
    loaded = load_text(
        scenario(tmp_path, fleet={"count": 2}, duration="3 s", timeline=writes, expect=[expect]),
        tmp_path / "case.yaml",
    )
    world = World(Planner(loaded, host).world(), host)
    try:
        judge = Judge(world, read_expectations(loaded))
        assert world.run()
        judged = judge.judge()
        assert judge.verdict(judged) is Verdict.PASS
        world.truth.wrong_of[1], world.truth.wrong_commands[1] = 3, 2
        assert judge.unspoken() == {"wrong": unspoken}
        assert judge.verdict(judge.judge()) is Verdict.FAIL
    finally:
        world.close()


@pytest.mark.parametrize(
    ("expect", "spoken"),
    [
        ("count(samples.delivered) >= 1", False), ("count(samples.due) >= 1", False),
        ("count(samples.delivered{fleet=m}) > 20", False), ("ratio(samples.delivered) >= 20 %", True), ("count(samples.missed) <= 100", True),
    ],
)  # fmt: skip
def test_who_says_that_some_arrived_says_nothing_of_the_others(
    tmp_path: Path, host: Host, expect: str, spoken: bool
) -> None:
    """Half of 10 s is cut off: 50 of 100 points or so are missed beside a PASS."""
    loaded = load_text(
        scenario(
            tmp_path, duration="10 s", expect=[expect], timeline=[{"at": "0 s", "cut": "plant", "for": "5 s"}]
        ),
        tmp_path / "case.yaml",
    )
    result = run(loaded, Options(), host)
    assert result.verdict is Verdict.PASS
    assert (result.data["unspoken"].get("missed", 0) == 0) is spoken
    assert exit_code(result.verdict, True, bool(result.data["unspoken"])) == (0 if spoken else 1)


@pytest.mark.parametrize(
    ("expect", "flags", "code", "kind", "text"),
    [
        ([], [], 4, "error", "NO-DATA: nothing is expected"),
        (["count(samples.delivered) >= 1"], ["--strict"], 1, "failure", "PASS: beside it 50 missed samples of which no expectation speaks"),
        (["count(samples.delivered) >= 1"], [], 0, "", ""), (["count(samples.missed) == 0"], [], 1, "failure", ""),
    ],
)  # fmt: skip
def test_what_makes_the_exit_code_is_in_junit(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    expect: list[str],
    flags: list[str],
    code: int,
    kind: str,
    text: str,
) -> None:
    cut = [{"at": "0 s", "cut": "plant", "for": "4500 ms"}]
    (tmp_path / "a.yaml").write_text(
        scenario(tmp_path, duration="10 s", expect=expect, timeline=cut), encoding="utf-8"
    )
    (tmp_path / "b.yaml").write_text(
        scenario(tmp_path, duration="1 s", expect=["count(samples.missed) == 0"]), encoding="utf-8"
    )
    assert (
        main(
            [
                "run",
                str(tmp_path / "a.yaml"),
                str(tmp_path / "b.yaml"),
                "--junit",
                str(tmp_path / "r.xml"),
                *flags,
            ]
        )
        == code
    )
    first, second = ET.parse(tmp_path / "r.xml").getroot()
    assert [first.get("failures"), first.get("errors")] == [
        str(int(kind == "failure")),
        str(int(kind == "error")),
    ]
    assert [second.get("failures"), second.get("errors")] == ["0", "0"]
    if text:
        assert first.findall(f"testcase[@name='run']/{kind}")[0].get("message") == text
    last = capsys.readouterr().out.strip().splitlines()[-1]
    word = {4: "NO-DATA", 0: "PASS", 1: "FAIL" if kind and not flags else "PASS, but not by --strict"}[code]
    assert last.startswith(f"{word}  2 scenarios: ")


def test_the_last_line_of_several_is_what_the_exit_code_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, host: Host
) -> None:
    """BROKEN beside a file that can't be read: 2 is worse than 3. A wrong value alone is a failure of the
    run."""
    from rich.console import Console

    good = result(tmp_path, host, duration="2 s", expect=["count(samples.missed) == 0"])
    wrong = replace(
        good,
        verdict=Verdict.FAIL,
        data={
            **good.data,
            "truth": {**good.data["truth"], "wrong": 3, "example": "m/1 a: 7, not 8"},
            "unspoken": {"wrong": 3},
        },
    )
    broken = replace(good, verdict=Verdict.BROKEN, error="the books don't add up")
    refused = ScenarioError("x.yaml", 1, "$", "no")
    total(Console(width=200), [("a", good, 0), ("b", refused, 3), ("c", broken, 2), ("d", wrong, 1)], 0)
    assert (
        capsys.readouterr().out.strip().splitlines()[-1]
        == "BROKEN  4 scenarios: 1 PASS, 1 ERROR, 1 BROKEN, 1 FAIL"
    )
    write_junit(tmp_path / "w.xml", [(tmp_path / "d.yaml", wrong)], strict=False)
    failures = ET.parse(tmp_path / "w.xml").getroot().findall("testsuite/testcase[@name='run']/failure")
    assert [one.get("message") for one in failures] == ["FAIL: 3 values are not what devices showed"]

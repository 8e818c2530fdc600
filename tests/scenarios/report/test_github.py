"""What a job of GitHub Actions is told: workflow commands as its runner reads them, a summary that no text of
a user can break and that GitHub takes."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.scenarios.cases import result, scenario
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.report.github import SUMMARY_BYTES_MAX, cell, command, summary, workflow_commands
from twinloop.scenarios.text.errors import ScenarioError

CUT = [{"at": "1 s", "cut": "plant", "for": "4500 ms"}]
HELD, BROKEN = "count(samples.delivered) >= 1", "count(samples.missed) == 0"


def read(line: str) -> tuple[str, dict[str, str], str]:
    """A workflow command as the runner reads it: the name ends at a space, properties at ``::``; each is
    taken apart at ``,`` and ``=`` first and unescaped after."""
    found = re.fullmatch(r"::(\w+) (.*?)::(.*)", line)
    assert found, line
    properties = dict(one.split("=", 1) for one in found[2].split(","))
    for code, letter in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        properties = {name: text.replace(code, letter) for name, text in properties.items()}
    message = found[3].replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    return found[1], properties, message


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    return [read(line) for line in text.splitlines() if line.startswith("::")]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path


def write(folder: Path, file: str, **changes: object) -> list[str]:
    text = scenario(folder, duration="10 s", timeline=CUT, **changes)  # type: ignore[arg-type]
    (folder / file).write_text(text)
    return text.splitlines()


def test_letters_are_escaped_as_github_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    line = command("error", "50 %: a,b\r\nnext", tmp_path / "a,b:c%.yaml", 12, "x: y, z\n")
    assert line == (
        "::error file=a%2Cb%3Ac%25.yaml,line=12,title=x%3A y%2C z%0A::50 %25: a,b%0D%0Anext"
    )  # in the message : and , stay
    assert read(line) == (
        "error", {"file": "a,b:c%.yaml", "line": "12", "title": "x: y, z\n"}, "50 %: a,b\r\nnext",
    )  # fmt: skip
    assert command("warning", "m", Path("/elsewhere/x.yaml"), 3, "t") == "::warning title=t::m"


def test_each_expectation_that_does_not_hold_is_told_at_its_line(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = write(repository, "a,b.yaml", expect=[HELD, BROKEN])
    write(repository, "beside.yaml", expect=[HELD])
    (repository / "wrong.yaml").write_text("\n".join(lines).replace("duration: 10 s", "duration: 10 parsecs"))
    assert main(["run", ".", "--github"]) == 3
    told = capsys.readouterr()
    failed, beside, wrong = commands(told.out)
    assert failed[:2] == (
        "error",
        {"file": "a,b.yaml", "line": str(lines.index(f"- {BROKEN}") + 1), "title": f"FAIL: {BROKEN}"},
    )
    assert (
        failed[2] == "measured 50: 50 missed{timeout}, all of m/1\nreproduce: twinloop run a,b.yaml --seed 1"
    )
    assert beside[:2] == ("warning", {"file": "beside.yaml", "title": "PASS: case"})
    assert beside[2].startswith("beside it 50 missed samples of which no expectation speaks")
    assert wrong[:2] == ("error", {"file": "wrong.yaml", "line": "3", "title": "twinloop: scenario error"})
    assert 'got unit "parsecs"' in wrong[2]
    assert told.out.strip().splitlines()[-1].startswith("ERROR  3 scenarios")
    assert "GITHUB_STEP_SUMMARY isn't set: --github wrote annotations and no job summary" in told.err


def test_paths_start_at_the_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "plants").mkdir()
    write(repository / "plants", "p.yaml", expect=[BROKEN])
    monkeypatch.setenv("GITHUB_WORKSPACE", str(repository))
    monkeypatch.chdir(repository / "plants")
    assert main(["run", "p.yaml", "--github", "--json", "-"]) == 1
    told = capsys.readouterr()
    assert commands(told.out) == []
    assert [one[1]["file"] for one in commands(told.err)] == ["plants/p.yaml"]


def test_without_the_flag_nothing_changes(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(repository, "p.yaml", expect=[BROKEN])
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    assert main(["run", "p.yaml"]) == 1
    assert commands(capsys.readouterr().out) == []
    assert not (repository / "summary.md").exists()


def test_whatever_makes_the_exit_code_is_an_error(tmp_path: Path, host: Host) -> None:
    good = result(tmp_path, host, duration="1 s")
    unsure = [replace(good.judged[0], verdict=Verdict.UNSURE, why="a band")]
    cases = [
        (good, [], []), (replace(good, verdict=Verdict.UNSURE, judged=unsure), ["warning"], ["error"]),
        (replace(good, verdict=Verdict.BROKEN, error="the books", judged=[]), ["error"], ["error"]),
        (replace(good, verdict=Verdict.ABORTED), ["error"], ["error"]), (replace(good, verdict=Verdict.NO_DATA, judged=[]), ["error"], ["error"]),
        (replace(good, data={**good.data, "unspoken": {"lost": 2}}), ["warning"], ["error"]), (RuntimeError("x"), ["error"], ["error"]),
    ]  # fmt: skip
    for outcome, plain, strict in cases:
        for found, flag in ((plain, False), (strict, True)):
            assert [
                read(line)[0] for line in workflow_commands([(tmp_path / "a.yaml", outcome)], 0, flag)
            ] == found
    assert [read(line)[2] for line in workflow_commands([], 2, False)] == ["2 scenarios not run: interrupted"]


def test_the_summary_is_appended(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(repository, "p.yaml", expect=[HELD, BROKEN], name="plant")
    (repository / "summary.md").write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(repository / "summary.md"))
    assert main(["run", "p.yaml", "--github"]) == 1
    text = html.unescape((repository / "summary.md").read_text())
    assert text.startswith("before\n## twinloop: 1 scenario\n\n| verdict |")
    assert f"| ❌ FAIL | plant | p.yaml | 1 | {BROKEN} |" in text
    assert f"| ✅ PASS | {HELD} | 50 |  |" in text
    assert f"| ❌ FAIL | {BROKEN} | 50 | 50 missed{{timeout}}, all of m/1 |" in text
    assert "```sh\ntwinloop run p.yaml --seed 1\n```" in text
    assert "isn't set" not in capsys.readouterr().err


def test_no_text_breaks_the_table(tmp_path: Path, host: Host) -> None:
    hostile = "a|b `c` <img src=x>\n| x | **y** [z](http://w) @you #1 \\| &amp; $m$ ~~s~~\x1b[31m"
    shown = cell(hostile)
    assert re.fullmatch(r"[^|`<>*\[\]@\\$~_\n\x1b]*", shown)
    assert html.unescape(shown) == " ".join(hostile.replace("\x1b", "\\x1b").split())
    assert len(html.unescape(cell("x|" * 9000))) == 501
    good = result(tmp_path, host, duration="1 s")
    data = {**good.data, "scenario": hostile, "reproduce": "twinloop run '```\n## x.yaml'"}
    judged = [replace(good.judged[0], why=hostile)]
    text = summary(
        [(tmp_path / "a|b.yaml", replace(good, data=data, judged=judged), 0)], 0, SUMMARY_BYTES_MAX
    )
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.count("|") for row in rows] == [6, 6, 6, 5, 5, 5]
    assert "\n````sh\ntwinloop run '```\n## x.yaml'\n````\n" in text


def test_a_summary_is_one_that_github_takes(tmp_path: Path, host: Host) -> None:
    good = result(tmp_path, host, duration="1 s")
    refused = ScenarioError("x.yaml", 1, "$", "é" * 400)
    good = replace(good, judged=[replace(good.judged[0], why="x" * 500)] * 10)
    ran = [(tmp_path / f"{number}.yaml", good, 0) for number in range(300)]
    text = summary([*ran, (tmp_path / "x.yaml", refused, 3)], 5, SUMMARY_BYTES_MAX)
    assert SUMMARY_BYTES_MAX - 8000 < len(text.encode()) <= SUMMARY_BYTES_MAX
    left = re.search(r"Left out: the expectations of (\d+) scenarios\. GitHub takes 1 MiB of a step", text)
    assert left
    assert text.count("### ") + int(left[1]) == 300
    assert text.startswith("## twinloop: 306 scenarios, 5 not run\n")
    short = summary([*ran, (tmp_path / "x.yaml", refused, 3)], 0, 20_000)
    assert len(short.encode()) <= 20_000
    assert re.search(r"Left out: \d+ rows of this table and the expectations of 300 scenarios", short)


@pytest.mark.parametrize(("before", "told"), [(SUMMARY_BYTES_MAX - 20, "the file is full"), (0, "")])
def test_what_a_step_has_written_before_counts(
    before: int,
    told: str,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(repository, "p.yaml", expect=[HELD])
    (repository / "summary.md").write_text("x" * before)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(repository / "summary.md"))
    assert main(["run", "p.yaml", "--github"]) == 0
    assert told in capsys.readouterr().err
    assert before <= (repository / "summary.md").stat().st_size <= SUMMARY_BYTES_MAX


def test_a_summary_that_cannot_be_written_is_told(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(repository, "p.yaml", expect=[HELD])
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(repository / "none" / "summary.md"))
    assert main(["run", "p.yaml", "--github"]) == 71
    assert "none/summary.md: No such file or directory" in capsys.readouterr().err

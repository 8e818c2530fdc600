"""JUnit by the rules of those who read it: Jenkins' schema, what GitLab takes from a case, sums, places."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.scenarios.cases import result, scenario
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.cli.running import Outputs, Ran, write_out
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.report.junit import write_junit
from twinloop.scenarios.text.errors import MachineError, ScenarioError

TEXT = ("failure", "error", "skipped")
NUMBER, SECONDS = r"\d+", r"\d+\.\d{3}"
OPTIONAL = {"timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "time": SECONDS, "skipped": NUMBER, "file": ".+"}
ATTRIBUTES = {
    "testsuites": ({"name": ".*"}, {"time": SECONDS, "tests": NUMBER, "failures": NUMBER, "errors": NUMBER}),
    "testsuite": ({"name": ".*", "tests": NUMBER, "failures": NUMBER, "errors": NUMBER}, OPTIONAL),
    "properties": ({}, {}),
    "property": ({"name": ".*", "value": ".*"}, {}),
    "testcase": ({"name": ".*"}, {"time": SECONDS, "classname": ".*", "group": ".*"}),
    **{tag: ({}, {"type": ".*", "message": ".*"}) for tag in TEXT},
    "system-out": ({}, {}),
}
"""junit-10.xsd of Jenkins' xUnit plugin: what an element must have and may have"""
INSIDE = {
    "testsuites": r"(testsuite )*",
    "testsuite": r"(properties )?(testcase )*(system-out )?",  # the schema takes any order; readers expect this
    "properties": r"(property )*",
    "testcase": r"((failure|error|skipped) )?(system-out )?",
}
BESIDE = {"file", "line"}
"""of a case: GitLab's and pytest's"""
CUT = [{"at": "1 s", "cut": "plant", "for": "4500 ms"}]


def checked(file: Path) -> ET.Element:
    """A report that keeps the rules, with sums that are right."""
    root = ET.parse(file).getroot()
    assert root.tag == "testsuites"
    for element in root.iter():
        must, may = ATTRIBUTES[element.tag]
        extra = BESIDE if element.tag == "testcase" else set()
        assert set(must) <= set(element.attrib) <= set(must) | set(may) | extra, element.attrib
        for name, value in element.attrib.items():
            assert re.fullmatch({**must, **may}.get(name, ".+"), value, re.DOTALL), (name, value)
        inside = "".join(f"{child.tag} " for child in element)
        assert re.fullmatch(INSIDE.get(element.tag, ""), inside), (element.tag, inside)
    for suite in root:
        for name, tag in (
            ("tests", ""),
            ("failures", "/failure"),
            ("errors", "/error"),
            ("skipped", "/skipped"),
        ):
            assert suite.get(name) == str(len(suite.findall(f"testcase{tag}")))
        times = [float(case.get("time", "")) for case in suite.findall("testcase")]
        assert f"{sum(times):.3f}" == suite.get("time")
    for name in ("tests", "failures", "errors"):
        assert root.get(name) == str(sum(int(suite.get(name, "")) for suite in root))
    assert float(root.get("time", "")) == pytest.approx(sum(float(suite.get("time", "")) for suite in root))
    return root


def test_each_case_has_its_time_file_and_line(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = scenario(tmp_path, duration="10 s", timeline=CUT, expect=[])
    text = text.replace(
        "expect: []", "expect:\n  - count(samples.lost) == 0\n\n  - count(samples.missed) == 0\n"
    )
    text += "phases:\n  - {name: all, for: 10 s, recover-within: 5 s}\n"
    (tmp_path / "plant.yaml").write_text(text)
    lines = text.splitlines()
    before = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    assert main(["run", "plant.yaml", "--junit", "r.xml"]) == 1
    after = datetime.now(UTC).replace(tzinfo=None)
    (suite,) = checked(tmp_path / "r.xml")
    assert before <= datetime.fromisoformat(suite.get("timestamp", "")) <= after
    assert (suite.get("name"), suite.get("file")) == ("case", "plant.yaml")
    run, *cases = suite.findall("testcase")
    assert run.get("time") == suite.get("time") != "0.000"
    assert [case.get("name") for case in cases] == [
        "count(samples.lost) == 0", "count(samples.missed) == 0", "stuck == 0 within 5 s after phase all",
    ]  # fmt: skip
    assert [case.get("file") for case in [run, *cases]] == ["plant.yaml"] * 4
    at = [int(case.get("line", "0")) for case in cases]
    assert lines[at[0] - 1] == "  - count(samples.lost) == 0"
    assert lines[at[1] - 1] == "  - count(samples.missed) == 0"
    assert "recover-within" in lines[at[2] - 1]
    assert run.get("line") is None


def test_what_gitlab_shows_is_whole(tmp_path: Path, host: Host) -> None:
    """Of a failure with text it takes the text and leaves the message."""
    found = result(tmp_path, host, duration="10 s", timeline=CUT, expect=["count(samples.missed) == 0"])
    write_junit(tmp_path / "r.xml", [(tmp_path / "case.yaml", found)], strict=False)
    failure = checked(tmp_path / "r.xml")[0].find("testcase/failure")
    assert failure is not None
    assert failure.get("type") == "FAIL"
    assert failure.get("message", "").startswith("measured 50")
    assert failure.text == f"{failure.get('message')}\nreproduce: {found.reproduce}"
    whole = checked(tmp_path / "r.xml")[0].findtext("system-out", "")
    assert "count(samples.missed) == 0" in whole
    assert "FAIL" in whole


def test_text_that_xml_cannot_hold(tmp_path: Path, host: Host) -> None:
    good = result(tmp_path, host, duration="1 s")
    broken = replace(good, verdict=Verdict.BROKEN, error="a\x00b\x1b[31m\ud800\uffff<&]]>")
    write_junit(tmp_path / "r.xml", [(tmp_path / "case.yaml", broken)], strict=False)
    (suite,) = checked(tmp_path / "r.xml")
    found = suite.find("testcase[@name='run']/error")
    assert found is not None
    assert found.get("message") == "BROKEN; a\ufffdb\ufffd[31m\ufffd\ufffd<&]]>"


def test_each_mistake_of_a_scenario_is_an_error_at_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (
        scenario(tmp_path).replace("duration: 20 s", "duration: 20 parsecs").replace("poll: 1 s", "pol: 1 s")
    )
    (tmp_path / "plant.yaml").write_text(text)
    assert main(["run", "plant.yaml", "--junit", "r.xml"]) == 3
    (suite,) = checked(tmp_path / "r.xml")
    cases = suite.findall("testcase")
    assert int(suite.get("errors", "")) == len(cases) >= 2
    lines = text.splitlines()
    told = {case.get("name"): lines[int(case.get("line", "0")) - 1] for case in cases}
    assert told["$.duration"] == "duration: 20 parsecs"
    assert "    pol: 1 s" in told.values()


def test_what_was_not_run_is_an_error(tmp_path: Path, host: Host) -> None:
    good = result(tmp_path, host, duration="1 s")
    ran = [Ran(tmp_path / "a.yaml", good, 0)]
    write_out(ran, Outputs(junit=tmp_path / "r.xml"), False, [tmp_path / "b.yaml"])
    root = checked(tmp_path / "r.xml")
    assert [suite.get("errors") for suite in root] == ["0", "1"]
    assert [one.get("message") for one in root.findall("testsuite/testcase/error")] == [
        "not run: interrupted"
    ]


def test_a_result_that_cannot_be_written_is_an_error(tmp_path: Path, host: Host) -> None:
    good = result(tmp_path, host, duration="1 s")
    with pytest.raises(MachineError, match="--json /dev/full"):
        write_out([Ran(tmp_path / "a.yaml", good, 0)], Outputs("/dev/full", tmp_path / "r.xml"), False)
    assert [suite.get("errors") for suite in checked(tmp_path / "r.xml")] == ["0", "1"]


def test_unsure_is_skipped_unless_strict(tmp_path: Path, host: Host) -> None:
    good = result(tmp_path, host, duration="1 s")
    unsure = replace(
        good, verdict=Verdict.UNSURE, judged=[replace(good.judged[0], verdict=Verdict.UNSURE, why="a band")]
    )
    refused = ScenarioError("--seed", None, "", "no")
    for strict, counts in ((False, ("0", "0", "1")), (True, ("1", "0", "0"))):
        write_junit(
            tmp_path / "r.xml", [(tmp_path / "a.yaml", unsure), (tmp_path / "b.yaml", refused)], strict
        )
        first, second = checked(tmp_path / "r.xml")
        assert (first.get("failures"), first.get("errors"), first.get("skipped")) == counts
        assert second.get("errors") == "1"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["quikstart"], 'quikstart: no such file, nor a shipped scenario; did you mean "quickstart"'),
        (["empty"], "empty: no scenario in this folder"), (["a/p.yaml", "b/p.yaml", "--out", "out"], "--out: two scenarios have one file name"),
    ],
)  # fmt: skip
def test_an_older_report_stands_in_for_nothing(
    names: list[str],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is refused before any scenario runs is an error in the report, and an annotation."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "p.yaml").write_text(scenario(tmp_path))
    (tmp_path / "r.xml").write_text("<testsuites/>")
    assert main(["run", *names, "--junit", "r.xml", "--json", "r.json", "--github"]) == 3
    (error,) = checked(tmp_path / "r.xml").findall("testsuite/testcase/error")
    assert error.get("message", "").startswith(text)
    (result,) = json.loads((tmp_path / "r.json").read_text())["results"]
    assert (result["kind"], result["code"]) == ("error", 3)
    told = capsys.readouterr()
    assert told.err.splitlines()[-1].startswith(f"error: {text}")
    assert [line for line in told.out.splitlines() if line.startswith("::error ")]

"""What docs/ci.md shows is what its commands print and write, and its tests pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from twinloop.scenarios.cli.main import main
from twinloop.scenarios.testing import running, served  # noqa: F401  # an inner session forgets what it loads first

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ci.md").read_text()
PLUGIN = "twinloop.scenarios.testing.plugin"
NO_FAULTHANDLER = ("-p", "no:faulthandler")
"""as in tests/scenarios/testing: else a trap ends this process"""


def block(kind: str, holds: str) -> str:
    found = [
        one for one in re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if holds in one
    ]
    assert len(found) == 1, holds
    return str(found[0])


@pytest.fixture
def plant(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (pytester.path / "plant.twinloop.yaml").write_text(block("yaml", "# plant.twinloop.yaml: FAIL"))
    return pytester


def test_the_case_of_the_junit_report(plant: pytest.Pytester) -> None:
    command = block("sh", "--junit").split()
    assert main(command[1:]) == 1
    written = " ".join((plant.path / "report.xml").read_text().split())
    assert " ".join(block("xml", "<testcase").split()) in written


def test_the_annotation(plant: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "plant.twinloop.yaml", "--github"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if line.startswith("::")] == block("text", "::error").splitlines()


def test_the_failure_of_pytest(plant: pytest.Pytester) -> None:
    command = block("sh", "pytest ").split()
    found = plant.runpytest_inprocess("-p", PLUGIN, *NO_FAULTHANDLER, *command[1:])
    first, *lines = block("text", "plant.twinloop.yaml: scenario").splitlines()
    assert first.strip("_") in found.stdout.str()
    plain = [
        line.removeprefix("Failed: ") for line in found.outlines
    ]  # some versions of pytest leave that out
    assert [line for line in lines if line.removeprefix("Failed: ") not in plain] == []


def test_the_tests_of_the_page(plant: pytest.Pytester) -> None:
    code = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    plant.makepyfile(test_page="\n".join(code))
    ini = block("ini", "[pytest]").replace("scenarios/*.yaml", "*.yaml")
    plant.makeini(ini)
    listed = plant.runpytest_inprocess(
        "-p", PLUGIN, *NO_FAULTHANDLER, "--collect-only", "-q", "-m", "twinloop"
    )
    assert len([line for line in listed.outlines if "plant.twinloop.yaml::seed[" in line]) == 5
    plant.runpytest_inprocess("-p", PLUGIN, *NO_FAULTHANDLER, "-m", "not twinloop").assert_outcomes(
        passed=2, deselected=5
    )

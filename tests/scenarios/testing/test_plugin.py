"""Scenario files as tests of pytest, seen from the outside: what is collected, how it ends, what is told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cases import scenario
from twinloop.scenarios.testing import running, served  # noqa: F401  # an inner session forgets what it loads first
from twinloop.scenarios.testing.seeds import SEED_MAX, SEEDS_MAX, seeds_of

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[3]
PLUGIN = "twinloop.scenarios.testing.plugin"
NO_FAULTHANDLER = ("-p", "no:faulthandler")
"""an inner session would put its handler of SIGILL in front of wasmtime's, for good: the next component of this
process that traps would end it"""
CUT = [{"at": "1 s", "cut": "plant", "for": "4500 ms"}]
QUIET = ("-p", "no:hypothesispytest", "-p", "no:anyio")
"""other plugins that load much"""
HELD, BROKEN = "count(samples.delivered) >= 1", "count(samples.missed) == 0"


def write(folder: Path, name: str = "plant.twinloop.yaml", **changes: Any) -> str:
    text = scenario(folder, **{"duration": "10 s", **changes})
    (folder / name).write_text(text)
    return text


def run(pytester: pytest.Pytester, *flags: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", PLUGIN, *NO_FAULTHANDLER, *flags)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes find this tree, wherever they run."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


# ---- collecting ----------------------------------------------------------------------------------
def test_only_scenario_files_are_collected(pytester: pytest.Pytester) -> None:
    for name in ("a.twinloop.yaml", "b.yaml", "twinloop.yaml", "c.twinloop.yml"):
        pytester.path.joinpath(name).write_text("nothing is read when tests are collected")
    found = run(pytester, "--collect-only", "-q")
    assert found.outlines[:1] == ["a.twinloop.yaml::scenario"]
    found.stdout.fnmatch_lines(["1 test collected*"])
    pytester.makeini("[pytest]\ntwinloop_files = b*.yaml plants/*/main.yaml\n")
    deep = pytester.path / "plants" / "x"
    deep.mkdir(parents=True)
    for name in ("main.yaml", "other.yaml"):
        (deep / name).write_text("")
    found = run(pytester, "--collect-only", "-q")
    assert [line for line in found.outlines if "::" in line] == [
        "a.twinloop.yaml::scenario",
        "b.yaml::scenario",
        "plants/x/main.yaml::scenario",
    ]


def test_one_item_a_seed(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("a.twinloop.yaml").write_text("")
    pytester.makeini("[pytest]\ntwinloop_seeds = 1,7..8\n")
    for flags, seeds in (((), [1, 7, 8]), (("--twinloop-seeds", "2..3"), [2, 3])):
        found = run(pytester, "--collect-only", "-q", *flags)
        assert [line for line in found.outlines if "::" in line] == [
            f"a.twinloop.yaml::seed[{seed}]" for seed in seeds
        ]


def test_seeds_are_read() -> None:
    assert seeds_of("1..5") == (1, 2, 3, 4, 5)
    assert seeds_of("7, 1, 6..8") == (7, 1, 6, 8)
    assert seeds_of(str(SEED_MAX)) == (SEED_MAX,)
    assert len(seeds_of(f"1..{SEEDS_MAX}")) == SEEDS_MAX
    for wrong in (
        "",
        "a",
        "1..",
        "5..1",
        "-1",
        "1...3",
        str(SEED_MAX + 1),
        f"0..{SEEDS_MAX}",
        "0..9999999999",
    ):
        with pytest.raises(ValueError, match="expected"):
            seeds_of(wrong)


def test_seeds_that_are_none_are_a_usage_error(pytester: pytest.Pytester) -> None:
    found = run(pytester, "--twinloop-seeds", "five")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stderr.fnmatch_lines(['ERROR: --twinloop-seeds: expected seeds such as 1..5*got "five"'])
    pytester.makeini("[pytest]\ntwinloop_seeds = 5..1\n")
    run(pytester).stderr.fnmatch_lines(['ERROR: twinloop_seeds: expected seeds*got "5..1"'])


def test_this_project_has_no_such_files_by_accident() -> None:
    assert [path for path in ROOT.rglob("*.twinloop.yaml") if "build" not in path.parts] == []


# ---- outcomes ------------------------------------------------------------------------------------
def test_a_scenario_that_holds_passes(pytester: pytest.Pytester) -> None:
    write(pytester.path)
    found = run(
        pytester,
        "-v",
        "-m",
        "twinloop",
        "--strict-markers",
        "--twinloop-seeds",
        "1..2",
        "-k",
        "seed and plant",
    )
    found.assert_outcomes(passed=2)
    found.stdout.fnmatch_lines(
        ["plant.twinloop.yaml::seed[[]1[]] PASSED*", "plant.twinloop.yaml::seed[[]2[]] PASSED*"]
    )


def test_a_failure_is_the_report_and_nothing_else(pytester: pytest.Pytester) -> None:
    lines = write(pytester.path, timeline=CUT, expect=[HELD, BROKEN]).splitlines()
    found = run(pytester, "--twinloop-seeds", "3", "--junitxml", "r.xml")
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(
        [
            "*_ plant.twinloop.yaml: seed[[]3[]] _*",
            f"*FAIL: {BROKEN}: measured 50",
            f"✓  {HELD}*50",
            f"✗  {BROKEN}*50",
            "   50 missed{timeout}, all of m/1",
            "samples  100 due · 50 delivered · 50 missed (timeout 50)",
            "FAIL  * simulated in *",
            "reproduce: twinloop run plant.twinloop.yaml --seed 3",
            "FAILED plant.twinloop.yaml::seed[[]3[]] - Failed: FAIL: count(samples.missed) ==*",
        ]
    )
    for word in ("Traceback", "plugin.py", "running.py"):
        assert word not in found.stdout.str()
    case = ET.parse(pytester.path / "r.xml").getroot().find("testsuite/testcase")
    assert case is not None
    assert (case.get("classname"), case.get("name")) == ("plant.twinloop.yaml", "seed[3]")
    told = {one.get("name"): one.get("value") for one in case.iter("property")}
    assert (told["twinloop-verdict"], told["twinloop-seed"]) == ("FAIL", "3")
    assert told["twinloop-reproduce"] == "twinloop run plant.twinloop.yaml --seed 3"
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message", "").startswith(f"Failed: FAIL: {BROKEN}: measured 50")
    line = lines.index(f"- {BROKEN}") + 1
    assert (
        f"{pytester.path}/plant.twinloop.yaml:{line}: Failed: FAIL" in run(pytester, "--tb=line").stdout.str()
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"expect": []}, "*NO-DATA: nothing is expected"),
        (
            {"duration": "10 parsecs"},
            '*ERROR: plant.twinloop.yaml:3: $.duration: expected a duration*got unit "parsecs"*',
        ),
        ({"expect": ["count(samples.mist) == 0"]}, "*ERROR: plant.twinloop.yaml:*: $.expect[[]0[]]: *"),
        ({"components": {"modbus-driver": {"wasm": "none.wasm"}}}, "*ERROR: plant.twinloop.yaml:*: $.*"),
    ],
)
def test_what_says_nothing_fails_with_its_own_text(
    changes: dict[str, Any], text: str, pytester: pytest.Pytester
) -> None:
    write(pytester.path, **changes)
    found = run(pytester)
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines([text])
    assert "Traceback" not in found.stdout.str()


def test_what_is_not_beyond_doubt_passes_with_a_warning(pytester: pytest.Pytester) -> None:
    """UNSURE, and a PASS beside 50 missed samples of which nobody speaks."""
    write(pytester.path, "unsure.twinloop.yaml", expect=["p50(latency.stage{stage=driver}) <= 20 us"])
    write(pytester.path, "beside.twinloop.yaml", timeline=CUT, expect=[HELD])
    found = run(pytester)
    found.assert_outcomes(passed=2, warnings=2)
    found.stdout.fnmatch_lines_random(
        [
            "*TwinloopWarning: PASS: beside it 50 missed samples of which no expectation speaks",
            "*TwinloopWarning: UNSURE: p50(latency.stage{stage=driver}) <= 20 us: measured *: it doesn't hold *",
        ]
    )
    strict = run(pytester, "--twinloop-strict")
    strict.assert_outcomes(failed=2)
    strict.stdout.fnmatch_lines_random(
        [
            "*PASS, but not by --strict: beside it 50 missed samples of which no expectation speaks",
            "*UNSURE, but not by --strict: p50(latency.stage{stage=driver}) <= 20 us: measured *",
            "reproduce: twinloop run beside.twinloop.yaml --seed 1 --strict",
        ]
    )
    errors = run(pytester, "-W", "error")
    errors.assert_outcomes(failed=2)
    assert "plugin.py" not in errors.stdout.str()


# ---- processes -----------------------------------------------------------------------------------
@pytest.mark.usefixtures("outside")
def test_workers_share_the_seeds(pytester: pytest.Pytester) -> None:
    write(pytester.path, timeline=CUT, expect=[BROKEN])
    write(pytester.path, "good.twinloop.yaml")
    found = pytester.runpytest_subprocess(
        "-p", PLUGIN, *QUIET, "-n", "2", "--twinloop-seeds", "1..2", "--junitxml", "r.xml"
    )
    found.assert_outcomes(passed=2, failed=2)
    found.stdout.fnmatch_lines(
        ["FAILED plant.twinloop.yaml::seed[[]?[]] - Failed: FAIL: count(samples.missed) ==*"]
    )
    root = ET.parse(pytester.path / "r.xml").getroot()
    assert sorted(f"{one.get('classname')} {one.get('name')}" for one in root.iter("testcase")) == [
        "good.twinloop.yaml seed[1]", "good.twinloop.yaml seed[2]", "plant.twinloop.yaml seed[1]", "plant.twinloop.yaml seed[2]",
    ]  # fmt: skip


@pytest.mark.usefixtures("outside")
def test_who_has_no_scenario_loads_nothing_heavy(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_modules():
            heavy = {"wasmtime", "numpy", "pydantic", "yaml", "rich", "simpy", "typer", "asyncua"}
            assert not heavy & set(sys.modules)
            assert "twinloop.scenarios.testing.plugin" in sys.modules
            assert sorted(name for name in sys.modules if name.startswith("twinloop.")) == [
                "twinloop.scenarios",
                "twinloop.scenarios.testing",
                "twinloop.scenarios.testing.plugin",
                "twinloop.scenarios.testing.seeds",
            ]
        """
    )
    pytester.runpytest_subprocess("-p", PLUGIN, *QUIET).assert_outcomes(passed=1)


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("flags", [(), ("-p", PLUGIN), ("-p", "twinloop"), ("-p", "no:twinloop")])
def test_an_entry_point_and_a_flag_are_one_plugin(flags: tuple[str, ...], pytester: pytest.Pytester) -> None:
    """An installation of twinloop that names the plugin, as pyproject.toml has it."""
    import tomllib

    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert points == {"twinloop": PLUGIN}
    info = pytester.path / "site" / "installed_twinloop-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-twinloop\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[pytest11]\ntwinloop = {PLUGIN}\n")
    pytester.path.joinpath("a.twinloop.yaml").write_text("")
    if not flags:
        pytester.makeconftest(f"pytest_plugins = ['{PLUGIN}']")
    paths = os.pathsep.join([str(ROOT), str(info.parent)])
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *QUIET, *flags],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    there = "a.twinloop.yaml::scenario" in found.stdout
    assert there is ("no:twinloop" not in flags), found.stdout + found.stderr
    assert "already registered" not in found.stderr


@pytest.mark.usefixtures("outside")
def test_ctrl_c_ends_the_session(pytester: pytest.Pytester) -> None:
    write(pytester.path, "a.twinloop.yaml", duration="400 h", fleet={"poll": "100 ms"})
    write(pytester.path, "b.twinloop.yaml")
    pytester.makeconftest(
        f"""
        import pathlib
        from twinloop.sim.world import World

        plain = World.run
        def run(self, *given):
            pathlib.Path({str(pytester.path / "runs")!r}).touch()
            return plain(self, *given)
        World.run = run
        """
    )
    started = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", PLUGIN, *QUIET, "-v"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        ends = time.monotonic() + 60
        while not (pytester.path / "runs").exists() and time.monotonic() < ends:
            time.sleep(0.02)
        time.sleep(0.2)
        started.send_signal(signal.SIGINT)
        told = started.communicate(timeout=60)[0]
    finally:
        started.kill()
    assert started.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in told
    assert re.search(r"no tests ran in", told)
    assert "b.twinloop.yaml" not in told

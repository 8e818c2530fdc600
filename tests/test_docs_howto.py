"""What the how-to pages say beside their scenarios: other boards, other settings, `--strict`, the model and
the component that they write."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

import twinloop
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.report.console import report

ROOT = Path(__file__).parents[1]
HOWTO = ROOT / "docs" / "howto"


def page(name: str) -> str:
    return (HOWTO / f"{name}.md").read_text()


def scenario(name: str) -> twinloop.Scenario:
    """A whole scenario of a page, by the name in its first line."""
    for text in (found.read_text() for found in sorted(HOWTO.glob("*.md"))):
        whole = re.search(rf"^```yaml\n# {name}\.yaml: \S+\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        if whole:
            return twinloop.load_text(whole[1])
    raise KeyError(name)


@pytest.mark.parametrize("name", ["upgrade-slow", "limits"])
def test_it_passes_on_the_other_board(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [
        text
        for text in (found.read_text() for found in HOWTO.glob("*.md"))
        if f"`twinloop run {name}.yaml --board" in text
    ]
    assert len(told) == 1
    monkeypatch.chdir(ROOT)
    assert (
        twinloop.run(scenario(name), twinloop.Options(boards={"gw": "raspberry-pi-4"})).verdict
        is twinloop.Verdict.PASS
    )


@pytest.mark.parametrize(("name", "code"), [("release", 1), ("release-mended", 0)])
def test_strict_in_a_gate(name: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / f"{name}.yaml"
    file.write_text(scenario(name).text())
    assert main(["run", str(file)]) == 0
    assert ("beside it 940 lost samples of which no expectation speaks" in capsys.readouterr().out) == bool(
        code
    )
    assert main(["run", str(file), "--strict"]) == code
    assert main(["check", str(file), "--strict"]) == 0


CHANGES = re.findall(
    r"^\| (?:fleet|link) `(\w+)`: `([a-z]+): ([^`]+)` \| (\d+) \| ([\d.]+) ms \| (.*) \|$",
    page("slow-line"),
    re.MULTILINE,
)


@pytest.mark.parametrize(("block", "key", "value", "missed", "p95_ms", "warning"), CHANGES)
def test_what_helps_a_slow_line(
    block: str, key: str, value: str, missed: str, p95_ms: str, warning: str
) -> None:
    where = "fleets" if block == "meters" else "links"
    change: Any = {where: {block: {key: yaml.safe_load(value)}}}
    result = twinloop.run(scenario("slow").changed(change))
    assert sum(result.samples.missed.values()) == int(missed)
    assert result.latency.gateway.p95_ns is not None
    assert f"{result.latency.gateway.p95_ns / 1e6:.3g}" == p95_ms
    foreseen = [note for note in result.notes if "foreseen" in note]
    assert bool(foreseen) == (warning != "no warning")
    assert not foreseen or warning in foreseen[0]


def test_three_ways_help_a_slow_line() -> None:
    assert len(CHANGES) == 3


def test_a_handover_that_is_too_short() -> None:
    text = page("failover")
    told = re.search(r"With `handover: 500 ms` (\d+) samples end as `lost\{unseen\}`", text)
    assert told
    result = twinloop.run(
        scenario("pair-hot").changed({"gateways": {"gw-b": {"standby": {"handover": "500 ms"}}}})
    )
    assert result.data["ledger"]["lost"] == {"unseen": int(told[1])}


def test_the_described_boiler_does_what_is_expected(tmp_path: Path) -> None:
    text = page("your-device")
    model = re.search(r"^```yaml\n# (model/\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    used = re.search(r"\n\n((?:    .*\n)+)", text[text.index("## 3. Use it") :])
    assert model
    assert used
    (tmp_path / "model").mkdir()
    (tmp_path / model[1]).write_text(model[2])
    block = yaml.safe_load("".join(line[4:] for line in used[1].splitlines(keepends=True)))
    fleet = {
        "device": model[1],
        "protocol": "modbus-tcp",
        "count": 2,
        "poll": "1 s",
        "link": "plant",
        "gateway": "gw",
        "driver": "modbus-driver",
        "response": "20 ms",
    }
    data = {
        **scenario("inverters").data,
        **block,
        "duration": "2 min",
        "fleets": {"boilers": fleet},
        "links": {"plant": {"preset": "lan"}, "cloud": {"preset": "lte"}},
    }
    result = twinloop.run(twinloop.Scenario.of(data, tmp_path))
    assert result.verdict is twinloop.Verdict.PASS, [
        (one.expectation.text, one.measured, one.why) for one in result.judged
    ]


def test_the_component_of_the_page_is_built_and_runs(tmp_path: Path) -> None:
    text = page("your-component")
    guests = tmp_path / "components" / "guests"
    guests.mkdir(parents=True)
    shutil.copytree(ROOT / "components" / "guests" / "bindings", guests / "bindings")
    shutil.copy(ROOT / "components" / "guests" / "text.h", guests)
    code = re.search(r"^```c\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    built = re.search(r"^```sh\n.*?^cd components/guests\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert code
    assert built
    (guests / "calibrate.c").write_text(code[1])
    tools = sysconfig.get_path("scripts")
    script = built[1].replace("python -m", f"{sys.executable} -m")
    subprocess.run(["sh", "-e", "-c", f'PATH="{tools}:$PATH"\n{script}'], cwd=guests, check=True)
    base = scenario("release")
    use = {"wasm": "calibrate.wasm", "with": {"offset": "100"}}
    changed = base.changed(
        {"components": {"normalize": None, "calibrate": use}, "gateways": {"gw": {"transform": "calibrate"}}},
        duration="5 s",
        timeline=[],
    )
    result = twinloop.run(twinloop.Scenario.of(changed.data, tmp_path))
    assert result.samples.delivered == result.samples.due > 0
    with pytest.raises(twinloop.ScenarioError, match="a number is the only option"):
        twinloop.run(
            twinloop.Scenario.of(
                changed.changed({"components": {"calibrate": {"with": {"offset": None, "gain": "2"}}}}).data,
                tmp_path,
            )
        )


def test_the_full_line_that_the_page_of_causes_quotes() -> None:
    result = twinloop.run(scenario("slow"))
    told = io.StringIO()
    report(Console(file=told, width=200), result, "slow.yaml")
    quoted = (HOWTO.parent / "causes.md").read_text().split("```text\n")[1].split("```")[0]
    words = " ".join(told.getvalue().split())
    assert [line for line in quoted.splitlines() if " ".join(line.split()) not in words] == []

"""What the how-to pages say beside their scenarios: other boards, other settings, `--strict`, the model and
the component that they write."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import sysconfig
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

import twinloop
from twinloop.components.contract.contract import IntegerReading, Origin, Reading, Settings, TextReading
from twinloop.components.host.host import Host
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


def test_the_component_of_the_page_is_built_and_runs(tmp_path: Path, host: Host) -> None:
    text = page("your-component")
    guests = tmp_path / "components" / "guests"
    guests.mkdir(parents=True)
    shutil.copytree(ROOT / "components" / "guests" / "bindings", guests / "bindings")
    for header in ("integers.h", "text.h"):
        shutil.copy(ROOT / "components" / "guests" / header, guests)
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
    whole_numbers_are_exact_until_an_offset_is_added(host, tmp_path / "calibrate.wasm")
    with pytest.raises(twinloop.ScenarioError, match="a number is the only option"):
        twinloop.run(
            twinloop.Scenario.of(
                changed.changed({"components": {"calibrate": {"with": {"offset": None, "gain": "2"}}}}).data,
                tmp_path,
            )
        )


def whole_numbers_are_exact_until_an_offset_is_added(host: Host, component: Path) -> None:
    """A transform with the option ``offset``."""
    linked = host.link(host.load(component, "transform"), [])
    some = [Reading(1, 7.0, 0, 3)]
    texts = [TextReading(2, "on", 0, 4)]
    whole = [
        IntegerReading(3, ("unsigned", (1 << 53) + 1), 0, 5),
        IntegerReading(4, ("signed", -3), 0x80000000, 6),
    ]
    for readings in (some, []):
        for offset in (0.0, 0.5):
            with closing(host.instantiate(linked, {}, 10**9)) as instance:
                instance.begin("configure", (Settings("", [], [("offset", str(offset))]),), 10**9)
                instance.advance()
                instance.begin("transform-readings", (Origin("d", 1), (readings, texts, whole)), 10**9)
                instance.advance()
                assert instance.fault is None
                batch = instance.result().value
                assert [tuple(one) for one in batch.texts] == texts
                moved = [(1, 7.0, 0, 3)] * len(readings)
                if offset:
                    moved += [(3, 2.0**53, 0, 5), (4, -3.0, 0x80000000, 6)]
                assert [tuple(one) for one in batch.readings] == [
                    (number, value + offset, *rest) for number, value, *rest in moved
                ]
                assert [tuple(one) for one in batch.integers] == ([] if offset else whole)


def test_the_full_line_that_the_page_of_causes_quotes() -> None:
    result = twinloop.run(scenario("slow"))
    told = io.StringIO()
    report(Console(file=told, width=200), result, "slow.yaml")
    quoted = (HOWTO.parent / "causes.md").read_text().split("```text\n")[1].split("```")[0]
    words = " ".join(told.getvalue().split())
    assert [line for line in quoted.splitlines() if " ".join(line.split()) not in words] == []

"""Files of format 1: they mean what they meant, and ``twinloop migrate`` makes files of today's of them,
comments and layout kept."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scenarios.cli.test_cli import TINY
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.format_1 import text_of_today
from twinloop.scenarios.file.load import LIBRARY, library_names, load, load_data, load_text
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text.errors import ScenarioError

ENTRY = {
    "fault-component": "inject",
    "limit-memory": "squeeze",
    "set-poll": "repoll",
    "device-fault": "fault",
    "direction": "way",
}
OLD = (
    TINY.replace("format: 2", "format: 1")
    .replace("grace: 10 s\n", "")
    .replace(
        "expect:",
        """\
settle: "20 s"   # longer than any retry
timeline:
  # what went wrong that night
  - {at: 1 s, 'fault': presses/1, kind: silent, for: 1 s}
  - {at: 2 s, cut: plant, way: up, for: 500 ms}
  - after: heal plant + 100 ms
    "repoll": presses   # as fast as it was
    poll: 300 ms
    for: 1 s
  - {after: "repoll presses", inject: gw/policy}   # an event of another name
  - {at: 4 s, squeeze: gw, leave: 100 MiB}
faults:
  - {mtbf: 2 s, mttr: 100 ms, do: [{cut: cloud, way: down}, {fault: presses/any, kind: silent}]}
phases:
  - {name: all, for: 4 s}
  - {name: calm, for: 1 s, converge: 1 s}
expect:
  - stuck == 0 within 5 s after fault presses/1
""",
    )
    .replace("uplink: {link: cloud}", "uplink: {link: cloud}, restart: {first: 50 ms}, files: 64")
)


def as_it_was(data: dict[str, Any]) -> dict[str, Any]:
    """Today's data with the words of format 1."""

    def entry(one: dict[str, Any]) -> dict[str, Any]:
        found = {ENTRY.get(key, key): value for key, value in one.items()}
        for new, old in ENTRY.items():
            if isinstance(found.get("after"), str):
                found["after"] = found["after"].replace(f"{new} ", f"{old} ")
        return found

    top = {"random-faults": "faults", "grace": "settle"}
    out = {top.get(key, key): value for key, value in data.items()} | {"format": 1}
    if out.get("timeline"):
        out["timeline"] = [entry(one) for one in out["timeline"]]
    if "faults" in out:
        out["faults"] = [
            {
                ("do" if k == "actions" else k): ([entry(one) for one in v] if k == "actions" else v)
                for k, v in block.items()
            }
            for block in out["faults"]
        ]
    if "phases" in out:
        out["phases"] = [
            {("converge" if k == "recover-within" else k): v for k, v in block.items()}
            for block in out["phases"]
        ]
    names = {"supervision": "restart", "max-open-files": "files"}
    out["gateways"] = {
        name: {names.get(k, k): v for k, v in block.items()} for name, block in out["gateways"].items()
    }
    if "expect" in out:
        for new, old in ENTRY.items():
            out["expect"] = [one.replace(f" after {new} ", f" after {old} ") for one in out["expect"]]
    return out


@pytest.mark.parametrize("name", library_names())
def test_every_shipped_scenario_means_the_same_in_both_formats(name: str) -> None:
    file = LIBRARY / f"{name}.yaml"
    today = load(file)
    old = as_it_was(today.document.data)
    assert load_data(old, file).scenario == today.scenario
    text = yaml.safe_dump(old, sort_keys=False, width=1000)
    loaded = load_text(text, file)
    assert loaded.scenario == today.scenario
    assert loaded.old_words[0] == "format: 1"


def test_a_file_is_rewritten_with_its_comments_and_its_layout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.yaml").write_text(OLD)
    before = load(tmp_path / "old.yaml")
    assert main(["migrate", "--stdout", str(tmp_path / "old.yaml")]) == 0
    assert capsys.readouterr().out == text_of_today(OLD)[0]
    assert (tmp_path / "old.yaml").read_text() == OLD
    assert main(["migrate", str(tmp_path / "old.yaml")]) == 0
    today = (tmp_path / "old.yaml").read_text()
    assert len(today.splitlines()) == len(OLD.splitlines())
    for words in (
        'grace: "20 s"   # longer than any retry',
        "  # what went wrong that night",
        '"device-fault": presses/1, kind: silent',
        "direction: up",
        '    "set-poll": presses   # as fast as it was',
        '{after: "set-poll presses", fault-component: gw/policy}   # an event of another name',
        "limit-memory: gw",
        "random-faults:",
        "actions: [{cut: cloud, direction: down}, {device-fault: presses/any, kind: silent}]",
        "recover-within: 1 s",
        "after device-fault presses/1",
        "supervision: {first: 50 ms}, max-open-files: 64",
        "format: 2",
    ):
        assert words in today, words
    assert load(tmp_path / "old.yaml").scenario == before.scenario
    capsys.readouterr()
    assert main(["migrate", str(tmp_path / "old.yaml")]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert (tmp_path / "old.yaml").read_text() == today


def test_it_runs_and_says_so(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old.yaml").write_text(OLD)
    result = run(load(tmp_path / "old.yaml"), Options(), host)
    (tmp_path / "new.yaml").write_text(text_of_today(OLD)[0])
    other = run(load(tmp_path / "new.yaml"), Options(), host)
    assert result.data["digest"] == other.data["digest"]
    (said,) = [note for note in result.notes if note not in other.notes]
    words = "restart, files, settle, fault, way, repoll, inject, squeeze, faults, do, converge"
    assert said == f"it is of format 1 ({words} have other names today): twinloop migrate rewrites it"
    assert main(["check", str(tmp_path / "old.yaml")]) == 0
    assert "format 1" in capsys.readouterr().err
    assert main(["check", "--strict", str(tmp_path / "old.yaml")]) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            OLD.replace("kind: silent, for: 1 s", "kind: slient, for: 1 s"),
            'old.yaml:{line}: $.timeline[0].kind: unknown fault "slient"',
        ),
        (
            TINY.replace("expect:", "faults: []\nexpect:"),
            'unknown key "faults", which is "random-faults" since format 2',
        ),
        (TINY.replace("format: 2", "format: 3"), "$.format"),
        (
            TINY.replace("format: 2", "format: 1").replace("expect:", "settle: 2 s\nexpect:"),
            "$.grace: duplicate key, first given in line 5",
        ),
    ],
)
def test_a_mistake_is_named_at_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (tmp_path / "old.yaml").write_text(text)
    assert main(["check", str(tmp_path / "old.yaml")]) == 3
    line = next((i + 1 for i, one in enumerate(text.splitlines()) if "slient" in one), 0)
    assert said.replace("{line}", str(line)) in capsys.readouterr().err


def test_of_data_with_both_names_of_a_key_the_old_one_is_refused() -> None:
    data = load_text(TINY).document.data | {"format": 1, "settle": "2 s"}
    with pytest.raises(ScenarioError, match='"settle", which is "grace" since format 2'):
        load_data(data, Path("both.yaml"))


def test_what_an_alias_repeats_is_replaced_once(tmp_path: Path) -> None:
    entries = "timeline:\n  - &silent {at: 1 s, fault: presses/1, kind: silent, for: 1 s}\n  - *silent\n"
    text = TINY.replace("format: 2", "format: 1").replace("expect:", f"{entries}expect:")
    today, words = text_of_today(text)
    assert entries.replace("fault:", "device-fault:") in today
    assert words == ["fault"]
    assert load_text(text).scenario == load_text(today).scenario


def test_a_file_that_cannot_be_written_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.EACCES, "Permission denied")

    (tmp_path / "old.yaml").write_text(OLD)
    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["migrate", str(tmp_path / "old.yaml")]) == 3
    assert "old.yaml: cannot be written: Permission denied" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["old.yaml"]
    assert (tmp_path / "old.yaml").read_text() == OLD

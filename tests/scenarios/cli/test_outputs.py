"""Files that commands write: each its own, none a scenario; what an earlier run left there doesn't stand in for
one that has no result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scenarios.cli.test_cli import TINY
from twinloop.scenarios.cli.main import main

OLD = "of an earlier run"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(TINY, encoding="utf-8")
    Path("bad.yaml").write_text(TINY.replace("press-sensor", "pres-sensor"), encoding="utf-8")
    for name in ("c", "h", "o", "j", "x"):
        Path(name).write_text(OLD)


@pytest.mark.parametrize(
    "command",
    [
        ["run", "s.yaml", "--pcap", "s.yaml"],
        ["run", "s.yaml", "--html", "./s.yaml"],
        ["run", "s.yaml", "--json", "s.yaml"],
        ["run", "s.yaml", "--junit", "link.yaml"],
        ["run", "s.yaml", "--seeds", "1..2", "--html", "s.yaml"],
        ["sweep", "s.yaml", "--vary", "seed=[1, 2]", "--html", "s.yaml"],
        ["size", "s.yaml", "--vary", "seed", "--from", "1", "--to", "2", "--html", "s.yaml"],
        ["merge", "s.yaml", "--html", "s.yaml"],
        ["diff", "s.yaml", "bad.yaml", "--html", "s.yaml"],
    ],
)
def test_no_output_overwrites_what_is_read(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("link.yaml").symlink_to("s.yaml")
    assert main(command) == 3
    assert "which it would overwrite" in capsys.readouterr().err
    assert Path("s.yaml").read_text() == TINY


def test_nor_what_a_scenario_names(capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.yaml").write_text(TINY.replace("route.wasm", "mine.wasm"), encoding="utf-8")
    Path("mine.wasm").write_text(OLD)
    for flags in (["--pcap", "mine.wasm"], ["--seeds", "1..2", "--html", "./mine.wasm"]):
        assert main(["run", "s.yaml", *flags]) == 3
        assert "a file that the scenario s.yaml names" in capsys.readouterr().err
    assert main(["sweep", "s.yaml", "--vary", "seed=[1, 2]", "--csv", "mine.wasm"]) == 3
    assert Path("mine.wasm").read_text() == OLD


@pytest.mark.parametrize(
    "flags",
    [["--pcap", "c", "--json", "./c"], ["--html", "c", "--junit", "c"], ["--pcap", "n", "--html", "n"]],
)
def test_two_outputs_are_two_files(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "s.yaml", *flags]) == 3
    assert "it is the file of --" in capsys.readouterr().err
    assert Path("c").read_text() == OLD
    assert not Path("n").exists()


@pytest.mark.parametrize("flag", ["--pcap", "--html", "--perfetto"])
def test_stdout_is_for_json(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "s.yaml", flag, "-"]) == 3
    assert "- (stdout) is for --json alone" in capsys.readouterr().err
    assert not Path("-").exists()


def test_what_has_no_result_has_no_older_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "bad.yaml", "--pcap", "c", "--html", "h", "--json", "j", "--junit", "x"]) == 3
    assert not Path("c").exists()
    assert not Path("h").exists()
    assert json.loads(Path("j").read_text())["results"][0]["code"] == 3
    assert "pres-sensor" in Path("x").read_text()


def test_a_name_that_nothing_has_leaves_no_older_capture() -> None:
    assert main(["run", "s.yaml", "--pcap", "c", "--pcap-of", "nobody"]) == 3
    assert not Path("c").exists()


def test_flags_that_do_not_go_together_are_in_the_reports() -> None:
    assert main(["run", "s.yaml", "--check", "--pcap", "c", "--json", "j"]) == 3
    assert "a capture shows one run" in json.loads(Path("j").read_text())["results"][0]["error"]
    assert main(["run", "nonesuch", "--watch", "--json", "j"]) == 3
    assert "nonesuch" in Path("j").read_text()


@pytest.mark.parametrize("flags", [["--seeds", "1..2"], []])
def test_what_is_captured_goes_with_a_capture(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "s.yaml", *flags, "--pcap-of", "gw"]) == 3
    assert "it goes with --pcap FILE" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full")
def test_a_page_that_cannot_be_written_costs_no_other_report() -> None:
    assert main(["run", "s.yaml", "--html", "/dev/full", "--json", "j", "--junit", "x"]) == 71
    assert json.loads(Path("j").read_text())["results"][0]["verdict"] == "PASS"
    assert "testsuite" in Path("x").read_text()


@pytest.mark.parametrize(
    ("right", "wrong"), [("fleets:", "fleet:"), ("format: 2", "fromat: 2"), ("gateways:", "gateway:")]
)
def test_a_scenario_with_a_misspelt_key_drops_out_of_no_gate(right: str, wrong: str) -> None:
    Path("f").mkdir()
    Path("f/a.yaml").write_text(TINY, encoding="utf-8")
    assert right in TINY
    Path("f/b.yaml").write_text(TINY.replace(f"{right}", wrong, 1), encoding="utf-8")
    Path("f/other.yaml").write_text("format: 1\nservices: {}\n", encoding="utf-8")
    assert main(["run", "f", "--json", "j"]) == 3
    told = json.loads(Path("j").read_text())["results"]
    assert [Path(one["file"]).name for one in told] == ["a.yaml", "b.yaml"]
    assert [one["code"] for one in told] == [0, 3]


LONG = "é" * 200
"""400 bytes: more than file systems take"""


@pytest.mark.parametrize(
    "command",
    [
        *(["run", "s.yaml", flag, LONG] for flag in ("--json", "--html", "--junit", "--out", "--pcap")),
        *(["run", "s.yaml", flag, f"{LONG}/x"] for flag in ("--perfetto", "--otlp", "--json", "--out")),
        *(["run", "s.yaml", "--seeds", "1..2", flag, LONG] for flag in ("--json", "--html", "--junit")),
        *(["sweep", "s.yaml", "--vary", "seed=[1, 2]", flag, LONG] for flag in ("--csv", "--json", "--html")),
        ["diff", "s.yaml", "s.yaml", "--html", LONG],
        ["run", LONG],
        ["run", LONG, "--json", "n"],
        ["run", f"{LONG}/s.yaml"],
        ["check", LONG],
        ["serve", LONG],
        ["serve", "s.yaml", "--map", f"{LONG}/x"],
        ["attach", LONG, "--device", "presses/1=tcp://127.0.0.1:502"],
        ["attach", "s.yaml", "--map", LONG],
        ["merge", LONG],
        ["diff", LONG, f"{LONG},{LONG}"],
        ["sweep", LONG, "--vary", "seed=[1, 2]"],
        ["size", LONG, "--vary", "seed", "--from", "1", "--to", "2"],
        ["fit", LONG],
        ["migrate", LONG],
        ["tui", LONG],
        ["tui", "s.yaml", "--screenshot", LONG],
        ["components", "inspect", LONG],
        ["registry", "list", LONG],
    ],
)
def test_a_name_that_no_file_can_have_is_told(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 3
    said = capsys.readouterr().err
    assert LONG in said.replace("\n", "") or "é" * 40 in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("components:\n", "components:\n  x: {wasm: NAME}\n"),
        ("components:\n", "components:\n  x: {rego: NAME}\n"),
        ("components:\n", "registry: {path: NAME, trust: [NAME]}\ncomponents:\n"),
        (
            "components:\n",
            "components:\n  x: {wasm: route.wasm, grants: [{'wasi:filesystem': {/d: {read-only: true, quota: 1 MiB, from: NAME}}}]}\n",
        ),
        ("press-sensor", '"recording/NAME"'),
        ("press-sensor", '"nodeset/NAME"'),
        ("press-sensor", '"model/NAME"'),
    ],
)
def test_nor_does_one_in_a_scenario_break_it(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = TINY.replace(old, new.replace("NAME", LONG), 1)
    Path("s.yaml").write_text(text.replace("policy: route", "policy: x") if " x: " in new else text)
    assert main(["run", "s.yaml"]) == 3
    said = capsys.readouterr().err
    assert "é" * 40 in said
    assert "Traceback" not in said

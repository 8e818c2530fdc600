"""docs/datasheet.md: its commands are typed into a shell in an empty folder, its examples pass, and it names
the clients that tests/foreign lets loose on them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml

import twinloop
from tests.steady import steady
from twinloop.scenarios.file.datasheet.blocks import ModelFile, PointBlock
from twinloop.scenarios.file.datasheet.reading import read_model

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "datasheet.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS_MAX = 10
DURATION = "duration: 5 s\n"
PATIENT = "pace: {tolerance: 30 s}  # no test depends on how fast this machine is\n"
NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
POINTS = 38
PHRASES = [
    given
    for row in PAGE.split("\n## What a datasheet says\n")[1]
    .split("\n## ")[0]
    .split("\n|---|---|\n")[1]
    .splitlines()
    if row.startswith("|")
    for given in re.findall(r"`([a-z-]+: [^`]+)`", row.split("|")[2])
]
"""what a model file says for a datasheet's phrases"""
FILE = {
    "format": 1,
    "title": "t",
    "source": "s",
    "step": "1 s",
    "points": {"p": {"address": 1, "type": "u16"}},
}


def files() -> dict[str, str]:
    """All files that the page gives: those of its commands, and whole blocks."""
    typed = re.findall(r"^cat > (\S+) <<'EOF'\n(.*?)^EOF$", PAGE, re.MULTILINE | re.DOTALL)
    shown = re.findall(r"^```yaml\n# (\S+\.yaml)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return dict([*typed, *shown])


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def typed(commands: list[str]) -> str:
    """What a user types, each command once the one before it is through; one that goes to the background is
    through when it has written its map. What is left in the background when a command fails, ends with it."""
    out = ["set -e", "trap 'jobs -p | xargs -r kill' EXIT"]
    for command in commands:
        out += [f"echo '--- {len(out)}'", command.replace(DURATION, f"{DURATION}{PATIENT}").rstrip("\n")]
        if command.rstrip().endswith("&"):
            out.append("until grep -q '^}' devices.json 2>/dev/null; do kill -0 $!; sleep 0.05; done")
    return "\n".join([*out, "wait $!", ""])


@steady
def test_from_an_empty_folder_and_the_page_alone_to_two_verdicts(tmp_path: Path) -> None:
    """Described, served, polled and judged."""
    assert len(COMMANDS) <= COMMANDS_MAX
    assert f"in {NUMBERS[len(COMMANDS)]} commands\n" in PAGE
    port = free_port()
    script = typed(COMMANDS).replace("5020", str(port))
    assert script.count(PATIENT) == 1
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^(PASS|FAIL|INVALID|UNSURE|NO-DATA)", done.stdout, re.MULTILINE) == ["PASS", "PASS"]
    assert f"meters/1  tcp://127.0.0.1:{port}/5" in done.stdout
    volts = re.search(r"^\[(\d+\.\d+), (\d+\.\d+), (\d+\.\d+)\]$", done.stdout, re.MULTILINE)
    assert volts, done.stdout
    assert all(220 < float(one) < 240 for one in volts.groups())


@pytest.mark.parametrize("given", PHRASES)
def test_a_phrase_is_what_a_model_file_takes(given: str) -> None:
    said = yaml.safe_load(f"{{{given}}}")
    file = {key: one for key, one in said.items() if key != "unit" or isinstance(one, int)}
    whole = {field.alias or name for name, field in ModelFile.model_fields.items()}
    if set(file) <= whole:
        ModelFile.model_validate({**FILE, **file})
    else:
        PointBlock.model_validate({"address": 0, **said})


def test_there_are_phrases() -> None:
    assert len(PHRASES) >= 20


def test_40001_is_the_first_register() -> None:
    """Either way in which the page writes it."""
    for from_ in (0, 1):
        point = {"table": "holding", "address": from_, "type": "u16"}
        text = yaml.safe_dump({**FILE, "addresses-from": from_, "points": {"p": point}})
        assert read_model(text, Path("x"), "x").points[0].address == 0


def test_the_meter_has_the_points_that_the_page_counts() -> None:
    text = files()["model/meter.yaml"]
    model = read_model(text, Path("model/meter.yaml"), "model/meter.yaml")
    assert len(model.points) == POINTS
    assert sum(point.table == "input" and point.type == "f32" for point in model.points) == 34
    assert model.profile.unit == 5


def test_the_other_two_pass_together(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    result = twinloop.run(twinloop.load(tmp_path / "house.yaml"))
    assert result.verdict is twinloop.Verdict.PASS, [(one.expectation.text, one.why) for one in result.judged]
    bridged = twinloop.load(tmp_path / "house.yaml").changed({"components": {"line-driver": {"with": {}}}})
    refused = twinloop.run(
        bridged.changed({"components": {"line-driver": {"with": {"gap": "8"}}}}, duration="2 s")
    )
    assert refused.verdict is twinloop.Verdict.FAIL
    assert refused.data["ledger"]["missed"] == {"rejected": 5}, "of the first polls; then it has learned"


def test_the_page_names_the_clients_and_their_versions() -> None:
    clients = tomllib.loads((ROOT / "tests" / "foreign" / "clients.toml").read_text())
    told = dict(re.findall(r"^\| `([\w-]+)` ([\d.]+) \|", PAGE, re.MULTILINE))
    for name, client in clients.items():
        if client["example"] != "none":
            assert told[name] == client["version"]
    node = json.loads((ROOT / "tests" / "foreign" / "package.json").read_text())["dependencies"]
    assert node == {name: one["version"] for name, one in clients.items() if one["from"] == "npm"}

"""Who waits for what can't happen before the run's end is told so beforehand; who waits for what happens
isn't."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.cli.test_cli import TINY
from twinloop.components.host.host import Host
from twinloop.scenarios.checking import foreseen
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.planning.plan import Planner

PHASES = "phases:\n  - {name: calm, for: 2 s}\n  - {name: after, for: 3 s, recover-within: 1 s}\n"


def told(host: Host, awaited: str, *entries: str, more: str = "") -> list[str]:
    blocks = "".join(f"  - {{{entry}}}\n" for entry in entries)
    text = TINY.replace(
        "expect:\n", f"{more}timeline:\n{blocks}expect:\n  - backlog == 0 within 1 s after {awaited}\n"
    )
    loaded = load_text(text, Path("t.yaml"))
    return foreseen(loaded, Planner(loaded, host).world())


CAN_NOT = {
    "trouble that outlasts the run": (
        "heal cloud",
        "can't happen before 21 s",
        "at: 1 s, cut: cloud, for: 20 s",
    ),
    "of two that overlap the later end": (
        "heal cloud",
        "before 20 s",
        "at: 1 s, cut: cloud, for: 2 s",
        "at: 2 s, degrade: cloud, to: {loss: 2 %}, for: 18 s",
    ),
    "one without an end": (
        "heal cloud",
        "doesn't happen",
        "at: 1 s, cut: cloud, for: 5 s",
        "at: 2 s, cut: cloud",
    ),
    "a boot": ("restart gw", "before 31 s", "at: 1 s, crash: gw, for: 30 s"),
    "an entry that waits": (
        "cut cloud",
        "before 16.5 s",
        "at: 14 s, cut: plant, for: 500 ms",
        "after: heal plant + 2 s, cut: cloud, for: 1 s",
    ),
    "what follows from it": (
        "heal cloud",
        "before 15.5 s",
        "at: 14 s, cut: plant, for: 500 ms",
        "after: heal plant, cut: cloud, for: 1 s",
    ),
    "a chain": (
        "heal cloud",
        "doesn't happen",
        "at: 1 s, cut: plant",
        "at: 1 s, write: presses/any, point: setpoint, value: 1",
        "after: write presses/1 + 2 s, cut: cloud, for: 1 s",
    ),
}


@pytest.mark.parametrize("name", CAN_NOT)
def test_what_can_not_happen_is_foreseen(name: str, host: Host) -> None:
    awaited, text, *entries = CAN_NOT[name]
    found = [
        one
        for one in told(host, awaited, *entries)
        if one.startswith(f"expectation backlog == 0 within 1 s after {awaited}: ")
    ]
    assert len(found) == 1
    assert text in found[0]
    assert "seed 7" in found[0] or "ends at 15 s at the latest" in found[0]


CAN = {
    "in the grace": ("heal cloud", "", "at: 1 s, cut: cloud, for: 14 s"),
    "the first of two ends": (
        "heal cloud",
        "",
        "at: 1 s, cut: cloud, for: 1 s",
        "at: 4 s, cut: cloud, for: 50 s",
    ),
    "a phase that must recover": ("heal cloud", PHASES, "at: 1 s, cut: cloud, for: 90 s"),
    "the same without an end": ("restart gw", PHASES, "at: 1 s, crash: gw"),
    "a phase": ("phase after", PHASES, "at: 1 s, cut: cloud"),
    "a restart in between": ("restart gw", "", "at: 1 s, crash: gw", "at: 3 s, restart: gw"),
    "a reaction": (
        "heal plant",
        "",
        "at: 1 s, cut: cloud, for: 1 s",
        "after: heal cloud, cut: plant, for: 2 s",
        "at: 1 s, cut: plant",
    ),
}


@pytest.mark.parametrize("name", CAN)
def test_what_can_happen_is_not_told_of(name: str, host: Host) -> None:
    awaited, more, *entries = CAN[name]
    assert told(host, awaited, *entries, more=more) == []


def test_an_entry_that_waits_in_vain_is_told_of_too(host: Host) -> None:
    found = told(
        host,
        "cut cloud",
        "at: 1 s, cut: cloud, for: 90 s",
        "after: heal cloud + 1 s, write: presses/1, point: setpoint, value: 1",
    )
    assert found == [
        'write presses/1 after heal cloud: "heal cloud" can\'t happen before 91 s, and the run, its grace included, ends at 15 s at the latest'
    ]


def test_check_warns_and_a_run_has_foreseen_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        TINY.replace(
            "expect:\n",
            "timeline:\n  - {at: 2 s, cut: cloud, for: 90 s}\nexpect:\n  - backlog == 0 within 10 s after heal cloud\n",
        )
    )
    text = 'expectation backlog == 0 within 10 s after heal cloud: "heal cloud" can\'t happen before 92 s'
    assert main(["check", str(file)]) == 0
    assert f"warning: {file}: {text}" in capsys.readouterr().err
    assert main(["check", "--strict", str(file)]) == 1
    main(["run", str(file)])
    assert f"foreseen: {text}" in " ".join(capsys.readouterr().out.split())

"""``twinloop tui --web`` on the command line: what goes with it, and what this machine may lack."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from twinloop.scenarios.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "8001"], "--port: goes with --web"),
        (["--bind", "::1"], "--bind: goes with --web"),
        (["--sessions", "2"], "--sessions: goes with --web"),
        (["--web", "--screenshot", "x.svg"], "--screenshot: doesn't go with --web"),
        (["--web", "--at", "3 s"], "--at: doesn't go with --web"),
        (["--web", "--screen", "fleet"], "--screen: doesn't go with --web"),
        (["--web", "--size", "80x24"], "--size: doesn't go with --web"),
        (["--web", "--port", "65536"], 'argument --port: expected a number from 0 to 65535, got "65536"'),
        (["--web", "--port", "-1"], "--port"),
        (["--web", "--sessions", "0"], 'argument --sessions: expected a number from 1 to 64, got "0"'),
        (["--web", "--sessions", "65"], 'argument --sessions: expected a number from 1 to 64, got "65"'),
        (
            ["--web", "--bind", "gateway.example"],
            'argument --bind: expected an IP address of this machine or localhost, got "gateway.example"',
        ),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tui", "quickstart", *arguments]) == 3
    assert told in capsys.readouterr().err


def test_it_needs_a_scenario_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tui", "--web"]) == 3
    assert "--web: needs a scenario" in capsys.readouterr().err
    assert main(["tui", str(tmp_path / "none.yaml"), "--web"]) == 3
    assert "none.yaml: no such scenario file" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "textual_serve" else real(name, *more),
    )
    assert main(["tui", "quickstart", "--web"]) == 71
    assert "--web needs textual-serve, which isn't installed: python -m pip install 'twinloop[web]'" in (
        capsys.readouterr().err
    )

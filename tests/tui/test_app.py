"""The terminal: keys, panes at two sizes, trouble by hand, a wrong scenario, a dead engine. The engine is a process of its own here."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from components.host import Host
from scenarios.load import library_names
from tests.tui.test_engine import SCENARIO, engine, go, view
from tui.app import PANES, Twinloop
from tui.chooser import Chooser
from tui.command import command
from tui.feed import Feed
from tui.fleet_table import FleetTable
from tui.messages import Do, Look, Pause, Play, Refused, Rewind, RunTo, RunUntil, Save, StepEvent
from tui.screens import device, gateway, latency, overview, trouble
from tui.text import clock_text, curve, fit, sparkline

WAIT_S = 60.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "seen.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


async def until(pilot: Any, holds: Callable[[], bool]) -> None:
    """Wait for something that the engine brings about."""
    ends = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < ends, "it didn't come about"
        await pilot.pause(0.05)


def with_app(file: Path, body: Callable[[Twinloop, Any], Awaitable[None]], size: tuple[int, int] = (100, 30)) -> None:
    async def all_of_it() -> None:
        app = Twinloop(file)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.view is not None or bool(app.problem))
            await body(app, pilot)
        assert not app.feed.alive, "the engine ends with the screen"

    asyncio.run(all_of_it())


def test_every_key_sends_what_it_says(file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        sent: list[Any] = []
        real = app.feed.send
        app.feed.send = lambda message: real(message) if isinstance(message, Look) else sent.append(message)  # type: ignore[method-assign]
        for key, kind in (("space", Play), ("full_stop", StepEvent), ("s", RunTo), ("f", Play), ("b", Rewind), ("0", Rewind)):
            await pilot.press(key)
            assert isinstance(sent[-1], kind), key
        assert sent[3].speed is None
        before = app._speed
        await pilot.press("plus", "plus", "minus")
        assert app._speed == before + 1
        assert app.view is not None
        app.view = replace(app.view, mode="playing")
        await pilot.press("space")
        assert isinstance(sent[-1], Pause)
        await pilot.press("n", "enter")
        assert sent[-1] == RunUntil("trouble")
        await pilot.press("i", *"cut", "colon", "space", *"cloud", "enter")
        assert sent[-1] == Do({"cut": "cloud"})
        await pilot.press("w", "enter")
        assert sent[-1] == Save(str(file.with_name("seen-live.yaml")))
        for i, name in enumerate(PANES[:6], 1):
            await pilot.press(str(i))
            assert app.shown == name
        await pilot.press("question_mark")
        assert app.shown == "help"
        await pilot.press("2", "down", "down", "enter")
        assert (app.shown, app.device) == ("device", 2)
        await pilot.press("right", "down", "left")
        assert app.point == 1
        await pilot.press("slash", *"tank", "enter")
        assert [app.plan.devices[i].name for i in app.query_one(FleetTable).chosen()] == ["tanks/1"]  # type: ignore[union-attr]
        theme = app.theme
        await pilot.press("o", "d")
        assert app.theme != theme
        await pilot.press("i", "escape")
        assert app.query_one("#ask", Input).has_class("hidden")
        await pilot.press("i", "left_square_bracket", "enter")
        assert app._said[1] == "red"

    with_app(file, body)


def test_trouble_by_hand_is_seen_in_the_ledger_and_in_the_log_and_saved(file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        await pilot.press("s")
        await until(pilot, lambda: app.view is not None and app.view.snapshot.now_ns >= 900_000_000 and app.view.mode == "paused")
        await pilot.press("i", *"cut", "colon", "space", *"plant", "comma", "space", *"for", "colon", "space", "4", "space", "s", "enter")
        await until(pilot, lambda: app._said[0].startswith("cut plant at "))
        await pilot.press("f")
        await until(pilot, lambda: app.view is not None and app.view.mode == "over")
        assert app.view is not None
        missed = sum(count for state, _, count in app.view.snapshot.ends if state == "missed")
        assert missed > 0
        assert any(line.kind == "link" and line.text == "plant cut" for line in app.log_lines)
        await pilot.press("w", "enter")
        await until(pilot, lambda: "1 live commands" in app._said[0])

    with_app(file, body)
    saved = file.with_name("seen-live.yaml")
    assert "cut: plant" in saved.read_text(encoding="utf-8")


def test_a_wrong_scenario_is_a_clear_screen_and_a_key_reads_its_correction(file: Path) -> None:
    file.write_text(SCENARIO.replace("raspberry-pi-4", "raspbery-pi-4"), encoding="utf-8")

    async def body(app: Twinloop, pilot: Any) -> None:
        assert "seen.yaml:" in app.problem
        assert 'did you mean "raspberry-pi-4"' in app.problem
        file.write_text(SCENARIO, encoding="utf-8")
        await pilot.press("r")
        await until(pilot, lambda: app.view is not None)
        assert app.problem == ""

    with_app(file, body)


def test_a_dead_engine_is_said(file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        app.feed._process.kill()
        await until(pilot, lambda: bool(app.problem))
        assert "the engine's process ended with code -9" in app.problem

    with_app(file, body)


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
def test_panes_hold_their_size_and_cut_no_label(host: Host, file: Path, size: tuple[int, int]) -> None:
    """Pure functions of a view: no line is too long, heads are whole, and figures are those of the snapshot."""
    one = engine(host, file)
    for at_ns in (0, 7_000_000_000, 10_000_000_000):
        one.handle(RunTo(at_ns))
        go(one)
        seen, width, height = view(one, 1), size[0] - 2, size[1] - 4
        shown = {
            "overview": overview.lines(one.plan, seen, width, height), "gateway": gateway.lines(one.plan, seen, width, height),
            "latency": latency.lines(one.plan, seen, width, height), "trouble": trouble.lines(one.plan, seen, width, height),
            "device": device.lines(one.plan, seen, width, height, 1, 0),
        }  # fmt: skip
        for name, lines in shown.items():
            assert 0 < len(lines) <= height, name
            for line in lines:
                assert line.cell_len <= width, (name, line.plain)
            for line in lines:
                assert "…" not in line.plain or str(line.style) != "bold", (name, line.plain)
        text = "\n".join(line.plain for line in shown["overview"])
        assert f"{seen.snapshot.due} due" in text
        assert ("cloud ✗" in text) is (at_ns == 7_000_000_000)
    one.world.close()


def test_figures_are_those_of_the_json_at_the_same_instant(host: Host, file: Path, tmp_path: Path) -> None:
    one = engine(host, file)
    one.handle(RunTo(1 << 62))
    go(one)
    seen = view(one)
    done = subprocess.run([sys.executable, "-m", "scenarios.cli.main", "run", str(file), "--json", str(tmp_path / "r.json")], capture_output=True, check=True)
    assert done.returncode == 0
    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    text = "\n".join(line.plain for line in overview.lines(one.plan, seen, 120, 40))
    assert f"{result['ledger']['due']} due  0 open  {result['ledger']['delivered']} delivered" in text
    ranks = dict(seen.snapshot.latency)
    for name in ("gateway", "cloud"):
        assert ranks[name] == tuple(result["latency"][name][rank] for rank in ("p50_ns", "p95_ns", "p99_ns"))
    assert {one.component: one.fuel for one in seen.instances} == {name: figures["fuel"] for name, figures in result["gateways"]["gw"]["components"].items()}
    one.world.close()


def test_the_feed_ends_its_process_and_says_what_is_wrong(file: Path, tmp_path: Path) -> None:
    feed = Feed(tmp_path / "none.yaml", None)
    ends, said = time.monotonic() + WAIT_S, []
    while not said and time.monotonic() < ends:
        said = feed.take()
    assert isinstance(said[0], Refused)
    assert "no such file" in said[0].text
    feed.close()
    assert not feed.alive


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["a", "b"], "unrecognized arguments: b"), (["quickstrat"], 'did you mean "quickstart"'), (["none.yaml"], "no such scenario"),
        (["--seed", "x", "quickstart"], "--seed"), (["--sed"], "unrecognized arguments: --sed"),
    ):  # fmt: skip
        assert command(arguments) == 3
        assert message in capsys.readouterr().err
    assert command(["--help"]) == 0


def test_words_bars_and_curves() -> None:
    assert clock_text(3_723_456_000_000) == "1:02:03.456"
    assert fit("abcdef", 4) == "abc…"
    assert sparkline([0.0, 1.0], 4) == "  ▁█"
    assert curve([0.0, 1.0, float("nan")], 3, 2) == [" █ ", "▁█ "]
    assert curve([], 3, 2) == ["   ", "   "]


def test_a_run_imports_no_textual() -> None:
    code = "import scenarios.runner, scenarios.cli.run, sys; sys.exit(any(name.startswith('textual') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_picture_without_a_terminal(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At an instant; what is drawn is what the engine says of that instant."""
    for screen in ("overview", "device"):
        target = tmp_path / f"{screen}.svg"
        assert command([str(file), "--screenshot", str(target), "--at", "7s", "--screen", screen, "--size", "100x30"]) == 0
        drawn = target.read_text(encoding="utf-8").replace("&#160;", " ")
        assert drawn.startswith("<svg")
        assert "0:00:0" in drawn
        assert {"overview": "cloud ✗", "device": "presses/1"}[screen] in drawn
    for arguments, message in (
        (["--screenshot", str(tmp_path / "no" / "x.svg")], "no such folder"), (["--screenshot", "x.svg", "--at", "soon"], "--at"),
        (["--screenshot", "x.svg", "--screen", "all"], "unknown screen"), (["--screenshot", "x.svg", "--size", "9x9"], "--size"),
        (["--at", "7s"], "goes with --screenshot"),
    ):  # fmt: skip
        assert command([str(file), *arguments]) == 3
        assert message in capsys.readouterr().err
    file.write_text("format: 2\n", encoding="utf-8")
    assert command([str(file), "--screenshot", str(tmp_path / "x.svg")]) == 3
    assert "seen.yaml" in capsys.readouterr().err


def test_without_a_scenario_the_library_is_there_to_choose_from() -> None:
    from textual.widgets import OptionList

    async def body() -> None:
        app = Chooser()
        async with app.run_test(size=(80, 24)) as pilot:
            assert app.query_one(OptionList).option_count == len(library_names())
            await pilot.press("down", "enter")
        assert app.return_value == library_names()[1]

    asyncio.run(body())

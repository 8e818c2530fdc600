"""The terminal: keys, the mouse, panes, trouble by a form, a wrong scenario, a dead engine. Most with an
engine in this process, some with the real one."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding
from textual.widgets import Input, OptionList, Static

from tests.tui.scene import SCENARIO, Inline, S, engine, go, inline, text_of, until, view, with_app
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load
from twinloop.scenarios.planning.plan import Planner
from twinloop.sim.world import World
from twinloop.tui.command import command
from twinloop.tui.drawing.pane import Pane
from twinloop.tui.engine.messages import Do, Pause, Play, Rewind, RunTo, RunUntil, Save, StepEvent
from twinloop.tui.screens.finding.log_kinds import LogKinds
from twinloop.tui.screens.finding.search_box import SearchBox
from twinloop.tui.screens.fleet_table import FleetTable
from twinloop.tui.screens.forms.favourite_list import FavouriteList
from twinloop.tui.screens.forms.kind_chooser import KindChooser
from twinloop.tui.screens.forms.trouble_form import TroubleForm
from twinloop.tui.terminal.app import Twinloop
from twinloop.tui.terminal.keys import PANES
from twinloop.tui.terminal.pace import FASTEST_S, SLOWEST_S


def sent(app: Twinloop) -> list[Any]:
    """Commands so far."""
    assert isinstance(app.feed, Inline)
    return app.feed.sent


def test_every_key_does_what_it_says(host: Host, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And none is there that isn't tried here."""

    async def body(app: Twinloop, pilot: Any) -> None:
        done: list[str] = []

        async def press(*keys: str) -> Any:
            done.extend(keys)
            await pilot.press(*keys)
            return sent(app)[-1] if sent(app) else None

        async def typed(text: str) -> Any:
            app.base.query_one("#ask", Input).value = text
            return await press("enter")

        assert await press("space") == Play(app_speed(app))
        await until(pilot, lambda: app.view is not None and app.view.mode == "playing")
        assert await press("space") == Pause()
        await until(pilot, lambda: app.view is not None and app.view.mode == "paused")
        assert await press("full_stop") == StepEvent()
        assert isinstance(await press("s"), RunTo)
        before = app._speed
        await press("plus", "equals_sign", "minus")
        assert app._speed == before + 1
        assert await press("f") == Play(None)
        assert isinstance(await press("b"), Rewind)
        assert await press("0") == Rewind(0)
        await until(
            pilot, lambda: app.view is not None and app.view.rewind.count == 2 and app.view.mode == "paused"
        )
        view_now = app.view
        assert view_now is not None
        for mode in ("rewinding", "playing"):
            app.view = replace(view_now, mode=mode)
            app.action_play()
            assert sent(app)[-1] == Pause(), mode
        await press("g")
        assert await typed("3 s") == RunTo(3 * S)
        await until(pilot, lambda: app.view is not None and app.view.snapshot.now_ns > 2 * S)
        await press("g")
        assert await typed("1 s") == Rewind(1 * S)
        await press("u")
        assert app.prompt.said[0] == "nothing was done by hand yet"
        await press("left_square_bracket")
        assert app.prompt.said[0] == "nothing is on the timeline before this instant"
        assert await press("right_square_bracket") == RunTo(6 * S)
        await until(pilot, lambda: app.view is not None and app.view.snapshot.now_ns > 5 * S)
        await press("g")
        await typed("soon")
        assert app.prompt.said[1] == "red"
        await press("escape")
        await press("n")
        assert isinstance(app.screen, KindChooser)
        assert await press("down", "enter") == RunUntil("link")
        await press("i")
        assert isinstance(app.screen, TroubleForm)
        await press("escape")
        assert app.screen is app.base
        await press("colon")
        assert await typed("cut: cloud") == Do({"cut": "cloud"})
        await press("colon")
        await typed("[")
        assert app.prompt.said[1] == "red"
        await press("escape")
        await press("w")
        assert await press("enter") == Save(str(file.with_name("seen-live.yaml")))
        for i, name in enumerate(PANES[:7], 1):
            await press(str(i))
            assert app.shown == name
        await press("question_mark")
        assert app.shown == "help"
        await press("end")
        assert "quit, with a report" in text_of(app)
        await press("home", "down", "up")
        assert app.moved["help"] == 0
        await press("2", "down", "down", "enter")
        assert (app.shown, app.chosen.device) == ("device", 2)
        await press("right", "down", "left", "up", "right")
        assert app.chosen.point == 1
        await press("1", "tab")
        assert app.way.pane == "plant"
        await press("shift+tab")
        assert not app.way.pane
        await press("2", "slash")
        app.base.query_one("#ask", Input).value = "meters/2"
        await until(pilot, lambda: app.base.query_one(FleetTable).chosen() == [5])
        await press("escape")
        assert len(app.base.query_one(FleetTable).chosen()) == 7, "left, and nothing is filtered"
        await press("slash")
        await typed("tank")
        assert [app.plan.devices[i].name for i in app.base.query_one(FleetTable).chosen()] == ["tanks/1"]  # type: ignore[union-attr]
        await press("2", "h", "p")
        assert (app._shows.levels, app.cloud) == ("latency", True)
        await press("pagedown", "pageup", "end")
        assert app.chosen.device == 6
        await press("home", "slash")
        await typed("")
        await press("7", "slash")
        await typed("cloud")
        assert app.reader.wanted == "cloud"
        for key, box in (("k", LogKinds), ("ctrl+f", SearchBox), ("v", FavouriteList)):
            await press(key)
            assert isinstance(app.screen, box)
            await press("escape")
        await press("8")
        assert "c puts one beside this one" in app.prompt.said[0]
        await press("c", "escape")
        assert not app.is_beside
        theme = app.theme
        await press("o", "d")
        assert app.theme != theme
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.delenv("EDITOR", raising=False)
        await press("e")
        assert app.prompt.said[0].startswith("no editor is named: set VISUAL or EDITOR")
        feed = app.feed
        await press("r")
        assert app.feed is not feed
        await until(pilot, lambda: app.view is not None)
        await press("q")
        keys = [
            key
            for binding in Twinloop.BINDINGS
            if isinstance(binding, Binding)
            for key in binding.key.split(",")
        ]
        assert [key for key in keys if key not in done] == []

    app = with_app(file, body, start=inline(host))
    assert "ABORTED" in app.report


def app_speed(app: Twinloop) -> Any:
    from twinloop.tui.terminal.pace import SPEEDS

    return SPEEDS[app._speed]


def test_every_key_is_in_the_command_palette(host: Host, file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        await pilot.pause()
        titles = [one.title for one in app.get_system_commands(app.screen)]
        shown = [
            binding.description
            for binding in Twinloop.BINDINGS
            if isinstance(binding, Binding) and binding.description
        ]
        assert [title for title in shown if title not in titles] == []
        command = next(one for one in app.get_system_commands(app.screen) if one.title == "Step 1 s")
        await command.callback()
        assert isinstance(sent(app)[-1], RunTo)

    with_app(file, body, start=inline(host))


def test_the_mouse(host: Host, file: Path) -> None:
    """A tab, a line of the table, the wheel, the footer."""

    async def body(app: Twinloop, pilot: Any) -> None:
        await pilot.click("#tabs", offset=(15, 0))
        assert app.shown == "fleet"
        await until(pilot, lambda: len(app.base.query_one(FleetTable).seen()) == 7)
        await pilot.click(FleetTable, offset=(5, 3))
        assert app.chosen.device == 2
        table = app.base.query_one(FleetTable)
        table.on_mouse_scroll_down(None)  # type: ignore[arg-type]
        assert app.chosen.device == 5
        table.on_mouse_scroll_up(None)  # type: ignore[arg-type]
        assert app.chosen.device == 2
        for first in (0, 6):  # once, and turned round
            await pilot.click(FleetTable, offset=(40, 0))
            await until(pilot, lambda first=first: table.chosen()[0] == first)  # type: ignore[misc]
            assert table.note.endswith("by age")
        await pilot.press("3")
        await pilot.pause()
        await pilot.click("#points", offset=(5, 5))
        assert app.chosen.point == 2
        await pilot.click("#points", offset=(5, 1))
        assert app.chosen.point == 2, "that line is no point's"
        await pilot.click("FooterKey", offset=(1, 0))
        assert app.shown == "help"

    with_app(file, body, start=inline(host))


def test_trouble_by_the_form_is_seen_in_the_ledger_and_in_the_log_and_saved(host: Host, file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        await pilot.press("s")
        await until(
            pilot,
            lambda: (
                app.view is not None and app.view.snapshot.now_ns >= 900_000_000 and app.view.mode == "paused"
            ),
        )
        await pilot.press("i", "enter")
        form = app.screen
        assert isinstance(form, TroubleForm)
        form.query_one("#target", Input).value = "plant"
        form.query_one("#key-for", Input).value = "4 s"
        await pilot.pause()
        assert form.entry_text() == "cut: plant, for: 4 s"
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is app.base)
        assert app.prompt.said[0].startswith("cut plant at ")
        await pilot.press("f")
        await until(pilot, lambda: app.view is not None and app.view.mode == "over")
        assert app.view is not None
        missed = sum(count for state, _, count in app.view.snapshot.ends if state == "missed")
        assert missed > 0
        assert any(line.kind == "link" and line.text == "plant cut" for line in app.log_lines)
        assert f"{missed} missed" in text_of(app)
        await pilot.press("6")
        await pilot.pause()
        assert "live  cut: plant, for: 4 s" in text_of(app)
        await pilot.press("w", "enter")
        await until(pilot, lambda: "1 live command" in app.prompt.said[0])

    app = with_app(file, body, start=inline(host))
    assert app.view is not None
    again = World(Planner(load(file.with_name("seen-live.yaml")), host).world(), host)
    again.run()
    assert again.trace.digest() == app.view.digest, "what was saved plays the same without anybody"
    again.close()


def test_a_key_goes_back_to_what_a_fresh_run_comes_to(host: Host, file: Path) -> None:
    """To 15 s, and ten back."""

    async def body(app: Twinloop, pilot: Any) -> None:
        async def go_to(text: str) -> None:
            await pilot.press("g")
            app.base.query_one("#ask", Input).value = text
            await pilot.press("enter")
            await until(
                pilot,
                lambda: (
                    app.view is not None and app.view.mode == "paused" and app.view.snapshot.now_ns > 14 * S
                ),
            )

        await go_to("15 s")
        assert [line.text for line in app.log_lines if line.kind == "link"] == ["cloud cut", "cloud heal"]
        assert app.view is not None
        await pilot.press("b")
        await until(
            pilot,
            lambda: (
                app.view is not None
                and app.view.rewind.count == 1
                and app.view.mode == "paused"
                and bool(app.log_lines)
            ),
        )
        seen.append(app.view)
        assert [line.text for line in app.log_lines if line.kind == "link"] == [], (
            "nothing of what lies before it now"
        )

    seen: list[Any] = []
    with_app(file, body, start=inline(host))
    fresh = engine(host, file)
    fresh.handle(RunTo(5 * S))
    go(fresh)
    mine, theirs = seen[0], view(fresh)
    assert (mine.snapshot.now_ns, mine.snapshot.events, mine.snapshot.ends, mine.figures.missed) == (
        theirs.snapshot.now_ns, theirs.snapshot.events, theirs.snapshot.ends, theirs.figures.missed)  # fmt: skip
    fresh.world.close()


def test_the_form_knows_every_verb_and_stays_until_it_can_be_done(host: Host, file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        assert app.plan is not None
        await pilot.press("3", "i")
        form = app.screen
        assert isinstance(form, TroubleForm)
        await pilot.pause()
        assert form.entry_text() == "device-fault: presses/1", "the device that was looked at"
        await pilot.click("#do")
        assert "needs kind" in str(form.query_one("#refusal", Static).render())
        form.query_one("#key-kind", Input).value = "exception"
        await pilot.pause()
        assert [one.id for one in form.query(".key-row") if one.display] == [
            "row-kind",
            "row-share",
            "row-code",
            "row-for",
        ]
        form.query_one("#key-code", Input).value = "777"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "777" in str(form.query_one("#refusal", Static).render()))
        assert app.screen is form
        form.query_one("#key-code", Input).value = "4"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.screen is app.base)
        assert sent(app)[-1] == Do({"device-fault": "presses/1", "kind": "exception", "code": 4})
        await pilot.press("i")
        form = app.screen
        assert isinstance(form, TroubleForm)
        await until(pilot, lambda: form.query_one("#verbs", OptionList).has_focus)
        verbs = form.query_one("#verbs", OptionList)
        assert [str(option.prompt) for option in verbs.options] == [one.name for one in app.plan.verbs]
        for number, verb in enumerate(app.plan.verbs):
            verbs.highlighted = number
            keys = [f"key-{key.name}" for key in verb.keys]

            def chosen(name: str = verb.name, keys: list[str] = keys) -> bool:
                return (
                    form.entry_text().startswith(f"{name}: ")
                    and [one.id for one in form.query(".key").results(Input)] == keys
                )

            await until(pilot, chosen)
        form.query_one("#target", Input).value = "tank"
        await pilot.pause()
        assert [str(option.prompt) for option in form.query_one("#targets", OptionList).options] == [
            "tanks/1"
        ]
        await pilot.click("#leave")
        assert app.screen is app.base

    with_app(file, body, start=inline(host))


def test_redraws_adapt_to_what_drawing_takes(host: Host, file: Path) -> None:
    """15 a second, or 4 when it takes long."""

    async def body(app: Twinloop, pilot: Any) -> None:
        await until(pilot, lambda: app.pace.interval_s == FASTEST_S)
        pane = app.base.query_one("#plant", Pane)
        really = pane.make
        pane.make = lambda width, height: (time.sleep(0.1), really(width, height))[1]
        await until(pilot, lambda: app.pace.interval_s == SLOWEST_S)
        pane.make = really
        await until(pilot, lambda: app.pace.interval_s == FASTEST_S)
        assert (round(1 / FASTEST_S), round(1 / SLOWEST_S)) == (15, 4)

    with_app(file, body, start=inline(host))


def test_a_wrong_scenario_is_a_clear_screen_and_a_key_reads_its_correction(host: Host, file: Path) -> None:
    file.write_text(SCENARIO.replace("raspberry-pi-4", "raspbery-pi-4"), encoding="utf-8")

    async def body(app: Twinloop, pilot: Any) -> None:
        assert "seen.yaml:" in app.problem
        assert 'did you mean "raspberry-pi-4"' in app.problem
        file.write_text(SCENARIO, encoding="utf-8")
        await pilot.press("r")
        await until(pilot, lambda: app.view is not None)
        assert app.problem == ""

    with_app(file, body, start=inline(host))


def test_a_correction_may_have_fewer_devices_and_a_mistake_is_seen_on_every_screen(
    host: Host, file: Path
) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        await pilot.press("2", "down", "down", "down", "down", "down", "down", "enter", "right")
        assert (app.chosen.device, app.chosen.point) == (6, 1)
        file.write_text(SCENARIO.replace("count: 4", "count: 1"), encoding="utf-8")
        await pilot.press("r")
        await until(pilot, lambda: app.view is not None)
        await pilot.pause()
        assert app.shown == "device"
        assert "presses/1" in text_of(app)
        file.write_text(SCENARIO.replace("raspberry-pi-4", "raspbery-pi-4"), encoding="utf-8")
        await pilot.press("r")
        await until(pilot, lambda: bool(app.problem))
        for key in "123456":
            await pilot.press(key)
            await pilot.pause()
            shown = " ".join(text_of(app).split())
            assert "can't be run" in shown, key
            whole = shown.replace(
                "- ", "-"
            )  # a line may end at any hyphen: the folder's name has a say in it
            assert 'did you mean "raspberry-pi-4"' in whole, key

    with_app(file, body, (80, 24), inline(host))


def test_what_is_left_is_the_report_of_a_run(host: Host, file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        await pilot.press("f")
        await until(pilot, lambda: app.view is not None and app.view.mode == "over")
        await pilot.press("q")

    app = with_app(file, body, start=inline(host))
    report = app.report
    assert "samples" in report
    assert "PASS" in report.splitlines()[-1] or "PASS" in report.splitlines()[-2]


def test_a_dead_engine_is_said(file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        app.feed._process.kill()
        await until(pilot, lambda: bool(app.problem))
        assert "the engine's process ended with code -9" in app.problem
        await pilot.pause()
        assert "The engine has died; its last words:" in text_of(app)
        await pilot.press("2", "i")
        await pilot.pause()
        assert "The engine has died; its last words:" in text_of(app), "on the fleet, too"

    with_app(file, body)


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["a", "b"], "unrecognized arguments: b"),
        (["quickstrat"], 'did you mean "quickstart"'),
        (["none.yaml"], "no such scenario"),
        (["--seed", "x", "quickstart"], "--seed"),
        (["--sed"], "unrecognized arguments: --sed"),
    ):
        assert command(arguments) == 3
        assert message in capsys.readouterr().err
    assert command(["--help"]) == 0


def test_a_run_imports_no_textual() -> None:
    code = "import twinloop.scenarios.runner, twinloop.scenarios.cli.run, sys; sys.exit(any(name.startswith('textual') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_picture_without_a_terminal(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At an instant; what is drawn is what the engine says of that instant."""
    target = tmp_path / "device.svg"
    assert (
        command(
            [str(file), "--screenshot", str(target), "--at", "7s", "--screen", "device", "--size", "100x30"]
        )
        == 0
    )
    drawn = target.read_text(encoding="utf-8").replace("&#160;", " ")
    assert drawn.startswith("<svg")
    assert "0:00:07.000 of" in drawn
    assert "presses/1" in drawn
    assert "read holding" in drawn
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "").replace(
        "https://www.textualize.io", ""
    ), "nothing is fetched to see it"
    for arguments, message in (
        (["--screenshot", str(tmp_path / "no" / "x.svg")], "no such folder"),
        (["--screenshot", "x.svg", "--at", "soon"], "--at"),
        (["--screenshot", "x.svg", "--screen", "all"], "unknown screen"),
        (["--screenshot", "x.svg", "--size", "9x9"], "--size"),
        (["--at", "7s"], "goes with --screenshot"),
        ([], "needs a terminal"),
    ):
        assert command([str(file), *arguments]) == 3
        assert message in capsys.readouterr().err
    assert command(["--screenshot", "x.svg"]) == 3
    assert "needs a scenario" in capsys.readouterr().err
    assert command([]) == 3
    assert "needs a terminal" in capsys.readouterr().err
    file.write_text("format: 2\n", encoding="utf-8")
    assert command([str(file), "--screenshot", str(tmp_path / "x.svg")]) == 3
    assert "seen.yaml" in capsys.readouterr().err

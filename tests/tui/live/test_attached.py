"""The terminal at a process that serves: what is read of it, what is said in the place of what nobody knows,
that nothing commands the run, and how it ends."""

from __future__ import annotations

import asyncio
import copy
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.binding import Binding

import twinloop.tui.live.feed as feed_module
from tests import processes
from tests.scenarios.wire import test_judge
from tests.steady import steady
from tests.tui.live.told import PLAN, STATE, TOKEN, S, state, telling
from tests.tui.scene import text_of, until
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.tui.command import command
from twinloop.tui.engine.messages import Pause, Quit, Refused, Wrong
from twinloop.tui.live import panes
from twinloop.tui.live.app import Attached
from twinloop.tui.live.facts import NotUnderstood, Seen, plan_of, seen
from twinloop.tui.live.feed import READ_ONLY, LiveFeed, _over_time, _rates, address
from twinloop.tui.screens.fleet_table import FleetTable
from twinloop.tui.terminal.keys import PANES

NOT_OURS = {
    "space", "full_stop", "s", "plus", "equals_sign", "minus", "f", "n", "b", "u", "0", "left_square_bracket",
    "right_square_bracket", "g", "i", "colon", "w",
}  # fmt: skip
"""keys that would command a run"""


def attached(
    url: str, body: Callable[[Attached, Any], Awaitable[None]], size: tuple[int, int] = (120, 40)
) -> Attached:
    app = Attached(address(url))

    async def all_of_it() -> None:
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.view is not None or bool(app.problem))
            await body(app, pilot)
        assert not app.feed.alive, "nobody asks any more"

    asyncio.run(all_of_it())
    return app


def words(app: Attached) -> str:
    return " ".join(text_of(app).split())


# ---- what is read --------------------------------------------------------------------------------
def test_what_nobody_knows_is_no_zero() -> None:
    plan = plan_of(PLAN, "there")
    view = seen(plan, STATE)
    one, two = view.served
    assert (one.requests, one.exceptions, one.connections, one.asked_ns) == (31, 4, 1, 9 * S)
    assert (two.requests, two.exceptions, two.connections, two.asked_ns) == (0, None, None, None)
    assert [one.value for one in view.served] == [2.5, None]
    assert view.samples is not None
    assert view.samples.cloud_ns == (5_000_000, -1, -1)
    assert [int(count) for count in view.snapshot.devices.lost] == [0, 3]
    assert view.device is not None
    assert view.device.values == ((2.5, 0), ("press one", 0))
    assert view.device.frames[1].data == bytes.fromhex("000100000003018302")
    assert plan.reactions == ("cut line after heal plant",)
    unjudged = seen(plan_of(PLAN | {"judged": False}, "there"), state(samples=None, expectations=None))
    assert (unjudged.samples, unjudged.verdicts) == (None, ())
    assert "not seen from here" in _text(
        panes.plant, PLAN | {"judged": False}, state(samples=None, expectations=None)
    )
    assert "aren't seen from here" in _text(
        panes.expectations, PLAN | {"judged": False}, state(samples=None, expectations=None)
    )


def _text(make: Any, plan: dict[str, Any], now: dict[str, Any], width: int = 90, height: int = 20) -> str:
    known = plan_of(plan, "there")
    return "\n".join(line.plain for line in make(known, seen(known, now), width, height))


def test_the_plant_ends_at_your_gateway() -> None:
    drawn = _text(panes.plant, PLAN, STATE)
    assert "[your gateway]" in drawn
    assert "line ✗" in drawn, "it is troubled"
    first, second = drawn.splitlines()[1:3]
    assert first.split()[:6] == ["!", "presses", "1", "4", "5", "0"], "5 were missed"
    assert second.split()[:6] == ["✗", "tanks", "1", "-", "3", "0"], (
        "OPC UA has no exceptions that are counted"
    )
    assert "wrong" not in _text(panes.plant, PLAN | {"judged": False}, state(samples=None, expectations=None))
    wrong = _text(panes.trouble, PLAN, STATE).splitlines()
    assert wrong[0] == "○ 1 device that nobody has asked yet"
    assert wrong[1].split() == ["!", "presses/1", "exception,", "4", "exceptions,", "5", "missed"]
    assert wrong[2].split() == ["!", "tanks/1", "3", "lost"]
    assert "40 due 2 open 30 delivered 5 missed 3 lost 1 twice cloud 5 ms p50 - p99" in " ".join(
        drawn.split()
    )
    for width in (20, 40, 80, 200):
        for height in (1, 2, 3, 8):
            lines = _text(panes.plant, PLAN, STATE, width, height).splitlines()
            assert len(lines) <= height


def test_a_terminal_is_told_no_commands() -> None:
    plan = copy.deepcopy(PLAN)
    plan["name"] = "hall\x1b[2J\n"
    assert plan_of(plan, "there").name == "hall?[2J?"


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2}, {"devices": []}, {"devices": 3}, {"name": None}, {"judged": "yes"}, {"duration_ns": True},
        {"duration_ns": 1 << 70}, {"timeline": [{"at_ns": 1}]}, {"devices": [{"name": "x"}]},
    ],
)  # fmt: skip
def test_a_plan_of_another_kind_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(NotUnderstood):
        plan_of(PLAN | changes, "there")
    with pytest.raises(NotUnderstood):
        plan_of([], "there")


@pytest.mark.parametrize(
    "changes",
    [
        {"clock": {}}, {"devices": []}, {"devices": [{}, {}]}, {"over": None}, {"waiting": []}, {"waiting": ["x"]},
        {"samples": {}}, {"device": {"index": 9}}, {"device": {"index": 0, "values": [1]}}, {"links": {"plant": 1}},
        {"log": [{"number": "1"}]}, {"limits": {"x": None}}, {"expectations": [{}]},
        {"device": STATE["device"] | {"frames": [[0, ">", "zz"]]}}, {"device": STATE["device"] | {"values": [["x"], []]}},
        {"samples": STATE["samples"] | {"cloud_ns": [1]}}, {"samples": STATE["samples"] | {"by_device": {"due": [1]}}},
    ],
)  # fmt: skip
def test_a_state_of_another_kind_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((NotUnderstood, KeyError, TypeError, AttributeError)):
        seen(plan_of(PLAN, "there"), state(**changes))


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("http://127.0.0.1:80/", "without a token"), ("https://127.0.0.1:80/?token=x", "expected the URL"), ("x", 'got "x"'),
        ("http://127.0.0.1/?token=x", "expected the URL"), ("http://127.0.0.1:99999/?token=x", "isn't one"), ("http://[/", "isn't one"),
    ],
)  # fmt: skip
def test_a_url_that_is_none(url: str, wrong: str) -> None:
    with pytest.raises(ScenarioError, match="--attach") as error:
        address(url)
    assert wrong in str(error.value)


def test_rates_by_hand() -> None:
    """Ten requests a second, then none: over five seconds, and over each second."""
    totals: Any = [(k * S, min(50, 10 * k), (min(50, 10 * k), 0)) for k in range(9)]
    assert _rates(totals, 2) == (20 / 5, 0.0)
    assert _rates(totals[:1], 2) == (0.0, 0.0)
    assert _over_time(totals)[:2] == ((S, 10.0), (2 * S, 10.0))
    assert _over_time(totals)[-1] == (8 * S, 0.0)
    assert _over_time(totals[:1]) == ()


# ---- the screens ---------------------------------------------------------------------------------
def test_keys_that_would_command_the_run_say_that_it_is_in_other_hands() -> None:
    async def body(app: Attached, pilot: Any) -> None:
        for key in sorted(NOT_OURS):
            app.say("")
            await pilot.press(key)
            assert app.prompt.said[0] == READ_ONLY, key
            assert app.screen is app.base, "and nothing opens"
        app.say("")
        app.move_to(3 * S)
        assert app.prompt.said[0] == READ_ONLY, "nor by the mouse"
        app.feed.send(Pause())
        await until(pilot, lambda: app.prompt.said[1] == "red")
        known = {key for one in app.BINDINGS if isinstance(one, Binding) for key in one.key.split(",")}
        assert known > NOT_OURS
        for i, name in enumerate(PANES[:6], 1):
            await pilot.press(str(i))
            assert app.shown == name
        await pilot.press("question_mark")
        assert READ_ONLY in words(app)
        await pilot.press("2", "down", "enter")
        assert (app.shown, app.chosen.device) == ("device", 1)

    with telling() as told:
        attached(told.url, body)
    assert all(path.startswith(("/plan?", "/state?")) for path in told.asked)


def test_the_screens_say_what_is_known_and_what_is_not() -> None:
    async def body(app: Attached, pilot: Any) -> None:
        assert "hall seed 7 0:00:10.000 ▶ served, you look on" in words(app)
        assert "✗ count(samples.lost) == 0" in words(app)
        await pilot.press("2")
        assert "presses/1" in words(app)
        assert "1 s 31 4 1 exception" in words(app), "asked 1 s ago, requests, exceptions, clients, faults"
        assert "never 0 - -" in words(app)
        table = app.base.query_one(FleetTable)
        for order in ("requests", "exceptions", "asked", "device"):
            await pilot.press("o")
            assert app.prompt.said[0] == f"sorted by {order}"
        assert table.chosen() == [0, 1]
        await pilot.press("3")
        await until(pilot, lambda: "exception 02 to read holding" in words(app))
        assert "'press one'" in words(app)
        await pilot.press("4")
        assert "devices asked 1 of 2" in words(app)
        assert "limits met connections 4" in words(app)
        assert "Components aren't seen from here" in words(app)
        await pilot.press("5")
        assert "p50 5 ms" in words(app)
        assert "p95 -" in words(app)
        assert "isn't seen from here" in words(app)
        await pilot.press("6")
        assert "device-fault presses/1" in words(app)
        assert "cut line after heal plant" in words(app)
        told.state = state(over=True, verdict="FAIL", log=[])
        await until(pilot, lambda: "■ at the end: ✗ FAIL" in words(app))
        await until(pilot, lambda: not app.feed.alive)

    with telling() as told:
        app = attached(told.url, body)
    assert app.feed.left(80) == "hall: serve ended: FAIL\n"


@pytest.mark.parametrize("size", [(20, 5), (80, 24), (200, 60)])
def test_windows_of_all_sizes(size: tuple[int, int]) -> None:
    async def body(app: Attached, pilot: Any) -> None:
        for i in range(1, 7):
            await pilot.press(str(i))
            assert text_of(app)

    with telling() as told:
        attached(told.url, body, size)


def test_a_lost_connection_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "RETRY_S", 0.1)
    monkeypatch.setattr(feed_module, "TRIES", 600)

    async def body(app: Attached, pilot: Any) -> None:
        told.status = 503
        await until(pilot, lambda: "the connection is lost, trying again (" in words(app))
        assert "31 requests" in words(app), "what was known last stays"
        told.status = 200
        await until(pilot, lambda: "▶ served" in words(app))
        monkeypatch.setattr(feed_module, "TRIES", 3)
        told.status = 503
        await until(pilot, lambda: "given up after 3 tries; r connects again" in words(app))
        assert not app.feed.alive
        told.status = 200
        await pilot.press("r")
        await until(pilot, lambda: "▶ served" in words(app))
        told.state = {"format": 9}
        await until(pilot, lambda: "clock is missing" in words(app))

    with telling() as told:
        attached(told.url, body, (140, 40))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: setattr(told, "url", told.url.replace(TOKEN, "guess")), "it refuses the token"),
        (lambda told: setattr(told, "plan", {"format": 2}), "it tells format 2, this twinloop reads 1"),
        (lambda told: setattr(told, "status", 404), "it answers 404"),
    ],
)  # fmt: skip
def test_why_nothing_can_be_seen(change: Callable[[Any], None], said: str) -> None:
    async def body(app: Attached, pilot: Any) -> None:
        await until(pilot, lambda: said in words(app))
        assert "r connects again, q quits" in words(app)
        assert TOKEN not in words(app), "it may stand on a screen that others see"

    with telling() as told:
        change(told)
        attached(told.url, body)


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    feed = LiveFeed(address(f"http://127.0.0.1:{port}/?token=x"))
    feed._thread.join(10)
    (reply,) = feed.take()
    assert isinstance(reply, Refused)
    assert "does twinloop serve run there?" in reply.text
    feed.send(Pause())
    feed.send(Quit(80))
    assert feed.take() == [Wrong(READ_ONLY)]
    assert feed.left(80) == ""
    feed.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hall.yaml", "--attach", "http://127.0.0.1:1/?token=x"], "goes without a scenario"),
        (["--attach", "http://127.0.0.1:1/?token=x", "--seed", "3"], "--seed: doesn't go with --attach"),
        (["--attach", "http://127.0.0.1:1/?token=x", "--web"], "--web: doesn't go with --attach"),
        (["--attach", "there"], "expected the URL"),
        (["--attach", "http://127.0.0.1:1/?token=x"], "needs a terminal"),
    ],
)  # fmt: skip
def test_mistakes_at_the_command_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(arguments) == 3
    assert said in capsys.readouterr().err


# ---- a real serve --------------------------------------------------------------------------------
def started(process: processes.Forked) -> str:
    """The URL."""
    line = process.stdout.readline()
    while not line.startswith("watch "):
        assert line, process.stderr.read()
        line = process.stdout.readline()
    return line.split("'")[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_terminal_sees_a_device_s_requests_and_that_serve_ends(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "RETRY_S", 0.02)
    file = tmp_path / "s.yaml"
    file.write_text(test_judge.SCENARIO, encoding="utf-8")
    flags = ("--port", "0", "--opcua-port", "0", "--watch-port", "0")

    async def body(app: Attached, pilot: Any) -> None:
        place = process.stdout.readline().split()[1].removeprefix("tcp://").partition("/")[0]
        reader, writer = await asyncio.open_connection(*place.split(":"))
        for _ in range(10):
            writer.write(bytes.fromhex("000100000006010300000001"))
            await reader.readexactly(11)
        await pilot.press("2")

        def asked() -> bool:
            return isinstance(app.view, Seen) and app.view.served[0].requests == 10

        await until(pilot, asked)
        await until(pilot, lambda: " 10 0 1 tcp" in words(app) or " 10 0 1 " in words(app))
        process.send_signal(number)
        end = "■ serve has ended" if number == signal.SIGTERM else "given up after 10 tries"
        await until(pilot, lambda: end in words(app))
        assert "presses/1" in words(app), "what was known last stays"
        writer.close()

    with processes.twinloop("serve", str(file), *flags) as process:
        attached(started(process), body)
        process.kill()


@steady
def test_the_terminal_sees_the_verdict(tmp_path: Path) -> None:
    async def body(app: Attached, pilot: Any) -> None:
        await until(pilot, lambda: app.view is not None and app.view.mode == "over")
        assert isinstance(app.view, Seen)
        assert app.view.samples is not None
        assert (app.view.verdict, app.view.samples.delivered) == ("PASS", 250)
        assert "■ at the end: ✓ PASS" in words(app)
        assert [one.verdict for one in app.view.verdicts] == ["PASS", "PASS", "PASS", "NO-DATA"]

    judge = test_judge.serve(tmp_path, "--broker-port", "0", "--lead", "4 s", "--watch-port", "0")
    port = int(judge.stdout.readline().rpartition(":")[2])
    url = started(judge)
    assert judge.stdout.readline().startswith("presses/1")
    other = test_judge.gateway(tmp_path, port, "keeps")
    try:
        attached(url, body)
        _, errors = judge.communicate(timeout=60)
    finally:
        other.kill()
        other.wait()
    assert judge.returncode == 0, errors

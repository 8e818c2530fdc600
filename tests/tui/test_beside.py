"""Two runs side by side: the same without a change, hand-worked figures with one, the same instant whatever is
done with the clock, a change that can't be, and nobody left behind."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from textual.widgets import Input

from tests.tui.scene import Inline, S, engine, go, inline, text_of, until, view, with_app
from twinloop.components.host.host import Host
from twinloop.sim.kernel.histogram import NEVER
from twinloop.tui.command import command
from twinloop.tui.engine.feed import Feed
from twinloop.tui.engine.messages import Do, LiveVerdict, Rewind, RunTo, StepEvent, View
from twinloop.tui.screens import beside
from twinloop.tui.screens.beside import Side
from twinloop.tui.terminal.app import Twinloop
from twinloop.tui.terminal.beside import Companion

POLL = "fleets.presses.poll=1 s"


class Pair:
    """Two engines in this process, the second one behind a companion."""

    def __init__(self, host: Host, file: Path, *settings: str) -> None:
        self.first = engine(host, file)
        self.inline = Inline(host, file, self.first.plan.seed, settings)
        self.second = Companion(settings, cast(Feed, self.inline))

    def meet(self) -> tuple[View, View]:
        """The first stands still, and the second has come to it."""
        go(self.first)
        seen = view(self.first, due=True)
        for _ in range(10_000):
            self.second.step(seen)
            if self.second.stands(seen):
                break
        assert self.second.stands(seen), self.second.problem
        assert self.second.view is not None
        return seen, self.second.view

    def close(self) -> None:
        self.first.world.close()
        self.second.close()


def instant(seen: View) -> tuple[Any, ...]:
    return (
        seen.snapshot.now_ns,
        seen.snapshot.events,
        seen.snapshot.ends,
        seen.figures,
        seen.latency,
        seen.entries.stamped,
    )


def test_without_a_change_both_are_the_same_at_every_instant(host: Host, file: Path) -> None:
    """On, one event, by hand, on, back to before that, to the end: with digests at the end."""
    pair = Pair(host, file)
    for command_ in (RunTo(7 * S), StepEvent(), Do({"cut": "plant", "for": "2 s"}), RunTo(8 * S)):
        pair.first.handle(command_)
        mine, theirs = pair.meet()
        assert mine.entries.stamped == theirs.entries.stamped
    assert instant(mine) == instant(theirs)
    pair.first.handle(Do({"device-fault": "presses/any", "kind": "silent", "for": "1 s"}))
    pair.first.handle(RunTo(15 * S))
    mine, theirs = pair.meet()
    assert instant(mine) == instant(theirs), "who was drawn for any is the same"
    assert len(theirs.entries.stamped) == 2
    pair.first.handle(Rewind(round(7.5 * S)))
    mine, theirs = pair.meet()
    assert instant(mine) == instant(theirs)
    assert len(theirs.entries.stamped) == 1, "what came after it is undone in both"
    pair.first.handle(RunTo(1 << 62))
    mine, theirs = pair.meet()
    assert mine.digest
    assert mine.digest == theirs.digest
    assert mine.verdicts == theirs.verdicts
    one, other = Side(pair.first.plan, mine), Side(pair.first.plan, theirs)
    rows = beside.expectations(one, other, 120, 10)[1:]
    assert all(row.plain.rstrip().endswith(" =") or row.plain.rstrip().endswith(" -") for row in rows[-3:])
    pair.close()


def test_who_comes_late_is_told_all_that_was_done(host: Host, file: Path) -> None:
    one = engine(host, file)
    for command_ in (
        RunTo(3 * S),
        Do({"cut": "plant", "for": "1 s"}),
        RunTo(9 * S),
        Do({"crash": "gw", "for": "1 s"}),
    ):
        one.handle(command_)
        go(one)
    one.handle(RunTo(14 * S))
    pair = Pair(host, file)
    pair.first.world.close()
    pair.first = one
    mine, theirs = pair.meet()
    assert instant(mine) == instant(theirs)
    assert len(theirs.entries.stamped) == 2
    pair.close()


def test_half_the_interval_is_twice_the_samples(host: Host, file: Path) -> None:
    """4 presses of 4 points each... counted by hand: polls due at 0.5, 1, ... of 20 s against 1, 2, ..."""
    pair = Pair(host, file, POLL)
    pair.first.handle(RunTo(1 << 62))
    mine, theirs = pair.meet()
    points = len(pair.first.plan.devices[0].points)
    one, other = (beside.by_fleet(Side(pair.first.plan, seen)) for seen in (mine, theirs))
    assert one["presses"].due == 2 * other["presses"].due == 4 * points * 20 * 2
    assert one["meters"] == other["meters"]
    assert mine.snapshot.due - theirs.snapshot.due == other["presses"].due
    assert pair.second.plan is not None
    assert (pair.second.plan.seed, pair.second.plan.devices[0].poll_ns) == (pair.first.plan.seed, S)
    pair.close()


def test_what_the_second_refuses_is_said_and_the_rest_is_done(host: Host, file: Path) -> None:
    pair = Pair(host, file, "fleets.presses.count=1")
    pair.first.handle(RunTo(3 * S))
    go(pair.first)
    pair.first.handle(Do({"device-fault": "presses/4", "kind": "silent", "for": "1 s"}))
    pair.first.handle(Do({"cut": "plant", "for": "1 s"}))
    pair.first.handle(RunTo(6 * S))
    mine, theirs = pair.meet()
    assert len(mine.entries.stamped) == 2
    assert theirs.entries.stamped == mine.entries.stamped[1:]
    assert "presses/4" in pair.second.refused
    pair.first.handle(Rewind(1 * S))
    _, theirs = pair.meet()
    assert theirs.entries.stamped == ()
    pair.close()


def verdict(value: float | None, unit: str = "ns", point_unit: str = "") -> LiveVerdict:
    return LiveVerdict("p99(x) <= 1 s", "PASS", "", value, unit, point_unit)


def test_differences_have_a_sign_and_a_unit() -> None:
    def gap(one: LiveVerdict | None, other: LiveVerdict | None) -> str:
        return beside.difference(one, other)

    assert gap(verdict(2e6), verdict(3.5e6)) == "+1.5 ms"
    assert gap(verdict(3.5e6), verdict(2e6)) == "-1.5 ms"
    assert gap(verdict(7.0, "count"), verdict(7.0, "count")) == "="
    assert gap(verdict(0.5, "value", "bar"), verdict(2.0, "value", "bar")) == "+1.5 bar"
    for one, other in (
        (None, verdict(1.0)),
        (verdict(1.0), None),
        (verdict(None), verdict(1.0)),
        (verdict(float(NEVER)), verdict(1.0)),
        (verdict(math.nan, "value"), verdict(1.0, "value")),
    ):
        assert gap(one, other) == "-"


@pytest.mark.parametrize("size", [(40, 12), (78, 19), (118, 35), (198, 55), (18, 3)])
def test_panes_hold_their_size_and_have_one_scale(host: Host, file: Path, size: tuple[int, int]) -> None:
    one, other = engine(host, file), engine(host, file)
    for each, to_ns in ((one, 12 * S), (other, 7 * S)):
        each.handle(RunTo(to_ns))
        go(each)
    sides = Side(one.plan, view(one, due=True)), Side(other.plan, view(other, due=True))
    for make in (beside.expectations, beside.fleets, beside.curve):
        drawn = make(*sides, *size)
        assert 0 < len(drawn) <= size[1], make.__name__
        if size[0] >= 40:
            assert all(line.cell_len <= size[0] for line in drawn), make.__name__
    slow = tuple((*window[:-1], 4 * S) for window in sides[1].view.latency)
    sides = sides[0], sides[1]._replace(view=replace(sides[1].view, latency=slow))
    if size[0] > 40:
        axis = [
            [line.plain[:9] for line in beside.curve(*pair, 70, 14) if "┤" in line.plain]
            for pair in (sides, sides[::-1])
        ]
        assert axis[0] == axis[1]
        assert any("s┤" in label for label in axis[0])
    for each in (one, other):
        each.world.close()


def test_the_keys_of_two_runs(host: Host, file: Path) -> None:
    """c asks for a change, 8 shows both, the clock and trouble go to both, esc closes the second."""

    async def body(app: Twinloop, pilot: Any) -> None:
        async def change(text: str) -> None:
            await pilot.press("c")
            app.base.query_one("#ask", Input).value = text
            await pilot.press("enter")

        def together() -> bool:
            return (
                app.companion is not None
                and app.view is not None
                and app.view.mode in ("paused", "over")
                and app.companion.stands(app.view)
            )

        await change("fleets.presses")
        assert app.prompt.said[1] == "red"
        assert not app.is_beside
        await pilot.press("escape")
        await change("fleets.pressses.poll=1 s")
        await until(pilot, lambda: 'did you mean "presses"' in app.prompt.said[0])
        assert app.companion is None
        assert app.view is not None, "the first is as it was"
        assert app.base.query_one("#ask", Input).value == "fleets.pressses.poll=1 s"
        await pilot.press("escape", "2")
        await change(POLL)
        assert app.shown == "beside"
        await until(pilot, together)
        await pilot.press("s")
        await until(pilot, lambda: app.view is not None and app.view.snapshot.now_ns > S // 2 and together())
        assert app.companion is not None
        await pilot.press("colon")
        app.base.query_one("#ask", Input).value = "cut: plant, for: 1 s"
        await pilot.press("enter")
        await until(pilot, lambda: app.prompt.said[0].startswith("cut plant at ") and together())
        await pilot.press("f")
        await until(pilot, lambda: app.view is not None and app.view.mode == "over" and together())
        assert app.view is not None
        assert app.companion.view is not None
        assert app.companion.view.mode == "over"
        assert app.companion.view.entries.stamped == app.view.entries.stamped
        await pilot.pause()
        shown = text_of(app)
        assert "8 Beside" in shown
        assert POLL in shown
        await until(pilot, lambda: text_of(app).count("at the end: ") == 3)  # in the head, and of each
        await pilot.press("0")
        await until(pilot, lambda: app.view is not None and app.view.rewind.count == 1 and together())
        assert app.companion.view.snapshot.now_ns == app.view.snapshot.now_ns
        await pilot.press("1", "8")
        assert app.shown == "beside"
        second = app.companion.feed
        await pilot.press("r")
        await until(pilot, together)
        assert not second.alive
        assert app.companion is not None
        second = app.companion.feed
        await pilot.press("escape")
        assert (app.is_beside, app.companion, second.alive, app.shown) == (False, None, False, "overview")

    with_app(file, body, (110, 30), inline(host))


@pytest.mark.parametrize("size", [(80, 24), (20, 5), (200, 60)])
def test_two_runs_are_drawn_at_every_size(host: Host, file: Path, size: tuple[int, int]) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        await pilot.press("8")
        await until(
            pilot,
            lambda: app.companion is not None and app.companion.stands(app.view) and app.shown == "beside",
        )
        app.redraw()
        await pilot.pause()
        lines = text_of(app).splitlines()
        assert all(len(line) <= size[0] for line in lines)
        if size[0] >= 80:
            assert "8 Beside" in lines[1]
            assert "? Help" in lines[1]
            assert "difference" in "".join(lines)
        if size == (80, 24):
            assert "wrong points" not in "".join(lines)
            await pilot.press("end")
            await pilot.pause()
            assert "wrong points" in text_of(app)
            assert "tanks" in text_of(app)
            await pilot.press("home")
            assert app.moved["beside"] == 0

    with_app(file, body, size, inline(host), (POLL,))


def test_real_engines_end_with_the_screen_and_a_mistake_is_told_before_it_opens(
    file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    feeds: list[Feed] = []

    def start(*given: Any) -> Feed:
        feeds.append(Feed(*given))
        return feeds[-1]

    async def body(app: Twinloop, pilot: Any) -> None:
        await until(pilot, lambda: app.companion is not None and app.companion.stands(app.view))
        await pilot.press("s", "b")
        await until(
            pilot,
            lambda: (
                app.view is not None
                and app.view.rewind.count == 1
                and app.view.mode == "paused"
                and app.companion is not None
                and app.companion.stands(app.view)
            ),
        )

    with_app(file, body, start=start, beside=(POLL,))
    assert [feed.alive for feed in feeds] == [False, False]
    play = tmp_path / "play.yaml"
    play.write_text("- press: f\n", encoding="utf-8")
    for arguments, said in (
        (
            [str(file), "--play", str(play), "--beside", "fleets.pressses.poll=1 s"],
            "--beside fleets.pressses.poll=1 s: $.fleets.pressses",
        ),
        ([str(file), "--play", str(play), "--beside", "fleets"], "--beside fleets"),
        ([str(file), "--screenshot", "x.svg", "--beside", POLL], "--beside: doesn't go with --screenshot"),
        ([str(file), "--web", "--beside", POLL], "--beside: doesn't go with --web"),
        (["--beside", POLL], "--beside: needs a scenario"),
    ):
        assert command(arguments) == 3
        assert said in capsys.readouterr().err

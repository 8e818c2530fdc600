"""From a figure to its cause by keys: the cursor, the pages that Enter opens, the way back with Esc; and the
pages as pure functions at three sizes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from tests.tui.scene import S, engine, go, inline, text_of, until, view, with_app
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import LIBRARY
from twinloop.scenarios.judging.expressions import parse
from twinloop.scenarios.judging.metrics.table import METRICS
from twinloop.scenarios.page.watched import GROWING, MOST
from twinloop.tui.drawing.spots import Spot, at, overlay, step
from twinloop.tui.engine.expectation_view import sentence
from twinloop.tui.engine.explored import ExpectationView, Wanted
from twinloop.tui.engine.feed import Feed
from twinloop.tui.engine.messages import Look, RunTo, View
from twinloop.tui.engine.process import answer
from twinloop.tui.screens import closer, device, expectation, latency, sample, spots
from twinloop.tui.screens.closer import Closer
from twinloop.tui.screens.targets import ToDevice, ToExpectation, ToFleet, ToGateway, ToSample, ToWindow
from twinloop.tui.terminal.app import Twinloop

SIZES = [(80, 24), (120, 40), (200, 60)]


def test_the_cursor_goes_where_it_should() -> None:
    """Three things on two lines, by hand."""
    some = [Spot("a", "", 0, 0, 4), Spot("b", "", 0, 5, 9), Spot("c", "", 2, 4, 9)]
    assert [step(some, 0, 1, 0), step(some, 2, 1, 0), step(some, 0, -1, 0)] == [1, 2, 0]
    assert [step(some, 0, 0, 1), step(some, 2, 0, -1), step(some, 2, 0, 1)] == [2, 1, 2]
    assert at(some, 6, 0) is some[1]
    assert at(some, 4, 0) is None
    curve = [Spot("x", "", 1, 10, 11, 5), Spot("y", "", 1, 14, 15, 5)]
    assert at(curve, 13, 3) is curve[1], "beside an instant the nearest"
    assert step(curve, 0, 0, 1) == 1
    lines = [Text("head"), Text("ab"), Text("ab ⠤  "), Text("ab"), Text("ab"), Text("ab"), Text("axis")]
    drawn = [line.plain for line in overlay(lines, Spot("x", "", 1, 3, 4, 5), 8)]
    assert drawn == ["head", "ab │", "ab ⠤  ", "ab │", "ab │", "ab │", "axis"]
    assert str(overlay(lines, some[0], 8)[0].spans[0].style) == "reverse"


@pytest.mark.parametrize("metric", METRICS)
def test_every_kind_of_expectation_is_told_in_a_sentence(metric: str) -> None:
    row = METRICS[metric]
    keys = {"stage": "stage=bus", "point": "point=flow"}
    inner = ",".join(keys[key] for key in row.keys if key in keys)
    name = f"{metric}{{{inner}}}" if inner else metric
    text = f"{row.statistics[0]}({name})" if row.statistics else name
    unit = (
        ""
        if row.statistics[:1] == ("count",)
        else {"ns": " ms", "ratio": " %", "bytes": " MiB"}.get(row.unit, "")
    )
    said = sentence(parse(f"{text} <= 5{unit}"))
    assert said.endswith(".")
    assert row.meaning.partition(";")[0] in said or said[0].isupper()


def asked(one: Any, wanted: Wanted) -> View:
    found = answer(one, Look(closer=wanted))
    assert isinstance(found, View)
    return found


def test_pages_hold_their_size(host: Host, file: Path) -> None:
    """No more lines than there are; nothing wider; and what has something behind it lies on a line of it."""
    one = engine(host, file)
    one.handle(RunTo(10 * S))
    go(one)
    slow = one.watch.standouts.slowest()[0]
    while (seen := asked(one, Wanted(1, 0, 10 * S, slow))).closer.sample.waits:  # type: ignore[union-attr]
        continue
    at_it = Closer(1, 0, 10 * S, slow, "normalize")
    pages = (
        (expectation.about, None),
        (expectation.over_time, expectation.curve_spots),
        (expectation.moments, expectation.moment_spots),
        (closer.window, closer.window_spots),
        (closer.component, None),
        (sample.about, sample.about_spots),
        (sample.way, sample.way_spots),
        (sample.calls, sample.call_spots),
        (sample.frames, sample.frame_spots),
    )
    for width, height in [(18, 3), *SIZES]:
        for make, find in pages:
            lines = make(one.plan, seen, width, height, at_it)
            assert 0 < len(lines) <= height, make
            if width >= 78:
                assert all(line.cell_len <= width for line in lines if "points" not in line.plain), make
            if find is not None and width >= 78:
                places = find(one.plan, seen, width, height, at_it)
                assert places, make
                assert all(0 <= spot.y <= spot.last < height for spot in places), make
                assert all(0 <= spot.x0 < spot.x1 <= width for spot in places), make
        for find in (
            spots.expectations,
            spots.slowest,
            spots.stages,
            spots.curve,
            spots.devices,
            spots.components,
        ):
            places = find(one.plan, seen, width, height)
            assert places or width < 78, find
            assert all(spot.y < height for spot in places), find
    one.world.close()


def test_figures_of_the_pages(host: Host, file: Path) -> None:
    """By hand: the shipped components, meters over 19200 Bd, the bus is where the time goes."""
    one = engine(host, file)
    one.handle(RunTo(10 * S))
    go(one)
    seen = view(one)
    drawn = spots.fleets_and_gateways(one.plan, seen, 78, 14)
    assert [spot.target for spot in drawn if isinstance(spot.target, ToFleet)] == [
        ToFleet("presses"), ToFleet("tanks"), ToFleet("meters")
    ]  # fmt: skip
    assert ToGateway("gw") in [spot.target for spot in drawn]
    assert [spot.target for spot in spots.devices(one.plan, seen, 78, 14)] == [ToDevice(i) for i in range(7)]
    first = spots.expectations(one.plan, seen, 78, 14)[0]
    assert first.target == ToExpectation(seen.verdicts[0].number) or seen.verdicts[0].verdict == "PASS"
    bus = spots.stages(one.plan, seen, 78, 14)
    assert any("longest in bus" in spot.says and "meters" in spot.says for spot in bus)
    curve = spots.curve(one.plan, seen, 78, 14)
    assert [spot.target.from_ns for spot in curve][:2] == [0, S]  # type: ignore[attr-defined]
    assert all(isinstance(spot.target, ToWindow) for spot in curve)
    page = asked(one, Wanted(1)).closer
    assert page.expectation is not None
    assert page.expectation.text == "p99(latency.gateway{fleet=presses}) <= 50 ms"
    assert page.expectation.bound == 50e6
    window = asked(one, Wanted(1, 0, S)).closer
    assert window.samples is not None
    assert {one.plan.devices[slow.device].fleet for slow in window.samples.slow} == {"presses"}
    backlog = asked(one, Wanted(2)).closer
    assert backlog.expectation is not None
    assert max(value for _, value in backlog.expectation.values) > 0
    assert any(kind == "link" for _, kind, _ in backlog.expectation.records)
    one.world.close()


def paged(text: str, said: str, values: tuple[tuple[int, float], ...], unit: str, limit: str) -> Any:
    return ExpectationView(
        0, text, "FAIL", "", limit, "", "", said, values, unit, unit, math.nan, (), ()
    )  # fmt: skip


def opened(host: Host, file: Path, page: Any, width: int) -> list[tuple[int, int, str]]:
    """(from, until, what the cursor says) of each place of its curve."""
    one = engine(host, file)
    seen = view(one)
    one.world.close()
    seen = replace(seen, closer=replace(seen.closer, expectation=page))
    found = expectation.curve_spots(one.plan, seen, width, 12, Closer(0))
    return [
        (spot.target.from_ns, spot.target.to_ns, spot.says.partition(",")[0])  # type: ignore[attr-defined]
        for spot in found
    ]


def test_the_cursor_of_a_curve_opens_the_window_of_its_value(host: Host, file: Path) -> None:
    """By hand: windows of 1 s, and the clock stands a millisecond after the last of them. What grows stands
    at the end of its window, a share, too; a gauge at its beginning, although it is a count, too."""
    at_ns = (S, 2 * S, 2_001_000_000)
    grows = tuple(zip(at_ns, (0.0, 3.0, 3.0), strict=True))
    windows = [(0, S, "0 at 0:01"), (S, 2 * S, "3 at 0:02"), (2 * S, at_ns[2], "3 at 0:02")]
    page = paged("count(samples.lost) == 0", GROWING, grows, "count", "== 0")
    assert opened(host, file, page, 4000) == windows
    share = paged("ratio(samples.lost) == 0", GROWING, grows, "ratio", "== 0 %")
    assert [one[:2] for one in opened(host, file, share, 4000)] == [one[:2] for one in windows]
    gauge = paged("max(backlog) <= 2", MOST, ((0, 5.0), (S, 7.0), (2 * S, 0.0)), "count", "<= 2")
    assert opened(host, file, gauge, 4000)[:2] == [(0, S, "5 at 0:00"), (S, 2 * S, "7 at 0:01")]


def test_values_in_one_cell_are_told_by_the_worst(host: Host, file: Path) -> None:
    """Two values a cell, by hand: 9 cells for 0 to 17 s."""
    values = tuple((i * S, 50.0 if i == 4 else 1.0 if i == 9 else 10.0 + i) for i in range(18))
    high = opened(host, file, paged("max(backlog) <= 2", MOST, values, "count", "<= 2"), 9 + 9)
    assert (4 * S, 5 * S, "50 at 0:04") in high
    assert not any(says.startswith("1 at") for *_, says in high)
    low = opened(host, file, paged("max(backlog) >= 2", MOST, values, "count", ">= 2"), 9 + 9)
    assert (9 * S, 10 * S, "1 at 0:09") in low


def test_the_cursor_on_latency_says_the_worst_of_its_cell(host: Host, file: Path) -> None:
    one = engine(host, file)
    windows = tuple((i * S, 1, 2, -1 if i == 6 else 9_000_000 if i == 3 else 1_000_000) for i in range(20))
    seen = replace(view(one), latency=windows)
    said = [spot.says for spot in spots.curve(one.plan, seen, 18, 14)]
    assert any(says.startswith("p99 9 ms at 0:03") for says in said)
    assert any(says.startswith("p99 never at 0:06") for says in said)
    one.world.close()


def test_a_latency_that_never_came_is_said(host: Host, file: Path) -> None:
    """The newest window is one of samples that never came: the figure of an older one isn't how it stands."""
    one = engine(host, file)
    windows = ((0, 1, 2, 9_000_000), (S, 1_000_000, -1, -1))
    seen = replace(view(one), latency=windows)
    one.world.close()
    [head] = latency.heads(one.plan, latency.curves(seen, 40, 8, False), 40, 8)
    assert head.plain.startswith("p99 never at 0:01")
    before = latency.heads(one.plan, latency.curves(seen, 40, 8, False), 40, 8, hand_at=0.0)
    assert before[0].plain.startswith("p99 9 ms at 0:00")


def test_a_device_without_frames_says_whether_there_will_be_some(host: Host, file: Path) -> None:
    one = engine(host, file)
    seen = answer(one, Look(1))
    one.world.close()
    assert isinstance(seen, View)
    assert [line.plain for line in device.frames(one.plan, seen, 78, 9, 1)] == ["nothing yet"]
    over = device.frames(one.plan, replace(seen, mode="over"), 40, 3, 1)
    assert len(over) == 3
    assert over[0].plain.startswith("none are kept")


def chain(file: Path, text: str, until_ns: int, start: Any) -> None:
    """Enter from an expectation to a device, Esc all the way back."""

    async def body(app: Twinloop, pilot: Any) -> None:
        app.feed.send(RunTo(until_ns))
        await until(pilot, lambda: app.view is not None and app.view.snapshot.now_ns > until_ns - S)
        await until(pilot, lambda: app.view is not None and app.view.mode in ("paused", "over"))
        while app.way.pane != "expect":
            await pilot.press("tab")
        pane = app.entered
        assert pane is not None
        assert pane.border_subtitle.endswith("enter: why")  # type: ignore[union-attr]
        await until(pilot, lambda: text in text_of(app))
        ways = [("overview", "expect")]
        for shown, name in (
            ("expectation", "moments"),
            ("window", "window-samples"),
            ("sample", "sample-about"),
        ):
            await pilot.press("enter")
            await until(pilot, lambda shown=shown, name=name: (app.shown, app.way.pane) == (shown, name))  # type: ignore[misc]
            await until(pilot, lambda: bool(app.entered and app.entered.can_be_entered))
            ways.append((shown, name))
        await until(pilot, lambda: "quality" in text_of(app))
        assert isinstance(app.view, View)
        found = app.view.closer.sample
        assert found is not None
        await pilot.press("enter")
        assert (app.shown, app.chosen.device) == ("device", found.asked.device)
        for shown, name in reversed(ways):
            await pilot.press("escape")
            await until(pilot, lambda shown=shown, name=name: (app.shown, app.way.pane) == (shown, name))  # type: ignore[misc]
        await pilot.press("escape")
        assert not app.way.pane, "and out of the pane"

    with_app(file, body, size=(120, 40), start=start)


def test_from_a_latency_that_fails_to_the_device_and_back() -> None:
    chain(LIBRARY / "hundred-sensors-slow.yaml", "✗ p99(latency.gateway)", 19 * S, Feed)


def test_from_samples_that_were_missed_to_the_device_and_back(host: Host, file: Path) -> None:
    text = (
        file.read_text(encoding="utf-8")
        .replace("cut: cloud", "cut: plant")
        .replace("heal cloud", "heal plant")
    )
    file.write_text(text.replace("count(samples.lost)", "count(samples.missed)"), encoding="utf-8")
    chain(file, "✗ count(samples.missed) == 0", 10 * S, inline(host))


def test_the_mouse_and_the_other_panes(host: Host, file: Path) -> None:
    """A click is the cursor and Enter; fleets, gateways, components, cells, an instant of a curve."""

    async def body(app: Twinloop, pilot: Any) -> None:
        app.feed.send(RunTo(5 * S))
        await until(pilot, lambda: app.view is not None and app.view.snapshot.now_ns > 4 * S)
        await until(pilot, lambda: bool(app.base.query_one("#expect").size.height))
        await pilot.pause()
        await pilot.click("#expect", offset=(4, 1))
        assert app.shown == "expectation"
        await pilot.press("escape")
        await pilot.click("#plant", offset=(4, 2))
        assert app.shown == "fleet"
        await pilot.press("escape")
        assert (app.shown, app.way.pane) == ("overview", "plant") or app.shown == "overview"
        await pilot.press("5", "tab", "tab")
        assert app.way.pane == "percentiles"
        await until(pilot, lambda: bool(app.entered and app.entered.under()))
        before = app.entered.under()  # type: ignore[union-attr]
        await pilot.press("left")
        after = app.entered.under()  # type: ignore[union-attr]
        assert before is not None
        assert after is not None
        assert after[0] == before[0] - 1
        assert " at 0:0" in after[1].says
        await pilot.press("enter")
        assert app.shown == "window"
        await pilot.press("escape", "tab")
        assert app.way.pane == "slowest"
        under = app.entered.under()  # type: ignore[union-attr]
        assert under is not None
        assert isinstance(under[1].target, ToSample)
        await pilot.press("4", "tab", "enter")
        assert app.shown == "component"
        await until(pilot, lambda: "fuel/call" in text_of(app))
        await pilot.press("escape", "r")
        assert not app.way.places
        await until(pilot, lambda: app.view is not None)

    with_app(file, body, size=(120, 40), start=inline(host))

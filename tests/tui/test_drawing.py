"""What is drawn: tokens, curves with axes, the strip of time, all devices at once, panes of the overview."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tui.scene import S, engine, go, inline, until, view, with_app
from twinloop.components.host.host import Host
from twinloop.tui.drawing import plot
from twinloop.tui.drawing.look import DARK, LIGHT, ON_DARK, ON_LIGHT, TOKENS, VERDICTS
from twinloop.tui.engine.figures import LATENCY, QUALITY, UNKNOWN, WRONG, Figures, Levels
from twinloop.tui.engine.messages import Rewind, RunTo, Span
from twinloop.tui.screens import heat, latency, plant, strip
from twinloop.tui.terminal import layout
from twinloop.tui.terminal.app import Twinloop
from twinloop.tui.terminal.keys import MEANINGS


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """WCAG 2.2, relative luminance."""

    def luminance(colour: tuple[int, int, int]) -> float:
        parts = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_each_token_has_a_sign_a_word_and_a_style_of_its_own() -> None:
    for parts in ([one.sign for one in TOKENS], [one.word for one in TOKENS], [one.style for one in TOKENS]):
        assert len(set(parts)) == len(TOKENS)
    assert all(len(one.sign) == 1 for one in TOKENS)
    assert set(MEANINGS) == {one.word for one in TOKENS}, "the help explains each"
    assert set(VERDICTS.values()) <= set(TOKENS)


def test_colours_can_be_read_on_their_ground_in_both_themes() -> None:
    """4.5 to 1 is what WCAG 2.2 asks of text (1.4.3); names of colours and the themes' own agree."""
    for theme, terminal in ((DARK, ON_DARK), (LIGHT, ON_LIGHT)):
        ground = tuple(terminal.background_color)
        for number in range(1, 8):
            shade = tuple(terminal.ansi_colors[number])
            assert contrast(shade, ground) >= 4.5, (theme.name, number)  # type: ignore[arg-type]
        assert theme.error == "#{:02x}{:02x}{:02x}".format(*terminal.ansi_colors[1])


def axes(**more: Any) -> plot.Axes:
    given: dict[str, Any] = {"show": lambda value: f"{value:g}", "clock": lambda at: f"{at}s", **more}
    return plot.Axes(0, 10, **given)


def drawn(values: list[tuple[int, float]], width: int, height: int, **more: Any) -> list[str]:
    return [line.plain for line in plot.lines(values, axes(**more), width, height)]


def test_a_curve_with_its_axes() -> None:
    """A step from 0 to 4 in the middle: it lies at the bottom to the left and on top to the right."""
    lines = drawn([(0, 0.0), (4, 0.0), (5, 4.0), (10, 4.0)], 29, 6)
    assert len(lines) == 6
    assert all(len(line) == 29 for line in lines[:5])
    cells = [line[plot.LABEL + 1 :] for line in lines[:4]]
    assert set(cells[0][:7]) == {" "}
    assert " " not in cells[0][12:]
    assert " " not in cells[-1][:8]
    assert set(cells[-1][12:]) == {" "}
    assert any(row[9:12].strip() for row in cells[1:3]), "the step is joined"
    assert lines[4].startswith(" " * plot.LABEL + "└")
    assert lines[5].split() == ["0s", "10s"]


def test_a_limit_a_shade_and_the_hand_are_drawn() -> None:
    lines = drawn([(0, 1.0), (10, 1.0)], 49, 10, limit=8.0, from_zero=True, shades=((2, 4),), hand_ns=10)
    limit = next(line for line in lines if "limit" in line)
    assert lines.index(limit) == 0, "8 of 8.4 is on the first line of eight"
    assert "·" in lines[3][plot.LABEL + 1 :]
    assert lines[3].endswith("┊")
    assert lines[8].endswith("▲")


def test_a_logarithmic_axis_from_thirty_times_on_and_nothing_to_draw() -> None:
    lines = drawn([(0, 1.0), (10, 1000.0)], 40, 18)
    labels = [line[: plot.LABEL].strip() for line in lines if "┤" in line]
    assert labels[0] == "1000"
    assert {"1000", "100", "10", "1"} <= set(labels)
    assert drawn([(0, math.nan)], 40, 10) == ["nothing yet"]
    assert drawn([(0, 1.0), (10, 2.0)], 12, 10) == ["a larger window shows the curve"]
    huge = drawn([(0, -1.7e308), (10, 1.7e308)], 40, 10)
    assert len(huge) == 10, "the whole may be more than a float"


@pytest.fixture
def seen(host: Host, file: Path) -> Any:
    one = engine(host, file)
    one.handle(RunTo(7 * S))
    go(one)
    found = one.plan, view(one)
    one.world.close()
    return found


def test_the_strip_shows_what_was_and_what_comes_under_the_hand(seen: Any) -> None:
    """20 s on 100 cells beside 11 of names; cut from 6 s to 9 s, now 7 s, a write at 12 s."""
    plan, found = seen
    lines = [line.plain for line in strip.lines(plan, found, 111, 4)]
    cloud, tank, scale = lines
    assert cloud.startswith("cloud ")
    cells = cloud[11:]
    hand = 7 * 99 // 20
    assert cells[hand] == "┃"
    assert set(cells[6 * 99 // 20 : hand]) == {"▆"}
    assert set(cells[hand + 1 : 9 * 99 // 20 + 1]) == {"░"}
    assert set(cells[: 6 * 99 // 20]) == {"─"}
    assert tank[11:][12 * 99 // 20] == "!"
    assert "0:05" in scale
    assert strip.entries(plan, found) == [6 * S, 9 * S, 12 * S]
    assert [strip.instant(plan, 111, x) for x in (0, 11, 110, 500)] == [0, 0, 20 * S, 20 * S]
    assert strip.wanted(plan, found) == 3
    spans = tuple(Span(i * S, -1, "write", f"tanks/{i}") for i in range(1, 8))
    many = replace(found, entries=replace(found.entries, spans=spans))
    assert [line.plain.split()[0] for line in strip.lines(plan, many, 111, 4)][2] == "+"


def test_all_devices_by_how_their_points_end(seen: Any) -> None:
    plan, found = seen

    def lines(of: str, levels: list[int], height: int = 10) -> list[str]:
        figures = Figures(levels=Levels(of, bytes(levels), 50_000_000))
        return [line.plain for line in heat.lines(plan, replace(found, figures=figures), 60, height)]

    for of in (WRONG, QUALITY):
        shown = lines(of, [0, 1, 2, 3, 4, 0, UNKNOWN])
        assert [line.split() for line in shown[:3]] == [["presses", "·░▒▓"], ["meters", "█·"], ["tanks", "○"]]
    shown = lines(LATENCY, [0, 1, 2, 3, 0, 0, UNKNOWN])
    assert [line.split() for line in shown[:3]] == [["presses", "·▒▓█"], ["meters", "··"], ["tanks", "○"]]
    assert shown[3] == "worst: · <½ ▒ >½ ▓ beyond █ never of 50 ms"
    assert lines(WRONG, [0] * 7, 3)[1] == "and 3 more devices"
    assert heat.device_at(plan, 60, heat.NAME + 1, 1) == 5
    assert heat.device_at(plan, 60, heat.NAME + 2, 1) is None
    assert heat.device_at(plan, 60, 0, 0) is None


def test_fleets_are_joined_to_their_link_and_links_to_their_gateway(seen: Any) -> None:
    plan, found = seen
    lines = [line.plain for line in plant.lines(plan, found, 78, 10)]
    presses, tanks, meters = lines[1:4]
    assert "─┬─ plant" in presses
    assert tanks.index("─╯") == presses.index("─┬")
    assert meters.index("─── line") == presses.index("─┬─ plant")
    assert presses.split()[1:5] == ["presses", "4", "0", "80"]
    gateway = next(line for line in lines if "[gw" in line)
    assert "✓ up]" in gateway
    assert "cloud ✗" in gateway, "cut from 6 s to 9 s"


def test_fleets_in_trouble_are_kept_where_not_all_are_seen(seen: Any) -> None:
    """Three fleets, two lines below the heads: the one that has lost something, and how many more there are."""
    plan, found = seen
    figures = replace(found.figures, lost=(0, 0, 3))
    lines = plant.lines(plan, replace(found, figures=figures), 78, 3)
    assert [line.plain.split()[1] for line in lines[1:]] == ["tanks", "2"]
    assert "and 2 more fleets" in lines[-1].plain


@pytest.mark.parametrize("size", [(80, 18), (100, 21), (120, 28), (200, 46), (400, 120)])
def test_panes_of_the_overview_fill_its_window(seen: Any, size: tuple[int, int]) -> None:
    """Column by column; of two side by side the one to the left is the higher, so that the grid fills right."""
    plan, found = seen
    rows = layout.overview_rows(plan, found, *size)
    assert rows["plant"] + rows.get("log", 0) + (0 if size[0] >= layout.WIDE else rows["expect"]) == size[1]
    if size[0] >= layout.WIDE:
        assert rows["expect"] + rows["p99"] == size[1]
        assert rows["plant"] > rows["expect"]
    if size[0] >= layout.HUGE:
        assert rows["heat"] + rows["where"] + rows.get("busy", 0) == size[1]
        assert "busy" not in rows or rows["heat"] + rows["where"] > rows["plant"], (
            "the log's place comes first"
        )
        assert rows["plant"] > rows["heat"] > rows["expect"]
    assert min(rows.values()) >= 4


@pytest.mark.parametrize("width", [1, 18, 78, 118, 198])
@pytest.mark.parametrize("height", range(1, 13))
def test_no_pane_has_less_than_a_line_in_a_tiny_window(seen: Any, width: int, height: int) -> None:
    """The grid breaks over a pane of less; one that has no line isn't there."""
    rows = layout.overview_rows(*seen, width, height)
    assert rows
    assert all(1 <= lines <= height for lines in rows.values())


def test_a_tiny_window_is_drawn(host: Host, file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        for size in ((20, 5), (120, 4)):
            await pilot.resize_terminal(*size)
            await pilot.pause()

    with_app(file, body, (80, 24), inline(host))


def test_no_stage_is_told_by_its_colour_alone() -> None:
    assert len(set(latency.FILLS)) == len(latency.FILLS) == len(latency.COLOURS) == len(set(latency.COLOURS))


def test_the_hand_can_be_dragged(host: Host, file: Path) -> None:
    """On to the end's half, and back: where the mouse lets go, there the clock goes."""

    async def body(app: Twinloop, pilot: Any) -> None:
        assert app.plan is not None
        width = app.base.query_one(layout.Strip).size.width
        x = 11 + (width - 12) // 2
        goal_ns = strip.instant(app.plan, width, x)
        await pilot.mouse_down(layout.Strip, offset=(30, 2))
        await pilot.hover(layout.Strip, offset=(x + 1, 2))
        await pilot.mouse_up(layout.Strip, offset=(x + 1, 2))
        await until(pilot, lambda: app.feed.sent == [RunTo(goal_ns)])  # type: ignore[attr-defined]
        await until(pilot, lambda: app.view is not None and app.view.snapshot.now_ns > 9 * S)
        await pilot.mouse_down(layout.Strip, offset=(12, 2))
        await pilot.mouse_up(layout.Strip, offset=(12, 2))
        await until(pilot, lambda: app.feed.sent[-1] == Rewind(0))  # type: ignore[attr-defined]

    with_app(file, body, (120, 40), inline(host))

"""The log: what is found by kinds and words, where somebody stands in it, what is drawn, its keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, OptionList

from tests.tui.scene import Inline, S, inline, text_of, until, with_app
from twinloop.components.host.host import Host
from twinloop.tui.drawing.look import BAD, GOOD, LATE
from twinloop.tui.engine.messages import LogLine, Rewind, RunTo
from twinloop.tui.engine.watch import LOG_MAX
from twinloop.tui.screens.finding import log
from twinloop.tui.screens.finding.log import LogReader
from twinloop.tui.screens.finding.log_kinds import LogKinds
from twinloop.tui.terminal.app import Twinloop


def line(number: int, kind: str = "link", text: str = "cloud cut") -> LogLine:
    return LogLine(number, number * S, kind, text)


def reader(*lines: LogLine) -> LogReader:
    found = LogReader()
    found.see(lines, ())
    return found


def found(one: LogReader) -> list[int]:
    return [each.number for each in one.look().found]


def plain(one: LogReader, width: int = 80, height: int = 10) -> list[str]:
    return [text.plain.rstrip() for text in log.lines(one.look(), width, height)]


def test_lines_are_found_by_kinds_and_words() -> None:
    one = reader(
        line(1),
        line(2, "session", "gw up 1"),
        line(3, "link", "cloud heal"),
        line(4, "fault", "gw/route trap"),
    )
    assert log.counts(one.kept) == {"fault": 1, "link": 2, "session": 1}
    one.hide(frozenset({"session"}))
    assert found(one) == [1, 3, 4]
    one.filter("CLOUD link")
    assert found(one) == [1, 3], "each word, in the kind or in the text, in small or large letters"
    one.hide(frozenset())
    one.filter("gw")
    assert found(one) == [2, 4]
    one.filter("xyzzy")
    assert plain(one)[1] == "no line is like that"
    assert one.chosen is None
    one.move(1)
    assert plain(reader())[1] == "nothing yet"


def test_it_follows_the_newest_until_somebody_moves_and_from_the_end_on_again() -> None:
    lines = [line(number) for number in range(1, 6)]
    one = reader(*lines[:4])
    assert one.chosen == lines[3]
    assert "▼ follows the newest" in plain(one)[0]
    one.see(tuple(lines), ())
    assert one.chosen == lines[4]
    one.move(-2)
    assert one.chosen == lines[2]
    assert "❚❚ stands still, 2 newer: end follows again" in plain(one)[0]
    more = (*lines, line(6))
    one.see(more, ())
    assert one.chosen == lines[2], "it stands where it stood"
    one.move(99)
    one.see((*more, line(7)), ())
    assert one.chosen == line(7), "it follows again"
    one.to_end(False)
    assert one.chosen == lines[0]
    one.see((*more[2:], line(7)), ())
    assert one.chosen == lines[2], "its line is gone: the oldest that is left"
    one.to_end(True)
    assert one.look().follows


def test_what_fell_out_is_counted() -> None:
    one = reader(*(line(number) for number in range(1205, 1205 + LOG_MAX)))
    assert plain(one)[:2] == [
        "2 000 lines  ▼ follows the newest",
        "1 204 older lines are gone: the log keeps 2 000",
    ]
    assert "gone" not in "".join(plain(reader(line(1), line(2))))
    assert "1 older line is gone" in plain(reader(line(2)))[1]


def test_lines_that_were_seen_before_it_went_back_come_again_unless_something_is_done() -> None:
    lines = tuple(line(number) for number in range(1, 6))
    one = reader(*lines)
    one.went_back()
    one.see(lines[:2], ())
    assert (found(one), one.look().happened, one.chosen) == ([1, 2, 3, 4, 5], 2, lines[1])
    assert plain(one)[3].endswith(log.TO_COME)
    one.move(2)
    assert one.chosen == lines[3], "one can go there"
    one.see(lines[:4], ())
    assert (found(one), one.look().happened) == ([1, 2, 3, 4, 5], 4)
    one.went_back()
    one.see(lines[:1], ((2, "cut: cloud"),))
    assert found(one) == [1], "with something else done they needn't come"


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (20, 5), (5, 1), (40, 2)])
def test_the_chosen_line_is_always_seen_and_nothing_is_larger_than_the_pane(size: tuple[int, int]) -> None:
    one = reader(
        *(line(number, "fault", f"gw/route trap {'in a function ' * 9}") for number in range(1, 101))
    )
    for by in (0, -1, -50, -99, 7):
        one.move(by)
        drawn = log.rows(one.look(), *size)
        assert len(drawn) <= size[1]
        if size[1] > 1:
            assert any(row is one.chosen for row, _ in drawn), by
        if size[0] >= 40:
            assert all(text.cell_len <= size[0] for _, text in drawn)


def test_a_line_has_a_mark_a_sign_when_a_kind_and_words_and_the_chosen_one_is_there_in_full() -> None:
    one = reader(
        line(1), line(75, "fault", "gw/route trap " + "unreachable " * 8), line(80, "session", "gw up")
    )
    one.move(-1)
    assert plain(one, 60) == [
        "3 lines  ❚❚ stands still, 1 newer: end follows again",
        "  ! 0:00:01.000  link      cloud cut",
        "▸ ✗ 0:01:15.000  fault     gw/route trap unreachable",
        "                           unreachable unreachable",
        "                           unreachable unreachable",
        "                           unreachable unreachable",
        "                           unreachable",
        "  ✓ 0:01:20.000  session   gw up",
    ]
    assert [log.token_of(*pair) for pair in (("link", "cloud heal"), ("trouble", "crash gw begin"))] == [
        GOOD,
        BAD,
    ]
    assert (log.token_of("limit", "x"), log.token_of("session", "gw waiting")) == (LATE, None)


def test_the_keys_of_the_log(host: Host, file: Path) -> None:
    """Cut at 6 s and healed at 9 s; at 15 s somebody looks at the cut and goes there, and on to the heal."""

    async def body(app: Twinloop, pilot: Any) -> None:
        def sent() -> list[Any]:
            assert isinstance(app.feed, Inline)
            return app.feed.sent

        app.feed.send(RunTo(15 * S))
        await until(pilot, lambda: app.view is not None and app.view.snapshot.now_ns > 14 * S)
        await pilot.press("7", "k")
        box = app.screen
        assert isinstance(box, LogKinds)
        kinds = [str(option.id) for option in box.query_one(OptionList).options]
        assert "link" in kinds
        await pilot.press("a")
        assert app.reader.look().found == ()
        box.query_one(OptionList).highlighted = kinds.index("link")
        await pilot.press("space", "escape")
        assert [one.text for one in app.reader.look().found] == ["cloud cut", "cloud heal"]
        await pilot.press("slash")
        app.base.query_one("#ask", Input).value = "cut"
        await until(pilot, lambda: len(app.reader.look().found) == 1)
        await pilot.press("escape")
        assert len(app.reader.look().found) == 2
        await pilot.press("home", "enter")
        assert sent()[-1] == Rewind(6 * S)
        await until(pilot, lambda: app.view is not None and app.view.rewind.count == 1)
        await until(pilot, lambda: app.view is not None and app.view.mode == "paused" and bool(app.log_lines))
        assert [one.text for one in app.reader.look().found] == ["cloud cut", "cloud heal"]
        assert app.reader.look().happened == 1
        await pilot.pause()
        assert log.TO_COME in text_of(app)
        await pilot.press("down", "enter")
        assert sent()[-1] == RunTo(9 * S)
        await until(pilot, lambda: app.reader.look().happened == 2)
        pane = app.base.query_one("#lines")
        pane.on_mouse_scroll_up(None)  # type: ignore[attr-defined]
        assert app.reader.chosen is not None
        assert app.reader.chosen.text == "cloud cut"
        await pilot.click("#lines", offset=(5, 3))
        assert app.reader.chosen.text == "cloud heal"
        await pilot.press("pageup")
        assert app.reader.chosen.text == "cloud cut"
        pane.on_mouse_scroll_down(None)  # type: ignore[attr-defined]
        await pilot.press("up", "end")
        assert app.reader.look().follows

    with_app(file, body, start=inline(host))

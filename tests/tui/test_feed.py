"""The screen's end of the engine's process."""

from __future__ import annotations

import time
from pathlib import Path

from tests.tui.scene import WAIT_S
from twinloop.tui.engine.feed import Feed
from twinloop.tui.engine.messages import Died, Pause, Refused


def test_a_command_into_a_broken_pipe_does_not_hide_that_the_engine_died(file: Path) -> None:
    feed = Feed(file, None)
    feed._process.kill()
    feed._process.join()
    ends, said = time.monotonic() + WAIT_S, []
    while not said and time.monotonic() < ends:
        feed.send(Pause())  # the pipe may be found broken here first
        said = [one for one in feed.take() if isinstance(one, Died)]
    assert said[0].text == "the engine's process ended with code -9"
    assert feed.left(80) == "no report: the engine has died\n"
    feed.close()


def test_the_feed_ends_its_process_and_says_what_is_wrong(file: Path, tmp_path: Path) -> None:
    feed = Feed(tmp_path / "none.yaml", None)
    ends, said = time.monotonic() + WAIT_S, []
    while not said and time.monotonic() < ends:
        said = feed.take()
    assert isinstance(said[0], Refused)
    assert "no such file" in said[0].text
    feed.close()
    assert not feed.alive

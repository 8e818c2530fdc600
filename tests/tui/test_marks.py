"""Rewinding by forks: what a woken mark goes on with is what a fresh run comes to; nobody is left over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from tests.tui.scene import SCENARIO, WAIT_S, S, engine, go, view
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load, load_text
from twinloop.scenarios.planning.plan import Planner
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.north.flash import FlashFile
from twinloop.sim.world import World
from twinloop.tui.engine import marks
from twinloop.tui.engine.feed import Feed
from twinloop.tui.engine.marks import MARKS_MAX, Mark, Marks
from twinloop.tui.engine.messages import (
    Command,
    Died,
    Do,
    Done,
    Look,
    Play,
    Reply,
    Rewind,
    RunTo,
    Save,
    View,
    Wrong,
)

pytestmark = pytest.mark.skipif(not marks.possible(), reason="no forks here")
LONGER = SCENARIO.replace("duration: 20 s", "duration: 120 s").replace(
    "timeline:\n",
    "timeline:\n  - {at: 15 s, power-cut: gw, for: 2 s}\n  - {at: 40 s, cut: cloud, for: 20 s}\n",
)


class Seat:
    """Somebody at the screen."""

    def __init__(self, file: Path) -> None:
        self.feed = Feed(file, None)
        self.view: View | None = None
        self.views = 0
        self.said: list[Reply] = []
        self.until(lambda view: True)

    def until(self, holds: Callable[[View], bool]) -> View:
        ends = time.monotonic() + WAIT_S
        while time.monotonic() < ends:
            self.feed.look(Look(2))
            for reply in self.feed.take():
                assert not isinstance(reply, Died | Wrong), reply
                if isinstance(reply, View):
                    self.view, self.views = reply, self.views + 1
                else:
                    self.said.append(reply)
            if self.view is not None and holds(self.view):
                return self.view
            time.sleep(0.005)
        raise AssertionError("it didn't come about")

    def go(self, command: Command) -> View:
        """Send it, and wait until it stands still after it."""
        self.said.clear()
        self.feed.send(command)
        enough = self.views + 2  # the next may have been asked for before
        return self.until(lambda view: self.views >= enough and view.mode in ("paused", "over"))

    def play(self) -> View:
        """To the end, with a mark at 40 s and at 80 s at the least: however slow the machine is, it is waited
        for."""
        assert self.view is not None
        for number, at_ns in enumerate((40 * S, 80 * S), 2):
            found = self.go(RunTo(at_ns))
            ends = time.monotonic() + WAIT_S
            while len(found.rewind.marks) < number:
                assert time.monotonic() < ends, "no mark was made"
                time.sleep(0.05)
                found = self.go(RunTo(at_ns))
        return self.go(Play(None))


@contextmanager
def seat(file: Path, text: str) -> Iterator[Seat]:
    file.write_text(text, encoding="utf-8")
    one = Seat(file)
    try:
        yield one
    finally:
        one.feed.close()
    assert not one.feed.alive


def settled(found: View) -> tuple[Any, ...]:
    """What is the same however an instant was come to."""
    shot = found.snapshot
    return (
        shot.now_ns,
        shot.events,
        shot.due,
        shot.ends,
        shot.latency,
        shot.gateways,
        found.rows,
        found.figures,
        found.latency,
        found.slowest,
        found.entries.stamped,
        found.carried_per_s,
        found.delivered_per_s,
    )


def test_a_woken_mark_is_a_fresh_run_to_that_instant(
    host: Host, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a power cut behind it, a store that fills, commands before and after; twice back and on again."""
    with seat(file, LONGER) as one:
        one.go(RunTo(20 * S))
        one.go(Do({"cut": "plant", "for": "1 s"}))
        end = one.play()
        assert end.mode == "over"
        assert len(end.rewind.marks) > 1, "it has left marks on its way"
        assert list(end.rewind.marks) == sorted(end.rewind.marks)
        fresh = engine(host, file)
        fresh.handle(RunTo(20 * S))
        go(fresh)
        fresh.handle(Do({"cut": "plant", "for": "1 s"}))
        for to_ns in (90 * S, 50 * S, 16 * S):
            back = one.go(Rewind(to_ns))
            assert [reply.text for reply in one.said if isinstance(reply, Done)][-1].startswith(
                f"back to {to_ns // S} s"
            )
            again = engine(host, file)
            if to_ns > 20 * S:
                again.handle(RunTo(20 * S))
                go(again)
                again.handle(Do({"cut": "plant", "for": "1 s"}))
            again.handle(RunTo(to_ns))
            go(again)
            assert settled(back) == settled(view(again, 2))
            again.world.close()
            over = one.go(Play(None))
            assert (over.digest == end.digest) is (to_ns > 20 * S), (
                "the command before it is done again, the one after it isn't"
            )
        fresh.handle(Play(None))
        go(fresh)
        assert end.digest == fresh.digest()
        fresh.world.close()


def test_no_mark_of_a_replay_holds_what_is_undone_later(host: Host, file: Path) -> None:
    """Back behind commands, on which a replay leaves marks of its own; then back behind the first of them."""
    with seat(file, LONGER) as one:
        for second in range(10, 110, 10):
            one.go(RunTo(second * S))
            one.go(Do({"cut": "plant", "for": "500 ms"}))
        one.go(Play(None))
        back = one.go(Rewind(105 * S))
        assert len(back.entries.stamped) == 10
        back = one.go(Rewind(35 * S))
        assert [at // S for at, _ in back.entries.stamped] == [10, 20, 30]
        end = one.go(Play(None))
        assert [at // S for at, what in end.entries.happened if what == "cut plant"] == [10, 20, 30]
        target = file.with_name("again.yaml")
        one.go(Save(str(target)))
        again = World(Planner(load(target), host).world(), host)
        again.run()
        assert again.trace.digest() == end.digest
        again.close()


def test_without_room_for_a_mark_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Host
) -> None:
    world = World(Planner(load_text(SCENARIO, Path("seen.yaml")), host).world(), host)
    found = Marks(tmp_path, Pipe(duplex=False)[0])

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FlashFile, "copy", full)
    assert found.take(world) is None
    assert found.kept == []
    assert not found.due(1 << 60), "not at once again"
    assert list(tmp_path.iterdir()) == [], "nothing is left of the try"
    world.close()


def test_marks_are_few_and_lie_closer_the_younger_they_are(tmp_path: Path) -> None:
    found = Marks(tmp_path, Pipe(duplex=False)[0])
    told = []
    for number in range(60):
        near, far = Pipe(duplex=False)
        found.kept.append(Mark(number, number * 1000, far))
        found._thin()
        told.append(near)
        assert len(found.kept) <= MARKS_MAX
    events = [mark.events // 1000 for mark in found.kept]
    assert (events[0], events[-1], len(events)) == (0, 59, MARKS_MAX)
    gaps = [later - earlier for earlier, later in pairwise(events)]
    assert gaps[0] > gaps[-1]
    assert all(59 - earlier <= 4 * max(1, 59 - later) for earlier, later in pairwise(events[1:-1])), (
        "no hole in between"
    )
    ended = [number for number, near in enumerate(told) if near.poll() and near.recv() is None]
    assert [number for number in range(60) if number not in ended] == events, "those that go are told"


def test_who_has_ended_is_passed_over(tmp_path: Path) -> None:
    found = Marks(tmp_path, Pipe(duplex=False)[0])
    alive, first = Pipe(duplex=False)
    gone, second = Pipe(duplex=False)
    gone.close()
    found.kept = [Mark(0, 0, first), Mark(5, 10, second)]
    assert found.wake(7, "order")
    assert alive.recv() == "order"
    assert not Marks(tmp_path, Pipe(duplex=False)[0]).wake(7, "order")


def test_a_killed_root_takes_everybody_with_it(file: Path) -> None:
    """Whoever is awake, and who sleeps: they hold their end of a pipe, and it ends."""
    with seat(file, LONGER) as one:
        end = one.play()
        assert len(end.rewind.marks) > 1
        assert one.feed._process.pid is not None
        one.feed._process.kill()
        ends = time.monotonic() + WAIT_S
        while not any(
            isinstance(reply, Died) for reply in one.feed.take()
        ):  # the last holder of the other end has gone
            assert time.monotonic() < ends, "somebody still holds the connection"
            time.sleep(0.01)


def test_a_copied_store_is_left_alone_by_the_other_process(tmp_path: Path) -> None:
    """Without a fork: what a copy is made of, uncommitted rows aside, and that the original isn't touched by
    who adopts it."""
    original = FlashFile(tmp_path / "a.sqlite", "gw", RandomStreams(1).stream("cuts"))
    original.db.execute("INSERT INTO batches (id, lane, sent) VALUES (1, 0, 0)")
    original.changed(1, there=True)
    original.begin_sync(100)
    original.end_sync()
    original.copy(tmp_path / "b.sqlite")
    before = (tmp_path / "a.sqlite").read_bytes(), (tmp_path / "a.sqlite-wal").read_bytes()
    original.db.execute("INSERT INTO batches (id, lane, sent) VALUES (2, 0, 0)")
    original.adopt(tmp_path / "b.sqlite")
    mine = (tmp_path / "a.sqlite").read_bytes()
    for name in ("a.sqlite", "a.sqlite-wal"):
        (tmp_path / name).rename(tmp_path / f"gone-{name}")  # whose files they were may have left
    original.changed(2, there=True)
    original.begin_sync(100)
    original.end_sync()
    original.db.execute("INSERT INTO batches (id, lane, sent) VALUES (3, 0, 0)")
    original.changed(3, there=True)
    assert original.cut_power() == {1: None, 2: None}
    assert before == (
        (tmp_path / "gone-a.sqlite").read_bytes(),
        (tmp_path / "gone-a.sqlite-wal").read_bytes(),
    )
    assert mine == before[0]
    original.close()
    for connection in original._inherited:
        connection.close()

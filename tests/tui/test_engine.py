"""The engine behind the terminal: it plays what a headless run plays, takes commands in time, rewinds, and
saves what reproduces it."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.components import guests
from tests.tui.scene import SCENARIO, WAIT_S, engine, go, view
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load, load_text
from twinloop.scenarios.planning.entries import parse_entry
from twinloop.scenarios.planning.plan import Planner
from twinloop.sim.kernel.clock import Timer
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.snapshot import take
from twinloop.sim.world import World
from twinloop.tui.engine import marks
from twinloop.tui.engine.feed import Feed
from twinloop.tui.engine.final_report import final_report
from twinloop.tui.engine.messages import (
    Died,
    Do,
    Done,
    Look,
    Pause,
    Play,
    Refused,
    Rewind,
    RunTo,
    RunUntil,
    Save,
    StepEvent,
    View,
    Wrong,
)
from twinloop.tui.engine.process import answer


def headless(host: Host, text: str) -> World:
    world = World(Planner(load_text(text, Path("seen.yaml")), host).world(), host)
    world.run()
    return world


def test_being_looked_at_changes_nothing(host: Host, file: Path) -> None:
    """Every device, its frames and values, in small steps; the digest is that of a run that nobody sees."""
    one = engine(host, file)
    for second in range(21):
        one.handle(RunTo(second * 1_000_000_000))
        go(one)
        assert view(one, second % 7).device is not None
        one.handle(StepEvent())
    one.handle(Play(None))
    go(one)
    assert one.mode == "over"
    alone = headless(host, SCENARIO)
    assert one.digest() == alone.trace.digest()
    seen = view(one)
    assert seen.verdict == "PASS"
    assert [verdict.verdict for verdict in seen.verdicts] == ["PASS"] * 3
    assert (seen.snapshot.due, seen.snapshot.ends) == (alone.ledger.due, take(alone).ends)
    alone.close()
    one.world.close()


def test_samples_on_their_way_break_no_share(host: Host, file: Path) -> None:
    """Half a second after they were due some are neither here nor lost: what has ended is judged."""
    file.write_text(
        SCENARIO.replace("expect:", "expect:\n  - ratio(samples.delivered) == 100 %"), encoding="utf-8"
    )
    one = engine(host, file)
    on_their_way = 0
    for ms in range(3000, 4000, 20):
        one.handle(RunTo(ms * 1_000_000))
        go(one)
        seen = view(one)
        assert [one.verdict for one in seen.verdicts if one.text == "ratio(samples.delivered) == 100 %"] == [
            "PASS"
        ]
        on_their_way += one.world.ledger.open > 0
    assert on_their_way > 10, "else it was tried with nothing open"
    one.world.close()


def test_what_is_done_live_is_saved_and_reproduces_the_session(
    host: Host, file: Path, tmp_path: Path
) -> None:
    one = engine(host, file)
    one.handle(RunTo(3_000_000_000))
    go(one)
    entries: list[dict[str, Any]] = [
        {"cut": "plant", "for": "2 s"},
        {"device-fault": "presses/any", "kind": "exception", "code": 4, "for": "1 s"},
        {"write": "presses/2", "point": "setpoint", "value": 4.5},
    ]
    for entry in entries:
        assert isinstance(one.handle(Do(entry)), Done)
    one.handle(RunTo(10_000_000_000))
    go(one)
    assert isinstance(one.handle(Do({"crash": "gw", "for": "1 s"})), Done)
    one.handle(Play(None))
    go(one)
    seen = view(one)
    assert [text.partition(":")[0] for _, text in seen.entries.stamped] == [
        "cut",
        "device-fault",
        "write",
        "crash",
    ]
    assert any(
        line.kind == "gateway" and "booting" in line.text and line.at_ns > 10_000_000_000 for line in seen.log
    )
    assert {state for state, _, count in seen.snapshot.ends if count} >= {"delivered", "missed"}
    target = tmp_path / "again.yaml"
    assert isinstance(one.handle(Save(str(target))), Done)
    assert "File exists" in getattr(one.handle(Save(str(target))), "text", "")
    again = World(Planner(load(target), host).world(), host)
    again.run()
    assert again.trace.digest() == one.digest()
    again.close()
    one.world.close()


def test_rewinding_is_a_fresh_run_to_that_instant(host: Host, file: Path) -> None:
    """What was done before it is done again, what was done after it isn't; and from there it goes on as
    ever."""
    one = engine(host, file)
    one.handle(RunTo(4_000_000_000))
    go(one)
    one.handle(Do({"cut": "plant", "for": "1 s"}))
    one.handle(RunTo(11_000_000_000))
    go(one)
    one.handle(Do({"crash": "gw", "for": "1 s"}))
    one.handle(RunTo(15_000_000_000))
    go(one)
    back = one.handle(Rewind(9_000_000_000))
    assert isinstance(back, Done)
    assert "1 live command after it is undone" in back.text
    assert one.mode == "rewinding"
    assert isinstance(one.handle(Do({"crash": "gw"})), Wrong)
    go(one)
    fresh = engine(host, file)
    fresh.handle(RunTo(4_000_000_000))
    go(fresh)
    fresh.handle(Do({"cut": "plant", "for": "1 s"}))
    fresh.handle(RunTo(9_000_000_000))
    go(fresh)
    mine, theirs = (view(both, 2, tuple(range(7)), levels="latency", loads=True) for both in (one, fresh))
    assert mine.snapshot.now_ns == theirs.snapshot.now_ns
    assert (mine.snapshot.ends, mine.snapshot.events, mine.latency, mine.slowest) == (
        theirs.snapshot.ends, theirs.snapshot.events, theirs.latency, theirs.slowest
    )  # fmt: skip
    assert (mine.rows, mine.figures) == (theirs.rows, theirs.figures)
    assert mine.figures.loads is not None
    assert len(mine.figures.loads.from_ns) >= 8

    for both in (one, fresh):
        both.handle(Play(None))
        go(both)
        both.world.close()
    assert one.digest() == fresh.digest()


def test_the_clock(host: Host, file: Path) -> None:
    one = engine(host, file)
    one.handle(StepEvent())
    assert one.world.events >= 1
    one.handle(RunUntil("trouble"))
    go(one)
    assert 12_000_000_000 <= one.world.env.now < 12_100_000_000, "the write"
    one.handle(Play(Fraction(1000)))
    assert one.mode == "playing"
    for _ in range(3):
        one.slice()
    one.handle(Pause())
    at = one.world.env.now
    one.slice()
    assert one.world.env.now == at
    one.handle(Play(None))
    go(one)
    assert one.mode == "over"
    for command in (Play(None), Pause(), StepEvent(), RunTo(1)):
        one.handle(command)
        assert one.mode == "over"
    assert isinstance(one.handle(Do({"crash": "gw"})), Wrong)
    one.world.close()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"cut": "clod"}, 'did you mean "cloud"'), ({"cutt": "cloud"}, 'did you mean "cut"?'), ({"cut": "cloud", "at": "3 s"}, "it happens now"),
        ({"cut": "cloud", "for": "soon"}, "expected a duration"), ({"flap": "cloud", "down": "1 s", "up": "1 s"}, 'flap needs "for"'),
        ({"write": "presses/2", "point": "setpoint"}, 'write needs "value"'), ({"restart": "gw", "for": "1 s"}, "it has no end"),
        ({"cut": "cloud", "device-fault": "presses"}, "expected exactly one of"), ({"device-fault": "presses", "kind": "sad"}, "unknown fault"),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_is_refused_as_in_a_file(
    host: Host, file: Path, entry: dict[str, Any], message: str
) -> None:
    one = engine(host, file)
    reply = one.handle(Do(entry))
    assert isinstance(reply, Wrong)
    assert message in reply.text
    assert one.live.entries == []
    one.world.close()


def test_frames_and_values_of_the_chosen_device(host: Host, file: Path) -> None:
    one = engine(host, file)
    for index, way in ((1, b"\x03"), (5, b"\x03"), (6, b"MSGF")):
        answer(one, Look(index))
        one.handle(RunTo(max(0, one.world.env.now) + 3_000_000_000))
        go(one)
        found = view(one, index).device
        assert found is not None
        assert found.index == index
        assert {frame.way for frame in found.frames} >= {">", "<"}
        assert any(way in frame.data[:8] or way == frame.data[:4] for frame in found.frames)
        assert len(found.values) == len(one.plan.devices[index].points)
        assert len(found.history) == len(found.values)
    one.world.close()


def test_every_verb_can_be_done_live_and_saved(host: Host, file: Path) -> None:
    """With targets and keys as the form offers them; releases come from the registry, though the file orders
    none."""
    registry = Path("scenarios/library/registry").resolve()
    text = SCENARIO.replace(
        "timeline:\n", f"registry: {{path: {registry}, trust: [{registry}/demo.pub]}}\ntimeline:\n"
    )
    file.write_text(text.replace("wasm: route.wasm,", "wasm: route.wasm, version: 1.0.0,"), encoding="utf-8")
    one = engine(host, file)
    one.handle(RunTo(2_000_000_000))
    go(one)
    given = {"to": {"loss": "2 %"}, "kind": "silent", "value": 0.0}
    done = []
    for verb in one.plan.verbs:
        if not verb.targets:
            continue
        entry: dict[str, Any] = {
            verb.name: "gw/route"
            if verb.name == "upgrade"
            else "presses/2"
            if verb.name == "write"
            else verb.targets[0]
        }
        for key in verb.keys:
            if key.needed:
                entry[key.name] = given.get(key.name, key.choices[0] if key.choices else key.example)
            elif key.name == "for":
                entry["for"] = "1 s"
        reply = one.handle(Do(entry))
        assert isinstance(reply, Done), (entry, reply)
        done.append(verb.name)
        one.handle(RunTo(one.world.env.now + 500_000_000))
        go(one)
    assert [verb.name for verb in one.plan.verbs if verb.name not in done] == ["partition"], (
        "there is no pair"
    )
    one.handle(Play(None))
    go(one)
    assert one.broken == ""
    target = file.with_name("again.yaml")
    assert isinstance(one.handle(Save(str(target))), Done)
    again = World(Planner(load(target), host).world(), host)
    again.run()
    assert again.trace.digest() == one.digest()
    assert {trouble.target for trouble in again.rollout.orders} == {"gw/route"}
    again.close()
    one.world.close()


def saved(one: Any, host: Host, target: Path) -> str:
    """The digest of a headless run of what was saved."""
    assert isinstance(one.handle(Save(str(target))), Done)
    again = World(Planner(load(target), host).world(), host)
    again.run()
    digest = again.trace.digest()
    again.close()
    return digest


def test_a_command_at_the_instant_at_which_an_earlier_one_ends(host: Host, file: Path) -> None:
    """Both would lie at now + 1 ns; live, the end is on the timeline first, in a file the entry would be. Two
    at once keep their order."""
    one = engine(host, file)
    for second in (3, 4, 5):
        one.handle(RunTo(second * 1_000_000_000))
        go(one)
        for entry in ({"cut": "plant", "for": "1 s"}, {"crash": "gw", "for": "500 ms"}):
            assert isinstance(one.handle(Do(entry)), Done)
    at = [action.at_ns for action, _ in one.live.entries]
    assert at == [3_000_000_001, 3_000_000_002, 4_000_000_002, 4_000_000_003, 5_000_000_001, 5_000_000_003], (
        "the first instants that are free"
    )
    one.handle(Play(None))
    go(one)
    assert saved(one, host, file.with_name("again.yaml")) == one.digest()
    one.world.close()


def test_a_rewind_during_a_rewind_counts_from_where_the_first_leads(
    host: Host, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinloop.tui.engine.engine.SLICE_EVENTS", 300)
    one = engine(host, file)
    for second in (4, 8, 12):
        one.handle(RunTo(second * 1_000_000_000))
        go(one)
        one.handle(Do({"cut": "plant", "for": "1 s"}))
    one.handle(RunTo(16_000_000_000))
    go(one)
    one.handle(Rewind(14_000_000_000))
    one.slice()
    assert one.mode == "rewinding"
    assert view(one).rewind.goal_ns == 14_000_000_000
    for command in (Play(None), StepEvent(), RunTo(1), RunUntil("trouble")):
        assert isinstance(one.handle(command), Wrong), "the clock is in other hands"
    back = one.handle(Rewind(13_000_000_000))
    assert isinstance(back, Done)
    assert "undone" not in back.text
    assert len(one.live.entries) == 3
    one.slice()
    waiting = [entry[3].arguments for entry in one.world.env._queue if isinstance(entry[3], Timer)]
    assert not any(action in arguments for action, _ in one.live.entries for arguments in waiting), (
        "nothing that is undone later waits in a world"
    )
    stopped = one.handle(Pause())
    assert isinstance(stopped, Done)
    now = one.world.env.now
    assert one.mode == "paused"
    assert all(action.at_ns <= now for action, _ in one.live.entries), "what lies before it isn't done"
    assert view(one).rewind.count == 2
    one.handle(Play(None))
    go(one)
    assert saved(one, host, file.with_name("again.yaml")) == one.digest()
    one.world.close()


def test_a_file_saved_where_it_is_another_scenario_is_refused(host: Host, file: Path, tmp_path: Path) -> None:
    """Its own component lies beside it; elsewhere the shipped one of that name would be taken."""
    (file.parent / "normalize.wasm").write_bytes(
        Path("scenarios/library/registry/normalize/1.1.0/normalize.wasm").read_bytes()
    )
    one = engine(host, file)
    (tmp_path / "elsewhere").mkdir()
    reply = one.handle(Save(str(tmp_path / "elsewhere" / "again.yaml")))
    assert isinstance(reply, Wrong)
    assert "save it there" in reply.text
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert isinstance(one.handle(Save(str(file.with_name("again.yaml")))), Done)
    for name, message in (
        (str(tmp_path / "no" / "x.yaml"), "No such file"),
        ("a\0b", "null"),
        (str(tmp_path), "exists"),
    ):
        reply = one.handle(Save(name))
        assert isinstance(reply, Wrong)
        assert message in reply.text
    one.world.close()


def test_a_full_disk_leaves_no_half_file(host: Host, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = engine(host, file)

    really = Path.open

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    def opened(self: Path, mode: str = "r", **more: Any) -> Any:
        found = really(self, mode, **more)
        if mode == "x":
            found.flush = full  # type: ignore[method-assign]
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", opened)
        reply = one.handle(Save(str(file.with_name("again.yaml"))))
    assert isinstance(reply, Wrong)
    assert "No space left" in reply.text
    assert not file.with_name("again.yaml").exists()
    assert isinstance(one.handle(Save(str(file.with_name("again.yaml")))), Done)
    one.world.close()


@pytest.mark.parametrize("text", ["1e5", "true", "yes", "0x10", "2026-11-23", "null", "~", "01:30", ""])
def test_text_that_looks_like_something_else_is_saved_as_text(host: Host, file: Path, text: str) -> None:
    file.write_text(SCENARIO.replace("name: seen", f'name: seen\ndescription: "{text}"'), encoding="utf-8")
    one = engine(host, file)
    assert isinstance(one.handle(Save(str(file.with_name("again.yaml")))), Done)
    assert load(file.with_name("again.yaml")).scenario.description == text
    one.world.close()


@pytest.mark.parametrize(("typed", "entry"), [
    ("degrade: cloud, to: {preset: lte}", {"degrade": "cloud", "to": {"preset": "lte"}}),
    ("{degrade: cloud, to: {loss: 2 %}}", {"degrade": "cloud", "to": {"loss": "2 %"}}), (" cut: cloud ", {"cut": "cloud"}),
])  # fmt: skip
def test_typed_entries(typed: str, entry: dict[str, Any]) -> None:
    assert parse_entry(typed) == entry


def test_what_follows_an_event_is_told(host: Host, file: Path) -> None:
    file.write_text(
        SCENARIO.replace(
            "timeline:\n", "timeline:\n  - {after: heal cloud + 1 s, write: tanks/1, point: pump, value: 1}\n"
        ),
        encoding="utf-8",
    )
    one = engine(host, file)
    assert one.plan.reactions == ("write tanks/1 1 s after heal cloud",)
    one.handle(RunTo(11_000_000_000))
    go(one)
    assert view(one).entries.happened == ((6_000_000_000, "cut cloud"), (10_000_000_000, "write tanks/1"))
    one.world.close()


@pytest.mark.parametrize("command", [Play(None), StepEvent()])
def test_a_broken_promise_of_ours_is_the_end_and_is_in_the_report(
    host: Host, file: Path, monkeypatch: pytest.MonkeyPatch, command: Any
) -> None:
    """Found while it plays, flat out or by one step: BROKEN, never PASS, and the engine lives."""
    one = engine(host, file)

    def broken(*_: Any) -> bool:
        raise InvariantError("presses/2 k=2 is in nobody's care")

    monkeypatch.setattr(one.world, "some", broken)
    one.handle(command)
    go(one)
    assert one.mode == "over"
    assert view(one).verdict == "BROKEN: presses/2 k=2 is in nobody's care"
    report = final_report(one, 100)
    assert "BROKEN" in report
    assert "PASS" not in report
    assert "presses/2 k=2" in report
    one.world.close()


LONG = """\
(i32.store (i32.const 4000) (i32.add (i32.load (i32.const 4000)) (i32.const 1)))
(if (i32.eq (i32.load (i32.const 4000)) (i32.const 6)) (then
  (loop $l (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br_if $l (i32.lt_u (local.get 0) (i32.const 500000))))))
EMPTY"""
"""its sixth poll computes for longer than a slice"""


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A plant one of whose drivers has a long call after five short ones, 2.5 s after the beginning."""
    (tmp_path / "long.wat").write_bytes(guests.driver_text(LONG))
    path = tmp_path / "long.yaml"
    path.write_text(
        SCENARIO.replace(
            "components:\n",
            "components:\n  thinker: {wasm: long.wat, grants: [fieldbus, clock, log], limits: {cpu: 400 ms}}\n",
        )
        .replace("driver: modbus-driver}\n  meters", "driver: thinker}\n  meters")
        .replace("expect:", "expect:\n  - count(samples.missed) <= 100000"),
        encoding="utf-8",
    )
    return path


def alone(file: Path) -> str:
    """The digest of a run that nobody sees, on fibers from its beginning."""
    host = Host()
    world = World(Planner(load(file), host).world(), host)
    world.run()
    world.close()
    host.close()
    return world.trace.digest()


def test_a_long_call_begins_the_run_anew_and_nothing_else_is_seen_of_it(long: Path) -> None:
    """It is met once, is told once, with its component's name; then the run is where it was, at the same
    pace, with what was done live."""
    host = Host(fibers=False)
    one, said = engine(host, long), list[Done]()
    one.handle(RunTo(1_000_000_000))
    go(one)
    done = one.handle(Do({"cut": "cloud", "for": "500 ms"}))
    assert isinstance(done, Done)
    one.handle(Play(Fraction(1000)))
    modes = list[str]()
    while one.mode in ("playing", "rewinding"):
        told = one.slice()
        modes += [one.mode] if modes[-1:] != [one.mode] else []
        if told is not None:
            said.append(told)
            assert one.mode == "rewinding"
            assert one.world.env.now < 0
            assert 2_000_000_000 < one.goal_ns < 4_000_000_000
            assert isinstance(one.handle(Do({"cut": "cloud", "for": "500 ms"})), Wrong)
        assert one.speed == (None if one.mode == "rewinding" else 1000)
    assert modes == ["playing", "rewinding", "playing", "over"]
    assert [told.text for told in said] == [
        "calls of thinker take long: the run is played anew to where it was"
    ]
    assert one.broken == ""
    saved = long.with_name("saved.yaml")
    one.handle(Save(str(saved)))
    assert one.digest() == alone(saved)
    assert len(one.live.entries) == one.live.begun == 1
    one.world.close()
    host.close()


def test_a_step_that_meets_a_long_call_stands_still_behind_it(long: Path) -> None:
    host = Host(fibers=False)
    one = engine(host, long)
    said = None
    while said is None:
        assert one.mode == "paused"
        said = one.handle(StepEvent())
    stood_ns = one.goal_ns
    go(one)
    assert (one.mode, one.world.env.now) == ("paused", stood_ns)
    one.handle(Play(None))
    go(one)
    assert one.digest() == alone(long)
    one.world.close()
    host.close()


@pytest.mark.skipif(not marks.possible(), reason="no forks here")
def test_marks_of_a_run_that_began_anew_are_those_of_the_new_one(long: Path) -> None:
    """In its own process: it is told once, and what goes on from a mark comes to the same end."""
    feed = Feed(long, None)
    told: list[str] = []

    def until(holds: Callable[[View], bool]) -> View:
        ends = time.monotonic() + WAIT_S
        while time.monotonic() < ends:
            feed.look(Look())
            for reply in feed.take():
                assert not isinstance(reply, Died | Refused), reply
                if isinstance(reply, Done):
                    told.append(reply.text)
                elif isinstance(reply, View) and holds(reply):
                    return reply
            time.sleep(0.005)
        raise AssertionError("it didn't come about")

    feed.send(RunTo(2_000_000_000))
    before = until(lambda seen: seen.mode == "paused" and seen.snapshot.now_ns > 1_900_000_000)
    assert before.rewind.marks
    assert told == []
    feed.send(RunTo(5_000_000_000))
    until(lambda seen: seen.mode == "paused" and seen.snapshot.now_ns > 4_900_000_000)
    feed.send(Play(None))
    over = until(lambda seen: seen.mode == "over")
    assert [text.partition(" take")[0] for text in told] == ["calls of thinker"]
    feed.send(Rewind(4_000_000_000))
    back = until(lambda seen: seen.mode == "paused" and seen.rewind.count == 1)
    assert 3_900_000_000 < back.snapshot.now_ns <= 4_000_000_000
    feed.send(Play(None))
    again = until(lambda seen: seen.mode == "over")
    feed.close()
    assert over.digest == again.digest == alone(long)
    assert [text.partition(" take")[0] for text in told[1:]] == ["back to 4 s"]

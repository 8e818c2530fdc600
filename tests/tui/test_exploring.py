"""One sample again: what a replay says of it is what an independent run says, from a mark's fork and from the
beginning; and whoever looks changes nothing."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tui.scene import SCENARIO, WAIT_S, S, engine, go
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load
from twinloop.scenarios.judging.expressions import parse
from twinloop.scenarios.planning.plan import Planner
from twinloop.sim.accounts.latency import STAGES
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.trace import Record
from twinloop.sim.world import World
from twinloop.tui.engine import exploring, marks
from twinloop.tui.engine.engine import Engine
from twinloop.tui.engine.expectation_view import _badness, _behind_latency, expectation_view
from twinloop.tui.engine.explored import Gone, Known, SamplesView, SampleView, Slow, Wanted
from twinloop.tui.engine.feed import Feed
from twinloop.tui.engine.messages import Died, Do, Done, Look, Play, Refused, Rewind, RunTo, View
from twinloop.tui.engine.process import answer
from twinloop.tui.engine.standouts import GONE_MAX, SLOW_MAX, StandOuts, grid_ns
from twinloop.tui.screens import closer
from twinloop.tui.screens.closer import Closer

MISSING = (
    SCENARIO.replace("cut: cloud, for: 3 s", "cut: plant, for: 3 s")
    .replace("count(samples.lost) == 0", "count(samples.missed{fleet=presses}) == 0")
    .replace("heal cloud", "heal plant")
)


@pytest.fixture
def missing(tmp_path: Path) -> Path:
    """Devices that can't be reached for three seconds."""
    path = tmp_path / "missing.yaml"
    path.write_text(MISSING, encoding="utf-8")
    return path


def asked(one: Engine, sample: Known) -> SampleView:
    """Until it is there."""
    while True:
        found = answer(one, Look(closer=Wanted(sample=sample)))
        assert isinstance(found, View)
        assert found.closer.sample is not None, one.broken
        if not found.closer.sample.waits:
            return found.closer.sample


def recorded(host: Host, file: Path) -> tuple[str, list[Record]]:
    """The same scenario by itself."""
    world = World(Planner(load(file), host).world(), host)
    records: list[Record] = []
    world.trace.sinks.append(records.extend)
    world.run()
    world.trace.flush()
    world.close()
    return world.trace.digest(), records


def test_a_sample_is_what_an_independent_run_says(host: Host, file: Path) -> None:
    """Every figure of the page against the trace of a run that nobody saw; the stages, the calls and the
    frames by what must hold between them."""
    one = engine(host, file)
    one.handle(RunTo(1 << 62))
    go(one)
    slow = one.watch.standouts.slowest()[0]
    found = asked(one, slow)
    digest, records = recorded(host, file)
    assert one.digest() == digest, "who looks changes nothing"
    mine = [record for record in records if record[2:4] == (slow.device, found.k)]
    carried = [record for record in mine if record[1] == "carried"]
    assert [(record[4].bit_count(), record[6]) for record in carried] == [
        (points, total) for points, total, _ in found.verdicts
    ]
    ends = [(record[0], record[4].bit_count(), record[5], record[6]) for record in mine if record[1] == "end"]
    assert ends == [(one.at_ns, len(one.points), one.end, one.cause) for one in found.ends]
    due = next(record[0] for record in mine if record[1] == "due")
    assert due == slow.due_ns == found.pieces[0].begin_ns
    spent = [
        sum(piece.end_ns - piece.begin_ns for piece in found.pieces if piece.stage == stage)
        for stage in STAGES
    ]
    assert tuple(spent) == slow.spent_ns
    for before, after in pairwise(found.pieces):
        assert before.end_ns == after.begin_ns, "without a gap, until the cloud has it"
    assert found.pieces[-1].end_ns == found.ends[0].at_ns
    by_role = {call.role: call for call in found.calls}
    assert [by_role[role].cpu_ns for role in ("driver", "transform", "policy")] == [
        slow.spent_ns[STAGES.index(role)] for role in ("driver", "transform", "policy")
    ]
    assert all(call.fuel > 0 and call.outcome == "ok" for call in found.calls)
    # meters/1 is read with two requests over RTU: each frame ends with the CRC of what is before it
    assert [frame.way for frame in found.frames] == [">", "<", ">", "<"]
    for frame in found.frames:
        assert crc16(frame.data[:-2]) == int.from_bytes(frame.data[-2:], "little")
    assert found.qualities == (("good", 7),)
    one.world.close()


def crc16(data: bytes) -> int:
    """Modbus over Serial Line V1.02, section 6.2.2."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def test_a_sample_that_was_missed_says_why(host: Host, missing: Path) -> None:
    one = engine(host, missing)
    one.handle(RunTo(1 << 62))
    go(one)
    seen = answer(one, Look(closer=Wanted(0)))
    assert isinstance(seen, View)
    page = seen.closer.expectation
    assert page.verdict == "FAIL"
    worst = page.moments[0]
    assert worst.trouble == "cut plant"
    assert "presses" in worst.behind
    assert sum(moment.value for moment in page.moments) == float(page.measured.replace(" ", ""))
    windowed = answer(one, Look(closer=Wanted(0, worst.from_ns, worst.to_ns)))
    assert isinstance(windowed, View)
    assert windowed.closer.samples is not None
    gone = windowed.closer.samples.gone[0]
    assert gone.end == "missed"
    found = asked(one, gone)
    assert [(end.end, end.cause, end.at_ns) for end in found.ends] == [("missed", gone.cause, gone.at_ns)]
    assert not found.verdicts
    assert any(frame.way == "!" for frame in found.frames) or not found.frames
    one.world.close()


def test_faults_are_told_of_the_component_that_is_meant(host: Host, tmp_path: Path) -> None:
    """An instance's name hasn't its component's in it: gw/driver/presses/1 is one of modbus-driver."""
    path = tmp_path / "faults.yaml"
    meant = (
        "component=modbus-driver", "component=route", "component=modbus-driver,cause=out-of-bounds",
        "component=modbus-driver,cause=unreachable", "gateway=gw",
    )  # fmt: skip
    faults = "\n".join(f"  - count(component.faults{{{keys}}}) == 0" for keys in meant)
    scenario = SCENARIO.replace(
        "  - {at: 6 s,", "  - {at: 2 s, fault-component: gw/driver/presses/1}\n  - {at: 6 s,"
    )
    path.write_text(scenario.partition("expect:")[0] + f"expect:\n{faults}\n", encoding="utf-8")
    one = engine(host, path)
    one.handle(RunTo(4 * S))
    go(one)
    told = []
    for number in range(len(meant)):
        seen = answer(one, Look(closer=Wanted(number)))
        assert isinstance(seen, View)
        page = seen.closer.expectation
        told.append((page.measured, len(page.records)))
    assert told == [("1", 1), ("0", 0), ("0", 0), ("1", 1), ("1", 1)]
    drawn = closer.component(one.plan, seen, 100, 20, Closer(component="modbus-driver"))
    assert any("gw/driver/presses/1 unreachable" in line.plain for line in drawn)
    one.world.close()


def test_a_replay_that_is_another_breaks_the_run(host: Host, file: Path) -> None:
    one = engine(host, file)
    one.handle(RunTo(1 * S))
    go(one)
    slow = one.watch.standouts.slowest()[0]
    wrong = Slow(slow.device, slow.k, slow.total_ns + 1, slow.spent_ns, slow.due_ns)
    while one.mode != "over":
        answer(one, Look(closer=Wanted(sample=wrong)))
    assert one.mode == "over"
    assert "isn't what was seen" in one.broken
    one.world.close()


def test_what_cannot_be_replayed_is_said(host: Host, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = engine(host, file)
    one.handle(RunTo(3 * S))
    go(one)
    slow = one.watch.standouts.slowest()[0]
    monkeypatch.setattr(exploring, "EVENTS_MAX", 10)
    assert "no mark lies before it" in one.explorer.sample(one, slow).waits
    monkeypatch.undo()
    one.handle(Rewind(0))
    go(one)
    assert one.explorer.sample(one, slow).waits == exploring.COMING
    one.world.close()


def test_a_sample_of_a_run_that_went_another_way_is_told_apart(host: Host, file: Path) -> None:
    """It was seen, the clock went back, and trouble made it another one: no promise is broken."""
    one = engine(host, file)
    one.handle(RunTo(2 * S))
    go(one)
    slow = next(slow for slow in one.watch.standouts.slowest() if slow.due_ns == S)
    one.handle(Rewind(S // 2))
    go(one)
    one.handle(Do({"cut": "plant", "for": "3 s"}))
    one.handle(RunTo(2 * S))
    go(one)
    while (waits := one.explorer.sample(one, slow).waits) != exploring.OTHER:
        assert waits == exploring.FROM_ZERO
    assert not one.broken
    one.world.close()


def test_live_commands_are_done_again(host: Host, file: Path) -> None:
    """Trouble that came by hand is in the replay: else it would be another run."""
    one = engine(host, file)
    one.handle(RunTo(2 * S))
    go(one)
    assert isinstance(one.handle(Do({"degrade": "plant", "to": {"delay": "80 ms"}, "for": "4 s"})), Done)
    one.handle(RunTo(5 * S))
    go(one)
    slow = next(slow for slow in one.watch.standouts.slowest() if slow.total_ns > 80_000_000)
    assert slow.due_ns >= 2 * S
    found = asked(one, slow)
    assert (found.verdicts[0][1], found.verdicts[0][2]) == (slow.total_ns, slow.spent_ns)
    one.world.close()


@pytest.mark.skipif(not marks.possible(), reason="no forks here")
def test_a_mark_sends_a_fork_and_the_engine_goes_on(host: Host, file: Path, tmp_path: Path) -> None:
    """From marks the same as from the beginning; the digest is that of a run that nobody explored."""
    feed = Feed(file, None)

    def until(look: Look, holds: Any) -> View:
        ends = time.monotonic() + WAIT_S
        while time.monotonic() < ends:
            feed.look(look)
            for reply in feed.take():
                assert not isinstance(reply, Died | Refused), reply
                if isinstance(reply, View) and holds(reply):
                    return reply
            time.sleep(0.005)
        raise AssertionError("it didn't come about")

    def there(seen: View) -> bool:
        one = seen.closer.sample
        return one is not None and not one.waits

    feed.send(RunTo(8 * S))
    at_eight = until(Look(), lambda seen: seen.mode == "paused" and seen.snapshot.now_ns > 7 * S)
    early = until(Look(closer=Wanted(sample=at_eight.slowest[0])), there)
    feed.send(Do({"degrade": "plant", "to": {"delay": "60 ms"}, "for": "2 s"}))
    feed.send(Play(None))
    over = until(Look(), lambda seen: seen.mode == "over")
    late = until(Look(closer=Wanted(sample=over.slowest[0])), there)
    assert late.closer.sample is not None
    assert late.mode == "over", "and whoever was awake is"
    assert not late.verdict.startswith("BROKEN")
    assert late.digest == over.digest
    feed.close()
    one = engine(host, file)
    one.handle(RunTo(8 * S))
    go(one)
    assert asked(one, at_eight.slowest[0]) == early.closer.sample
    one.handle(Do({"degrade": "plant", "to": {"delay": "60 ms"}, "for": "2 s"}))
    one.handle(RunTo(1 << 62))
    go(one)
    assert one.digest() == over.digest
    assert asked(one, over.slowest[0]) == late.closer.sample
    one.world.close()


def test_few_of_many_are_kept() -> None:
    """Two fleets, windows of 10: by hand."""
    kept = StandOuts(10, [0, 0, 1], ("a", "b"))
    for device, due_ns, total_ns in [
        (0, 0, 5),
        (1, 1, 7),
        (0, 2, 6),
        (1, 3, 9),
        (0, 4, 1),
        (2, 5, 2),
        (0, 11, 3),
    ]:
        key = due_ns // 10 * 2 + (device == 2)
        if total_ns > kept.least.get(key, -1):
            kept.keep(key, Slow(device, 0, total_ns, (0, total_ns, 0, 0, 0, 0), due_ns))
    assert SLOW_MAX == 3
    seen = kept.samples(0, 10, None)
    assert [(slow.device, slow.total_ns) for slow in seen.slow] == [(1, 9), (1, 7), (0, 6), (2, 2)]
    assert [slow.total_ns for slow in kept.samples(0, 10, {0: None}).slow] == [6]
    assert [slow.total_ns for slow in kept.samples(10, 20, None).slow] == [3]
    assert kept.longest[1] is not None
    assert kept.longest[1].total_ns == 9
    for number in range(GONE_MAX + 2):
        kept.gone(Gone(0, number, number, 10, "missed", "timeout", 12 + number))
    kept.gone(Gone(2, 0, 3, 4, "lost", "crash", 13))
    seen = kept.samples(10, 20, None)
    assert seen.counts == (("missed", "timeout", "a", 10 * (GONE_MAX + 2)), ("lost", "crash", "b", 4))
    assert [gone.k for gone in seen.gone] == [0, 1, 0, 2]
    assert [slow.total_ns for slow in kept.samples(0, 10, {2: None}).slow] == [2]


def test_windows_of_samples_fit_into_those_of_expectations() -> None:
    """Runs of 20 s with polls of 200 ms, of 2 min, 5 min, 9 min, an hour: by hand."""
    assert grid_ns(S, S // 5) == S // 5
    assert grid_ns(S, S) == S
    assert grid_ns(S, 2 * S) == S
    assert grid_ns(1_800_000_000, 5 * S) == S
    assert grid_ns(12 * S, 20 * S) == 10 * S


def test_a_named_device_has_counts_of_its_own() -> None:
    """Its neighbour of the same fleet isn't behind what is asked of it alone."""
    kept = StandOuts(10, [0, 0, 1], ("a", "b"))
    kept.named = {1: "a/2"}
    for device, points, cause in [(0, 50, "overrun"), (1, 10, "timeout"), (1, 5, "timeout"), (2, 7, "crash")]:
        kept.gone(Gone(device, 0, 3, points, "missed", cause, 4))
    assert kept.samples(0, 10, {1: None}).counts == (("missed", "timeout", "a/2", 15),)
    whole = (("missed", "overrun", "a", 50), ("missed", "timeout", "a", 15))
    assert kept.samples(0, 10, {0: None, 1: None}).counts == whole
    assert kept.samples(0, 10, None).counts == (*whole, ("missed", "crash", "b", 7))
    assert not kept.samples(10, 20, {1: None}).counts


@pytest.mark.parametrize(
    ("text", "never", "said"),
    [
        ("p99(latency.gateway) <= 1 s", False, "a 9 ms"),
        ("p99(latency.gateway) <= 1 s", True, "missed overrun f 40"),
        ("p99(latency.cloud) <= 1 s", False, "at the gateway at most a 9 ms"),
        ("p99(latency.stage{stage=bus}) <= 1 s", False, "b 5 ms"),
        ("p99(latency.stage{stage=uplink}) <= 1 s", False, ""),
    ],
)
def test_what_is_behind_a_latency(text: str, never: bool, said: str) -> None:
    """The slowest of all spent 9 ms, 1 ms of it on the bus; another one 5 ms there. Of what never came the
    slowest that came isn't the cause."""
    ms = 1_000_000
    slow = Slow(0, 0, 9 * ms, (8 * ms, 0, ms, 0, 0, 0), 0), Slow(1, 0, 5 * ms, (0, 0, 5 * ms, 0, 0, 0), 0)
    assert STAGES[2] == "bus"
    seen = SamplesView(0, S, slow, (), (("missed", "overrun", "f", 40),))
    assert _behind_latency(parse(text), seen, ["a", "b"], never) == said


def test_evicted_samples_are_kept(host: Host, file: Path) -> None:
    """What a store throws away has something behind it, and isn't counted as lost."""
    one = engine(host, file)
    sample: Any = SimpleNamespace(device=1, k=3, due_ns=S)
    one.watch._ended(sample, 0b111, End.EVICTED, "capacity")
    seen = one.watch.standouts.samples(-1000 * S, S, None)
    assert seen.counts == (("evicted", "capacity", "presses", 3),)
    assert [(gone.k, gone.points, gone.end) for gone in seen.gone] == [(3, 3, "evicted")]
    assert (one.watch.each.missed[1], one.watch.each.lost[1]) == (0, 0)
    one.world.close()


@pytest.mark.parametrize(
    ("text", "value", "growing", "badness"),
    [
        ("max(latency.gateway) >= 1 s", 5, False, 5),
        ("min(latency.gateway) <= 1 s", 5, False, -5),
        ("p99(latency.gateway) >= 1 s", 5, False, -5),
        ("p99(latency.gateway) <= 1 s", 5, False, 5),
        ("count(samples.missed) >= 3", 5, True, 5),
    ],
)
def test_which_window_is_the_worst(text: str, value: float, growing: bool, badness: float) -> None:
    """The most of a run is that of one window: of those with the least nothing can be learned."""
    assert _badness(parse(text), value, growing) == badness


def test_trouble_that_is_wanted_and_the_outage_behind_a_backlog(host: Host, tmp_path: Path) -> None:
    """The line is cut for three seconds, the uplink from 6 s to 9 s; four devices, two polls a second, two
    points: windows without trouble aren't the worst of an expectation that wants some, and a backlog that
    stands as its cause ends has that cause."""
    path = tmp_path / "wanted.yaml"
    scenario = SCENARIO.partition("expect:")[0].replace(
        "  - {at: 6 s,", "  - {at: 2 s, cut: plant, for: 3 s}\n  - {at: 6 s,"
    )
    wanted = ("count(samples.missed{fleet=presses}) >= 5", "max(backlog) <= 1")
    path.write_text(f"{scenario}expect:\n" + "".join(f"  - {text}\n" for text in wanted), encoding="utf-8")
    one = engine(host, path)
    one.handle(RunTo(12 * S))
    go(one)
    missed, backlog = (expectation_view(one, number) for number in (0, 1))
    assert missed is not None
    assert backlog is not None
    assert all(moment.value > 0 for moment in missed.moments)
    assert missed.moments[0].trouble == "cut plant"
    assert all("presses" in moment.behind for moment in missed.moments)
    last = next(moment for moment in backlog.moments if moment.from_ns == 9 * S)
    assert last.value > 0
    assert last.trouble == "cut cloud"
    one.world.close()

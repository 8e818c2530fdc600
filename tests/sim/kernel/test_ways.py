"""The compiled timeline does what Python's does: order, instants, values, errors. The compiled lines are repr's."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.ways import compiled_part
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import PURE, Occurrence, Way, compiled
from twinloop.sim.kernel.trace import lines


@pytest.fixture(scope="module", params=["pure", "compiled"])
def way(request: pytest.FixtureRequest) -> Way:
    return PURE if request.param == "pure" else compiled(compiled_part().engine)


class Ledger:
    """It balances until ``wrong_after`` looks."""

    def __init__(self, wrong_after: int = 1 << 30) -> None:
        self.open, self.ended, self._left = 3, 4, wrong_after

    @property
    def due(self) -> int:
        self._left -= 1
        return 7 if self._left >= 0 else 8

    def require_balance(self) -> None:
        raise ArithmeticError("it doesn't")


class Told(Occurrence):
    """Happens, and says so."""

    def __init__(self, log: list[Any], name: object, again: Any = None) -> None:
        self.log, self.name, self.again = log, name, again

    def happen(self) -> None:
        self.log.append(self.name)
        if self.again is not None:
            again, self.again = self.again, None
            again(self)


# ---- random schedules ----------------------------------------------------------------------------
delays = st.integers(0, 3)
steps = st.one_of(
    st.tuples(st.just("pause"), delays),
    st.tuples(st.just("signal"), st.integers(0, 3)),
    st.tuples(st.just("fire"), st.integers(0, 3)),
    st.tuples(st.just("call"), delays),
    st.tuples(st.just("late"), delays),
    st.tuples(st.just("trouble"), delays),
    st.tuples(st.just("expect"), delays),
    st.tuples(st.just("cancel"), delays),
    st.tuples(st.just("stop"), st.integers(0, 5)),
    st.tuples(st.just("simpy"), delays),
    st.tuples(st.just("begin"), st.integers(0, 5)),
    st.tuples(st.just("drop"), st.just(0)),
    st.tuples(st.just("look"), delays),
)
programs = st.lists(st.lists(steps, max_size=6), min_size=1, max_size=6)


def played(way: Way, programs: list[list[tuple[str, int]]], begins: int, limit: int) -> list[Any]:
    """Everything that anybody can see of it."""
    env = way.Environment(begins)
    log: list[Any] = []
    signals = [way.Event(env) for _ in range(4)]
    tasks: list[Any] = []

    def steps_of(number: int) -> Any:
        for i, (what, figure) in enumerate(programs[number]):
            log.append((env.now, number, i, env._active_proc is tasks[number]))
            name = number, i
            if what == "pause":
                got = yield figure
                log.append(got)
            elif what == "signal":
                if signals[figure].task is not None and not signals[figure].fired:
                    continue  # one waits for it
                log.append((yield signals[figure]))
            elif what == "fire":
                signals[figure].fire(name)
            elif what == "call":
                env.call_in(figure, log.append, name)
            elif what == "late":
                env.call_at(env.now + figure, log.append, name, priority=2)
            elif what == "trouble":
                env.call_at(env.now + figure, log.append, name, priority=-1)
            elif what == "expect":
                env.expect(env.now + figure, Told(log, name, lambda told: env.expect(env.now + 1, told)), 0)
            elif what == "cancel":
                timer = env.call_in(figure, log.append, name)
                timer.cancel()
                log.append(timer.action)
            elif what == "stop":
                if figure < len(tasks):
                    tasks[figure].stop()
            elif what == "simpy":
                env.timeout(figure).callbacks.append(lambda event, name=name: log.append(name))
            elif what == "begin":
                if len(tasks) < 12:
                    tasks.append(None)
                    programs.append(programs[figure % len(programs)][:2])
                    tasks[-1] = way.Task(env, steps_of(len(tasks) - 1))
            elif what == "drop":
                env.drop(lambda one: not isinstance(one, Told))
            elif what == "look":
                log.append((env.next_ns, env.trouble_at(env.now + figure), len(env._queue)))
        return number

    programs = list(programs)
    for number in range(len(programs)):
        tasks.append(None)
        tasks[number] = way.Task(env, steps_of(number))
    done = env.run_to(begins + 8, Ledger(), limit)
    log.append((done, env.now, env.next_ns))
    for signal in signals:
        signal.fire("over")  # no task runs: whoever waits goes on here and now
    log.append(env.run_to(1 << 40, Ledger(), 1000))
    log += [(task.done, task.value) for task in tasks]
    log += [(signal.fired, signal.value) for signal in signals]
    return log


@settings(max_examples=300, deadline=None)
@given(programs=programs, begins=st.integers(-5, 1 << 40), limit=st.integers(0, 60))
def test_random_schedules_go_the_same_way(
    programs: list[list[tuple[str, int]]], begins: int, limit: int
) -> None:
    engine = compiled(compiled_part().engine)
    assert played(engine, programs, begins, limit) == played(PURE, programs, begins, limit)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([-1, 0, 1, 2])), max_size=80))
def test_instants_and_priorities_come_first_then_who_was_first(entries: list[tuple[int, int]]) -> None:
    for way in (PURE, compiled(compiled_part().engine)):
        env, log = way.Environment(), list[Any]()
        for number, (at_ns, priority) in enumerate(entries):
            env.call_at(at_ns, log.append, (at_ns, priority, number), priority=priority)
        assert sorted(entry[:3] for entry in env._queue) == sorted(
            (at_ns, priority, number) for number, (at_ns, priority) in enumerate(entries)
        )
        env.drop(lambda timer: timer.arguments[0][2] % 3)
        assert env.run_to(10, Ledger(), 1000) == len(log)
        assert log == sorted((at_ns, priority, i) for i, (at_ns, priority) in enumerate(entries) if i % 3)


# ---- edges ---------------------------------------------------------------------------------------
def test_an_error_comes_out_and_nobody_runs_any_more(way: Way) -> None:
    env = way.Environment()

    def steps() -> Any:
        yield 1
        raise KeyError("ours")

    task = way.Task(env, steps())
    with pytest.raises(KeyError, match="ours"):
        env.run_to(5, Ledger(), 10)
    assert (env._active_proc, task.done, env.now, env.next_ns) == (None, False, 1, None)
    env.call_in(1, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        env.step()


def test_what_no_task_can_wait_for_is_an_error(way: Way) -> None:
    def steps(what: Any) -> Any:
        yield what

    for wrong in (None, True, 1.5, "2"):
        env = way.Environment()
        way.Task(env, steps(wrong))
        with pytest.raises(AttributeError, match="fired"):
            env.step()
        assert env._active_proc is None


def test_what_fires_like_a_signal_is_one(way: Way) -> None:
    class Fired:
        fired, value = True, 11

    def steps() -> Any:
        return (yield Fired())

    env = way.Environment()
    task = way.Task(env, steps())
    env.step()
    assert (task.done, task.value) == (True, 11)


def test_books_that_dont_balance_are_asked_to_say_so(way: Way) -> None:
    env = way.Environment()
    for _ in range(5):
        env.call_in(1, len, ())
    with pytest.raises(ArithmeticError):
        env.run_to(5, Ledger(wrong_after=3), 10)
    assert len(env._queue) == 1


def test_a_run_that_is_stopped_ends_between_two_events(way: Way) -> None:
    env = way.Environment()
    for _ in range(5):
        env.call_in(1, lambda: setattr(env, "stopped", env.next_ns == 1 and len(env._queue) == 2))
    assert env.stopped is False
    assert env.run_to(5, Ledger(), 10) == 3
    assert env.run_to(5, Ledger(), 10) == 0


def test_simpys_own_processes_run_beside_tasks(way: Way) -> None:
    env, log = way.Environment(), list[Any]()

    def process() -> Any:
        yield env.timeout(2) | env.timeout(9)
        log.append(env.now)
        raise ValueError("of a process")

    def steps() -> Any:
        yield 2
        log.append("task")

    env.process(process())
    way.Task(env, steps())
    with pytest.raises(ValueError, match="of a process"):
        env.run()
    assert log == ["task", 2] or log == [2, "task"]
    assert (env.peek(), env._now, env.active_process) == (9, 2, None)
    env._now = 5
    assert env.now == 5


def test_nothing_to_do_is_simpys_error(way: Way) -> None:
    from simpy.core import EmptySchedule

    with pytest.raises(EmptySchedule):
        way.Environment().step()


def test_a_task_can_be_stopped_from_within_and_from_outside(way: Way) -> None:
    env, log = way.Environment(), list[Any]()
    mine: list[Any] = []

    def within() -> Any:
        try:
            mine[0].stop()
            yield 5
        finally:
            log.append("closed within")

    def outside() -> Any:
        try:
            yield 50
        finally:
            log.append("closed outside")

    mine.append(way.Task(env, within()))
    other = way.Task(env, outside())
    env.run_to(1, Ledger(), 10)
    other.stop()
    env.run_to(100, Ledger(), 10)
    assert log == ["closed within", "closed outside"]
    assert (mine[0].done, other.done, mine[0].value) == (True, True, None)


class Watched(Occurrence):
    def happen(self) -> None: ...


def circle(way: Way) -> weakref.ref[Watched]:
    """Something that lies on a timeline of which nobody knows but those who lie there, too."""
    env, watched = way.Environment(), Watched()
    signal = way.Event(env)

    def steps() -> Any:
        yield signal
        assert env, watched

    env.circle = way.Task(env, steps())
    env.step()
    env.expect(5, watched)
    env.call_in(7, lambda: env)
    return weakref.ref(watched)


def test_what_waits_in_a_circle_is_collected(way: Way) -> None:
    gone = circle(way)
    gc.collect()
    assert gone() is None


def test_wrong_arguments_are_errors_in_c() -> None:
    way = compiled(compiled_part().engine)
    env = way.Environment()
    for call in (
        lambda: env.call_in(1), lambda: env.call_at(1), lambda: env.expect(1), lambda: env.expect(1.5, env),
        lambda: env.call_in("1", len), lambda: env.call_at(1, len, wrong=2), lambda: env.expect(1, env, 1, 1),
        lambda: way.Event(None), way.Event, lambda: way.Task(None, iter(())), lambda: way.Timer(len),
        lambda: env.trouble_at(None), lambda: env.run_to("a", Ledger(), 1), lambda: way.Event(env).fire(1, 2),
    ):  # fmt: skip
        with pytest.raises(TypeError):
            call()
    with pytest.raises(OverflowError):
        env.call_at(1 << 63, len)
    env.now = 5
    with pytest.raises(OverflowError, match="beyond 64 bits"):
        env.call_in((1 << 63) - 5, len)
    with pytest.raises(AttributeError):
        way.Task(env, 5)
    with pytest.raises(AttributeError):
        env._queue = [1]
    assert env.next_ns is None

    def steps() -> Any:
        yield (1 << 63) - 1

    way.Task(env, steps())
    with pytest.raises(OverflowError, match="beyond 64 bits"):
        env.step()


# ---- lines ---------------------------------------------------------------------------------------
fields = st.one_of(
    st.integers(-(1 << 70), 1 << 70), st.text(max_size=8), st.text("'\"\\ab", max_size=4), st.floats(), st.none(), st.booleans(),
    st.sampled_from(End), st.binary(max_size=3), st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 0]),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(fields, max_size=6).map(tuple), min_size=1, max_size=5))
def test_lines_are_those_of_repr(records: list[tuple[Any, ...]]) -> None:
    assert compiled_part().engine.lines(records) == lines(records)


def test_lines_are_of_a_list() -> None:
    with pytest.raises(TypeError):
        compiled_part().engine.lines(((1, 2),))

    class Worse:
        def __repr__(self) -> str:
            raise KeyError("no words")

    with pytest.raises(KeyError):
        compiled_part().engine.lines([(1, Worse())])


doubles = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e6, 1e6),
    st.builds(lambda n, p: n / 10**p, st.integers(-(10**9), 10**9), st.integers(0, 9)),
    st.builds(lambda n, p: (n * 10.0**-p) * 1.8 + 32, st.integers(-(10**6), 10**6), st.integers(0, 4)),
    st.builds(lambda p, n: 2.0**p * (1 + n * 2.0**-52), st.integers(-16, 54), st.integers(-3, 3)),
)


@settings(max_examples=3000, deadline=None)
@given(doubles)
def test_numbers_are_those_of_repr(number: float) -> None:
    assert compiled_part().engine.real(number) == repr(number)

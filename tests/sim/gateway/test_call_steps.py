"""Calls in C take the steps of call.py: the same waits, deeds, prices and ends, whatever an instance does and
whatever becomes of it meanwhile."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Generator, Iterator
from dataclasses import astuple, dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.ways import compiled_part
from twinloop.components.contract.errors import GuestEnded
from twinloop.components.host.call_state import Request
from twinloop.components.host.outcome import Cause, Fault
from twinloop.sim.accounts.latency import BUS, DRIVER, StageTimes
from twinloop.sim.gateway import call as calls
from twinloop.sim.gateway.slot import Imports, Slot
from twinloop.sim.kernel.clock import Environment
from twinloop.sim.machine.budget import CpuProfile, Meter
from twinloop.sim.machine.cores import Cores

US, MS = 1_000, 1_000_000
PROFILE = CpuProfile(
    fuel_ps=700_000, call_ps=50_000, import_ps=9_001, exchange_ps=1_003, value_ps=333, byte_ps=17
)
TRAP = Fault(Cause.UNREACHABLE, "unreachable", 5)
USED_UP = Fault(Cause.OUT_OF_FUEL, "all fuel consumed", 2_000_000)


@pytest.fixture(autouse=True, scope="module")
def _bound_again() -> Iterator[None]:
    """Batches are what an instance here says they are; what other tests run with is told last."""

    def too_much(instance: Instance, lists: Any) -> None:
        instance.seen.append(("looked at", lists))
        if lists[2]:
            instance.kill(Cause.TRANSFER_LIMIT, "too much")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "batch_in", lambda at: at)
        patch.setattr(calls, "limit_batch", too_much)
        yield
    calls.bind(compiled_part().engine)


class Listed(list[int]):
    """Somebody who looks on has put it in a list's place."""


@dataclass
class Segment:
    """What guest code does until it parks or ends: what it uses, what it asks for, how it ends."""

    fuel: int
    crossings: int
    carried: int
    logs: bool
    request: Request | None
    fault: Fault | None


@dataclass
class Plot:
    """One call, and what happens around it."""

    segments: list[Segment]
    free: int
    has_port: bool
    real_imports: bool
    cpu_ns: int | None
    deadline_ns: int
    waits_ns: list[int]
    replies: list[tuple[bool, object]]
    dies_at: int
    """the wait at which somebody closes the instance; 99: nobody does"""
    broken_off_at: int
    breaks: str
    """how its steps are broken off at that wait: close, or throw"""
    lists: tuple[int, ...] | None
    """the batch that it returns"""


@dataclass
class Instance:
    """Does what its plot says, and keeps what was done with it."""

    env: Environment
    imports: Any
    segments: list[Segment]
    seen: list[object]
    closed: bool = False
    fault: Fault | None = None
    request: Request | None = None
    lists: Any = None
    """what ``batch_in`` says of its result"""

    @property
    def result_at(self) -> Any:
        return self.lists

    def begin(self, export: str, arguments: object, fuel: int, at: object) -> None:
        self.seen.append(("begin", self.env.now, export, arguments, fuel, at))

    def call_at(self, export: str, at: object, fuel: int) -> int:
        self.begin(export, (), fuel, at)
        return self.advance()

    def advance(self) -> int:
        now = self.segments.pop(0) if self.segments else Segment(1, 0, 0, False, None, None)
        self.seen.append(("advance", self.env.now, self.imports.segment_start_ns, self.imports.left_ns))
        self.imports.crossings += now.crossings
        self.imports.bytes_carried += now.carried
        self.imports.logged = now.logs and not isinstance(self.imports, Imports)
        self.fault, self.request = now.fault, None if now.fault else now.request
        return now.fuel

    def answer(self, reply: object) -> None:
        self.seen.append(("answer", self.env.now, reply))

    def limit_fuel(self, fuel: int) -> None:
        self.seen.append(("limit", fuel))

    def kill(self, cause: Cause, message: str) -> Fault:
        self.fault = Fault(cause, message, 9)
        return self.fault


@dataclass
class Scene:
    """A slot with an instance, a core or none, a line, and what could be seen of a call of it."""

    plot: Plot
    seen: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        plot, engine = self.plot, compiled_part().engine
        priced = type("Priced", (engine.Charges,), {"profile": PROFILE})
        calls.bind(engine, priced if plot.real_imports else Meter)  # else it is asked by name
        self.env = Environment()
        self.cores = Cores(self.env, 2)
        self.cores.free = plot.free
        self.machine: Any = SimpleNamespace(env=self.env, cores=self.cores)
        self.meter = priced()
        self.meter._price(*astuple(PROFILE))
        self.times = StageTimes()
        self.imports = self.made_imports()
        self.instance: Any = Instance(self.env, self.imports, list(plot.segments), self.seen)
        self.instance.lists = plot.lists
        if plot.deadline_ns == 10 * MS:
            self.times.spent_ns = Listed(self.times.spent_ns)
        self.slot = object.__new__(Slot)
        self.slot.imports, self.slot.instance, self.slot.meter = self.imports, self.instance, self.meter
        self.slot.deadline_ns, self.slot.fuel_limit = plot.deadline_ns, 1000
        limit_ns = plot.deadline_ns if plot.cpu_ns is None else min(plot.cpu_ns, plot.deadline_ns)
        self.slot.fuel_limit_ns = limit_ns
        self.slot.spec = SimpleNamespace(cpu_ns=plot.cpu_ns, start_ns=MS)  # type: ignore[assignment]
        line = SimpleNamespace(transact=self.transact, reset=lambda: self.seen.append("reset"))
        self.port: Any = line if plot.has_port else None

    def made_imports(self) -> Any:
        found: Any = object.__new__(Imports) if self.plot.real_imports else SimpleNamespace()
        if not self.plot.real_imports:
            found.flush_log = lambda: self.seen.append(("flush", self.env.now))
        found.machine, found.tasks = self.machine, {"wasi#task": self.task}
        found.segment_start_ns = found.left_ns = found.crossings = found.bytes_carried = 0
        found.logged = False
        return found

    def task(self, what: str, until_ns: int) -> Any:
        self.seen.append(("task", what, until_ns))
        try:
            for _ in range(3 if what == "takes it" else 0):
                try:
                    yield 8
                except KeyError:
                    self.seen.append("it was thrown into")
                    if self.plot.has_port:
                        return "it gave in"
            yield 7
            if what == "ends":
                raise GuestEnded("quota", "it was ended")
            return what
        finally:
            self.seen.append("the task is over")

    def transact(self, frame: bytes, framing: object, timeout_ns: int, left_ns: int) -> object:
        self.seen.append(("transact", self.env.now, frame, framing, timeout_ns, left_ns))
        return "the line"

    def take(self, steps: Any) -> None:
        """All steps, with what happens meanwhile."""
        value: object = None
        for wait in range(40):
            try:
                if wait == self.plot.broken_off_at:
                    ended = steps.close() if self.plot.breaks == "close" else steps.throw(KeyError("thrown"))
                    self.seen.append(("broken off", ended))
                    if self.plot.breaks == "close":
                        return
                wanted = steps.send(value)
            except StopIteration as end:
                self.seen.append(("end", end.value))
                return
            except KeyError as error:
                self.seen.append(("raised", str(error)))
                return
            self.seen.append(wanted if isinstance(wanted, int | str) else "a core")
            self.env.now += wanted if isinstance(wanted, int) else self.plot.waits_ns[wait % 5]
            value = self.plot.replies[wait % 5] if wanted == "the line" else None
            if wait == self.plot.dies_at:
                self.instance.closed, self.instance.fault = True, Fault(Cause.DEAD, "closed", 1)
        raise AssertionError("it goes on for ever")

    def books(self) -> list[object]:
        meter, imports, cores = self.meter, self.imports, self.cores
        used = meter.fuel, meter.calls, meter.imports, meter.exchanges, meter.values, meter.bytes
        return [
            self.seen, used, meter.cpu_ns, meter._rest_ps, cores.busy_ns, cores.free, len(cores.waiters),
            self.times.spent_ns, self.times.waited_ns, self.times.lists, imports.left_ns, imports.crossings,
            imports.bytes_carried, imports.segment_start_ns, self.instance.fault, self.env.now,
        ]  # fmt: skip


REQUESTS = (
    ("fieldbus.transact", [b"ask", ("some", 3), 5 * MS]),
    ("fieldbus.transact", (b"ask", ("some", 3), (1 << 64) - 1)),
    ("fieldbus.reset", []),
    ("clock.sleep", [300 * US]),
    ("wasi#task", ["goes"]),
    ("wasi#task", ["ends"]),
    ("wasi#task", ["takes it"]),
    ("elsewhere.there", []),
)
requests = st.sampled_from(REQUESTS).map(lambda one: Request(*one))
segments = st.builds(
    Segment,
    st.integers(0, 2000),
    st.sampled_from((0, 0, 3)),
    st.sampled_from((0, 0, 40)),
    st.booleans(),
    st.none() | requests,
    st.sampled_from((None, None, None, TRAP, USED_UP)),
)
plots = st.builds(
    Plot,
    st.lists(segments, max_size=6),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
    st.sampled_from((None, MS, 2 * MS)),
    st.sampled_from((2 * MS, 10 * MS)),
    st.lists(st.integers(0, 3 * MS) | st.just(10 * MS), min_size=5, max_size=5),
    st.lists(
        st.sampled_from(((True, b"reply"), (True, b""), (False, ("timeout", "")))), min_size=5, max_size=5
    ),
    st.sampled_from((0, 1, 2, 3, 99, 99, 99)),
    st.sampled_from((0, 1, 2, 3, 99, 99, 99)),
    st.sampled_from(("close", "throw")),
    st.sampled_from((None, (), (3, 0, 0, 0, 0, 1, 9), (2, 0, 1, 0, 0, 0, 0), (999, 0, 0, 0, 0, 2, 0))),
)


@given(plots, st.booleans())
@settings(max_examples=200)
def test_a_call_in_c_takes_the_same_steps(plot: Plot, returns_batch: bool) -> None:
    scenes = Scene(plot), Scene(plot)
    for scene, call in zip(scenes, (calls.plain_call, compiled_part().engine.call), strict=True):
        steps = call(
            scene.machine, scene.slot, "read", (1, 2), 4, scene.times, DRIVER, scene.port, returns_batch, None
        )
        scene.take(steps)
        del steps
    assert scenes[0].books() == scenes[1].books()


@given(plots, st.booleans())
def test_a_call_at_once_in_c_is_the_same(plot: Plot, returns_batch: bool) -> None:
    scenes = Scene(plot), Scene(plot)
    engine = compiled_part().engine
    ways = (
        (calls.plain_call_at_once, calls.plain_at_once_over),
        (engine.call_at_once, engine.at_once_over),
    )
    for scene, (begin, over) in zip(scenes, ways, strict=True):
        scene.cores.free = 1
        cost = begin(scene.slot, scene.instance, "decide", 8, scene.times, returns_batch, 77)
        scene.env.now += cost
        if plot.dies_at == 0:
            scene.instance.closed, scene.instance.fault = True, Fault(Cause.DEAD, "closed", 1)
        scene.seen.append((cost, over(scene.slot, scene.instance, scene.cores, cost, scene.times, BUS)))
    assert scenes[0].books() == scenes[1].books()


@given(plots, st.booleans(), st.booleans(), st.sampled_from(("ready", "read" + "y", "backoff")))
def test_a_stage_in_c_begins_the_same(plot: Plot, serving: bool, parks: bool, state: str) -> None:
    scenes = Scene(plot), Scene(plot)
    ways = calls.plain_stage_at_once, compiled_part().engine.stage_at_once
    for scene, begin in zip(scenes, ways, strict=True):
        scene.slot.serving, scene.slot.state = serving, "".join(state)
        scene.slot.linked = SimpleNamespace(parks=parks)  # type: ignore[assignment]
        cost = begin(scene.slot, scene.cores, "decide", 8, scene.times, False, 77)
        scene.seen.append((cost, scene.slot.serving))
        waits = serving or parks or state == "backoff" or not plot.free
        assert (cost == -1) == waits
    assert scenes[0].books() == scenes[1].books()


def test_steps_in_c_are_an_iterator_and_let_go_of_what_they_hold() -> None:
    quiet = Plot(
        [Segment(10, 0, 0, False, Request("wasi#task", ["goes"]), None)],
        1, True, False, None, MS, [0] * 5, [(True, b"")] * 5, 99, 99, "close", None,
    )  # fmt: skip
    scene = Scene(quiet)
    call = compiled_part().engine.call
    given_ = scene.machine, scene.slot, "read", (), 0, scene.times, DRIVER, scene.port, False, None
    steps = call(*given_)
    assert iter(steps) is steps
    assert [next(steps), next(steps)] == [7_050, 7]
    steps.close()
    assert scene.seen[-1] == "the task is over"
    with pytest.raises(StopIteration):
        next(steps)
    with pytest.raises(TypeError, match="7 to 10 arguments"):
        call(scene.machine)
    with pytest.raises(TypeError, match="cannot create"):
        type(steps)()
    dropped = call(*given_)
    next(dropped)
    scene.times.at_work = {"round": dropped}  # type: ignore[dict-item]
    gone = weakref.ref(scene.slot.instance) if hasattr(scene.slot.instance, "__weakref__") else None
    del dropped, steps, given_, scene
    gc.collect()
    assert gone is None or gone() is None


def test_an_error_of_ours_comes_out_of_the_steps_in_c() -> None:
    plot = Plot([], 1, True, True, None, MS, [0] * 5, [(True, b"")] * 5, 99, 99, "close", None)
    scene = Scene(plot)
    scene.times.spent_ns = ["none"] * 6  # type: ignore[list-item]
    steps = compiled_part().engine.call(
        scene.machine, scene.slot, "read", (), 0, scene.times, DRIVER, scene.port, False, None
    )
    next(steps)
    with pytest.raises(TypeError, match="integer"):
        next(steps)
    scene.slot.meter = None  # type: ignore[assignment]
    steps = compiled_part().engine.call(
        scene.machine, scene.slot, "read", (), 0, StageTimes(), DRIVER, scene.port, False, None
    )
    with pytest.raises(AttributeError, match="charge"):
        next(steps)


class Resumes:
    """A task that takes the steps that it is part of."""

    def __init__(self, how: str) -> None:
        self.how, self.steps, self.told = how, None, ""

    def task(self, what: str, until_ns: int) -> Any:
        steps: Any = self.steps
        try:
            steps.throw(KeyError("x")) if self.how == "throw" else getattr(steps, self.how)(
                *([None] if self.how == "send" else [])
            )
        except ValueError as error:
            self.told = str(error)
        yield 7
        return what


@pytest.mark.parametrize("how", ["send", "close", "throw", "__next__"])
def test_steps_that_are_being_taken_are_nobody_elses(how: str) -> None:
    segments = [Segment(0, 0, 0, False, Request("wasi#task", ["goes"]), None)]
    ends = []
    for call in (calls.plain_call, compiled_part().engine.call):
        scene = Scene(
            Plot(list(segments), 1, True, False, None, MS, [0] * 5, [(True, b"")] * 5, 99, 99, "close", None)
        )
        resumes = Resumes(how)
        scene.imports.tasks = {"wasi#task": resumes.task}
        resumes.steps = call(
            scene.machine, scene.slot, "read", (), 0, scene.times, DRIVER, scene.port, False, None
        )
        scene.take(resumes.steps)
        assert "already" in resumes.told
        ends.append(scene.books())
    assert ends[0] == ends[1]
    assert ("end", None) in ends[0][0]  # type: ignore[operator]


def test_a_stop_from_within_is_no_end() -> None:
    """Python says so of generators (PEP 479): a mistake of ours must not pass for a call that went well."""

    def stops(*anything: object) -> int:
        raise StopIteration("it went well")

    for call in (calls.plain_call, compiled_part().engine.call):
        plot = Plot([], 1, True, False, None, MS, [0] * 5, [(True, b"")] * 5, 99, 99, "close", None)
        for name in ("advance", "begin"):
            scene = Scene(plot)
            setattr(scene.instance, name, stops)
            with pytest.raises(RuntimeError, match="raised StopIteration") as caught:
                scene.take(
                    call(
                        scene.machine, scene.slot, "read", (), 0, scene.times, DRIVER, scene.port, False, None
                    )
                )
            assert isinstance(caught.value.__cause__, StopIteration)
        scene = Scene(plot)
        steps = call(scene.machine, scene.slot, "read", (), 0, scene.times, DRIVER, scene.port, False, None)
        next(steps)
        with pytest.raises(RuntimeError, match="raised StopIteration"):
            steps.throw(StopIteration("thrown"))


def test_a_meter_that_fails_leaves_what_was_crossed() -> None:
    class Fails:
        profile = PROFILE

        def charge(self, *counts: int) -> int:
            raise KeyError(counts[2])

    for call in (calls.plain_call, compiled_part().engine.call):
        segments = [Segment(0, 3, 40, False, None, None)]
        scene = Scene(
            Plot(segments, 1, True, False, None, MS, [0] * 5, [(True, b"")] * 5, 99, 99, "close", None)
        )
        scene.slot.meter = Fails()  # type: ignore[assignment]
        scene.take(
            call(scene.machine, scene.slot, "read", (), 0, scene.times, DRIVER, scene.port, False, None)
        )
        assert scene.seen[-1] == ("raised", "3")
        assert (scene.imports.crossings, scene.imports.bytes_carried) == (3, 40)


def test_a_task_that_gives_in_ends_with_what_it_has() -> None:
    ends = []
    for call in (calls.plain_call, compiled_part().engine.call):
        segments = [Segment(0, 0, 0, False, Request("wasi#task", ["takes it"]), None)]
        scene = Scene(
            Plot(segments, 1, True, False, None, MS, [0] * 5, [(True, b"")] * 5, 99, 2, "throw", None)
        )
        scene.take(
            call(scene.machine, scene.slot, "read", (), 0, scene.times, DRIVER, scene.port, False, None)
        )
        assert any(
            one[:1] == ("answer",) and "it gave in" in str(one)
            for one in map(tuple, filter(is_tuple, scene.seen))
        )
        ends.append(scene.books())
    assert ends[0] == ends[1]


def is_tuple(one: object) -> bool:
    return isinstance(one, tuple)


@pytest.mark.parametrize("count", [7, 8, 9, 10])
def test_arguments_that_are_left_out(count: int) -> None:
    lists = (3, 0, 0, 0, 0, 1, 9)
    ends = []
    for call in (calls.plain_call, compiled_part().engine.call):
        scene = Scene(Plot([], 1, True, False, None, MS, [0] * 5, [(True, b"")] * 5, 99, 99, "close", lists))
        arguments = (scene.machine, scene.slot, "read", (), 0, scene.times, DRIVER, scene.port, True, 77)
        scene.take(call(*arguments[:count]))
        assert (scene.times.lists == lists) == (count > 8)
        assert (scene.seen[0][-1] == 77) == (count > 9)  # type: ignore[index]
        ends.append(scene.books())
    assert ends[0] == ends[1]


def test_start_code_is_python_s() -> None:
    scene = Scene(Plot([], 1, True, False, None, MS, [0] * 5, [(True, b"")] * 5, 99, 99, "close", None))
    steps = compiled_part().engine.call(scene.machine, scene.slot, calls.START, (), 0, scene.times, DRIVER)
    assert isinstance(steps, Generator)
    assert steps.gi_code is calls.plain_call.__code__  # type: ignore[attr-defined]


@pytest.mark.parametrize("way", ["plain_call", "call"])
def test_what_can_t_be_done_with_steps(way: str) -> None:
    call: Any = calls.plain_call if way == "plain_call" else compiled_part().engine.call
    scene = Scene(Plot([], 1, True, False, None, MS, [0] * 5, [(True, b"")] * 5, 99, 99, "close", None))
    arguments = (scene.machine, scene.slot, "read", (), 0, scene.times, DRIVER)
    steps = call(*arguments)
    with pytest.raises(TypeError, match="non-None value"):
        steps.send(5)
    with pytest.raises(TypeError, match="must be classes or instances"):
        steps.throw(5)
    assert isinstance(next(steps), int)
    steps.close()
    with pytest.raises(StopIteration):
        steps.throw(StopIteration(4))
    with pytest.raises(KeyError):
        steps.throw(KeyError)

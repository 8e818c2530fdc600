"""The compiled part does what Python does, call by call: results, errors, fuel, order of events; what its C could
get wrong and Python couldn't is tried beside it."""

from __future__ import annotations

import gc
import json
import signal
import sys
import weakref
from collections.abc import Callable, Iterator
from ctypes import addressof, c_uint64
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components import guests
from tests.components.ways import compiled_way, other_way
from tests.plants import WASM
from tests.scenarios.test_library import DIGESTS
from twinloop.components.contract.errors import GuestEnded, WrongValue
from twinloop.components.host import host as hosting
from twinloop.components.host.capi import MEMORY, amount, val_delete
from twinloop.components.host.codec import Signature
from twinloop.components.host.crossing import PURE, Way
from twinloop.components.host.exchange import PREPARED_BYTES
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.components.host.outcome import Cause
from twinloop.scenarios.collector import resident_bytes
from twinloop.scenarios.file.load import LIBRARY, library_names, load
from twinloop.scenarios.runner import Options, run_in

FUEL = 1 << 30


@pytest.fixture(scope="module", params=["pure", "compiled"])
def way(request: pytest.FixtureRequest) -> Way:
    return PURE if request.param == "pure" else compiled_way()


@pytest.fixture(scope="module")
def own(way: Way) -> Iterator[Host]:
    found = Host(way=way)
    yield found
    assert found.live == 0
    found.close()


def watching(own: Host, handler: Callable[[], Any]) -> Instance:
    """Its read asks for the time, twice."""
    linked = own.link(own.load(guests.clock_watching(1), "driver"), ["clock"])
    instance = own.instantiate(linked, {"clock.monotonic": handler}, FUEL)
    instance.begin("read-sensor", (), FUEL)
    return instance


# ---- values where they lie -----------------------------------------------------------------------
numbers = st.floats(allow_nan=False, width=64)
u16, u32, u64 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
integers = st.one_of(
    st.tuples(st.just("signed"), st.integers(-(2**63), 2**63 - 1)), st.tuples(st.just("unsigned"), u64)
)
batches = st.tuples(
    st.lists(st.tuples(u16, numbers, u32, u64), max_size=12),
    st.lists(
        st.tuples(u16, st.text(st.characters(exclude_categories=["Cs"]), max_size=9), u32, u64), max_size=3
    ),
    st.lists(st.tuples(u16, integers, u32, u64), max_size=3),
)


@pytest.fixture(scope="module")
def transforms(own: Host) -> Signature:
    component = own.load(WASM / "normalize.wasm", "transform")
    return component.exports["transform-readings"][0]


@pytest.mark.parametrize("integers_known", [True, False])
@settings(max_examples=80, deadline=None)
@given(batch=batches, ok=st.booleans())
def test_a_batch_is_read_alike(
    own: Host, transforms: Signature, integers_known: bool, batch: Any, ok: bool
) -> None:
    """With what the codec has written, in the contract 0.2 and, without the third list, as in 0.1."""
    block = (c_uint64 * 4)()
    transforms.put_result((True, batch) if ok else (False, ("not-configured", None)), addressof(block))
    if ok and not integers_known:  # a record of two entries is what 0.1 has
        payload = block[2]
        assert c_uint64.from_address(payload + 8).value == 3
        c_uint64.from_address(payload + 8).value = 2
    lists = PURE.batch_in(addressof(block))
    other = compiled_way()
    assert other.batch_in(addressof(block)) == lists
    assert (lists is None) is not ok
    if lists is not None:
        ours, theirs = PURE.read_batch(lists), other.read_batch(lists)
        assert (ours, type(ours), [type(one) for one in ours]) == (
            theirs,
            type(theirs),
            [type(one) for one in theirs],
        )
        assert [[type(one) for one in column] for column in ours] == [
            [type(one) for one in column] for column in theirs
        ]
        assert lists[5] == (len(batch[2]) if integers_known else 0)
    if ok and not integers_known:
        c_uint64.from_address(payload + 8).value = 3
    val_delete(addressof(block))


verdicts = st.one_of(
    st.tuples(st.sampled_from(["forward", "cache"]), st.integers(0, 255)),
    st.tuples(st.sampled_from(["alert", "drop", "other"]), st.sampled_from(["", "forward", "sevenby"])),
)


@settings(max_examples=80, deadline=None)
@given(verdict=verdicts, exceptions=st.lists(st.tuples(u16, verdicts), max_size=2), ok=st.booleans())
def test_a_lane_is_read_alike(own: Host, verdict: Any, exceptions: Any, ok: bool) -> None:
    decides = own.load(WASM / "route.wasm", "policy").exports["decide"][0]
    block = (c_uint64 * 4)()
    decides.put_result((True, (verdict, exceptions)) if ok else (False, ("other", "why")), addressof(block))
    lane = compiled_way().forward_lane(addressof(block))
    assert lane == PURE.forward_lane(addressof(block))
    assert lane == (verdict[1] if ok and verdict[0] == "forward" and not exceptions else -1)
    val_delete(addressof(block))


@pytest.fixture(scope="module")
def transacts(own: Host) -> Signature:
    driver = own.load(WASM / "modbus-driver.wasm", "driver")
    return Signature(own.codecs, driver.imports["fieldbus"]["transact"])


@pytest.mark.parametrize(
    "framing",
    [
        ("silence", None), ("exactly", 9), ("some", 2**32 - 1), ("until", b"\r\n"), ("until", bytes(16)),
        ("length-field", (4, 2, True, 0)), ("length-field", (255, 8, False, -(2**31))),
    ],
)  # fmt: skip
def test_what_is_asked_of_a_bus_is_read_alike(transacts: Signature, framing: Any) -> None:
    names = dict(transacts.function.params)["reply"].cases
    if framing[0] not in [name for name, _ in names]:
        pytest.skip("the driver is of the contract 0.1")
    at = transacts.put_arguments((bytes(range(256)), framing, 2**64 - 1))
    assert compiled_way().read_transact(at) == PURE.read_transact(at) == transacts.get_arguments(at)


@pytest.mark.parametrize(
    "reply",
    [
        (True, b""), (True, bytes(range(256))), (True, b"\xff" * (PREPARED_BYTES + 1)), (True, bytearray(b"abc")),
        (False, ("timeout", None)), (False, ("too-long", 9)), (False, ("other", "grün")), [True, b"abc"], (1, b"abc"),
    ],
)  # fmt: skip
def test_a_reply_is_written_alike(transacts: Signature, way: Way, reply: Any) -> None:
    block = (c_uint64 * 4)()
    way.replies(transacts.put_result)(reply, addressof(block))
    assert transacts.get_result(addressof(block)) == tuple(reply)
    val_delete(addressof(block))


@pytest.mark.parametrize(
    "reply", [(True, "text"), (True, None), (False, ("nonsense", None)), (True,), 7, (True, [256])]
)
def test_what_is_no_reply_is_refused_alike(transacts: Signature, reply: Any) -> None:
    said = []
    for one in (PURE, compiled_way()):
        block = (c_uint64 * 4)()
        with pytest.raises(Exception) as caught:  # which, is compared
            one.replies(transacts.put_result)(reply, addressof(block))
        assert list(block) == [0, 0, 0, 0]
        said.append((type(caught.value), str(caught.value)))
    assert said[0] == said[1]


def test_a_held_result_is_freed_once(own: Host, transacts: Signature, way: Way) -> None:
    block, room = (c_uint64 * 4)(), (c_uint64 * 4)()
    held = way.held(addressof(room))
    for size in (3, 700, 0):
        transacts.put_result((True, bytes(size)), addressof(block))
        held.take(SimpleNamespace(at=addressof(block)))
        assert held.full
        assert transacts.get_result(held.at) == (True, bytes(size))
        with pytest.raises(AssertionError):
            held.take(SimpleNamespace(at=addressof(block)))
        held.release()
        held.release()
        assert not held.full


# ---- imports -------------------------------------------------------------------------------------
@pytest.mark.parametrize("answer", [0, 1, 2**64 - 1, True])
def test_a_number_is_answered(own: Host, answer: int) -> None:
    instance = watching(own, lambda: answer)
    instance.advance()
    assert instance.fault is None
    instance.close()


@pytest.mark.parametrize("answer", [-1, 2**64, 1.0, "1", None, b"1"])
def test_what_is_no_number_is_our_own_mistake(own: Host, answer: Any) -> None:
    instance = watching(own, lambda: answer)
    with pytest.raises(WrongValue, match=r"^result: "):
        instance.advance()
    assert instance.fault is not None
    assert instance.fault.cause is Cause.HOST
    instance.close()


def test_a_numpy_number_is_one(own: Host) -> None:
    numpy = pytest.importorskip("numpy")
    instance = watching(own, lambda: numpy.uint64(7))
    instance.advance()
    assert instance.fault is None
    instance.close()


@pytest.mark.parametrize(
    "raised", [ZeroDivisionError("a"), MemoryError(), KeyboardInterrupt(), SystemExit(3), RecursionError("r")]
)
def test_what_a_handler_raises_is_raised_as_itself(own: Host, raised: BaseException) -> None:
    """With its traceback, once, whatever it is; the instance is dead then, and its host isn't."""

    def broken() -> int:
        raise raised

    instance = watching(own, broken)
    with pytest.raises(type(raised)) as caught:
        instance.advance()
    assert caught.value is raised
    assert [one.name for one in caught.traceback][-1] == "broken"
    assert instance.fault is not None
    assert instance.fault.cause is Cause.HOST
    assert instance.raised is None
    instance.close()
    again = watching(own, lambda: 1)
    again.advance()
    assert again.fault is None
    again.close()


def test_who_ends_the_guest_has_his_cause(own: Host) -> None:
    def over() -> int:
        raise GuestEnded("quota", "too much")

    instance = watching(own, over)
    instance.advance()
    assert instance.fault is not None
    assert (instance.fault.cause, instance.fault.message) == (Cause.QUOTA, "too much")
    instance.close()


def test_a_handler_that_isnt_there_is_our_own_mistake(own: Host) -> None:
    linked = own.link(own.load(guests.clock_watching(1), "driver"), ["clock"])
    instance = own.instantiate(linked, {}, FUEL)
    instance.begin("read-sensor", (), FUEL)
    with pytest.raises(KeyError, match=r"clock\.monotonic"):
        instance.advance()
    instance.close()


def test_a_handler_may_recurse_to_its_end(own: Host) -> None:
    """On the guest's fiber, whose stack has no room for Python's."""

    def deep() -> int:
        return deep()

    instance = watching(own, deep)
    with pytest.raises(RecursionError):
        instance.advance()
    instance.close()


def test_a_handler_may_call_another_instance(own: Host) -> None:
    inner_used: list[int] = []

    def ask() -> int:
        inner = watching(own, lambda: 5)
        inner_used.append(inner.advance())
        assert inner.fault is None
        inner.close()
        return 7

    outer = watching(own, ask)
    used = outer.advance()
    assert outer.fault is None
    assert len(inner_used) == 2
    assert len({*inner_used}) == 1
    assert used == inner_used[0]
    outer.close()


def test_ctrl_c_while_the_guest_asks_is_ctrl_c(own: Host) -> None:
    """The signal comes while Python runs below the guest."""

    def asked() -> int:
        signal.raise_signal(signal.SIGINT)
        return 1

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    instance = watching(own, asked)
    try:
        with pytest.raises(KeyboardInterrupt):
            instance.advance()
    finally:
        signal.signal(signal.SIGINT, before)
    instance.close()


def test_no_memory_for_a_reply_is_raised(own: Host) -> None:
    def none_left() -> int:
        return len(bytearray(1 << 62))

    instance = watching(own, none_left)
    with pytest.raises(MemoryError):
        instance.advance()
    instance.close()


def test_calls_are_counted(own: Host) -> None:
    """By Python, whichever way the import takes."""
    own.called = {}
    instance = watching(own, lambda: 1)
    instance.advance()
    instance.close()
    counted, own.called = own.called, None
    assert counted == {"": {"clock.monotonic": 2}}


def test_a_parked_call_ends_with_its_instance(own: Host) -> None:
    linked = own.link(own.load(guests.sleeping(5), "driver"), ["clock"])
    mapped = own.memory.live
    for end in (lambda one: one.close(), lambda one: one.kill(Cause.DEADLINE, "late")):
        instance = own.instantiate(linked, {}, FUEL)
        instance.begin("read-sensor", (), FUEL)
        instance.advance()
        assert instance.request is not None
        assert instance.request == ("clock.sleep", [5])
        end(instance)
        instance.close()
        instance.close()
        assert instance.advance() == 0
        assert own.memory.live == mapped


def test_fuel_is_the_same_both_ways() -> None:
    """Of start code, of each segment, and of a call without a fiber."""
    found = []
    for one in (PURE, compiled_way()):
        own, plain = Host(way=one), Host(fibers=False, way=one)
        used = []
        for guest in (guests.working(100, 5, 200), guests.looping(), guests.trapping(), guests.recursing()):
            instance = own.instantiate(own.link(own.load(guest, "driver"), ["clock"]), {}, FUEL)
            used.append(instance.segment_fuel())
            instance.begin("read-sensor", (), 1_000_000)
            used.append(instance.advance())
            while instance.request is not None:
                instance.limit_fuel(instance._fuel_left - 3)
                instance.answer(None)
                used.append(instance.advance())
            used.append(instance.fuel_used())
            used.append(str(instance.fault))
            instance.close()
        empty = plain.instantiate(plain.link(plain.load(guests.empty(), "driver"), ()), {}, FUEL)
        for fuel in (10**6, 10**9):  # below and above a slice
            used.append(empty.call_at("read-sensor", amount(0), fuel))
        empty.begin("read-sensor", (), 10**9)
        used += [empty.advance(), empty.fuel_used()]
        empty.close()
        own.close()
        plain.close()
        found.append(used)
    assert found[0] == found[1]


def test_the_words_of_a_store_refuse_what_is_no_word(own: Host) -> None:
    words = compiled_way().words(0)
    for bad in (-1, 2**64):
        with pytest.raises(OverflowError):
            words.set_fuel(bad)
    with pytest.raises(TypeError):
        words.set_fuel("1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes 5 arguments, got 2"):
        words.call(amount(0), amount(0))  # type: ignore[call-arg]
    with pytest.raises(AssertionError):
        words.poll()
    words.end()
    words.error = 2**64 - 1
    assert words.error == 2**64 - 1
    words.wait()
    assert MEMORY[words.flag_at] == 0
    words.go_on()
    assert MEMORY[words.flag_at] == 1


# ---- what stays behind ---------------------------------------------------------------------------
TURNS = 200
GROWTH_BYTES = 512 << 10


def test_imports_that_fail_leave_nothing_behind(own: Host) -> None:
    """Answers, answers that are none, exceptions, parked calls that are never answered."""

    def broken() -> int:
        raise ValueError("x" * 1000)

    def turn() -> None:
        for handler, wrong in ((lambda: 2**63, None), (lambda: "no" * 500, WrongValue), (broken, ValueError)):
            instance = watching(own, handler)
            if wrong is None:
                instance.advance()
            else:
                with pytest.raises(wrong):
                    instance.advance()
            instance.close()

    for _ in range(TURNS):
        turn()
    gc.collect()
    began = resident_bytes() or 0
    kept = (True, own, own._instances, own._imports, broken)
    references = [sys.getrefcount(one) for one in kept]
    for _ in range(TURNS):
        turn()
    gc.collect()
    assert [sys.getrefcount(one) for one in kept] == references
    assert (resident_bytes() or 0) - began < GROWTH_BYTES


def test_a_host_that_was_closed_is_garbage(way: Way) -> None:
    own = Host(way=way)
    instance = watching(own, lambda: 1)
    instance.advance()
    own.close()
    seen = weakref.ref(own)
    del own, instance
    gc.collect()
    assert seen() is None


# ---- whole runs ----------------------------------------------------------------------------------
HANDFUL = (
    "field/faster-than-the-line-fixed",
    "hostile/recurses",
    "hostile/nan-as-good",
    "slow-line",
    "mqtt-troubles",
)
"""short, of each protocol, with faults"""


def _digest(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = other_way()
    monkeypatch.setattr(hosting, "way_of_process", lambda: other)
    own = Host(fibers=False, way=other)
    try:
        result = run_in(load(LIBRARY / f"{name}.yaml"), Options(), own)
    finally:
        own.close()
    assert result.digest == json.loads(DIGESTS.read_text())[name]


@pytest.mark.parametrize("name", HANDFUL)
def test_a_run_has_the_same_digest_the_other_way(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _digest(name, monkeypatch)


@pytest.mark.parametrize("name", [one for one in library_names() if one not in HANDFUL])
def test_every_other_run_has_it_as_well(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _digest(name, monkeypatch)

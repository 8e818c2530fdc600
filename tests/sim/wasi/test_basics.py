"""Clocks and waiting, random numbers, output as lines, and what is granted: exactly, without a guest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.sim.wasi.place import DATA, Place
from twinloop.components.contract.errors import GuestEnded
from twinloop.components.wasi.interfaces import ALWAYS, PARKING, harmless, package, signatures
from twinloop.sim.kernel.clock import S, Task
from twinloop.sim.kernel.random import RandomStream, RandomStreams
from twinloop.sim.kernel.wallclock import BOOT_HORIZON_NS, EPOCH_NS
from twinloop.sim.model.wasi import WasiSpec
from twinloop.sim.wasi.basics import Clocks, Random
from twinloop.sim.wasi.streams import LINE_BYTES_MAX, TAIL_BYTES, Input, Lines
from twinloop.sim.wasi.system import System

CLOCK = "clocks/monotonic-clock#"


# ---- clocks --------------------------------------------------------------------------------------
class Watch(Place):
    """A place with clocks; how long something took, and what it brought."""

    def __init__(self) -> None:
        super().__init__()
        self.now.update(Clocks(self).now)

    def after(self, time_ns: int) -> Any:
        """A pollable."""
        return self.now[f"{CLOCK}subscribe-duration"](time_ns)

    def took(
        self, name: str, *arguments: Any, within_ns: int = 60 * S, run_ns: int = 60 * S
    ) -> tuple[int, Any]:
        """(ns of simulated time, result) of an import that parks."""
        begun, ends = self.env.now, list[tuple[int, Any]]()

        def steps() -> Any:
            result = yield from self.later[name](*arguments, begun + within_ns)
            ends.append((self.env.now - begun, result))

        Task(self.env, steps())
        self.env.run(begun + run_ns + 1)
        return ends[0]


@pytest.mark.parametrize("time_ns", [1, 999, S, 2 * S + 1])
def test_a_sleep_takes_that_long_exactly(time_ns: int) -> None:
    watch = Watch()
    assert watch.took("io/poll#[method]pollable.block", watch.after(time_ns)) == (time_ns, None)


def test_nothing_to_wait_for_takes_no_time() -> None:
    watch = Watch()
    past = watch.now[f"{CLOCK}subscribe-instant"](0)
    assert watch.took("io/poll#poll", [watch.after(0)]) == (0, [0])
    assert watch.took("io/poll#poll", [watch.after(9), past, watch.after(0)]) == (0, [1, 2])
    assert watch.call("io/poll#[method]pollable.ready", past) is True
    assert watch.call("io/poll#[method]pollable.ready", watch.after(1)) is False


def test_two_clocks_take_as_long_as_the_first_and_both_as_long_as_the_second() -> None:
    watch = Watch()
    slow, fast = watch.after(2 * S), watch.after(1 * S)
    assert watch.took("io/poll#poll", [slow, fast], run_ns=S) == (S, [1])
    assert watch.took("io/poll#[method]pollable.block", slow, run_ns=S) == (S - 1, None)
    assert watch.took("io/poll#poll", [slow, fast]) == (0, [0, 1])


def test_a_wait_ends_with_the_calls_time() -> None:
    watch = Watch()
    assert watch.took("io/poll#poll", [watch.after((1 << 64) - 1)], within_ns=S) == (S, [])


def test_a_poll_of_nothing_traps() -> None:
    with pytest.raises(GuestEnded, match="empty list"):
        Watch().took("io/poll#poll", [])


@pytest.mark.parametrize(
    ("ppb", "takes_ns"), [(500_000_000, 2 * S), (-250_000_000, 4 * S), (50_000, 2_999_850_008)]
)
def test_a_timer_goes_by_the_gateways_clock(ppb: int, takes_ns: int) -> None:
    """3 s of it; the last: 3 s / 1.00005, rounded up, for before that the clock doesn't show them."""
    watch = Watch()
    watch.machine.clock.skew(0, ppb)
    assert watch.took("io/poll#[method]pollable.block", watch.after(3 * S)) == (takes_ns, None)


def test_a_clock_that_becomes_slow_meanwhile_is_waited_for() -> None:
    watch = Watch()
    watch.env.call_in(S, watch.machine.clock.skew, S, -500_000_000)
    assert watch.took("io/poll#[method]pollable.block", watch.after(3 * S)) == (5 * S, None)


def test_a_clock_that_stands_is_waited_for_until_it_goes() -> None:
    watch = Watch()
    watch.machine.clock.skew(0, -1_000_000_000)
    watch.env.call_in(5 * S, watch.machine.clock.skew, 5 * S, 1_000_000_000)
    assert watch.took("io/poll#[method]pollable.block", watch.after(S)) == (6 * S, None)


def test_what_clocks_show() -> None:
    """Ten minutes before the run is when gateways boot: even then no clock shows 0, which ends programs of Go."""
    watch = Watch()
    watch.env.run(3 * S + 7)
    watch.machine.clock.step(2 * S)
    assert watch.call(f"{CLOCK}now") == BOOT_HORIZON_NS + 3 * S + 7
    assert watch.call("clocks/wall-clock#now") == divmod(EPOCH_NS + 5 * S + 7, S)
    watch.instant_ns = lambda: -BOOT_HORIZON_NS  # type: ignore[method-assign]
    assert watch.call(f"{CLOCK}now") == 1
    assert (watch.call(f"{CLOCK}resolution"), watch.call("clocks/wall-clock#resolution")) == (1, (0, 1))


# ---- random numbers ------------------------------------------------------------------------------
def test_random_bytes_are_those_of_the_stream() -> None:
    place = Place()
    random = Random(place, lambda: RandomStream(5)).now
    words = RandomStream(5)
    expected = b"".join(words.word().to_bytes(8, "little") for _ in range(3))
    assert random["random/random#get-random-bytes"](20) == expected[:20]
    assert place.carried_bytes == 20
    assert random["random/random#get-random-u64"]() == words.word()
    assert random["random/insecure#get-insecure-random-bytes"](0) == b""
    assert random["random/insecure-seed#insecure-seed"]() == (words.word(), words.word())
    with pytest.raises(GuestEnded, match="limit"):
        random["random/random#get-random-bytes"](1 << 40)


# ---- lines ---------------------------------------------------------------------------------------
def said(*writes: bytes, end: bool = True) -> list[str]:
    """The lines that come of it."""
    place = Place()
    lines = Lines(place, "stdout")
    for data in writes:
        assert lines.write(data)[0]
    if end:
        lines.end()
    return [line for _, line in place.lines]


@pytest.mark.parametrize(
    ("writes", "lines"),
    [
        ((b"a\nb\n",), ["a", "b"]), ((b"a", b"b\nc"), ["ab", "c"]), ((b"\n\n",), ["", ""]), ((b"a\r\n",), ["a"]), ((b"", b"", b"x"), ["x"]), ((), []),
        ((b"\xff\xfea\n",), ["\ufffd\ufffda"]), (("ä\n".encode()[:1], "ä\n".encode()[1:]), ["ä"]),
        ((b"x" * LINE_BYTES_MAX + b"\n",), ["x" * LINE_BYTES_MAX]),
        ((b"x" * (2 * LINE_BYTES_MAX + 1) + b"\n",), ["x" * LINE_BYTES_MAX, "x" * LINE_BYTES_MAX, "x"]),
        ((b"x" * LINE_BYTES_MAX, b"y"), ["x" * LINE_BYTES_MAX, "y"]),
        ((b"x" + "ä".encode() * LINE_BYTES_MAX,), ["x" + "ä" * 2047, "ä" * 2048, "ä"]),
        ((b"\x80" * (LINE_BYTES_MAX + 1),), ["\ufffd" * (LINE_BYTES_MAX - 4), "\ufffd" * 5]),
    ],
)  # fmt: skip
def test_lines(writes: tuple[bytes, ...], lines: list[str]) -> None:
    assert said(*writes) == lines


def test_a_line_without_end_waits_for_the_instances() -> None:
    assert said(b"a\nb", end=False) == ["a"]
    place = Place()
    error = Lines(place, "stderr")
    error.write(bytes(TAIL_BYTES) + b"last words")
    assert bytes(error.tail) == bytes(TAIL_BYTES - 10) + b"last words"
    error.end()
    error.end()
    assert (len(place.lines), error.tail) == (2, b"")


def test_standard_input_is_at_its_end() -> None:
    place = Place()
    closed = (False, ("closed", None))
    assert place.call("io/streams#[method]input-stream.read", Input(), 1) == closed
    assert place.call("io/streams#[method]input-stream.blocking-read", Input(), 1) == closed
    assert place.call("io/streams#[method]input-stream.blocking-skip", Input(), 1) == closed


# ---- what is granted -----------------------------------------------------------------------------
def system(*packages: str) -> tuple[System, Place]:
    """With all of WASI imported."""
    imported: dict[str, list[str]] = {}
    for name in signatures():
        interface, _, function = name.partition("#")
        imported.setdefault(interface, []).append(function)
    place, streams = Place(), RandomStreams(7)
    folders = (DATA,) if "wasi:filesystem" in packages else ()
    spec = WasiSpec(packages=packages, folders=folders, environment=(("A", "b"),), arguments=("-v",))
    return System(place, "uploader", spec, imported, streams.stream), place


def parameters(name: str) -> int:
    """How many it takes."""
    text = signatures()[name].partition("(")[2]
    depth, count = 1, 0 if text.startswith(")") else 1
    for character in text:
        depth += character in "({<"
        depth -= character in ")}" or (character == ">" and depth > 1)
        if not depth:
            break
        count += character == "," and depth == 1
    return count


def answered(answer: Callable[..., Any], *arguments: Any) -> Any:
    """Its result, or how it ended the guest."""
    try:
        return answer(*arguments)
    except GuestEnded as end:
        return end.cause, str(end)


def test_each_function_that_is_granted_does_something() -> None:
    found, _ = system("wasi:clocks", "wasi:filesystem")
    assert [name for name in PARKING if name not in found.tasks] == []
    assert sorted([*found.handlers, *found.tasks]) == sorted(signatures())
    for name, answer in found.handlers.items():
        if package(name) in (*ALWAYS, "wasi:clocks", "wasi:filesystem"):
            with suppress(AttributeError, TypeError):  # it wanted to do something with what it was given
                result = answered(answer, *[None] * parameters(name))
                assert "not offered" not in str(result), name
    assert found.denied == {}
    assert found.called["cli/environment#get-environment"] == 1


def test_what_isnt_granted_is_denied_in_wasis_words_or_by_a_fault() -> None:
    """By hand, from WASI's WIT: sockets' error-code has access-denied, http's HTTP-request-denied; a clock has no error."""
    found, place = system()
    assert answered(found.handlers[f"{CLOCK}now"]) == (
        "denied", f"wasi:{CLOCK}now is not granted; add wasi:clocks to the grants of uploader",
    )  # fmt: skip
    denial = (False, "access-denied")
    assert answered(found.handlers["sockets/tcp-create-socket#create-tcp-socket"]) == denial
    assert answered(found.handlers["sockets/ip-name-lookup#resolve-addresses"]) == denial
    handle = answered(found.handlers["http/outgoing-handler#handle"])
    assert handle == (False, ("HTTP-request-denied", None))
    assert answered(found.handlers["io/poll#[method]pollable.ready"], Input().pollable()) is True
    assert answered(found.handlers["filesystem/types#[method]descriptor.stat"]) == (False, "access")
    assert found.handlers["filesystem/preopens#get-directories"]() == []
    assert place.limits == {"denied": 5}
    assert sum(found.denied.values()) == 5
    assert found.denied[f"{CLOCK}now"] == found.called[f"{CLOCK}now"] == 1
    for name, answer in found.handlers.items():
        if package(name) == "wasi:sockets" and not harmless(name):
            result = answered(answer)
            assert result[0] in (False, "denied"), name
            assert (result[0] == "denied") is not any(
                word in signatures()[name].rpartition(")->")[2]
                for word in ("access-denied", "HTTP-request-denied")
            ), name


def test_what_a_gateway_of_another_place_draws_is_other() -> None:
    streams = RandomStreams(7)
    words = [
        System(Place(), "c", WasiSpec(), {"random/random": ["get-random-u64"]}, lambda purpose, at=at: streams.stream(f"{at}/{purpose}")).handlers["random/random#get-random-u64"]()
        for at in ("gw/transform", "gw2/transform")
    ]  # fmt: skip
    assert words[0] != words[1]

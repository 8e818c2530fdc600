"""WASI at the component's border: what links, what is refused before it runs, and resources that cross."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.components import guests
from tests.wasi_guest import guest_bytes
from twinloop.components.contract.errors import GuestEnded
from twinloop.components.host.component import ComponentRefused
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.components.host.outcome import Cause
from twinloop.components.host.resources import HANDLES_MAX
from twinloop.components.wasi import interfaces, tabulate
from twinloop.components.wasi.interfaces import PARKING, RESOURCES, resource_number, signatures
from twinloop.scenarios.collector import resident_bytes

FUEL = 1 << 32
ALL = (Path(__file__).parent.parent / "guests" / "wasi-0.2.12.wat").read_text(encoding="utf-8")
CLOCK = "wasi:clocks/monotonic-clock@{}"


# ---- the table -----------------------------------------------------------------------------------
def test_the_committed_table_is_what_the_command_writes() -> None:
    written = (Path(interfaces.__file__).parent / "signatures.txt").read_text(encoding="utf-8")
    assert tabulate.table(f"(component\n{ALL})".encode()) == written


def test_the_table_read_again_is_what_components_say() -> None:
    """Shortened and expanded is what it was: of all functions, and of a component that somebody else's tools have made."""
    assert list(signatures().items()) == tabulate.functions(f"(component\n{ALL})".encode())
    assert len(signatures()) == 179
    others = dict(tabulate.functions(guest_bytes()))
    assert len(others) > 40
    assert others == {name: signatures()[name] for name in others}


def test_the_table_says_what_the_wit_says() -> None:
    """By hand, from random.wit, io.wit and filesystem.wit."""
    assert signatures()["random/random#get-random-bytes"] == "func(len:u64)->list<u8>"
    assert signatures()["io/poll#poll"] == "func(in:list<borrow>)->list<u32>"
    assert (
        signatures()["io/streams#[method]output-stream.check-write"]
        == "func(self:borrow)->result<u64,variant{last-operation-failed(own),closed}>"
    )
    entry = signatures()["filesystem/types#[method]directory-entry-stream.read-directory-entry"]
    assert entry.startswith("func(self:borrow)->result<option<record{type:enum{unknown,block-device,")
    assert not [text for text in signatures().values() if "$" in text]


def test_what_parks_is_known_and_each_resource_has_its_number() -> None:
    assert [name for name in PARKING if name not in signatures()] == []
    assert {resource_number(name) for name in ("fields", "headers", "trailers")} == {
        RESOURCES.index("fields") + 1
    }
    declared = dict.fromkeys(re.findall(r'\(export "([a-z-]+)" \(type \(sub resource\)\)\)', ALL))
    assert sorted(declared) == sorted(RESOURCES)
    assert sorted(map(resource_number, declared)) == list(range(1, len(RESOURCES) + 1))


# ---- linking -------------------------------------------------------------------------------------
def test_all_of_wasi_links_whatever_is_granted(host: Host) -> None:
    component = host.load(guests.driver_text("EMPTY", ALL), "driver")
    assert component.imports == {}
    names = [
        f"{interface}#{name}" for interface, found in component.wasi_functions().items() for name in found
    ]
    assert sorted(names) == sorted(signatures())
    for grants in ([], ["wasi:clocks", "wasi:filesystem"]):
        linked = host.link(component, grants)
        assert linked.parks
        instance = host.instantiate(linked, {}, FUEL)
        assert instance.fault is None
        instance.close()


def with_import(name: str, items: str) -> bytes:
    return guests.driver_text("EMPTY", f'(import "{name}" (instance {items}))')


NOW = '(export "now" (func (result u64)))'


@pytest.mark.parametrize("version", ["0.2.0", "0.2.6", "0.2.99"])
def test_any_0_2_links_and_a_function_that_is_newer_than_the_table(host: Host, version: str) -> None:
    text = with_import(CLOCK.format(version), f'{NOW} (export "leap" (func (param "x" f32)))')
    component = host.load(text, "driver")
    assert component.wasi_functions() == {"clocks/monotonic-clock": ["now", "leap"]}
    host.instantiate(host.link(component, []), {}, FUEL).close()


def test_two_versions_of_one_interface_in_a_component_are_one(host: Host) -> None:
    """As in components that were composed of parts by several tools."""
    older = (
        f'(import "{CLOCK.format("0.2.0")}" (instance $a {NOW} (export "resolution" (func (result u64)))))'
    )
    newer = f'(import "{CLOCK.format("0.2.6")}" (instance $b {NOW}))'
    component = host.load(guests.driver_text("EMPTY", f"{older} {newer}"), "driver")
    assert component.wasi_functions() == {"clocks/monotonic-clock": ["now", "resolution"]}
    host.instantiate(host.link(component, []), {}, FUEL).close()


@pytest.mark.parametrize(
    "name",
    [
        CLOCK.format("0.3.0"), CLOCK.format("0.2.0-rc-2023-11-10"), CLOCK.format("0.3.0-rc-2025-09-16"), CLOCK.format("1.0.0"),
        "wasi:keyvalue/store@0.2.0-draft", "wasi:nn/tensor@0.2.0",
    ],
)  # fmt: skip
def test_other_versions_and_packages_are_refused_with_what_there_is(host: Host, name: str) -> None:
    words = f"imports {name}, which no gateway offers; of WASI this host offers 0.2: wasi:cli, wasi:io, wasi:random, wasi:clocks"
    with pytest.raises(ComponentRefused, match=re.escape(words)):
        host.load(with_import(name, NOW), "driver")


@pytest.mark.parametrize(
    "items", ['(export "now" (func (result u32)))', '(export "now" (func (param "zone" u8) (result u64)))']
)
def test_a_function_of_another_type_is_refused_by_name(host: Host, items: str) -> None:
    words = r"imports wasi:clocks/monotonic-clock@0\.2\.0#now: expected func\(\)->u64, got func\("
    with pytest.raises(ComponentRefused, match=words):
        host.load(with_import(CLOCK.format("0.2.0"), items), "driver")


def test_wasi_that_is_no_interface_is_refused(host: Host) -> None:
    text = guests.driver_text("EMPTY", f'(import "{CLOCK.format("0.2.0")}" (func $now (result u64)))')
    with pytest.raises(ComponentRefused, match="expected an interface"):
        host.load(text, "driver")


# ---- resources -----------------------------------------------------------------------------------
POLL = """
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $p (sub resource)))
    (type $b (borrow $p)) (type $l (list $b)) (type $r (list u32))
    (export "[method]pollable.ready" (func (param "self" $b) (result bool)))
    (export "[method]pollable.block" (func (param "self" $b)))
    (export "poll" (func (param "in" $l) (result $r)))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clocks
    (alias outer 1 $pollable (type $q)) (export "pollable" (type $p (eq $q))) (type $o (own $p))
    (export "subscribe-duration" (func (param "when" u64) (result $o)))))
  (core func $make (canon lower (func $clocks "subscribe-duration")))
  (core func $ready (canon lower (func $poll "[method]pollable.ready")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $drop (canon resource.drop $pollable))
"""
POLL_LOWERED = """
  (core func $all (canon lower (func $poll "poll") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
"""
ARGUMENTS = """
    (import "env" "make" (func $make (param i64) (result i32))) (import "env" "ready" (func $ready (param i32) (result i32)))
    (import "env" "block" (func $block (param i32))) (import "env" "drop" (func $drop (param i32)))
    (import "env" "all" (func $all (param i32 i32 i32)))
"""
STREAMS = """
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type $e (sub resource)))))
  (alias export $error "error" (type $error-type))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $s (sub resource)))
    (alias outer 1 $error-type (type $x)) (export "error" (type $e (eq $x))) (type $oe (own $e))
    (type $v (variant (case "last-operation-failed" $oe) (case "closed"))) (export "stream-error" (type $se (eq $v)))
    (type $b (borrow $s)) (type $r (result (error $se)))
    (export "[method]output-stream.blocking-flush" (func (param "self" $b) (result $r)))))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output-stream (type $q)) (export "output-stream" (type $s (eq $q))) (type $o (own $s))
    (export "get-stdout" (func (result $o)))))
  (core func $get (canon lower (func $stdout "get-stdout")))
"""
STREAMS_LOWERED = """
  (core func $flush (canon lower (func $streams "[method]output-stream.blocking-flush") (memory (core memory $libc "memory"))))
"""
STREAM_ARGUMENTS = (
    '(import "env" "get" (func $get (result i32))) (import "env" "flush" (func $flush (param i32 i32)))'
)


def driver(body: str, streams: bool = False) -> bytes:
    """One whose ``read-sensor`` does that with pollables, or with streams; its first local is an i32."""
    imports, lowered, arguments, names = (
        (STREAMS, STREAMS_LOWERED, STREAM_ARGUMENTS, ("get", "flush"))
        if streams
        else (POLL, POLL_LOWERED, ARGUMENTS, ("make", "ready", "block", "drop", "all"))
    )
    text = guests.driver_text(f"{body} EMPTY", imports, arguments, lowered=lowered)
    exports = " ".join(f'(export "{name}" (func ${name}))' for name in names)
    return text.replace(b'(with "env" (instance))', f'(with "env" (instance {exports}))'.encode())


def times(count: int, body: str) -> str:
    """So often."""
    return (
        f"(local.set 0 (i32.const {count})) (loop $again {body} "
        "(local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $again (local.get 0)))"
    )


class Thing:
    """A host object that knows whether it was dropped."""

    def __init__(self, what: str, name: Any, dropped: list[Any]) -> None:
        self.resource, self.name, self._dropped = resource_number(what), name, dropped

    def dropped(self) -> None:
        """Noted."""
        self._dropped.append(self.name)


@pytest.fixture
def made(host: Host) -> Iterator[Callable[..., tuple[Instance, list[Any], list[Any]]]]:
    """Instance of such a driver, what it has asked, and what it has dropped."""
    instances = []

    def make(text: bytes) -> tuple[Instance, list[Any], list[Any]]:
        asked: list[Any] = []
        dropped: list[Any] = []

        def ready(thing: Thing) -> bool:
            asked.append(thing.name)
            return True

        handlers = {
            "clocks/monotonic-clock#subscribe-duration": lambda name: Thing("pollable", name, dropped),
            "io/poll#[method]pollable.ready": ready,
            "cli/stdout#get-stdout": lambda: Thing("output-stream", "stdout", dropped),
        }
        instances.append(host.instantiate(host.link(host.load(text, "driver"), []), handlers, FUEL))
        return instances[-1], asked, dropped

    yield make
    for instance in instances:
        instance.close()


def read(instance: Instance) -> None:
    """One call, until it is parked or over."""
    instance.begin("read-sensor", (), FUEL)
    instance.advance()
    if instance.request is None:
        instance.release()


MAKE_7 = "(i32.store (i32.const 512) (call $make (i64.const 7)))"
MAKE_8 = "(i32.store (i32.const 516) (call $make (i64.const 8)))"
GET_7, GET_8 = "(i32.load (i32.const 512))", "(i32.load (i32.const 516))"


def test_a_borrow_leaves_it_to_the_guest_and_a_drop_gives_it_back(made: Any) -> None:
    instance, asked, dropped = made(
        driver(
            f"{MAKE_7} {MAKE_8} (drop (call $ready {GET_8})) (drop (call $ready {GET_7})) (call $drop {GET_7})"
        )
    )
    read(instance)
    assert instance.fault is None
    assert (asked, dropped, len(instance.handles)) == ([8, 7], [7], 1)
    instance.close()
    assert dropped == [7, 8], "what it held goes with it"


def test_a_list_of_borrows_reaches_a_parked_import_as_the_objects(made: Any) -> None:
    poll = "(call $all (i32.const 512) (i32.const 2) (i32.const 600)) (if (i32.ne (i32.load (i32.load (i32.const 600))) (i32.const 1)) (then unreachable))"
    instance, _, dropped = made(driver(f"{MAKE_7} {MAKE_8} {poll} (call $drop {GET_7}) (call $drop {GET_8})"))
    read(instance)
    assert instance.request is not None
    assert instance.request.name == "io/poll#poll"
    assert [thing.name for thing in instance.request.arguments[0]] == [7, 8]
    instance.answer([1])
    instance.advance()
    instance.release()
    assert instance.fault is None
    assert (dropped, len(instance.handles)) == ([7, 8], 0)


def test_two_instances_have_handles_of_their_own(made: Any) -> None:
    text = driver(f"{MAKE_7} (call $block {GET_7}) (drop (call $ready {GET_7})) (call $drop {GET_7})")
    one, two = made(text), made(text)
    for instance, _, _ in (one, two):
        read(instance)
    for instance, _, _ in (one, two):
        assert instance.request.name == "io/poll#[method]pollable.block"
        instance.answer(None)
    for instance, asked, dropped in (one, two):
        instance.advance()
        instance.release()
        assert (instance.fault, asked, dropped) == (None, [7], [7])


@pytest.mark.parametrize("wrong", ["(i32.const 12345)", "(i32.const 0)"])
def test_a_handle_that_it_doesnt_hold_is_its_fault(made: Any, wrong: str) -> None:
    instance, asked, _ = made(driver(f"{MAKE_7} (drop (call $ready {wrong}))"))
    read(instance)
    assert instance.fault is not None
    assert instance.fault.cause in (Cause.UNREACHABLE, Cause.ABI)
    assert asked == []


def test_a_handle_that_was_dropped_is_nobodys(made: Any) -> None:
    instance, asked, dropped = made(driver(f"{MAKE_7} (call $drop {GET_7}) (drop (call $ready {GET_7}))"))
    read(instance)
    assert instance.fault is not None
    assert (asked, dropped) == ([], [7])


def test_too_many_handles_end_it(made: Any) -> None:
    instance, _, dropped = made(
        driver(times(HANDLES_MAX, MAKE_7) + "(call $drop (i32.const 1))" + times(2, MAKE_7))
    )
    read(instance)
    assert instance.fault is not None
    assert (instance.fault.cause, str(HANDLES_MAX) in instance.fault.message) == (Cause.QUOTA, True)
    assert (len(instance.handles), len(dropped)) == (HANDLES_MAX, 1)
    instance.close()
    assert len(dropped) == HANDLES_MAX + 1


def test_too_many_handles_by_the_answer_of_a_parked_import_end_it_too(made: Any) -> None:
    flush = "(call $flush (i32.load (i32.const 512)) (i32.const 600))"
    instance, _, dropped = made(
        driver(times(HANDLES_MAX, "(i32.store (i32.const 512) (call $get))") + flush, streams=True)
    )
    read(instance)
    assert instance.request is not None
    instance.answer((False, ("last-operation-failed", Thing("error", "error", dropped))))
    instance.advance()
    assert instance.fault is not None
    assert instance.fault.cause is Cause.QUOTA


def test_a_handler_that_ends_the_guest_says_why(host: Host) -> None:
    def ended(time_ns: int) -> Any:
        raise GuestEnded("denied", "it isn't granted")

    text = driver(MAKE_7)
    handlers = {"clocks/monotonic-clock#subscribe-duration": ended}
    instance = host.instantiate(host.link(host.load(text, "driver"), []), handlers, FUEL)
    read(instance)
    assert instance.fault is not None
    assert (instance.fault.cause, instance.fault.message) == (Cause.DENIED, "it isn't granted")
    instance.close()


def test_a_guest_that_leaks_nothing_grows_nothing(made: Any) -> None:
    """Ten thousand calls hold what the first one did; 200 000 handles leave this process as large as it was."""
    instance, _, dropped = made(
        driver(times(1, f"{MAKE_7} (drop (call $ready {GET_7})) (call $drop {GET_7})"))
    )
    for _ in range(10_000):
        read(instance)
        assert len(instance.handles) == 0
    assert len(dropped) == 10_000
    many, _, dropped = made(driver(times(20_000, f"{MAKE_7} (call $drop {GET_7})")))
    sizes = []
    for _ in range(10):
        read(many)
        dropped.clear()
        sizes.append(resident_bytes() or 0)
    assert many.fault is None
    assert sizes[-1] - sizes[2] < 2 << 20

"""Components called past wasmtime's component API behave as by it: values, fuel, memory, faults and their words.

The component API is the oracle: the same component, driven by it in one host and directly in another.
"""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.echo import FUEL, LIBC, Function, call, echo, echo_text, linked_of, live, shape
from tests.components.ways import compiled_way
from tests.components.wit_types import Wit, random_type, size
from tests.components.wit_values import difference, random_value
from twinloop.components.binary.plan import HostFunction, Place, plan_of
from twinloop.components.host.call_state import NeedsFibers
from twinloop.components.host.crossing import PURE
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.components.host.outcome import Cause, Fault

SHIPPED = Path(__file__).parents[2] / "components" / "wasm"
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module", params=[True, False], ids=["fibers", "no-fibers"])
def hosts(request: pytest.FixtureRequest) -> Iterator[tuple[Host, Host]]:
    """(by wasmtime's component API, directly)"""
    pair = Host(fibers=request.param, way=PURE), Host(fibers=request.param, way=compiled_way())
    yield pair
    for one in pair:
        one.close()


def both(hosts: tuple[Host, Host], functions: list[Function], encoding: str = "utf8") -> list[Any]:
    """The component linked in both; only the second one is called directly."""
    first, second = (echo(one, functions, encoding) for one in hosts)
    assert first.direct is None
    assert second.direct is not None
    return [first, second]


# ---- plans ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.wasm")), ids=lambda file: file.stem)
def test_what_we_ship_is_called_directly(file: Path) -> None:
    plan = plan_of(file.read_bytes())
    assert plan is not None
    assert plan.memory is not None
    assert plan.memory.name == "memory"
    assert [step.starts for step in plan.steps] == [False] * (len(plan.steps) - 1) + [True]
    (functions,) = plan.exports.values()
    assert "configure" in functions
    assert all(
        one.after is not None and one.after.name.startswith("cabi_post_") for one in functions.values()
    )


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.wasm")), ids=lambda file: file.stem)
def test_nothing_of_what_we_ship_falls_back(file: Path) -> None:
    """To the component API, which would give the same and be noticed by nobody but the clock."""
    plan = plan_of(file.read_bytes())
    assert plan is not None
    (interface,) = plan.exports
    role = interface.partition("/")[2].partition("@")[0]
    host = Host(way=compiled_way())
    component = host.load(file, role)
    assert host.link(component, tuple(component.imports)).direct is not None
    host.close()


def test_the_plan_of_the_modbus_driver() -> None:
    """As wasm-tools prints it: shim, driver, fixups; what needs memory goes through the shim."""
    plan = plan_of((SHIPPED / "modbus-driver.wasm").read_bytes())
    assert plan is not None
    shim, driver, fixups = plan.steps
    bus = "twinloop:gateway/fieldbus@0.2.0"
    assert shim.wanted == {}
    assert driver.wanted[bus, "transact"] == Place(0, "0")
    assert driver.wanted[bus, "reset"] == HostFunction(bus, "reset")
    assert fixups.wanted["actual", "0"] == HostFunction(bus, "transact")
    assert fixups.wanted["shim", "$imports"] == Place(0, "$imports")


@pytest.mark.parametrize(
    "text",
    [
        '(component (import "r" (type (sub resource))))',
        '(component (core module $m (func (export "f"))) (core instance $i (instantiate $m)) '
        "(core instance (instantiate $m)) (core module $n (func $s) (start $s)) (core instance (instantiate $n)) "
        "(core instance (instantiate $m)))",
        "(component (component (core module)))",
        '(component (import "f" (func)))',
    ],
    ids=["resource", "starts-before-the-last", "code-inside", "function-by-itself"],
)
def test_what_else_there_is_stays_with_wasmtime(text: str) -> None:
    assert plan_of(bytes(wasmtime.wat2wasm(text))) is None


def test_every_prefix_of_a_component_is_read_or_left() -> None:
    """Nothing but a plan or None, whatever comes."""
    data = (SHIPPED / "smooth.wasm").read_bytes()
    dice = random.Random(5)
    for _ in range(300):
        cut = bytearray(data[: dice.randrange(len(data))])
        for _ in range(dice.randrange(4)):
            if cut:
                cut[dice.randrange(len(cut))] = dice.randrange(256)
        plan_of(bytes(cut))


@pytest.mark.parametrize("encoding", ["utf16", "latin1+utf16"])
def test_other_encodings_stay_with_wasmtime(encoding: str) -> None:
    text = echo_text([Function(random_type(random.Random(3)))], encoding).decode()
    assert plan_of(bytes(wasmtime.wat2wasm(text))) is None


# ---- values --------------------------------------------------------------------------------------
@settings(max_examples=150, deadline=None)
@given(seed=seeds, parks=st.booleans())
def test_values_fuel_and_memory_are_alike(hosts: tuple[Host, Host], seed: int, parks: bool) -> None:
    dice = random.Random(seed)
    wit = random_type(dice)
    sent = [random_value(dice, wit) for _ in range(4)]
    told = []
    for host, linked in zip(hosts, both(hosts, [Function(wit, parks)]), strict=True):
        seen: list[Any] = []

        def answer(value: Any, seen: list[Any] = seen) -> Any:
            seen.append(value)
            return value

        instance = live(host, linked, {"f0": answer})
        fuel = []
        for value in sent:
            came = call(instance, "g0", value, answers=answer)
            assert instance.fault is None
            assert difference(wit, value, came) == ""
            assert difference(wit, value, seen.pop()) == ""
            fuel.append(instance.fuel_used())
        told.append((fuel, instance.memory_bytes))
        instance.close()
    assert told[0] == told[1]


# ---- faults --------------------------------------------------------------------------------------
def _outcome(
    instance: Instance, export: str, *values: Any, answers: Any = None
) -> tuple[Fault | None, Any, int]:
    """How it ended, what came, the fuel it took."""
    came = call(instance, export, *values, answers=answers)
    return instance.fault, came, instance.fuel_used() if instance.fault is None else instance.fault.fuel_used


@settings(max_examples=200, deadline=None)
@given(seed=seeds)
def test_bytes_of_no_value_end_it_with_the_same_words(hosts: tuple[Host, Host], seed: int) -> None:
    """What the guest returns is random: most of it is no value of the type."""
    dice = random.Random(seed)
    wit = random_type(dice)
    function = Function(wit, body=_garbage(wit, dice))
    value = random_value(dice, wit)
    ends = []
    for host, linked in zip(hosts, both(hosts, [function]), strict=True):
        instance = live(host, linked, {"f0": lambda value: value})
        fault, came, fuel = _outcome(instance, "g0", value)
        ends.append((fault, repr(came), fuel))
        instance.close()
    assert ends[0] == ends[1]


def _garbage(wit: Wit, dice: random.Random) -> str:
    """Core code that answers with numbers of which some are pointers, lengths and discriminants."""
    _, result = shape(wit)

    def number() -> int:
        return dice.choice(
            [
                0,
                1,
                2,
                3,
                7,
                255,
                1024,
                65_535,
                65_536,
                0xD800,
                0x11_0000,
                2**31,
                2**32 - 1,
                dice.randrange(2**32),
            ]
        )

    if result:
        return f"({result}.const {number() if result[0] == 'i' else dice.random()})"
    stores = "".join(
        f"(i32.store (i32.add (local.get $RET) (i32.const {at})) (i32.const {number()}))"
        for at in range(0, max(size(wit) - 3, 1), 4)
    )
    return stores + dice.choice(
        ["(local.get $RET)"] * 6 + ["(i32.const 3)", "(i32.const 65532)", "(i32.const -8)"]
    )


TEXT = """(component
  (import "test:echo/host" (instance $host
    (export "take" (func (param "x" string) (result (list string))))
    (export "wait" (func (param "x" (list u8)) (result (result (list u8) (error string)))))))
  {libc}
  (core func $take (canon lower (func $host "take") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core func $wait (canon lower (func $host "wait") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core module $m
    (import "libc" "memory" (memory 1))
    (import "libc" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "env" "take" (func $take (param i32 i32 i32)))
    (import "env" "wait" (func $wait (param i32 i32 i32)))
    (func $room (param i32) (result i32) (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (local.get 0)))
    {functions})
  (core instance $code (instantiate $m (with "libc" (instance $libc))
    (with "env" (instance (export "take" (func $take)) (export "wait" (func $wait))))))
  {exports})"""
"""functions of no arguments that call the host with what they like"""


def text_of(**functions: str) -> bytes:
    """That component, with such bodies of () -> u32."""
    bodies = "".join(f'(func (export "{name}") (result i32) {body})' for name, body in functions.items())
    exports = "".join(
        f'(func $x-{name} (result u32) (canon lift (core func $code "{name}"))) (export "{name}" (func $x-{name}))'
        for name in functions
    )
    return TEXT.format(libc=LIBC, functions=bodies, exports=exports).encode()


GOOD = "(call $take (i32.const 0) (i32.const 4) (i32.const 64)) (i32.load (i32.const 68))"
HOSTILE = {
    "good": GOOD,
    "beyond": "(call $take (i32.const 65530) (i32.const 400) (i32.const 64)) (i32.const 1)",
    "wraps": "(call $take (i32.const -4) (i32.const 8) (i32.const 64)) (i32.const 1)",
    "no-text": "(i32.store (i32.const 0) (i32.const 0x80C061)) (call $take (i32.const 0) (i32.const 3) (i32.const 64)) (i32.const 1)",
    "cut-text": "(i32.store (i32.const 0) (i32.const 0xACE261)) (call $take (i32.const 0) (i32.const 3) (i32.const 64)) (i32.const 1)",
    "unaligned-answer": "(call $take (i32.const 0) (i32.const 4) (i32.const 65)) (i32.const 1)",
    "answer-beyond": "(call $take (i32.const 0) (i32.const 4) (i32.const -8)) (i32.const 1)",
    "answer-over-the-end": "(call $take (i32.const 0) (i32.const 4) (i32.const 1073741824)) (i32.const 1)",
    "waits": "(call $wait (i32.const 0) (i32.const 4) (i32.const 64)) (i32.load (i32.const 72))",
    "waits-beyond": "(call $wait (i32.const 65530) (i32.const 400) (i32.const 64)) (i32.const 1)",
    "waits-with-an-answer-beyond": "(call $wait (i32.const 0) (i32.const 4) (i32.const -8)) (i32.const 1)",
    "traps": "unreachable",
    "too-much": "(drop (memory.grow (i32.const 900))) (call $wait (i32.const 0) (i32.const 2796203) (i32.const 64)) (i32.const 1)",
    "nearly-too-much": "(drop (memory.grow (i32.const 900))) (call $wait (i32.const 0) (i32.const 2796202) (i32.const 64)) (i32.const 1)",
}


@pytest.mark.parametrize("parks", [True, False], ids=["parks", "at-once"])
@pytest.mark.parametrize("export", HOSTILE)
def test_a_guest_that_lies_to_the_host(hosts: tuple[Host, Host], export: str, parks: bool) -> None:
    """The oracle says how each ends; "good", "waits" and "nearly-too-much" end well."""
    ends = []
    for host in hosts:
        linked = linked_of(host, text_of(**HOSTILE), lambda name: parks and name == "wait")
        assert (linked.direct is not None) == (host is hosts[1])

        def take(text: str) -> list[str]:
            return [text, "", "ä" * 40]

        def wait(data: bytes) -> tuple[bool, Any]:
            return (True, data[:9]) if len(data) > 4 else (False, "never")

        instance = live(host, linked, {"take": take, "wait": wait})
        ends.append(_outcome(instance, export, answers=wait))
        ends.append(_outcome(instance, "good") if instance.fault is None else instance.fault)
        instance.close()
    assert ends[:2] == ends[2:]
    assert (ends[0][0] is None) == (export in ("good", "waits", "nearly-too-much"))


def test_a_guest_may_not_leave_while_it_makes_room(hosts: tuple[Host, Host]) -> None:
    """Its realloc calls the host: wasmtime ends it, so does this."""
    text = """(component
      (import "test:echo/host" (instance $host (export "take" (func (param "x" u32)))))
      (core func $take (canon lower (func $host "take")))
      (core module $m (import "env" "take" (func $take (param i32))) (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (call $take (i32.const 1)) (i32.const 8))
        (func (export "f") (param i32 i32) (result i32) (call $take (i32.const 2)) (i32.const 3))
        (func (export "after") (param i32) (call $take (i32.const 4)))
        (func (export "h") (result i32) (i32.const 5)))
      (core instance $code (instantiate $m (with "env" (instance (export "take" (func $take))))))
      (func $f (param "x" string) (result u32) (canon lift (core func $code "f") (memory (core memory $code "memory"))
        (realloc (core func $code "realloc"))))
      (func $h (result u32) (canon lift (core func $code "h") (post-return (core func $code "after"))))
      (export "f" (func $f)) (export "h" (func $h)))"""
    for export, values in (("f", ("text",)), ("h", ())):
        ends = []
        for host in hosts:
            linked = linked_of(host, text.encode(), lambda name: False)
            assert (linked.direct is not None) == (host is hosts[1])
            calls: list[int] = []
            instance = live(host, linked, {"take": calls.append})
            ends.append((*_outcome(instance, export, *values), calls))
            instance.close()
        assert ends[0] == ends[1]
        assert ends[0][0] is not None
        assert "cannot leave" in ends[0][0].message


def test_a_realloc_that_answers_nonsense(hosts: tuple[Host, Host]) -> None:
    for place in (4, -8, 2**31 - 8):
        text = f"""(component
          (import "test:echo/host" (instance $host (export "take" (func (param "x" u32)))))
          (core func $take (canon lower (func $host "take")))
          (core module $m (import "env" "take" (func $take (param i32))) (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const {place}))
            (func (export "f") (param i32 i32) (result i32) (i32.load8_u (local.get 0))))
          (core instance $code (instantiate $m (with "env" (instance (export "take" (func $take))))))
          (func $f (param "x" (list u64)) (result u32) (canon lift (core func $code "f")
            (memory (core memory $code "memory")) (realloc (core func $code "realloc"))))
          (export "f" (func $f)))"""
        ends = []
        for host in hosts:
            linked = linked_of(host, text.encode(), lambda name: False)
            instance = live(host, linked, {"take": lambda number: None})
            ends.append(_outcome(instance, "f", [7, 8]))
            instance.close()
        assert ends[0] == ends[1]
        assert ends[0][0] is not None


@pytest.mark.parametrize("when", ["parked", "answered"])
def test_a_call_that_is_broken_off_leaves_nothing(hosts: tuple[Host, Host], when: str) -> None:
    """Closed while it waits, or with an answer that the guest never got."""
    for host in hosts:
        linked = linked_of(host, text_of(**HOSTILE), lambda name: name == "wait")
        instance = live(host, linked, {"take": lambda text: []})
        instance.begin("waits", (), FUEL)
        instance.advance()
        assert instance.request is not None
        if when == "answered":
            instance.answer((True, b"never seen" * 100))
        instance.close()
        assert instance.fault is not None
        assert instance.advance() == 0


def test_a_host_that_nobody_closed_is_collected() -> None:
    """Blueprint, imports and host know each other: the garbage collector sees all of them."""
    host = Host(way=compiled_way())
    linked = host.link(host.load(SHIPPED / "smooth.wasm", "transform"), ())
    assert linked.direct is not None
    gone = weakref.ref(host)
    del host, linked
    gc.collect()
    assert gone() is None


WAITING = """(component
  (import "test:echo/host" (instance $host (export "wait" (func (param "x" u32) (result (list u8))))))
  (core module $l (memory (export "memory") 1) (global $deep (mut i32) (i32.const 0))
    (table (export "hook") 1 funcref)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      {realloc}
      (i32.const 1024)))
  (core instance $libc (instantiate $l))
  (core func $wait (canon lower (func $host "wait") (memory (core memory $libc "memory"))
    (realloc (core func $libc "realloc"))))
  (core module $m (import "env" "wait" (func $wait (param i32 i32))) (import "libc" "memory" (memory 1))
    (import "libc" "hook" (table 1 funcref))
    (elem (i32.const 0) $again)
    (func $again (call $wait (i32.const 7) (i32.const 64)))
    (func (export "f") (result i32) (local $i i32)
      (local.set $i (i32.const {burn})) (block $done (loop $l (br_if $done (i32.eqz (local.get $i)))
        (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br $l)))
      (call $wait (i32.const 1) (i32.const 64)) (i32.load (i32.const 68))))
  (core instance $code (instantiate $m (with "libc" (instance $libc))
    (with "env" (instance (export "wait" (func $wait))))))
  (func $f (result u32) (canon lift (core func $code "f")))
  (export "f" (func $f)))"""
"""a guest that parks at an import whose answer needs room"""
WAITS_AGAIN = "(call_indirect (i32.const 0))"
LOOPS = """(local $i i32) (local.set $i (i32.const {turns})) (block $done (loop $l (br_if $done (i32.eqz (local.get $i)))
  (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br $l)))"""
VAIN = """(local $i i32) (local.set $i (i32.const 1100)) (block $done (loop $l (br_if $done (i32.eqz (local.get $i)))
  (local.set $i (i32.sub (local.get $i) (i32.const 1))) (drop (memory.grow (i32.const 60000))) (br $l)))"""


@pytest.mark.parametrize(
    ("realloc", "burn"),
    [
        (WAITS_AGAIN, 0),
        (LOOPS.format(turns=100), 0),
        *((LOOPS.format(turns=3000), 285_000 + step) for step in range(0, 2000, 250)),
        (LOOPS.format(turns=900_000), 100_000),
        (VAIN, 0),
        (f"{VAIN} (loop $ever (br $ever))", 0),
        (f"{VAIN} (loop $ever (br $ever))", 400_000),
        ("unreachable", 5),
    ],
)
def test_room_for_an_answer_is_made_as_wasmtime_has_it_made(
    hosts: tuple[Host, Host], realloc: str, burn: int
) -> None:
    """While its call waits at an import the guest makes room: it may not wait again, may take longer than a
    slice, may ask for memory in vain, may trap."""
    text = WAITING.format(realloc=realloc, burn=burn)
    ends = []
    for host in hosts:
        linked = linked_of(host, text.encode(), lambda name: True)
        assert (linked.direct is not None) == (host is hosts[1])
        instance = host.instantiate(linked, {}, FUEL, 1 << 20)
        assert instance.fault is None
        ends.append(_outcome(instance, "f", answers=lambda number: b"answer"))
        ends.append(
            _outcome(instance, "f", answers=lambda number: b"once more") if instance.fault is None else None
        )
        instance.close()
    assert ends[:2] == ends[2:]
    assert (ends[0][0] is None) == (realloc.startswith("(local") and VAIN not in realloc)


def test_more_imports_than_there_is_room_for_stay_with_wasmtime() -> None:
    names = [f"g{number}" for number in range(70)]
    exports = "".join(f'(global (export "{name}") i32 (i32.const 1))' for name in names)
    imports = "".join(f'(import "a" "{name}" (global i32))' for name in names)
    text = f"""(component (core module $a {exports}) (core instance $i (instantiate $a))
      (core module $b {imports} (func (export "f") (result i32) (i32.const 4)))
      (core instance $j (instantiate $b (with "a" (instance $i))))
      (func $f (result u32) (canon lift (core func $j "f"))) (export "f" (func $f)))"""
    assert plan_of(bytes(wasmtime.wat2wasm(text))) is None


def test_an_address_behind_memory_that_it_asked_for_in_vain(hosts: tuple[Host, Host]) -> None:
    """It was shown memory that isn't there (host/memory.py), so that it asks no more. wasmtime's component API looks
    there and ends the process (docs/limits.md), so there is no oracle for this one."""
    take = "(call $take (i32.const 0xC0000000) (i32.const 8) (i32.const 64)) (i32.const 1)"
    linked = linked_of(hosts[1], text_of(f=f"{VAIN} {take}"), lambda name: False)
    instance = hosts[1].instantiate(linked, {"take": lambda text: []}, FUEL, 1 << 20)
    fault, _, _ = _outcome(instance, "f")
    instance.close()
    assert fault is not None
    assert fault.cause is Cause.MEMORY_LIMIT


@pytest.mark.parametrize("where", ["argument", "after"])
def test_who_asks_in_vain_for_ever_is_stopped_alike(hosts: tuple[Host, Host], where: str) -> None:
    """While it makes room for an argument, or after its return: at the end of a slice, with the same fuel."""
    body = f"{VAIN} (loop $ever (br $ever))"
    realloc, after = (body, "") if where == "argument" else ("", body)
    text = f"""(component
      (import "test:echo/host" (instance $host (export "take" (func (param "x" u32)))))
      (core func $take (canon lower (func $host "take")))
      (core module $m (import "env" "take" (func $take (param i32))) (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc} (i32.const 8))
        (func (export "f") (param i32 i32) (result i32) (i32.const 3))
        (func (export "after") (param i32) {after}))
      (core instance $code (instantiate $m (with "env" (instance (export "take" (func $take))))))
      (func $f (param "x" string) (result u32) (canon lift (core func $code "f") (memory (core memory $code "memory"))
        (realloc (core func $code "realloc")) (post-return (core func $code "after"))))
      (export "f" (func $f)))"""
    ends = []
    for host in hosts:
        linked = linked_of(host, text.encode(), lambda name: False)
        assert (linked.direct is not None) == (host is hosts[1])
        instance = host.instantiate(linked, {"take": lambda number: None}, FUEL, 1 << 20)
        try:
            ends.append(_outcome(instance, "f", "text"))
        except NeedsFibers:
            ends.append("needs fibers")
        instance.close()
    assert ends[0] == ends[1]
    assert ends[0] == "needs fibers" or ends[0][0].cause is Cause.MEMORY_LIMIT

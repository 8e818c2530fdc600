"""Every type: random WIT types and values go through a real guest and come back as they were; what is no value
of its type is refused before the guest sees it, and a guest that answers with bytes of no value ends."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.echo import Function, call, echo, linked_of, live
from tests.components.wit_types import FLAT_MAX, SCALARS, Wit, flat, random_type
from tests.components.wit_values import difference, random_value, wrong_values
from twinloop.components.contract.errors import HostError, WrongValue
from twinloop.components.host.codec import ARENA_BYTES
from twinloop.components.host.component import ComponentRefused
from twinloop.components.host.host import Host
from twinloop.components.host.outcome import Cause

SOAK = "TWINLOOP_SOAK" in os.environ
TYPES = 5000 if SOAK else 150
ENCODINGS = ("utf8", "utf16", "latin1+utf16")
"""of strings in a guest's memory: C, C++ and Rust have the first, C# and JavaScript the others"""
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def without_fibers() -> Iterator[Host]:
    """A host that makes calls on its own stack where no import parks."""
    found = Host(fibers=False)
    yield found
    found.close()


@settings(max_examples=TYPES, deadline=None)
@given(seed=seeds, parks=st.booleans(), encoding=st.sampled_from(ENCODINGS), fibers=st.booleans())
def test_any_value_of_any_type_comes_back(
    host: Host, without_fibers: Host, seed: int, parks: bool, encoding: str, fibers: bool
) -> None:
    """Host, guest, host, guest, host; what the import was asked with is looked at on its way."""
    host = host if fibers else without_fibers
    dice = random.Random(seed)
    wit = random_type(dice)
    seen: list[Any] = []

    def answer(value: Any) -> Any:
        seen.append(value)
        return value

    instance = live(host, echo(host, [Function(wit, parks)], encoding), {"f0": answer})
    try:
        for _ in range(5):
            value = random_value(dice, wit)
            came = call(instance, "g0", value, answers=answer)
            assert instance.fault is None
            assert difference(wit, value, seen.pop()) == ""
            assert difference(wit, value, came) == ""
        assert instance.memory_bytes < 8 << 20, "the guest's memory was given back after each call"
    finally:
        instance.close()


def test_the_random_types_are_of_every_kind_and_beyond_every_limit() -> None:
    """What the property above tries, counted: else it could be of nothing."""

    def walk(wit: Wit) -> list[Wit]:
        return [wit, *(inner for part in wit.some() for inner in walk(part))]

    kinds, wide, deep = dict.fromkeys(SCALARS, 0), 0, 0
    for seed in range(TYPES):
        found = walk(random_type(random.Random(seed)))
        wide += len(flat(found[0])) > FLAT_MAX
        deep += len(found) > 12
        for one in found:
            names = f" {len(one.names)}" if one.kind in ("enum", "flags") else ""
            kinds[one.kind + names] = kinds.get(one.kind + names, 0) + 1
    assert min(kinds.values()) >= 2, kinds
    assert {"list", "tuple", "record", "variant", "option", "result", "enum 1", "enum 300", "flags 32"} <= {
        *kinds
    }
    assert (wide > 5, deep > 20) == (True, True)


def test_difference_sees_differences() -> None:
    """The property is as good as its comparison."""
    dice = random.Random(7)
    pair = Wit("tuple", (Wit("f64"), Wit("u8")))
    for wit, sent, came in (
        (Wit("bool"), True, 1),
        (Wit("f64"), 0.0, -0.0),
        (Wit("f64"), 1.0, float("nan")),
        (pair, (1.0, 2), (1.0, 3)),
        (pair, (1.0, 2), [1.0, 2]),
        (Wit("list", (Wit("u8"),)), b"a", [97]),
        (Wit("list", (Wit("s8"),)), [1, 2], [1]),
        (Wit("option", (Wit("option", (Wit("u8"),)),)), (None,), None),
        (Wit("option", (Wit("option", (Wit("u8"),)),)), (3,), 3),
    ):
        assert difference(wit, sent, came) != "", (wit, sent, came)
    assert random_value(dice, Wit("u8")) in range(256)


def test_names_of_fields_in_python(host: Host) -> None:
    """Kebab case with underscores; what can't be an attribute's name is reached by its place."""
    wit = Wit("record", (Wit("u8"),) * 5, ("is-up", "class", "HTTP-port", "count", "lambda"))
    instance = live(host, echo(host, [Function(wit)]))
    came = call(instance, "g0", (1, 2, 3, 4, 5))
    instance.close()
    assert (came.is_up, came[1], came.HTTP_port, came.count, came[4]) == (1, 2, 3, 4, 5)
    assert came._fields == ("is_up", "_1", "HTTP_port", "count", "_4")


def test_more_flags_than_the_component_model_allows_are_refused_in_words(host: Host) -> None:
    names = " ".join(f'"f{at}"' for at in range(33))
    text = f'(component (import "i" (instance (type $t (flags {names})) (export "t" (type (eq $t))))))'
    with pytest.raises(ComponentRefused, match=r"does not compile: .*more than 32 flags"):
        host.load(text.encode(), "driver")


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_a_nan_of_any_payload_is_a_nan(host: Host, kind: str) -> None:
    """Signalling, negative, with bits of its own: made by the guest, as Python would have made it quiet."""
    core = "i32.const 0xff812345" if kind == "f32" else "i64.const 0xfff4000012345678"
    body = f"(call $f0 ({kind}.reinterpret_{core[:3]} ({core})))"
    instance = live(host, echo(host, [Function(Wit(kind), body=body)]))
    came = call(instance, "g0", 1.0)
    instance.close()
    assert came != came


# ---- wrong values of our own ---------------------------------------------------------------------
def shallow_types() -> list[Wit]:
    """One of each kind, and a nested one."""
    pair = Wit("tuple", (Wit("string"), Wit("u16")))
    names = ("a", "b", "class")
    option = Wit("option", (Wit("option", (Wit("string"),)),))
    return [
        *map(Wit, SCALARS), Wit("list", (Wit("u8"),)), Wit("list", (Wit("string"),)), pair,
        Wit("record", (Wit("string"), Wit("f64"), Wit("bool")), names), Wit("enum", names=names), Wit("flags", names=names),
        Wit("variant", (None, Wit("u8"), Wit("char")), names), Wit("result", (None, Wit("string"))),
        Wit("result", (Wit("u8"), None)), option,
    ]  # fmt: skip


@pytest.mark.parametrize("wit", shallow_types(), ids=lambda wit: f"{wit.kind}-{len(wit.parts)}")
def test_what_is_no_value_is_refused_and_harms_nothing(host: Host, wit: Wit) -> None:
    """As it is, and as deep in another; from a call's arguments and from a parked import's answer. After each the
    instance does what it did."""
    dice = random.Random(3)
    inner = Wit("record", (Wit("u8"), Wit("list", (Wit("tuple", (wit,)),))), ("number", "all"))
    instance = live(host, echo(host, [Function(wit), Function(inner, parks=True)]))
    wrong = wrong_values(wit)
    assert wrong
    for bad in wrong:
        with pytest.raises(WrongValue, match=r"^x"):
            call(instance, "g0", bad)
        with pytest.raises(WrongValue, match=r"^x\.all\b"):
            call(instance, "g1", (1, [(random_value(dice, wit),), (bad,)]))
        good = random_value(dice, wit)
        assert difference(wit, good, call(instance, "g0", good)) == ""
        instance.begin("g1", [(1, [(good,)])], 1 << 30)
        instance.advance()
        assert instance.request is not None
        with pytest.raises(WrongValue, match=r"^result\.all\b"):
            instance.answer((1, [(bad,)]))
        instance.answer((2, [(good,)]))
        instance.advance()
        assert instance.fault is None
        assert difference(inner, (2, [(good,)]), instance.result()) == ""
    instance.close()


@pytest.mark.parametrize(
    ("wit", "value", "said"),
    [
        (Wit("u8"), 256, "x: 256 is no u8"),
        (Wit("char"), "\ud800", "x: '\\ud800' is no char"),
        (Wit("list", (Wit("tuple", (Wit("s8"), Wit("string"))),)), [(1, "a"), (2, 3)], "x[1][1]: 3 is no string"),
        (Wit("list", (Wit("tuple", (Wit("s8"), Wit("string"))),)), [(1,)], "x[0]: expected 2 values, got 1: (1,)"),
        (Wit("variant", (None, Wit("u8")), ("a", "b")), ("c", None), "x: 'c' is no case of variant{a,b(u8)}"),
        (Wit("variant", (None, Wit("u8")), ("a", "b")), ("a", 5), "x.a: 5, where there is no value"),
        (Wit("result", (Wit("u8"), Wit("char"))), (False, "ab"), "x.error: 'ab' is no char"),
        (Wit("enum", names=("a", "b")), "c", "x: 'c' is no enum{a,b}"),
    ],
)  # fmt: skip
def test_a_refusal_says_where_and_why(host: Host, wit: Wit, value: Any, said: str) -> None:
    instance = live(host, echo(host, [Function(wit)]))
    with pytest.raises(WrongValue, match=f"^{re.escape(said)}$"):
        call(instance, "g0", value)
    instance.close()


def test_more_than_fits_into_the_arena_is_refused_and_harms_nothing(host: Host) -> None:
    instance = live(host, echo(host, [Function(Wit("list", (Wit("u8"),)))]))
    with pytest.raises(OverflowError, match="larger than 64 MiB"):
        call(instance, "g0", bytes(ARENA_BYTES // 32 + 1))
    assert call(instance, "g0", b"after") == b"after"
    instance.close()


def test_a_call_is_advanced_no_further_than_to_its_end(host: Host) -> None:
    instance = live(host, echo(host, [Function(Wit("u8"))]))
    assert call(instance, "g0", 7) == 7
    with pytest.raises(HostError, match="advance without begin"):
        instance.advance()
    assert call(instance, "g0", 8) == 8
    instance.close()


def test_a_wrong_answer_of_a_handler_is_our_own_mistake(host: Host) -> None:
    """It has been called, so the guest can't go on: but it isn't blamed."""
    instance = live(host, echo(host, [Function(Wit("char"))]), {"f0": lambda value: "\udfff"})
    with pytest.raises(WrongValue, match=r"^result: '.udfff' is no char$"):
        call(instance, "g0", "a")
    assert instance.fault is not None
    assert instance.fault.cause is Cause.HOST
    instance.close()


# ---- wrong bytes of a guest ----------------------------------------------------------------------
I32 = "(i32.const {})"
BYTES_AT_64 = "(i32.store (i32.const 64) (i32.const {})) "
PAIR = "(i32.store (local.get $RET) (i32.const {})) (i32.store offset=4 (local.get $RET) (i32.const {})) (local.get $RET)"
ARGUMENT = "(call $f0 (i32.const {}) (i32.const {}) (local.get $RET)) (local.get $RET)"
CHAR, TEXT, NUMBERS = Wit("char"), Wit("string"), Wit("list", (Wit("u32"),))
THREE = Wit("enum", names=("a", "b", "c"))
CASES = Wit("variant", (None, Wit("u8")), ("a", "b"))
BAD_BYTES = [
    (CHAR, I32.format(0xD800), "char"), (CHAR, I32.format(0x110000), "char"), (CHAR, "(call $f0 (i32.const 0xdfff))", "char"),
    (THREE, I32.format(3), "discriminant"), (THREE, I32.format(-1), "discriminant"), (THREE, "(call $f0 (i32.const 9))", "discriminant"),
    (CASES, PAIR.format(7, 0), "discriminant"), (CASES, ARGUMENT.format(2, 0), "discriminant"),
    (Wit("option", (Wit("u8"),)), PAIR.format(2, 0), "discriminant"), (Wit("result", (None, None)), I32.format(2), "discriminant"),
    (TEXT, BYTES_AT_64.format(0xFF) + PAIR.format(64, 1), "utf-8"), (TEXT, BYTES_AT_64.format(0x80A0ED) + PAIR.format(64, 3), "utf-8"),
    (TEXT, BYTES_AT_64.format(0xC3) + ARGUMENT.format(64, 1), "utf-8"), (TEXT, PAIR.format(-8, 4), "out of bounds"),
    (TEXT, PAIR.format(64, -1), "out of bounds"), (TEXT, ARGUMENT.format(0, 1 << 30), "out of bounds"),
    (NUMBERS, PAIR.format(2, 1), "aligned"), (NUMBERS, PAIR.format(64, 0x3FFFFFFF), "out of bounds"),
    (NUMBERS, PAIR.format(64, 0x40000001), "out of bounds"), (NUMBERS, ARGUMENT.format(1, 1), "aligned"),
    (NUMBERS, "(i32.const -4)", "out of bounds"), (NUMBERS, "(i32.const 66)", "aligned"),
]  # fmt: skip
"""type, what the guest answers or calls its import with, and a word of what is said of it"""


@pytest.mark.parametrize(("wit", "body", "said"), BAD_BYTES)
@pytest.mark.parametrize("parks", [False, True])
def test_bytes_that_are_no_value_end_the_guest(
    host: Host, wit: Wit, body: str, said: str, parks: bool
) -> None:
    asked: list[Any] = []
    linked = echo(host, [Function(wit, parks, body)])
    instance = live(host, linked, {"f0": lambda value: asked.append(value) or value})
    good = "" if wit == TEXT else "a" if wit == CHAR else random_value(random.Random(1), wit)
    call(instance, "g0", good, answers=lambda value: asked.append(value) or value)
    assert instance.fault is not None
    assert (instance.fault.cause, said in instance.fault.message.lower()) == (Cause.ABI, True), instance.fault
    assert asked == [], "no import acts on what is no value"
    with pytest.raises(HostError, match="dead"):
        call(instance, "g0", good)
    instance.close()
    again = live(host, echo(host, [Function(wit)]))
    assert difference(wit, good, call(again, "g0", good)) == ""
    again.close()


@pytest.mark.parametrize(
    ("wit", "core", "value"),
    [
        (Wit("bool"), 2, True), (Wit("bool"), -1, True), (Wit("u8"), 0x1FF, 255), (Wit("s8"), 0x80, -128),
        (Wit("u16"), -1, 65535), (Wit("s16"), 0x18000, -32768), (Wit("flags", names=("a", "b")), 0xFE, frozenset("b")),
    ],
)  # fmt: skip
def test_bits_that_a_value_doesnt_have_are_not_looked_at(host: Host, wit: Wit, core: int, value: Any) -> None:
    """CanonicalABI.md: any bool but 0 is true, integers are taken modulo, more flags than there are fall away."""
    asked: list[Any] = []
    body = f"(drop (call $f0 (i32.const {core}))) (i32.const {core})"
    instance = live(host, echo(host, [Function(wit, body=body)]), {"f0": lambda x: asked.append(x) or x})
    came = call(instance, "g0", value)
    assert instance.fault is None
    assert [*asked, came] == [value, value]
    assert type(came) is type(value)
    instance.close()


@pytest.mark.parametrize(
    ("realloc", "cause"),
    [
        ("(i32.const 0x7ffffff0)", Cause.ABI), ("(i32.const 3)", Cause.ABI), ("(unreachable)", Cause.UNREACHABLE),
        ("(i32.load (i32.const -4))", Cause.OUT_OF_BOUNDS), ("(loop $l (br $l)) (i32.const 0)", Cause.OUT_OF_FUEL),
    ],
)  # fmt: skip
def test_an_allocator_that_lies_is_the_guests_fault(host: Host, realloc: str, cause: Cause) -> None:
    from tests.components import echo as text

    own = text.echo_text([Function(NUMBERS)]).decode()
    given = '(realloc (core func $libc "realloc"))'
    bad = own.replace(
        '(func (export "clear")',
        f'(func (export "bad") (param i32 i32 i32 i32) (result i32) {realloc}) (func (export "clear")',
    )
    assert given in bad
    instance = live(
        host,
        linked_of(host, bad.replace(given, '(realloc (core func $libc "bad"))').encode(), lambda name: False),
    )
    instance.begin("g0", ([1, 2],), 100_000)
    instance.advance()
    assert instance.fault is not None
    assert instance.fault.cause is cause, instance.fault
    instance.close()


SURROGATE = """
from tests.components.echo import Function, call, echo, live
from tests.components.wit_types import Wit
from twinloop.components.host.host import Host
host = Host()
instance = live(host, echo(host, [Function(Wit("char"))]))
try:
    call(instance, "g0", chr(0xd800))
except ValueError as error:
    print("refused", call(instance, "g0", "a"))
"""


def test_a_surrogate_does_not_end_the_process() -> None:
    """wasmtime would: in a process of its own, so that this one lives to tell."""
    done = subprocess.run([sys.executable, "-c", SURROGATE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "refused a\n"), done.stderr[-500:]

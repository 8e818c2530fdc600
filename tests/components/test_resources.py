"""Resources that cross within any type: a host's objects come back as themselves, lent or given away."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.echo import LIBC, call, linked_of
from tests.components.wit_types import Text, Wit, flat, random_type, replaced, size_of_fields
from tests.components.wit_values import difference, random_value
from twinloop.components.contract.errors import WrongValue
from twinloop.components.host.component import Linked
from twinloop.components.host.host import Host
from twinloop.components.host.outcome import Cause
from twinloop.components.wasi.interfaces import resource_number

TYPES = 1000 if "TWINLOOP_SOAK" in os.environ else 40
PADDED = 17
"""more parameters than are passed as core values: all lie in memory then, the first where the pointer points"""
LEAVES = ("own", "u8", "string")


class Thing:
    """A host object that tells when it is dropped."""

    resource = resource_number("pollable")

    def __init__(self, dropped: list[Any]) -> None:
        self._dropped = dropped

    def dropped(self) -> None:
        """Noted."""
        self._dropped.append(self)


def resource_text(wit: Wit, takes: bool) -> bytes:
    """``run`` makes a T, lends all that is in it, and gives it away or doesn't."""
    types = Text("$pollable")
    own, lent = types.of(wit), types.of(replaced(wit, "own", "borrow"))
    pads = " ".join(f'(param "p{at}" u8)' for at in range(PADDED))
    options = '(memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))'
    room = size_of_fields([wit, *[Wit("u8")] * PADDED])
    take = "(call $take (local.get 0))" if takes else ""
    single = len(flat(wit)) == 1
    store = {"i32": "i32.store", "i64": "i64.store", "f32": "f32.store", "f64": "f64.store"}[flat(wit)[0]]
    make = f"({store} (local.get 0) (call $make))" if single else "(call $make (local.get 0))"
    makes = f"(result {flat(wit)[0]})" if single else "(param i32)"
    return f"""(component
  (import "test:echo/host" (instance $host
    (export "pollable" (type $pollable (sub resource)))
    {" ".join(types.interface)}
    (export "make" (func (result {own})))
    (export "lend" (func (param "x" {lent}) {pads})) (export "take" (func (param "x" {own}) {pads}))))
  (alias export $host "pollable" (type $pollable))
  {" ".join(types.component)}
  {LIBC}
  (core func $make (canon lower (func $host "make") {options if not single or wit.kind == "string" else ""}))
  (core func $lend (canon lower (func $host "lend") {options})) (core func $take (canon lower (func $host "take") {options}))
  (core module $m (import "env" "make" (func $make {makes})) (import "env" "lend" (func $lend (param i32)))
    (import "env" "take" (func $take (param i32))) (import "libc" "memory" (memory 1))
    (import "libc" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32))) (import "libc" "clear" (func $clear))
    (func (export "run") (local i32)
      (local.set 0 (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const {room})))
      {make} (call $lend (local.get 0)) {take} (call $clear)))
  (core instance $code (instantiate $m (with "libc" (instance $libc))
    (with "env" (instance (export "make" (func $make)) (export "lend" (func $lend)) (export "take" (func $take))))))
  (func $run (canon lift (core func $code "run"))) (export "run" (func $run)))""".encode()


def things_in(wit: Wit, dice: random.Random, dropped: list[Any], made: list[Thing]) -> Any:
    """A value of such a type; the objects in it are noted."""
    if wit.kind == "own":
        made.append(Thing(dropped))
        return made[-1]
    inner = lambda part: things_in(part, dice, dropped, made)
    if wit.kind == "list" and wit.parts[0] != Wit("u8"):
        (part,) = wit.some()
        return [inner(part) for _ in range(dice.choice((0, 1, 3)))]
    if wit.kind in ("tuple", "record"):
        return tuple(map(inner, wit.some()))
    if wit.kind == "option":
        (part,) = wit.some()
        value = inner(part) if dice.random() < 0.7 else None
        return (value,) if part.kind == "option" and value is not None else value
    if wit.kind in ("variant", "result"):
        at = dice.randrange(len(wit.parts))
        part = wit.parts[at]
        return wit.names[at] if wit.kind == "variant" else at == 0, None if part is None else inner(part)
    return random_value(dice, wit)


def ready(host: Host, wit: Wit, takes: bool, parks: bool) -> Linked:
    """Its component, linked."""
    return linked_of(host, resource_text(wit, takes), lambda name: parks)


@settings(max_examples=TYPES, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), takes=st.booleans(), parks=st.booleans())
def test_objects_come_back_as_themselves(host: Host, seed: int, takes: bool, parks: bool) -> None:
    dice = random.Random(seed)
    wit = Wit("tuple", (Wit("own"), random_type(dice, 3, LEAVES)))
    dropped: list[Any] = []
    made: list[Thing] = []
    value = things_in(wit, dice, dropped, made)
    told: list[Any] = []

    def answer(*arguments: Any) -> Any:
        if arguments:
            told.append(arguments[0])
            return None
        return value

    handlers = {"make": answer, "lend": answer, "take": answer}
    instance = host.instantiate(ready(host, wit, takes, parks), handlers, 1 << 30)
    try:
        call(instance, "run", answers=answer)
        assert instance.fault is None, instance.fault
        assert len(told) == 1 + takes
        for came in told:
            assert difference(wit, value, came) == ""
        assert (len(instance.handles), dropped) == (0 if takes else len(made), [])
    finally:
        instance.close()
    assert dropped == ([] if takes else made), (
        "what it still held goes with it, in the order in which it came"
    )
    assert host.codecs.resources.lent == []


def test_what_is_no_resource_is_refused_and_nothing_is_left_lent(host: Host) -> None:
    """One that was handed over before the wrong one is the guest's until it ends."""
    wit = Wit("list", (Wit("own"),))
    dropped: list[Any] = []
    instance = host.instantiate(ready(host, wit, True, True), {}, 1 << 30)
    instance.begin("run", (), 1 << 30)
    instance.advance()
    with pytest.raises(WrongValue, match=r"^result\[1\]: 'text' is no own$"):
        instance.answer([Thing(dropped), "text"])
    assert host.codecs.resources.lent == []
    thing = Thing(dropped)
    instance.answer([thing])
    instance.advance()
    assert instance.request is not None
    assert (instance.request.name, instance.request.arguments[0]) == ("lend", [thing])
    instance.kill(Cause.DEADLINE, "too long")
    instance.close()
    assert len(dropped) == 2

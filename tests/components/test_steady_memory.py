"""Calls of every sort, and instances that come and go, leave this process as large as it was."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.components import guests
from tests.components.echo import Function, call, echo, live
from tests.components.test_resources import Thing, ready
from tests.components.wit_types import Wit
from tests.wasi_guest import guest_bytes
from twinloop.components.contract.errors import GuestEnded, WrongValue
from twinloop.components.host.component import Linked
from twinloop.components.host.host import Host
from twinloop.components.wasi.interfaces import resource_number
from twinloop.scenarios.collector import resident_bytes

SOAK = "TWINLOOP_SOAK" in os.environ
CALLS = 200_000 if SOAK else 20_000
INSTANCES = 5_000 if SOAK else 1_000
GROWTH_BYTES = 512 << 10
"""of noise (some tens of KiB were measured); a few bytes left of each resource are 1 MiB in the suite's form"""
FUEL = 1 << 30
pytestmark = pytest.mark.skipif(
    resident_bytes() is None, reason="this machine doesn't tell what lies in memory"
)


def grown(turn: Callable[[], None], turns: int) -> int:
    """Bytes that memory grows by from a third of the turns to their end; the first ones fill what is kept."""
    began = 0
    for at in range(turns):
        if at == turns // 3:
            gc.collect()
            began = resident_bytes() or 0
        turn()
    gc.collect()
    return (resident_bytes() or 0) - began


def maps() -> int:
    """Memory maps of this process."""
    return Path("/proc/self/maps").read_bytes().count(b"\n")


LIST = Wit(
    "list", (Wit("record", (Wit("string"), Wit("f64"), Wit("option", (Wit("u32"),))), ("a", "b", "c")),)
)
RESULT = Wit("result", (Wit("list", (Wit("u8"),)), Wit("variant", (None, Wit("string")), ("gone", "other"))))
VALUES: list[tuple[str, Any]] = [
    ("g0", "a string \U0001f600" * 20), ("g1", [(f"name {at}", at / 7, None if at % 3 else at) for at in range(12)]),
    ("g2", (True, bytes(700))), ("g2", (False, ("other", "it is gone"))), ("g3", "parked " * 30), ("g0", ""),
]  # fmt: skip


def test_calls_of_every_sort_leave_memory_as_it_was(host: Host) -> None:
    """Strings, lists, errors, parked imports, resources made, lent and given away; wrong values in between."""
    functions = [
        Function(Wit("string")),
        Function(LIST),
        Function(RESULT),
        Function(Wit("string"), parks=True),
    ]
    instance = live(host, echo(host, functions))
    dropped: list[Any] = []
    owns = Wit("list", (Wit("own"),))
    keeps = host.instantiate(
        ready(host, owns, True, False),
        {
            "make": lambda: [Thing(dropped) for _ in range(10)],
            "lend": lambda *_: None,
            "take": lambda *_: None,
        },
        FUEL,
    )
    done = 0

    def turn() -> None:
        nonlocal done
        for name, value in VALUES:
            assert call(instance, name, value) == value
        call(keeps, "run")
        with pytest.raises(WrongValue):
            call(instance, "g1", [("a", 1.0, -1)])
        done += len(VALUES) + 2

    growth = grown(turn, CALLS // (len(VALUES) + 2))
    assert (done, instance.fault, keeps.fault, len(keeps.handles), dropped) == (CALLS, None, None, 0, [])
    assert instance.memory_bytes <= 1 << 20
    instance.close()
    keeps.close()
    assert growth < GROWTH_BYTES, growth


def test_faults_leave_memory_as_it_was(host: Host) -> None:
    """Each with an instance of its own: traps with a backtrace, bad bytes, an import that ends the guest."""
    trap = host.link(host.load(guests.trapping(), "driver"), ())
    lie = host.link(host.load(guests.lying(), "driver"), ())
    parks = echo(host, [Function(Wit("string"), parks=True)])
    ends = echo(host, [Function(Wit("string"))])

    def over(text: str) -> str:
        raise GuestEnded("quota", text)

    def turn() -> None:
        for linked in (trap, lie):
            instance = host.instantiate(linked, {}, FUEL)
            instance.begin("read-sensor", (), FUEL)
            instance.advance()
            assert instance.fault is not None
            instance.close()
        instance = live(host, ends, {"f0": over})
        call(instance, "g0", "a" * 1000)
        assert instance.fault is not None
        instance.close()
        instance = live(host, parks)
        instance.begin("g0", ("b" * 1000,), FUEL)
        instance.advance()
        assert instance.request is not None
        instance.close()  # in the middle of a call

    growth = grown(turn, INSTANCES)
    assert growth < GROWTH_BYTES, growth


class Stream:
    """A host object of that type, as many as a start asks for."""

    def __init__(self, what: str) -> None:
        self.resource = resource_number(what)

    def dropped(self) -> None:
        """Nobody asks."""


def kinds(host: Host) -> dict[str, tuple[Linked, dict[str, Any]]]:
    """What instances are made of: a plain guest, one that parks, one of WASI whose start asks the host."""
    wasi = host.load(guest_bytes(), "transform")
    asked = {
        "cli/stdin#get-stdin": lambda: Stream("input-stream"),
        "cli/stdout#get-stdout": lambda: Stream("output-stream"),
        "cli/stderr#get-stderr": lambda: Stream("output-stream"),
        "filesystem/preopens#get-directories": list,
        "cli/environment#get-environment": lambda: [("HOME", "/data")],
        "cli/environment#get-arguments": lambda: ["c-wasi"],
    }
    return {
        "plain": (host.link(host.load(guests.empty(), "driver"), ()), {}),
        "parks": (host.link(host.load(guests.sleeping(5), "driver"), ["clock"]), {}),
        "wasi": (host.link(wasi, sorted(wasi.imports)), asked),
    }


@pytest.mark.parametrize("kind", ["plain", "parks", "wasi"])
def test_instances_leave_nothing_for_the_garbage_collector(host: Host, kind: str) -> None:
    """It runs seldom: what it would have to find is memory that grows until then."""
    linked, handlers = kinds(host)[kind]

    def turns(count: int) -> None:
        for _ in range(count):
            instance = host.instantiate(linked, handlers, FUEL)
            if kind == "parks":
                instance.begin("read-sensor", (), FUEL)
                instance.advance()
            instance.close()

    turns(1)
    gc.collect()
    turns(50)
    assert gc.collect() < 50


@pytest.mark.parametrize("kind", ["plain", "parks", "wasi"])
def test_instances_that_come_and_go_leave_memory_and_maps_as_they_were(host: Host, kind: str) -> None:
    linked, handlers = kinds(host)[kind]
    most = 0

    def turn() -> None:
        nonlocal most
        instance = host.instantiate(linked, handlers, FUEL)
        assert instance.fault is None
        if kind == "parks":
            instance.begin("read-sensor", (), FUEL)
            instance.advance()
            assert instance.request is not None
        instance.close()
        most = max(most, host.memory.live)

    for _ in range(20):
        turn()
    before, open_before = maps(), host.live
    growth = grown(turn, INSTANCES)
    assert growth < GROWTH_BYTES, growth
    assert maps() <= before + 8
    assert (host.live, host.memory.live) == (open_before, most)

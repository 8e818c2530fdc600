"""How many functions of ours one healthy poll calls: exact on every machine, where its time is not. A bound that
breaks says that a poll has become dearer; ``make bench`` says by how much."""

from __future__ import annotations

import sys
from collections import Counter
from types import FrameType
from typing import Any

from tests.plants import plant
from twinloop.components.host.host import Host
from twinloop.components.native.choice import CHOICE
from twinloop.sim.kernel.clock import S
from twinloop.sim.world import World

CALLS_MAX = {"pure": 166, "compiled": 80}
"""of Python functions and resumed tasks, measured: 164.7 and 77.7 (2026-11-29; any machine). What is in C counts
nothing here, and some calls of Python are there for C's sake (ARCHITECTURE.md, "Compiled parts")"""


def test_a_poll_calls_no_more_functions_than_it_did() -> None:
    host = Host(fibers=False)  # as ``twinloop run`` has it
    world = World(plant(host, count=5, duration_ns=100 * S), host)
    called: Counter[str] = Counter()

    def seen(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            called[frame.f_code.co_qualname] += 1

    try:
        world.boot()
        world.advance(16 * S)  # past the first polls, of which everything is checked
        before, profiled = world.polls, sys.getprofile()
        sys.setprofile(seen)
        try:
            world.advance(26 * S)
        finally:
            sys.setprofile(profiled)
        polls = world.polls - before
    finally:
        world.close()
        host.close()
    assert polls == 50
    each = sum(called.values()) / polls
    most = CALLS_MAX[CHOICE.word]
    assert each <= most, f"{each:.1f} calls a poll, most of them {called.most_common(12)}"
    assert each > most / 2, "the count counts something"

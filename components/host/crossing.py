"""Where the compiled part takes the place of what this folder does in Python: told once, for each process.

Belongs here: the two ways side by side, by the same names, and the one that is taken. Never: what they do
(call_state.py, batch.py, exchange.py; components/native/crossing.c), nor whether there is a compiled part
(components/native/choice.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from twinloop.components.host import batch, exchange
from twinloop.components.host.batch import Batch, Held, Lists
from twinloop.components.host.call_state import CallWords, Request
from twinloop.components.host.calling import SLICE_FUEL, Calling, CallState
from twinloop.components.host.capi import function_address
from twinloop.components.host.memory import REFUSED_MAX
from twinloop.components.native.choice import CHOICE

Write = Callable[[Any, int], None]
"""Python result -> the C value at an address"""


class Way(NamedTuple):
    """One of the two. ``imports``: the compiled module whose trampolines imports have; None: ctypes'."""

    words: Callable[[int], CallWords]
    state: Callable[[], CallState]
    calling: type
    """what Instance is made of"""
    held: Callable[[int], Held]
    batch_in: Callable[[int], Lists | None]
    read_batch: Callable[[Lists], Batch]
    forward_lane: Callable[[int], int]
    read_transact: Callable[[int], list[Any]]
    replies: Callable[[Write], Write]
    """how replies are written, by how everything else is"""
    imports: Any


PURE = Way(
    CallWords,
    CallState,
    Calling,
    Held,
    batch.batch_in,
    batch.read_batch,
    batch.forward_lane,
    exchange.read_transact,
    lambda otherwise: exchange.Replies(otherwise).write,
    None,
)


def compiled(crossing: Any) -> Way:
    """That of a compiled module, which is given what it needs of libwasmtime and of Python."""
    addresses = {name: function_address(name) for name in crossing.needs()}
    steps = Calling.begin, Calling.advance, Calling.answer, Calling.call_at, Calling.park
    crossing.bind(
        addresses, Batch, batch.read_batch, exchange.framing, *steps, Request, SLICE_FUEL, REFUSED_MAX
    )
    return Way(
        crossing.CallWords,
        crossing.CallState,
        crossing.Calling,
        crossing.Held,
        crossing.batch_in,
        crossing.read_batch,
        crossing.forward_lane,
        crossing.read_transact,
        lambda otherwise: crossing.Replies(PURE.replies(otherwise)),
        crossing,
    )


WAY = PURE if CHOICE.crossing is None else compiled(CHOICE.crossing)
"""the one that this process takes"""


def way_of_process() -> Way:
    """WAY, which tests exchange for the other one."""
    return WAY


batch_in, read_batch, forward_lane, Room = WAY.batch_in, WAY.read_batch, WAY.forward_lane, WAY.held

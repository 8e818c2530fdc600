"""How a call to a component ends: a value, or a Fault with one cause.

Belongs here: the causes and how wasmtime's errors map to them. Never: what follows a fault (the
supervisor's).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

import wasmtime

from twinloop.components.host.backtrace import trapped_in
from twinloop.components.host.capi import trap_code_of


class Cause(StrEnum):
    """Why a component call ended without a value; after any of them its store is dead."""

    UNREACHABLE = "unreachable"
    OUT_OF_BOUNDS = "out-of-bounds"
    STACK = "stack"
    TABLE = "table"
    OUT_OF_FUEL = "out-of-fuel"
    """the CPU limit of one call"""
    MEMORY_LIMIT = "memory-limit"
    """it trapped after its linear memory was refused to grow"""
    TRANSFER_LIMIT = "transfer-limit"
    """more list data than the host carries over the boundary"""
    DEADLINE = "deadline"
    """the call's limit in simulated time"""
    QUOTA = "quota"
    CONTRACT = "contract"
    """a well-typed value that breaks a promise of the WIT"""
    ABI = "abi"
    """bytes that are no value of their type: bad UTF-8, a pointer out of bounds"""
    HOST = "host"
    DENIED = "denied"
    EXIT = "exit"
    LINK = "link"
    STUCK = "stuck"
    """it waits for something that no import can bring"""
    UNHEALTHY = "unhealthy"
    """its own get-status says that it has failed"""
    DEAD = "dead"
    """called after a fault, or closed during the call"""


@dataclass(frozen=True, slots=True)
class Fault:
    """A component's fault: cause, one line of text, fuel used by the call, and the names of the functions
    that it was in, the innermost first, as far as its name section has them."""

    cause: Cause
    message: str
    fuel_used: int = 0
    functions: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.cause.value}: {self.message}"


_TRAPS = {
    0: Cause.STACK,
    1: Cause.OUT_OF_BOUNDS,
    3: Cause.TABLE,
    4: Cause.TABLE,
    5: Cause.TABLE,
    9: Cause.UNREACHABLE,
    11: Cause.OUT_OF_FUEL,
    15: Cause.OUT_OF_BOUNDS,
    17: Cause.DEAD,
    18: Cause.ABI,
    22: Cause.STUCK,
}
"""wasmtime's trap codes (crates/c-api/include/wasmtime/trap.h), each seen in tests/components/test_faults.py
and test_causes.py or reserved; 18: an async export ends without a result, 22: it waits for nothing"""


FULL_STACK_FUEL = 1 << 18
"""units that a call whose stack is full is charged at least: what recursion through all of its 64 KiB takes
in frames of 32 bytes with 128 units each"""

_NUMBER = re.compile(r"\d+: ")
"""before each of several causes of one error"""


def full_stack(fuel_used: int, fuel_left: int) -> int:
    """What a call is charged whose stack is full, in units of fuel: FULL_STACK_FUEL, or the next power of two
    above what it used, but never more than it may use.

    How deep a guest comes is a matter of the frames of this machine's processor, and so is what it has used
    by then. Two processors differ by little, and the trace must be the same on both."""
    charged = max(FULL_STACK_FUEL, 1 << (fuel_used - 1).bit_length())
    return min(charged, fuel_used + fuel_left)


def classify(error: wasmtime.WasmtimeError, refused_growths: int, fuel_used: int, fuel_left: int) -> Fault:
    """The Fault for a wasmtime error of an instance whose memory was refused ``refused_growths`` growths.

    ``fuel_used`` by its call, which may use ``fuel_left`` more: where its stack is full it is charged a part
    of that, too."""
    lines = str(error).strip().splitlines() or ["no text"]
    text = _NUMBER.sub("", lines[-1].strip())
    functions = trapped_in(str(error))
    code = trap_code_of(error)
    if code is None:
        if "hostcall fuel" in str(error) or "fuel allocated for hostcalls" in str(error):
            return Fault(Cause.TRANSFER_LIMIT, text, fuel_used, functions)
        return Fault(Cause.ABI, text, fuel_used, functions)
    cause = _TRAPS.get(code, Cause.UNREACHABLE)
    if cause is Cause.STACK:
        return Fault(cause, text, full_stack(fuel_used, fuel_left), functions)
    if refused_growths and cause in (Cause.UNREACHABLE, Cause.OUT_OF_BOUNDS):
        return Fault(
            Cause.MEMORY_LIMIT,
            f"memory growth was refused {refused_growths} times, then: {text}",
            fuel_used,
            functions,
        )
    return Fault(cause, text, fuel_used, functions)

"""Calls of an instance, step by step: begin, advance to the next import or the end, answer, go on.

Belongs here: the steps of a healthy call (Calling), of which the compiled part has a twin of its own
(components/native/calling.h), and what is rare in them (Steps), which both ways share. Never: life and faults
of an instance (instance.py), what C writes (call_state.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from twinloop.components.contract.errors import HostError
from twinloop.components.host import capi
from twinloop.components.host.call_state import CallWords, NeedsFibers, Owner, Request
from twinloop.components.host.capi import Word, amount
from twinloop.components.host.codec import Signature
from twinloop.components.host.component import Linked
from twinloop.components.host.memory import REFUSED_MAX, MemoryOwner
from twinloop.components.host.outcome import Cause, Fault
from twinloop.components.host.start import Beginning, Functions

SLICE_FUEL = 2_000_000
"""fuel between two looks at whether the run was stopped: a millisecond of computing here, half a second of a
guest that asks for memory in vain"""
ASYNC_SLICE_FUEL = 200_000
"""the same for components that use the component model's async: who yields again and again costs the host a
microsecond for a unit of fuel"""
_new = tuple.__new__
_NOTHING_AT = amount(8)
"""no arguments: an address that is aligned, and that nobody looks at"""
STOPPED = "the run was stopped while it computed"


class CallState:
    """The call under way, or the last one. ``arguments_at``: of C values; None: ``arguments`` are still to be
    lowered. ``pending``: how the result of a parked import is written, and where."""

    __slots__ = (
        "arguments",
        "arguments_at",
        "begun",
        "fuel_given",
        "function",
        "pending",
        "signature",
        "start",
    )

    def __init__(self) -> None:
        self.signature: Signature
        self.function = amount(0)
        self.arguments: Sequence[Any] = ()
        self.arguments_at: Word | None = None
        self.begun = False
        self.fuel_given = 0
        self.start: Beginning | None = None
        """set while start code runs, in place of a call"""
        self.pending: tuple[Callable[[Any, int], None], int] | None = None


class Steps:
    """What is rare in a call. Its attributes are those of Calling, or of the compiled part's twin."""

    __slots__ = ()
    _call: CallState
    _fibers: bool
    _fuel_left: int
    _functions: Functions
    _holds_result: bool
    block: CallWords
    busy: bool
    closed: bool
    context: int
    fault: Fault | None
    host: Owner
    linked: Linked
    memory: MemoryOwner
    raised: BaseException | None
    request: Request | None

    def begin(
        self, export: str, arguments: Sequence[Any], fuel: int, arguments_at: Word | None = None
    ) -> None:
        """Calling's."""
        raise NotImplementedError

    def advance(self) -> int:
        """Calling's."""
        raise NotImplementedError

    def fuel_used(self) -> int:
        """Instance's, as what follows."""
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError

    def _die(self, fault: Fault) -> None:
        raise NotImplementedError

    def _asked_too_often(self) -> Fault:
        raise NotImplementedError

    def release(self) -> None:
        """Instance's."""
        raise NotImplementedError

    def _call_in_slices(self, export: str, arguments_at: Word, fuel: int) -> int:
        """``call_at`` on a fiber, for what may take long."""
        if self.linked.parks:
            self._begin_refused(export)
        self.begin(export, (), fuel, arguments_at)
        return self.advance()

    def _too_long(self, error: int) -> NoReturn:
        """It has used up a slice of a call that may have more, and can't be continued: such components need
        fibers."""
        capi.error_at(error)
        self.block.error = 0
        self._die(Fault(Cause.DEAD, "its call is longer than a slice", 0))
        self.host.long[self.linked.component.sha256] = None
        raise NeedsFibers(self.linked.component.sha256)

    def _begin_refused(self, export: str) -> NoReturn:
        why = (
            "a call is under way in this instance"
            if self.busy
            else f"the instance is dead ({self.fault})"
            if self.fault
            else "it may park"
        )
        raise HostError(f"{export}: {why}")

    def _go_on(self, before: int) -> bool:
        """Slice by slice, to its next parked import or its end; who makes no progress is stuck. Is it
        done?"""
        while True:
            left = self.block.left
            if left == before or self.host.interrupted or self.memory.asked > REFUSED_MAX:
                return False
            before = left
            if self.block.poll():
                return True
            if self.request is not None or self.raised is not None:
                return False

    def _first_step(self) -> bool:
        if not self.busy:
            raise HostError("advance without begin")
        call, block = self._call, self.block
        if call.start is not None:
            call.begun = True
            return self._first_of_start(call.start)
        signature = call.signature
        at = call.arguments_at
        if at is None:
            at = _NOTHING_AT  # where there are none
            if signature.arity or call.arguments:
                self.busy = False  # type: ignore[misc]  # no call is under way when an argument is no value
                at = amount(signature.put_arguments(call.arguments))
                self.busy = True  # type: ignore[misc]  # as above
        call.begun = True
        if self._fibers:
            return block.start(call.function, at, signature.takes, signature.gives)
        more = self._slice()
        block.call(call.function, at, signature.takes, signature.gives, self._fuel_left)
        self._slice_over(more)
        return True

    def _first_of_start(self, start: Beginning) -> bool:
        block = self.block
        block.error = 0
        if self._fibers:
            slice_fuel = ASYNC_SLICE_FUEL if self.linked.component.engine.fibers else SLICE_FUEL
            return start.on_fiber(slice_fuel, self.context, block)
        more = self._slice()
        block.set_fuel(self._fuel_left)
        block.error = start.at_once(self.context, block)
        self._slice_over(more)
        return True

    def _slice(self) -> int:
        """Without a fiber, nothing runs for longer than a slice, which ``_fuel_left`` is from here on; how
        much more the call may have."""
        more = max(0, self._call.fuel_given - SLICE_FUEL)
        if more:
            self._fuel_left = SLICE_FUEL  # type: ignore[misc]  # as above
        return more

    def _slice_over(self, more: int) -> None:
        """It has run, and its error is known; what it may have beside the slice is left as well."""
        block = self.block
        left = block.fuel()
        if more:
            if block.error and not left:
                self._too_long(block.error)
            block.set_fuel(left + more)
            block.fuel()

    def _stopped(self) -> None:
        """It neither waits at an import nor has ended, or it asked for memory too often."""
        if self.memory.asked > REFUSED_MAX:
            self._die(self._asked_too_often())
        elif self.host.interrupted:
            self._die(Fault(Cause.DEAD, STOPPED, self.fuel_used()))
        else:
            self._die(Fault(Cause.STUCK, "it waits for something that no import can bring", self.fuel_used()))


class Calling(Steps):
    """The steps of a healthy call, in Python."""

    __slots__ = (
        "_call",
        "_fibers",
        "_fuel_left",
        "_functions",
        "_holds_result",
        "block",
        "busy",
        "closed",
        "fault",
        "memory",
        "raised",
        "request",
    )

    def begin(
        self, export: str, arguments: Sequence[Any], fuel: int, arguments_at: Word | None = None
    ) -> None:
        """Start a call with a fuel limit and Python arguments, or C values at that address, which stay there
        until it has finished; no guest code runs before ``advance``."""
        if self.busy or self.fault is not None:
            self._begin_refused(export)
        if self._holds_result:
            self.release()
        call = self._call
        call.signature, call.function, _ = self._functions[export]
        call.arguments, call.arguments_at, call.begun = arguments, arguments_at, False
        self.busy = True
        self.memory.asked = 0
        call.fuel_given = self._fuel_left = fuel
        self.block.set_fuel(fuel)

    def call_at(self, export: str, arguments_at: Word, fuel: int) -> int:
        """``begin`` and ``advance`` in one, for a component none of whose imports parks; returns the
        call's fuel."""
        if self._fibers:  # so has every component of which an import parks
            return self._call_in_slices(export, arguments_at, fuel)
        if self.busy or self.fault is not None:
            self._begin_refused(export)
        call, block, memory = self._call, self.block, self.memory
        if self._holds_result:
            block.delete_result()
            self._holds_result = False
        signature, function, _ = self._functions[export]
        call.signature, self.busy = signature, True
        # what it used is counted from a slice, if it may have more
        given = call.fuel_given = self._fuel_left = fuel if fuel <= SLICE_FUEL else SLICE_FUEL
        memory.asked = 0
        left = block.call(function, arguments_at, signature.takes, signature.gives, given)
        error = block.error
        if given < fuel:
            if error and not left:
                self._too_long(error)
            left += fuel - given
        self._fuel_left = left
        if error or self.raised is not None or memory.asked > REFUSED_MAX:
            self._finish()
            left = self._fuel_left
        else:
            self.busy = False
            self._holds_result = signature.results == 1
        return fuel - left

    def advance(self) -> int:
        """Run guest code to its next parked import or its end; returns the fuel of this segment.

        After it ``request`` is the import that waits for ``answer``, or the call has ended: ``fault`` or a
        result. Raises what an import handler of ours raised (HostError's side, never the guest's).
        """
        if self.closed:
            return 0
        before, call, block = self._fuel_left, self._call, self.block
        if call.start is not None:
            self.host.memory.owner = self.memory
        if call.begun:
            done = block.poll()
        else:
            done = self._first_step()
        if not done and self.request is None and self.raised is None:
            done = self._go_on(before)
        self._fuel_left = block.left
        if done:
            self._finish()
        elif self.memory.asked > REFUSED_MAX or self.request is None:
            self._stopped()
        return before - self._fuel_left  # a full stack takes more than the guest used

    def park(
        self, name: str, arguments: list[Any], put_result: Callable[[Any, int], None], slot: int
    ) -> None:
        """Called by the host's trampoline: the guest waits at an import, whose result ``put_result`` writes
        to ``slot``."""
        self.block.wait()
        self._call.pending = put_result, slot
        self.request = _new(Request, (name, arguments))  # without its Python constructor

    def answer(self, value: Any) -> None:
        """The result of the parked import; ``advance`` goes on from there."""
        if self.closed:
            return
        call = self._call
        if call.pending is None:
            raise HostError("answer without a parked import")
        put_result, slot = call.pending
        put_result(value, slot)
        self.request = call.pending = None
        self.block.go_on()

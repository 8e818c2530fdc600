"""One component instance in its own store, driven from outside: ``begin`` a call, ``advance`` it, ``answer``
its imports.

Belongs here: running guest code to its next import or return, counting fuel, ending as a value or a Fault.
Never: time. The guest runs on a fiber; ``advance`` returns when it is parked at an import (``request``) or
has finished. Whoever drives it charges the CPU time of that segment BEFORE the import acts: cause before
effect.

A result stays a C value (``result_at``) until ``release``: it can be the argument of the next component's
call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import wasmtime

from twinloop.components.contract.errors import GuestEnded, HostError
from twinloop.components.host import capi
from twinloop.components.host.batch import Held
from twinloop.components.host.call_state import CallState, NeedsFibers, Owner, Request
from twinloop.components.host.capi import Word, amount
from twinloop.components.host.component import Linked
from twinloop.components.host.direct import DirectStart
from twinloop.components.host.memory import REFUSED_MAX, MemoryOwner
from twinloop.components.host.outcome import Cause, Fault, classify
from twinloop.components.host.resources import Handles
from twinloop.components.host.start import Beginning, Functions, Start

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


class Instance:
    """A live instance. ``fault`` is set once, by the call that killed it; after that only ``close`` is
    left."""

    __slots__ = (
        "_call",
        "_fibers",
        "_fuel_left",
        "_functions",
        "_holds_result",
        "block",
        "busy",
        "closed",
        "context",
        "fault",
        "handlers",
        "handles",
        "host",
        "lent",
        "linked",
        "memory",
        "raised",
        "request",
        "result_at",
        "store",
    )

    def __init__(
        self, host: Owner, linked: Linked, handlers: Mapping[str, Callable[..., Any]], memory: MemoryOwner
    ) -> None:
        self.host, self.linked, self.handlers, self.memory = host, linked, handlers, memory
        self.store = wasmtime.Store(linked.component.engine.raw)
        self.context = capi.address(self.store._context())
        self.fault: Fault | None = None
        self.request: Request | None = None
        self.raised: BaseException | None = None
        self.busy = False
        self.closed = False
        self.lent = False
        """somebody reads the result where it lies: ``close`` leaves it, and who has read it calls
        ``release``"""
        self.block = host.words(self.context)
        self.result_at = self.block.at
        self._call = CallState()
        self._functions: Functions = {}
        self.handles = Handles(self.context)
        self._fibers = linked.parks or host.fibers or linked.component.sha256 in host.long
        """every call may be interrupted at the end of a slice; else only those may run that are over soon"""
        self._fuel_left = 0
        self._holds_result = False

    # ---- life ------------------------------------------------------------------------------------
    def instantiate(self, fuel: int) -> None:
        """Run the start code within ``fuel``, to its end: one that would park is a fault. Called once, by
        Host.instantiate."""
        self.begin_start(fuel)
        self.advance()
        if self.request is not None:
            self.kill(Cause.CONTRACT, f"its start code calls {self.request.name}; only a call may")

    def begin_start(self, fuel: int) -> None:
        """Start code is to run within ``fuel``; ``advance`` runs it, like a call. Once, before any call."""
        linked = self.linked
        self._call.start = (
            Start(linked.linker, linked.component.raw, linked.component.exports)
            if linked.direct is None
            else DirectStart(linked.direct)
        )
        self.busy, self._call.begun = True, False
        self._call.fuel_given = self._fuel_left = fuel
        self.block.set_fuel(fuel)

    def close(self) -> None:
        """Power off: a call under way is unwound, its driver sees Fault dead when it advances again. Twice is
        once."""
        if self.closed:
            return
        self.closed = True
        self._end()
        if not self.lent:
            self.release()
        if self.fault is None:
            self.fault = Fault(Cause.DEAD, "the instance was closed")
        self.host.forget(self)
        self.store.close()
        self.handles.close()

    def _end(self) -> None:
        call = self._call
        self.busy, call.begun, call.start = False, False, None
        self.request, call.pending = None, None
        self.block.end()

    # ---- calls -----------------------------------------------------------------------------------
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
        elif self.memory.asked > REFUSED_MAX:
            self._die(self._asked_too_often())
        elif self.request is None and self.host.interrupted:
            self._die(Fault(Cause.DEAD, STOPPED, self.fuel_used()))
        elif self.request is None:
            self._die(Fault(Cause.STUCK, "it waits for something that no import can bring", self.fuel_used()))
        return before - self._fuel_left  # a full stack takes more than the guest used

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
                self.busy = False  # no call is under way when an argument is no value of its type
                at = amount(signature.put_arguments(call.arguments))
                self.busy = True
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
            self._fuel_left = SLICE_FUEL
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

    def _finish(self) -> None:
        call, block = self._call, self.block
        self.busy = call.begun = False
        block.end()
        failed = block.error
        if self.raised is not None:
            error, self.raised = self.raised, None
            if failed:
                capi.error_at(failed)
            if isinstance(error, GuestEnded):
                self._die(Fault(Cause(error.cause), str(error), self.fuel_used()))
                return
            self.fault = Fault(Cause.HOST, f"an import handler failed: {error!r}", self.fuel_used())
            raise error
        if self.memory.asked > REFUSED_MAX:
            if failed:
                capi.error_at(failed)
            self._die(self._asked_too_often())
            return
        if failed:
            self._fail(failed)
            return
        if call.start is None:
            self._holds_result = call.signature.results == 1
        else:
            self._functions, call.start = call.start.exports(self.store), None

    def _asked_too_often(self) -> Fault:
        return Fault(
            Cause.MEMORY_LIMIT,
            f"it asked for memory beyond its limit more than {REFUSED_MAX} times in one call",
            self.fuel_used(),
        )

    def _fail(self, error: int) -> None:
        self.block.error = 0
        used = self.fuel_used()
        fault = classify(capi.error_at(error), self.memory.refused, used, self._fuel_left)
        self._fuel_left -= fault.fuel_used - used
        text = fault.message
        if "memory limit" in text or "memory minimum size" in text:
            fault = Fault(Cause.MEMORY_LIMIT, text, fault.fuel_used, fault.functions)
        self._die(fault)

    def _die(self, fault: Fault) -> None:
        self._end()
        self.fault = fault

    def kill(self, cause: Cause, message: str) -> Fault:
        """End a call from outside (deadline, broken contract, shut-down): the guest is unwound, the store is
        dead. Dead stays dead."""
        if self.closed:
            assert self.fault is not None
            return self.fault
        fault = Fault(cause, message, self.fuel_used())
        self._die(fault)
        return fault

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

    def limit_fuel(self, fuel: int) -> None:
        """Lower what is left for the call under way (its deadline came closer while it was parked)."""
        if fuel < self._fuel_left:
            self._call.fuel_given -= self._fuel_left - fuel
            self._fuel_left = fuel
            self.block.set_fuel(fuel)

    # ---- results and figures ---------------------------------------------------------------------
    def result(self) -> Any:
        """The finished call's result, decoded; it stays in place."""
        assert self._holds_result
        return self._call.signature.get_result(self.result_at)

    def release(self) -> None:
        """Free the result once its last reader is done."""
        if self._holds_result:
            self._holds_result = False
            self.block.delete_result()

    def take_result(self, into: Held) -> None:
        """Move the result out of this instance, which may then serve its next call; ``into`` frees it."""
        assert self._holds_result
        self._holds_result = False
        into.take(self.block)

    def segment_fuel(self) -> int:
        """Fuel used since the guest last went on; right inside an import, too."""
        return self._fuel_left - self.block.fuel()

    def fuel_used(self) -> int:
        """Fuel used by the call so far."""
        return self._call.fuel_given - self.block.fuel()

    @property
    def memory_bytes(self) -> int:
        """Linear memory now."""
        return self.memory.size_bytes

    @property
    def memory_peak_bytes(self) -> int:
        """Largest linear memory so far."""
        return self.memory.peak_bytes

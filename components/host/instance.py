"""One component instance in its own store, driven from outside: ``begin`` a call, ``advance`` it, ``answer`` its imports.

Belongs here: running guest code to its next import or return, counting fuel, ending as a value or a Fault. Never: time.
The guest runs on a fiber; ``advance`` returns when it is parked at an import (``request``) or has finished. Whoever
drives it charges the CPU time of that segment BEFORE the import acts: cause before effect.

A result stays a C value (``result_at``) until ``release``: it can be the argument of the next component's call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ctypes import addressof, c_uint64
from typing import Any, NamedTuple, NoReturn, Protocol

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime import component as wc

from twinloop.components.contract.errors import HostError
from twinloop.components.host import capi
from twinloop.components.host.batch import Held
from twinloop.components.host.capi import func_call, func_call_async, future_delete, future_poll, get_fuel, set_fuel, val_delete
from twinloop.components.host.codec import Signature
from twinloop.components.host.component import Linked
from twinloop.components.host.memory import REFUSED_MAX, MemoryOwner
from twinloop.components.host.outcome import Cause, Fault, classify

_RESULT, _ERROR, _FLAG, _FUEL = 0, 4, 5, 6
"""words of an instance's block: the result value (32 bytes), an error pointer, the continuation's flag, fuel"""


SLICE_FUEL = 2_000_000
"""fuel between two looks at whether the run was stopped: a millisecond of computing here, half a second of a guest that asks for memory in vain"""
STOPPED = "the run was stopped while it computed"


class NeedsFibers(Exception):
    """A call of a component took longer than a slice, in a host that hoped for none: ``args[0]`` is its digest. Begin anew: now the host knows."""


class Request(NamedTuple):
    """A parked import: ``name`` is interface.function, ``arguments`` its decoded arguments."""

    name: str
    arguments: list[Any]


class Owner(Protocol):
    """What an instance needs of the host that made it."""

    engine: wasmtime.Engine
    fibers: bool
    interrupted: bool
    long: dict[str, None]

    def forget(self, instance: Instance) -> None:
        """It is closed."""
        ...


class Instance:
    """A live instance. ``fault`` is set once, by the call that killed it; after that only ``close`` is left."""

    __slots__ = (
        "_arguments", "_arguments_at", "_at", "_begun", "_block", "_error_at", "_fibers", "_fuel_at", "_function", "_functions", "_future",
        "_holds_result", "_keep", "_left", "_parks", "_pending", "_signature", "busy", "closed", "context", "fault", "flag_at",
        "fuel_given", "handlers", "host", "lent", "linked", "memory", "raised", "raw", "request", "result_at", "store",
    )  # fmt: skip

    def __init__(self, host: Owner, linked: Linked, handlers: Mapping[str, Callable[..., Any]], memory: MemoryOwner) -> None:
        self.host, self.linked, self.handlers, self.memory = host, linked, handlers, memory
        self.store = wasmtime.Store(host.engine)
        self.context = capi.address(self.store._context())
        self.fault: Fault | None = None
        self.request: Request | None = None
        self.raised: BaseException | None = None
        self.busy = False
        self.closed = False
        self.lent = False
        """somebody reads the result where it lies: ``close`` leaves it, and who has read it calls ``release``"""
        self._block = (c_uint64 * 8)()
        self._at = addressof(self._block)
        self._error_at, self._fuel_at = self._at + 8 * _ERROR, self._at + 8 * _FUEL
        self.flag_at = self._at + 8 * _FLAG
        self.result_at = self._at
        self._future: int | None = None
        self._pending: tuple[Callable[[Any, int], None], int] | None = None
        self._functions: dict[str, tuple[Signature, int]] = {}
        self._keep: list[Any] = []
        self._signature: Signature
        self._function = 0
        self._arguments: Sequence[Any] = ()
        self._arguments_at = 0
        self._parks = linked.parks
        self._fibers = linked.parks or host.fibers or linked.component.sha256 in host.long
        """every call may be interrupted at the end of a slice; else only those may run that are over soon"""
        self._begun = False
        self._left = 0
        self.fuel_given = 0
        self._holds_result = False

    # ---- life ---------------------------------------------------------------------------------------------------
    def instantiate(self, fuel: int) -> None:
        """Run the start code within ``fuel``; called once, by Host.instantiate."""
        raw = ffi.wasmtime_component_instance_t()
        linker, component = capi.address(self.linked.linker.ptr()), capi.address(self.linked.component.raw.ptr())
        capi.set_fuel(self.context, fuel if self._fibers else min(fuel, SLICE_FUEL))
        self.fuel_given = self._left = fuel
        self._block[_ERROR] = 0
        if self._fibers:  # from here on the store knows async calls only
            capi.fuel_yield(self.context, SLICE_FUEL)
            future = capi.instantiate_async(linker, self.context, component, addressof(raw), self._error_at)
            while not capi.future_poll(future):
                if self.request is not None or self.host.interrupted:
                    break
            capi.future_delete(future)
            error = self._block[_ERROR]
        else:
            error = capi.instantiate(linker, self.context, component, addressof(raw)) or 0
            if error and fuel > SLICE_FUEL and not self._fuel_left():
                self._too_long(error)
        if self.host.interrupted and not error:
            self.fault = Fault(Cause.DEAD, STOPPED, self.fuel_used())
            return
        if self.raised is not None:
            failure, self.raised = self.raised, None
            raise failure
        if self.request is not None:
            self.fault = Fault(Cause.CONTRACT, f"its start code calls {self.request.name}; only a call may", self.fuel_used())
            return
        if error:
            self._fail(error)
            return
        self.raw = wc.Instance._from_raw(raw)
        for name, (signature, index) in self.linked.component.exports.items():
            function = self.raw.get_func(self.store, index)
            if function is None:
                raise HostError(f"export {name} vanished at instantiation")
            self._keep.append(function)
            self._functions[name] = signature, addressof(function._func)

    def close(self) -> None:
        """Power off: a call under way is unwound, its driver sees Fault dead when it advances again. Twice is once."""
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

    def _end(self) -> None:
        future, self._future = self._future, None
        self.busy, self._begun = False, False
        self.request, self._pending = None, None
        if future:
            capi.future_delete(future)  # unwinds the guest if it is parked; must come before the store goes

    # ---- calls --------------------------------------------------------------------------------------------------
    def begin(self, export: str, arguments: Sequence[Any], fuel: int) -> None:
        """Start a call with Python arguments and a fuel limit; no guest code runs before ``advance``."""
        self._begin(export, fuel)
        self._arguments = arguments
        self._arguments_at = 0

    def begin_at(self, export: str, arguments_at: int, fuel: int) -> None:
        """Start a call whose arguments are C values at that address; they must stay there until the call has finished."""
        self._begin(export, fuel)
        self._arguments_at = arguments_at

    def call_at(self, export: str, arguments_at: int, fuel: int) -> int:
        """``begin_at`` and ``advance`` in one, for a component none of whose imports parks; returns the call's fuel."""
        if self._parks or self.busy or self.fault is not None:
            self._begin_refused(export)
        if self._holds_result:
            val_delete(self._at)
        signature, function = self._functions[export]
        self._signature, self.busy, self._holds_result = signature, True, False
        self.fuel_given = self._left = fuel
        self.memory.asked = 0
        if self._fibers:
            self.busy = False
            return self._call_in_slices(export, arguments_at, fuel)
        context, at, block = self.context, self._at, self._block
        block[_RESULT] = 0  # the C API drops what the slot held: let that be a bool
        if fuel > SLICE_FUEL:
            self._left = SLICE_FUEL  # what an import that asks how far it is counts from
        set_fuel(context, self._left)
        error = func_call(function, context, arguments_at, signature.arity, at, signature.results)
        get_fuel(context, self._fuel_at)
        left = block[_FUEL]
        if fuel > SLICE_FUEL:
            if error and not left:
                self._too_long(error)
            left += fuel - SLICE_FUEL
        self._left = left
        if error or self.raised is not None or self.memory.asked > REFUSED_MAX:
            block[_ERROR] = error or 0
            self._finish()
        else:
            self.busy = False
            self._holds_result = signature.results == 1
        return fuel - left

    def _call_in_slices(self, export: str, arguments_at: int, fuel: int) -> int:
        """``call_at`` on a fiber, for what may take long."""
        before, self._parks = self._parks, True
        try:
            self.begin_at(export, arguments_at, fuel)
            return self.advance()
        finally:
            self._parks = before

    def _too_long(self, error: int) -> NoReturn:
        """It has used up a slice of a call that may have more, and can't be continued: such components need fibers."""
        capi.error_at(error)
        self._die(Fault(Cause.DEAD, "its call is longer than a slice", 0))
        self.host.long[self.linked.component.sha256] = None
        raise NeedsFibers(self.linked.component.sha256)

    def _begin(self, export: str, fuel: int) -> None:
        if self.busy or self.fault is not None:
            self._begin_refused(export)
        if self._holds_result:
            self.release()
        self._signature, self._function = self._functions[export]
        self.busy, self._begun = True, False
        self.memory.asked = 0
        self.fuel_given = self._left = fuel
        set_fuel(self.context, fuel)

    def _begin_refused(self, export: str) -> NoReturn:
        why = "a call is under way in this instance" if self.busy else f"the instance is dead ({self.fault})" if self.fault else "it may park"
        raise HostError(f"{export}: {why}")

    def advance(self) -> int:
        """Run guest code to its next parked import or its end; returns the fuel of this segment.

        After it ``request`` is the import that waits for ``answer``, or the call has ended: ``fault`` or a result.
        Raises what an import handler of ours raised (HostError's side, never the guest's).
        """
        if self.closed:
            return 0
        before = self._left
        if self._begun:
            done = future_poll(self._future)
        else:
            done = self._first_step()
        if not done and self.request is None and self.raised is None:
            done = self._go_on(before)
        get_fuel(self.context, self._fuel_at)
        left = self._left = self._block[_FUEL]
        if done:
            self._finish()
        elif self.memory.asked > REFUSED_MAX:
            self._die(self._asked_too_often())
        elif self.host.interrupted and self.request is None:
            self._die(Fault(Cause.DEAD, STOPPED, self.fuel_used()))
        elif self.request is None:
            self._die(Fault(Cause.STUCK, "it waits for something that no import can bring", self.fuel_used()))
        return before - left

    def _go_on(self, before: int) -> bool:
        """Slice by slice, to its next parked import or its end; who makes no progress is stuck. Is it done?"""
        while True:
            left = self._fuel_left()
            if left == before or self.host.interrupted or self.memory.asked > REFUSED_MAX:
                return False
            before = left
            if future_poll(self._future):
                return True
            if self.request is not None or self.raised is not None:
                return False

    def _first_step(self) -> bool:
        if not self.busy:
            raise HostError("advance without begin")
        self._begun = True
        signature = self._signature
        at = self._arguments_at or (signature.put_arguments(self._arguments) if signature.arity or self._arguments else self._at)
        block = self._block
        block[_RESULT] = block[_ERROR] = 0  # the C API drops what the slot held: let that be a bool
        if self._fibers:
            self._future = func_call_async(self._function, self.context, at, signature.arity, self._at, signature.results, self._error_at)
            return bool(future_poll(self._future))
        long = self.fuel_given > SLICE_FUEL
        if long:
            self._left = SLICE_FUEL
            set_fuel(self.context, SLICE_FUEL)
        error = func_call(self._function, self.context, at, signature.arity, self._at, signature.results)
        if long:
            left = self._fuel_left()
            if error and not left:
                self._too_long(error)
            set_fuel(self.context, left + self.fuel_given - SLICE_FUEL)
        if error:
            block[_ERROR] = error
        return True

    def _finish(self) -> None:
        future = self._future
        self.busy = False
        if future:
            self._future = None
            future_delete(future)
        if self.raised is not None:
            error, self.raised = self.raised, None
            if self._block[_ERROR]:
                capi.error_at(self._block[_ERROR])
            self.fault = Fault(Cause.HOST, f"an import handler failed: {error!r}", self.fuel_used())
            raise error
        if self.memory.asked > REFUSED_MAX:
            if self._block[_ERROR]:
                capi.error_at(self._block[_ERROR])
            self._die(self._asked_too_often())
            return
        if self._block[_ERROR]:
            self._fail(self._block[_ERROR])
            return
        self._holds_result = self._signature.results == 1

    def _asked_too_often(self) -> Fault:
        return Fault(Cause.MEMORY_LIMIT, f"it asked for memory beyond its limit more than {REFUSED_MAX} times in one call", self.fuel_used())

    def _fail(self, error: int) -> None:
        self._block[_ERROR] = 0
        fault = classify(capi.error_at(error), self.memory.refused, self.fuel_used())
        text = fault.message
        if "memory limit" in text or "memory minimum size" in text:
            fault = Fault(Cause.MEMORY_LIMIT, text, fault.fuel_used)
        self._die(fault)

    def _die(self, fault: Fault) -> None:
        self._end()
        self.fault = fault

    def kill(self, cause: Cause, message: str) -> Fault:
        """End a call from outside (deadline, broken contract, shut-down): the guest is unwound, the store is dead. Dead stays dead."""
        if self.closed:
            assert self.fault is not None
            return self.fault
        fault = Fault(cause, message, self.fuel_used())
        self._die(fault)
        return fault

    def park(self, name: str, arguments: list[Any], put_result: Callable[[Any, int], None], slot: int) -> None:
        """Called by the host's trampoline: the guest waits at an import, whose result ``put_result`` writes to ``slot``."""
        self._block[_FLAG] = 0
        self._pending = put_result, slot
        self.request = Request(name, arguments)

    def answer(self, value: Any) -> None:
        """The result of the parked import; ``advance`` goes on from there."""
        if self.closed:
            return
        if self._pending is None:
            raise HostError("answer without a parked import")
        put_result, slot = self._pending
        put_result(value, slot)
        self.request = self._pending = None
        self._block[_FLAG] = 1

    def limit_fuel(self, fuel: int) -> None:
        """Lower what is left for the call under way (its deadline came closer while it was parked)."""
        if fuel < self._left:
            self.fuel_given -= self._left - fuel
            self._left = fuel
            capi.set_fuel(self.context, fuel)

    # ---- results and figures ------------------------------------------------------------------------------------
    def result(self) -> Any:
        """The finished call's result, decoded; it stays in place."""
        assert self._holds_result
        return self._signature.get_result(self._at)

    def release(self) -> None:
        """Free the result once its last reader is done."""
        if self._holds_result:
            self._holds_result = False
            val_delete(self._at)

    def take_result(self, into: Held) -> None:
        """Move the result out of this instance, which may then serve its next call; ``into`` frees it."""
        assert self._holds_result
        self._holds_result = False
        into.take(self._at)

    def _fuel_left(self) -> int:
        capi.get_fuel(self.context, self._fuel_at)
        return self._block[_FUEL]

    def segment_fuel(self) -> int:
        """Fuel used since the guest last went on; right inside an import, too."""
        return self._left - self._fuel_left()

    def fuel_used(self) -> int:
        """Fuel used by the call so far."""
        return self.fuel_given - self._fuel_left()

    @property
    def memory_bytes(self) -> int:
        """Linear memory now."""
        return self.memory.size_bytes

    @property
    def memory_peak_bytes(self) -> int:
        """Largest linear memory so far."""
        return self.memory.peak_bytes

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

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import wasmtime

from twinloop.components.contract.errors import GuestEnded
from twinloop.components.host import capi
from twinloop.components.host.batch import Held
from twinloop.components.host.call_state import Owner, Request
from twinloop.components.host.calling import Calling, CallState, Steps
from twinloop.components.host.component import Linked
from twinloop.components.host.crossing import WAY
from twinloop.components.host.direct import DirectStart
from twinloop.components.host.memory import REFUSED_MAX, MemoryOwner
from twinloop.components.host.outcome import Cause, Fault, classify
from twinloop.components.host.resources import Handles
from twinloop.components.host.start import Functions, Start

if TYPE_CHECKING or WAY.calling is Calling:
    Base = Calling
else:

    class Base(WAY.calling, Steps):
        """The steps of the compiled part, and what is rare."""

        __slots__ = ()


class Instance(Base):
    """A live instance. ``fault`` is set once, by the call that killed it; after that only ``close`` is
    left."""

    __slots__ = (
        "context",
        "handlers",
        "handles",
        "host",
        "lent",
        "linked",
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
        self._call: CallState = WAY.state()
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
            self._functions, call.start = call.start.exports(self.context), None

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

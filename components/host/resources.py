"""Resources that cross: a host object in Python, a handle in the guest.

Belongs here: handles of one instance, own and borrow as codecs. Never: what a resource does. A host object
says which of WASI's resource types it is by its ``resource``; wasmtime checks that a guest hands back what
the function wants.
"""

from __future__ import annotations

from ctypes import addressof, c_uint64
from typing import Any, Protocol

from twinloop.components.contract.errors import GuestEnded, HostError
from twinloop.components.host import capi
from twinloop.components.host.capi import Q

HANDLES_MAX = 4096
"""resources that one instance may hold; one more ends it (cause ``quota``)"""


class Resource(Protocol):
    """A host object that a guest holds. ``resource``: its type's number (wasi/interfaces.py)."""

    resource: int

    def dropped(self) -> None:
        """The guest has let it go."""


class Handles:
    """What one instance holds. ``context``: its store."""

    __slots__ = ("_last", "_objects", "context")

    def __init__(self, context: int) -> None:
        self.context = context
        self._objects: dict[int, Resource] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._objects)

    def add(self, thing: Resource) -> int:
        """A new handle; raises GuestEnded when there are too many."""
        if len(self._objects) >= HANDLES_MAX:
            raise GuestEnded("quota", f"more than {HANDLES_MAX} resources open at once")
        self._last += 1
        self._objects[self._last] = thing
        return self._last

    def lend(self, number: int) -> Resource:
        """The object behind a handle, which stays the guest's."""
        return self._objects[number]

    def take(self, number: int) -> Resource:
        """The object behind a handle that the guest gives away."""
        return self._objects.pop(number)

    def drop(self, number: int) -> None:
        """The guest has dropped a handle."""
        thing = self._objects.pop(number, None)
        if thing is not None:
            thing.dropped()

    def close(self) -> None:
        """The instance is gone, and with it what it held, in the order in which it came."""
        while self._objects:
            self.drop(next(iter(self._objects)))


class Crossing:
    """Host resources to C values and back, for the instance whose ``handles`` are set."""

    def __init__(self) -> None:
        self.handles: Handles | None = None
        self._out = (c_uint64 * 1)()
        self.lent: list[int] = []
        """resource values that were copied into a result, ours to free"""

    def load(self, slot: Any, owned: bool) -> Resource:
        """The host object behind an argument; raises GuestEnded for a resource that isn't the host's."""
        assert self.handles is not None
        error = capi.resource_any_to_host(self.handles.context, Q.unpack_from(slot)[0], addressof(self._out))
        if error:
            raise GuestEnded("abi", f"a resource that isn't the host's: {capi.error_at(error)}")
        number = capi.resource_host_rep(self._out[0])
        capi.resource_host_delete(self._out[0])
        return self.handles.take(number) if owned else self.handles.lend(number)

    def store(self, thing: Resource) -> bytes:
        """A new handle of the guest's for a host object."""
        assert self.handles is not None
        kind = thing.resource  # before it has a handle: what is no resource gets none
        host = capi.resource_host_new(True, self.handles.add(thing), kind)
        error = capi.resource_host_to_any(self.handles.context, host, addressof(self._out))
        capi.resource_host_delete(host)
        if error:
            raise HostError(f"a resource can't be handed over: {capi.error_at(error)}")
        self.lent.append(self._out[0])
        return Q.pack(self._out[0])

    def free(self) -> None:
        """The result has been copied to where the guest finds it."""
        while self.lent:
            capi.resource_any_delete(self.lent.pop())

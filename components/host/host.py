"""The component host: its engines, compiled components, its linkers and every live instance, owned and
closed together.

Belongs here: ownership, linking by grant, the two import trampolines. Never: module-level state, a clock, a
budget. What an import does is handed in per instance (``Handlers``); an import in ``contract.PARKING`` parks
the guest and is answered later by whoever drives the instance, the others answer inside the callback.
"""

from __future__ import annotations

import contextlib
import hashlib
import resource
from collections.abc import Callable, Mapping, Sequence
from ctypes import addressof, c_uint64, c_void_p, cast
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from wasmtime import component as wc

from twinloop.components.contract.contract import CONTRACTS, PARKING
from twinloop.components.contract.errors import GuestEnded, HostError, HostLimitError
from twinloop.components.host import capi, direct
from twinloop.components.host.cache import CodeCache
from twinloop.components.host.call_state import Owner
from twinloop.components.host.calling import STOPPED
from twinloop.components.host.capi import IS_SET, MEMORY, QQQ, Q
from twinloop.components.host.codec import Codecs, LazySignature, Signature
from twinloop.components.host.component import Component, ComponentRefused, Linked, read_component
from twinloop.components.host.crossing import Way, way_of_process
from twinloop.components.host.engines import Engines
from twinloop.components.host.instance import Instance
from twinloop.components.host.memory import MemoryCreator, MemoryOwner
from twinloop.components.wasi.interfaces import PARKING as WASI_PARKING
from twinloop.components.wasi.interfaces import resource_number, signatures, wasi_interface

_put_three = QQQ.pack_into
_U64 = 8
"""kind of a wasmtime_component_val_t"""
MAPS_PER_MEMORY = 4
"""two for itself, two for the fiber of a parked call of the instance that has it (measured)"""
ADDRESSES_PER_MEMORY = 5 << 30
"""wasm32 reservation and guards, rounded up"""
MEMORY_UNLIMITED_BYTES = 4 << 30
Handlers = Mapping[str, Callable[..., Any]]
"""``interface.function`` -> what answers at once: called with the decoded arguments, returns the result"""


class _Import(NamedTuple):
    """``name``: interface.function, or interface#function of WASI."""

    name: str
    read: Callable[[int], list[Any]]
    """address of its C arguments -> Python"""
    write: Callable[[Any, int], None]
    """Python result -> the C value at an address"""
    resources: bool = False
    """resources may be among them"""
    transact: bool = False
    """its arguments are those of ``fieldbus.transact``"""
    gives: int = -1
    """for the compiled part: the kind of a result that is a u64, 0 for no result; -1: ``write`` knows"""


class Host:
    """Engine, components, linkers, instances. Close it; after that every use raises HostError.

    ``threads`` False: it compiles in the calling thread alone. A process that forks must: a fork has none of
    wasmtime's threads, and would wait for them. ``fibers`` False: calls of a component that never parks are
    made without a fiber, cheaper by a third; one that takes longer than a slice (half a second at most,
    whatever it does) raises NeedsFibers, and whoever drives it begins anew. ``cache``: where compiled code is
    kept; the user's if None. ``way``: by the compiled part, or without it; the process's if None.
    """

    def __init__(
        self,
        threads: bool = True,
        fibers: bool = True,
        cache: CodeCache | None = None,
        way: Way | None = None,
    ) -> None:
        self.fibers = fibers
        self._way = way = way or way_of_process()
        self.words = way.words
        """how an instance's words are made"""
        self.interrupted = False
        """guests stop at the end of their slice; who stops a run says so, and takes it back"""
        self.long: dict[str, None] = {}
        """digests of components that have been met with calls longer than a slice"""
        self.called: dict[str, dict[str, int]] | None = None
        """what an instance was created as -> import -> how often it was called; None: nobody wants to know"""
        self.makes: Callable[[Owner, Linked, Handlers, MemoryOwner], Instance] = Instance
        """how an instance is made; another kind where somebody writes down what is called"""
        self.memory = MemoryCreator()
        self.codecs = Codecs()
        self.engines = Engines(self.memory, threads, cache, 0 if way.imports is None else way.imports.STACKS)
        self._components: dict[tuple[str, str], Component] = {}
        self._linked: dict[tuple[str, str, tuple[str, ...]], Linked] = {}
        self._imports: list[_Import] = []
        self._instances: dict[int, Instance] = {}
        self._names: dict[int, str] = {}
        """what their calls are counted as"""
        self._trampolines = (
            (capi.SYNC_IMPORT(self._sync_import), capi.ASYNC_IMPORT(self._async_import))
            if way.imports is None
            else ()
        )
        self._environments: list[Any] = []
        """what the compiled trampolines are given"""
        self._dropped = capi.DROPPED(self._resource_dropped)
        self._true = (c_uint64 * 1)(1)
        self.closed = False

    # ---- components ------------------------------------------------------------------------------
    def load(self, source: Path | bytes, role: str) -> Component:
        """Compile a component (or component text) for ``driver``, ``transform`` or ``policy``; equal bytes
        compile once.

        Raises ComponentRefused with what was expected and what came.
        """
        self._open()
        data = read_component(source) if isinstance(source, Path) else source
        key = hashlib.sha256(data).hexdigest(), role
        if key not in self._components:
            self._components[key] = Component(self.engines, self.codecs, data, role, key[0])
        return self._components[key]

    def link(self, component: Component, grants: Sequence[str]) -> Linked:
        """Satisfy the component's imports from ``grants``; raises ComponentRefused naming what was not
        granted."""
        self._open()
        wanted = tuple(sorted(grants))
        key = component.sha256, component.role, wanted
        if key in self._linked:
            return self._linked[key]
        missing = [name for name in component.imports if name not in wanted]
        if missing:
            raise ComponentRefused(
                f"imports {', '.join(missing)}, which it is not granted; add to its grants or use another "
                f"component"
            )
        linker = wc.Linker(component.engine.raw)
        imports: dict[tuple[str, str], direct.Import] = {}
        parks = component.engine.fibers
        with linker.root() as root:
            for full_name, functions in component.linked.items():
                name = full_name.partition("/")[2].partition("@")[0]
                with root.add_instance(full_name) as instance:
                    for function, kind in functions.items():
                        made = self._define(
                            instance, f"{name}.{function}", function, Signature(self.codecs, kind)
                        )
                        imports[full_name, function] = made
                        parks |= made.parks
            for full_name, items in component.wasi.items():
                with root.add_instance(full_name) as instance:
                    parks |= self._define_wasi(instance, full_name, items)
        directly = None
        if self._way.imports is not None and component.plan is not None:
            directly = direct.blueprint(self._way.imports, component, component.plan, imports)
        knows_integers = component.contract is not CONTRACTS["0.1"]
        linked = Linked(component, linker, wanted, parks, directly, knows_integers)
        self._linked[key] = linked
        return linked

    def _define(self, instance: Any, name: str, function: str, signature: Signature) -> direct.Import:
        parks = name in PARKING
        transact, put = name == "fieldbus.transact", signature.put_result
        read = self._way.read_transact if transact else signature.get_arguments
        write = self._way.replies(put) if name in ("fieldbus.transact", "fieldbus.receive") else put
        gives = (
            0 if signature.result is None else signature.result.kind if signature.result.kind == _U64 else -1
        )
        made = self._add(instance, function, _Import(name, read, write, False, transact, gives), parks)
        return direct.Import(made, signature.function, parks)

    def _define_wasi(self, instance: Any, full_name: str, items: dict[str, Any]) -> bool:
        """All that a component imports of one WASI interface, granted or not; does any of it park?"""
        interface_name, any_parks = wasi_interface(full_name), False
        for item, kind in items.items():
            name = f"{interface_name}#{item}"
            if isinstance(kind, wc.ResourceType):
                self._add_resource(instance, item)
                continue
            parks = name in WASI_PARKING
            any_parks |= parks
            signature = LazySignature(self.codecs, kind, known=name in signatures())
            self._add(
                instance, item, _Import(name, signature.get_arguments, signature.put_result, True), parks
            )
        return any_parks

    def _add_resource(self, instance: Any, name: str) -> None:
        kind = wc.ResourceType.host(resource_number(name))
        raw = name.encode()
        error = capi.add_resource(
            capi.address(instance.ptr()),
            raw,
            len(raw),
            capi.address(kind.ptr()),
            cast(self._dropped, c_void_p),
            None,
            None,
        )
        if error:
            raise HostError(f"wasmtime refused resource {name}: {capi.error_at(error)}")

    def _add(self, instance: Any, function: str, entry: _Import, parks: bool) -> Any:
        """What the compiled part has made of it; None without one."""
        self._imports.append(entry)
        add, raw = (capi.add_func_async if parks else capi.add_func), function.encode()
        trampoline, environment, made = self._trampoline(entry, parks)
        error = add(capi.address(instance.ptr()), raw, len(raw), trampoline, environment, None)
        if error:
            raise HostError(f"wasmtime refused import {entry.name}: {capi.error_at(error)}")
        return made

    def _trampoline(self, entry: _Import, parks: bool) -> tuple[Any, int, Any]:
        """What wasmtime calls for the import that was added last, and with which environment."""
        index, crossing = len(self._imports), self._way.imports
        if crossing is None:
            return cast(self._trampolines[parks], c_void_p), index, None
        name, read, write, resources, transact, gives = entry
        made = crossing.Import(self, self._instances, name, read, write, index, resources, transact, gives)
        self._environments.append(made)
        return (crossing.ASYNC if parks else crossing.SYNC), made.at, made

    # ---- instances -------------------------------------------------------------------------------
    def instantiate(
        self, linked: Linked, handlers: Handlers, fuel: int, memory_bytes: int = MEMORY_UNLIMITED_BYTES
    ) -> Instance:
        """A new instance in its own store. Check ``instance.fault``: its start code may have trapped, or not
        fitted.

        ``fuel`` limits the start code; ``memory_bytes`` is the limit of all its linear memory for life.
        """
        self._open()
        instance = self.create(linked, handlers, memory_bytes)
        instance.instantiate(fuel)
        return instance

    def create(
        self, linked: Linked, handlers: Handlers, memory_bytes: int = MEMORY_UNLIMITED_BYTES, name: str = ""
    ) -> Instance:
        """An instance whose start code has yet to run: ``begin_start``, then ``advance``. ``name``: what its
        calls are counted as; several components may come from one file."""
        self._open()
        instance = self.makes(self, linked, handlers, MemoryOwner(memory_bytes))
        self._instances[instance.context] = instance
        self._names[instance.context] = name
        return instance

    def forget(self, instance: Instance) -> None:
        """Called by Instance.close."""
        if self._instances.pop(instance.context, None) is not None:
            del self._names[instance.context]

    @property
    def live(self) -> int:
        """How many instances are open."""
        return len(self._instances)

    def require_room(self, memories: int) -> None:
        """Raise HostLimitError when this machine can't map instances with so many more memories in all,
        instead of dying in mmap."""
        with contextlib.suppress(FileNotFoundError):  # not Linux: no such limit to compare with
            limit = int(Path("/proc/sys/vm/max_map_count").read_text())
            used = Path("/proc/self/maps").read_bytes().count(b"\n")
            if used + MAPS_PER_MEMORY * memories > limit:
                raise HostLimitError(
                    f"{memories} memories of components need about {MAPS_PER_MEMORY * memories} memory "
                    f"maps, this machine "
                    f"allows {limit} a process ({used} in use): raise vm.max_map_count or run a smaller fleet"
                )
        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY and ADDRESSES_PER_MEMORY * (memories + self.memory.live) > soft:
            raise HostLimitError(
                f"{memories} memories of components need {ADDRESSES_PER_MEMORY * memories >> 30} GiB of "
                f"addresses, "
                f"this process is limited to {soft >> 30} GiB (ulimit -v)"
            )

    def close(self) -> None:
        """Close every instance (parked calls are unwound), then let the engine go. Twice is once."""
        for instance in list(self._instances.values()):
            instance.close()
        self._linked.clear()
        self._components.clear()
        self.closed = True

    def _open(self) -> None:
        if self.closed:
            raise HostError("the component host was used after its close")

    # ---- trampolines: they catch everything and always set the continuation, or the process aborts ----
    def _sync_import(
        self, env: int, context: int, kind: int, arguments: int, count: int, results: int, result_count: int
    ) -> int | None:
        instance = self._instances.get(context)
        try:
            if instance is None:
                raise HostError("an import was called by an instance that nobody knows")
            if self.interrupted:
                raise GuestEnded("dead", STOPPED)  # its slice may hold 200 000 imports
            name, read, write, resources, _, _ = self._imports[env - 1]
            if resources:
                self.codecs.resources.handles = instance.handles
            if self.called is not None:
                self._count(instance, name)
            handler = instance.handlers[name]
            write(handler(*read(arguments)) if count else handler(), results)
        except BaseException as error:  # noqa: BLE001  # nothing may pass through C; it is raised again in Instance.advance
            if instance is not None:
                instance.raised = error
            return int(capi.error_new(b"host import failed"))
        return None

    def _count(self, instance: Instance, name: str) -> None:
        assert self.called is not None
        of_component = self.called.setdefault(self._names[instance.context], {})
        of_component[name] = of_component.get(name, 0) + 1

    def _write_resources(
        self, instance: Instance, write: Callable[[Any, int], None], value: Any, at: int
    ) -> None:
        """As ``write``; a guest that has no room for a resource in it ends when it goes on: the slot holds no
        value of the type then, and the error that this makes is told as what was raised."""
        self.codecs.resources.handles = instance.handles
        try:
            write(value, at)
        except GuestEnded as end:
            instance.raised = end

    def _resource_dropped(self, env: int, context: int, number: int) -> int | None:
        instance = self._instances.get(context)
        try:
            if instance is not None:
                instance.handles.drop(number)
        except BaseException as error:  # noqa: BLE001  # as above
            if instance is not None:
                instance.raised = error
            return int(capi.error_new(b"a resource could not be dropped"))
        return None

    def _async_import(
        self,
        env: int,
        context: int,
        kind: int,
        arguments: int,
        count: int,
        results: int,
        result_count: int,
        error_at: int,
        then: int,
    ) -> None:
        instance = self._instances.get(context)
        try:
            if instance is None:
                raise HostError("an import was called by an instance that nobody knows")
            name, read, write, resources, _, _ = self._imports[env - 1]
            if self.called is not None:
                self._count(instance, name)
            if resources:
                self.codecs.resources.handles = instance.handles
                write = partial(self._write_resources, instance, write)
            instance.park(name, read(arguments), write, results)
            _put_three(MEMORY, then, IS_SET, instance.block.flag_at, 0)
        except BaseException as error:  # noqa: BLE001  # as above
            if instance is not None:
                instance.raised = error
            Q.pack_into(MEMORY, error_at, int(capi.error_new(b"host import failed")))
            QQQ.pack_into(MEMORY, then, IS_SET, addressof(self._true), 0)

"""A compiled component: loaded from a file, held against the contract, with its exports' signatures.

Belongs here: everything that can be wrong with a `.wasm` before it runs, each with its own words. Never:
instances.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wasmtime
from wasmtime import component as wc
from wasmtime.component._types import ComponentInstanceType, FuncType

from twinloop.components.binary.plan import plan_of
from twinloop.components.binary.reader import SectionsError
from twinloop.components.binary.sections import Contents, read_sections
from twinloop.components.contract.contract import (
    CHANGES,
    CONTRACTS,
    EXPORTS,
    GRANTABLE,
    IMPORTS,
    PACKAGE,
    Contract,
    contract_interface,
    describe_function,
    interface,
)
from twinloop.components.contract.options import stated_options
from twinloop.components.host.codec import Codecs, Signature
from twinloop.components.host.engines import Engine, Engines
from twinloop.components.host.start import DirectParts
from twinloop.components.wasi.interfaces import ALWAYS, other_wasi, signatures, wasi_interface
from twinloop.components.wasi.interfaces import GRANTABLE as GRANTABLE_WASI

_PREVIEW1 = b"wasi_snapshot_preview1"
"""the module name of WASI preview 1's imports"""
_COMPONENT_HEADER = b"\x0d\x00\x01\x00"
"""version and layer of a component (component-model Binary.md); a core module has 01 00 00 00"""
ADAPTED = ("example:device/", "twinloop:gateway/driver-stream@")
"""how an interface begins of which an adapter makes a driver (components/compose/adapting.py)"""
COMPONENT_BYTES_MAX = 256 << 20
"""a larger file is refused before it is read: no guest for a gateway comes near"""


class ComponentRefused(ValueError):
    """A `.wasm` that can't be used as asked; the message says why, without the file's name."""


class Component:
    """A component that fits its role. ``sha256`` of its bytes, ``imports`` it needs, ``exports`` by function
    name."""

    def __init__(self, engines: Engines, codecs: Codecs, data: bytes, role: str, sha256: str) -> None:
        self.role, self.sha256 = role, sha256
        self.size_bytes = len(data)
        self.options = stated_options(data)
        """what it says of its own options; None: it says nothing"""
        binary = binary_of(data)
        contents = _contents(binary)
        if contents is not None:
            _refuse_unknown(contents, role)
        self.memories = _memories(contents)
        """how many linear memories an instance has, each with its reservation of addresses"""
        self.engine = engines.of(contents)
        self.plan = None if self.engine.fibers else plan_of(binary)
        """how it is put together, for the compiled part; None: wasmtime's component API is used"""
        self.raw = _compile(self.engine, binary, sha256)
        kind, engine = self.raw.type, self.engine.raw
        imports = kind.imports(engine)
        self.wasi = {
            name: _wasi_items(name, item.ty, engine)
            for name, item in imports.items()
            if wasi_interface(name) is not None
        }
        """full name of each WASI interface that it imports -> its items with their types"""
        self.linked = _needed(
            {name: item for name, item in imports.items() if name not in self.wasi}, engine, role
        )
        """full name of each interface of the contract that it imports -> its functions with their types"""
        self.imports: dict[str, dict[str, Any]] = {}
        """the same by capability, of whatever version"""
        for name, functions in self.linked.items():
            self.imports.setdefault(_offered(name, role, True)[0], {}).update(functions)
        self.exports: dict[str, tuple[Signature, Any]] = {}
        self._take_exports(kind.exports(engine), engine, codecs)

    def function_types(self) -> dict[str, Any]:
        """Function -> its WIT type, of the interface of its role."""
        exported = self.raw.type.exports(self.engine.raw)[self.interface].ty
        assert isinstance(exported, ComponentInstanceType)
        items = exported.exports(self.engine.raw)
        return {name: item.ty for name, item in items.items() if isinstance(item.ty, FuncType)}

    def wasi_functions(self) -> dict[str, list[str]]:
        """io/poll -> the functions that it imports of it, of whatever version of 0.2."""
        functions: dict[str, list[str]] = {}
        for name, items in self.wasi.items():
            known = functions.setdefault(str(wasi_interface(name)), [])
            known += [
                item for item, kind in items.items() if isinstance(kind, FuncType) and item not in known
            ]
        return functions

    def _take_exports(self, exports: Any, engine: wasmtime.Engine, codecs: Codecs) -> None:
        wanted = self.interface = exported_as(self.role, exports) or interface(self.role)
        self.contract = (contract_interface(wanted) or ("", CONTRACTS["0.2"]))[1]
        """by which it is called"""
        found = exports.get(wanted)
        if found is None or not isinstance(found.ty, ComponentInstanceType):
            roles = [role for role in EXPORTS if exported_as(role, exports)]
            has = f"it is a {roles[0]}" if roles else f"it exports {', '.join(sorted(exports)) or 'nothing'}"
            if any(name.startswith(ADAPTED) for name in exports) and self.role == "driver":
                has = f"{has}: twinloop components compose FILE -o OUT makes a driver of it"
            elif any(name.startswith(f"{PACKAGE}/{self.role}") for name in exports):
                has = f"{has}; {served()}"
            raise ComponentRefused(f"expected a {self.role} (export {wanted}), {has}")
        functions = {
            name: item.ty for name, item in found.ty.exports(engine).items() if isinstance(item.ty, FuncType)
        }
        at = self.raw.get_export_index(wanted)
        for name, expected in self.contract.exports[self.role].items():
            got = describe_function(functions[name]) if name in functions else "nothing"
            if got != expected:
                raise ComponentRefused(f"{wanted}#{name}: expected {expected}, got {got}")
            self.exports[name] = Signature(codecs, functions[name]), self.raw.get_export_index(name, at)


def exported_as(role: str, exports: Iterable[str]) -> str | None:
    """The interface by which something with these exports is of a role: ``driver`` or ``driver-async``, whose
    functions are the same ones typed ``async``, of the newest contract; None: it isn't."""
    found: dict[tuple[str, str], str] = {}
    for name in exports:
        one = contract_interface(name)
        if one is not None:
            found[one[1].track, one[0]] = name
    wanted = [(track, name) for track in CONTRACTS for name in (role, f"{role}-async")]
    return next((found[one] for one in wanted if one in found), None)


def served() -> str:
    """The versions of the contract that this host serves, and what changed in them, in words."""
    tracks = " and ".join(f"{track}.x" for track in CONTRACTS)
    return f"this host serves {tracks} of {PACKAGE} ({'; '.join(CHANGES.values())})"


@dataclass(frozen=True, slots=True, eq=False)
class Linked:
    """A component with its imports satisfied by a set of grants; instances are made from it."""

    component: Component
    linker: wc.Linker
    grants: tuple[str, ...]
    parks: bool
    """some import parks: every call runs on a fiber"""
    direct: DirectParts | None = None
    """it is called past wasmtime's component API"""
    knows_integers: bool = False
    """batches that it is given have a list of integers: it is of the contract 0.2"""


def read_component(path: Path) -> bytes:
    """The bytes of a component file; raises ComponentRefused (and never OSError) when there is nothing to
    load."""
    try:
        if not path.is_file():
            raise ComponentRefused("no such file" if not path.exists() else "not a file")
        size = path.stat().st_size
        if size > COMPONENT_BYTES_MAX:
            raise ComponentRefused(f"{size} bytes; the limit is {COMPONENT_BYTES_MAX}")
        return path.read_bytes()
    except OSError as error:
        raise ComponentRefused(f"cannot be read: {error.strerror}") from error


def binary_of(data: bytes) -> bytes:
    """A component (or component text) in the binary format; raises ComponentRefused."""
    if data[:4] == b"\0asm" and data[4:8] != _COMPONENT_HEADER and len(data) >= 8:
        kind = "a core module" if data[4:8] == b"\x01\0\0\0" else f"of an unknown version {data[4:8].hex()}"
        adapter = " --adapt wasi_snapshot_preview1.reactor.wasm" if _PREVIEW1 in data else ""
        says = " of WASI preview 1" if adapter else ""
        raise ComponentRefused(
            f"expected a component, it is {kind}{says}; make one with: wasm-tools component new{adapter}"
        )
    if data[:4] != b"\0asm" and data.lstrip()[:10] != b"(component":
        raise ComponentRefused(
            "expected a WebAssembly component, these bytes are something else"
            if data
            else "the file is empty"
        )
    try:
        return data if data[:4] == b"\0asm" else bytes(wasmtime.wat2wasm(data))
    except wasmtime.WasmtimeError as error:
        raise _does_not_compile(error) from error


def _contents(binary: bytes) -> Contents | None:
    """What its sections say; None where they can't be read: wasmtime has its own words for it."""
    try:
        return read_sections(binary)
    except SectionsError:
        return None


def _memories(contents: Contents | None) -> int:
    """At least one: what has none takes maps for its fiber."""
    return max(1, sum(len(module.memories) for module in contents.modules)) if contents is not None else 1


def _compile(engine: Engine, binary: bytes, sha256: str) -> wc.Component:
    try:
        return engine.cache.compiled(engine.raw, binary, sha256)
    except wasmtime.WasmtimeError as error:
        raise _does_not_compile(error) from error


def _does_not_compile(error: wasmtime.WasmtimeError) -> ComponentRefused:
    text = " ".join(str(error).split())
    hint = " (the file is truncated?)" if "unexpected end" in text or "end-of-file" in text else ""
    return ComponentRefused(f"does not compile: {text[:300]}{hint}")


def _refuse_unknown(contents: Contents, role: str) -> None:
    """Refuse, before seconds are spent on compiling, what imports something that it can't be given. What the
    sections don't tell is left to ``_needed``."""
    for one in contents.imports:
        if wasi_interface(one.name) is not None:
            continue
        if one.kind != "instance" or one.functions or one.resources:
            _offered(one.name, role, one.kind == "instance" and not one.resources)


def _offered(full_name: str, role: str, is_capability: bool) -> tuple[str, Contract]:
    """The capability of that full name, and by which contract; raises ComponentRefused when it isn't one, or
    none for that role."""
    name, contract = contract_interface(full_name) or ("", CONTRACTS["0.2"])
    if name not in IMPORTS or not is_capability:
        package = full_name.split("/", maxsplit=1)[0]
        why = (
            f"; {served()}"
            if package == PACKAGE
            else f"; of WASI this host offers 0.2: {', '.join((*ALWAYS, *GRANTABLE_WASI))}"
            if other_wasi(full_name)
            else ""
        )
        raise ComponentRefused(f"imports {full_name}, which no gateway offers{why}")
    if name not in GRANTABLE[role]:
        raise ComponentRefused(f"imports {name}, which a {role} can't be granted")
    return name, contract


def _needed(imports: Any, engine: wasmtime.Engine, role: str) -> dict[str, dict[str, Any]]:
    """Full name -> function -> its type, for each imported interface that has functions."""
    needed: dict[str, dict[str, Any]] = {}
    for full_name, item in imports.items():
        functions = _functions(item.ty, engine)
        if functions == {}:
            continue  # an instance import that holds types only is no capability
        name, contract = _offered(full_name, role, functions is not None)
        assert functions is not None
        for function, kind in functions.items():
            expected, got = contract.imports[name].get(function, "no such function"), describe_function(kind)
            if expected != got:
                raise ComponentRefused(f"imports {full_name}#{function}: expected {expected}, got {got}")
        needed[full_name] = functions
    return needed


def _wasi_items(full_name: str, kind: Any, engine: wasmtime.Engine) -> dict[str, Any]:
    """Its resources and functions; a function that WASI has with another type is refused."""
    interface = wasi_interface(full_name)
    if not isinstance(kind, ComponentInstanceType):
        raise ComponentRefused(f"imports {full_name}, expected an interface")
    items = {}
    for name, item in kind.exports(engine).items():
        if isinstance(item.ty, FuncType):
            expected = signatures().get(f"{interface}#{name}")
            got = describe_function(item.ty)
            if expected not in (None, got):
                raise ComponentRefused(f"imports {full_name}#{name}: expected {expected}, got {got}")
        elif not isinstance(item.ty, wc.ResourceType):
            continue
        items[name] = item.ty
    return items


def _functions(kind: Any, engine: wasmtime.Engine) -> dict[str, Any] | None:
    if not isinstance(kind, ComponentInstanceType):
        return None
    items = kind.exports(engine)
    if any(isinstance(item.ty, wc.ResourceType) for item in items.values()):
        return None
    return {name: item.ty for name, item in items.items() if isinstance(item.ty, FuncType)}

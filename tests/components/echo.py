"""Components of the tests' own that hand values on: made from types, compiled, and called through the host.

Belongs here: the text of such a component, and what the host needs to run it. Never: what a test asserts.

``f0`` is imported and ``g0`` exported, both of one type T -> T; the guest's code passes what it gets to the
import and answers what the import answers. So a value crosses four times: host, guest, host, guest, host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import wasmtime
from wasmtime import component as wc

from tests.components.wit_types import FLAT_MAX, Text, Wit, flat, size
from twinloop.components.binary.plan import plan_of
from twinloop.components.host import direct
from twinloop.components.host.codec import Signature
from twinloop.components.host.component import Linked
from twinloop.components.host.host import MEMORY_UNLIMITED_BYTES, Host, _Import
from twinloop.components.host.instance import Instance

FUEL = 1 << 40
LIBC = """
  (core module $libc-code (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 1024))
    (func (export "realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $top (i32.add (local.get $at) (local.get $size)))
      (block $fits (loop $more
        (br_if $fits (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
        (if (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then unreachable))
        (br $more)))
      (if (i32.gt_u (local.get $had) (local.get $size)) (then (local.set $had (local.get $size))))
      (memory.copy (local.get $at) (local.get $old) (local.get $had))
      (local.get $at))
    (func (export "clear") (global.set $top (i32.const 1024))))
  (core instance $libc (instantiate $libc-code))
  (alias core export $libc "realloc" (core func $realloc))
  (alias core export $libc "clear" (core func $clear))
"""
"""a memory with an allocator that copies; ``clear`` forgets all that it gave away"""


class Function(NamedTuple):
    """T -> T. ``parks``: its import parks the guest. ``body``: core code instead of that which hands on; its
    locals from 0 on are the parameters, ``$RET`` a pointer to room for a result."""

    wit: Wit
    parks: bool = False
    body: str = ""


def shape(wit: Wit) -> tuple[list[str], str]:
    """Core parameters, and the core result when it is one that isn't a pointer."""
    cores = flat(wit)
    return (["i32"] if len(cores) > FLAT_MAX else cores), cores[0] if len(cores) == 1 else ""


def echo_text(functions: Sequence[Function], encoding: str = "utf8") -> bytes:
    """The component."""
    types = Text()
    references = [types.of(one.wit) for one in functions]
    signatures = [f'(param "x" {ref}) (result {ref})' for ref in references]
    options = f'(memory (core memory $libc "memory")) (realloc (core func $libc "realloc")) string-encoding={encoding}'
    core_imports, bodies, lowered, exports = [], [], [], []
    for at, one in enumerate(functions):
        parameters, result = shape(one.wit)
        params = f"(param {' '.join(parameters)})"
        imported = f"{params} (result {result})" if result else f"(param {' '.join([*parameters, 'i32'])})"
        core_imports.append(f'(import "env" "f{at}" (func $f{at} {imported}))')
        bodies.append(_body(at, one, parameters, result))
        lowered.append(f'(core func $f{at} (canon lower (func $host "f{at}") {options}))')
        exports.append(
            f'(func $g{at} {signatures[at]} (canon lift (core func $code "g{at}") {options} '
            f'(post-return (core func $code "after{at}")))) (export "g{at}" (func $g{at}))'
        )
    given = "".join(f' (export "f{at}" (func $f{at}))' for at in range(len(functions)))
    wanted = "".join(f'(export "f{at}" (func {said}))' for at, said in enumerate(signatures))
    lines = [
        "(component",
        f'(import "test:echo/host" (instance $host {" ".join(types.interface)} {wanted}))',
        *types.component,
        LIBC,
        *lowered,
        '(core module $m (import "libc" "memory" (memory 1)) (import "libc" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))',
        '(import "libc" "clear" (func $clear))',
        *core_imports,
        *bodies,
        ")",
        f'(core instance $code (instantiate $m (with "libc" (instance $libc)) (with "env" (instance{given}))))',
        *exports,
        ")",
    ]
    return "\n".join(lines).encode()


def _body(at: int, one: Function, parameters: list[str], result: str) -> str:
    gets = " ".join(f"(local.get {number})" for number in range(len(parameters)))
    room = f"(call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const {size(one.wit)}))"
    handed = f"(call $f{at} {gets})" if result else f"(call $f{at} {gets} (local.get $RET)) (local.get $RET)"
    keeps = "" if result else f"(local $RET i32) (local.set $RET {room})"
    answer = result or "i32"
    return (
        f'(func $does-{at} (export "g{at}") (param {" ".join(parameters)}) (result {answer}) {keeps} {one.body or handed})'
        f'(func (export "after{at}") (param {answer}) (call $clear))'
    )


# ---- running -------------------------------------------------------------------------------------
def linked_of(host: Host, text: bytes, parks: Callable[[str], bool], name: str = "test:echo/host") -> Linked:
    """A component that has no role, with what it imports of that interface; functions are ``name`` there."""
    engine = host.engines.plain
    binary = bytes(wasmtime.wat2wasm(text.decode()))
    raw = wc.Component(engine.raw, binary)
    kind = raw.type
    linker = wc.Linker(engine.raw)
    any_parks = False
    imports = {}
    with linker.root() as root, root.add_instance(name) as instance:
        items = kind.imports(engine.raw)[name].ty.exports(engine.raw)
        resources = any(isinstance(found.ty, wc.ResourceType) for found in items.values())
        for item, found in items.items():
            if isinstance(found.ty, wc.ResourceType):
                host._add_resource(instance, item)
            elif hasattr(found.ty, "params"):
                signature = Signature(host.codecs, found.ty)
                entry = _Import(item, signature.get_arguments, signature.put_result, resources)
                made = host._add(instance, item, entry, parks(item))
                imports[name, item] = direct.Import(made, found.ty, parks(item))
                any_parks |= parks(item)
    exports = {
        item: (Signature(host.codecs, found.ty), raw.get_export_index(item))
        for item, found in kind.exports(engine.raw).items()
    }
    types = {item: signature.function for item, (signature, _) in exports.items()}
    component: Any = SimpleNamespace(
        engine=engine,
        raw=raw,
        exports=exports,
        sha256="of a test",
        interface="",
        function_types=lambda: types,
    )
    plan, crossing = plan_of(binary), host._way.imports
    made = plan and crossing and direct.blueprint(crossing, component, plan, imports)
    return Linked(component, linker, (), any_parks, made or None)


def echo(host: Host, functions: Sequence[Function], encoding: str = "utf8") -> Linked:
    """Such a component, ready for instances."""
    return linked_of(host, echo_text(functions, encoding), lambda name: functions[int(name[1:])].parks)


def live(host: Host, linked: Linked, handlers: dict[str, Callable[..., Any]] | None = None) -> Instance:
    """An instance whose imports answer what they are asked with, unless told otherwise."""
    told = handlers or {}
    names = [f"f{at}" for at in range(len(linked.component.exports))]
    given = {**{name: lambda value: value for name in names}, **told}
    instance = host.instantiate(linked, given, FUEL, MEMORY_UNLIMITED_BYTES)
    assert instance.fault is None, instance.fault
    return instance


def call(
    instance: Instance, name: str, *arguments: Any, answers: Callable[..., Any] = lambda value: value
) -> Any:
    """The result of a call to its end; ``answers`` does what a parked import is to answer. A fault is left in
    the instance, and None returned."""
    instance.begin(name, arguments, FUEL)
    instance.advance()
    while instance.request is not None:
        instance.answer(answers(*instance.request.arguments))
        instance.advance()
    if instance.fault is not None:
        return None
    result = instance.result() if instance._holds_result else None
    instance.release()
    return result

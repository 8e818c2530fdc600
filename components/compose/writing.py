"""Bytes of the outer component: instance types, imports, aliases, instantiations, exports.

Belongs here: the binary format, written. Never: what is imported or joined with what. Format: component
model, design/mvp/Binary.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twinloop.components.compose.types import ComposeError, Interface, Resource, Types

CUSTOM, COMPONENT, INSTANCES, ALIASES, TYPES, IMPORTS, EXPORTS = 0, 4, 5, 6, 7, 10, 11
_INSTANCE, _TYPE = b"\5", b"\3"
_VALUES = {"list": 0x70, "option": 0x6B, "own": 0x69, "borrow": 0x68}
_NAMED = ("record", "variant", "flags", "enum")
"""kinds of which an import may only use what some interface names"""
_LABELS = {"flags": 0x6E, "enum": 0x6D}
_OPTIONALS = {"result": 0x6A, "stream": 0x66, "future": 0x65}


def leb128(value: int) -> bytes:
    """A number."""
    out = b""
    while value > 0x7F:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value,))


def name(text: str) -> bytes:
    """A name: its length and UTF-8."""
    data = text.encode()
    return leb128(len(data)) + data


def items(bodies: Iterable[bytes]) -> bytes:
    """Several of something: how many, and they."""
    found = list(bodies)
    return leb128(len(found)) + b"".join(found)


def section(kind: int, body: bytes) -> bytes:
    """A section of a component."""
    return bytes((kind,)) + leb128(len(body)) + body


def imported(interface: str, type_index: int) -> bytes:
    """An import of an instance."""
    return b"\0" + name(interface) + _INSTANCE + leb128(type_index)


def instantiated(component: int, arguments: dict[str, int]) -> bytes:
    """An instance of a component, given instances by the names of its imports."""
    given = items(name(one) + _INSTANCE + leb128(index) for one, index in arguments.items())
    return b"\0" + leb128(component) + given


def of_instance(sort: str, instance: int, export: str) -> bytes:
    """An alias: a ``type`` or ``instance`` that an instance exports."""
    return (_TYPE if sort == "type" else _INSTANCE) + b"\0" + leb128(instance) + name(export)


def exported(interface: str, instance: int) -> bytes:
    """An export of an instance."""
    return b"\0" + name(interface) + _INSTANCE + leb128(instance) + b"\0"


class InstanceType:
    """The type of one imported instance. ``foreign``: the index that a type has in the component around it,
    for what another interface names and this one doesn't."""

    def __init__(self, interface: str, types: Types, foreign: Callable[[int], int]) -> None:
        self._interface, self._types, self._foreign = interface, types, foreign
        self._named: tuple[int, ...] = ()
        self._declarations: list[bytes] = []
        self._count = 0
        self._indices: dict[int, int] = {}
        """type -> its index here: that of its first name, as soon as it has one"""
        self._exported: set[int] = set()

    def definition(self, holds: Interface) -> bytes:
        """In bytes. Raises ComposeError for a type that can't be written."""
        self._named = tuple(holds.types.values())
        for label, number in holds.types.items():
            self._export_type(label, number)
        for label, number in holds.functions.items():
            index = self._index(number)
            self._declarations.append(b"\4\0" + name(label) + b"\1" + leb128(index))
        return b"\x42" + items(self._declarations)

    def _export_type(self, label: str, number: int) -> None:
        own = self._resource(number)
        if own is not None and own == Resource(self._interface, label) and number not in self._indices:
            bound = b"\1"
        else:
            bound = b"\0" + leb128(self._index(number))
        index = self._declared(b"\4\0" + name(label) + _TYPE + bound)
        if number not in self._exported:
            # Of several names the first: a resource's functions are called after it.
            self._indices[number] = index
            self._exported.add(number)

    def _resource(self, number: int) -> Resource | None:
        node = self._types.nodes[number]
        return node.parts[0] if node.kind == "resource" else None

    def _declared(self, declaration: bytes) -> int:
        self._declarations.append(declaration)
        self._count += 1
        return self._count - 1

    def _index(self, number: int) -> int:
        found = self._indices.get(number)
        if found is not None:
            return found
        resource = self._resource(number)
        if resource is not None and resource.interface == self._interface:
            raise ComposeError(f"{self._interface} uses its resource {resource.name} before it has it")
        elsewhere = self._types.nodes[number].kind in _NAMED and number not in self._named
        if resource is not None or elsewhere:
            declaration = b"\2" + _TYPE + b"\2\1" + leb128(self._foreign(number))
        else:
            declaration = b"\1" + self._definition(number)
        index = self._indices[number] = self._declared(declaration)
        return index

    def _definition(self, number: int) -> bytes:
        kind, parts = self._types.nodes[number]
        if kind == "primitive":
            return bytes(parts)
        if kind in ("func", "async func"):
            names, inside, result = parts
            returns = b"\1\0" if result is None else b"\0" + self._value(result)
            return (b"\x40" if kind == "func" else b"\x43") + self._fields(names, inside) + returns
        if kind == "record":
            return b"\x72" + self._fields(*parts)
        if kind == "variant":
            return b"\x71" + items(name(label) + self._optional(one) + b"\0" for label, one in parts)
        if kind in ("own", "borrow"):
            return bytes((_VALUES[kind],)) + leb128(self._index(parts[0]))
        if kind in _VALUES:
            return bytes((_VALUES[kind],)) + self._value(parts[0])
        if kind == "tuple":
            return b"\x6f" + items(self._value(one) for one in parts)
        if kind in _LABELS:
            return bytes((_LABELS[kind],)) + items(name(label) for label in parts)
        if kind in _OPTIONALS:
            return bytes((_OPTIONALS[kind],)) + b"".join(self._optional(one) for one in parts)
        raise ComposeError(f"{self._interface} has a type of a kind that isn't known here")

    def _fields(self, names: tuple[str, ...], inside: tuple[int, ...]) -> bytes:
        return items(name(label) + self._value(one) for label, one in zip(names, inside, strict=True))

    def _optional(self, number: int | None) -> bytes:
        return b"\0" if number is None else b"\1" + self._value(number)

    def _value(self, number: int) -> bytes:
        node = self._types.nodes[number]
        return bytes(node.parts) if node.kind == "primitive" else _index_value(self._index(number))


def _index_value(index: int) -> bytes:
    """An index where a primitive type could stand: a signed number."""
    out = b""
    while index > 0x3F:
        out += bytes((index & 0x7F | 0x80,))
        index >>= 7
    return out + bytes((index,))

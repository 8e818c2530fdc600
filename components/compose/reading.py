"""A component as composition needs it: which interfaces it imports, with their types, and which it exports.

Belongs here: the index spaces of types and instances of one component, read from its sections. Never: whether
types fit (wasmtime judges), what comes after the last import but exports. Format: component model,
design/mvp/Binary.md.
"""

from __future__ import annotations

from typing import NamedTuple

from twinloop.components.binary.reader import Reader, SectionsError
from twinloop.components.binary.section_types import UnknownForm
from twinloop.components.binary.sections import COMPONENT_PREAMBLE
from twinloop.components.compose.types import ComposeError, Interface, Node, Resource, Types

_KINDS = ("module", "func", "value", "type", "component", "instance")
_INSTANCE, _TYPE = 5, 3
_PRIMITIVES = (*range(0x73, 0x80), 0x64)
_FUNCTIONS = (0x40, 0x43)
_SCOPES = (0x41, 0x42)


class Scope(NamedTuple):
    """An instance type where it stands in the bytes: what it holds depends on the name of the import."""

    at: int
    outer: tuple[list[int | Scope], ...]


class Part(NamedTuple):
    """One component. ``imports``: interface -> what it must hold, None when that can't be told."""

    name: str
    data: bytes
    imports: dict[str, Interface | None]
    exports: tuple[str, ...]
    """its instances"""


def read_part(name: str, data: bytes, types: Types) -> Part:
    """Read a component's bytes; raises ComposeError."""
    try:
        if data[:8] != COMPONENT_PREAMBLE:
            raise SectionsError("no component: its first eight bytes are others")
        return _PartReader(name, data, types).part()
    except (SectionsError, UnknownForm) as error:
        raise ComposeError(f"{name}: {error or 'a type of an unknown form'}") from error


class _PartReader:
    """One pass over a component."""

    def __init__(self, name: str, data: bytes, types: Types) -> None:
        self.name, self.types = name, types
        self.reader = Reader(data)
        self.scopes: list[list[int | Scope]] = [[]]
        """types by index, innermost scope last"""
        self.instances: list[Interface | None] = []
        self.imports: dict[str, Interface | None] = {}
        self.exports: list[str] = []
        self.lost = False
        """some type has an unknown form: what an index means isn't known any more"""

    def part(self) -> Part:
        reader = self.reader
        reader.at, end = 8, len(reader.data)
        while reader.at < end:
            kind, section_end = reader.section(end)
            self._section(kind, section_end)
            reader.at = section_end
        return Part(self.name, reader.data, self.imports, tuple(self.exports))

    def _section(self, kind: int, end: int) -> None:
        if kind in (6, 7) and not self.lost:
            try:
                for _ in range(self.reader.count(end)):
                    self._alias(end) if kind == 6 else self.scopes[-1].append(self._definition(end))
            except UnknownForm:
                self.lost = True
        elif kind == 5:
            self.instances += [None] * self.reader.count(end)
        elif kind == 10:
            for _ in range(self.reader.count(end)):
                self._import(end)
        elif kind == 11:
            for _ in range(self.reader.count(end)):
                self._export(end)

    def _import(self, end: int) -> None:
        name = self.reader.extern_name(end)
        kind, number = self._extern(end, "", name)
        if kind != "instance":
            raise ComposeError(f"{self.name} imports {name}, a {kind}: only interfaces can be composed")
        what = self._at(number) if not self.lost else None
        interface = self._interface(name, what) if isinstance(what, Scope) else None
        self.instances.append(interface)
        self.imports[name] = interface

    def _export(self, end: int) -> None:
        reader = self.reader
        name, sort = reader.extern_name(end), reader.byte(end)
        if sort >= len(_KINDS) or (sort == 0 and reader.byte(end) != 0x11):
            raise SectionsError(f"export {name!r} at byte {reader.at}: of an unknown kind")
        index = reader.number(end)
        if reader.byte(end):
            scopes, self.scopes = self.scopes, [[*self.scopes[-1]]]
            self._extern(end, "", name)
            self.scopes = scopes
        if sort == _TYPE:
            self.scopes[-1].append(self._at(index))
        elif sort == _INSTANCE:
            self.instances.append(self.instances[index] if index < len(self.instances) else None)
            self.exports.append(name)

    # ---- the index space of types ------------------------------------------------------------------
    def _at(self, index: int, outwards: int = 0) -> int | Scope:
        scope = self.scopes[-1 - outwards] if outwards < len(self.scopes) else []
        return scope[index] if index < len(scope) else self.types.unknown

    def _number(self, index: int) -> int:
        found = self._at(index)
        return found if isinstance(found, int) else self.types.unknown

    def _alias(self, end: int) -> None:
        reader = self.reader
        sort = reader.byte(end)
        if sort == 0:
            reader.byte(end)
        target = reader.byte(end)
        if target > 2:
            raise UnknownForm
        first = reader.number(end)
        found: int | Scope = self.types.unknown
        if target == 2:
            found = self._at(reader.number(end), first)
        else:
            name = reader.name(end)
            instance = self.instances[first] if target == 0 and first < len(self.instances) else None
            if instance is not None and len(self.scopes) == 1:
                found = instance.types.get(name, found)
        if sort == _TYPE:
            self.scopes[-1].append(found)
        elif sort == _INSTANCE and len(self.scopes) == 1:
            self.instances.append(None)

    def _extern(self, end: int, interface: str, name: str) -> tuple[str, int]:
        """Its kind, and the type's number (of a type), or its index (of others). A type takes an index."""
        reader = self.reader
        kind = reader.byte(end)
        if kind >= len(_KINDS) or (kind == 0 and reader.byte(end) != 0x11):
            raise SectionsError(f"byte {reader.at - 1}: an import or export of an unknown kind")
        if kind == 2:
            if reader.byte(end):
                return _KINDS[kind], self._value(end)
            return _KINDS[kind], reader.number(end)
        if kind != _TYPE:
            return _KINDS[kind], reader.number(end)
        bound = reader.byte(end)
        if bound > 1:
            raise SectionsError(f"byte {reader.at - 1}: a type with an unknown bound")
        number = (
            self._number(reader.number(end))
            if bound == 0
            else self.types.of(Node("resource", (Resource(interface, name),)))
        )
        self.scopes[-1].append(number)
        return "type", number

    # ---- definitions -------------------------------------------------------------------------------
    def _definition(self, end: int) -> int | Scope:
        reader = self.reader
        if len(self.scopes) > 100:
            raise SectionsError(f"byte {reader.at}: types are nested deeper than 100")
        form = reader.byte(end)
        if form in _SCOPES:
            here = Scope(reader.at, tuple(self.scopes))
            self._declarations(end, "", instance=form == 0x42)
            return here if form == 0x42 else self.types.unknown
        if form in _FUNCTIONS:
            return self._function(end, "async func" if form == 0x43 else "func")
        if form == 0x3F:  # a resource of its own, which no import can be of
            reader.byte(end)
            if reader.byte(end):
                reader.number(end)
            return self.types.unknown
        return self._value_definition(form, end)

    def _interface(self, name: str, scope: Scope) -> Interface:
        """The instance type with its resources as those of that import."""
        reader, back, scopes = self.reader, self.reader.at, self.scopes
        reader.at, self.scopes = scope.at, [*scope.outer]
        try:
            return self._declarations(len(reader.data), name, instance=True)
        finally:
            reader.at, self.scopes = back, scopes

    def _declarations(self, end: int, interface: str, instance: bool) -> Interface:
        reader = self.reader
        self.scopes.append([])
        types: dict[str, int] = {}
        functions: dict[str, int] = {}
        for _ in range(reader.count(end)):
            form = reader.byte(end)
            if form == 1:
                self.scopes[-1].append(self._definition(end))
            elif form == 2:
                self._alias(end)
            elif form == 4 or (form == 3 and not instance):
                name = reader.extern_name(end)
                kind, number = self._extern(end, interface, name)
                if kind == "func":
                    functions[name] = self._number(number)
                else:  # an instance or a module inside an interface is known to nobody here
                    types[name] = number if kind == "type" else self.types.unknown
            else:
                raise UnknownForm
        self.scopes.pop()
        return Interface(types, functions)

    def _function(self, end: int, kind: str) -> int:
        reader = self.reader
        names, inside = self._fields(end)
        results: list[int] = []
        if reader.byte(end) == 0:
            results = [self._value(end)]
        elif reader.count(end):
            raise UnknownForm  # several named results, as they once were
        node = Node(kind, (names, inside, results[0] if results else None))
        return self.types.of(node, *inside, *results)

    def _value_definition(self, form: int, end: int) -> int:
        reader, types = self.reader, self.types
        if form in _PRIMITIVES:
            return types.of(Node("primitive", (form,)))
        if form == 0x72:
            names, inside = self._fields(end)
            return types.of(Node("record", (names, inside)), *inside)
        if form == 0x71:
            cases = []
            for _ in range(reader.count(end)):
                cases.append((reader.name(end), self._optional(end)))
                if reader.byte(end):
                    reader.number(end)
            return types.of(Node("variant", tuple(cases)), *(one for _, one in cases if one is not None))
        if form in (0x70, 0x6B):
            inner = self._value(end)
            return types.of(Node("list" if form == 0x70 else "option", (inner,)), inner)
        if form == 0x6F:
            parts = tuple(self._value(end) for _ in range(reader.count(end)))
            return types.of(Node("tuple", parts), *parts)
        if form in (0x6E, 0x6D):
            labels = tuple(reader.name(end) for _ in range(reader.count(end)))
            return types.of(Node("flags" if form == 0x6E else "enum", labels))
        if form == 0x6A:
            sides = self._optional(end), self._optional(end)
            return types.of(Node("result", sides), *(side for side in sides if side is not None))
        if form in (0x69, 0x68):
            of = self._number(reader.number(end))
            return types.of(Node("own" if form == 0x69 else "borrow", (of,)), of)
        if form in (0x66, 0x65):
            element = self._optional(end)
            inside = () if element is None else (element,)
            return types.of(Node("stream" if form == 0x66 else "future", (element,)), *inside)
        raise UnknownForm

    def _fields(self, end: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
        pairs = [(self.reader.name(end), self._value(end)) for _ in range(self.reader.count(end))]
        return tuple(name for name, _ in pairs), tuple(number for _, number in pairs)

    def _optional(self, end: int) -> int | None:
        return self._value(end) if self.reader.byte(end) else None

    def _value(self, end: int) -> int:
        """A primitive type, or the index of a type."""
        reader = self.reader
        first = reader.byte(end)
        if first in _PRIMITIVES:
            return self.types.of(Node("primitive", (first,)))
        if 0x40 <= first < 0x80:
            raise UnknownForm
        reader.at -= 1
        return self._number(reader.number(end, 33))

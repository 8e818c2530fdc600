"""A component's type definitions, read for one question: which functions and resources does an imported
instance hold?

Belongs here: the forms of types in the binary format, and the index space of a component's types. Never:
whether types fit: wasmtime judges. A form that isn't known raises UnknownForm, after which no type by index
is known any more; names of imports still are. Format: component model, design/mvp/Binary.md.
"""

from __future__ import annotations

from typing import NamedTuple

from twinloop.components.binary.reader import Reader, SectionsError

DEPTH_MAX = 100
"""types inside types"""
_EXTERNS = ("module", "func", "value", "type", "component", "instance")
_PRIMITIVES = (*range(0x73, 0x80), 0x64)
_STREAMS = (0x65, 0x66)
_TYPE = 3


class UnknownForm(Exception):
    """A definition of a kind that this reader doesn't know: it can't be skipped either."""


class Shape(NamedTuple):
    """What is known of a type: is it a resource, an instance, and which functions and resources that one
    holds. An instance whose exports are types of elsewhere may hold more resources than named."""

    resource: bool = False
    instance: bool = False
    functions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()


UNKNOWN = Shape()


class TypeReader:
    """The index space of types of one component, filled as its sections are read."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.space: list[Shape] = []
        self.lost = False
        """some definition couldn't be read: indices mean nothing any more"""
        self.has_async = self.has_streams = False

    def at(self, index: int) -> Shape:
        """The type of that index; UNKNOWN for one that isn't there."""
        return self.space[index] if index < len(self.space) and not self.lost else UNKNOWN

    def add(self, shape: Shape) -> None:
        """A definition that takes the next index."""
        self.space.append(shape)

    def section(self, end: int) -> None:
        """A section of types."""
        for _ in range(self.reader.count(end)):
            self.add(self._definition(end, 0))

    def alias(self, end: int) -> Shape | None:
        """An alias; it takes an index when it is one of a type."""
        sort, index = self._alias(end)
        if sort != _TYPE:
            return None
        shape = UNKNOWN if index is None else self.at(index)
        self.add(shape)
        return shape

    def _alias(self, end: int) -> tuple[int, int | None]:
        """(sort, index when it is one of this very scope)."""
        reader = self.reader
        sort = reader.byte(end)
        if sort == 0:
            reader.byte(end)
        target = reader.byte(end)
        if target > 2:
            raise UnknownForm
        first = reader.number(end)
        if target < 2:
            reader.name(end)
            return sort, None
        second = reader.number(end)
        return sort, second if first == 0 else None

    def extern(self, end: int, adds: bool = True, depth: int = 0) -> tuple[str, Shape]:
        """The type of an import or export: its kind, and what is known of it; a type takes an index if
        ``adds``."""
        reader = self.reader
        kind = reader.byte(end)
        if kind >= len(_EXTERNS) or (kind == 0 and reader.byte(end) != 0x11):
            raise SectionsError(f"byte {reader.at - 1}: an import or export of an unknown kind")
        shape = UNKNOWN
        if kind == 2:
            if reader.byte(end):
                self._value(end)
            else:
                reader.number(end)
        elif kind == _TYPE:
            bound = reader.byte(end)
            if bound > 1:
                raise SectionsError(f"byte {reader.at - 1}: a type with an unknown bound")
            shape = self.at(reader.number(end)) if bound == 0 else Shape(resource=True)
            if adds:
                self.add(shape)
        else:
            shape = self.at(reader.number(end))
        return _EXTERNS[kind], shape

    # ---- definitions -------------------------------------------------------------------------------
    def _definition(self, end: int, depth: int) -> Shape:
        reader = self.reader
        if depth > DEPTH_MAX:
            raise SectionsError(f"byte {reader.at}: types are nested deeper than {DEPTH_MAX}")
        form = reader.byte(end)
        if form in (0x41, 0x42):
            return self._scope(end, depth, instance=form == 0x42)
        if form in (0x40, 0x43):
            self.has_async = self.has_async or form == 0x43
            self._fields(end)
            self.results(end)
        elif form == 0x3F:
            self._core_value(end)
            if reader.byte(end):
                reader.number(end)
            return Shape(resource=True)
        else:
            self._value_definition(form, end)
        return UNKNOWN

    def _scope(self, end: int, depth: int, instance: bool) -> Shape:
        """An instance or component type, with an index space of its own."""
        outer, self.space = self.space, []
        lost, self.lost = self.lost, False
        functions, resources = [], []
        reader = self.reader
        try:
            for _ in range(reader.count(end)):
                form = reader.byte(end)
                if form == 0:
                    self._core_definition(end)
                elif form == 1:
                    self.add(self._definition(end, depth + 1))
                elif form == 2:
                    self.alias(end)
                elif form == 4 or (form == 3 and not instance):
                    name = reader.extern_name(end)
                    kind, shape = self.extern(end)
                    if kind == "func":
                        functions.append(name)
                    elif shape.resource:
                        resources.append(name)
                else:
                    raise UnknownForm
        finally:
            self.space, self.lost = outer, lost
        if not instance:
            return UNKNOWN
        return Shape(instance=True, functions=tuple(functions), resources=tuple(resources))

    def _value_definition(self, form: int, end: int) -> None:
        reader = self.reader
        if form in _PRIMITIVES:
            return
        if form == 0x72:
            self._fields(end)
        elif form == 0x71:
            for _ in range(reader.count(end)):
                reader.name(end)
                self._optional(end)
                if reader.byte(end):
                    reader.number(end)
        elif form in (0x70, 0x6B):
            self._value(end)
        elif form == 0x6F:
            for _ in range(reader.count(end)):
                self._value(end)
        elif form in (0x6E, 0x6D):
            for _ in range(reader.count(end)):
                reader.name(end)
        elif form == 0x6A:
            self._optional(end)
            self._optional(end)
        elif form in (0x69, 0x68):
            reader.number(end)
        elif form in _STREAMS:
            self.has_streams = True
            self._optional(end)
        elif form == 0x67:
            self._value(end)
            reader.number(end)
        elif form == 0x63:
            self._value(end)
            self._value(end)
        else:
            raise UnknownForm

    def results(self, end: int) -> None:
        """What a function returns."""
        if self.reader.byte(end) == 0:
            self._value(end)
        else:
            self._fields(end)

    def _fields(self, end: int) -> None:
        for _ in range(self.reader.count(end)):
            self.reader.name(end)
            self._value(end)

    def _optional(self, end: int) -> None:
        if self.reader.byte(end):
            self._value(end)

    def _value(self, end: int) -> None:
        """A primitive type, or the index of a type."""
        reader = self.reader
        first = reader.byte(end)
        if first in _PRIMITIVES:
            return
        if 0x40 <= first < 0x80:
            raise UnknownForm
        for _ in range(4):
            if first < 0x80:
                return
            first = reader.byte(end)
        if first >= 0x80:
            raise SectionsError(f"byte {reader.at - 1}: the index of a type has more than 33 bits")

    # ---- core types, inside the types of modules ----------------------------------------------------
    def _core_definition(self, end: int) -> None:
        reader = self.reader
        form = reader.byte(end)
        if form == 0x60:
            for _ in range(2):
                for _ in range(reader.count(end)):
                    self._core_value(end)
        else:
            raise UnknownForm

    def _core_value(self, end: int) -> None:
        if self.reader.byte(end) not in (0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x70, 0x6F):
            raise UnknownForm

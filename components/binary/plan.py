"""How a component is put together of core modules, for who instantiates these himself.

Belongs here: the graph of core instances, and which core function is behind each export and each import, read
from the bytes. Never: types of values (wasmtime knows them), anything that runs. Only for components of plain
functions: one with a resource, a part that is async, or components inside that hold code, has no plan, and
wasmtime instantiates it. The bytes are taken for valid: wasmtime has compiled them. Format: component
model, design/mvp/Binary.md.
"""

from __future__ import annotations

from typing import NamedTuple

from twinloop.components.binary.reader import Reader, SectionsError
from twinloop.components.binary.sections import COMPONENT_PREAMBLE, MODULE_PREAMBLE

MODULES_MAX, IMPORTS_MAX = 8, 64
"""of a component, of a module: what the compiled part has room for"""
_FUNC, _TYPE, _INSTANCE = 0x01, 0x03, 0x05
_CORE_FUNC, _CORE_TABLE, _CORE_MEMORY, _CORE_GLOBAL, _CORE_MODULE = 0, 1, 2, 3, 0x11
_UTF8, _MEMORY, _REALLOC, _AFTER = 0, 3, 4, 5
"""options of canonical functions"""


class NoPlan(Exception):
    """It is put together in a way that this reader leaves to wasmtime."""


class Place(NamedTuple):
    """An export of a core instance, which is the ``instance``-th module that is instantiated."""

    instance: int
    name: str


class HostFunction(NamedTuple):
    """A function of an interface that the component imports, as core modules see it."""

    interface: str
    name: str


Source = Place | HostFunction


class Step(NamedTuple):
    """A core module is instantiated. ``wanted``: (module, field) of an import -> where it comes from.
    ``starts``: it has a start function."""

    module: int
    wanted: dict[tuple[str, str], Source]
    starts: bool


class Lifted(NamedTuple):
    """A function that the component exports: the core function, and what is called after it."""

    core: Place
    after: Place | None


class Plan(NamedTuple):
    """Of a whole component. ``modules``: their bytes. ``exports``: interface -> function -> what is behind;
    functions that are exported in no interface are of ""."""

    modules: tuple[bytes, ...]
    steps: tuple[Step, ...]
    exports: dict[str, dict[str, Lifted]]
    memory: Place | None
    realloc: Place | None


def plan_of(data: bytes) -> Plan | None:
    """Of a component's bytes; None for one that is left to wasmtime."""
    try:
        return _Walk(data).plan()
    except (NoPlan, SectionsError, IndexError, KeyError):
        return None


class _Lift(NamedTuple):
    core: Source
    options: dict[int, int]


class _Nested(NamedTuple):
    """A component inside that only renames: its imports' names in order, and its exports by index."""

    imports: list[str]
    exports: dict[str, int]


class _Walk:
    """One pass over a component; each attribute is an index space."""

    def __init__(self, data: bytes) -> None:
        self.reader = Reader(data)
        self.modules: list[bytes] = []
        self.instances: list[int | dict[str, tuple[int, int]]] = []
        """core instances: the number of its step, or a bag of named (sort, index)"""
        self.steps: list[Step] = []
        self.core: dict[int, list[Source]] = {sort: [] for sort in range(4)}
        self.functions: list[_Lift | HostFunction] = []
        self.interfaces: list[str | dict[str, int]] = []
        """component instances: the full name of an imported one, or functions by name"""
        self.components: list[_Nested] = []
        self.exports: dict[str, dict[str, int]] = {}
        self.options: list[dict[int, int]] = []

    def plan(self) -> Plan:
        reader, end = self.reader, len(self.reader.data)
        reader.preamble(COMPONENT_PREAMBLE, end)
        reads = {
            1: self._module, 2: self._core_instances, 4: self._component, 5: self._instances,
            6: self._aliases, 8: self._canons, 10: self._imports, 11: self._exports,
        }  # fmt: skip
        while reader.at < end:
            kind, section_end = reader.section(end)
            if kind in reads:
                reads[kind](section_end)
            elif kind not in (0, 3, 7):  # names, types
                raise NoPlan
            reader.at = section_end
        if any(step.starts for step in self.steps[:-1]):
            raise NoPlan
        lifted = {
            interface: {name: self._lifted(index) for name, index in functions.items()}
            for interface, functions in self.exports.items()
        }
        memory, realloc = self._only(_CORE_MEMORY, _MEMORY), self._only(_CORE_FUNC, _REALLOC)
        return Plan(tuple(self.modules), tuple(self.steps), lifted, memory, realloc)

    def _only(self, sort: int, option: int) -> Place | None:
        """What every canonical function that has this option has there; several are left to wasmtime."""
        places = {self._place(sort, found[option]) for found in self.options if option in found}
        if len(places) > 1:
            raise NoPlan
        return places.pop() if places else None

    def _place(self, sort: int, index: int) -> Place:
        found = self.core[sort][index]
        if not isinstance(found, Place):
            raise NoPlan
        return found

    def _lifted(self, index: int) -> Lifted:
        function = self.functions[index]
        if not isinstance(function, _Lift) or not isinstance(function.core, Place):
            raise NoPlan
        after = function.options.get(_AFTER)
        return Lifted(function.core, None if after is None else self._place(_CORE_FUNC, after))

    # ---- core ------------------------------------------------------------------------------------
    def _module(self, end: int) -> None:
        if len(self.modules) == MODULES_MAX:
            raise NoPlan
        self.modules.append(self.reader.data[self.reader.at : end])

    def _core_instances(self, end: int) -> None:
        reader = self.reader
        for _ in range(reader.count(end)):
            if reader.byte(end) == 0:
                self._instantiated(reader.number(end), end)
            else:
                bag = {}
                for _ in range(reader.count(end)):
                    name = reader.name(end)
                    bag[name] = reader.byte(end), reader.number(end)
                self.instances.append(bag)

    def _instantiated(self, module: int, end: int) -> None:
        reader = self.reader
        arguments: dict[str, int | dict[str, tuple[int, int]]] = {}
        for _ in range(reader.count(end)):
            name = reader.name(end)
            if reader.byte(end) != 0x12:
                raise NoPlan
            arguments[name] = self.instances[reader.number(end)]
        if len(self.steps) == MODULES_MAX:
            raise NoPlan
        imported, starts = _imported(self.modules[module])
        wanted: dict[tuple[str, str], Source] = {}
        if len(imported) > IMPORTS_MAX or len(set(imported)) != len(imported):
            raise NoPlan
        for of, field in imported:
            found = arguments[of]
            if isinstance(found, int):
                wanted[of, field] = Place(found, field)
            else:
                sort, index = found[field]
                wanted[of, field] = self.core[sort][index]
        self.instances.append(len(self.steps))
        self.steps.append(Step(module, wanted, starts))

    def _canons(self, end: int) -> None:
        reader = self.reader
        for _ in range(reader.count(end)):
            kind = reader.byte(end)
            if kind > 1 or reader.byte(end) != 0:
                raise NoPlan  # resources, async
            index = reader.number(end)
            options = self._options(end)
            self.options.append(options)
            if kind == 0:
                self.functions.append(_Lift(self.core[_CORE_FUNC][index], options))
                reader.number(end)  # its type
            else:
                function = self.functions[index]
                if not isinstance(function, HostFunction):
                    raise NoPlan
                self.core[_CORE_FUNC].append(function)

    def _options(self, end: int) -> dict[int, int]:
        reader, options = self.reader, {}
        for _ in range(reader.count(end)):
            option = reader.byte(end)
            if option not in (_UTF8, _MEMORY, _REALLOC, _AFTER):
                raise NoPlan
            options[option] = reader.number(end) if option != _UTF8 else 0
        return options

    # ---- the component's own ---------------------------------------------------------------------
    def _component(self, end: int) -> None:
        self.components.append(_nested(self.reader, end))

    def _instances(self, end: int) -> None:
        reader = self.reader
        for _ in range(reader.count(end)):
            made: dict[str, int] = {}
            if reader.byte(end) == 0:
                nested, arguments = self.components[reader.number(end)], {}
                for _ in range(reader.count(end)):
                    name, sort, index = reader.name(end), reader.byte(end), reader.number(end)
                    if sort == _FUNC:
                        arguments[name] = index
                    elif sort != _TYPE:
                        raise NoPlan
                made = {name: arguments[nested.imports[index]] for name, index in nested.exports.items()}
            else:
                for _ in range(reader.count(end)):
                    name, sort, index = reader.extern_name(end), reader.byte(end), reader.number(end)
                    if sort == _FUNC:
                        made[name] = index
                    elif sort != _TYPE:
                        raise NoPlan
            self.interfaces.append(made)

    def _aliases(self, end: int) -> None:
        reader = self.reader
        for _ in range(reader.count(end)):
            sort = reader.byte(end)
            core = reader.byte(end) if sort == 0 else None
            target = reader.byte(end)
            if target == 2:  # of an outer scope: a type
                reader.number(end)
                reader.number(end)
                if sort != _TYPE:
                    raise NoPlan
                continue
            instance, name = reader.number(end), reader.name(end)
            if core is not None:
                self._core_alias(core, instance, name)
            elif sort == _FUNC:
                found = self.interfaces[instance]
                if isinstance(found, str):
                    self.functions.append(HostFunction(found, name))
                else:
                    self.functions.append(self.functions[found[name]])
            elif sort != _TYPE:
                raise NoPlan

    def _core_alias(self, sort: int, instance: int, name: str) -> None:
        found = self.instances[instance]
        if isinstance(found, int):
            self.core[sort].append(Place(found, name))
        else:
            of, index = found[name]
            if of != sort:
                raise NoPlan
            self.core[sort].append(self.core[sort][index])

    def _imports(self, end: int) -> None:
        reader = self.reader
        for _ in range(reader.count(end)):
            name = reader.extern_name(end)
            sort = reader.byte(end)
            if sort == _INSTANCE:
                reader.number(end)
                self.interfaces.append(name)
            elif sort == _TYPE:
                _skip_bound(reader, end)
            else:
                raise NoPlan

    def _exports(self, end: int) -> None:
        reader = self.reader
        for _ in range(reader.count(end)):
            name, sort, index = reader.extern_name(end), reader.byte(end), reader.number(end)
            if reader.byte(end):
                raise NoPlan  # with a type of its own
            if sort == _INSTANCE:
                found = self.interfaces[index]
                self.interfaces.append(found)
                if isinstance(found, dict):
                    self.exports[name] = found
            elif sort == _FUNC:
                self.exports.setdefault("", {})[name] = index
                self.functions.append(self.functions[index])
            elif sort != _TYPE:
                raise NoPlan


def _skip_bound(reader: Reader, end: int) -> None:
    """What an imported type must be: equal to another one; a resource is left to wasmtime."""
    if reader.byte(end) != 0:
        raise NoPlan
    reader.number(end)


def _nested(reader: Reader, end: int) -> _Nested:
    """A component inside, which may hold types, imports and exports, and nothing else."""
    reader.preamble(COMPONENT_PREAMBLE, end)
    imports: list[str] = []
    exports: dict[str, int] = {}
    functions = 0
    by_index: list[int] = []
    """a function's index in there -> which import it is"""
    while reader.at < end:
        kind, section_end = reader.section(end)
        if kind == 10:
            for _ in range(reader.count(section_end)):
                name, sort = reader.extern_name(section_end), reader.byte(section_end)
                if sort == _FUNC:
                    reader.number(section_end)
                    imports.append(name)
                    by_index.append(functions)
                    functions += 1
                elif sort == _TYPE:
                    _skip_bound(reader, section_end)
                else:
                    raise NoPlan
        elif kind == 11:
            for _ in range(reader.count(section_end)):
                name, sort = reader.extern_name(section_end), reader.byte(section_end)
                index = reader.number(section_end)
                if reader.byte(section_end):
                    _skip_type(reader, section_end)
                if sort == _FUNC:
                    exports[name] = by_index[index]
                    by_index.append(by_index[index])
                elif sort != _TYPE:
                    raise NoPlan
        elif kind not in (0, 3, 6, 7):
            raise NoPlan
        reader.at = section_end
    return _Nested(imports, exports)


def _skip_type(reader: Reader, end: int) -> None:
    """The type that an export says it has: a function's by its index, or a type's bound."""
    sort = reader.byte(end)
    if sort == _TYPE:
        _skip_bound(reader, end)
    elif sort == _FUNC:
        reader.number(end)
    else:
        raise NoPlan


def _imported(module: bytes) -> tuple[list[tuple[str, str]], bool]:
    """(module, field) of a core module's imports in order, and whether it has a start function."""
    reader, end = Reader(module), len(module)
    reader.preamble(MODULE_PREAMBLE, end)
    imports: list[tuple[str, str]] = []
    starts = False
    while reader.at < end:
        kind, section_end = reader.section(end)
        if kind == 2:
            for _ in range(reader.count(section_end)):
                imports.append((reader.name(section_end), reader.name(section_end)))
                _skip_import(reader, section_end)
        starts = starts or kind == 8
        reader.at = section_end
    return imports, starts


def _skip_import(reader: Reader, end: int) -> None:
    sort = reader.byte(end)
    if sort == _CORE_FUNC:
        reader.number(end)
    elif sort == _CORE_GLOBAL:
        if reader.byte(end) in (0x63, 0x64):
            raise NoPlan
        reader.byte(end)
    elif sort in (_CORE_TABLE, _CORE_MEMORY):
        if sort == _CORE_TABLE and reader.byte(end) in (0x63, 0x64, 0x40):
            raise NoPlan
        flags = reader.byte(end)
        if flags > 1:
            raise NoPlan
        for _ in range(1 + flags):
            reader.number(end)
    else:
        raise NoPlan

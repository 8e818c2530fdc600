"""What a component's bytes say before anything is compiled: imports, exports, producers, memories, names.

Belongs here: reading the binary format, in one pass whose cost grows with the number of definitions and never
with their product. Never: validation (wasmtime judges), policy (what may be imported), component text. Binary
format: component model, design/mvp/Binary.md; core modules: WebAssembly core specification 3.0, section 5.5;
producers: the tool conventions' ProducersSection.md.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from twinloop.components.binary.reader import Reader, SectionsError
from twinloop.components.binary.section_types import UNKNOWN, TypeReader, UnknownForm

COMPONENT_PREAMBLE = b"\0asm\x0d\x00\x01\x00"
MODULE_PREAMBLE = b"\0asm\x01\x00\x00\x00"
DEPTH_MAX = 100
"""components inside components"""
_MODULE_ITEMS = 50
"""what a module counts for among the definitions that a component may have"""
_CORE_SECTION_LAST = 13
_KINDS = ("module", "func", "value", "type", "component", "instance")
_TYPE = 3
_ASYNC_OPTIONS = (6, 7)
_STREAM_BUILTINS = range(0x0E, 0x1C)
_PLAIN_CANON = (0, 1, 2, 3, 4)
"""lift, lower, resource.new, resource.drop, resource.rep: the others are all of async"""


class Extern(NamedTuple):
    """One top-level import or export: ``kind`` is module, func, value, type, component or instance.

    ``functions`` and ``resources``: names that an imported instance must hold; None when its type can't be
    told (and for exports, whose types may be inferred).
    """

    name: str
    kind: str
    functions: tuple[str, ...] | None = None
    resources: tuple[str, ...] | None = None


class Memory(NamedTuple):
    """A linear memory that a core module defines; pages of ``page_bytes``, ``max_pages`` None for no
    limit."""

    min_pages: int
    max_pages: int | None
    shared: bool = False
    wide: bool = False
    """64-bit addresses"""
    page_bytes: int = 1 << 16


class CoreModule(NamedTuple):
    """A core module, wherever it lies. ``name`` and ``named_functions`` are of its ``name`` section: empty
    and 0 when that was stripped."""

    size_bytes: int
    memories: tuple[Memory, ...]
    name: str
    named_functions: int


class Contents(NamedTuple):
    """A component as its bytes describe it; modules and components in the order in which they end."""

    imports: tuple[Extern, ...]
    exports: tuple[Extern, ...]
    producers: dict[str, tuple[tuple[str, str], ...]]
    """field (language, processed-by, sdk) -> (name, version), each once, of the component and all inside"""
    modules: tuple[CoreModule, ...]
    components: int
    """how many are nested inside, however deep"""
    uses_async: bool
    """async functions, options or built-ins; best effort"""
    uses_streams: bool
    """streams or futures; best effort"""

    @property
    def memories(self) -> tuple[Memory, ...]:
        """Of all its core modules."""
        return tuple(memory for module in self.modules for memory in module.memories)


def read_sections(data: bytes) -> Contents:
    """Describe a component's bytes; raises SectionsError (a ValueError) for what is truncated, garbage or no
    component. Nothing is compiled, and nothing validated."""
    if data[:8] != COMPONENT_PREAMBLE:
        raise SectionsError("no component: its first eight bytes are others")
    return _Walk(data).contents()


class _Walk:
    """One pass over a component, with the sections of whatever is nested in it."""

    def __init__(self, data: bytes) -> None:
        self.reader = Reader(data)
        self.imports: list[Extern] = []
        self.exports: list[Extern] = []
        self.producers: dict[str, dict[tuple[str, str], None]] = {}
        self.modules: list[CoreModule] = []
        self.components = 0
        self.builtins_async = self.builtins_streams = False
        self.types = TypeReader(self.reader)

    def contents(self) -> Contents:
        end = len(self.reader.data)
        ends = [end]
        """of the components that are open here, outermost first"""
        self.reader.at = 8
        while ends:
            if self.reader.at == ends[-1]:
                ends.pop()
                continue
            kind, section_end = self.reader.section(ends[-1])
            if kind == 4:
                if len(ends) > DEPTH_MAX:
                    raise SectionsError(f"components are nested deeper than {DEPTH_MAX}")
                self.reader.preamble(COMPONENT_PREAMBLE, section_end)
                self.components += 1
                ends.append(section_end)
            else:
                try:
                    self._section(kind, section_end, top=len(ends) == 1)
                except UnknownForm:
                    raise SectionsError(f"byte {self.reader.at}: a type of an unknown form") from None
                self.reader.at = section_end
        types = self.types
        return Contents(
            tuple(self.imports),
            tuple(self.exports),
            {field: tuple(values) for field, values in self.producers.items()},
            tuple(self.modules),
            self.components,
            self.builtins_async or types.has_async or types.has_streams,
            self.builtins_streams or types.has_streams,
        )

    def _section(self, kind: int, end: int, top: bool) -> None:
        if kind == 0:
            self._custom(end)
        elif kind == 1:
            self._module(end)
        elif kind == 8:
            self._canons(end)
        elif kind == 7:
            self._types(end, top)
        elif top and kind == 6:
            self._aliases(end)
        elif top and kind == 10:
            self._imports(end)
        elif top and kind == 11:
            self._exports(end)
        elif kind > 12:
            raise SectionsError(f"section {kind} at byte {self.reader.at}: no component has such a section")

    # ---- the component's own sections -----------------------------------------------------------
    def _custom(self, end: int) -> str:
        name = self.reader.name(end)
        if name == "producers":
            self._producers(end)
        return name

    def _producers(self, end: int) -> None:
        """No component is refused for what it says of its makers: what can't be read is left out."""
        reader = self.reader
        with contextlib.suppress(SectionsError):
            for _ in range(reader.count(end)):
                field = self.producers.setdefault(reader.name(end), {})
                for _ in range(reader.count(end)):
                    field[reader.name(end), reader.name(end)] = None

    def _types(self, end: int, top: bool) -> None:
        spare = self.types.space
        if not top:  # an index space of its own, which nobody asks for
            self.types.space = [UNKNOWN]
        try:
            self.types.section(end)
        except UnknownForm:
            self.types.lost = self.types.lost or top
        if not top:
            self.types.space = spare

    def _aliases(self, end: int) -> None:
        try:
            for _ in range(self.reader.count(end)):
                self.types.alias(end)
        except UnknownForm:
            self.types.lost = True

    def _imports(self, end: int) -> None:
        for _ in range(self.reader.count(end)):
            name = self.reader.extern_name(end)
            kind, shape = self.types.extern(end)
            held = kind == "instance" and shape.instance
            self.imports.append(
                Extern(name, kind, *((shape.functions, shape.resources) if held else (None, None)))
            )

    def _exports(self, end: int) -> None:
        reader = self.reader
        for _ in range(reader.count(end)):
            name = reader.extern_name(end)
            sort = reader.byte(end)
            if sort >= len(_KINDS) or (sort == 0 and reader.byte(end) != 0x11):
                raise SectionsError(f"export {name!r} at byte {reader.at}: of an unknown kind")
            index = reader.number(end)
            if reader.byte(end):
                self.types.extern(end, adds=False)
            if sort == _TYPE:
                self.types.add(self.types.at(index))
            self.exports.append(Extern(name, _KINDS[sort]))

    def _canons(self, end: int) -> None:
        """Best effort: it ends at the first thing that can't be async and isn't known."""
        reader = self.reader
        for _ in range(reader.count(end)):
            kind = reader.byte(end)
            if kind not in _PLAIN_CANON:
                self.builtins_async = True
                self.builtins_streams = self.builtins_streams or kind in _STREAM_BUILTINS
                if kind in _STREAM_BUILTINS:
                    return  # there is nothing more to learn
                if not self._builtin(kind, end):
                    return
                continue
            if kind < 2:
                reader.byte(end)
            reader.number(end)
            if kind < 2 and not self._options(end):
                return
            if kind == 0:
                reader.number(end)

    def _builtin(self, kind: int, end: int) -> bool:
        """Skip a built-in of async; False when its form isn't known."""
        reader = self.reader
        if kind in (0x05, 0x0D, 0x1F, 0x22, 0x23, 0x24, 0x25, 0x1E):
            return True
        if kind in (0x06, 0x08, 0x0C):
            reader.byte(end)
            return True
        if kind in (0x0A, 0x0B, 0x20, 0x21):
            reader.byte(end)
            reader.number(end)
            return True
        if kind == 0x09:
            with contextlib.suppress(UnknownForm):
                self.types.results(end)
                return self._options(end)
        return False

    def _options(self, end: int) -> bool:
        reader = self.reader
        for _ in range(reader.count(end)):
            option = reader.byte(end)
            if option in _ASYNC_OPTIONS:
                self.builtins_async = True
            if option > 7:
                return False
            if option not in (0, 1, 2, 6):
                reader.number(end)
        return True

    # ---- core modules -----------------------------------------------------------------------------
    def _module(self, end: int) -> None:
        reader, begin = self.reader, self.reader.at
        reader.spend(_MODULE_ITEMS)
        reader.preamble(MODULE_PREAMBLE, end)
        memories: list[Memory] = []
        name, named = "", 0
        while reader.at < end:
            kind, section_end = reader.section(end)
            if kind == 0 and self._custom(section_end) == "name":
                name, named = self._names(section_end)
            elif kind == 5:
                memories += [self._memory(section_end) for _ in range(reader.count(section_end))]
            elif kind > _CORE_SECTION_LAST:
                raise SectionsError(f"section {kind} at byte {reader.at}: no core module has such a section")
            reader.at = section_end
        self.modules.append(CoreModule(end - begin, tuple(memories), name, named))

    def _memory(self, end: int) -> Memory:
        reader = self.reader
        flags = reader.byte(end)
        if flags > 15:
            raise SectionsError(f"byte {reader.at - 1}: a memory with unknown flags {flags:#x}")
        bits = 64 if flags & 4 else 32
        least = reader.number(end, bits)
        most = reader.number(end, bits) if flags & 1 else None
        exponent = reader.number(end) if flags & 8 else 16
        if exponent > 16:
            raise SectionsError(f"byte {reader.at - 1}: a memory with pages of 2^{exponent} bytes")
        return Memory(least, most, bool(flags & 2), bool(flags & 4), 1 << exponent)

    def _names(self, end: int) -> tuple[str, int]:
        """A module's name and how many functions it names. A name section needn't be valid: what can't be
        read is left out."""
        reader = self.reader
        name, named = "", 0
        try:
            while reader.at < end:
                kind, part_end = reader.section(end)
                if kind == 0:
                    name = reader.name(part_end)
                elif kind == 1:
                    named = reader.number(part_end)
                reader.at = part_end
        except SectionsError:
            return name, named
        return name, named

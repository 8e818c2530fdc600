"""One component out of several: the imports of each are satisfied by what another one exports.

Belongs here: who gives what to whom, and the outer component, which holds the given ones as they are. Never:
whether types fit: wasmtime judges the whole when it compiles it. Nothing is needed but the bytes; equal parts
give equal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from twinloop.components.binary.sections import COMPONENT_PREAMBLE
from twinloop.components.compose.reading import Part, read_part
from twinloop.components.compose.types import ComposeError, Interface, Types
from twinloop.components.compose.writing import (
    ALIASES,
    COMPONENT,
    CUSTOM,
    EXPORTS,
    IMPORTS,
    INSTANCES,
    TYPES,
    InstanceType,
    exported,
    imported,
    instantiated,
    items,
    name,
    of_instance,
    section,
)
from twinloop.components.contract.options import SECTION, options_payload

PARTS_MAX = 8
_NAME = re.compile(r"([^@]+)@(\d+)\.(\d+)\.(\d+)")


def composed(parts: Sequence[tuple[str, bytes]], given: Mapping[str, str] | None = None) -> bytes:
    """One component out of several, each a name (for messages) and its bytes.

    The first has the role: its interfaces are those of the whole. An interface that any of them imports comes
    from the other one that exports it, under the same name or a compatible version; what nobody exports stays
    an import of the whole. ``given``: interface that one imports -> the interface of another name that is
    given for it. Raises ComposeError.
    """
    if not 1 < len(parts) <= PARTS_MAX:
        raise ComposeError(f"expected 2 to {PARTS_MAX} components, got {len(parts)}")
    types = Types()
    read = [read_part(label, data, types) for label, data in parts]
    wiring = [_wired(read, index, given or {}) for index in range(len(read))]
    order = _order(read, wiring)
    return _Outer(types, read, wiring).component(order)


def _wired(parts: list[Part], index: int, given: Mapping[str, str]) -> dict[str, tuple[int, str]]:
    """Import of one part -> (the part that satisfies it, that one's export)."""
    wired = {}
    for wanted in parts[index].imports:
        exact = given.get(wanted, wanted)
        found = [
            (other, exact) for other, part in enumerate(parts) if other != index and exact in part.exports
        ] or [
            (other, export)
            for other, part in enumerate(parts)
            for export in part.exports
            if other != index and _compatible(exact, export)
        ]
        if len(found) > 1:
            both = " and ".join(f"{parts[other].name} ({export})" for other, export in found[:2])
            raise ComposeError(
                f"{parts[index].name} imports {wanted}, which {both} export: it must be one of them"
            )
        if found:
            wired[wanted] = found[0]
    return wired


def _compatible(wanted: str, offered: str) -> bool:
    """Two versions of one interface, equal in the first number that isn't 0."""
    one, other = _NAME.fullmatch(wanted), _NAME.fullmatch(offered)
    if one is None or other is None:
        return False
    kept = 2 if one[2] != "0" else 3 if one[3] != "0" else 4
    return one.groups()[:kept] == other.groups()[:kept]


def _order(parts: list[Part], wiring: list[dict[str, tuple[int, str]]]) -> list[int]:
    """The parts so that each comes after those that it needs; raises ComposeError for a cycle and for a part
    that nobody needs."""
    done: list[int] = []
    path: list[int] = []

    def visit(index: int) -> None:
        if index in done:
            return
        if index in path:
            cycle = [*path[path.index(index) :], index]
            names = " needs ".join(parts[one].name for one in cycle)
            raise ComposeError(f"they need each other: {names}")
        path.append(index)
        for other, _ in wiring[index].values():
            visit(other)
        done.append(path.pop())

    visit(0)
    for index, part in enumerate(parts):
        if index not in done:
            raise ComposeError(_unused(parts, done, part))
    return done


def _unused(parts: list[Part], used: list[int], part: Part) -> str:
    exports = ", ".join(part.exports) or "no interface"
    text = f"{part.name} is not used by anything: it exports {exports}"
    for index in used:
        for wanted in parts[index].imports:
            for export in part.exports:
                if wanted.split("@")[0] == export.split("@")[0]:
                    return f"{text}; {parts[index].name} imports {wanted}, another version"
    imports = dict.fromkeys(one for index in used for one in parts[index].imports)
    return f"{text}; what the others import: {', '.join(imports) or 'nothing'}"


class _Outer:
    """The component around the parts, as its sections are added."""

    def __init__(self, types: Types, parts: list[Part], wiring: list[dict[str, tuple[int, str]]]) -> None:
        self._types, self._parts, self._wiring = types, parts, wiring
        self._out: list[bytes] = [COMPONENT_PREAMBLE]
        self._instances = self._indices = 0
        self._imports: dict[str, int] = {}
        """interface -> the index of the imported instance"""
        self._aliases: dict[tuple[str, str], int] = {}
        """(interface, name) of a type that another interface uses -> its index"""
        self._homes: dict[int, list[tuple[str, str]]] = {}
        """type -> where it has a name"""
        self._wanted: dict[str, Interface] = {}
        self._importing: list[str] = []

    def component(self, order: list[int]) -> bytes:
        """The parts in that order, the last of which has the role."""
        for index in order:
            self._want(index)
        for interface, holds in self._wanted.items():
            for label, number in holds.types.items():
                self._homes.setdefault(number, []).append((interface, label))
        for interface in self._wanted:
            self._import(interface)
        made: dict[int, int] = {}
        exports: dict[tuple[int, str], int] = {}
        for component, index in enumerate(order):
            part = self._parts[index]
            self._add(COMPONENT, part.data)
            arguments = {}
            for wanted in part.imports:
                source = self._wiring[index].get(wanted)
                if source is None:
                    arguments[wanted] = self._imports[wanted]
                    continue
                if source not in exports:
                    exports[source] = self._exported_by(made[source[0]], source[1])
                arguments[wanted] = exports[source]
            self._add(INSTANCES, items([instantiated(component, arguments)]))
            made[index] = self._next_instance()
        role = self._parts[order[-1]]
        for interface in role.exports:
            instance = self._exported_by(made[order[-1]], interface)
            self._add(EXPORTS, items([exported(interface, instance)]))
            self._next_instance()
        options = options_payload(role.data)
        if options is not None:
            self._add(CUSTOM, name(SECTION) + options)
        return b"".join(self._out)

    def _add(self, kind: int, body: bytes) -> None:
        self._out.append(section(kind, body))

    def _next_instance(self) -> int:
        self._instances += 1
        return self._instances - 1

    def _exported_by(self, instance: int, export: str) -> int:
        self._add(ALIASES, items([of_instance("instance", instance, export)]))
        return self._next_instance()

    # ---- imports of the whole ------------------------------------------------------------------------
    def _want(self, index: int) -> None:
        """What nobody exports, of one part: all that the parts want of an interface is imported at once."""
        part = self._parts[index]
        for interface, holds in part.imports.items():
            if interface in self._wiring[index]:
                continue
            if holds is None:
                raise ComposeError(f"{part.name} imports {interface}, of which the type can't be told")
            merged = self._wanted.setdefault(interface, Interface({}, {}))
            for known, more in zip(merged, holds, strict=True):
                for label, number in more.items():
                    if known.setdefault(label, number) != number:
                        raise ComposeError(
                            f"{part.name} imports {interface}#{label} with another type than the others"
                        )

    def _import(self, interface: str) -> None:
        if interface in self._imports:
            return
        self._importing.append(interface)
        kind = InstanceType(interface, self._types, self._foreign).definition(self._wanted[interface])
        self._importing.pop()
        self._add(TYPES, items([kind]))
        self._add(IMPORTS, items([imported(interface, self._indices)]))
        self._indices += 1
        self._imports[interface] = self._next_instance()

    def _foreign(self, number: int) -> int:
        """The index of a type that another import names."""
        node, here = self._types.nodes[number], self._importing[-1]
        homes = (
            [(one.interface, one.name) for one in node.parts]
            if node.kind == "resource"
            else self._homes.get(number, [])
        )
        homes = [home for home in homes if home[0] in self._wanted and home[0] not in self._importing]
        if not homes:
            what = "{1} of {0}".format(*node.parts[0]) if node.kind == "resource" else f"a {node.kind}"
            raise ComposeError(
                f"{here} is imported and uses {what}, which isn't: what one of the components exports can't "
                f"be used by what the whole imports"
            )
        if homes[0] not in self._aliases:
            interface, label = homes[0]
            self._import(interface)
            self._add(ALIASES, items([of_instance("type", self._imports[interface], label)]))
            self._aliases[homes[0]] = self._indices
            self._indices += 1
        return self._aliases[homes[0]]

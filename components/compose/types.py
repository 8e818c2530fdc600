"""The types that components import, by structure: equal types of several components are one.

Belongs here: types as such. Never: bytes. Only resources have an identity of their own: the interface that
brings one in, and its name there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

DEPTH_MAX = 100
"""types inside types: wasmtime's own limit"""


class ComposeError(ValueError):
    """Components that can't be made one; the message says which and why."""


class Resource(NamedTuple):
    """A resource: the interface that brings it in, and its name there."""

    interface: str
    name: str


class Node(NamedTuple):
    """One type. ``parts``: numbers of types, names, or both, as its ``kind`` has it."""

    kind: str
    parts: tuple[Any, ...] = ()


class Interface(NamedTuple):
    """What an imported instance must hold: name -> number of its type. ``types`` in the order of their
    definition."""

    types: dict[str, int]
    functions: dict[str, int]


class Types:
    """All types of one composition; a type is its number here."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._depths: list[int] = []
        self._numbers: dict[Node, int] = {}
        self.unknown = self.of(Node("unknown"))
        """a type that can't be read, or that is of no kind known here"""

    def of(self, node: Node, *inside: int) -> int:
        """The number of a type, made of the types ``inside``."""
        found = self._numbers.get(node)
        if found is not None:
            return found
        depth = 1 + max((self._depths[one] for one in inside), default=0)
        if depth > DEPTH_MAX:
            return self.unknown
        self._numbers[node] = len(self.nodes)
        self.nodes.append(node)
        self._depths.append(depth)
        return len(self.nodes) - 1

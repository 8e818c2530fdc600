"""NodeSet2 files as device models: each numeric variable of an instance below Objects becomes a point with
its own NodeId and type.

Belongs here: which nodes are points, and what they do (ours: the file gives a value, not a motion). Never:
files (scenarios read them), the server, which imports the whole NodeSet (device.py), so that clients see
types, texts and structure as they are in it.
Source: OPC 10000-6 annex F (UANodeSet), OPC 10000-8 section 5.3.2.3 (EURange). Parsed by asyncua.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import ParseError

from asyncua.common.xmlparser import XMLParser

from twinloop.devices.model.device import POINTS_MAX, DeviceModel
from twinloop.devices.model.encodings import ENCODINGS
from twinloop.devices.model.nodes import NAMESPACE
from twinloop.devices.model.points import Point, ServerNode
from twinloop.devices.model.signal import Signal

STANDARD_URI = "http://opcfoundation.org/UA/"
_OBJECTS = "i=85"
_TYPES = {
    "i=1": ("Boolean", ""),
    "i=2": ("SByte", "i16"),
    "i=3": ("Byte", "u16"),
    "i=4": ("Int16", "i16"),
    "i=5": ("UInt16", "u16"),
    "i=6": ("Int32", "i32"),
    "i=7": ("UInt32", "u32"),
    "i=8": ("Int64", "i64"),
    "i=9": ("UInt64", "u64"),
    "i=10": ("Float", "f32"),
    "i=11": ("Double", "f64"),
}
"""NodeId of a data type (OPC 10000-6 table 1) -> (its name, how a register image keeps it)"""
_REQUIRED = re.compile(r"<(?:\w+:)?RequiredModel\b[^>]*?(?:/>|>.*?</(?:\w+:)?RequiredModel\s*>)", re.DOTALL)
"""looked at here; asyncua wants attributes in it that the schema leaves optional"""
_NOT_INSTANCES = ("HasTypeDefinition", "i=40", "HasSubtype", "i=45", "HasModellingRule", "i=37")


class NodeSetError(ValueError):
    """A file that is no NodeSet of a device."""


class _File:
    """A parsed NodeSet: nodes by their own ids, names of data types resolved."""

    def __init__(self, text: str) -> None:
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise NodeSetError("a document type declaration has no place in a NodeSet")
        parser: Any = XMLParser()  # type: ignore[no-untyped-call]  # asyncua's parser has no types
        try:
            parser.parse_sync(xmlstring=text.encode())
            if not parser.root.tag.endswith("}UANodeSet"):
                raise NodeSetError(f"expected a UANodeSet, got {parser.root.tag}")
            nodes = parser.get_node_datas()
            required = type(parser).list_required_models(None, text.encode())
            self.uris: list[str] = [str(uri) for uri in parser.get_used_namespaces()]
            self._aliases: dict[str, str] = {
                str(name): str(target) for name, target in parser.get_aliases().items()
            }
        except ParseError as error:
            raise NodeSetError(f"XML: {error}") from error
        except (ValueError, AttributeError, KeyError, IndexError, TypeError) as error:
            raise (
                error
                if isinstance(error, NodeSetError)
                else NodeSetError(f"a node that asyncua can't read: {error}")
            ) from error
        missing = [
            model["ModelUri"] for model in required if model.get("ModelUri") not in (STANDARD_URI, *self.uris)
        ]
        if missing:
            raise NodeSetError(f"needs the model {missing[0]}, which isn't in the file")
        self.nodes: dict[str, Any] = {node.nodeid: node for node in nodes}
        self._elements = {element.get("NodeId"): element for element in parser.root if element.get("NodeId")}

    def children(self) -> dict[str, list[str]]:
        """Node -> what it holds: by references either way but to types."""
        held: dict[str, list[str]] = {}
        for name, node in self.nodes.items():
            for reference in node.refs:
                if reference.reftype in _NOT_INSTANCES:
                    continue
                parent, child = (name, reference.target) if reference.forward else (reference.target, name)
                if child in self.nodes and child not in held.setdefault(parent, []):
                    held[parent].append(child)
        return held

    def numbers(self, node: str) -> dict[str, str]:
        """Text of everything inside a node, by tag without its namespace: enough for a Range."""
        return {
            element.tag.rpartition("}")[2]: (element.text or "").strip()
            for element in self._elements[node].iter()
        }

    def uri_of(self, node: str) -> str:
        """The URI of a node's namespace; empty for the standard's."""
        space, semicolon, _ = node.partition(";")
        place = int(space.removeprefix("ns=")) if semicolon and space.startswith("ns=") else 0
        return self.uris[place - 1] if 0 < place <= len(self.uris) else ""

    def data_type(self, node: Any) -> tuple[str, str] | None:
        """Of a scalar variable that holds a number."""
        if node.nodetype != "UAVariable" or node.rank not in (-1, None):
            return None
        return _TYPES.get(self._aliases.get(node.datatype, node.datatype))


def _plain(browse_name: str) -> str:
    """A browse name as a point's: without its namespace, letters, digits, - and _ only."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", browse_name.partition(":")[2] or browse_name).strip("-") or "node"


def _range(file: _File, held: dict[str, list[str]], name: str) -> tuple[float, float] | None:
    """The EURange of a variable."""
    for child in held.get(name, ()):
        if _plain(file.nodes[child].browsename) != "EURange":
            continue
        found = file.numbers(child)
        try:
            low, high = float(found["Low"]), float(found["High"])
        except (KeyError, ValueError):
            return None
        return (low, high) if low < high else None
    return None


def _signal(kind: str, value: float, span: tuple[float, float] | None) -> Signal:
    """What a variable does of which only its value is known: numbers with a fraction wander about it, others
    stay."""
    if kind not in ("Float", "Double"):
        return Signal("constant", value)
    width = span[1] - span[0] if span is not None else abs(value) or 1.0
    return Signal("reversion", value, 0.002 * width, duty=0.05)


def nodeset_model(text: str, name: str) -> DeviceModel:
    """The device in a NodeSet2 file; raises NodeSetError. Its namespaces come after the standard's and the
    server's, in the file's order."""
    file = _File(text)
    held = file.children()
    found: list[tuple[str, str]] = []
    seen: dict[str, None] = {}
    waiting = [(child, "") for child in held.get(_OBJECTS, ())]
    while waiting:
        node, path = waiting.pop(0)
        if node in seen:
            continue
        seen[node] = None
        if file.data_type(file.nodes[node]) is not None and not path.endswith("\0"):
            found.append((node, f"{path}{_plain(file.nodes[node].browsename)}"))
        inner = (
            f"{path}{_plain(file.nodes[node].browsename)}-"
            if path or file.nodes[node].nodetype != "UAObject"
            else ""
        )
        waiting += [(child, inner) for child in held.get(node, ())]
    if not found:
        raise NodeSetError("no variable that holds a number lies below the Objects folder (i=85)")
    if len(found) > POINTS_MAX:
        raise NodeSetError(f"{len(found)} variables; at most {POINTS_MAX} points are taken")
    points, title = _points(file, held, found), f"NodeSet of {len(found)} variables"
    return DeviceModel(name, title, name, ("opcua",), points, step_ns=500_000_000, nodeset=_for_asyncua(text))


def _for_asyncua(text: str) -> str:
    """The file as asyncua's importer can read it: no required models, and an extension object that isn't
    taken for null for want of a space."""
    return re.sub(r"(<(?:\w+:)?ExtensionObject>)(?=<)", r"\1 ", _REQUIRED.sub("", text))


def _points(file: _File, held: dict[str, list[str]], found: list[tuple[str, str]]) -> tuple[Point, ...]:
    points: list[Point] = []
    names: dict[str, int] = {}
    at = {"coil": 0, "holding": 0}
    for node, wanted in found:
        data = file.nodes[node]
        known = file.data_type(data)
        assert known is not None
        kind, register = known
        names[wanted] = names.get(wanted, 0) + 1
        label = wanted if names[wanted] == 1 else f"{wanted}-{names[wanted]}"
        table = "holding" if register else "coil"
        value = float(data.value) if isinstance(data.value, int | float) else 0.0
        span = _range(file, held, node)
        low, high = span if span is not None else (None, None)
        points.append(
            Point(
                label,
                table,
                at[table],
                register or "u16",
                low=low,
                high=high,
                signal=_signal(kind, value, span),
                writable=bool((data.accesslevel or 1) & 2),
                node=ServerNode(_server_id(node), kind, file.uri_of(node)),
            )
        )
        at[table] += ENCODINGS[register].registers if register else 1
    return tuple(points)


def _server_id(node: str) -> str:
    """A NodeId of the file as the server has it: the file's first namespace is the server's ``NAMESPACE``."""
    space, semicolon, rest = node.partition(";")
    return f"ns={int(space.removeprefix('ns=')) + NAMESPACE - 1};{rest}" if semicolon else node

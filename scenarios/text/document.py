"""A YAML document with the line of every value: our own SafeLoader.

Belongs here: reading YAML strictly. Never: what keys mean (schema.py). Duplicate keys are refused; only true
and false are booleans; there are no sexagesimal or octal numbers, no timestamps and no merge keys; null is
``null`` or nothing.
"""

from __future__ import annotations

import re
import stat
from dataclasses import field
from pathlib import Path
from typing import Any

import yaml

from twinloop.records import dataclass
from twinloop.scenarios.text.errors import ScenarioError, path_text, shown_path

FILE_BYTES_MAX = 4 << 20
"""a scenario is written by hand"""
SUFFIXES = (".yaml", ".yml")
"""of files that may be scenarios"""
DEPTH_MAX = 32
NODES_MAX = 200_000
NUMBER_DIGITS_MAX = 40

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """Plain data, and path -> line of each key and value."""

    file: Path
    data: Any
    lines: dict[Location, int]
    set_by: dict[Location, str] = field(default_factory=dict)
    """path -> the PATH=VALUE of a command line that put it there, for each key and value that has no line
    because of that"""
    settings: tuple[str, ...] = ()
    """all of those, in their order"""

    def line(self, location: Location) -> int | None:
        """The line of a path, or of the nearest path above it; None where that was set."""
        return self.lines.get(self._nearest(location))

    def has(self, location: Location) -> bool:
        """Is there a key or a value at that path, whose place can be told?"""
        return location in self.lines or location in self.set_by

    def error(self, location: Location, text: str) -> ScenarioError:
        """A ScenarioError at a path. Of what a command line has set it names the setting in place of a line;
        elsewhere it says what was set beside it."""
        file, setting = shown_path(self.file), self.set_by.get(self._nearest(location))
        if setting is not None:
            return ScenarioError(f"{file}: --set {setting}", None, path_text(location), text)
        beside = " ".join(f"--set {one}" for one in self.settings)
        return ScenarioError(file, self.line(location), path_text(location), text, beside)

    def _nearest(self, location: Location) -> Location:
        """The longest part of a path whose place can be told."""
        return next((location[:end] for end in range(len(location), 0, -1) if self.has(location[:end])), ())


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars by the rules above."""

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:  # noqa: N803  # PyYAML's name
        """As always, and too deep at once: PyYAML looks ahead, which takes the square of the brackets."""
        if self.flow_level > DEPTH_MAX:
            raise RecursionError
        super().fetch_flow_collection_start(TokenClass)


_Loader.yaml_implicit_resolvers = {}
_NUMBER = "-+0123456789."
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|)$"), ["n", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list(_NUMBER))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)$"),
    list(_NUMBER),
)


def _quick_loader() -> Any:
    """The same over libyaml where PyYAML has it, many times quicker; of our own files, which it reads alike
    (a test compares). Of a user's file it would take other texts than PyYAML's parser, and tell mistakes
    otherwise."""
    if not yaml.__with_libyaml__:
        return _Loader
    quick: Any = type("_Quick", (yaml.CSafeLoader,), {})
    quick.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers
    return quick


def plain_text(text: str) -> bool:
    """Does a file that has it without quotes mean text by it?"""
    return bool(_Loader("").resolve(yaml.ScalarNode, text, (True, False)) == "tag:yaml.org,2002:str")  # type: ignore[no-untyped-call]


def read_document(file: Path) -> Document:
    """Read a YAML file; raises ScenarioError when it can't be read or isn't one YAML mapping."""
    return parse_document(read_text(file), file)


def read_text(file: Path) -> str:
    """The text of a file; raises ScenarioError when it can't be read."""
    name = shown_path(file)
    try:
        return read_regular(file, FILE_BYTES_MAX).decode("utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ScenarioError(name, None, "", "no such file") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(name, None, "", f"cannot be read: {error}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ScenarioError(
            name, None, "", f"cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error


def read_regular(file: Path, most_bytes: int) -> bytes:
    """The bytes of a regular file: pipes, devices and what has no end are refused before they are read.
    Raises OSError, or ValueError."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no regular file")
    if status.st_size > most_bytes:
        raise ValueError(f"the file is larger than {most_bytes} bytes")
    with file.open("rb") as opened:
        return opened.read(most_bytes)


_TOP_LEVEL = (
    re.compile(r"^(?:format|\"format\"|'format')\s*:", re.MULTILINE),
    re.compile(r"^(?:fleets|\"fleets\"|'fleets')\s*:", re.MULTILINE),
    re.compile(r"^(?:gateways|\"gateways\"|'gateways')\s*:", re.MULTILINE),
)
_TOP_LEVEL_MIN = 2


def looks_like_a_scenario(file: Path) -> bool:
    """Has it two of ``format``, ``fleets`` and ``gateways`` at its top level? So one with a misspelt key is
    told, and drops out of no gate. Of a file that isn't YAML its text is asked."""
    try:
        text = read_regular(file, FILE_BYTES_MAX).decode("utf-8")
        if text.count(",") + text.count("\n") > NODES_MAX:
            return _has_enough(text)
        node = yaml.compose(text, Loader=_Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        try:
            text = read_regular(file, FILE_BYTES_MAX).decode("utf-8", "replace")
        except (OSError, ValueError):
            return False
        # broken, and meant as one: whoever runs it says why
        return _has_enough(text)
    keys = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    return len({"format", "fleets", "gateways"}.intersection(map(str, keys))) >= _TOP_LEVEL_MIN


def _has_enough(text: str) -> bool:
    return sum(pattern.search(text) is not None for pattern in _TOP_LEVEL) >= _TOP_LEVEL_MIN


def compose(text: str) -> Any:
    """The nodes of a text, by the rules above; raises yaml.YAMLError or RecursionError."""
    return yaml.compose(text, Loader=_Loader)  # a SafeLoader of ours


def parse_shipped(file: Path) -> Document:
    """Read and parse a file of our own that is known to be right."""
    text = read_text(file)
    return _document(yaml.compose(text, Loader=_quick_loader()), file)


def parse_document(text: str, file: Path) -> Document:
    """Parse the text of a scenario."""
    return _document(_composed(text, shown_path(file)), file)


def _document(node: Any, file: Path) -> Document:
    name = shown_path(file)
    if node is None:
        raise ScenarioError(name, 1, "", "the file is empty; expected a mapping that begins with format: 2")
    if not isinstance(node, yaml.MappingNode):
        raise ScenarioError(
            name, node.start_mark.line + 1, "$", "expected a mapping that begins with format: 2"
        )
    lines: dict[Location, int] = {}
    data = _Builder(name, lines).build(node, ())
    return Document(file, data, lines)


def parse_value(text: str, name: str, at: Location) -> Any:
    """The plain data of a value that stands in no file: what the text would mean at that path of one. Raises
    ScenarioError, which names ``name`` and no line."""
    try:
        node = _composed(text, name)
        return None if node is None else _Builder(name, {}, lined=False).build(node, at)
    except ScenarioError as error:
        raise ScenarioError(name, None, error.path, error.text) from error


def _composed(text: str, name: str) -> Any:
    """The nodes of a text, None of an empty one; raises ScenarioError."""
    if text.count(",") + text.count("\n") > NODES_MAX:  # before a parser takes its time
        raise ScenarioError(name, None, "", f"more than {NODES_MAX} values")
    try:
        return compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ScenarioError(
            name, mark.line + 1 if mark else None, "", f"YAML: {error.problem or error.context}"
        ) from error
    except yaml.YAMLError as error:
        raise ScenarioError(name, None, "", f"YAML: {error}") from error
    except (ValueError, OverflowError) as error:  # "\UFFFFFFFF", as the parser takes it
        raise ScenarioError(name, None, "", f"YAML: an escape or a number out of range: {error}") from error
    except RecursionError as error:
        raise ScenarioError(name, None, "", f"nested deeper than {DEPTH_MAX}") from error


class _Builder:
    """Nodes to plain data, noting lines and refusing what YAML allows and we don't."""

    def __init__(self, name: str, lines: dict[Location, int], lined: bool = True) -> None:
        self._name, self._lines, self._lined = name, lines, lined
        self._nodes = 0
        self._scalars = yaml.constructor.SafeConstructor()
        self._resolver = _Loader("")

    def build(self, node: Any, at: Location) -> Any:
        self._lines.setdefault(at, node.start_mark.line + 1)
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise self._refuse(node, at, f"more than {NODES_MAX} values (an alias that repeats itself?)")
        if len(at) > DEPTH_MAX:
            raise self._refuse(node, at, f"nested deeper than {DEPTH_MAX}")
        plain = {yaml.MappingNode: "map", yaml.SequenceNode: "seq"}.get(type(node))
        if plain is not None and node.tag != f"tag:yaml.org,2002:{plain}":
            raise self._refuse(node, at, f"the YAML tag {node.tag} is not used here")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*at, i)) for i, item in enumerate(node.value)]
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind not in ("bool", "null", "int", "float", "str"):
            raise self._refuse(node, at, f"the YAML tag {node.tag} is not used here")
        resolved = self._resolver.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
        if kind != "str" and resolved != node.tag:
            raise self._refuse(node, at, f"the YAML tag {node.tag} is not used here")
        if kind in ("int", "float") and len(node.value) > NUMBER_DIGITS_MAX:
            raise self._refuse(node, at, f"a number of more than {NUMBER_DIGITS_MAX} digits")
        if kind == "str":
            self._require_letters(node, at)
        return self._scalars.construct_object(node)

    def _mapping(self, node: Any, at: Location) -> dict[str, Any]:
        out: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._refuse(key_node, at, "a key must be a plain word")
            key = key_node.value
            self._require_letters(key_node, at)
            if key == "<<":
                raise self._refuse(key_node, at, "merge keys (<<) are not used here")
            line = key_node.start_mark.line + 1
            if key in out:
                where = f", first given in line {first[key]}" if self._lined else ""
                raise ScenarioError(self._name, line, path_text((*at, key)), f"duplicate key{where}")
            self._lines[(*at, key)] = first[key] = line
            out[key] = self.build(value_node, (*at, key))
        return out

    def _require_letters(self, node: Any, at: Location) -> None:
        """No halves of what takes two escapes: nothing could be written with them."""
        if not node.value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in node.value):
            raise self._refuse(node, at, "text with half a surrogate pair")

    def _refuse(self, node: Any, at: Location, text: str) -> ScenarioError:
        return ScenarioError(self._name, node.start_mark.line + 1, path_text(at), text)

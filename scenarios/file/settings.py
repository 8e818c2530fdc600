"""``--set PATH=VALUE``: values that a command line puts into a scenario before it is checked, in place of the
file's own or beside them.

Belongs here: reading a setting, finding its place, putting it there. Never: what keys mean (schema.py), flags
(cli/). What comes of it is checked as if it stood in the file, and a mistake in it names the setting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from twinloop.records import dataclass
from twinloop.scenarios.file.block import as_yaml
from twinloop.scenarios.file.schema import Override, Scenario
from twinloop.scenarios.text.document import DEPTH_MAX, Document, Location, parse_value
from twinloop.scenarios.text.errors import ScenarioError, path_text, shown_path, unknown
from twinloop.scenarios.text.words import number_of

FIXED = {
    "format": "it says with which words the file is written, and those are the file's own",
    "name": "results are told by it; what was set is told by the command that repeats the run",
}
"""keys of the top level that can't be set, and why"""
INDEX_DIGITS_MAX = 9
_NAMING = "name"
"""the key by which an item of a list is found"""
_NOUNS = {"derives": "point", "with": "option", "env": "variable", "wasi:filesystem": "folder"}
"""what the keys of a mapping name whose own name isn't their plural"""
_BARE = re.compile(r"[^\s.\[\]'\"=]+")
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_EXAMPLE = "fleets.presses.count=200"


@dataclass(frozen=True)
class Setting:
    """One value for one place of a scenario. ``path``: keys and names as text, indices as numbers; ``value``:
    plain data; ``text``: PATH=VALUE as it was given."""

    path: Location
    value: Any
    text: str

    def error(self, document: Document, at: Location, text: str) -> ScenarioError:
        """That it can't be put into this document: the part of its path at which that shows, and why."""
        return ScenarioError(f"{shown_path(document.file)}: --set {self.text}", None, path_text(at), text)


def parse_setting(text: str) -> Setting:
    """``fleets.presses.poll=2 s``, read: keys with dots between them, ``[2]`` or ``[name]`` or ``.name`` for
    an item of a list, quotes around a key with other signs in it; then a value in YAML, by the rules of a
    scenario file.

    Raises:
        ScenarioError: for what is no path or no value; it names the setting and no file.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _refused(text, "it isn't UTF-8")
    path, begins = _Path(text).read()
    if path[0] in FIXED:
        raise _refused(text, f'"{path[0]}" can\'t be set: {FIXED[str(path[0])]}')
    if len(path) > DEPTH_MAX:
        raise _refused(text, f"nested deeper than {DEPTH_MAX}")
    return Setting(path, parse_value(text[begins:], f"--set {text}", path), text)


def path_of(location: Location) -> str:
    """A place of a document as PATH: keys in quotes where they need them."""
    out = ""
    for part in location:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            quoted = "'" + part.replace("'", "''") + "'"
            out += ("." if out else "") + (part if _BARE.fullmatch(part) else quoted)
    return out


def with_settings(document: Document, settings: Sequence[Setting]) -> Document:
    """The document with these values in it, one after the other; the one that was given stays as it is.
    Nothing has been checked against the schema yet.

    Raises:
        ScenarioError: where a path leads nowhere, or would replace what another setting has set.
    """
    for setting in settings:
        document = _set(document, setting)
    return document


def _set(document: Document, setting: Setting) -> Document:
    data, at = _Way(document, setting).put()
    lost = next((text for place, text in document.set_by.items() if place[: len(at)] == at), None)
    if lost is not None:
        raise setting.error(document, at, f"--set {lost} has set it: one of the two would be lost")
    made = [at[:end] for end in range(1, len(at)) if not _is_there(document.data, at[:end])]
    set_by = {**document.set_by, **dict.fromkeys([*made, *_places(setting.value, at)], setting.text)}
    lines = {
        place: line
        for place, line in document.lines.items()
        if place[: len(at)] != at and place not in set_by
    }
    return replace(
        document, data=data, lines=lines, set_by=set_by, settings=(*document.settings, setting.text)
    )


def _is_there(data: Any, at: Location) -> bool:
    for part in at:
        if isinstance(data, dict) and part not in data:
            return False
        data = None if data is None else data[part]
    return data is not None


def _places(value: Any, at: Location) -> Iterator[Location]:
    """The paths of a value and of all that is in it."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from _places(one, (*at, key))


def _refused(text: str, why: str) -> ScenarioError:
    return ScenarioError(f"--set {text}", None, "", why)


class _Path:
    """Reads the path of a setting, from its left."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = len(text) - len(text.lstrip())

    def read(self) -> tuple[Location, int]:
        """(the path, where the value begins); raises ScenarioError."""
        text = self._text
        if "=" not in text:
            raise _refused(text, f"expected PATH=VALUE, such as {_EXAMPLE}")
        if self._next() == "=":
            raise _refused(text, f"the path before = is empty; expected PATH=VALUE, such as {_EXAMPLE}")
        parts: list[str | int] = [self._key()]
        while (sign := self._next()) in (".", "["):
            self._at += 1
            parts.append(self._key() if sign == "." else self._item())
        self._at += len(text[self._at :]) - len(text[self._at :].lstrip())
        if self._next() != "=":
            raise self._unexpected("expected . or [ or =")
        return tuple(parts), self._at + 1

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _key(self) -> str:
        if self._next() in ("'", '"'):
            return self._quoted()
        found = _BARE.match(self._text, self._at)
        if found is None:
            raise self._unexpected("expected a key")
        self._at = found.end()
        return found[0]

    def _quoted(self) -> str:
        found, quote = _QUOTED.match(self._text, self._at), self._next()
        if found is None:
            raise _refused(self._text, f"the quote {quote} behind {self._before()} isn't closed")
        self._at = found.end()
        return found[0][1:-1].replace(quote * 2, quote)

    def _item(self) -> str | int:
        """What stands in brackets, of which the first has been read."""
        opened = self._before()
        if self._next() == "]":
            raise _refused(self._text, f"expected an index or a name behind {opened}, got nothing")
        quoted = self._next() in ("'", '"')
        word = "" if self._next() in ("", "=") else self._key()
        if self._next() in ("", "="):
            raise _refused(self._text, f"the bracket of {opened} isn't closed")
        if self._next() != "]":
            raise self._unexpected("expected ]")
        self._at += 1
        if quoted or re.fullmatch("[0-9]+", word) is None:
            return word
        if len(word) > INDEX_DIGITS_MAX:
            raise _refused(self._text, f"an index has at most {INDEX_DIGITS_MAX} digits")
        return int(word)

    def _before(self) -> str:
        return f'"{self._text[: self._at].lstrip()}"'

    def _unexpected(self, expected: str) -> ScenarioError:
        sign = self._next()
        got = f'"{sign}" (a key with such a sign in it is written in quotes)' if sign else "nothing"
        where = f" behind {self._before()}" if self._text[: self._at].strip() else ""
        return _refused(self._text, f"{expected}{where}, got {'=' if sign == '=' else got}")


class _Way:
    """A setting's way into a document, part by part, beside the schema's kinds of what may be there."""

    def __init__(self, document: Document, setting: Setting) -> None:
        self._document, self._setting = document, setting

    def put(self) -> tuple[Any, Location]:
        """(the data with the value in it, the path with indices in place of names); raises ScenarioError."""
        return self._in(self._document.data, (), [Scenario])

    def _in(self, node: Any, at: Location, kinds: list[Any]) -> tuple[Any, Location]:
        if len(at) == len(self._setting.path):
            return self._setting.value, at
        part = self._setting.path[len(at)]
        if node is None and at not in self._document.set_by:
            node = self._left_out(at, kinds)
        if isinstance(node, list):
            index = self._index(node, part, at)
            new, whole = self._in(node[index], (*at, index), _below(kinds, index))
            return [*node[:index], new, *node[index + 1 :]], whole
        if not isinstance(node, dict):
            raise self._error(at, f"nothing lies below it: it is {as_yaml(node)}, no mapping and no list")
        if isinstance(part, int):
            raise self._error(at, f"it is a mapping and no list: expected a key of it, got [{part}]")
        self._require_name(node, part, at, kinds)
        new, whole = self._in(node.get(part), (*at, part), _below(kinds, part))
        return {**node, part: new}, whole

    def _left_out(self, at: Location, kinds: list[Any]) -> Any:
        """An empty mapping or list, for what the file leaves out; of a key that isn't known the schema will
        say so."""
        if not kinds or any(_is_mapping(kind) for kind in kinds):
            return {}
        if any(get_origin(kind) is tuple for kind in kinds):
            return []
        raise self._error(at, "nothing lies below it: it is a single value, no mapping and no list")

    def _index(self, items: list[Any], part: str | int, at: Location) -> int:
        """Of the item that a part of the path means; raises ScenarioError."""
        last = f"0 to {len(items) - 1}" if len(items) > 1 else "0"
        many = f"the list has {number_of(len(items), 'entry', 'entries') if items else 'no entries'}"
        if isinstance(part, int):
            if part >= len(items):
                expected = f": expected {last}" if items else ""
                raise self._error(at, f"no entry [{part}]: {many}{expected}")
            return part
        names = [item.get(_NAMING) if isinstance(item, dict) else None for item in items]
        if names.count(part) == 1:
            return names.index(part)
        known = [name for name in names if isinstance(name, str)]
        if part in known:
            raise self._error(at, f'{names.count(part)} entries have the name "{part}": expected an index')
        if known:
            raise self._error(at, f"{unknown('entry', part, known)}; or an index, {last}")
        expected = f"; expected an index, {last}, in brackets" if items else ""
        raise self._error(at, f'no entry "{part}": {many}, without names{expected}')

    def _require_name(self, node: dict[str, Any], part: str, at: Location, kinds: list[Any]) -> None:
        """A path goes through names that are there; only its end may be a new one, and a single device."""
        is_end = len(at) + 1 == len(self._setting.path)
        if part in node or is_end or not any(get_origin(kind) is dict for kind in kinds):
            return
        if at == ("fleets",) and "/" in part:
            part = part.partition("/")[0]
            if part in node:
                return
        noun = _NOUNS.get(str(at[-1]), str(at[-1]).removesuffix("s"))
        known = [name for name in node if at != ("fleets",) or "/" not in name]
        raise self._error((*at, part), f"{unknown(noun, part, known)} (a new one is set as a whole)")

    def _error(self, at: Location, text: str) -> ScenarioError:
        return self._setting.error(self._document, at, text)


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that a type of the schema is made of, without what is said about them."""
    if get_origin(annotation) is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _kinds(one)
    elif annotation is not type(None):
        yield annotation


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel))


def _below(kinds: list[Any], part: str | int) -> list[Any]:
    """What may be at a key or an index of these kinds; nothing where the schema has no such key."""
    out: list[Any] = []
    for kind in kinds:
        if get_origin(kind) is dict:
            single = isinstance(part, str) and "/" in part and kind is _FLEETS
            out += _kinds(Override if single else get_args(kind)[1])
        elif get_origin(kind) is tuple:
            out += _kinds(get_args(kind)[0])
        elif _is_mapping(kind):
            for name, key in kind.model_fields.items():
                if part == (key.alias or name) and not key.exclude:
                    out += _kinds(key.annotation)
    return out


_FLEETS = Scenario.model_fields["fleets"].annotation

"""Format 1 of scenario files: which keys and words had other names, and a file of that format as one of
today's.

Belongs here: the renames. Never: what keys mean (schema.py). A text keeps its lines, comments and layout:
only the words themselves are replaced, at the places where the parser found them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from twinloop.scenarios.text.document import Location, compose

FORMAT = 2
"""today's"""
ENTRY = {
    "inject": "fault-component",
    "squeeze": "limit-memory",
    "repoll": "set-poll",
    "fault": "device-fault",
    "way": "direction",
}
"""keys of an entry of the timeline; four of them are verbs"""
VERBS = tuple(name for name in ENTRY if name != "way")
TOP = {"faults": "random-faults", "settle": "grace"}
RANDOM = {"do": "actions"}
PHASE = {"converge": "recover-within"}
GATEWAY = {"restart": "supervision", "files": "max-open-files"}
WORDS = {**ENTRY, **TOP, **RANDOM, **PHASE, **GATEWAY}
"""old name -> today's, wherever it stood"""
_EVENT = re.compile(rf"(?<![\w-])({'|'.join(VERBS)})(?= [a-z])")
"""the name of an event that a verb makes: ``repoll presses``"""


def renamed(at: Location) -> str | None:
    """The name that the key at that place has today; None: the same."""
    key = str(at[-1])
    match at[:-1]:
        case ():
            return TOP.get(key)
        case ("timeline", int()):
            return ENTRY.get(key)
        case ("faults", int()):
            return RANDOM.get(key)
        case ("faults", int(), "do", int()):
            return ENTRY.get(key)
        case ("phases", int()):
            return PHASE.get(key)
        case ("gateways", str()):
            return GATEWAY.get(key)
    return None


def reworded(at: Location, text: str) -> str:
    """The text of a value at that place as it is today: an event may be named in it."""
    match at:
        case ("timeline", int(), "after"):
            return _EVENT.sub(lambda found: ENTRY[found[1]], text)
        case ("expect", int()):
            head, after, event = text.partition(" after ")
            return head + after + _EVENT.sub(lambda found: ENTRY[found[1]], event)
    return text


def is_of_format_1(data: Any) -> bool:
    """Does it say so?"""
    # true is no number
    return isinstance(data, dict) and type(data.get("format")) is int and data["format"] == 1


def data_of_today(data: Any, at: Location = ()) -> Any:
    """Plain data of format 1 as data of today's."""
    if isinstance(data, dict):
        out = {}
        for key, value in data.items():
            new = renamed((*at, key))  # beside today's name the old one stays, and is refused
            out[key if new is None or new in data else new] = data_of_today(value, (*at, key))
        return {**out, "format": FORMAT} if not at else out
    if isinstance(data, list):
        return [data_of_today(value, (*at, i)) for i, value in enumerate(data)]
    return reworded(at, data) if isinstance(data, str) else data


def text_of_today(text: str) -> tuple[str, list[str]]:
    """(The text of a file of format 1 as one of today's, its old words in the order of the file). It must be
    one YAML mapping."""
    edits = dict.fromkeys(_edits(compose(text), ()))  # what an alias repeats stands in the text once
    words: dict[str, None] = {}
    for start, end, old, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
        words = {old: None, **words}
    return text, [word for word in words if word != "1"]


def _edits(node: Any, at: Location) -> Iterator[tuple[int, int, str, str]]:
    """(from, to, old word, new word) of each place to change."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*at, key.value)
            new = renamed(inner)
            if new is not None:
                yield _word(key, key.value, new)
            if inner == ("format",):
                yield value.start_mark.index, value.end_mark.index, value.value, str(FORMAT)
            else:
                yield from _edits(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield from _edits(value, (*at, i))
    elif reworded(at, node.value) != node.value:
        start, end = node.start_mark.index, node.end_mark.index
        whole = node.start_mark.buffer[node.start_mark.pointer : node.start_mark.pointer + end - start]
        yield start, end, next(iter(_EVENT.findall(node.value)), node.value), reworded(at, whole)


def _word(node: Any, old: str, new: str) -> tuple[int, int, str, str]:
    """A key, with the quotes that it may have."""
    start, end = node.start_mark.index, node.end_mark.index
    quote = '"' if end - start > len(old) else ""
    return start, end, old, f"{quote}{new}{quote}"

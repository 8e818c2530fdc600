"""Which of many topic filters match a topic, and which of many retained messages a filter, without keeping
others waiting.

Belongs here: MQTT 3.1.1, 4.7, over many. Never: sessions, who gets what. One filter against one topic is
``mqtt_fields.matches``.
"""

from __future__ import annotations

from collections.abc import Iterator

from twinloop.devices.mqtt.fields import matches
from twinloop.devices.mqtt.packet import Publish

_END = ""
"""below a level: the filter that ends there, under a key that no level begins with"""


def is_wild(pattern: str) -> bool:
    """Has it a wildcard?"""
    return "+" in pattern or "#" in pattern


def in_turns(pattern: str, retained: dict[str, Publish], turn: int) -> Iterator[Publish | None]:
    """The retained messages that match a filter, and None after each ``turn`` topics that were looked at:
    others have theirs. What was replaced meanwhile is left out."""
    if not is_wild(pattern):
        if pattern in retained:
            yield retained[pattern]
        return
    for number, (topic, kept) in enumerate(list(retained.items()), 1):
        if retained.get(topic) is kept and matches(pattern, topic):
            yield kept
        if not number % turn:
            yield None


class FilterTree:
    """Filters by their levels. ``found`` costs what its topic's levels branch into, at most the tree."""

    __slots__ = ("_root", "looks")

    def __init__(self) -> None:
        self._root: dict[str, dict[str, object]] = {}
        self.looks = 0
        """levels of the tree that were looked at so far: the work that it was"""

    def add(self, pattern: str) -> None:
        """It is there from now on; twice is once."""
        node: dict[str, object] = self._root  # type: ignore[assignment]
        for level in pattern.split("/"):
            node = node.setdefault("/" + level, {})  # type: ignore[assignment]
        node[_END] = pattern

    def discard(self, pattern: str) -> None:
        """It isn't any more, nor are branches that only it had."""
        way: list[tuple[dict[str, object], str]] = []
        node: dict[str, object] = self._root  # type: ignore[assignment]
        for level in pattern.split("/"):
            way.append((node, "/" + level))
            found = node.get("/" + level)
            if not isinstance(found, dict):
                return
            node = found
        node.pop(_END, None)
        for above, key in reversed(way):
            if above[key]:
                return
            del above[key]

    def found(self, topic: str) -> Iterator[str]:
        """The filters that match a topic, in no order that means anything."""
        levels = ["/" + level for level in topic.split("/")]
        system = topic[:1] == "$"  # 4.7.2: wildcards at the beginning don't match it
        nodes: list[tuple[dict[str, object], int]] = [(self._root, 0)]  # type: ignore[list-item]
        while nodes:
            self.looks += 1
            node, at = nodes.pop()
            wild = at or not system
            rest = node.get("/#") if wild else None
            if isinstance(rest, dict) and _END in rest:
                yield rest[_END]  # it stands for its parent, too (4.7.1.2)
            if at == len(levels):
                if _END in node:
                    yield node[_END]  # type: ignore[misc]
                continue
            for key in ("/+", levels[at]) if wild else (levels[at],):
                below = node.get(key)
                if isinstance(below, dict):
                    nodes.append((below, at + 1))

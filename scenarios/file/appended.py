"""The text of a scenario file with more entries at the end of its timeline, and another seed.

Belongs here: where in a text these go, so that comments, order and layout of all else stay as they were.
Never: what an entry means, writing files (save.py). The places are those where the parser found the nodes; a
layout that has no such place raises ``NoPlace``.
"""

from __future__ import annotations

from typing import Any

import yaml

from twinloop.scenarios.text.document import compose


class NoPlace(Exception):
    """The text has no place where that could stand."""


def appended(text: str, entries: list[str], seed: int | None) -> str:
    """``entries``: each as one line of YAML; ``seed``: None leaves what there is. Raises NoPlace, or what the
    parser raises."""
    root = compose(text)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise NoPlace("the file is no mapping in block layout")
    edits = [*_entries(text, root, entries), *_seed(text, root, seed)]
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _entries(text: str, root: Any, entries: list[str]) -> list[tuple[int, int, str]]:
    """(from, to, what stands there instead)."""
    if not entries:
        return []
    end = _line_end(text)
    found = _at(root, "timeline")
    if found is None:
        lines = "".join(f"  - {entry}{end}" for entry in entries)
        before = "" if text.endswith("\n") else end
        return [(len(text), len(text), f"{before}timeline:{end}{lines}")]
    key, node = found
    if isinstance(node, yaml.SequenceNode) and node.flow_style:
        closing = node.end_mark.index - 1
        inner = text[node.start_mark.index + 1 : closing].rstrip()
        comma = ", " if node.value and not inner.endswith(",") else ""
        return [(closing, closing, comma + ", ".join(entries))]
    if isinstance(node, yaml.SequenceNode) and node.value:
        indent = " " * node.start_mark.column
        return _after_line(text, _leaf_end(node), [f"{indent}- {entry}" for entry in entries])
    if isinstance(node, yaml.ScalarNode):  # nothing yet
        cut = (node.start_mark.index, node.end_mark.index, "")
        return [cut, *_after_line(text, key.end_mark.index, [f"  - {entry}" for entry in entries])]
    raise NoPlace("the timeline is no list")


def _seed(text: str, root: Any, seed: int | None) -> list[tuple[int, int, str]]:
    if seed is None:
        return []
    found = _at(root, "seed")
    if found is not None:
        node = found[1]
        return [(node.start_mark.index, node.end_mark.index, str(seed))]
    beside = _at(root, "name") or root.value[0]
    return _after_line(text, _leaf_end(beside[1]), [f"seed: {seed}"])


def _at(root: Any, name: str) -> tuple[Any, Any] | None:
    return next(((key, value) for key, value in root.value if key.value == name), None)


def _leaf_end(node: Any) -> int:
    """Where the last word of a node ends; the parser ends a block only where the next token begins."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return max(map(_leaf_end, last)) if isinstance(last, tuple) else _leaf_end(last)
    return int(node.end_mark.index)


def _after_line(text: str, index: int, lines: list[str]) -> list[tuple[int, int, str]]:
    """New lines behind the one in which ``index`` lies, or before it if it is where a line begins."""
    end = _line_end(text)
    if index and text[index - 1] == "\n":
        return [(index, index, "".join(line + end for line in lines))]
    stop = text.find("\n", index)
    if stop < 0:
        return [(len(text), len(text), "".join(end + line for line in lines) + end)]
    return [(stop + 1, stop + 1, "".join(line + end for line in lines))]


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"

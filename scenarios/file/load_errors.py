"""What pydantic says of a file, as one error of ours: the first in the order of the file, with its line.

Belongs here: words for mistakes of shape. Never: reading (load.py, datasheet/).
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from twinloop.scenarios.text.document import Document, Location
from twinloop.scenarios.text.errors import ScenarioError, nearest

_Block = TypeVar("_Block", bound=BaseModel)


def shaped(document: Document, shape: type[_Block]) -> _Block:
    """The document as a block; raises ScenarioError with the first mistake in the order of the file."""
    try:
        return shape.model_validate(document.data)
    except ValidationError as error:
        raise translated(document, error) from error


def translated(document: Document, error: ValidationError) -> ScenarioError:
    """The first mistake in the order of the file."""
    details = error.errors()
    places = [tuple(detail["loc"]) for detail in details]
    short = {  # a list is called too short, too, when its only entry is wrong
        index
        for index, (detail, place) in enumerate(zip(details, places, strict=True))
        if detail["type"] == "too_short"
        and any(other[: len(place)] == place and other != place for other in places)
    }
    found = [_one(document, detail) for index, detail in enumerate(details) if index not in short]
    found.sort(key=lambda item: document.line(item[0]) or 0)
    location, text = found[0]
    more = [document.error(*one) for one in found[1:]]
    first = document.error(location, f"{text} (and {len(more)} more)" if more else text)
    first.more = more
    return first


_SHAPES = {
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "finite_number": "a finite number",
}


def _one(document: Document, detail: Any) -> tuple[Location, str]:
    location = _in_file(document, tuple(detail["loc"]))
    kind, given = detail["type"], detail.get("input")
    context = detail.get("ctx", {})
    if kind == "unknown_key":
        return (*location, context["key"]), context["text"]
    if kind == "option":
        return (*location, *context["key"]), context["text"]
    if kind in _SHAPES:
        return location, f"expected {_SHAPES[kind]}, got {'nothing' if given is None else repr(given)}"
    if kind == "extra_forbidden":
        return location, f'unknown key "{location[-1]}"'
    if kind == "too_short":
        return location, "expected at least one entry, got none"
    if kind == "missing":
        return location[:-1], f'missing key "{location[-1]}"'
    if kind == "literal_error":
        known = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
        close = nearest(given, known) if isinstance(given, str) else None
        hint = f'; did you mean "{close}"?' if close else ""
        return location, f"expected {context['expected']}, got {given!r}{hint}"
    if kind == "string_pattern_mismatch":
        return location, f'"{given}" is no name: expected {context["pattern"]}'
    if kind in ("quantity", "not_a_mapping"):
        return location, context.get("text") or detail["msg"]
    message = detail["msg"][0].lower() + detail["msg"][1:]
    return location, f"{message}, got {given!r}"


def _in_file(document: Document, location: Location) -> Location:
    """pydantic's location as a path of the file: overrides are keys of fleets, marks of keys are dropped."""
    if location[:1] == ("overrides",):
        location = ("fleets", *location[1:])
    parts = [part for part in location if not (isinstance(part, str) and part[:1] + part[-1:] == "[]")]
    while len(parts) > 1 and not document.has(tuple(parts)) and not document.has(tuple(parts[:-1])):
        parts.pop()
    return tuple(parts)

"""A scenario file to a checked Scenario, or one clear error with file and line.

Belongs here: reading and shapes. Never: wiring (plan.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scenarios.document import Document, Location, parse_document, read_document
from scenarios.errors import ScenarioError, nearest, shown_path
from scenarios.models import Models
from scenarios.schema import Scenario

NAME_BYTES_MAX = 250
"""of a file's name, on the file systems people have"""
LIBRARY = Path(__file__).resolve().parent / "library"
"""the scenarios that ship"""


@dataclass(frozen=True)
class Loaded:
    """A scenario with the document it came from, for errors found later."""

    scenario: Scenario
    document: Document
    models: Models

    @property
    def file(self) -> Path:
        """Where it came from."""
        return self.document.file


def load(file: Path) -> Loaded:
    """Read and check a scenario file; raises ScenarioError."""
    return _checked(read_document(file))


def load_text(text: str, file: Path = Path("scenario.yaml")) -> Loaded:
    """The same from text; ``file`` is named in errors and is what relative paths start from."""
    return _checked(parse_document(text, file))


def find(name: str) -> Path:
    """A file, or a shipped scenario by name; raises ScenarioError with the nearest name."""
    if not name.strip():
        raise ScenarioError('""', None, "", "expected the name of a file, a folder or a shipped scenario")
    path = Path(name)
    if len(name) > NAME_BYTES_MAX or path.exists() or path.suffix:
        return path
    shipped = LIBRARY / f"{name}.yaml"
    if shipped.exists():
        return shipped
    if "/" in name:
        return path
    known = library_names()
    close = nearest(name, known)
    hint = f'; did you mean "{close}"?' if close else ""
    raise ScenarioError(name, None, "", f"no such file, nor a shipped scenario{hint} known: {', '.join(known)}")


def library_names() -> list[str]:
    """Names of the shipped scenarios."""
    return sorted(str(path.relative_to(LIBRARY).with_suffix("")) for path in LIBRARY.rglob("*.yaml"))


def known_as(file: Path) -> str:
    """How a command line names a scenario: a shipped one by its name, another by its path."""
    resolved = file.resolve()
    if resolved.is_relative_to(LIBRARY):
        return str(resolved.relative_to(LIBRARY).with_suffix(""))
    return shown_path(file)


def _checked(document: Document) -> Loaded:
    data = document.data
    if isinstance(data, dict) and isinstance(data.get("fleets"), dict):
        # fleet/n keys are overrides of single devices: the models want them apart
        fleets = {key: value for key, value in data["fleets"].items() if "/" not in key}
        overrides = {key: value for key, value in data["fleets"].items() if "/" in key}
        data = {**data, "fleets": fleets, "overrides": overrides} if overrides else data
        if "overrides" in document.data:
            raise document.error(("overrides",), 'unknown key "overrides"; single devices are changed by a key "fleet/n" in fleets')
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        raise _translated(document, error) from error
    return Loaded(scenario, document, Models(document, document.file.parent))


def _translated(document: Document, error: ValidationError) -> ScenarioError:
    """The first mistake in the order of the file."""
    found = [_one(document, detail) for detail in error.errors()]
    found.sort(key=lambda item: document.line(item[0]) or 0)
    location, text = found[0]
    more = len(found) - 1
    return document.error(location, f"{text} (and {more} more)" if more else text)


_SHAPES = {
    "tuple_type": "a list", "dict_type": "a mapping", "float_type": "a number", "int_type": "a whole number", "string_type": "text",
    "bool_type": "true or false", "finite_number": "a finite number",
}  # fmt: skip


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
    parts = [part for part in location if part != "[key]"]
    while len(parts) > 1 and tuple(parts) not in document.lines and tuple(parts[:-1]) not in document.lines:
        parts.pop()
    return tuple(parts)



"""A scenario file to a checked Scenario, or one clear error with file and line.

Belongs here: reading and shapes. Never: wiring (plan.py).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from twinloop.devices.catalogue import catalog
from twinloop.records import dataclass
from twinloop.scenarios.file import format_1
from twinloop.scenarios.file.boards.reading import Boards
from twinloop.scenarios.file.load_errors import translated
from twinloop.scenarios.file.models import Models
from twinloop.scenarios.file.schema import Scenario
from twinloop.scenarios.file.settings import Setting, with_settings
from twinloop.scenarios.text.document import Document, parse_document, read_text
from twinloop.scenarios.text.errors import ScenarioError, nearest, shown_path

NAME_BYTES_MAX = 250
"""of a file's name, on the file systems people have"""
LIBRARY = Path(__file__).resolve().parents[1] / "library"
"""the scenarios that ship"""


@dataclass(frozen=True)
class Loaded:
    """A scenario with the document it came from, for errors found later."""

    scenario: Scenario
    document: Document
    models: Models
    boards: Boards
    old_words: tuple[str, ...] = ()
    """words of format 1 that it was written with"""

    @property
    def file(self) -> Path:
        """Where it came from."""
        return self.document.file


def of_an_old_format(loaded: Loaded) -> list[str]:
    """What to tell of a file whose words are no longer today's; nothing of others."""
    if not loaded.old_words:
        return []
    return [
        f"it is of format 1 ({', '.join(loaded.old_words[1:]) or 'nothing else'} have other names today): "
        f"twinloop migrate rewrites it"
    ]


def of_ignored_packages(loaded: Loaded) -> list[str]:
    """What to tell of other packages' devices that have the name of one that the file uses, and aren't it."""
    names = dict.fromkeys(fleet.device for fleet in loaded.scenario.fleets.values())
    return [text for name in names for text in catalog.ignored(name)]


def load(file: Path, settings: Sequence[Setting] = ()) -> Loaded:
    """Read and check a scenario file, with what a command line sets in it; raises ScenarioError."""
    return load_text(read_text(file), file, settings)


def load_text(text: str, file: Path = Path("scenario.yaml"), settings: Sequence[Setting] = ()) -> Loaded:
    """The same from text; ``file`` is named in errors and is what relative paths start from."""
    document = parse_document(text, file)
    if not format_1.is_of_format_1(document.data):
        return _checked(with_settings(document, settings))
    today, words = format_1.text_of_today(text)
    loaded = _checked(with_settings(parse_document(today, file), settings))
    return replace(loaded, old_words=("format: 1", *words))


def load_data(data: Any, file: Path) -> Loaded:
    """The same from data that stands in no file: errors have places in it and no lines. ``file`` is where
    relative paths start from."""
    return _checked(
        Document(file, format_1.data_of_today(data) if format_1.is_of_format_1(data) else data, {})
    )


def of_document(document: Document, old_words: tuple[str, ...] = ()) -> Loaded:
    """The same from a document that was read elsewhere, settings in it; ``file`` is where relative paths
    start from."""
    return replace(_checked(document), old_words=old_words)


def find(name: str) -> Path:
    """A file, or a shipped scenario by name; raises ScenarioError with the nearest name."""
    if not name.strip():
        raise ScenarioError('""', None, "", "expected the name of a file, a folder or a shipped scenario")
    path = Path(name)
    if len(name.encode(errors="surrogateescape")) > NAME_BYTES_MAX or os.path.exists(path) or path.suffix:
        return path
    shipped = LIBRARY / f"{name}.yaml"
    if os.path.exists(shipped):
        return shipped
    if "/" in name:
        return path
    known = library_names()
    close = nearest(name, known)
    hint = f'; did you mean "{close}"?' if close else ""
    raise ScenarioError(
        name, None, "", f"no such file, nor a shipped scenario{hint} known: {', '.join(known)}"
    )


def library_names() -> list[str]:
    """Names of the shipped scenarios."""
    return sorted(str(path.relative_to(LIBRARY).with_suffix("")) for path in LIBRARY.rglob("*.yaml"))


def known_as(file: Path) -> str:
    """How a command line names a scenario: a shipped one by its name, another by its path."""
    resolved = file.resolve()
    if resolved.is_relative_to(LIBRARY) and resolved.exists():
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
            raise document.error(
                ("overrides",),
                'unknown key "overrides"; single devices are changed by a key "fleet/n" in fleets',
            )
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        raise translated(document, error) from error
    folder = document.file.parent
    models = Models(document, folder)
    return Loaded(scenario, document, models, Boards(document, folder, models.digests))

"""A scenario and what was done to it live, as a scenario: stamped commands become entries of its timeline.

Belongs here: the file's text. Never: sessions. The file lies beside the scenario that it came from, or
anywhere if that names no files of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from twinloop.scenarios.file.appended import NoPlace, appended
from twinloop.scenarios.file.format_1 import text_of_today
from twinloop.scenarios.file.load import Loaded, load
from twinloop.scenarios.text.document import parse_document, plain_text, read_text
from twinloop.scenarios.text.errors import ScenarioError, shown_path


class _Dumper(yaml.SafeDumper):
    """Quotes what our reader would take for something else than text."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain_text(text) else '"')


_Dumper.add_representer(str, _text)


def as_text(loaded: Loaded, seed: int, entries: list[dict[str, Any]]) -> str:
    """The file: its own text with ``entries`` at the end of its timeline, which are as in a file, with ``at``
    to the nanosecond. Where its text has no place for them, or has changed since it was read, the same data
    in a layout of ours."""
    data = dict(loaded.document.data)
    if entries:
        data["timeline"] = [*(data.get("timeline") or []), *entries]
    other_seed = seed != loaded.scenario.seed
    if other_seed:
        data["seed"] = seed
    shown = _in_its_layout(loaded, seed if other_seed else None, entries, data)
    if shown is None:
        shown = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return f"# {shown_path(loaded.file)} and what was done to it live\n{shown}"


def _in_its_layout(
    loaded: Loaded, seed: int | None, entries: list[dict[str, Any]], data: dict[str, Any]
) -> str | None:
    """None: what is written so wouldn't be read as ``data``."""
    try:
        text = read_text(loaded.file)
        if loaded.old_words:
            text = text_of_today(text)[0]
        text = appended(text, [_in_one_line(entry) for entry in entries], seed)
        return text if parse_document(text, loaded.file).data == data else None
    except (NoPlace, ScenarioError, yaml.YAMLError, RecursionError):
        return None


def _in_one_line(entry: dict[str, Any]) -> str:
    return yaml.dump(
        entry, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=True, width=1 << 20
    ).strip()


def save(
    loaded: Loaded, seed: int, entries: list[dict[str, Any]], name: str, same: Callable[[Loaded], bool]
) -> None:
    """Write it, and read it again; raises ScenarioError when it can't be written, or isn't the ``same``
    scenario there. Then nothing is left."""
    text, target = as_text(loaded, seed, entries), Path(name).expanduser()
    try:
        with target.open("x", encoding="utf-8", newline="") as file:
            _filled(file, target, text)
    except (OSError, ValueError) as error:  # a name with a NUL in it
        raise ScenarioError(
            shown_path(target), None, "", getattr(error, "strerror", None) or str(error)
        ) from error
    try:
        if not same(load(target)):
            beside = f"it names files that lie beside {shown_path(loaded.file)}: save it there"
            raise ScenarioError(
                shown_path(target), None, "", f"other components or devices than in this run; {beside}"
            )
    except BaseException:
        target.unlink()
        raise


def _filled(file: Any, target: Path, text: str) -> None:
    try:
        file.write(text)
        file.flush()
    except OSError:
        target.unlink()
        raise

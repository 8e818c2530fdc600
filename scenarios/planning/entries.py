"""An entry of a timeline that somebody types while the scenario runs: checked as one in the file, then an
action.

Belongs here: from keys and words to an action. Never: forms (tui/), sessions.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.file.load_errors import translated
from twinloop.scenarios.file.schema import Entry
from twinloop.scenarios.planning.timeline import drawn, happening
from twinloop.scenarios.planning.verbs import check_span, find
from twinloop.scenarios.text.document import Document, parse_document
from twinloop.scenarios.text.errors import ScenarioError, unknown
from twinloop.scenarios.text.units import exact_duration
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.model.spec import Action
from twinloop.sim.trouble.verbs import VERBS

NAME = "entry"


def parse_entry(text: str) -> dict[str, Any]:
    """``cut: cloud, for: 20 s`` as a mapping; raises ScenarioError."""
    text = text.strip()
    data = parse_document(text if text.startswith("{") else f"{{{text}}}", Path(NAME)).data
    assert isinstance(data, dict)
    return data


def live_action(loaded: Loaded, entry: dict[str, Any], draws: RandomStream) -> tuple[Action, dict[str, Any]]:
    """(what it does when it is done now, the entry with what was drawn for ``any``); raises ScenarioError.

    Its ``at_ns`` is 0: whoever does it stamps it. Times other than ``for`` have no place in it.
    """
    document = Document(loaded.file.with_name(NAME), entry, {})  # beside the file: what it names lies there
    at = (NAME,)
    try:
        checked = Entry.model_validate(entry)
    except ValidationError as error:
        raise translated(document, error) from error
    beside = replace(loaded, document=document)  # mistakes are told of the entry
    for key in ("at", "every", "after", "times", "phase"):
        if getattr(checked, key) is not None:
            raise document.error((key,), f'"{key}" has no place here: it happens now')
    verb = find(beside, checked, at)
    check_span(beside, verb, checked.for_, ())
    verb = drawn(loaded, verb, draws)
    return happening(verb, 0, checked.for_), {**entry, verb.name: verb.target}


def stamped(entry: dict[str, Any], at_ns: int) -> dict[str, Any]:
    """The entry as a file has it."""
    return {"at": exact_duration(at_ns), **entry}


def require_verb(entry: dict[str, Any]) -> str:
    """Its verb; raises ScenarioError, which names the verb that looks most like the first key where none is
    one."""
    found = [verb for verb in VERBS if verb in entry]
    if not found and entry:
        raise ScenarioError(NAME, None, "", unknown("verb", str(next(iter(entry))), VERBS))
    if len(found) != 1:
        came = f"; got {' and '.join(found)}" if found else ""
        raise ScenarioError(NAME, None, "", f"expected exactly one of {', '.join(VERBS)}{came}")
    return found[0]

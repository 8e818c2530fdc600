"""A name in a scenario, and what it names.

Belongs here: finding it, or saying what is known. Never: what is then done with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.text.document import Location
from twinloop.scenarios.text.errors import unknown

Named = TypeVar("Named")


def named(loaded: Loaded, kind: str, name: str, known: Mapping[str, Named], at: Location) -> Named:
    """What ``name`` names; raises ScenarioError at ``at``."""
    if name not in known:
        raise loaded.document.error(at, unknown(kind, name, known))
    return known[name]

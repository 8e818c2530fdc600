"""The files and folders that a scenario names: what it is made of beside its own text.

Belongs here: which names a scenario's keys may hold. Never: reading them, or where they travel.
"""

from __future__ import annotations

from collections.abc import Iterator

from twinloop.scenarios.file import schema
from twinloop.scenarios.file.boards.reading import is_file
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.file.models import FILE, NODESET, RECORDING

MODELS = (RECORDING, NODESET, FILE)
"""what a device's model begins with when it is a file"""


def named_files(loaded: Loaded) -> Iterator[str]:
    """Names relative to the scenario's folder, as they are written, some perhaps twice; a component's may be
    of one that ships with twinloop, and then no such file exists here."""
    scenario = loaded.scenario
    for fleet in scenario.fleets.values():
        yield from (
            name for name in (fleet.device, fleet.believes, fleet.twin) if name and name.startswith(MODELS)
        )
    yield from (gateway.board for gateway in scenario.gateways.values() if is_file(gateway.board))
    for override in scenario.overrides.values():
        yield from (name for name in (override.twin,) if name)
    for component in scenario.components.values():
        yield from component.files
        if component.rego is not None:
            yield component.rego
        for grant in component.grants:
            if isinstance(grant, schema.FilesystemGrant):
                yield from (one.source for one in grant.folders.values() if one.source is not None)
    if scenario.registry is not None:
        yield scenario.registry.path
        yield from scenario.registry.trust

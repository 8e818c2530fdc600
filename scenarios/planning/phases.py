"""Phases of a scenario file: named stretches of the run, one after the other from its beginning.

Belongs here: where they lie. Never: what happens in them (timeline.py) or what must hold (thresholds.py).
"""

from __future__ import annotations

from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.text.document import Location
from twinloop.scenarios.text.errors import unknown
from twinloop.sim.model.spec import PhaseSpec


def phases(loaded: Loaded) -> list[PhaseSpec]:
    """In order; raises ScenarioError for two of one name and for more than the run holds."""
    out: list[PhaseSpec] = []
    start = 0
    for index, phase in enumerate(loaded.scenario.phases):
        at: Location = ("phases", index)
        if any(other.name == phase.name for other in out):
            raise loaded.document.error((*at, "name"), f'a second phase "{phase.name}"')
        end = start + phase.for_
        if end > loaded.scenario.duration:
            raise loaded.document.error(
                (*at, "for"), f"ends {(end - loaded.scenario.duration) / 1e9:g} s after the run's duration"
            )
        if phase.recover_within is not None and phase.recover_within > phase.for_:
            raise loaded.document.error((*at, "recover-within"), "is longer than the phase itself")
        out.append(PhaseSpec(phase.name, start, end, phase.recover_within is not None))
        start = end
    return out


def stretch(loaded: Loaded, name: str | None, at: Location) -> tuple[int, int]:
    """(start, end) of a phase in ns; without a name the whole run with its settling."""
    if name is None:
        return 0, loaded.scenario.duration + loaded.scenario.grace
    found = {phase.name: (phase.start_ns, phase.end_ns) for phase in phases(loaded)}
    if name not in found:
        raise loaded.document.error(
            (*at, "phase"),
            unknown("phase", name, found) if found else f'unknown phase "{name}"; the scenario has no phases',
        )
    return found[name]


def healed_ns(loaded: Loaded) -> int:
    """When random trouble ends at the latest: at the first phase that must converge, or with the run."""
    return min([phase.start_ns for phase in phases(loaded) if phase.heals], default=loaded.scenario.duration)

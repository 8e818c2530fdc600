"""Everything that can be found wrong with a scenario without running it: its words, its names, its
components' own judgement of their settings.

Belongs here: gathering mistakes, all of them. Never: printing (cli/check.py), what a mistake is (schema.py,
plan.py, thresholds.py, the components). What a run refuses at its beginning a check refuses too: the gateways
are booted, as they would be before t = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path

from twinloop.components.host.host import Host
from twinloop.records import dataclass
from twinloop.scenarios.file.load import Loaded, load, of_an_old_format, of_ignored_packages
from twinloop.scenarios.file.settings import Setting
from twinloop.scenarios.judging.thresholds import expectation_errors, read_expectations
from twinloop.scenarios.planning.earliest import in_vain
from twinloop.scenarios.planning.feasibility import warnings
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.sim.gateway.supervisor import ConfigRefused
from twinloop.sim.kernel.invariants import DeviceRefused, InvariantError
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.world import World


@dataclass
class Checked:
    """What a check has found. ``spec`` None: it came to none."""

    errors: list[ScenarioError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    loaded: Loaded | None = None
    spec: WorldSpec | None = None


def checked(file: Path, settings: Sequence[Setting] = ()) -> Checked:
    """All mistakes of a scenario file, with what a command line sets in it, in the order in which they are
    looked for; raises HostLimitError when this machine hasn't the room."""
    found = Checked()
    try:
        loaded = found.loaded = load(file, settings)
    except ScenarioError as error:
        found.errors = error.all
        return found
    host = Host()
    try:
        planner = Planner(loaded, host)
        wrong, mistakes = expectation_errors(loaded), planner.mistakes()
        # a file that several places name, such as a model's, is wrong once
        every = {str(one): one for mistake in [*wrong, *mistakes] for one in mistake.all}
        found.errors += every.values()
        if not mistakes:
            found.spec = planner.world()
            if not found.errors:  # they are no use before the expectations can be read
                found.warnings += [*of_an_old_format(loaded), *of_ignored_packages(loaded)]
                found.warnings += foreseen(loaded, found.spec)
            found.notes = planner.notes
            refused = _refused(loaded, found.spec, host)
            found.errors += [] if refused is None else [refused]
    finally:
        host.close()
    return found


def foreseen(loaded: Loaded, spec: WorldSpec) -> list[str]:
    """Everything that can be said of a plan before it runs, in words; raises ScenarioError for an expectation
    that can't be read."""
    awaited = [(f"expectation {one.text}", one.event) for one in read_expectations(loaded) if one.event]
    return [*warnings(spec), *in_vain(spec, awaited)]


def _refused(loaded: Loaded, spec: WorldSpec, host: Host) -> ScenarioError | None:
    """What a component, or the server of a device, says to its settings."""
    world = World(spec, host)
    try:
        world.boot()
    except (ConfigRefused, DeviceRefused) as refused:
        return refusal(loaded, refused)
    except InvariantError as broken:
        return ScenarioError(loaded.document.file.name, None, "", f"it doesn't come up: {broken}")
    finally:
        world.close()
    return None


def refusal(loaded: Loaded, refused: ConfigRefused | DeviceRefused) -> ScenarioError:
    """A component refused its settings, or a device can't be made: the author's mistake, at its options or
    its fleet."""
    name, text = refused.args
    if isinstance(refused, DeviceRefused):
        return loaded.document.error(("fleets", name.partition("/")[0], "device"), text)
    return loaded.document.error(("components", name, "with"), text)

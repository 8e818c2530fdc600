"""``twinloop record``: devices are polled through their drivers, and what comes is written down."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinloop.scenarios.interrupts import interruptible
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.text.words import number_of

if TYPE_CHECKING:
    from twinloop.sim.model.spec import WorldSpec


def record(
    file: Annotated[
        str, typer.Argument(help="a scenario file, or the name of a shipped scenario", metavar="SCENARIO")
    ],
    lasts: Annotated[str, typer.Option("--for", help='how long, e.g. "10 min"', metavar="DURATION")],
    device: Annotated[
        list[str] | None, typer.Option(help="a device, and where the real one is", metavar="DEVICE=URL")
    ] = None,
    map_file: Annotated[
        Path | None,
        typer.Option("--map", help="record every device of a map that serve has written", metavar="FILE"),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="folder for the recordings, a file a device", metavar="DIR")
    ] = Path("recording"),
    seed: Annotated[int | None, typer.Option(help="instead of the scenario's", min=0, max=2**63 - 1)] = None,
) -> int:
    """Poll real devices (or, with none named, the scenario's own, as fast as possible) through their drivers
    into recordings.

    A recording is a device by itself (device: recording/presses-3.csv), what fit and compare read, and where
    a twin begins.
    """
    from twinloop.components.host.host import Host
    from twinloop.scenarios.file.load import find, load
    from twinloop.scenarios.planning.plan import Planner
    from twinloop.scenarios.runner import opened
    from twinloop.scenarios.text.errors import shown_path
    from twinloop.scenarios.text.units import positive_duration
    from twinloop.scenarios.twin.recorder import Recorder, recordable
    from twinloop.scenarios.wire.places import attached, places, require_nodes
    from twinloop.sim.gateway.supervisor import ConfigRefused

    try:
        lasts_ns = positive_duration(lasts)
    except ValueError as error:
        raise ScenarioError("--for", None, "", str(error)) from error
    found = places(device or [], map_file) if device or map_file is not None else {}
    host = Host()
    try:
        loaded = load(find(file))
        spec, notes = attached(Planner(loaded, host, seed).world(), found)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        require_nodes(spec)
        spec = recordable(spec, lasts_ns)
        with interruptible() as interrupts, opened(spec, host, None, bool(found)) as world:
            recorder = Recorder(world, _recorded(spec), out)
            interrupts.started(world)
            try:
                ended = world.run()
            except ConfigRefused as refused:
                name, text = refused.args
                raise loaded.document.error(("components", name, "with"), text) from refused
            finally:
                recorder.close()
            for note in world.outside_notes():
                print(f"note: {note}", file=sys.stderr)
        for index, path in recorder.files.items():
            print(
                f"{world.ledger.names[index]}  {shown_path(path)}  {number_of(recorder.rows[index], 'row')}"
            )
        return 0 if ended else 130
    finally:
        host.close()


def _recorded(spec: WorldSpec) -> list[int]:
    """The real devices; all when none is."""
    real = [i for i, device in enumerate(spec.devices) if device.place is not None]
    return real or list(range(len(spec.devices)))

"""One scenario run from file to result: host, world, judge, verdict. Everything it opened is closed, whatever
happens.

Belongs here: the order of things. Never: formats or flags.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from twinloop.components.host.call_state import NeedsFibers
from twinloop.components.host.host import Host
from twinloop.records import dataclass
from twinloop.scenarios.checking import foreseen, refusal
from twinloop.scenarios.collector import COLLECTOR
from twinloop.scenarios.file.load import Loaded, known_as, of_an_old_format, of_ignored_packages
from twinloop.scenarios.judging.thresholds import Judge, read_expectations
from twinloop.scenarios.judging.verdict import BANDS, NOT_KEPT, Verdict, exit_code, on_the_wire
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.text.words import number_of
from twinloop.scenarios.wire.places import attached, require_nodes, require_tcp
from twinloop.sim.gateway.supervisor import ConfigRefused
from twinloop.sim.kernel.invariants import DeviceRefused, InvariantError
from twinloop.sim.kernel.pacer import Pacer
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.world import World

if TYPE_CHECKING:  # what is told of a run is loaded when it is over, what is kept of it when it is asked for
    from twinloop.scenarios.determinism import Comparison, RecordedTrace
    from twinloop.scenarios.judging.judged import Judged
    from twinloop.scenarios.report.folder import Folder
    from twinloop.scenarios.report.result import Result

AUTO, _, NEVER = BANDS
Watch = Callable[[World, "Folder | None"], contextlib.AbstractContextManager[None]]
"""made of a world that hasn't run and the folder of ``--out``"""


@dataclass(frozen=True)
class Options:
    """What a caller may ask of a run. ``boards``: gateway -> board instead of the scenario's."""

    seed: int | None = None
    boards: dict[str, str] = field(default_factory=dict)
    out: Path | None = None
    check: bool = False
    places: dict[str, str] = field(default_factory=dict)
    """device -> URL of the real device that is polled in its place; with any the clock is ``wire``"""
    shown: dict[str, str] = field(default_factory=dict)
    """device -> where the process of ours that serves it tells what it shows"""
    attached_by: tuple[str, ...] = ()
    """the flags that said so, for the command that repeats the run; empty: each place is written out"""
    wire: bool = False
    """clock ``wire``: devices are served by another process, and what is measured is compared with simulated
    time"""
    begins_ns: int | None = None
    """of the monotonic clock at t = 0, with ``places``; None: as soon as the run is ready"""
    speed: Fraction | None = None
    """clock ``paced``: simulated time at so many times the wall's; None is clock ``virtual``"""
    progress: Callable[[int, int], None] | None = None
    """called with (simulated ns so far, ns in all)"""
    band: str = AUTO
    """are the ends of the bands run, too: verdict.BANDS. On the wire they never are"""
    plain: bool = False
    """judge by what is measured alone: at an end of the bands"""
    strict: bool = False
    """only for the command that repeats the run"""
    started: Callable[[World], None] | None = None
    """given the world before it runs (for a signal handler)"""
    watches: tuple[Watch, ...] = ()
    """who looks on while it runs, and changes nothing: entered before it boots, left when it has been judged,
    and once more when the run begins anew"""


def run(loaded: Loaded, options: Options, host: Host | None = None) -> Result:
    """Run a scenario; raises ScenarioError for the author's mistakes and HostLimitError for this machine's
    limits."""
    read_expectations(loaded)  # before anything is compiled: the author waits for it
    if host is not None:
        return _run(loaded, options, host)
    # what waits for the wall's clock can't begin anew
    hurried = options.speed is None and not options.places and not options.wire
    own = Host(fibers=not hurried)
    try:
        return run_in(loaded, options, own)
    finally:
        own.close()


def run_in(loaded: Loaded, options: Options, own: Host) -> Result:
    """As ``run``, in a host that is kept for the next run: its components are compiled once. A call that
    takes longer than the host hoped for begins the run anew."""
    worlds: list[World] = []
    told = options.started

    def started(world: World) -> None:
        if told is not None:
            told(world)
        worlds.append(world)
        if any(one.env.stopped for one in worlds):  # somebody has stopped the one before
            world.stop()

    options = replace(options, started=started)
    while True:
        try:
            return _run(loaded, options, own)
        except NeedsFibers:
            # a component whose calls are long was met; the host knows it now, and the same happens again
            continue


def _run(loaded: Loaded, options: Options, host: Host) -> Result:
    folder: Folder | None = None
    try:
        planner = Planner(loaded, host, options.seed, options.boards)
        spec = planner.world()
        planner.notes += [*of_an_old_format(loaded), *of_ignored_packages(loaded)]
        planner.notes += [f"foreseen: {text}" for text in foreseen(loaded, spec)]
        if options.wire:
            return _on_loopback(loaded, spec, host, options, planner.notes)
        require_tcp(spec, "--map", options.shown)
        spec, notes = attached(spec, options.places)
        require_nodes(spec)
        planner.notes += notes
        folder = _folder(options)
        recording = _recording() if options.check else None
        try:
            result = _once(loaded, spec, host, options, planner.notes, folder, recording)
        finally:
            if folder is not None:
                folder.close()
        if options.band != NEVER and not options.places:
            result = _at_the_ends(loaded, spec, host, options, planner.notes, result)
        if recording is not None:
            result = _again(loaded, spec, host, options, planner.notes, result, recording)
        if folder is not None:
            _written(folder, loaded, result, options)
        return result
    finally:
        if folder is not None:
            folder.leave()


def _folder(options: Options) -> Folder | None:
    if options.out is None:
        return None
    from twinloop.scenarios.report.folder import Folder

    return Folder(options.out)


def _recording() -> RecordedTrace:
    from twinloop.scenarios.determinism import RecordedTrace

    return RecordedTrace()


def _written(folder: Folder, loaded: Loaded, result: Result, options: Options) -> None:
    """The same document as --json's, of this scenario alone."""
    from twinloop.scenarios.report import document

    code = exit_code(result.verdict, options.strict, bool(result.data["unspoken"]))
    folder.write_result(document.text([document.entry(loaded.file, result, code)]))


def _on_loopback(loaded: Loaded, spec: WorldSpec, host: Host, options: Options, notes: list[str]) -> Result:
    """--clock wire: over sockets first, then in simulated time with the loopback's delay; the verdict is the
    wire's."""
    from twinloop.scenarios.wire.fidelity import compared, over_loopback, served_elsewhere

    require_tcp(spec, "--clock", {device.name for device in spec.devices})
    folder = _folder(options)
    try:
        with served_elsewhere(loaded.file, spec, loaded.document.settings) as field_of:
            wired, changed = attached(spec, field_of.places, elsewhere=True)
            wire = replace(
                options, places=field_of.places, shown=field_of.shown, begins_ns=field_of.begins_ns
            )
            result = _once(loaded, wired, host, wire, [*notes, *changed], folder, None)
            ended = field_of.ended()
        if ended and result.verdict is not Verdict.ABORTED:
            notes_of = [*result.notes, ended]
            data = {**result.data, "verdict": Verdict.INVALID.value, "notes": notes_of}
            result = replace(result, verdict=Verdict.INVALID, notes=notes_of, data=data)
    finally:
        if folder is not None:
            folder.close()
    if result.verdict is not Verdict.ABORTED:
        polled = replace(spec, devices=tuple(replace(device, subscribed=None) for device in spec.devices))
        virtual = _once(
            loaded,
            over_loopback(polled, field_of.loopback_ns),
            host,
            replace(options, out=None, watches=()),
            notes,
            None,
            None,
        )
        if virtual.verdict in (Verdict.ABORTED, Verdict.BROKEN):
            result = replace(
                result,
                verdict=virtual.verdict,
                error=virtual.error,
                data={**result.data, "verdict": virtual.verdict.value},
            )
        else:
            result.data["fidelity"] = compared(result.data, virtual.data, field_of.loopback_ns)
    result.data["reproduce"] = command(loaded, spec.seed, options) + " --clock wire"
    if folder is not None:
        _written(folder, loaded, result, options)
        folder.leave()
    return result


def _once(
    loaded: Loaded,
    spec: WorldSpec,
    host: Host,
    options: Options,
    notes: list[str],
    folder: Folder | None,
    record: RecordedTrace | Comparison | None,
) -> Result:
    with opened(
        spec,
        host,
        None if folder is None else folder.store_path,
        bool(options.places),
        options.begins_ns,
        options.shown,
    ) as world:
        if record is not None:
            world.trace.sinks.append(record.take)
        if folder is not None:
            world.trace.sinks.append(folder.take(world))
        if options.speed is not None:
            world.pacer = Pacer(options.speed)
        if options.progress is not None:
            whole, report = spec.duration_ns, options.progress
            world.progress = lambda now_ns: report(now_ns, whole)
        if options.started is not None:
            options.started(world)
        judge = Judge(world, read_expectations(loaded), options.plain)
        with contextlib.ExitStack() as watched:
            for watch in options.watches:
                watched.enter_context(watch(world, folder))
            result = _judged(loaded, world, judge, options, notes)
        notes = [*result.notes, *world.field.bites_told(), *world.outside_notes()]
        return replace(result, notes=notes, data={**result.data, "notes": notes})


@contextlib.contextmanager
def opened(
    spec: WorldSpec,
    host: Host,
    store_path: Callable[[str], Path] | None = None,
    wire: bool = False,
    begins_ns: int | None = None,
    shown: dict[str, str] | None = None,
) -> Iterator[World]:
    """A world, closed in the end. ``wire``: at the wall's pace and with its date, some of its devices are
    real; ``shown``: as Options have it."""
    sockets = None
    if wire:
        from twinloop.scenarios.wire.sockets import Sockets  # asyncio isn't for runs without it

        sockets = Sockets(shown or {})
    try:
        world = World(spec, host, store_path, EPOCH_NS if sockets is None else time.time_ns(), sockets)
        try:
            if sockets is not None:
                sockets.begin(world, begins_ns)
            yield world
        finally:
            world.close()
    finally:
        if sockets is not None:
            sockets.close()


def _judged(loaded: Loaded, world: World, judge: Judge, options: Options, notes: list[str]) -> Result:
    began = time.perf_counter()
    error = ""
    try:
        with COLLECTOR.calm():
            finished = world.run()
        judged: list[Judged] = judge.judge()
        verdict = judge.verdict(judged) if finished else Verdict.ABORTED
    except (ConfigRefused, DeviceRefused) as refused:
        raise refusal(loaded, refused) from refused
    except InvariantError as broken:
        error, judged, verdict = str(broken), [], Verdict.BROKEN
    wall_s = time.perf_counter() - began
    from twinloop.scenarios.judging.pressing import pressing
    from twinloop.scenarios.report.result import collect

    if world.pacer is not None and world.pacer.wire and not world.pacer.kept(loaded.scenario.pace.tolerance):
        verdict, notes = on_the_wire(verdict, False), [*notes, NOT_KEPT]
    result = collect(
        loaded, world, judge, judged, verdict, notes, command(loaded, world.spec.seed, options), wall_s
    )
    if error:
        result.data["broken"] = error
    pressed = () if error or options.plain else tuple(pressing(world, judge.measures, judged))
    return replace(result, error=error, pressing=pressed)


def _at_the_ends(
    loaded: Loaded, spec: WorldSpec, host: Host, options: Options, notes: list[str], nominal: Result
) -> Result:
    """What the ends of the bands leave of a verdict; the run itself stays the nominal one."""
    if options.band == AUTO and (not nominal.pressing or nominal.verdict is Verdict.FAIL):
        return nominal
    from twinloop.scenarios import banded

    plain = replace(options, out=None, speed=None, watches=(), progress=None, plain=True)
    return banded.settled(spec, nominal, lambda world: _once(loaded, world, host, plain, notes, None, None))


def _again(
    loaded: Loaded,
    spec: WorldSpec,
    host: Host,
    options: Options,
    notes: list[str],
    first: Result,
    recording: RecordedTrace,
) -> Result:
    """--check: run a second time, as fast as possible, and compare event by event."""
    comparison = recording.comparison()
    if first.verdict is Verdict.ABORTED:
        recording.close()
        return first
    second = _once(
        loaded, spec, host, replace(options, out=None, speed=None, watches=()), notes, None, comparison
    )
    divergence = comparison.finish()
    recording.close()
    if second.verdict is Verdict.ABORTED:
        return second
    if divergence is None and second.data["digest"] == first.data["digest"]:
        return replace(
            first, agreed=f"checked: a second run had {number_of(comparison.count, 'event')}, the same"
        )
    text = divergence or f"digests differ: {first.data['digest']} and {second.data['digest']}"
    data = {**first.data, "verdict": Verdict.BROKEN.value, "divergence": text}
    return replace(first, verdict=Verdict.BROKEN, data=data, error="two runs differ", divergence=text)


def command(loaded: Loaded, seed: int, options: Options) -> str:
    """The exact command that repeats a run."""
    parts = ["twinloop", "attach" if options.places else "run", known_as(loaded.file), "--seed", str(seed)]
    parts += options.attached_by or [
        part for device, url in options.places.items() for part in ("--device", f"{device}={url}")
    ]
    for gateway, board in options.boards.items():
        parts += ["--board", f"{gateway}={board}"]
    if options.band != AUTO:
        parts += ["--band", options.band]
    for setting in loaded.document.settings:
        parts += ["--set", setting]
    return shlex.join([*parts, "--strict"] if options.strict else parts)

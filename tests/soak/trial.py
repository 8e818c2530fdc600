"""One random scenario in every way that it can be run, and what is wrong with it.

Belongs here: running, comparing. Never: what a scenario holds (plants.py, trouble.py), which ones are run
(__main__.py).
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
import traceback
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.scenarios.export import captures
from tests.scenarios.export.spans import hold, read
from tests.soak.bands import differ
from tests.soak.plants import random_scenario
from twinloop.components.host.host import Host
from twinloop.scenarios.export.capture import Capture
from twinloop.scenarios.export.otlp.output import OtlpOutput, Wanted
from twinloop.scenarios.export.perfetto import PerfettoTrace
from twinloop.scenarios.file.load import load
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.page.gathering import Gathering
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, Watch, run
from twinloop.sim.world import World

LIBRARY = Path(__file__).parents[2] / "scenarios" / "library"
GUESTS = Path(__file__).parents[1] / "guests"
PACED_EVERY = 10
"""one in so many is run a third time: in another folder, paced"""
PACE = Fraction(500)
WATCHED_AT = 5
"""of as many, one is run once more with everybody looking on who can"""
BANDED_AT = 7
"""of as many, one is run with bounds that just hold, with the ends of its bands and where they seem to matter"""
ENDS = ("delivered", "cached", "dropped", "evicted", "missed", "lost")


def folder_for(where: Path) -> Path:
    """A folder with what scenarios refer to beside them."""
    where.mkdir(parents=True, exist_ok=True)
    for name in ("registry", "nodeset", "recording"):
        if not (where / name).exists():
            shutil.copytree(LIBRARY / name, where / name)
    if not (where / "model").exists():
        shutil.copytree(GUESTS / "contract-0.1", where / "contract-0.1")
        (where / "model").mkdir()
        shutil.copy(Path(__file__).parent / "whole.yaml", where / "model")
    return where


def books_differ(data: dict[str, Any]) -> str:
    """Do the ends add up to what was due, and commands to what was issued? Empty: they do."""
    books, commands = data["ledger"], data["commands"]
    ended = sum(books[end] if isinstance(books[end], int) else sum(books[end].values()) for end in ENDS)
    if ended != books["due"] or books["open"]:
        return f"{books['due']} were due, {ended} have ended, {books['open']} are open: {books}"
    issued = commands.get("issued", 0)
    ended = sum(count for how, count in commands.items() if how != "issued")
    return "" if ended == issued else f"{issued} commands were issued, {ended} have ended: {commands}"


def watched(file: Path, first: Result, host: Host) -> str:
    """Whoever looks on changes nothing, and what they write agrees with the books. Empty: so it is."""
    loaded, gathering, worlds = load(file), Gathering(), []
    gathering.loaded(loaded)

    def started(world: World) -> None:
        worlds.append(world)
        gathering.started(world)

    with tempfile.TemporaryDirectory() as other:
        capture, spans = Path(other) / "c.pcapng", Path(other) / "o.jsonl"
        watches: list[Watch] = [Capture(capture)]
        if find_spec("opentelemetry") is not None:
            watches.append(OtlpOutput(Wanted(target=spans, loaded=lambda: loaded)))
        if find_spec("perfetto") is not None:
            watches.append(PerfettoTrace(Path(other) / "t"))
        found = run(loaded, Options(watches=tuple(watches), started=started), host)
        if (found.data["digest"], found.verdict) != (first.data["digest"], first.verdict):
            return f"somebody looks on: {found.verdict.value} {found.data['digest']}"
        assert "</html>" in gathering.text(found)
        seen = captures.read(capture)
        for link, books in found.data["links"].items():
            there = captures.accounted(seen, link)
            if there != books["offered"]:
                return f"link {link}: {books['offered']} packets, {there} captured or counted"
        if spans.exists():
            hold(read(spans), worlds[-1], None)
    return ""


def tried(seed: int, folder: Path, host: Host) -> dict[str, Any]:
    """Runs one scenario in every way; says what is wrong in ``wrong``."""
    file = folder / f"random-{seed}.yaml"
    file.write_text(random_scenario(seed), encoding="utf-8")
    began = time.process_time()
    out: dict[str, Any] = {"seed": seed, "wrong": ""}
    try:
        first = run(load(file), Options(check=True), host)
        out |= {
            "verdict": first.verdict.value,
            "digest": first.data["digest"],
            "due": first.data["ledger"]["due"],
            "misread": first.data["truth"]["wrong"],
        }
        out["wrong"] = books_differ(first.data)
        if first.verdict in (Verdict.BROKEN, Verdict.ABORTED):
            out["wrong"] = f"{first.verdict.value}: {first.error} {first.divergence or ''}"
        if seed % PACED_EVERY == 0 and not out["wrong"]:
            out["paced"] = True
            with tempfile.TemporaryDirectory() as other:
                elsewhere = folder_for(Path(other) / "elsewhere") / "renamed.yaml"
                elsewhere.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
                paced = run(load(elsewhere), Options(speed=PACE, out=Path(other) / "out"), host)
            if (paced.data["digest"], paced.verdict) != (first.data["digest"], first.verdict):
                out["wrong"] = f"paced in another folder: {paced.verdict.value} {paced.data['digest']}"
        if seed % PACED_EVERY == WATCHED_AT and not out["wrong"]:
            out["watched"] = True
            out["wrong"] = watched(file, first, host)
        if seed % PACED_EVERY == BANDED_AT and not out["wrong"]:
            out["banded"] = True
            out["wrong"] = differ(random_scenario(seed), seed, file, host)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what the soak looks for
        out["wrong"] = f"{type(error).__name__}: {error}"
        out["trace"] = traceback.format_exc()[-3000:]
    if not out["wrong"]:
        file.unlink()
    out["cpu_s"] = round(time.process_time() - began, 2)
    return out


@cache
def host() -> Host:
    """A worker's own: it compiles a component once."""
    return Host()


def work(task: tuple[int, str]) -> dict[str, Any]:
    """In a worker: (seed, folder)."""
    return tried(task[0], Path(task[1]), host())


def calm() -> None:
    """Ctrl-C is for whoever holds the results."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

"""Board files to boards: a shipped one by its name, a user's own by its path beside the scenario.

Belongs here: where files are, what their keys come to. Never: the keys (blocks.py), host programs and
runtimes (programs.py), prices (sim/model/boards.py).
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from twinloop.scenarios.file.boards.blocks import BoardFile, LongTime, Time
from twinloop.scenarios.file.boards.programs import hosts, runtimes
from twinloop.scenarios.file.load_errors import shaped
from twinloop.scenarios.text.document import Document, Location, parse_document, parse_shipped
from twinloop.scenarios.text.errors import ScenarioError, shown_path, unknown
from twinloop.sim.model.boards import WORK, Board, ComponentFuel, Figure

LIBRARY = Path(__file__).parent / "library"
"""the boards that ship"""
SUFFIXES = (".yaml", ".yml")


@cache
def names() -> tuple[str, ...]:
    """Of the boards that ship."""
    return tuple(sorted(path.stem for path in LIBRARY.glob("*.yaml")))


@cache
def shipped(name: str) -> Board:
    """A board that ships; raises KeyError."""
    if name not in names():
        raise KeyError(name)
    return _board(parse_shipped(LIBRARY / f"{name}.yaml"), name)


def is_file(name: str) -> bool:
    """Does ``board:`` name a file, and not a shipped board?"""
    return "/" in name or name.endswith(SUFFIXES)


def read_board(text: str, file: Path, name: str) -> Board:
    """Raises ScenarioError with the place in the file."""
    return _board(parse_document(text, file), name)


def _board(document: Document, name: str) -> Board:
    found = shaped(document, BoardFile)
    if found.metered_fuel.value < found.fuel.value:
        raise document.error(
            ("metered-fuel", "value"),
            "counting fuel can't make guest code quicker: expected at least the value of fuel",
        )
    for host in found.hosts:
        if host not in hosts():
            raise document.error(("hosts", host), unknown("host program", host, hosts()))
    for place, one in enumerate(found.components):
        if one.metered_fuel.value < one.fuel.value:
            raise document.error(
                ("components", place, "metered-fuel", "value"),
                "counting fuel can't make guest code quicker: expected at least the value of fuel",
            )
        if one.sha256 in {other.sha256 for other in found.components[:place]}:
            raise document.error(("components", place, "sha256"), "this component was named before")
    own = runtimes().get(found.runtime)
    if own is None:
        raise document.error(("runtime",), unknown("runtime", found.runtime, runtimes()))
    if found.isa not in own.isas:
        raise document.error(
            ("runtime",), f"{own.name} doesn't run on {found.isa}, only on {' and '.join(own.isas)}"
        )
    bits = found.address_bits
    return Board(
        name=name,
        title=found.title,
        cores=found.cores,
        clock_mhz=found.clock,
        memory_bytes=found.memory,
        isa=found.isa,
        runtime=own,
        instruction_ps=_figure(found.instruction),
        fuel_ps=_figure(found.fuel),
        metered_fuel_ps=_figure(found.metered_fuel),
        instantiate_ns=_figure(found.instantiate),
        flash_bytes_per_s=Figure(found.flash.value, found.flash.source, found.flash.band, found.flash.date),
        work_ns={work: _figure(getattr(found.work, work)) for work in WORK},
        va_bits=bits.value,
        va_source=f"{bits.source}, {bits.date}",
        money="" if found.price is None else f"{found.price.value:g} {found.price.currency}",
        calibrated=found.calibrated,
        host_instruction_ps={name: _figure(time) for name, time in found.hosts.items()},
        component_fuel_ps={
            one.sha256: ComponentFuel(_figure(one.fuel), _figure(one.metered_fuel))
            for one in found.components
        },
    )


def _figure(found: Time | LongTime) -> Figure:
    return Figure(found.value, found.source, found.band, found.date)


# ---- of a scenario -------------------------------------------------------------------------------
class Boards:
    """The boards of one scenario. ``folder``: where its paths start from; ``digests``: of the files that they
    came from, which the caller's digest takes in."""

    def __init__(self, document: Document, folder: Path, digests: dict[str, str]) -> None:
        self._document, self._folder, self._digests = document, folder, digests
        self._read: dict[str, Board] = {}

    def of(self, name: str, at: Location | None) -> Board:
        """The board of that name or path; raises ScenarioError at a place of the scenario, or of ``--board``
        where there is none."""
        if not is_file(name):
            try:
                return shipped(name)
            except KeyError:
                text = unknown("board", name, [*names(), "./FILE.yaml"])
                raise self._error(at, text) from None
        if name not in self._read:
            file = self._folder / name
            if ".." in name.split("/"):
                raise self._error(at, f'"{name}" leaves its folder')
            try:
                data = file.read_bytes()
                text = data.decode("utf-8-sig")
            except (OSError, ValueError) as error:
                why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", "")
                raise self._error(at, f"{shown_path(file)}: {why or error}") from error
            self._read[name] = read_board(text, file, file.stem)
            self._digests[name] = hashlib.sha256(data).hexdigest()
        return self._read[name]

    def _error(self, at: Location | None, text: str) -> ScenarioError:
        return ScenarioError("--board", None, "", text) if at is None else self._document.error(at, text)

"""``twinloop run --otlp FILE|URL``: where OTLP goes, in which pieces, and what is told of it.

Belongs here: files, pieces, resources, notes. Never: spans (ways.py), metrics (numbers.py), HTTP
(sending.py). What is for a receiver waits in a temporary file until the verdict has been told.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import twinloop
from twinloop.scenarios.export.otlp.numbers import Numbers
from twinloop.scenarios.export.otlp.sending import Account, Parcel, Sender
from twinloop.scenarios.export.otlp.spans import FLAG, Attributes, Protos, Span, line, protos, request
from twinloop.scenarios.export.otlp.ways import SPANS_MAX, Ways
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.report.folder import Folder
from twinloop.scenarios.report.result import scenario_digest
from twinloop.scenarios.text.errors import MachineError, ScenarioError
from twinloop.scenarios.text.words import number_of
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.world import World

SPANS_PER_REQUEST = 2000
"""a request is closed when it has at least so many: some 800 KB, and receivers take 4 MiB and more"""


@dataclass(frozen=True)
class Wanted:
    """What is asked for. ``target``: a file, or the address of a receiver; ``share``: of the samples, those
    that have spans; ``epoch_ns``: what t = 0 is since 1970; ``loaded``: reads the scenario once more;
    ``boards``: as the command line has them; ``limit``: of spans."""

    target: Path | str
    loaded: Callable[[], Loaded]
    share: Fraction = Fraction(1)
    epoch_ns: int = EPOCH_NS
    boards: tuple[tuple[str, str], ...] = ()
    limit: int = SPANS_MAX


class OtlpOutput:
    """Asked for before a run; called with its world it gathers while the run goes on. Raises ScenarioError
    when the package isn't installed, the file can't be made, or an address can't be meant."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._modules = protos()
        target = wanted.target
        self._sender = Sender(target, self._modules) if isinstance(target, str) else None
        self._spool: _Spool | None = None
        self.notes: list[str] = []
        """what the user must know, when the run is over"""

    @contextmanager
    def __call__(self, world: World, folder: Folder | None) -> Iterator[None]:
        """While this is entered the run is written, or kept for the receiver."""
        self.close()
        spool = self._spool = _Spool(self._wanted.target, self._modules)
        try:
            gathered = _Gathered(world, self._wanted, self._modules, spool)
            yield
            gathered.finish()
            self.notes = gathered.told(str(self._wanted.target))
            spool.whole = True
        finally:
            spool.rest()

    def send(self) -> None:
        """To the receiver, if there is one; raises MachineError when that doesn't take it."""
        spool, sender = self._spool, self._sender
        if spool is not None and not spool.whole:
            what = "what was written until then isn't whole" if sender is None else "nothing is sent"
            self.notes.append(f"{FLAG} {self._wanted.target}: the run has no result, so {what}")
        elif spool is not None and sender is not None:
            self._sent(spool, sender)

    def _sent(self, spool: _Spool, sender: Sender) -> None:
        try:
            sender.send(spool.parcels())
        finally:
            self.notes += _accounts(sender, spool.items)

    def close(self) -> None:
        """Give up what waits for the receiver."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None


class _Gathered:
    """One world, and what is made of it."""

    def __init__(self, world: World, wanted: Wanted, modules: Protos, spool: _Spool) -> None:
        self._world, self._spool, self._limit = world, spool, wanted.limit
        loaded = wanted.loaded()
        boards = ",".join(f"{gateway}={board}" for gateway, board in wanted.boards)
        digest = scenario_digest(loaded)
        name = loaded.scenario.name
        identity = f"{digest} {world.spec.seed} {boards}"
        shared: dict[str, str | int] = {
            "deployment.environment.name": "simulation",
            "twinloop.scenario": name,
            "twinloop.scenario.digest": digest,
            "twinloop.seed": world.spec.seed,
        }
        resources: dict[int | None, Attributes] = {None: {"service.name": name, **shared}}
        for gateway in world.gateways:
            own = {"service.name": gateway.name, "service.namespace": name}
            resources[gateway.index] = {**own, **shared, "twinloop.board": gateway.machine.board.name}
        self._resources = resources
        self._scope: Attributes = {"name": "twinloop", "version": twinloop.__version__}
        self._waiting: dict[int, list[Span]] = {}
        self._waits = 0
        self._ways = Ways(
            world=world, identity=identity, share=wanted.share, epoch_ns=wanted.epoch_ns, write=self._keep,
            limit=wanted.limit,
        )  # fmt: skip
        self._numbers = Numbers(world, modules, wanted.epoch_ns, resources, twinloop.__version__)

    def _keep(self, spans: list[tuple[int, Span]]) -> None:
        for gateway, span in spans:
            self._waiting.setdefault(gateway, []).append(span)
        self._waits += len(spans)
        if self._waits >= SPANS_PER_REQUEST:
            self._flush()

    def _flush(self) -> None:
        if self._waits:
            groups = [
                (self._resources[gateway], self._scope, spans) for gateway, spans in self._waiting.items()
            ]
            self._spool.traces(groups, self._waits)
            self._waiting, self._waits = {}, 0

    def finish(self) -> None:
        """The run is over, however it ended."""
        self._world.trace.flush()
        self._flush()
        data = self._numbers.request(self._ways.left_out)
        self._spool.metrics(data, self._numbers.points)

    def told(self, where: str) -> list[str]:
        """What isn't in it, and why."""
        ways, notes = self._ways, list[str]()
        left = sum(ways.left_out.values())
        if left:
            by_end = ", ".join(f"{count} {end}" for end, count in ways.left_out.items())
            beyond = f"{ways.over_limit} of them beyond the limit of {self._limit} spans"
            cut = f"{beyond}; " if ways.over_limit else ""
            notes.append(
                f"{FLAG} {where}: spans of {number_of(sum(ways.told.values()), 'sample')}; "
                f"{number_of(left, 'sample')} without ({by_end}): {cut}all are in the metrics"
            )
        if ways.untimed:
            untimed = number_of(ways.untimed, "sample")
            notes.append(f"{FLAG} {where}: {untimed} without spans of stages: when they were isn't known")
        if self._world.ledger.open:
            still = number_of(self._world.ledger.open, "sample")
            notes.append(f"{FLAG} {where}: {still} had no end yet when the run was stopped, and no spans")
        return notes


class _Spool:
    """Requests in order: lines of a file of the user's, or parcels that wait."""

    def __init__(self, target: Path | str, modules: Protos) -> None:
        self._target, self._modules = target, modules
        self._sizes: list[tuple[str, int, int]] = []
        """(signal, bytes, items) of each parcel"""
        self.items: dict[str, int] = {}
        self.whole = False
        self._file: IO[bytes]
        try:
            self._file = tempfile.TemporaryFile() if isinstance(target, str) else target.open("wb")  # noqa: SIM115
        except OSError as error:
            text = f"{target}: {error.strerror}; give the name of a file in a folder that can be written"
            raise ScenarioError(FLAG, None, "", text) from error

    def traces(self, groups: list[tuple[Attributes, Attributes, list[Span]]], items: int) -> None:
        """One request of spans."""
        if isinstance(self._target, str):
            self._parcel("traces", request(self._modules, groups), items)
        else:
            self._write(line(groups).encode() + b"\n")

    def metrics(self, data: Any, items: int) -> None:
        """One request of metrics."""
        if isinstance(self._target, str):
            self._parcel("metrics", data, items)
        else:
            plain = self._modules.json_format.MessageToDict(data, use_integers_for_enums=True)
            self._write(json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def _parcel(self, signal: str, data: Any, items: int) -> None:
        body = data.SerializeToString(deterministic=True)
        self._sizes.append((signal, len(body), items))
        self.items[signal] = self.items.get(signal, 0) + items
        self._write(body)

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._no_room(error) from error

    def _no_room(self, error: OSError) -> MachineError:
        where = "the temporary folder" if isinstance(self._target, str) else str(self._target)
        return MachineError(f"{FLAG} {self._target}: {error.strerror}: is there room in {where}?")

    def parcels(self) -> Iterator[Parcel]:
        """What waits, in order."""
        self._file.seek(0)
        for signal, size, items in self._sizes:
            yield Parcel(signal, self._file.read(size), items)

    def rest(self) -> None:
        """Nothing more is written; a file of the user's is closed."""
        try:
            if isinstance(self._target, str):
                self._file.flush()
            else:
                self._file.close()
        except OSError as error:
            raise self._no_room(error) from error

    def close(self) -> None:
        """A temporary file is gone then."""
        self._file.close()


def _accounts(sender: Sender, items: dict[str, int]) -> list[str]:
    """What the receiver has, of what there was."""
    out: list[str] = []
    said = ", ".join(
        f"{account.sent} of {number_of(items.get(signal, 0), _ITEMS[signal])} accepted"
        + (f", {account.refused} refused" if account.refused else "")
        for signal, account in sender.accounts.items()
    )
    out.append(f"{FLAG} {sender.url}: {said}")
    out += [f"{FLAG} {sender.url}: the receiver says: {text}" for text in _messages(sender.accounts)]
    return out


_ITEMS = {"traces": "span", "metrics": "data point"}


def _messages(accounts: dict[str, Account]) -> list[str]:
    found: dict[str, None] = {}
    for account in accounts.values():
        found |= account.messages or {}
    return list(found)

"""The way of each sample: what its spans are, from the instant at which it was due until it has ended.

Belongs here: which spans there are, between which instants, and what they say. Never: how a span is written
(spans.py). Samples of one poll that end together have one trace, as they have one row of ``ends``. What can't
be known has no span: a stage that was under way when its gateway died.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

from twinloop.devices.model.statuses import quality
from twinloop.scenarios.export.otlp.spans import (
    CLIENT,
    INTERNAL,
    PRODUCER,
    Span,
    Value,
    chosen,
    hashed,
)
from twinloop.scenarios.export.otlp.stages import Piece, RememberedTimes, promoted, spent
from twinloop.scenarios.export.samples import points_read
from twinloop.sim.accounts.latency import BUS, STAGES, StageTimes
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.cloud.messages import Message
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.gateway.reader import Reader
from twinloop.sim.world import World

NAME = "sample"
STORE, SENDING = "store", "sending"
"""spans after the verdict: in the gateway's store, and from the uplink's window to the cloud"""
SPANS_MAX = 1_000_000
"""of one run; samples that end after that are counted and have none"""
POINTS_NAMED_MAX = 20
"""points of one trace that are named; all are counted"""
_WENT_WRONG = (End.MISSED, End.LOST, End.EVICTED)
_COMPONENTS = ("driver", "transform", "policy")
Write = Callable[[list[tuple[int, Span]]], None]
"""told of the spans of one trace, each with the gateway that did it"""


class _Verdict(NamedTuple):
    """Carried out for some points. ``pieces`` None: it isn't known when they were."""

    mask: int
    gateway: int
    how: str
    total_ns: int
    pieces: list[Piece] | None
    components: dict[str, str]


@dataclass
class _Leg:
    """A message's time in one place. ``end_ns`` None: it is still there."""

    mask: int
    gateway: int
    name: str
    begin_ns: int
    size_bytes: int
    end_ns: int | None = None


@dataclass
class _Way:
    """Of one (device, k) that hasn't ended as a whole."""

    verdicts: list[_Verdict] = field(default_factory=list)
    at_work: dict[int, tuple[RememberedTimes, Reader]] = field(default_factory=dict)
    """gateway -> where the time of its poll goes"""
    held: dict[int, list[Piece]] = field(default_factory=dict)
    """standby -> the pieces until it kept its verdict back"""
    legs: list[_Leg] = field(default_factory=list)
    first: tuple[bytes, bytes] | None = None
    traces: int = 0


class Ways:
    """Of one world that hasn't run. ``identity`` names the run: the same run gives the same numbers;
    ``share``: of the due instants of devices, those that have spans; ``epoch_ns``: what t = 0 is since
    1970."""

    def __init__(
        self,
        *,
        world: World,
        identity: str,
        share: Fraction,
        epoch_ns: int,
        write: Write,
        limit: int = SPANS_MAX,
    ) -> None:
        self._world, self._identity, self._share, self._epoch_ns = world, identity, share, epoch_ns
        self._write, self._limit = write, limit
        self._ways: dict[tuple[int, int], _Way] = {}
        self._carrying: tuple[int, Row, int, str] | None = None
        self._fleets = [world.spec.fleets[device.fleet] for device in world.spec.devices]
        self._homes = [world.gateway_of_name[device.gateway].index for device in world.spec.devices]
        self.spans = 0
        self.told: dict[str, int] = {}
        """end -> samples that have spans"""
        self.left_out: dict[str, int] = {}
        """end -> samples that have none, because of the share or the limit"""
        self.over_limit = 0
        """of these, because of the limit"""
        self.untimed = 0
        """samples with a verdict whose stages have no spans"""
        self._listen()

    def _listen(self) -> None:
        world = self._world
        for gateway in world.gateways:
            self._listen_to(gateway)
        world.latencies.watch_stages(self._verdict)
        book = world.ledger.on_end

        def ended(row: Row, mask: int, end: End, cause: str) -> None:
            self._end(row, mask, end, cause)
            if book is not None:
                book(row, mask, end, cause)

        world.ledger.on_end = ended

    def _listen_to(self, gateway: Gateway) -> None:
        """Methods of these objects tell before they do it; their classes stay as they are."""
        env, index, pipeline, outbox = gateway.machine.env, gateway.index, gateway.pipeline, gateway.outbox

        def begun(reader: Reader) -> RememberedTimes:
            """A reader asks for new times when it begins with a row; of a poller it is known already."""
            times, row = RememberedTimes(env), getattr(reader, "row", None)
            way = None if row is None else self._of(row)
            if way is not None:
                way.at_work[index] = times, reader
            return times

        for poller in gateway.pollers:
            poller.new_times = partial(begun, poller)

        def polled(reader: Reader, row: Row, *rest: object) -> None:
            way = self._of(row)
            if way is not None and isinstance(reader.times, RememberedTimes):
                way.at_work[index] = reader.times, reader

        def carried(reader: Reader, row: Row, mask: int, how: str, *rest: object, **named: object) -> None:
            self._carrying = index, row, mask, how

        def held(reader: Reader, row: Row, *rest: object) -> None:
            way = self._of(row)
            if way is not None and isinstance(reader.times, RememberedTimes):
                way.held[index] = reader.times.pieces()

        def crashed(cause: str) -> None:
            for message in outbox.uplink.unacknowledged():
                if message.store_id is not None:
                    self._leg(index, message, STORE)

        _before(pipeline, "accepted", polled)
        _before(pipeline, "carried", carried)
        _before(pipeline, "hold", held)
        _before(outbox.uplink, "publish", lambda message: self._leg(index, message, SENDING))
        _before(
            outbox, "keep", lambda message: self._leg(index, message, "" if outbox.store is None else STORE)
        )
        _before(outbox, "crash", crashed)

    # ---- while it goes on ------------------------------------------------------------------------
    def _of(self, row: Row) -> _Way | None:
        """The way of a row that is open and has spans."""
        whole = row.whole or row
        if not whole.open or self.spans >= self._limit:
            return None
        way = self._ways.get((row.device, row.k))
        if way is None and self._chosen(row):
            way = self._ways[row.device, row.k] = _Way()
        return way

    def _chosen(self, row: Row) -> bool:
        return chosen(self._share, self._identity, self._world.ledger.names[row.device], row.k)

    def _verdict(self, device: int, points: int, times: StageTimes, due_ns: int) -> None:
        if self._carrying is None:
            return
        (index, row, mask, how), self._carrying = self._carrying, None
        way = self._of(row)
        if way is None:
            return
        mask &= row.due & ~row.void
        for before in way.verdicts:
            mask &= ~before.mask  # of a pair only the first verdict counts
        now = self._world.env.now
        if isinstance(times, RememberedTimes):
            pieces: list[Piece] | None = times.pieces()
        else:
            pieces = promoted(way.held.get(index, []), times, now)
        if pieces and (pieces[0].begin_ns != due_ns or spent(pieces) != list(times.spent_ns)):
            pieces = None
        components = {role: spec.name for role, spec in getattr(times, "at_work", {}).items()}
        way.verdicts.append(_Verdict(mask, index, how, now - due_ns, pieces, components))

    def _leg(self, gateway: int, message: Message, name: str) -> None:
        """From now on a message is there; ``name`` empty: nowhere."""
        way = self._of(message.row)
        if way is None:
            return
        now = self._world.env.now
        for leg in way.legs:
            if leg.end_ns is None and leg.gateway == gateway and leg.mask & message.mask:
                if leg.name == name:
                    return
                leg.end_ns = now
        if name:
            way.legs.append(_Leg(message.mask, gateway, name, now, len(message.body)))

    # ---- ends ------------------------------------------------------------------------------------
    def _end(self, row: Row, mask: int, end: End, cause: str) -> None:
        key = row.device, row.k
        way = self._ways.get(key) or (_Way() if self._chosen(row) else None)
        for part, verdict in _parts(mask, [] if way is None else way.verdicts):
            count = part.bit_count()
            if way is None or self.spans >= self._limit:
                self.left_out[end.value] = self.left_out.get(end.value, 0) + count
                self.over_limit += 0 if way is None else count
                continue
            spans = self._spans(row, part, end, cause, way, verdict)
            self.spans += len(spans)
            self.told[end.value] = self.told.get(end.value, 0) + count
            self._write(spans)
        if not row.open:
            self._ways.pop(key, None)
        elif way is not None:
            self._ways[key] = way

    def _spans(
        self, row: Row, mask: int, end: End, cause: str, way: _Way, verdict: _Verdict | None
    ) -> list[tuple[int, Span]]:
        """The spans of one trace, the root first."""
        now, epoch_ns = self._world.env.now, self._epoch_ns
        home = self._homes[row.device] if verdict is None else verdict.gateway
        name = self._world.ledger.names[row.device]
        trace = hashed(16, "trace", self._identity, name, row.k, way.traces)
        root = hashed(8, "span", trace.hex(), 0)
        attributes, error = self._said(row, mask, end, cause, verdict)
        links = () if way.first is None else (way.first,)
        begin_ns, end_ns = epoch_ns + row.due_ns, epoch_ns + now
        whole = Span(trace, root, b"", NAME, INTERNAL, begin_ns, end_ns, attributes, error, links)
        spans = [(home, whole)]
        for gateway, title, kind, begin_ns, end_ns, said in (
            *self._stages(row, way, verdict, home),
            *self._legs(mask, way, now),
        ):
            number, at_ns = hashed(8, "span", trace.hex(), len(spans)), epoch_ns + begin_ns
            part = Span(trace, number, root, title, kind, at_ns, epoch_ns + end_ns, said)
            spans.append((gateway, part))
        way.first = way.first or (trace, root)
        way.traces += 1
        return spans

    def _said(
        self, row: Row, mask: int, end: End, cause: str, verdict: _Verdict | None
    ) -> tuple[dict[str, Value], str | None]:
        """What the root says, and what went wrong."""
        names = [
            point for place, point in enumerate(self._world.ledger.points[row.device]) if mask >> place & 1
        ]
        said: dict[str, Value] = {
            "twinloop.device": self._world.ledger.names[row.device],
            "twinloop.fleet": self._fleets[row.device],
            "twinloop.k": row.k,
            "twinloop.points": len(names),
            "twinloop.point.names": names[:POINTS_NAMED_MAX],
            "twinloop.end": end.value,
        }
        if cause:
            said["twinloop.cause"] = cause
        for quality_of, count in qualities(row, mask).items():
            said[f"twinloop.quality.{quality_of}"] = count
        error = f"{end.value}: {cause}" if end in _WENT_WRONG else None
        if verdict is not None:
            said["twinloop.verdict"] = verdict.how
            said["twinloop.latency.gateway_ns"] = verdict.total_ns
            if verdict.total_ns > row.period_ns:
                said["twinloop.late"] = True
                error = error or "late: its verdict came when the next sample of the device was due already"
        if error is not None:
            said["error.type"] = error.partition(": ")[2] if end in _WENT_WRONG else "late"
        return said, error

    def _stages(
        self, row: Row, way: _Way, verdict: _Verdict | None, home: int
    ) -> Iterator[tuple[int, str, int, int, int, dict[str, Value]]]:
        """(gateway, name, kind, begin, end, attributes) of each piece of the way to the verdict; without one,
        of what had been booked when the sample ended."""
        if verdict is not None:
            pieces, components = verdict.pieces, verdict.components
            if pieces is None:
                self.untimed += verdict.mask.bit_count()
        else:
            times, reader = way.at_work.get(home, (None, None))
            pieces = [] if times is None else [one for one in times.pieces() if one.begin_ns >= row.due_ns]
            components = {role: spec.name for role, spec in getattr(times, "at_work", {}).items()}
            if reader is not None:
                components.setdefault("driver", reader.slot.spec.name)
        for piece in pieces or ():
            stage = STAGES[piece.stage]
            said: dict[str, Value] = {"twinloop.waited_for": piece.what} if piece.what else {}
            if stage in components:
                said["twinloop.component"] = components[stage]
            kind = CLIENT if piece.stage == BUS else INTERNAL
            yield home, stage, kind, piece.begin_ns, piece.end_ns, said

    @staticmethod
    def _legs(mask: int, way: _Way, now: int) -> Iterator[tuple[int, str, int, int, int, dict[str, Value]]]:
        """The same of the way from the verdict on."""
        for leg in way.legs:
            end_ns = now if leg.end_ns is None else leg.end_ns
            if not leg.mask & mask or end_ns == leg.begin_ns:
                continue
            said: dict[str, Value] = {"twinloop.message.bytes": leg.size_bytes}
            if leg.name == SENDING:
                said = {
                    "messaging.system": "mqtt",
                    "messaging.operation.type": "send",
                    "messaging.message.body.size": leg.size_bytes,
                }
            kind = PRODUCER if leg.name == SENDING else INTERNAL
            yield leg.gateway, leg.name, kind, leg.begin_ns, end_ns, said


def _parts(mask: int, verdicts: list[_Verdict]) -> Iterator[tuple[int, _Verdict | None]]:
    """The points of a mask by the verdict that they got."""
    for verdict in verdicts:
        part = mask & verdict.mask
        if part:
            mask &= ~part
            yield part, verdict
    if mask:
        yield mask, None


def qualities(row: Row, mask: int) -> dict[str, int]:
    """quality -> points of which there is a reading of it."""
    found = {"good": 0, "uncertain": 0, "bad": 0}
    left = points_read(row) & mask
    for status, points in (row.marks or {}).items():
        count = (points & mask).bit_count()
        left &= ~points
        found[quality(status)] += count
    found["good"] += left.bit_count()
    return {name: count for name, count in found.items() if count}


def _before(owner: Any, method: str, told: Callable[..., None]) -> None:
    """Call ``told`` before each call of that method of this one object; its class stays as it is."""
    plain = getattr(owner, method)

    def both(*arguments: Any, **named: Any) -> Any:
        told(*arguments, **named)
        return plain(*arguments, **named)

    setattr(owner, method, both)

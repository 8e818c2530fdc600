"""``twinloop run --out DIR --parquet``: every sample as a row of DIR/samples.parquet.

Belongs here: columns, and rows from what the ledger and the trace tell. Never: sums (the result has them), or
what a value was. A sample is one point of a device at one due instant, as the ledger counts it: there are as
many rows as samples were due, in the order in which they ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from twinloop.devices.model.statuses import quality
from twinloop.scenarios.export.extras import needed
from twinloop.scenarios.report.folder import Folder
from twinloop.scenarios.text.errors import MachineError
from twinloop.sim.accounts.latency import STAGES, StageTimes
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.kernel.trace import Record
from twinloop.sim.world import World

FLAG = "--parquet"
NAME = "samples.parquet"
ROWS_PER_GROUP = 1 << 16
"""rows that wait in memory to be written as one row group"""
COLUMNS: dict[str, tuple[str, str]] = {
    "device": ("name", "of the device"),
    "fleet": ("name", "of its fleet"),
    "k": ("int64", "number of the due instant, from 0"),
    "point": ("name", "of the point"),
    "due_ns": ("int64", "when it was due; 0 is the start of the scenario"),
    "end_ns": ("int64", "when it ended"),
    "end": ("name", "delivered, cached, dropped, evicted, missed or lost"),
    "cause": ("name", "of that end; empty for delivered and cached"),
    "status": (
        "int64",
        "StatusCode of the reading: 0 Good, 2^32 called Good but no number; null: none",
    ),
    "quality": ("name", "of that status: good, uncertain or bad; null: no reading"),
    "gateway_ns": (
        "int64",
        "latency at the gateway: from due to verdict carried out; null: it never was",
    ),
    "cloud_ns": ("int64", "latency at the cloud: from due to delivered; null: it never was"),
    **{
        f"{stage}_ns": ("int64", f"of gateway_ns: the stage {stage}; null where gateway_ns is")
        for stage in STAGES
    },
}
"""name -> (type, meaning); a ``name`` is a text that many rows share"""
GOOD = 0


class _Ended(NamedTuple):
    """What a record of an end doesn't say: when it was due, the status of each reading that isn't Good, which
    points had a reading, and whether that was the sample's last."""

    due_ns: int
    marks: dict[int, int]
    read: int
    over: bool


class SamplesTable:
    """Asked for before a run; called with its world and folder it writes the table while the run goes on.
    Raises ScenarioError when the package isn't installed."""

    def __init__(self) -> None:
        self._arrow, self._parquet = needed(FLAG, "parquet", "pyarrow", "pyarrow.parquet")

    @contextmanager
    def __call__(self, world: World, folder: Folder | None) -> Iterator[None]:
        """While this is entered rows are written."""
        assert folder is not None, "the command line asks for --out"
        path, schema = folder.further(NAME), self._schema()
        with _told(path), self._parquet.ParquetWriter(str(path), schema, compression="zstd") as writer:
            rows = _Rows(world, lambda columns: writer.write_table(self._arrow.table(columns, schema=schema)))
            yield
            world.trace.flush()
            rows.write()

    def _schema(self) -> Any:
        """Names repeat: they are written as dictionaries. Each column carries what it means."""
        arrow = self._arrow
        types = {
            "name": arrow.dictionary(arrow.int32(), arrow.string()),
            "int64": arrow.int64(),
        }
        return arrow.schema(
            [
                arrow.field(name, types[kind], metadata={"meaning": meaning})
                for name, (kind, meaning) in COLUMNS.items()
            ]
        )


class _Rows:
    """Of one run. The trace hands records over in pieces, later than the ledger and the latencies tell what
    belongs to them: both wait in order until theirs comes."""

    def __init__(self, world: World, write: Callable[[dict[str, list[Any]]], None]) -> None:
        ledger, spec = world.ledger, world.spec
        self._write = write
        self._names, self._points = ledger.names, ledger.points
        self._fleets = [spec.fleets[device.fleet] for device in spec.devices]
        self._columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        self._ended: deque[_Ended] = deque()
        self._times: deque[tuple[int, ...]] = deque()
        self._carried: dict[tuple[int, int], list[tuple[int, int, tuple[int, ...]]]] = {}
        """(device, k) -> (points, latency, stages) of each verdict on a sample that hasn't ended"""
        book = ledger.on_end

        def ended(row: Row, mask: int, end: End, cause: str) -> None:
            self._ended.append(_Ended(row.due_ns, dict(row.marks or {}), points_read(row), not row.open))
            if book is not None:
                book(row, mask, end, cause)

        ledger.on_end = ended
        world.latencies.watch_stages(self._note_times)
        world.trace.sinks.append(self._take)

    def _note_times(self, device: int, points: int, times: StageTimes, due_ns: int) -> None:
        self._times.append(tuple(times.spent_ns))

    def _take(self, records: list[Record]) -> None:
        for record in records:
            if record[1] == "carried":
                self._verdict(*record[2:])
            elif record[1] == "end":
                self._end(record[0], *record[2:])

    def _verdict(self, device: int, k: int, mask: int, how: str, latency_ns: int) -> None:
        before = self._carried.setdefault((device, k), [])
        for points, _, _ in before:
            mask &= ~points  # of a pair only the first verdict counts
        before.append((mask, latency_ns, self._times.popleft()))

    def _end(self, now: int, device: int, k: int, mask: int, state: str, cause: str) -> None:
        ended = self._ended.popleft()
        verdicts = self._carried.get((device, k), ())
        for place, point in enumerate(self._points[device]):
            bit = 1 << place
            if not mask & bit:
                continue
            status = _status(ended, bit)
            gateway_ns, stages = next(
                ((latency, spent) for points, latency, spent in verdicts if points & bit), (None, None)
            )
            self._add(
                self._names[device], self._fleets[device], k, point, ended.due_ns, now, state, cause, status,
                None if status is None else quality(status),
                gateway_ns, now - ended.due_ns if state == "delivered" else None,
                *(stages or (None,) * len(STAGES)),
            )  # fmt: skip
        if ended.over:
            self._carried.pop((device, k), None)

    def _add(self, *values: object) -> None:
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)
        if len(self._columns["k"]) >= ROWS_PER_GROUP:
            self.write()

    def write(self) -> None:
        """What waits, as one row group."""
        if self._columns["k"]:
            self._write(self._columns)
            self._columns = {name: [] for name in COLUMNS}


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What this machine can't write is told with the file."""
    try:
        yield
    except OSError as error:
        if str(path) in str(error.filename or path):  # pyarrow's own errors name no file
            raise MachineError(f"{FLAG}: {path}: {error}; is there room for it?") from error
        raise


def points_read(row: Row) -> int:
    """The points that some gateway has a reading of."""
    shares = getattr(row, "shares", ())
    read = row.read
    for share in shares:
        read |= share.read
    return read


def _status(ended: _Ended, bit: int) -> int | None:
    """A reading's StatusCode, None where there is no reading."""
    marked = next((status for status, points in ended.marks.items() if points & bit), None)
    return marked if marked is not None else GOOD if ended.read & bit else None

"""All that happens to one sample, recorded while a world plays: when each stage began and ended, frames,
calls of components, ends.

Belongs here: listening to a world for one sample, from an instant before it is due on. Never: which world
that is (exploring.py). The way of the sample is told by what ``--otlp`` writes spans with; nothing here
changes what happens.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from twinloop.components.host.outcome import Fault
from twinloop.scenarios.export.otlp.spans import Span, Value
from twinloop.scenarios.export.otlp.ways import Ways, qualities
from twinloop.sim.accounts.latency import StageTimes
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.gateway.poller import Poller
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.machine.budget import Meter
from twinloop.sim.world import World
from twinloop.tui.engine.explored import CALLS_MAX, CallRow, Ended, Frame, Known, Piece, SampleView, Slow
from twinloop.tui.engine.watch import Tapped

FRAMES_MAX = 400
"""of one sample"""
POINTS_NAMED_MAX = 20
"""points of one end that are named"""
OK = "ok"


class OneSample:
    """Records ``asked`` in a world that hasn't come to its due instant."""

    def __init__(self, world: World, asked: Known) -> None:
        self.world, self.asked = world, asked
        self._row: Row | None = None
        self._ends: list[Ended] = []
        self._verdicts: list[tuple[int, int, tuple[int, ...]]] = []
        self._frames: list[Frame] = []
        self._calls: list[CallRow] = []
        latencies = world.latencies
        latencies.stages_watched = [*latencies.stages_watched]  # samples on their way don't know of it
        self._way = _Way(world, self._mine)
        latencies.watch_stages(self._verdict)
        book = world.ledger.on_end

        def ended(row: Row, mask: int, end: End, cause: str) -> None:
            if self._mine(row):
                self._end(row, mask, end, cause)
            if book is not None:
                book(row, mask, end, cause)

        world.ledger.on_end = ended
        for gateway in world.gateways:
            for poller in gateway.pollers:
                if poller.index == asked.device:
                    self._follow(gateway, poller)

    def _mine(self, row: Row) -> bool:
        if row.device != self.asked.device or row.due_ns != self.asked.due_ns:
            return False
        self._row = row.whole or row
        return True

    @property
    def over(self) -> bool:
        """All of its points have their end."""
        return self._row is not None and not self._row.open

    # ---- while it goes on ------------------------------------------------------------------------
    def _follow(self, gateway: Gateway, poller: Poller) -> None:
        """Its frames, and what components do for it on one gateway."""
        calls = _Calls(gateway, poller, self._mine)
        port = _Frames(self.world.env, poller, lambda: self._frames, calls)
        poller.port = port
        plain = gateway.pipeline.accepted

        def accepted(reader: Any, row: Row, fault: Fault | None, generation: int) -> Any:
            if reader is poller and self._mine(row):
                calls.accepted(fault)
                self._calls += calls.taken()
                self._frames += port.taken()
            return plain(reader, row, fault, generation)

        gateway.pipeline.accepted = accepted  # type: ignore[method-assign]
        calls.found = self._calls

    def _verdict(self, device: int, points: int, times: StageTimes, due_ns: int) -> None:
        if device == self.asked.device and due_ns == self.asked.due_ns:
            spent = tuple(times.spent_ns)
            self._verdicts.append((points, sum(spent), spent))

    def _end(self, row: Row, mask: int, end: End, cause: str) -> None:
        names = self.world.ledger.points[row.device]
        points = tuple(name for place, name in enumerate(names) if mask >> place & 1)
        self._ends.append(Ended(self.world.env.now, points, end.value, cause))

    # ---- when it has come far enough -------------------------------------------------------------
    def view(self) -> SampleView:
        """What was recorded; raises InvariantError when it isn't what was seen before."""
        self._held_against()
        row = self._row
        pieces = sorted(self._way.pieces(), key=lambda one: (one.begin_ns, one.end_ns))
        return SampleView(
            asked=self.asked,
            k=-1 if row is None else row.k,
            pieces=tuple(pieces),
            verdicts=tuple(self._verdicts),
            ends=tuple(self._ends),
            qualities=self._way.qualities(row),
            open_points=0 if row is None else row.open.bit_count(),
            frames=tuple(self._frames[:FRAMES_MAX]),
            calls=tuple(self._calls[:CALLS_MAX]),
        )

    def _held_against(self) -> None:
        asked = self.asked
        name = self.world.ledger.names[asked.device]
        if self._row is None:
            raise InvariantError(f"a replay has no sample of {name} that is due at {asked.due_ns} ns")
        if isinstance(asked, Slow):
            same = any(
                total == asked.total_ns and (not any(asked.spent_ns) or spent == asked.spent_ns)
                for _, total, spent in self._verdicts
            )
            seen: object = (asked.total_ns, asked.spent_ns)
        else:
            same = any((one.end, one.cause) == (asked.end, asked.cause) for one in self._ends)
            seen = (asked.end, asked.cause)
        if not same or (asked.k >= 0 and self._row.k != asked.k):
            raise InvariantError(
                f"a replay of {name} k={asked.k} isn't what was seen: {seen} was, "
                f"{self._verdicts or self._ends} came"
            )


class _Way(Ways):
    """The pieces of one sample's way, as spans have them."""

    def __init__(self, world: World, mine: Callable[[Row], bool]) -> None:
        self._is_mine = mine
        self._pieces: list[Piece] = []
        self._last: Row | None = None
        super().__init__(world=world, identity="", share=Fraction(1), epoch_ns=0, write=lambda spans: None)

    def _chosen(self, row: Row) -> bool:
        if self._is_mine(row):
            self._last = row.whole or row
            return True
        return False

    def _spans(
        self, row: Row, mask: int, end: End, cause: str, way: Any, verdict: Any
    ) -> list[tuple[int, Span]]:
        self._pieces += self._of_part(row, mask, way, verdict)
        return []

    def _of_part(self, row: Row, mask: int, way: Any, verdict: Any) -> list[Piece]:
        home = self._homes[row.device] if verdict is None else verdict.gateway
        names = [gateway.name for gateway in self._world.gateways]
        parts = [*self._stages(row, way, verdict, home), *self._legs(mask, way, self._world.env.now)]
        return [
            Piece(title, begin_ns, end_ns, names[gateway], _words(said))
            for gateway, title, _, begin_ns, end_ns, said in parts
        ]

    def pieces(self) -> list[Piece]:
        """Until now, those of points that haven't ended, too; each once."""
        found = [*self._pieces]
        row = self._last
        way = None if row is None else self._ways.get((row.device, row.k))
        if row is not None and row.open and way is not None:
            verdicts: list[Any] = [*way.verdicts] or [None]
            for verdict in verdicts:
                mask = row.open if verdict is None else row.open & verdict.mask
                found += self._of_part(row, mask, way, verdict) if mask else []
        return list(dict.fromkeys(found))

    def qualities(self, row: Row | None) -> tuple[tuple[str, int], ...]:
        """(quality, points) of what was read."""
        return () if row is None else tuple(qualities(row, row.due).items())


def _words(said: dict[str, Value]) -> str:
    waited = said.get("twinloop.waited_for")
    component = said.get("twinloop.component")
    sent = said.get("messaging.message.body.size", said.get("twinloop.message.bytes"))
    if waited:
        return f"waited for {waited}"
    return str(component) if component else f"{sent} bytes" if sent else ""


class _Calls:
    """Calls of components for one reader's sample on one gateway."""

    def __init__(self, gateway: Gateway, poller: Poller, mine: Callable[[Row], bool]) -> None:
        self.gateway, self._poller, self._mine = gateway, poller, mine
        self.found: list[CallRow] = []
        self._pending: list[CallRow] = []
        """of a driver that listens: before it is known which sample it was"""
        self.since_ns = 0
        """when the driver's last call began"""
        self._tell(poller.slot, "driver")
        self._tell(gateway.rack.transform, "transform")
        self._tell(gateway.rack.policy, "policy")
        plain = gateway.pipeline._failed

        def failed(slot: Slot, outcome: Any, generation: int) -> None:
            if isinstance(outcome, Fault):
                self._outcome(slot, f"fault {outcome.cause.value}: {outcome.message}")
            plain(slot, outcome, generation)

        gateway.pipeline._failed = failed  # type: ignore[method-assign,assignment]
        answered = gateway.supervisor.answered_error

        def error(slot: Slot, device: str) -> Any:
            found = answered(slot, device)
            self._outcome(slot, f"error {' '.join(str(part) for part in found if part is not None)}")
            return found

        gateway.supervisor.answered_error = error  # type: ignore[method-assign]

    def _tell(self, slot: Slot, role: str) -> None:
        slot.meter = _Telling(slot.meter, lambda *spent: self._spent(slot, role, *spent))  # type: ignore[assignment]

    def _spent(self, slot: Slot, role: str, calls: int, fuel: int, cpu_ns: int) -> None:
        """A segment of guest code has run, and holds a core for so long."""
        poller, env = self._poller, self.gateway.machine.env
        if env._active_proc is not poller._task:  # type: ignore[comparison-overlap]
            return
        row = poller.row
        if row is not None and not self._mine(row):
            return
        into = self.found if row is not None else self._pending
        if calls and role == "driver":
            self._pending.clear()
            self.since_ns = env.now
        if calls or not into or into[-1].role != role:
            into.append(
                CallRow(role, slot.spec.name, self.gateway.name, env.now, env.now + cpu_ns, fuel, cpu_ns, OK)
            )
        else:
            last = into[-1]
            into[-1] = CallRow(
                role, last.component, last.gateway, last.begin_ns, env.now + cpu_ns, last.fuel + fuel,
                last.cpu_ns + cpu_ns, last.outcome,
            )  # fmt: skip

    def accepted(self, fault: Fault | None) -> None:
        """The driver's call is over, and it is known which sample it was of."""
        if fault is not None:
            self._outcome(self._poller.slot, f"fault {fault.cause.value}: {fault.message}")

    def _outcome(self, slot: Slot, text: str) -> None:
        """Of the last call, if that was of this sample."""
        if self.gateway.machine.env._active_proc is not self._poller._task:  # type: ignore[comparison-overlap]
            return  # it is somebody else's
        into = self._pending or self.found
        row = self._poller.row
        if into and (row is None or self._mine(row)) and into[-1].component == slot.spec.name:
            last = into[-1]
            into[-1] = CallRow(
                last.role, last.component, last.gateway, last.begin_ns, last.end_ns, last.fuel, last.cpu_ns,
                text,
            )  # fmt: skip

    def taken(self) -> list[CallRow]:
        """What was pending is of this sample."""
        pending, self._pending = self._pending, []
        return pending


class _Telling:
    """Stands in a meter's place, and tells what it is asked to charge."""

    __slots__ = ("_meter", "_told")

    def __init__(self, meter: Meter, told: Callable[[int, int, int], None]) -> None:
        object.__setattr__(self, "_meter", meter)
        object.__setattr__(self, "_told", told)

    def charge(self, fuel: int, calls: int, imports: int, exchanges: int, values: int, count: int) -> int:
        time_ns: int = self._meter.charge(fuel, calls, imports, exchanges, values, count)
        self._told(calls, fuel, time_ns)
        return time_ns

    def charge_call(self, fuel: int, values: int) -> int:
        time_ns: int = self._meter.charge_call(fuel, values)
        self._told(1, fuel, time_ns)
        return time_ns

    def __getattr__(self, name: str) -> Any:
        return getattr(self._meter, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._meter, name, value)


class _Frames(Tapped):
    """Keeps what goes through while the sample is under way; of one that listens, since its last call."""

    def __init__(self, env: Any, poller: Poller, into: Callable[[], list[Frame]], calls: _Calls) -> None:
        super().__init__(env, poller, poller.index)
        self._into, self._calls = into, calls

    def _keep(self, way: str, data: bytes) -> None:
        row = self.poller.row
        if row is None:
            super()._keep(way, data)
        elif self._calls._mine(row):
            into = self._into()
            if len(into) < FRAMES_MAX:
                into.append(Frame(self._env.now, way, bytes(data)))

    def taken(self) -> list[Frame]:
        """What came before it was known which sample it was of."""
        return [frame for frame in self.frames if frame.at_ns >= self._calls.since_ns]

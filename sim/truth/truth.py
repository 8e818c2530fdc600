"""What devices really showed, held against what drivers say that they read, and against what a write has left
in the device.

Belongs here: the comparison, its books, the likely kind of a difference. Never: what becomes of a sample
(ledger.py, quality.py), protocols (witness.py says what was shown). Nobody but a simulator knows both sides.
A polled value must be one that the device showed while the call was under way (a lying sensor's lie included:
that is what it showed); a notification what the server put into it; an MQTT value what the message said.
Nothing here is on the timeline or in the trace: a run with and without it is the same run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from twinloop.devices.model.statuses import BAD
from twinloop.records import dataclass
from twinloop.sim.kernel.clock import S

if TYPE_CHECKING:
    from collections.abc import Callable

    from twinloop.components.host.batch import Batch
    from twinloop.sim.accounts.ledger import Ledger
    from twinloop.sim.accounts.rows import Row
    from twinloop.sim.cloud.messages import Command
    from twinloop.sim.kernel.clock import Environment

FIRST = 10
"""so many of a device's first batches are all checked"""
SHARE = 16
"""then one of so many"""
WATCHFUL_NS = 60 * S
"""after a fault, a timeout, a reconnect, an upgrade or a promotion every batch is checked for so long"""
UNREAD = "a value that was not read in this poll"
NOT_WRITTEN, STRAY_SET = "no write came to it", "another point was set, too"
LEAST, ROUNDED = 1e-6, 2.0**-51
"""of an integer's last digit; what multiplying by a scale may round off, relative"""
WHOLE_BELOW = 2.0**53
"""up to here doubles count by ones"""
EXACT, SINGLE = 1e-9, 3e-7
"""how far two numbers may lie apart, relative: computed from the same register in doubles, or passed through
binary32"""


class Shown(NamedTuple):
    """A value that a device showed. ``step``: of an integer, what its last digit is worth, 0 of others;
    ``single``: binary32;
    ``valueless``: the device itself had no value there."""

    value: float
    step: float = 0.0
    single: bool = False
    valueless: bool = False


class Witness(Protocol):
    """Of one device on one gateway. ``asks_later``: is ``read_later`` to be told?"""

    asks_later: bool

    @property
    def absent(self) -> int:
        """Points that its gateway believes in and the device hasn't got, as bits: nothing that is read there
        is theirs."""
        ...

    def begin(self) -> None:
        """A call begins."""
        ...

    def at(self, which: int) -> None:
        """Of what speaks by itself: the batch is of that sample, or of that instant; who is asked doesn't
        care."""
        ...

    def exactly(self) -> dict[int, float]:
        """point -> a value that it showed in this call, computed as the contract says; those that are quickly
        known."""
        ...

    def shown(self, index: int) -> list[Shown] | None:
        """What the point showed in this call, the oldest first; empty: it was never read; None: nobody
        knows."""
        ...

    def texts(self, index: int) -> list[str | None] | None:
        """As ``shown``, of a point that is a text; None in the list: what was shown is no text."""
        ...

    def valueless(self, index: int, status: int) -> bool:
        """Was it the device that had no value, when a driver says ``status``?"""
        ...

    def holds(self, index: int, ordered: float) -> tuple[float, bool, str] | None:
        """After a write of ``ordered``: (what the device holds, is it that, what else was written); None when
        nobody knows."""
        ...

    def likely(self, index: int, value: float) -> str:
        """What a wrong value looks like; empty when it looks like nothing known."""
        ...

    def read_later(
        self, truth: Truth, k: int, readings: list[tuple[int, float, bool]], empty: list[int]
    ) -> None:
        """Readings that weren't wrong by what is known now, for who will know more: (point, value, was it
        compared?). ``empty``: points that were said to have had no value."""
        ...

    def texts_later(self, truth: Truth, k: int, texts: list[tuple[int, str, bool]]) -> None:
        """The same of texts."""
        ...

    def wrote_later(self, truth: Truth, command: Command) -> None:
        """A write that was called done, of which nothing is known now."""
        ...


@dataclass(frozen=True, slots=True)
class Difference:
    """One reading (``k`` of a sample) or write that wasn't right. ``true``: what the device showed, or holds;
    ``kind``: what it looks like."""

    device: str
    point: str
    k: int
    said: float | str
    true: float | str
    kind: str

    def __str__(self) -> str:
        return (
            f"{self.device} {self.point}, sample {self.k}: read {self.said!r}, the device showed "
            f"{self.true!r}" + (f" (looks like {self.kind})" if self.kind else "")
        )


@dataclass(frozen=True, slots=True)
class WrongWrite:
    """A write that was said to be done. ``true``: what the device holds."""

    device: str
    point: str
    number: int
    ordered: float
    true: float
    kind: str

    def __str__(self) -> str:
        text = (
            f"command {self.number}, {self.device} {self.point}: ordered {self.ordered!r}, the device holds "
            f"{self.true!r}"
        )
        return text + (f" ({self.kind})" if self.kind else "")


class Points(Protocol):
    """Of a point table what is looked at here: point id -> bit of a mask."""

    bit_of: dict[int, int]


class CheckedReader(Protocol):
    """Who reads a device for a gateway: which one, its point table, who knows what was shown, how many
    batches nobody looks at."""

    index: int
    witness: Witness
    unchecked: int

    @property
    def table(self) -> Points:
        """Of its device."""
        ...


class Truth:
    """Of one run. ``wrong_of``: device -> readings that weren't what it showed.

    A poller's ``unchecked`` says how many of its next batches nobody looks at: it depends on how many there
    were and on what happened, never on what they say.
    """

    def __init__(self, env: Environment, ledger: Ledger, always: list[bool]) -> None:
        self._env = env
        self._names, self._points, self._ledger, self._always = ledger.names, ledger.points, ledger, always
        self._batches: dict[int, int] = {}
        self._until_ns: dict[int, int] = {}
        self._everywhere_ns = -1
        self._pollers: list[CheckedReader] = []
        self.checked = self.asked_elsewhere = 0
        """readings that were looked at; those among them of which the process that served their device was
        asked"""
        self.wrong_of: dict[int, int] = {}
        self.first: Difference | None = None
        self._orders: dict[tuple[int, int], list[Command]] = {}
        self._not_done: dict[int, None] = {}
        """commands that drivers were told and haven't called done"""
        self.on_finish: list[Callable[[], None]] = []
        """told when the run is over, by who then has something to compare still"""
        self.commands_checked = 0
        self.wrong_commands: dict[int, int] = {}
        self.first_command: WrongWrite | None = None

    @property
    def readings(self) -> int:
        """Of which ``checked`` were looked at."""
        return self._ledger.readings

    @property
    def wrong(self) -> int:
        """Readings that weren't what the device showed."""
        return sum(self.wrong_of.values())

    @property
    def wrong_writes(self) -> int:
        """Writes that were said to be done and weren't."""
        return sum(self.wrong_commands.values())

    def add(self, poller: CheckedReader) -> None:
        """One more whose batches are looked at."""
        self._pollers.append(poller)

    def trouble(self, poller: CheckedReader) -> None:
        """From now on look at everything of that device for a while."""
        self._until_ns[poller.index] = self._env.now + WATCHFUL_NS
        poller.unchecked = 0

    def trouble_everywhere(self, now_ns: int) -> None:
        """Of all devices."""
        if now_ns + WATCHFUL_NS == self._everywhere_ns:
            return
        self._everywhere_ns = now_ns + WATCHFUL_NS
        for poller in self._pollers:
            poller.unchecked = 0

    def look(self, poller: CheckedReader, row: Row, batch: Batch) -> None:
        """A driver has returned a batch that is looked at; how long until the next one?"""
        device, now = row.device, self._env.now
        number = self._batches[device] = self._batches.get(device, 0) + 1
        self.check(device, row.k, batch, poller.table.bit_of, poller.witness)
        if row.void:
            self.trouble(poller)
        watchful = (
            number < FIRST
            or self._always[device]
            or now <= self._until_ns.get(device, -1)
            or now <= self._everywhere_ns
        )
        poller.unchecked = 0 if watchful else SHARE - 1

    def check(self, device: int, k: int, batch: Batch, bit_of: dict[int, int], witness: Witness) -> None:
        """Every reading of a batch that has a value against what was shown."""
        told = witness.exactly().get
        wrong: list[int] = []
        checked = 0
        for point, value, status in zip(batch.points, batch.values, batch.statuses, strict=True):
            if status >= BAD:
                continue
            index = bit_of[point].bit_length() - 1
            if told(index) == value:
                checked += 1
                continue
            shown = witness.shown(index)
            if shown is None:
                continue
            checked += 1
            if any(agree(value, one) for one in shown if not one.valueless or value != value):  # noqa: PLR0124  # NaN
                continue  # a number, where the device has said that it has none, is no agreement
            self.differs(
                device,
                index,
                k,
                value,
                shown[-1].value if shown else float("nan"),
                witness.likely(index, value) if shown else UNREAD,
            )
            wrong.append(index)
        checked += self._check_texts(device, k, batch, bit_of, witness)
        self.checked += checked
        if witness.asks_later:
            read = [
                (bit_of[point].bit_length() - 1, value)
                for point, value, status in zip(*batch[:3], strict=True)
                if status < BAD
            ]
            witness.read_later(
                self,
                k,
                [
                    (index, value, witness.shown(index) is not None)
                    for index, value in read
                    if index not in wrong
                ],
                [
                    bit_of[point].bit_length() - 1
                    for point, status in zip(batch.points, batch.statuses, strict=True)
                    if status >= BAD and witness.valueless(bit_of[point].bit_length() - 1, status)
                ],
            )

    def _check_texts(
        self, device: int, k: int, batch: Batch, bit_of: dict[int, int], witness: Witness
    ) -> int:
        """The same for the texts of a batch; how many were looked at."""
        checked = 0
        later = []
        for text in batch.texts:
            if text.status >= BAD:
                continue
            index = bit_of[text.point].bit_length() - 1
            shown = witness.texts(index)
            if shown is not None:
                checked += 1
                if text.value not in shown:
                    true = shown[-1] if shown else None
                    self.differs(device, index, k, text.value, true or "", UNREAD if not shown else "")
                    continue
            later.append((index, text.value, shown is not None))
        if later and witness.asks_later:
            witness.texts_later(self, k, later)
        return checked

    def name(self, device: int) -> str:
        """A device's."""
        return self._names[device]

    def point(self, device: int, index: int) -> str:
        """The name of a point."""
        return self._points[device][index]

    def differs(
        self, device: int, index: int, k: int, value: float | str, true: float | str, kind: str
    ) -> None:
        """A reading of sample k isn't what the device showed."""
        self.wrong_of[device] = self.wrong_of.get(device, 0) + 1
        if self.first is None:
            self.first = Difference(self._names[device], self._points[device][index], k, value, true, kind)

    def ordered(self, command: Command) -> None:
        """A driver is about to be told to write."""
        self._orders.setdefault((command.device, command.point), []).append(command)
        self._not_done[command.number] = None

    def wrote(self, command: Command, witness: Witness) -> None:
        """A driver has called a write done: does the device hold what was ordered, and nothing else that
        wasn't?"""
        self._not_done.pop(command.number, None)
        found = witness.holds(command.point, command.value)
        if found is None:  # nobody knows yet
            witness.wrote_later(self, command)
            return
        true, right, stray = found
        if not right:  # what an order said that came to nothing may have come late
            right = any(
                holds is not None and holds[1]
                for holds in (witness.holds(command.point, value) for value in self.failed_before(command))
            )
        self.held(command, true, right, stray)

    def was_ordered(self, device: int, point: int) -> bool:
        """Was a driver ever told to write to it?"""
        return (device, point) in self._orders

    def earlier(self, command: Command) -> list[float]:
        """What orders to the same point said that were given before it."""
        orders = self._orders[command.device, command.point]
        return [one.value for one in orders[: orders.index(command)]]

    def failed_before(self, command: Command) -> list[float]:
        """Of those, what was never called done: it may be on its way still."""
        orders = self._orders[command.device, command.point]
        return [one.value for one in orders[: orders.index(command)] if one.number in self._not_done]

    def finish(self) -> None:
        """The run is over."""
        for told in self.on_finish:
            told()

    def held(self, command: Command, true: float, right: bool, stray: str) -> None:
        """What the device was found to hold after a write, and whether that is right; ``stray``: what is
        wrong whatever it holds."""
        self.commands_checked += 1
        if right and not stray:
            return
        self.wrong_commands[command.device] = self.wrong_commands.get(command.device, 0) + 1
        if self.first_command is None:
            point = self._points[command.device][command.point]
            self.first_command = WrongWrite(
                self._names[command.device], point, command.number, command.value, true, stray
            )


def agree(value: float, shown: Shown) -> bool:
    """Is it what was shown, to the precision of the wire's type? Integers exactly, in units of the last place
    of their scale."""
    true = shown.value
    if value == true:
        return True
    if true - true != 0.0 or value - value != 0.0:
        return (value != value) == (true != true) and value - value != 0.0  # noqa: PLR0124  # NaN
    if type(true) is int and type(value) is float and abs(value) >= WHOLE_BELOW:
        return float(true) == value  # as near as a double comes; the gateway has marked it Uncertain
    apart = abs(value - true)
    if shown.step:
        return apart <= (LEAST if shown.step == 1.0 else max(LEAST * abs(shown.step), ROUNDED * abs(true)))
    return apart <= (SINGLE if shown.single else EXACT) * max(abs(value), abs(true))


def as_ordered(ordered: float, held: Shown) -> bool:
    """Does it hold what was ordered, rounded to what its register can say?"""
    if held.step:
        return abs(held.value - ordered) <= abs(held.step) * (0.5 + LEAST)
    return agree(ordered, held)

"""Attached devices that another process of ours serves: what they showed is asked there, and held against
what drivers have read.

Belongs here: the listening side of truth.py's conversation, its clock against ours, readings and writes that
wait to be compared. Never: sockets, what counts as equal (truth.py). The two timelines go at the wall's pace,
but began at different instants: a question that set out at ``a`` of ours, was answered at ``s`` of theirs and
came back at ``b`` of ours says that ``s`` lies between ``a`` and ``b``. A reading is compared when a question
that set out after it has been answered: all that was shown before has then been heard. Nothing here is on the
timeline.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twinloop.devices.model.device import Device
from twinloop.records import dataclass
from twinloop.sim.field.real_port import RealWorld
from twinloop.sim.kernel.clock import Environment, S
from twinloop.sim.truth.truth import NOT_WRITTEN, UNREAD, Shown, Truth, Witness, agree, as_ordered
from twinloop.sim.truth.witness import close

if TYPE_CHECKING:
    from twinloop.sim.cloud.messages import Command

HELLO, FORMAT = "twinloop-shown", 2
"""how that conversation begins; format 1 told no texts"""
ASKS_KEPT = 8
"""answers by which their clock is read: the one that came back soonest says it best"""
DRIFT = 5000
"""two clocks may part by one part in so many"""
POINTS_MAX, WAITING_MAX = 8192, 4096
"""values that are kept of one device; batches and writes that wait to be compared. What is more is not
compared, and is counted"""
KEPT_NS, KEPT_MIN = 5 * S, 4
"""for how long what was shown is kept, and how many of the last looks at least: what waits needs them, and
stale answers are known by them"""
LINE_BYTES_MAX = 16 << 20
"""of one sentence: what is longer is none of ours"""


@dataclass(frozen=True, slots=True)
class _Look:
    """Points as they were shown (or as a write left them) at an instant of our timeline from ``first_ns`` to
    ``last_ns``."""

    first_ns: int
    last_ns: int
    points: dict[str, Shown]
    texts: dict[str, str | None]
    """the same of points that are texts; None: what was there is none"""

    @property
    def size(self) -> int:
        """Values that are kept for it."""
        return len(self.points) + len(self.texts)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Something of a driver's call that ended then; ``compare`` it when what was shown by then is known."""

    ended_ns: int
    compare: Callable[[], None]


class Elsewhere:
    """One serving process. ``position``: the instant that it is on our timeline."""

    def __init__(self, position: Callable[[], int]) -> None:
        self._position = position
        self.write: Callable[[bytes], None] = lambda data: None
        """takes what it is asked"""
        self._buffer = b""
        self.points: dict[str, frozenset[str]] = {}
        """device -> its points, of all that are served there"""
        self._names: list[str] = []
        self._asked: dict[int, int] = {}
        self._asks = 0
        self._clock: deque[tuple[int, int, int]] = deque(maxlen=ASKS_KEPT)
        self._known_ns: int | None = None
        """from when on all looks are known"""
        self.heard_ns = -1
        """all that was shown before that instant has been heard"""
        self._looks: dict[tuple[str, bool], deque[_Look]] = {}
        """(device, of writes) -> the last of them"""
        self._held: dict[tuple[str, bool], int] = {}
        """how many values those are"""
        self._forgotten: dict[tuple[str, bool], int] = {}
        """until when looks had to be forgotten"""
        self._waiting: deque[_Waiting] = deque()
        self.unknown: dict[tuple[str, str], None] = {}
        """(device, point) that were asked for and aren't served there"""
        self.why = ""
        """why it can't be heard (any more); empty: it can"""
        self.left_out = 0
        """batches and writes that found no room to wait"""

    # ---- the conversation ------------------------------------------------------------------------
    def ask(self) -> None:
        """What is their clock?"""
        if not self.why:
            self._asks += 1
            self._asked[self._asks] = self._position()
            self.write(json.dumps({"ask": self._asks}).encode() + b"\n")

    def heard(self, data: bytes) -> None:
        """Bytes of the serving process."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            try:
                if not self.why:
                    self._understand(json.loads(line))
            except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
                self.lost("it says what this twinloop doesn't understand")
        if len(self._buffer) > LINE_BYTES_MAX:
            self.lost("it says what this twinloop doesn't understand")

    def lost(self, why: str = "the connection was lost") -> None:
        """Nothing more will be heard; what waits can't be compared."""
        self.why = self.why or why
        self._waiting.clear()
        self._buffer = b""

    def _understand(self, said: dict[str, Any]) -> None:
        if HELLO in said:
            if said[HELLO] != FORMAT:
                raise ValueError
            models = [frozenset(map(str, names)) for names in said["models"]]
            self._names = [str(name) for name, _ in said["devices"]]
            self.points = {str(name): models[model] for name, model in said["devices"]}
        elif "asked" in said:
            self._answered(int(said["asked"]), int(said["now"]))
        else:
            name = self._names[said["device"]]
            written = "held" in said
            first_ns, last_ns = self._ours(int(said["at"]))
            points = {
                str(point): Shown(float(value), float(step), bool(single), bool(valueless))
                for point, (value, step, single, valueless) in said["held" if written else "read"].items()
            }
            texts = {
                str(point): None if text is None else str(text)
                for point, text in said.get("texts", {}).items()
            }
            self._keep((name, written), _Look(first_ns, last_ns, points, texts))

    def _keep(self, of: tuple[str, bool], look: _Look) -> None:
        looks = self._looks.setdefault(of, deque())
        looks.append(look)
        held = self._held.get(of, 0) + look.size
        while len(looks) > 1 and (
            held > POINTS_MAX or (len(looks) > KEPT_MIN and looks[0].last_ns < look.last_ns - KEPT_NS)
        ):
            held -= looks[0].size
            self._forgotten[of] = looks.popleft().last_ns
        self._held[of] = held

    def _answered(self, number: int, theirs_ns: int) -> None:
        ours_ns = self._asked.pop(number)
        self._clock.append((ours_ns, theirs_ns, self._position()))
        if self._known_ns is None:
            self._known_ns = self._position()
        self.heard_ns = max(self.heard_ns, ours_ns)
        while self._waiting and self._waiting[0].ended_ns <= self.heard_ns:
            self._waiting.popleft().compare()

    def _ours(self, theirs_ns: int) -> tuple[int, int]:
        """From when to when on our timeline an instant of theirs may lie; of what came before the first
        answer, never."""
        if not self._clock:
            return -1, -1
        found = []
        for first_ns, at_ns, last_ns in self._clock:
            since_ns = theirs_ns - at_ns
            slack_ns = abs(since_ns) // DRIFT
            found.append(
                (
                    last_ns - first_ns + 2 * slack_ns,
                    since_ns + first_ns - slack_ns,
                    since_ns + last_ns + slack_ns,
                )
            )
        _, first_ns, last_ns = min(found)
        return first_ns, last_ns

    # ---- what waits ------------------------------------------------------------------------------
    def wait(self, begun_ns: int, ended_ns: int, compare: Callable[[], None]) -> None:
        """Compare when all that was shown by then has been heard; of calls that began before anything was
        heard nothing is known."""
        if self.why or self._known_ns is None or begun_ns < self._known_ns:
            return
        if len(self._waiting) >= WAITING_MAX:
            self.left_out += 1
            return
        self._waiting.append(_Waiting(ended_ns, compare))

    @property
    def waiting(self) -> int:
        """So much hasn't been compared yet."""
        return len(self._waiting)

    def shown(
        self, device: str, point: str, begun_ns: int, ended_ns: int, written: bool = False
    ) -> tuple[list[Shown], list[Shown]] | None:
        """(what the point showed in a call, what it showed before that); None when that isn't known."""
        looks = self._known(device, point, begun_ns, written)
        if looks is None:
            return None
        mine = [look for look in looks if point in look.points]
        during = [
            look.points[point] for look in mine if look.last_ns >= begun_ns and look.first_ns <= ended_ns
        ]
        return during, [look.points[point] for look in mine if look.last_ns < begun_ns]

    def texts(self, device: str, point: str, begun_ns: int, ended_ns: int) -> list[str | None] | None:
        """What a point that is a text showed in a call; None when that isn't known."""
        looks = self._known(device, point, begun_ns, written=False)
        if looks is None:
            return None
        return [
            look.texts[point]
            for look in looks
            if point in look.texts and look.last_ns >= begun_ns and look.first_ns <= ended_ns
        ]

    def _known(self, device: str, point: str, begun_ns: int, written: bool) -> deque[_Look] | None:
        """The looks at a device, if all are there that a call since then had; None: they aren't, or it hasn't
        got that point."""
        if point not in self.points.get(device, ()):
            self.unknown[device, point] = None
            return None
        if begun_ns <= self._forgotten.get((device, written), -1):
            return None
        return self._looks.get((device, written), deque())


BELIEVED_EMPTY = "a number that means that there is no value, by another table"


class AttachedWorld(RealWorld, Protocol):
    """The way to real devices, some of which another process of ours may serve."""

    def serving(self, device: str) -> Elsewhere | None:
        """The process of ours that serves that device, if one does."""
        ...


class ElsewhereWitness:
    """Of an attached device: ``near`` knows what was heard on the wire, the serving process what the device
    showed."""

    def __init__(
        self, near: Witness, serving: Elsewhere, env: Environment, index: int, device: Device
    ) -> None:
        self._near, self._serving, self._env, self._index, self._device = near, serving, env, index, device
        self._begun_ns, self._absent = 0, -1
        self.asks_later = True
        self.at, self.exactly, self.shown, self.valueless = near.at, near.exactly, near.shown, near.valueless
        self.texts, self.holds, self.likely = near.texts, near.holds, near.likely

    @property
    def absent(self) -> int:
        """Points of ours that the serving process says the device hasn't got, as bits; 0 as long as it has
        said nothing."""
        if self._absent < 0:
            has = self._serving.points.get(self._device.name)
            if has is None:
                return 0
            self._absent = sum(
                1 << i for i, point in enumerate(self._device.model.points) if point.name not in has
            )
        return self._absent

    def begin(self) -> None:
        """A call begins."""
        self._begun_ns = self._env.now
        self._near.begin()

    def texts_later(self, truth: Truth, k: int, texts: list[tuple[int, str, bool]]) -> None:
        """The same of texts: of points that are texts by our own table. What else a driver says in words,
        nobody over there knows."""
        texts = [one for one in texts if self._device.model.points[one[0]].text is not None]
        if not texts:
            return
        serving, device = self._serving, self._index
        name, begun_ns, ended_ns = truth.name(device), self._begun_ns, self._env.now

        def compare() -> None:
            for index, text, checked in texts:
                point = truth.point(device, index)
                shown = serving.texts(name, point, begun_ns, ended_ns)
                if shown is None:  # by our own table: that says nothing
                    truth.checked -= checked and (name, point) in serving.unknown
                    continue
                truth.asked_elsewhere += 1
                truth.checked += not checked
                if text not in shown:
                    truth.differs(
                        device, index, k, text, (shown[-1] if shown else None) or "", "" if shown else UNREAD
                    )

        serving.wait(begun_ns, ended_ns, compare)

    def read_later(
        self, truth: Truth, k: int, readings: list[tuple[int, float, bool]], empty: list[int]
    ) -> None:
        """Readings that weren't wrong by what was heard on the wire: (point, value, was it compared with
        that?). ``empty``: points that had no value by our own table; the device may have shown one."""
        serving, device = self._serving, self._index
        name, begun_ns, ended_ns = truth.name(device), self._begun_ns, self._env.now

        def compare() -> None:
            for index, value, checked in readings:
                found = serving.shown(name, truth.point(device, index), begun_ns, ended_ns)
                if found is None:
                    # by our own table: that says nothing
                    truth.checked -= checked and (name, truth.point(device, index)) in serving.unknown
                    continue
                shown, before = found
                truth.asked_elsewhere += 1
                truth.checked += not checked
                if not any(agree(value, one) for one in shown if not one.valueless or value != value):  # noqa: PLR0124  # NaN
                    truth.differs(
                        device,
                        index,
                        k,
                        value,
                        shown[-1].value if shown else float("nan"),
                        _likely(value, shown, before),
                    )

            for index in empty:
                found = serving.shown(name, truth.point(device, index), begun_ns, ended_ns)
                shown = found[0] if found is not None else []
                if shown:
                    truth.asked_elsewhere += 1
                    truth.checked += 1
                    if not any(one.valueless for one in shown):
                        truth.differs(device, index, k, float("nan"), shown[-1].value, BELIEVED_EMPTY)

        serving.wait(begun_ns, ended_ns, compare)

    def _says(self, index: int, ordered: float, held: Shown) -> bool:
        """Does the device hold what was ordered, rounded, and no more than what its register (as we know it)
        can say?"""
        cell = self._device.image.cell(index)
        if cell is None:
            return (held.value != 0.0) == (ordered != self._device.model.points[index].offset)
        return as_ordered(ordered, held) or as_ordered(cell.decode(cell.encode(ordered)), held)

    def wrote_later(self, truth: Truth, command: Command) -> None:
        """A write was called done, of which the wire doesn't say what the device holds."""
        serving = self._serving
        name = truth.name(command.device)
        point = truth.point(command.device, command.point)
        begun_ns = self._begun_ns
        ended_ns = self._env.now

        def compare() -> None:
            found = serving.shown(name, point, begun_ns, ended_ns, written=True)
            if found is None:
                return
            # another point that was written meanwhile may be somebody else's doing: what is ours the wire has
            # told
            held, before = found
            if held:
                orders = [command.value, *truth.failed_before(command)]
                truth.held(
                    command,
                    held[-1].value,
                    any(self._says(command.point, value, one) for one in held for value in orders),
                    "",
                )
                return
            read, read_before = serving.shown(name, point, begun_ns, ended_ns) or ([], [])
            known = [*read_before, *before, *read]  # who knows that it holds that already needn't write it
            if known and not any(self._says(command.point, command.value, one) for one in known):
                truth.held(command, known[-1].value, False, NOT_WRITTEN)

        serving.wait(begun_ns, ended_ns, compare)


def _likely(value: float, shown: list[Shown], before: list[Shown]) -> str:
    if not shown:
        return UNREAD
    if any(close(one.value, value) for one in before):
        return "a stale answer"
    if shown[-1].valueless:
        return "a number that means that there is no value"
    if any(close(shown[-1].value * 10.0**power, value) for power in (-3, -2, -1, 1, 2, 3)):
        return "another scale"
    return "a corrupted frame or another table"

"""``serve --judge``: a physical gateway between our devices and our broker, and the verdict on it.

Belongs here: the order of things, what can be judged, the result. Never: sockets (wire.py), books
(sim/serving/judged_plant.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twinloop.devices.mqtt.listener import KEEP_ALIVE_S, MqttListener
from twinloop.scenarios.file.load import Loaded, known_as
from twinloop.scenarios.judging.judged import Judged
from twinloop.scenarios.judging.thresholds import Judge, read_expectations
from twinloop.scenarios.judging.verdict import NOT_KEPT, Verdict, on_the_wire, overall
from twinloop.scenarios.report.result import Result, collect
from twinloop.scenarios.report.standing import standing
from twinloop.scenarios.text.units import show_duration
from twinloop.scenarios.text.words import number_of
from twinloop.scenarios.wire.observation import Observation
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import S
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.serving.judged_plant import ObservedPlant
from twinloop.sim.serving.plant import Caller, Write

if TYPE_CHECKING:
    from twinloop.sim.serving.broker import North

JUDGED = (
    "latency.cloud",
    "samples.due",
    "samples.delivered",
    "samples.missed",
    "samples.lost",
    "samples.duplicates",
    "samples.misordered",
)
"""what can be known of a gateway that isn't ours"""
NOT_OURS = "a gateway that isn't ours doesn't tell"
NAMED_MAX = 20
"""of lost samples and strange messages, in the report; the JSON has LISTED_MAX"""
LISTED_MAX = 10_000
REDIAL_NS = 1 * S


class Hil:
    """One judged serving: books, observer, expectations. ``listener``: the client at the broker."""

    def __init__(self, loaded: Loaded, plant: ObservedPlant) -> None:
        self.loaded, self.plant = loaded, plant
        self._expectations = read_expectations(loaded)
        mine = [
            expectation
            for expectation in self._expectations
            if expectation.metric in JUDGED and not expectation.within_ns
        ]
        self._judge = Judge(plant, mine)
        self._observation = Observation(loaded, plant.spec)
        self.listener = MqttListener(
            f"twinloop-{secrets.token_hex(8)}", self._observation.pattern, self._heard
        )
        self.close_observer: Callable[[], None] = lambda: None
        """hangs up at a broker that isn't ours; who dials sets it"""
        self.deaf: list[str] = []
        """why what was published is not known"""
        self.deaf_times: list[str] = []
        """when the broker couldn't be heard; its session has kept what came meanwhile, if it says so"""
        self.north: North | None = None
        self._over = self._stopped = False
        plant.ledger.tells_quality = self._observation.tells_quality
        plant.env.call_at(0, self._ping)

    def _heard(self, topic: str, payload: bytes) -> None:
        plant = self.plant
        plant.messages += 1
        found = self._observation.read(topic, payload)
        for one in found:
            if isinstance(one, str):
                plant.odd(one)
                continue
            plant.arrived(*one)

    def _ping(self) -> None:
        if not self.listener.ping():
            self.close_observer()
        self.plant.env.call_in(KEEP_ALIVE_S * S // 2, self._ping)

    def join(self, north: North) -> None:
        """Listen at our own broker, without a network."""
        self.north = north
        env, listener = self.plant.env, self.listener

        def heard(data: bytes, tag: Any, packet: int) -> None:
            listener.received(data)

        connection = north.broker.connection(heard, lambda: None, env.now)
        listener.connected(lambda data: connection.received(data, env.now))

    def standing(self) -> list[tuple[str, str, str]]:
        """Each expectation as it stands now: (its text, verdict or OPEN, what was measured)."""
        plant = self.plant
        known = {judged.expectation: judged for judged in self._judge.judge()}
        every = [known.get(one) or Judged(one, Verdict.NO_DATA, None, NOT_OURS) for one in self._expectations]
        return [standing(one, plant.spec, plant.env.now, False) for one in every]

    @property
    def ends_ns(self) -> int:
        """When it is over at the latest."""
        spec = self.plant.spec
        return spec.duration_ns + spec.settle_ns + max(device.poll_ns for device in spec.devices)

    # ---- the end ---------------------------------------------------------------------------------
    def hear_no_more(self, stopped: bool) -> None:
        """It is over, or ``stopped``: who hangs up now says nothing."""
        self._over, self._stopped = True, stopped
        if self.listener.has_listened and not self.listener.listening:
            self.deaf.append(
                f"at the end the broker couldn't be heard: {self.listener.why or 'the connection is lost'}"
            )

    def lost(self) -> None:
        """The broker's connection is lost."""
        if self.listener.listening and not self._over:
            self.plant.limit_met("broker-lost")
            why = self.listener.why or "the connection was lost"
            self.deaf_times.append(
                f"at {show_duration(self.plant.env.now)} the broker couldn't be heard for a while: {why}"
            )
        self.listener.lost()

    def result(self, notes: list[str], wall_s: float) -> Result:
        """Close the books and judge."""
        plant, stopped, error = self.plant, self._stopped, ""
        try:
            plant.finish(stopped)
        except InvariantError as broken:
            error = str(broken)
        known = {judged.expectation: judged for judged in self._judge.judge()}
        every = [known.get(one) or Judged(one, Verdict.NO_DATA, None, NOT_OURS) for one in self._expectations]
        verdict = (
            Verdict.ABORTED
            if stopped
            else overall(judged.verdict for judged in known.values())
            if known
            else Verdict.NO_DATA
        )
        kept = plant.pacer is None or plant.pacer.kept(self.loaded.scenario.pace.tolerance)
        if self.listener.lost_session:
            self.deaf.append(
                f"the broker had forgotten us {number_of(self.listener.lost_session, 'time')}: what was "
                f"published meanwhile is unknown"
            )
        verdict = Verdict.BROKEN if error else on_the_wire(verdict, kept and not self.deaf)
        unknown = [one.metric for one in self._expectations if one not in known]
        uncounted = f"{', '.join(dict.fromkeys(unknown))}: NO-DATA, and doesn't count: {NOT_OURS}"
        notes = [
            *notes,
            *([uncounted] if unknown and known else []),
            *([] if kept else [NOT_KEPT]),
            *self.deaf,
            *self._stories(),
        ]
        reproduce = f"twinloop serve {known_as(self.loaded.file)} --judge --seed {plant.spec.seed}"
        result = collect(self.loaded, plant, self._judge, every, verdict, notes, reproduce, wall_s)
        names = plant.ledger.names
        lost = [
            {"device": names[device], "k": k, "due_ns": due_ns}
            for device, k, due_ns in sorted(dict.fromkeys(plant.lost))[:LISTED_MAX]
        ]
        observed = {
            "messages": plant.messages,
            "strange": plant.strange,
            "strangeness": plant.strangeness,
            "lost": lost,
            "limits": plant.limits,
        }
        data = {**result.data, "observed": observed} | ({"broken": error} if error else {})
        return replace(result, data=data, error=error)

    def _stories(self) -> list[str]:
        """What was lost and what was strange, by name."""
        plant, told = self.plant, list(self.deaf_times[:NAMED_MAX])
        lost = sorted(dict.fromkeys(plant.lost))
        if lost:
            ends = plant.ledger.ends.items()
            points = sum(count for (_, end, _), count in ends if end is End.LOST)
            shown = [
                f"{plant.ledger.names[device]} k={k} (due at {show_duration(due_ns)})"
                for device, k, due_ns in lost[:NAMED_MAX]
            ]
            told.append(
                f"{number_of(points, 'sample')} (of {number_of(len(lost), 'instant')} at which a device had "
                f"some due) {'was' if points == 1 else 'were'} read and never arrived: "
                f"{', '.join(shown)}{', ...' if lost[NAMED_MAX:] else ''}"
            )
        if plant.strange:
            shown = list(dict.fromkeys(plant.strangeness))
            told.append(
                f"{number_of(plant.strange, 'message belongs', 'messages belong')} to no sample: "
                f"{'; '.join(shown[:3])}{'; ...' if shown[3:] else ''}"
            )
        for what, count in sorted(self.north.broker.broken_by.items()) if self.north is not None else ():
            told.append(f"{number_of(count, 'connection')} broke MQTT: {what}")
        if not plant.messages:
            told.append(f"nothing arrived on {self._observation.pattern}")
        return told


class Observer(Caller):
    """Our client's connection to a broker that isn't ours, dialled again when it is lost."""

    def __init__(self, hil: Hil, dial: Callable[[], None]) -> None:
        super().__init__(hil.plant, lambda data: None, lambda: None)
        self._hil, self._listener, self._dial = hil, hil.listener, dial

    def opened(self, write: Write, hang_up: Callable[[], None]) -> Observer:
        """A connection stands."""
        self.gone = False
        self.write, self.hang_up = write, hang_up
        self._hil.close_observer = hang_up
        self._listener.connected(write)
        return self

    def received(self, data: bytes) -> None:
        """Bytes of the broker."""
        if not self._listener.received(data):
            self.hang_up()

    def lost(self) -> None:
        """It is gone, or nobody was there: again."""
        self._hil.lost()
        self.plant.env.call_in(REDIAL_NS, self._again)

    def _again(self, *_: Any) -> None:
        self._dial()

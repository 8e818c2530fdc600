"""``twinloop components replay``: the recorded calls of a driver, made again on the same or a mended one.

Belongs here: instances, their calls in the recorded order, what each was given. Never: answers of the bus
(bus.py), comparing (comparing.py), words (told.py). One call at a time: a driver that another one delayed on
a busy board isn't here, which only a deadline could show.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from twinloop.components.compose.adapting import load_whole
from twinloop.components.contract.contract import CONTRACTS
from twinloop.components.contract.values import ValueProblem, filed, from_file
from twinloop.components.host.component import Component, ComponentRefused, read_component
from twinloop.components.host.host import Host
from twinloop.components.host.outcome import Fault
from twinloop.scenarios.components import trial
from twinloop.scenarios.exchanges.bus import Counts, Heard, ReplayBus
from twinloop.scenarios.exchanges.comparing import Came, Compared, compared, refused
from twinloop.scenarios.exchanges.lines import GIVEN, Call, Place
from twinloop.scenarios.exchanges.modbus import Asked
from twinloop.scenarios.exchanges.reading import CURE, Recorded
from twinloop.scenarios.exchanges.registers import Nearest, Registers, Room
from twinloop.scenarios.planning.components import SHIPPED
from twinloop.scenarios.text.errors import ScenarioError, unknown
from twinloop.sim.kernel.clock import S
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.machine.budget import CpuProfile
from twinloop.sim.model.wasi import Folder, WasiSpec

COMMAND = "components replay"
WALL = ("clock.now", "clocks/wall-clock#now")
MONOTONIC = ("clock.monotonic", "clocks/monotonic-clock#now")
"""of what is given, the instants"""


@dataclass
class Replayed:
    """One call, and what it came to."""

    call: Call
    place: Place
    came: Came
    compared: Compared
    heard: Heard


@dataclass
class Replay:
    """All of one. ``verdicts``: device -> export -> verdict -> calls; ``places``: of those calls."""

    recorded: Recorded
    wasm: Path
    component: Component | None = None
    calls: int = 0
    verdicts: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    places: dict[int, Place] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    stderr: str = ""

    def count(self, verdict: str) -> int:
        """How many calls came to that."""
        return sum(one.get(verdict, 0) for of in self.verdicts.values() for one in of.values())


def replayed(
    wasm: Path,
    recorded: Recorded,
    device: str | None,
    each: Callable[[Replayed], None],
    options: Mapping[str, str] | None = None,
) -> Replay:
    """Make all calls of a device, a fleet (of devices NAME/1, NAME/2, ...) or everybody; ``each`` is told of
    each. ``options``: in the place of recorded ones, or beside them. As in a scenario, a bare name that is no
    file here is that of a shipped driver. Raises ScenarioError."""
    if not os.path.exists(wasm) and wasm.name == str(wasm) and os.path.exists(SHIPPED / wasm):
        wasm = SHIPPED / wasm
    host = Host()
    try:
        component = load_whole(host, [(wasm.name, read_component(wasm))], "driver").component
        replay = Replay(recorded, wasm, component)
        _Replayer(host, component, replay, device, dict(options or {})).run(each)
    except ComponentRefused as error:
        raise ScenarioError(COMMAND, None, "", f"{wasm}: {error}") from error
    finally:
        host.close()
    return replay


class _Replayer:
    """Of one recording with one component."""

    def __init__(
        self, host: Host, component: Component, replay: Replay, device: str | None, options: dict[str, str]
    ) -> None:
        self._host, self._component, self._replay, self._device = host, component, replay, device
        self._options = options
        self._types = component.function_types()
        self._results = {name: filed(kind.result) for name, kind in self._types.items()}
        self._lines: dict[int, _Line] = {}
        self._registers: dict[str, Registers] = {}
        self._room = Room()

    def run(self, each: Callable[[Replayed], None]) -> None:
        recorded, replay = self._replay.recorded, self._replay
        devices: dict[str, None] = {}
        try:
            for call in recorded.calls():
                place = recorded.places[call.place]
                devices[place.device] = None
                if not self._meant(place.device):
                    continue
                replay.places[place.number] = place
                one = self._line(place).made(call)
                replay.calls += 1
                of = replay.verdicts.setdefault(place.device, {}).setdefault(call.export, {})
                of[one.compared.verdict] = of.get(one.compared.verdict, 0) + 1
                replay.counts.add(one.heard.counts)
                each(one)
        finally:
            for line in self._lines.values():
                replay.stderr = line.trial.stderr or replay.stderr
                line.trial.slot.drop()
        if not replay.calls:
            self._nothing(devices)
        if self._room.full:
            replay.notes.append(
                "the recording showed more registers than are kept: late ones aren't composed"
            )

    def _nothing(self, devices: dict[str, None]) -> None:
        file = str(self._replay.recorded.path)
        if self._device is not None and devices:
            raise ScenarioError("--device", None, "", f"{file}: {unknown('device', self._device, devices)}")
        text = "there is no call in it: was the run over before a driver was started?"
        raise ScenarioError(file, None, "", text)

    def _meant(self, device: str) -> bool:
        return self._device is None or device == self._device or device.startswith(f"{self._device}/")

    def _line(self, place: Place) -> _Line:
        found = self._lines.get(place.number)
        if found is None:
            if place.sockets:
                why = "its driver had sockets of its own (wasi:sockets), and these aren't recorded"
                text = f"{place.device}: {why}; name other devices with --device"
                raise ScenarioError(str(self._replay.recorded.path), None, "", text)
            found = self._lines[place.number] = _Line(
                self._host,
                self._component,
                self._types,
                self._results,
                replace(place, settings=place.with_options(self._options)),
                str(self._replay.recorded.path),
                self._replay.recorded.header.epoch_ns,
                lambda asked, at_ns: self._nearest(place.device, asked, at_ns),
            )
            for other in self._lines.values():  # an upgrade began with a copy of what state kept
                if other is not found and other.place.of() == place.of():
                    found.trial.slot.imports.begin_with(other.trial.slot.imports)
        return found

    def _nearest(self, device: str, asked: Asked, at_ns: int) -> list[int] | None:
        if not self._registers:  # all devices at once: the file is read once more, and no oftener
            again = Recorded(self._replay.recorded.path)
            for call in again.calls():
                place = again.places[call.place]
                if place.device not in self._registers:
                    self._registers[place.device] = Registers(self._room)
                self._registers[place.device].gather(place, (call,))
        registers = self._registers[device]
        return registers.nearest(asked, at_ns)


class _Given:
    """What a call was told of clocks and random numbers, told again. Who asks for more is told the time as it
    goes on in the replay, from the last that was given. ``epoch_ns``: ns since 1970 at 0 of the recording."""

    def __init__(self, epoch_ns: int) -> None:
        self._epoch_ns = epoch_ns
        self._left: dict[str, list[Any]] = {}
        self._ahead_ns: dict[str, int] = {}
        self.clocks: list[int] = []

    def begin(self, call: Call, now_ns: int) -> None:
        """That call's, at an instant of the replay."""
        self._left = {name: list(values) for name, values in call.given.items()}
        later_ns = call.at_ns - now_ns
        self._ahead_ns = dict.fromkeys(MONOTONIC, later_ns)
        self._ahead_ns |= dict.fromkeys(WALL, later_ns + self._epoch_ns - EPOCH_NS)
        self.clocks = []

    def wrap(self, name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        """In the place of a handler."""

        def answer(*arguments: Any) -> Any:
            own, left = handler(*arguments), self._left.get(name)  # its time and its limits are charged
            value = _as(own, left.pop(0)) if left else own
            if name not in self._ahead_ns:
                return value
            if left is not None and value is not own:
                self._ahead_ns[name] = _ns(value) - _ns(own)
            else:
                value = _later(own, self._ahead_ns[name])
            self.clocks.append(_ns(value))
            return value

        return answer


def _ns(instant: Any) -> int:
    """An instant, as one number or as seconds and ns."""
    return instant[0] * S + instant[1] if type(instant) is tuple else int(instant)


def _later(instant: Any, by_ns: int) -> Any:
    then_ns = max(0, _ns(instant) + by_ns)
    return divmod(then_ns, S) if type(instant) is tuple else then_ns


def _as(own: Any, value: Any) -> Any:
    """Of the kind of what would be answered here."""
    if type(own) is bytes:
        return bytes.fromhex(value)
    return tuple(value) if type(own) is tuple else value


class _Line:
    """One place: its instance, the device that isn't there, the time that it is told."""

    def __init__(
        self,
        host: Host,
        component: Component,
        types: dict[str, Any],
        results: dict[str, Callable[[Any], Any]],
        place: Place,
        file: str,
        epoch_ns: int,
        nearest: Nearest,
    ) -> None:
        self.place, self._component, self._types, self._file = place, component, types, file
        self._results = results
        self._names = place.names()
        self._same = component.sha256 == place.sha256
        terms = place.terms
        folders = tuple(
            Folder(path, read_only, quota, tuple((name, bytes.fromhex(text)) for name, text in files))
            for path, read_only, quota, files in terms.folders
        )
        packages = terms.wasi if self._same else tuple(dict.fromkeys((*terms.wasi, "wasi:clocks")))
        wasi = WasiSpec(packages, folders, (), terms.environment, terms.arguments)
        prices = terms.prices
        if len(prices) == 4:  # before an exchange and a byte had prices, they were an import's and a value's
            prices = (*prices[:3], prices[2], prices[3], prices[3])
        profile = CpuProfile(*prices)
        self.trial = trial.Trial(
            host, place.component, component, wasi,
            trial.Terms(
                profile, terms.deadline_ns, terms.start_ns, terms.cpu_ns, terms.memory_bytes,
                terms.state_bytes,
            ),
        )  # fmt: skip
        self._bus = self.trial.bus = ReplayBus(self.trial.env, place.protocol, nearest)
        self._given = _Given(epoch_ns)
        self._configured: Call | None = None
        handlers = self.trial.slot.imports.handlers
        for name, handler in list(handlers.items()):
            if name in GIVEN:
                handlers[name] = self._given.wrap(name, handler)

    def made(self, call: Call) -> Replayed:
        """One call, made again."""
        if call.cut:
            if call.export == "start":
                self.trial.slot.drop()
            return self._replayed(call, Came())
        if call.export == "configure":
            self._configured = call
        came = self._start(call) if call.export == "start" else self._called(call)
        if came.fault is not None or came.then is not None:
            self.trial.slot.drop()
        return self._replayed(call, came, self._bus.finish())

    def _replayed(self, call: Call, came: Came, heard: Heard | None = None) -> Replayed:
        return Replayed(
            call, self.place, came, compared(call, came, self._names, self._same), heard or Heard()
        )

    def _start(self, call: Call) -> Came:
        self.trial.slot.drop()
        self._given.begin(call, self.trial.env.now)
        self._bus.reset()
        self._bus.begin(call.bus, call.at_ns)
        fault, _ = self.trial.start()
        return Came(fault=_data(fault), clocks=self._given.clocks)

    def _called(self, call: Call) -> Came:
        if (
            self.trial.slot.instance is None
        ):  # it failed here, and not in the field: a gateway starts it again
            failed = self._again(call)
            if failed is not None:
                return failed
        return self._call_now(call)

    def _again(self, call: Call) -> Came | None:
        """A new instance, configured as the last one; what it dies of."""
        came = self._start(Call(call.place, call.instance, "start", call.at_ns))
        if came.fault is None and call.export != "configure" and self._configured is not None:
            came = self._call_now(self._configured)
        return came if came.fault is not None or came.then is not None else None

    def _call_now(self, call: Call) -> Came:
        self._given.begin(call, self.trial.env.now)
        self._bus.begin(call.bus, call.at_ns)
        export = call.export
        fault, result, _ = self.trial.call(export, self._arguments(call), export == "read-sensor")
        if fault is not None:
            return Came(fault=_data(fault), clocks=self._given.clocks)
        gives = self._results[export](result)
        return Came(gives, None, refused(export, gives, self._names), self._given.clocks)

    def _arguments(self, call: Call) -> tuple[Any, ...]:
        if call.export == "configure":
            return (self.place.settings.of(self._component.contract),)
        if call.export != "write-register":
            return ()
        point, value = call.arguments.get("point"), call.arguments.get("value")
        kinds = dict(self._types[call.export].params)
        if self._component.contract is CONTRACTS["0.1"] and isinstance(value, dict) and len(value) == 1:
            value = next(iter(value.values()))
            value = float(next(iter(value.values())) if isinstance(value, dict) else value)
        try:
            return from_file(kinds["point"], point, "point"), from_file(kinds["value"], value, "value")
        except ValueProblem as problem:
            text = f"{problem}; {CURE}"
            raise ScenarioError(self._file, call.line, "$.arguments", text) from problem


def _data(fault: Fault | None) -> dict[str, Any] | None:
    if fault is None:
        return None
    return {"cause": fault.cause.value, "message": fault.message, "functions": list(fault.functions)}

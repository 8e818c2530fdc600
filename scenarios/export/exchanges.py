"""``--exchanges FILE``: what drivers asked and got in a run, as a file that ``components replay`` reads.

Belongs here: listening to instances and ports. Never: what a line looks like (scenarios/exchanges/lines.py).
Whoever is listened to goes on as without: the digest of a run is the same. An instance of a driver is made as
a kind that tells of its calls (``Host.makes``); a port is wrapped for the instants at which it is asked. A
call is written when the next one begins, because until then the gateway may make a fault of what it gave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

from twinloop import __version__
from twinloop.components.contract.values import filed, to_file
from twinloop.components.host.call_state import Owner, Request
from twinloop.components.host.capi import Word
from twinloop.components.host.component import Linked
from twinloop.components.host.instance import Instance
from twinloop.components.host.memory import MemoryOwner
from twinloop.components.host.outcome import Cause, Fault
from twinloop.scenarios.exchanges.lines import (
    ABORTED,
    EXPORTS,
    FINISHED,
    GIVEN,
    Call,
    Exchange,
    Header,
    Place,
    Terms,
    end_line,
)
from twinloop.scenarios.export.growing import GrowingFile
from twinloop.scenarios.report.folder import Folder as Results
from twinloop.scenarios.text.errors import ScenarioError, unknown
from twinloop.sim.gateway.call import fuel_or_deadline
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.gateway.poller import Poller
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.kernel.clock import Event
from twinloop.sim.machine.budget import CpuProfile
from twinloop.sim.model.wasi import Folder
from twinloop.sim.world import World

FLAG, OF_FLAG = "--exchanges", "--exchanges-of"
KEPT_MAX = 100_000
"""exchanges of one call, and answers of clocks in one, that are kept; a call with more is marked as cut"""
MANY = f"more than {KEPT_MAX} exchanges or answers of clocks in one call"
OF_THE_GATEWAY = (Cause.CONTRACT, Cause.UNHEALTHY)
"""faults that a gateway makes of what a finished call gave, and of that alone"""
Handlers = Mapping[str, Callable[..., Any]]
About = Callable[[], tuple[str, str]]


class ExchangesFile:
    """Asked for before a run; called with its world it writes the file while the run goes on. ``of``: devices
    and fleets, none for all; ``about``: (name, digest) of the scenario. Raises ScenarioError for a name that
    nothing has, or when the file can't be made."""

    def __init__(self, path: Path, of: tuple[str, ...], about: About) -> None:
        self._path, self._of, self._about = path, of, about
        self.told = ""
        """what a reader of the file must know"""

    @contextmanager
    def __call__(self, world: World, folder: Results | None) -> Iterator[None]:
        """While this is entered calls are written."""
        wanted = _wanted(world, self._of)
        file = GrowingFile(self._path, FLAG, "recording")
        recorder = _Recorder(world, file, wanted)
        try:
            name, digest = self._about()
            real = world.pacer is not None and world.pacer.wire
            header = Header(
                f"twinloop {__version__}",
                name,
                digest,
                world.spec.seed,
                "real" if real else "simulated",
                world.epoch_ns,
            )
            file.write(header.line())
            with recorder.listening(prompt=real):
                yield
        finally:
            self.told = recorder.told
            file.close()


def _wanted(world: World, names: tuple[str, ...]) -> dict[str, None]:
    """Names of the devices that are meant."""
    devices, fleets = world.spec.devices, world.spec.fleets
    known = dict.fromkeys([*fleets, *(device.name for device in devices)])
    for name in names:
        if name not in known:
            raise ScenarioError(OF_FLAG, None, "", unknown("device or fleet", name, known))
    meant = (one for one in devices if not names or one.name in names or fleets[one.fleet] in names)
    return dict.fromkeys(one.name for one in meant)


class _Recorder:
    """Of one world."""

    def __init__(self, world: World, file: GrowingFile, wanted: dict[str, None]) -> None:
        self._world, self._file, self._wanted = world, file, wanted
        self._places: dict[int, _Told] = {}
        """id of a slot's imports -> its place; slots live as long as their world"""
        self._slots: dict[int, tuple[Slot, Gateway]] = {}
        """id of its handlers -> a slot, and its gateway"""
        self._protocols = {one.name: one.protocol for one in world.spec.devices}
        self._ports: dict[tuple[str, str], _Timed] = {}
        self._prompt = self._over = False
        self._calls = self._exchanges = 0
        self.told = ""

    @contextmanager
    def listening(self, prompt: bool) -> Iterator[None]:
        """While this is entered. ``prompt``: each line is in the file at once, whatever becomes of this
        process."""
        world, finished = self._world, False
        self._prompt = prompt
        for gateway in world.gateways:
            for poller in gateway.pollers:
                if poller.name in self._wanted:
                    port = self._ports[gateway.name, poller.name] = _Timed(poller)
                    poller.port = port
        world.host.makes = self._make
        try:
            yield
            finished = world.finished and not world.env.stopped
        finally:
            world.host.makes = Instance
            for told in self._places.values():
                told.over("the run was over")
            self._over = True
            how = FINISHED if finished else ABORTED
            self._file.write(end_line(how, self._calls, self._exchanges))

    def _make(self, host: Owner, linked: Linked, handlers: Handlers, memory: MemoryOwner) -> Instance:
        slot = self._slot_of(handlers) if linked.component.role == "driver" else None
        if slot is None or slot.settings.device not in self._wanted:
            return Instance(host, linked, handlers, memory)
        told = self._places.get(id(slot.imports))
        if told is None:
            told = self._places[id(slot.imports)] = self._place(slot)
        told.over("another instance took its place")
        told.instance += 1
        return RecordedInstance(told, host, linked, told.heard(handlers), memory)

    def _slot_of(self, handlers: Handlers) -> Slot | None:
        """Whose handlers these are; an upgrade brings new slots."""
        if id(handlers) not in self._slots:
            for gateway in self._world.gateways:
                self._slots |= {id(one.imports.handlers): (one, gateway) for one in gateway.rack.all()}
        found = self._slots.get(id(handlers))
        return None if found is None else found[0]

    def _place(self, slot: Slot) -> _Told:
        gateway = self._slots[id(slot.imports.handlers)][1]
        spec, device = slot.spec, slot.settings.device
        wasi, profile = spec.wasi, slot.meter.profile
        sockets = "wasi:sockets" in wasi.packages
        if sockets:
            self.told = f"{device}: its driver has sockets of its own; what it says there isn't recorded"
        terms = Terms(
            gateway.machine.board.name,
            _prices(profile),
            slot.deadline_ns,
            spec.start_ns,
            spec.cpu_ns,
            spec.memory_bytes,
            spec.state_bytes,
            spec.grants,
            wasi.packages,
            wasi.environment,
            wasi.arguments,
            tuple(_folder(one) for one in wasi.folders),
        )
        place = Place(
            len(self._places), device, gateway.name, spec.name, spec.component.sha256,
            self._protocols[device], terms, slot.settings, sockets,
        )  # fmt: skip
        self._file.write(place.line())
        return _Told(self, place, slot, self._ports.get((gateway.name, device)))

    @property
    def now(self) -> int:
        """The run's instant."""
        return self._world.env.now

    def write(self, call: Call) -> None:
        """It is whole."""
        if self._over:
            return
        self._calls += 1
        self._exchanges += len(call.bus)
        self._file.write(call.text())
        if self._prompt:
            self._file.flush()


def _folder(folder: Folder) -> tuple[str, bool, int, tuple[tuple[str, str], ...]]:
    files = tuple((name, content.hex()) for name, content in folder.content)
    return folder.path, folder.read_only, folder.quota_bytes, files


def _prices(profile: CpuProfile) -> tuple[int, ...]:
    return astuple(profile)


class _Timed:
    """A port that knows when it was asked last; the timeline is the same with it."""

    def __init__(self, poller: Poller) -> None:
        self._port, self._env = poller.port, poller.machine.env
        self.asked_ns = self._env.now

    def transact(self, request: bytes, reply: Any, timeout_ns: int, limit_ns: int) -> Event:
        """The port's."""
        self.asked_ns = self._env.now
        return self._port.transact(request, reply, timeout_ns, limit_ns)

    def send(self, data: bytes, timeout_ns: int) -> Event:
        """The port's."""
        self.asked_ns = self._env.now
        return self._port.send(data, timeout_ns)

    def receive(self, frame: Any, timeout_ns: int) -> Event:
        """The port's."""
        self.asked_ns = self._env.now
        return self._port.receive(frame, timeout_ns)

    def reset(self) -> None:
        """The port's."""
        self.asked_ns = self._env.now
        self._port.reset()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


class _Told:
    """One place, and the call that is under way there, or has ended and isn't written yet."""

    def __init__(self, recorder: _Recorder, place: Place, slot: Slot, port: _Timed | None) -> None:
        self._recorder, self._place, self._slot, self._port = recorder, place, slot, port
        self._types = slot.linked.component.function_types()
        self._results = {name: filed(self._types[name].result) for name in EXPORTS if name in self._types}
        self.instance = -1
        self.call: Call | None = None
        self.ended = False
        """the call isn't under way any more"""
        self._request: Request | None = None
        self._kept = 0

    def heard(self, handlers: Handlers) -> Handlers:
        """These, with clocks and random numbers that are written down."""
        return {name: self._hear(name, one) if name in GIVEN else one for name, one in handlers.items()}

    def _hear(self, name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*arguments: Any) -> Any:
            value = handler(*arguments)
            call = self.call
            if call is not None and self._room(call):
                call.given.setdefault(name, []).append(_shown(value))
            return value

        return answer

    def _room(self, call: Call) -> bool:
        self._kept += 1
        if self._kept > KEPT_MAX:
            call.cut = MANY
        return self._kept <= KEPT_MAX

    # ---- told by the instance --------------------------------------------------------------------
    def began(self, export: str, arguments: Sequence[Any]) -> None:
        """A call begins; that of before is whole."""
        self.over("")
        call = self.call = Call(self._place.number, self.instance, export, self._recorder.now)
        self.ended, self._kept = False, 0
        if export == "write-register":
            value = arguments[1] if type(arguments[1]) is tuple else ("real", arguments[1])
            kind = dict(self._types[export].params)["value"]
            written = to_file(kind, value) if type(arguments[1]) is tuple else {"real": value[1]}
            call.arguments = {"point": arguments[0], "value": written}

    def segment(self, request: Request | None, fault: Fault | None, result: Callable[[], Any]) -> None:
        """Guest code has run: to an import, or to the call's end."""
        call = self.call
        if call is None or self.ended:
            return
        if request is not None:
            self._request = request if request.name.startswith("fieldbus.") else None
            return
        call.took_ns, self.ended = self._recorder.now - call.at_ns, True
        if fault is not None and fault.cause is Cause.DEAD:
            call.cut = fault.message
        elif fault is not None:
            starts = call.export == "start"
            call.fault = _fault_data(fuel_or_deadline(self._slot, fault, starts))
        elif call.export != "start":
            call.gives = self._results[call.export](result())

    def answered(self, value: Any) -> None:
        """What it waited for has come; None of a reset."""
        self._exchanged((True, None) if value is None else value)

    def _exchanged(self, gets: Any) -> None:
        call, request, self._request = self.call, self._request, None
        if call is None or request is None or not self._room(call):
            return
        op, arguments, now = request.name.partition(".")[2], request.arguments, self._recorder.now
        asked = now if self._port is None else max(call.at_ns, self._port.asked_ns)
        asks, frame, timeout_ns = b"", None, 0
        if op == "transact":
            asks, frame, timeout_ns = arguments
        elif op == "send":
            asks, timeout_ns = arguments
        elif op == "receive":
            frame, timeout_ns = arguments
        call.bus.append(Exchange(op, asks, frame, timeout_ns, asked - call.at_ns, gets, now - asked))

    def killed(self, fault: Fault) -> None:
        """From outside: the call's time is over, or the gateway makes a fault of what it gave."""
        call = self.call
        if call is None:
            return
        if not self.ended:
            self._exchanged(None)
            call.took_ns, self.ended = self._recorder.now - call.at_ns, True
            call.fault = _fault_data(fault)
        elif call.gives is not None and fault.cause in OF_THE_GATEWAY:
            call.then = _fault_data(fault)
        elif fault.cause is Cause.TRANSFER_LIMIT:
            call.gives, call.fault = None, _fault_data(fault)

    def over(self, why: str) -> None:
        """No more comes to the call; ``why`` it isn't whole, if it isn't."""
        call, self.call = self.call, None
        if call is None:
            return
        if not self.ended:
            self._request = None
            call.took_ns, call.cut = self._recorder.now - call.at_ns, call.cut or why
        self._recorder.write(call)


def _shown(answer: Any) -> Any:
    """As JSON has it."""
    if type(answer) is bytes:
        return answer.hex()
    return list(answer) if type(answer) is tuple else answer


def _fault_data(fault: Fault) -> dict[str, Any]:
    return {"cause": fault.cause.value, "message": fault.message, "functions": list(fault.functions)}


class RecordedInstance(Instance):
    """An instance that tells of its calls."""

    __slots__ = ("told",)

    def __init__(
        self, told: _Told, host: Owner, linked: Linked, handlers: Handlers, memory: MemoryOwner
    ) -> None:
        super().__init__(host, linked, handlers, memory)
        self.told = told

    def begin_start(self, fuel: int) -> None:
        """Tell, and begin."""
        self.told.began("start", ())
        super().begin_start(fuel)

    def begin(
        self, export: str, arguments: Sequence[Any], fuel: int, arguments_at: Word | None = None
    ) -> None:
        """Tell, and begin."""
        self.told.began(export, arguments)
        super().begin(export, arguments, fuel, arguments_at)

    def advance(self) -> int:
        """Go on, and tell what it came to."""
        closed = self.closed
        fuel = super().advance()
        if not closed:
            self.told.segment(self.request, self.fault, self.result)
        return fuel

    def answer(self, value: Any) -> None:
        """Tell, and answer."""
        if not self.closed:
            self.told.answered(value)
        super().answer(value)

    def kill(self, cause: Cause, message: str) -> Fault:
        """End it, and tell."""
        closed = self.closed
        fault = super().kill(cause, message)
        if not closed:
            self.told.killed(fault)
        return fault

    def close(self) -> None:
        """Tell, and close."""
        if not self.closed:
            self.told.over("its gateway dropped it")
        super().close()

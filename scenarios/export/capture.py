"""``twinloop run --pcap FILE``: what is on the wires of a run, as a pcap-ng file.

Belongs here: which frames are seen where, and when. Never: bytes of a block (pcapng.py) or of a header
(frames.py), who has which address (addresses.py). Whatever is watched goes on as it would without: the digest
of a run is the same. Only what the simulation sends is in the file: a frame for each segment, datagram's
packet or serial frame, and none beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from twinloop import __version__
from twinloop.scenarios.export import frames
from twinloop.scenarios.export.addresses import Addresses, Pair
from twinloop.scenarios.export.pcapng import INBOUND, OUTBOUND, RAW_IP, UPPER_PDU, PcapngFile
from twinloop.scenarios.export.wanted import Wanted
from twinloop.scenarios.report.folder import Folder
from twinloop.sim.cloud.messages import TLS_RECORD_BYTES
from twinloop.sim.kernel.clock import NEVER_NS
from twinloop.sim.model.spec import LinkSpec
from twinloop.sim.network.link import Way
from twinloop.sim.network.serial_line import Burst, Line
from twinloop.sim.network.tap import DATA, FIN, SYN, Sent, watch
from twinloop.sim.network.tcp import TcpStream
from twinloop.sim.network.udp import UdpPath
from twinloop.sim.north.uplink import HELLO, SERVER_HELLO
from twinloop.sim.world import World

LOST = "lost on its way: dropped by the link, or damaged and dropped by its receiver"
GARBLED = "garbled: something else was on the line at the same time"
DAMAGED = "damaged on the line"
_FLAGS = {DATA: frames.ACK, FIN: frames.FIN | frames.ACK, SYN: frames.SYN}
_FIRST_LINE_PORT = 1024


class Capture:
    """Asked for before a run; called with its world it writes the file while the run goes on. ``of``: names
    of what is captured, none for everything. Raises ScenarioError for a name that nothing has, or when the
    file can't be made."""

    def __init__(self, path: Path, of: tuple[str, ...] = ()) -> None:
        self._path, self._of = path, of

    @contextmanager
    def __call__(self, world: World, folder: Folder | None) -> Iterator[None]:
        """While this is entered the run is captured."""
        wanted = Wanted(world, self._of)
        file = PcapngFile(self._path, f"twinloop {__version__}", _about(world))
        try:
            shown = Shown(world, file, wanted)
            yield
            shown.finish()
        finally:
            file.close()


def _about(world: World) -> str:
    start_s = world.epoch_ns // 1_000_000_000
    return (
        f"A run that twinloop has simulated, seed {world.spec.seed}. The scenario begins at {start_s} s "
        "since 1970; gateways and devices start in the ten minutes before. The simulation has the bytes "
        "that TCP, UDP and serial lines carry, and knows when each frame was sent, lost, or sent again. "
        "Addresses, ports, IP, TCP and UDP headers are made for this file. The simulation has no "
        "acknowledgements without data and no segment that resets a connection, so there are none here."
    )


def _about_link(link: LinkSpec, world: World) -> str:
    said = (
        f"link {link.name}, seen from the gateway's end (where a device speaks to its broker: from the "
        "broker's). What is sent there is here even if it is lost, with a comment; what is lost before it "
        "gets there is not."
    )
    if any(gateway.uplink.link == link.name for gateway in world.spec.gateways):
        said += (
            f" Uplinks are plain MQTT here: the simulation counts a TLS handshake and {TLS_RECORD_BYTES} "
            "bytes around each message, and makes neither; the segments of the handshake are left out."
        )
    return said


def _about_line(line: Line, world: World) -> str:
    units = ", ".join(
        f"unit {unit} is {world.spec.devices[device.index].name}"
        for unit, mine in line.devices.items()
        for device in mine
    )
    return (
        f"serial line {line.name}, {line.timing.rate_bd} Bd, seen from the gateway's end: requests as they "
        "were sent, answers as they came, if they came. A frame's time is that of its last character. Port "
        f"{frames.RTU_PORT} stands for who answers. {units}"
    )


class _Frame:
    """One that waits for its time. ``ready_ns``: when its fate is known; ``gone``: it never came."""

    __slots__ = ("comment", "data", "direction", "gone", "ready_ns", "seen")

    def __init__(self, seen: _Seen, data: bytes, direction: int, ready_ns: int, comment: str) -> None:
        self.seen, self.data, self.direction, self.ready_ns = seen, data, direction, ready_ns
        self.comment, self.gone = comment, False


class _Seen:
    """What was seen of one interface. ``missing``: packets that were lost before they came to where it
    captures; ``unseen``: those of which the simulation has the size alone; ``offered``: all that were
    told of."""

    __slots__ = ("frames", "late", "lost", "missing", "number", "offered", "unseen")

    def __init__(self, number: int) -> None:
        self.number = number
        self.frames = self.lost = self.missing = self.unseen = self.offered = self.late = 0


class Shown:
    """One world and its capture. Frames are put in order of their time; those that may still be lost wait in
    memory, which are those on their way."""

    def __init__(self, world: World, file: PcapngFile, wanted: Wanted) -> None:
        self._world, self._file, self._wanted = world, file, wanted
        self._addresses = Addresses(world)
        self._waiting: list[tuple[int, int, _Frame]] = []
        self._order = 0
        self._seen: dict[str, _Seen] = {}
        self._datagrams = 0
        if any(link.serial_bd is None and wanted.link(link) for link in world.spec.links):
            file.names(self._addresses.names())
        for link in world.spec.links:
            if link.serial_bd is None and wanted.link(link):
                about = _about_link(link, world)
                self._seen[link.name] = _Seen(file.interface(RAW_IP, link.name, f"link {link.name}", about))
                world.links[link.name].watched = self._opened
        for number, line in enumerate(world.field.lines.values()):
            units = wanted.units(line)
            if units:
                about = _about_line(line, world)
                described = f"serial line {line.name}, {line.timing.rate_bd} Bd"
                seen = _Seen(file.interface(UPPER_PDU, line.name, described, about))
                self._seen[line.name] = seen
                self._watch_line(
                    line, seen, units, frames.SerialTags(_FIRST_LINE_PORT + number, line.timing.ascii)
                )

    # ---- who speaks ------------------------------------------------------------------------------
    def _opened(self, made: Any) -> None:
        """A connection over a link, or a way for datagrams."""
        if isinstance(made, TcpStream):
            link, owner = made.up.way.link.name, _owner(made.down.receive)
        else:
            assert isinstance(made, UdpPath)
            link, owner = made.link_name, _owner(made.near)
        pair = self._addresses.of(owner, link)
        if not self._wanted.connection(link, pair):
            return
        if isinstance(made, TcpStream):
            watch(made, _Connection(self, self._seen[link], pair))
        else:
            made.seen = _Datagrams(self, self._seen[link], pair)

    def _watch_line(self, line: Line, seen: _Seen, units: set[int], tags: frames.SerialTags) -> None:
        plain = line.carry

        def carry(way: Way, frame: bytes, burst: Burst) -> bytes | None:
            arrived = plain(way, frame, burst)
            unit = line.unit(frame)
            if unit in units or unit not in line.devices:  # the latter are for all, or nonsense
                seen.offered += 1
                self._line_frame(seen, tags, way.up, frame, arrived, burst.garbled)
            return arrived

        line.carry = carry  # type: ignore[method-assign]  # of this one line

    def _line_frame(
        self,
        seen: _Seen,
        tags: frames.SerialTags,
        up: bool,
        frame: bytes,
        arrived: bytes | None,
        garbled: bool,
    ) -> None:
        comment = ""
        if garbled:
            comment = GARBLED
        elif arrived is None:
            comment = LOST
        elif arrived != frame:
            comment = DAMAGED
        if up:
            self.put(seen, self.now, tags.request + frame, OUTBOUND, self.now, comment)
            seen.lost += arrived is None
        elif arrived is None:
            seen.missing += 1
        else:
            self.put(seen, self.now, tags.answer + arrived, INBOUND, self.now, comment)

    # ---- frames ----------------------------------------------------------------------------------
    @property
    def now(self) -> int:
        """The run's instant."""
        return self._world.env.now

    def next_datagram(self) -> int:
        """By which the packets of a datagram belong together."""
        self._datagrams += 1
        return self._datagrams

    def put(
        self, seen: _Seen, at_ns: int, data: bytes, direction: int, ready_ns: int, comment: str = ""
    ) -> _Frame:
        """A frame is seen at that time, now or later."""
        frame = _Frame(seen, data, direction, ready_ns, comment)
        self._order += 1
        heappush(self._waiting, (at_ns, self._order, frame))
        self._write(self.now)
        return frame

    def _write(self, before_ns: int) -> None:
        """Those of which all is known: their time is over, and so is that of their arrival."""
        waiting, file, epoch_ns = self._waiting, self._file, self._world.epoch_ns
        while waiting and waiting[0][0] < before_ns and waiting[0][2].ready_ns < before_ns:
            at_ns, _, frame = heappop(waiting)
            seen = frame.seen
            if frame.gone:
                seen.missing += 1
                continue
            seen.frames += 1
            file.frame(seen.number, epoch_ns + at_ns, frame.data, frame.direction, frame.comment)

    def finish(self) -> None:
        """The run is over, however it ended: what hasn't come by now doesn't come."""
        now = self.now
        for at_ns, _, frame in self._waiting:
            frame.ready_ns = at_ns
            if at_ns > now:
                frame.seen.late += 1
        self._write(now + 1)
        for link in self._world.spec.links:
            if link.name in self._seen:
                seen = self._seen[link.name]
                whole = self._wanted.whole(link)
                others = self._world.links[link.name].stats().offered - seen.offered if whole else 0
                self._told(seen, now, others)
        for name in self._world.field.lines:
            if name in self._seen:
                self._told(self._seen[name], now, 0)

    def _told(self, seen: _Seen, now_ns: int, others: int) -> None:
        said = [f"Frames in this file: {seen.frames}; of these lost afterwards: {seen.lost}."]
        left_out = {
            "lost before they came here": seen.missing,
            "on their way when the run ended": seen.late,
            "of a TLS handshake, whose content the simulation doesn't have": seen.unseen,
            "of a gateway pair's heartbeats, whose content the simulation doesn't have": others,
        }
        said += [f"Not in this file: packets {what}: {count}." for what, count in left_out.items() if count]
        self._file.statistics(
            seen.number, self._world.epoch_ns + now_ns, seen.frames, seen.missing, " ".join(said)
        )


def _owner(told: Any) -> object:
    """Whose bound method that is."""
    return told.__self__


class _Connection:
    """What is seen of one TCP connection."""

    def __init__(self, shown: Shown, seen: _Seen, pair: Pair) -> None:
        self._shown, self._seen, self._pair = shown, seen, pair

    def content(self, payload: Any) -> bytes | None:
        """What is sent stands alone, or in front of what else is known of it."""
        data = payload[0] if isinstance(payload, tuple) else payload
        return None if data is HELLO or data is SERVER_HELLO else data

    def ends(self, payload: Any) -> bool:
        """A stream ends with something that is no bytes."""
        return not isinstance(payload, tuple | bytes)

    def left(self, sent: Sent) -> None:
        """A segment leaves. The simulation opens every stream from the near end; where a device opens it to
        its broker the two first segments go the other way."""
        pair, seen, shown = self._pair, self._seen, self._shown
        seen.offered += 1
        outbound = sent.up == (pair.calls_out or sent.kind != SYN)
        lost = sent.arrives_ns == NEVER_NS
        if lost and not outbound:
            seen.missing += 1
            return
        sender, receiver = (pair.near, pair.far) if outbound else (pair.far, pair.near)
        flags = _FLAGS[sent.kind] | (frames.ACK if sent.answers else 0) | (frames.PUSH if sent.data else 0)
        packet = frames.tcp(
            sender, receiver, number=sent.begins, heard=sent.heard, flags=flags, data=sent.data
        )
        if not outbound:
            sent.shown = shown.put(seen, sent.arrives_ns, packet, INBOUND, sent.arrives_ns)
            return
        seen.lost += lost
        ready_ns = sent.at_ns if lost else sent.arrives_ns
        sent.shown = shown.put(seen, sent.at_ns, packet, OUTBOUND, ready_ns, LOST if lost else "")

    def ruled_out(self, sent: Sent) -> None:
        """It doesn't come."""
        frame = sent.shown
        if frame.direction == INBOUND:
            frame.gone = True
        else:
            frame.comment = LOST
            self._seen.lost += 1

    def unseen(self, up: bool) -> None:
        """Of a TLS handshake."""
        self._seen.offered += 1
        self._seen.unseen += 1


class _Datagrams:
    """What is seen of one UDP socket's datagrams."""

    def __init__(self, shown: Shown, seen: _Seen, pair: Pair) -> None:
        self._shown, self._seen, self._pair = shown, seen, pair
        self._afoot: dict[tuple[bool, int, int], list[_Frame]] = {}
        """(up, when it comes, size) -> frames"""

    def offered(self, up: bool, data: bytes, fates: list[list[tuple[int, bool]]]) -> None:
        """Its packets leave, each with a fate of its own."""
        pair, seen, shown = self._pair, self._seen, self._shown
        now = shown.now
        self._afoot = {key: some for key, some in self._afoot.items() if key[1] >= now}
        sender, receiver = (pair.near, pair.far) if up else (pair.far, pair.near)
        packets = frames.udp(sender, receiver, number=shown.next_datagram(), data=data)
        for packet, fate in zip(packets, fates, strict=True):
            seen.offered += 1
            came = [at for at, damaged in fate if not damaged]
            if up:
                seen.lost += not came
                made = [shown.put(seen, now, packet, OUTBOUND, min(came, default=now), "" if came else LOST)]
                came = came[:1]
            else:
                seen.missing += not came
                made = [shown.put(seen, at, packet, INBOUND, at) for at in came]
            for at, frame in zip(came, made, strict=False):
                self._afoot.setdefault((up, at, len(packet)), []).append(frame)

    def ruled_out(self, up: bool, size_bytes: int) -> None:
        """A packet doesn't come."""
        some = self._afoot.get((up, self._shown.now, size_bytes))
        if not some:
            return  # a second copy of what was sent once
        frame = some.pop(0)
        if up:
            frame.comment = LOST
            self._seen.lost += 1
        else:
            frame.gone = True

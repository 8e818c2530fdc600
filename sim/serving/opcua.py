"""OPC UA clients of a served field: a connection to one device's server each.

Belongs here: bytes between a client and a server of sim/libraries/stacks.py, and what can't be OPC UA. Never:
sockets, services.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twinloop.sim.field.tcp_port import BUS_USER_TIMEOUT_NS, END
from twinloop.sim.network.tcp import TcpStream
from twinloop.sim.serving.plant import Caller, ServedPlant, Write

if TYPE_CHECKING:
    from twinloop.sim.libraries.stacks import Accepted

CHUNK_HEADER_BYTES, CHUNK_BYTES_MAX = 8, 65_535
"""message type, chunk type, size (OPC 10000-6 table 75); the largest that the servers say they take"""
MESSAGE_BYTES_MAX = 16 << 20
"""of one message in all its chunks"""
_CHUNKS = (b"HELF", b"OPNF", b"CLOF", b"MSGF", b"MSGC", b"MSGA")


class _Chunks:
    """Keeps count of a client's chunks, so that no server gathers what will never be a message (OPC 10000-6
    section 7.1.2.2)."""

    def __init__(self) -> None:
        self._header = b""
        self._left = self._message_bytes = 0

    def right(self, data: bytes) -> bool:
        """Can this go on what has come?"""
        at = 0
        while at < len(data):
            if self._left:
                taken = min(self._left, len(data) - at)
                self._left -= taken
                at += taken
                continue
            wanted = CHUNK_HEADER_BYTES - len(self._header)
            self._header += data[at : at + wanted]
            at += wanted
            if len(self._header) < CHUNK_HEADER_BYTES:
                break
            kind, size = self._header[:4], int.from_bytes(self._header[4:], "little")
            self._header = b""
            self._message_bytes += size
            if (
                kind not in _CHUNKS
                or not CHUNK_HEADER_BYTES <= size <= CHUNK_BYTES_MAX
                or self._message_bytes > MESSAGE_BYTES_MAX
            ):
                return False
            if kind[3:] != b"C":
                self._message_bytes = 0
            self._left = size - CHUNK_HEADER_BYTES
        return True


class OpcUaCaller(Caller):
    """A client of one OPC UA device's server, whose own name for itself is ``name`` (host, port)."""

    def __init__(
        self,
        *,
        plant: ServedPlant,
        index: int,
        name: tuple[str, int],
        peer: str,
        write: Write,
        hang_up: Callable[[], None],
    ) -> None:
        from twinloop.devices.opcua.device import PORT, OpcUaServer, host_of

        super().__init__(plant, write, hang_up)
        spec, server, stacks = plant.spec.devices[index], plant.field.servers[index], plant.field.stacks
        assert isinstance(server, OpcUaServer)
        assert stacks is not None
        self._server, self._stacks, self._response_ns, self._index = server, stacks, spec.response_ns, index
        self._stream = TcpStream(
            env=plant.env,
            link=plant.links[spec.link],
            leg=spec.name,
            near=self._back,
            far=self._asked,
            lost=self._broken,
            user_timeout_ns=BUS_USER_TIMEOUT_NS,
        )
        self._stream.open = True
        self._chunks = _Chunks()
        self._peer: Accepted | None = stacks.accept(
            host_of(spec.name), PORT, self._answered, self._hung_up, peer, name
        )
        if self._peer is None:
            self._broken()

    def received(self, data: bytes) -> None:
        """Bytes of the client; what can't be chunks ends the connection."""
        if self.gone:
            return
        if not self._chunks.right(data):
            self.plant.limit_met("not-opcua")
            self._broken()
            return
        self._wait()
        self._stream.send_up(data, len(data))

    def _asked(self, data: bytes) -> None:
        if self.plant.on_frame is not None:
            self.plant.on_frame(self._index, ">", data)
        self._over()
        if self._peer is not None:
            self._peer.received(data)

    def _answered(self, data: bytes) -> None:
        spoilt, samples = self._server.spoilt(data), self._server.take_carried()
        if spoilt is not None:
            if self.plant.on_frame is not None:
                self.plant.on_frame(self._index, "<", spoilt)
            self._stream.send_down(
                (spoilt, samples if self._server.untouched else []),
                len(spoilt),
                self._response_ns + self._server.slow_ns,
            )

    def _hung_up(self, at_once: bool) -> None:
        if self._stacks.closed:
            return
        if at_once:
            self._stream.break_off()
        else:
            self._stream.send_down(END, 0, self._response_ns)

    def _back(self, data: Any) -> None:
        if self.gone:
            return
        if data is END:
            self._broken()
            return
        answer, samples = data
        if samples:
            self.plant.got(self._index, samples)
        self.write(answer)

    def _broken(self) -> None:
        if not self.gone:
            self.lost()
            self.hang_up()

    def lost(self) -> None:
        """The client is no more; its session waits for its timeout, as at any server."""
        super().lost()
        self._stream.close()
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.gone()

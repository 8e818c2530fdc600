"""A Modbus server with manners: which requests it hears, how much longer an answer takes, what it refuses.

Belongs here: manners that requests and their times decide, sans-IO. Never: connections (who makes them asks
``Doors``), faults (devices/model/misbehaviour.py, which act after these). MODBUS Application Protocol V1.1b3
section 7: 01 illegal function, 05 acknowledge, 06 server device busy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twinloop.devices.modbus.frames import ascii_body
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model.device import Device
from twinloop.devices.model.manners import Manners
from twinloop.devices.model.protocols import MBAP
from twinloop.devices.model.signal import mixed

_ILLEGAL_FUNCTION, _ACKNOWLEDGE, _BUSY = 1, 5, 6
_SINGLE = (5, 6)
_WRITES = (5, 6, 15, 16, 22, 23)
LONG_AGO_NS = -(1 << 62)


class Visitor(Protocol):
    """A connection, as its device knows it."""

    def hung_up(self) -> None:
        """The device ends it."""
        ...


class Doors:
    """Who is connected to a device, or to a port of several, the oldest first. ``most`` 0: any number."""

    __slots__ = ("_drop_first", "_inside", "most")

    def __init__(self, most: int, more: str) -> None:
        self.most, self._drop_first = most, more == "drop-first"
        self._inside: list[Visitor] = []

    def enter(self, visitor: Visitor) -> str:
        """A connection stands; the manner that bites: ``refused`` (it isn't let in), ``dropped`` (another had
        to go), or none."""
        if not self.most or len(self._inside) < self.most:
            self._inside.append(visitor)
            return ""
        if not self._drop_first:
            return "refused"
        first = self._inside.pop(0)
        self._inside.append(visitor)
        first.hung_up()
        return "dropped"

    def leave(self, visitor: Visitor) -> None:
        """It is over; it needn't have been let in."""
        for i, one in enumerate(self._inside):
            if one is visitor:
                del self._inside[i]
                return


class _Shared:
    """What all connections of a device have in common."""

    __slots__ = ("asked", "bitten", "busy_until_ns", "doors", "key", "manners", "response_ns", "share_word")

    def __init__(self, manners: Manners, response_ns: int, key: int, bitten: Callable[[str], None]) -> None:
        self.manners, self.response_ns, self.key, self.bitten = manners, response_ns, key, bitten
        self.doors = Doors(manners.connections, manners.more)
        self.share_word = int(manners.busy_share * (1 << 64))
        self.busy_until_ns = LONG_AGO_NS
        self.asked = 0


class ManneredServer(ModbusServer):
    """Answers for one device with manners, on one connection or on a line."""

    __slots__ = ("_connected_ns", "_first", "_shared", "_spoke_ns")
    mannered = True

    def __init__(
        self,
        device: Device,
        beside: ManneredServer | None = None,
        unit_id: int | None = None,
        shared: _Shared | None = None,
        framing: str = MBAP,
    ) -> None:
        super().__init__(device, beside, unit_id, framing)
        found = shared if beside is None else beside._shared
        assert found is not None
        self._shared: _Shared = found
        self._connected_ns = self._spoke_ns = LONG_AGO_NS
        self._first = True

    def beside(self, unit_id: int | None = None) -> ManneredServer:
        """As ModbusServer's: the same manners, and one count of what is asked."""
        return ManneredServer(self.device, self, unit_id)

    @property
    def manners(self) -> Manners:
        """Its device's."""
        return self._shared.manners

    @property
    def echoes(self) -> bool:  # type: ignore[override]  # of a device with manners it depends
        """Does its line bring back what is sent?"""
        return self._shared.manners.echo

    @property
    def doors(self) -> Doors:
        """Who is connected to its device."""
        return self._shared.doors

    def bitten(self, which: str) -> None:
        """A manner has bitten: of manners.BITES."""
        self._shared.bitten(which)

    # ---- times -----------------------------------------------------------------------------------
    def connected(self, now_ns: int) -> None:
        """This connection stands."""
        self._connected_ns, self._spoke_ns, self._first = now_ns, LONG_AGO_NS, True

    def spoke(self, now_ns: int) -> None:
        """On a line: its answer's last character is out."""
        self._spoke_ns = now_ns

    def _ignored(self, now_ns: int) -> bool:
        """Has this request come too soon?"""
        manners = self._shared.manners
        if now_ns - self._connected_ns < manners.quiet_after_connect_ns:
            self.bitten("quiet")
        elif now_ns - self._spoke_ns < manners.pause_ns:
            self.bitten("pause")
        else:
            return False
        return True

    def _answers(self, now_ns: int) -> None:
        """An answer to a request of now begins to be thought of."""
        shared = self._shared
        manners, more_ns = shared.manners, 0
        asleep = manners.asleep_after_ns and now_ns - self._spoke_ns >= manners.asleep_after_ns
        if manners.first_answer_ns and (self._first or asleep):
            more_ns = manners.first_answer_ns
            self.bitten("first-answer")
        self._first = False
        self.slow_ns = self.slow_ns + more_ns if self.faults else more_ns
        self._spoke_ns = now_ns + shared.response_ns + self.slow_ns

    # ---- requests --------------------------------------------------------------------------------
    def respond_tcp(self, data: bytes, now_ns: int) -> list[bytes] | None:
        """As ModbusServer's; nothing for what came too soon."""
        if not data:
            return []
        if self._ignored(now_ns):
            return []
        answers = super().respond_tcp(data, now_ns)
        if answers:
            self._answers(now_ns)
        return answers

    def respond_rtu_tcp(self, data: bytes, now_ns: int) -> list[bytes]:
        """As ModbusServer's; nothing for what came too soon."""
        if not data or self._ignored(now_ns):
            return []
        answers = super().respond_rtu_tcp(data, now_ns)
        if answers:
            self._answers(now_ns)
        return answers

    def respond_udp(self, datagram: bytes, now_ns: int) -> bytes | None:
        """As ModbusServer's; None for what came too soon."""
        if self._ignored(now_ns):
            return None
        answer = super().respond_udp(datagram, now_ns)
        if answer is not None:
            self._answers(now_ns)
        return answer

    def respond_rtu(self, frame: bytes, now_ns: int) -> bytes | None:
        """As ModbusServer's; None for what came too soon and was its own."""
        if frame[:1] == bytes((self.unit_id,)) and self._ignored(now_ns):
            return None
        answer = super().respond_rtu(frame, now_ns)
        if answer is not None:
            self._answers(now_ns)
        return answer

    def respond_ascii(self, frame: bytes, now_ns: int) -> bytes | None:
        """As ModbusServer's; None for what came too soon and was its own."""
        body = ascii_body(frame)
        if body is not None and body[0] == self.unit_id and self._ignored(now_ns):
            return None
        answer = super().respond_ascii(frame, now_ns)
        if answer is not None:
            self._answers(now_ns)
        return answer

    def respond_pdu(self, pdu: bytes, now_ns: int) -> bytes:
        """As ModbusServer's; exceptions 01, 05 and 06 as the manners say. A request that is answered with 06
        has done nothing."""
        shared, code = self._shared, pdu[0]
        manners = shared.manners
        if now_ns < shared.busy_until_ns or self._busy():
            self.bitten("busy")
            return bytes((code & 0x7F | 0x80, _BUSY))
        if code in _SINGLE and not manners.write_single:
            self.bitten("no-single-write")
            return bytes((code | 0x80, _ILLEGAL_FUNCTION))
        answer = super().respond_pdu(pdu, now_ns)
        if manners.write_takes_ns and code in _WRITES and answer[0] == code:
            shared.busy_until_ns = now_ns + manners.write_takes_ns
            self.bitten("acknowledged")
            return bytes((code | 0x80, _ACKNOWLEDGE))
        return answer

    def _busy(self) -> bool:
        shared = self._shared
        if not shared.share_word:
            return False
        shared.asked += 1
        return mixed(shared.key, shared.asked) < shared.share_word


def server_of(
    device: Device,
    manners: Manners,
    response_ns: int,
    key: int,
    bitten: Callable[[str], None],
    framing: str = MBAP,
) -> ModbusServer:
    """Who answers for a device: without manners the plain server, which knows of none. ``key``: 64 bits that
    decide which requests find it busy; ``bitten`` is told of each manner that bites."""
    if not manners:
        return ModbusServer(device, framing=framing)
    return ManneredServer(device, shared=_Shared(manners, response_ns, key, bitten), framing=framing)

"""A client that asks a real Modbus device, one request at a time, and writes nothing: pymodbus's own.

Belongs here: the connection, one exchange and how long it took. Never: what is asked (scenarios/learning/), a
function that writes. ASCII, RTU, RTU over TCP and Modbus TCP.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any, NamedTuple

from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerType

from twinloop.devices.model.protocols import ASCII, MBAP, RTU

_FRAMERS = {MBAP: FramerType.SOCKET, RTU: FramerType.RTU, ASCII: FramerType.ASCII}
_BITS = ("coil", "discrete")
_READS = {
    "coil": "read_coils",
    "discrete": "read_discrete_inputs",
    "holding": "read_holding_registers",
    "input": "read_input_registers",
}
IDENTITY_ANSWERS_MAX = 16
"""that one identity comes in"""


class Answer(NamedTuple):
    """What came. ``words``: registers or bits, None: none came. ``code``: of an exception, 0: silence or
    success. ``took_ns``: from the request's first byte to the answer's last."""

    words: tuple[int, ...] | None
    code: int = 0
    took_ns: int = 0

    @property
    def silent(self) -> bool:
        """Neither values nor an exception came."""
        return self.words is None and not self.code


class Client:
    """Asks unit ``unit``. ``host`` and ``port``, or the ``path`` of a serial port. ``pause_s``: at least so
    long between an answer and the next request."""

    def __init__(
        self,
        *,
        framing: str,
        unit: int,
        host: str = "",
        port: int = 0,
        path: str = "",
        rate_bd: int = 9600,
        characters: str = "8N1",
        timeout_s: float = 1.0,
        pause_s: float = 0.0,
    ) -> None:
        logging.getLogger("pymodbus").addHandler(
            logging.NullHandler()
        )  # it would tell stderr of each silence
        self.unit, self._pause_s, self._timeout_s = unit, pause_s, timeout_s
        self._serial = bool(path)
        self._client: Any = (
            ModbusSerialClient(
                path,
                framer=_FRAMERS[framing],
                baudrate=rate_bd,
                bytesize=int(characters[0]),
                parity=characters[1],
                stopbits=int(characters[2]),
                timeout=timeout_s,
                retries=0,
            )
            if path
            else ModbusTcpClient(host, framer=_FRAMERS[framing], port=port, timeout=timeout_s, retries=0)
        )
        self._spoke_s = 0.0

    def connect(self) -> bool:
        """Is it connected now?"""
        return bool(self._client.connect())

    def close(self) -> None:
        """Twice is once."""
        self._client.close()

    def read(self, table: str, address: int, count: int) -> Answer:
        """Functions 1 to 4. An answer of another length is none."""
        ask = getattr(self._client, _READS[table])
        found, took_ns = self._exchange(lambda: ask(address, count=count, device_id=self.unit))
        if found is None:
            return Answer(None, 0, took_ns)
        if found.isError():
            return Answer(None, int(found.exception_code), took_ns)
        words = [int(one) for one in (found.bits[:count] if table in _BITS else found.registers)]
        if len(words) != count:
            self._forget()
            return Answer(None, 0, took_ns)
        return Answer(tuple(words), 0, took_ns)

    def identity(self) -> tuple[dict[int, str], Answer]:
        """Function 43/14: number of an object -> text, and the last answer's code and time."""
        objects: dict[int, str] = {}
        last = Answer(None)
        for level in (1, 2, 3):
            first = 0
            for _ in range(IDENTITY_ANSWERS_MAX):
                found, took_ns = self._exchange(
                    lambda level=level, first=first: self._client.read_device_information(
                        read_code=level, object_id=first, device_id=self.unit
                    )
                )
                if found is None or found.isError():
                    code = 0 if found is None else int(found.exception_code)
                    return objects, (last if objects else Answer(None, code, took_ns))
                last = Answer((), 0, took_ns)
                for number, value in found.information.items():
                    objects[int(number)] = _text(value)
                if not found.more_follows:
                    break
                first = found.next_object_id
            if level >= found.conformity & 0x7F:
                break
        return objects, last

    def _exchange(self, ask: Any) -> tuple[Any, int]:
        """(pymodbus's answer, None for silence; ns that it took)."""
        rest_s = self._spoke_s + self._pause_s - time.monotonic()
        if self._spoke_s and rest_s > 0:
            time.sleep(rest_s)
        begin_ns = time.monotonic_ns()
        try:
            found = ask()
        except (ModbusException, OSError, ValueError, IndexError):
            found = None
        took_ns = time.monotonic_ns() - begin_ns
        if found is None:
            self._forget()
        self._spoke_s = time.monotonic()
        return found, took_ns

    def _forget(self) -> None:
        """An answer that comes late isn't the next one's: on a line what comes now is thrown away, a
        connection is begun anew."""
        if self._serial:
            time.sleep(self._timeout_s)
            with contextlib.suppress(OSError, AttributeError):
                self._client.socket.reset_input_buffer()
        else:
            self._client.close()


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(one) for one in value)
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)

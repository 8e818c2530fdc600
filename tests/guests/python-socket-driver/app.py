"""A driver in Python that polls its Modbus TCP device over a socket of its own, and over nothing else.

Belongs here: one connection, which is kept from poll to poll and dialled again after it has failed. Never:
`fieldbus`. Built by the Makefile beside it. What `socket` needs, the codec of host names too, has to be
imported up here: the component is a snapshot of this module after its imports.
"""

import encodings.idna  # noqa: F401
import socket
import struct

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import types

SIZES = {"u16": (1, ">H"), "i16": (1, ">h"), "u32": (2, ">I"), "i32": (2, ">i"), "f32": (2, ">f")}
FUNCTIONS = {"holding": 3, "input": 4}


class Connection:
    """To the device, with what is known of it. Options: host (device), port (502), timeout (ms, 200)."""

    def configure(self, settings: types.Settings) -> None:
        self.link = None
        self.polls = self.errors = self.number = 0
        told = dict(settings.options)
        self.unit = int(told.get("unit", "1"))
        self.at = told.get("host", "device"), int(told.get("port", "502"))
        self.timeout = int(told.get("timeout", "200")) / 1000
        self.points = [(point, self.cell(point.address)) for point in settings.points]

    def cell(self, address: str) -> tuple:
        table, at, kind, order = [*address.split(":"), "u16", "be"][:4]
        if kind not in SIZES or table not in FUNCTIONS or order != "be":
            raise Err(types.ConfigError_BadAddress(address))
        count, form = SIZES[kind]
        return FUNCTIONS[table], int(at), count, form

    def exchange(self, pdu: bytes) -> bytes:
        """Send a request, return the answering PDU; raises OSError."""
        if self.link is None:
            self.link = socket.create_connection(self.at, self.timeout)
        self.number = (self.number + 1) & 0xFFFF
        self.link.sendall(struct.pack(">HHHB", self.number, 0, len(pdu) + 1, self.unit) + pdu)
        number, _, length, _ = struct.unpack(">HHHB", self.exactly(7))
        answer = self.exactly(length - 1)
        if number != self.number:
            raise ConnectionError("an answer to another request")
        return answer

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.link.recv(size - len(data))
            if not more:
                raise ConnectionResetError("closed by the device")
            data += more
        return data

    def hang_up(self, why: Exception) -> None:
        print(f"{type(why).__name__}: {why}", flush=True)
        self.errors += 1
        if self.link is not None:
            self.link.close()
            self.link = None

    def read(self) -> types.Batch:
        self.polls += 1
        readings = []
        try:
            for point, (function, at, count, form) in self.points:
                answer = self.exchange(struct.pack(">BHH", function, at, count))
                if answer[0] != function:
                    raise Err(types.DriverError_Rejected(answer[1]))
                value = struct.unpack(form, answer[2:])[0] * point.scale + point.offset
                readings.append(types.Reading(point.id, value, 0, 0))
        except TimeoutError as why:
            self.hang_up(why)
            raise Err(types.DriverError_Bus(types.BusError_Timeout())) from None
        except OSError as why:
            self.hang_up(why)
            raise Err(types.DriverError_Bus(types.BusError_Disconnected())) from None
        return types.Batch(readings, [])

    def write(self, point: int, value: float) -> None:
        for config, (function, at, count, form) in self.points:
            if config.id == point and function == 3:
                raw = (value - config.offset) / config.scale
                words = struct.pack(form, raw if form == ">f" else round(raw))
                try:
                    answer = self.exchange(struct.pack(">BHHB", 16, at, count, 2 * count) + words)
                except OSError as why:
                    self.hang_up(why)
                    raise Err(types.DriverError_Bus(types.BusError_Disconnected())) from None
                if answer[0] != 16:
                    raise Err(types.DriverError_Rejected(answer[1]))
                return
        raise Err(types.DriverError_NoSuchPoint(point))


device = Connection()
"""of this instance: each call of an export is another Driver"""


class Driver(exports.Driver):
    """One instance for one device."""

    def configure(self, settings: types.Settings) -> None:
        device.configure(settings)

    def read_sensor(self) -> types.Batch:
        return device.read()

    def write_register(self, point: int, value: float) -> None:
        device.write(point, value)

    def get_status(self) -> types.DriverStatus:
        return types.DriverStatus(types.Health.OK, device.polls, device.errors, "")

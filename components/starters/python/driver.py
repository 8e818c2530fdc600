"""@NAME@: a driver. It reads and writes holding registers of one Modbus device, over TCP or a serial line.

`configure` is called first; then `read_sensor` at each poll. There is one instance for each device.
Each call gets a new object, so what is kept between two calls is kept outside of it.

Sources: MODBUS Application Protocol V1.1b3; MODBUS Messaging on TCP/IP V1.0b; MODBUS over Serial Line V1.02.
"""

import math
import struct
from dataclasses import dataclass, field
from typing import NoReturn

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import clock, fieldbus
from wit_world.imports.fieldbus import Framing_LengthField, Framing_Silence, LengthField
from wit_world.imports.types import (
    Batch,
    BusError_Timeout,
    ConfigError_BadAddress,
    ConfigError_BadOption,
    ConfigError_TooManyPoints,
    ConfigError_UnknownOption,
    DriverError,
    DriverError_Bus,
    DriverError_Malformed,
    DriverError_NoSuchPoint,
    DriverError_NotConfigured,
    DriverError_Other,
    DriverError_Rejected,
    DriverStatus,
    Health,
    Integer_Signed,
    Integer_Unsigned,
    IntegerReading,
    PointConfig,
    Reading,
    Settings,
    Written,
    Written_Integer,
    Written_Text,
)

POINTS_MAX = 1000
LATE_MAX = 4
LATE_AGE_MAX = 63
HOUR_NS = 3_600_000_000_000
UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}

# OPC UA status codes
GOOD = 0
BAD_COMMUNICATION = 0x80050000
BAD_TIMEOUT = 0x800A0000
BAD_NOT_CONNECTED = 0x808A0000
BAD_DEVICE = 0x808B0000
BAD_SENSOR = 0x808C0000
BAD_NO_DATA = 0x809B0000

TYPES = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f", "u64": ">Q", "i64": ">q"}
"""a register type's name -> its bytes, as `struct` says it"""
FLOAT, UNSIGNED_64, SIGNED_64 = ">f", ">Q", ">q"
READ, WRITE_ONE, WRITE_MANY = 3, 6, 16
TCP = Framing_LengthField(LengthField(4, 2, True, 0))


@dataclass
class Point:
    """One point: where its value is, how it is coded, and what its device shows when it has no value."""

    id: int
    address: int
    code: str
    scale: float
    offset: float
    sentinels: list[int]
    size: int = field(init=False)
    """the bytes of its registers"""
    exact: bool = field(init=False)
    """is the value in the registers the point's value?"""
    whole: bool = field(init=False)
    """are its readings integers, since a float would round them?"""

    def __post_init__(self) -> None:
        self.size = struct.calcsize(self.code)
        self.exact = self.scale == 1 and self.offset == 0
        self.whole = self.exact and self.code in (UNSIGNED_64, SIGNED_64)


@dataclass
class Device:
    """The settings as they are used."""

    rtu: bool = False
    unit: int = 1
    timeout: int = 1_000_000_000
    points: list[Point] = field(default_factory=list)


@dataclass
class State:
    """What is kept between two calls."""

    device: Device | None = None
    transaction: int = 0
    polls: int = 0
    errors: int = 0
    failing: bool = False


state = State()


# ---- settings ------------------------------------------------------------------------------------
def integer(text: str, most: int) -> int | None:
    """A number of digits up to `most`, or None."""
    if not (text.isascii() and text.isdigit()):
        return None
    text = text.lstrip("0") or "0"
    return int(text) if len(text) < 20 and int(text) <= most else None


def duration(text: str) -> int | None:
    """ "200 ms" in nanoseconds: above 0 and at most an hour; or None."""
    digits = len(text) - len(text.lstrip("0123456789"))
    scale = UNITS_NS.get(text[digits:].strip(" \t"))
    count = integer(text[:digits], HOUR_NS // scale) if scale else None
    return count * scale if scale and count else None


def set_option(device: Device, name: str, value: str) -> bool:
    """Is the value fit?"""
    if name == "protocol":
        device.rtu = value == "modbus-rtu"
        return value in ("modbus-tcp", "modbus-rtu")
    found = integer(value, 255) if name == "unit" else duration(value)
    if found is None:
        return False
    setattr(device, name, found)
    return True


def point_of(config: PointConfig) -> Point | None:
    """A point with an address like "holding:40:f32:be"; None if it isn't one."""
    parts = config.address.split(":")
    if not 2 <= len(parts) <= 4 or parts[0] != "holding" or len(parts[1]) > 5:
        return None
    code = TYPES.get(parts[2] if len(parts) > 2 else "u16")
    if code is None or (len(parts) > 3 and parts[3] != "be") or config.scale == 0:
        return None
    size = struct.calcsize(code)
    address = integer(parts[1], 65536 - size // 2)
    if address is None or any(sentinel >> 8 * size for sentinel in config.sentinels):
        return None
    return Point(config.id, address, code, config.scale, config.offset, config.sentinels)


def device_of(settings: Settings) -> Device:
    """The settings as they are used; raises Err with what is wrong."""
    if len(settings.points) > POINTS_MAX:
        raise Err(ConfigError_TooManyPoints(POINTS_MAX))
    device = Device()
    for name, value in settings.options:
        if name not in ("protocol", "unit", "timeout"):
            raise Err(ConfigError_UnknownOption(name))
        if not set_option(device, name, value.strip(" \t")):
            raise Err(ConfigError_BadOption(name))
    for config in settings.points:
        point = point_of(config)
        if point is None:
            raise Err(ConfigError_BadAddress(config.address))
        device.points.append(point)
    return device


# ---- one exchange --------------------------------------------------------------------------------
def malformed(what: str) -> NoReturn:
    """Raise it."""
    raise Err(DriverError_Malformed(what))


def crc16(data: bytes) -> bytes:
    """The check of Modbus on serial lines."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return struct.pack("<H", crc)


def unwrapped_rtu(device: Device, adu: bytes) -> bytes:
    """The PDU in a reply on a serial line."""
    if not 5 <= len(adu) <= 256:
        malformed("length")
    if crc16(adu[:-2]) != adu[-2:]:
        malformed("crc")
    if adu[0] != device.unit:
        malformed("unit")
    return adu[1:-2]


def unwrapped_tcp(device: Device, transaction: int, adu: bytes) -> bytes | None:
    """The PDU in a reply; None for a late reply to an earlier request."""
    if not 9 <= len(adu) <= 260:
        malformed("length")
    theirs, protocol, length, unit = struct.unpack_from(">HHHB", adu)
    if protocol:
        malformed("protocol")
    if length + 6 != len(adu):
        malformed("length")
    age = (transaction - theirs) & 0xFFFF
    if 1 <= age <= LATE_AGE_MAX:
        return None
    if age:
        malformed("transaction")
    if unit != device.unit:
        malformed("unit")
    return adu[7:]


def answered(device: Device, transaction: int, pdu: bytes) -> bytes:
    """Send a request and wait for the PDU of its reply; raises Err of a bus error or a driver error."""
    if device.rtu:
        request = bytes([device.unit]) + pdu
        return unwrapped_rtu(
            device, fieldbus.transact(request + crc16(request), Framing_Silence(), device.timeout)
        )
    request = struct.pack(">HHHB", transaction, 0, len(pdu) + 1, device.unit) + pdu
    adu = fieldbus.transact(request, TCP, device.timeout)
    late = 0
    while (reply := unwrapped_tcp(device, transaction, adu)) is None:
        late += 1
        if late > LATE_MAX:
            malformed("transaction")
        adu = fieldbus.receive(TCP, device.timeout)
    return reply


def exchange(device: Device, pdu: bytes) -> bytes:
    """A request's PDU to its reply's; raises Err of a driver error."""
    state.transaction = (state.transaction + 1) & 0xFFFF
    try:
        reply = answered(device, state.transaction, pdu)
    except Err as error:
        if isinstance(error.value, DriverError):
            raise
        raise Err(DriverError_Bus(error.value)) from None
    if len(reply) == 2 and reply[0] == pdu[0] | 0x80:
        raise Err(DriverError_Rejected(reply[1]))
    if reply[0] != pdu[0]:
        malformed("function")
    return reply


def read(device: Device, point: Point) -> bytes:
    """A point's registers; raises Err of a driver error."""
    reply = exchange(device, struct.pack(">BHH", READ, point.address, point.size // 2))
    if len(reply) != 2 + point.size or reply[1] != point.size:
        malformed("byte count")
    return reply[2:]


def decoded(point: Point, registers: bytes) -> tuple[int | float, int]:
    """What a point's registers mean: a value and a status."""
    if point.sentinels and int.from_bytes(registers, "big") in point.sentinels:
        return 0, BAD_NO_DATA
    (raw,) = struct.unpack(point.code, registers)
    if point.whole:
        return raw, GOOD
    value = float(raw) * point.scale + point.offset
    return (value, GOOD) if math.isfinite(value) else (0, BAD_SENSOR)


def encoded(point: Point, value: Written) -> bytes | None:
    """The registers that hold what is to be written; None if the type can't hold it."""
    if isinstance(value, Written_Text):
        return None
    number = value.value.value if isinstance(value, Written_Integer) else value.value
    if not (isinstance(number, int) and point.exact and point.code != FLOAT):
        number = (float(number) - point.offset) / point.scale
    if not math.isfinite(number):
        return None
    try:
        return struct.pack(point.code, number if point.code == FLOAT else round(number))
    except (struct.error, OverflowError):
        return None


def write(device: Device, point: Point, registers: bytes) -> None:
    """Write a point; raises Err of a driver error."""
    if len(registers) == 2:
        pdu = struct.pack(">BH", WRITE_ONE, point.address) + registers
    else:
        size = len(registers)
        pdu = struct.pack(">BHHB", WRITE_MANY, point.address, size // 2, size) + registers
    if exchange(device, pdu) != pdu[:5]:
        malformed("echo")


def drop_line_after(device: Device, error: DriverError) -> None:
    """What still comes after a failure can't be trusted: the connection is dropped."""
    timeout = isinstance(error, DriverError_Bus) and isinstance(error.value, BusError_Timeout)
    if isinstance(error, DriverError_Malformed) or (timeout and not device.rtu):
        fieldbus.reset()


def status_of(error: DriverError) -> int:
    """A failed point's status."""
    if isinstance(error, DriverError_Rejected):
        return BAD_DEVICE
    if isinstance(error, DriverError_Bus):
        return BAD_TIMEOUT if isinstance(error.value, BusError_Timeout) else BAD_NOT_CONNECTED
    return BAD_COMMUNICATION


# ---- what the gateway calls ----------------------------------------------------------------------
def configured() -> Device:
    """The device; raises Err if there is none yet."""
    if state.device is None:
        raise Err(DriverError_NotConfigured())
    return state.device


def add(batch: Batch, point: Point, value: float, status: int) -> None:
    """Add what was read of a point: an integer of a whole point, a reading of any other."""
    if not point.whole:
        batch.readings.append(Reading(point.id, float(value), status, clock.now()))
        return
    case = Integer_Unsigned if point.code == UNSIGNED_64 else Integer_Signed
    batch.integers.append(IntegerReading(point.id, case(int(value)), status, clock.now()))


class Driver(exports.Driver):
    """What the gateway calls."""

    def configure(self, settings: Settings) -> None:
        """Take the settings, or say what is wrong with them; the bus is not touched."""
        state.device, state.failing = None, False
        state.device = device_of(settings)

    def read_sensor(self) -> Batch:
        """One poll of every point."""
        device = configured()
        state.polls += 1
        batch = Batch([], [], [])
        first: DriverError | None = None
        silent: DriverError | None = None
        good = 0
        for point in device.points:
            registers, error = b"", silent
            if silent is None:
                try:
                    registers = read(device, point)
                    good += 1
                except Err as raised:
                    error = raised.value
                    drop_line_after(device, error)
                    if isinstance(error, DriverError_Bus):
                        silent = error  # a silent device is asked once a poll, not once a point
            first = first or error
            value, status = (0, status_of(error)) if error else decoded(point, registers)
            add(batch, point, value, status)
        state.failing = first is not None
        state.errors += state.failing
        if first and not good:
            raise Err(first)
        return batch

    def write_register(self, point: int, value: Written) -> None:
        """Write one point, in its engineering unit."""
        device = configured()
        found = next((one for one in device.points if one.id == point), None)
        if found is None:
            raise Err(DriverError_NoSuchPoint(point))
        registers = encoded(found, value)
        if registers is None:
            raise Err(DriverError_Other("value does not fit the register's type"))
        try:
            write(device, found, registers)
        except Err as raised:
            drop_line_after(device, raised.value)
            state.errors += 1
            raise

    def get_status(self) -> DriverStatus:
        """How it is doing; the bus is not touched."""
        if state.device is None:
            health, detail = Health.FAILED, "not configured"
        elif state.failing:
            health, detail = Health.DEGRADED, "last poll failed"
        else:
            health, detail = Health.OK, ""
        return DriverStatus(health, state.polls, state.errors, detail)

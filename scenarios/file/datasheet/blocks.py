"""The shape of a model file: ``device: model/press.yaml``, in a folder ``model`` beside the scenario.

Belongs here: keys, what one value may look like. Never: what a key means for a device (reading.py, devices/).
Times of a signal are durations in the file and whole steps in the model; its other figures are those of
devices/model/signal.Signal, a step each.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from twinloop.devices.model.encodings import TEXT_REGISTERS_MAX
from twinloop.devices.model.profile import READ_MAX
from twinloop.scenarios.file.block import Block
from twinloop.scenarios.file.manners_block import MannersBlock
from twinloop.scenarios.file.schema import Exact
from twinloop.scenarios.text import units
from twinloop.scenarios.text.quantities import Duration, PositiveDuration

FORMAT = 1
_HEX = re.compile(r"-?0[xX][0-9A-Fa-f]{1,16}")
_BITS = re.compile(r"([0-9]{1,2})(?:\.\.([0-9]{1,2}))?")
_WORD = 65_535
_WHOLE = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": _HEX.pattern}]}
ORDERS = {
    "be": "be",
    "sw": "sw",
    "bs": "bs",
    "le": "le",
    "sw32": "sw32",
    "ds": "ds",
    "le32": "le32",
    "dsbs": "dsbs",
    "AB": "be",
    "BA": "bs",
    "ABCD": "be",
    "CDAB": "sw",
    "BADC": "bs",
    "DCBA": "le",
    "ABCDEFGH": "be",
    "GHEFCDAB": "sw",
    "BADCFEHG": "bs",
    "HGFEDCBA": "le",
    "CDABGHEF": "sw32",
    "EFGHABCD": "ds",
    "DCBAHGFE": "le32",
    "FEHGBADC": "dsbs",
}
"""as a datasheet writes an order of bytes -> our word for it"""


def _hexadecimal(value: Any) -> Any:
    """``0xFFFF``, as a device's map prints it, is a number; YAML 1.2 knows it, our reader leaves it as
    text."""
    return int(value, 16) if isinstance(value, str) and _HEX.fullmatch(value) else value


def _bits(value: Any) -> Any:
    """``3``, ``"3"`` or ``0..3``: (first bit, how many)."""
    found = _BITS.fullmatch(str(value)) if type(value) in (int, str) else None
    if found is None:
        raise PydanticCustomError(
            "bits", "expected a bit or bits, such as 3 or 0..3, counted from the lowest"
        )
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise PydanticCustomError("bits", "expected the lower bit first, such as 0..3")
    return first, last - first + 1


def _addressed(value: Any) -> Any:
    """Addresses and registers as numbers, whether the file has them as numbers or as 0x...."""
    if not isinstance(value, dict):
        return value
    out: dict[int, list[Any] | str] = {}
    for key, one in value.items():
        number = _hexadecimal(key)
        if isinstance(number, str) and number.isascii() and number.isdigit():
            number = int(number)
        if type(number) is not int:
            raise PydanticCustomError(
                "address", 'expected an address, such as 768 or 0x300, got "{key}"', {"key": str(key)}
            )
        given = _hexadecimal(one)
        words = [_hexadecimal(part) for part in given] if isinstance(given, list) else [given]
        if isinstance(given, str):
            out[number] = given
        elif words and all(type(word) is int and 0 <= word <= _WORD for word in words):
            out[number] = words
        else:
            raise PydanticCustomError(
                "register",
                "at {at}: expected a register (0 to 65535), a list of registers or a text, got {got}",
                {"at": str(key), "got": repr(one)},
            )
    return out


def _response(value: Any) -> Any:
    """One time is all quantiles at once."""
    if isinstance(value, dict):
        return value
    try:
        units.duration(value)
    except ValueError as error:
        raise PydanticCustomError("quantity", "{text}", {"text": str(error)}) from error
    return {"max": value}


Whole = Annotated[int, BeforeValidator(_hexadecimal), WithJsonSchema(_WHOLE)]
Address = Annotated[int, BeforeValidator(_hexadecimal), Field(ge=0, le=65_536), WithJsonSchema(_WHOLE)]
Words = Annotated[
    dict[int, Any],
    BeforeValidator(_addressed),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {
                "anyOf": [_WHOLE, {"type": "array", "items": _WHOLE}, {"type": "string"}],
            },
        }
    ),
]
"""address -> the registers from there on, or a text"""
Order = Annotated[
    str,
    BeforeValidator(lambda value: ORDERS.get(value, value) if isinstance(value, str) else value),
    StringConstraints(pattern=f"^({'|'.join(dict.fromkeys(ORDERS.values()))})$"),
    WithJsonSchema({"enum": list(ORDERS)}),
]


class SignalBlock(Block):
    """What a point does; see devices/model/signal.Signal."""

    kind: Literal["constant", "ramp", "sine", "square", "step", "walk", "reversion", "counter"] = "constant"
    level: Exact = 0.0
    swing: Exact = 0.0
    period: PositiveDuration | None = None
    duty: Annotated[float, Field(ge=0, le=1)] = 0.5
    noise: Annotated[float, Field(ge=0)] = 0.0
    limit: Annotated[float, Field(ge=0)] = 0.0
    drift: float = 0.0
    phase: Duration | None = None
    start: float | None = None
    rollover: Annotated[Exact | None, Field(gt=0)] = None


class PointBlock(Block):
    """A register and its signal."""

    table: Literal["coil", "discrete", "holding", "input"] = "holding"
    address: Address
    type: Literal[
        "u8", "i8", "u16", "i16", "u24", "i24", "u32", "i32", "u48", "i48", "u64", "i64", "f16", "f32", "f64",
        "bcd16", "bcd32", "bcd48", "bcd64", "mod10k32", "mod10k48", "mod10k64", "text",
    ] = "f64"  # fmt: skip
    bits: Annotated[tuple[int, int], BeforeValidator(_bits), WithJsonSchema({"anyOf": [
        {"type": "integer"}, {"type": "string", "pattern": _BITS.pattern},
    ]})] | None = None  # fmt: skip
    length: Annotated[int, Field(ge=1, le=TEXT_REGISTERS_MAX)] | None = None
    order: Order = "be"
    unit: str = ""
    scale: float = 1.0
    scale_from: str | None = Field(default=None, alias="scale-from")
    offset: float = 0.0
    low: float | None = None
    high: float | None = None
    access: Literal["read-only", "read-write", "write-only"] | None = None
    writable: bool | None = None
    nan: tuple[Annotated[Whole, Field(ge=-(1 << 63), lt=1 << 64)], ...] = Field(default=(), strict=False)
    """its sentinels: integers of its type, or bit patterns of its registers, that mean that there is no
    value"""
    text: str | None = None
    signal: SignalBlock | None = None


class ResponseBlock(Block):
    """Quantiles of the time that answers take."""

    min: Duration | None = None
    p50: Duration | None = None
    p95: Duration | None = None
    p99: Duration | None = None
    max: Duration


class IdentityBlock(Block):
    """What Read Device Identification answers."""

    vendor: str
    product: str
    revision: str
    url: str | None = None
    product_name: str | None = Field(default=None, alias="product-name")
    model: str | None = None
    application: str | None = None


class ModelFile(Block):
    """A device model."""

    format: Literal[1]
    title: str
    source: str
    step: PositiveDuration
    like: str | None = None
    """a shipped model, whose constant registers, vendor and response time it has"""
    addresses_from: Literal[0, 1] = Field(default=0, alias="addresses-from")
    unit: Annotated[int, Field(ge=0, le=255)] | None = None
    response: Annotated[ResponseBlock, BeforeValidator(_response)] | None = None
    functions: tuple[Annotated[int, Field(ge=1, le=127)], ...] = Field(default=(), strict=False)
    largest_read: Annotated[int, Field(ge=1, le=READ_MAX)] = Field(default=READ_MAX, alias="largest-read")
    holes: Literal["zero", "refused"] = "zero"
    identity: IdentityBlock | None = None
    manners: MannersBlock = MannersBlock.unsaid()
    """what its devices do that a gateway has to cope with"""
    constants: dict[Literal["coil", "discrete", "holding", "input"], Words] = Field(default_factory=dict)
    points: Annotated[dict[str, PointBlock], Field(min_length=1)]

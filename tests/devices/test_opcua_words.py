"""What an attached OPC UA server said with a value, out of its bytes."""

from __future__ import annotations

from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.devices.opcua.words import said_no_value


def frame(*values: Any, kind: bytes = b"MSGF") -> bytes:
    """A Read answer, as a chunk without security."""
    response = ua.ReadResponse()
    response.Results = list(values)
    return kind + bytes(20) + struct_to_binary(response)


GOOD = ua.DataValue(ua.Variant(1.5, ua.VariantType.Double))
NONE = ua.DataValue(ua.Variant(float("nan"), ua.VariantType.Double))
OUT = ua.DataValue(None, ua.StatusCode(ua.UInt32(STATUS_CODES["BadOutOfService"])))


@pytest.mark.parametrize(
    ("frames", "status", "said"),
    [
        ([frame(GOOD, OUT)], "BadOutOfService", True), ([frame(GOOD, OUT)], "BadSensorFailure", False), ([frame(GOOD, NONE)], "BadSensorFailure", True),
        ([frame(GOOD)], "BadSensorFailure", False), ([frame(GOOD), frame(NONE)], "BadSensorFailure", True), ([b"ACKF" + bytes(40)], "BadOutOfService", False),
        ([frame(OUT)[:40]], "BadOutOfService", False), ([], "BadOutOfService", False),
    ],
)  # fmt: skip
def test_a_server_that_has_no_value_says_so(frames: list[bytes], status: str, said: bool) -> None:
    """By a StatusCode, or by a number that is none: what its driver then makes of that is the device's own
    state."""
    assert said_no_value(frames, STATUS_CODES[status]) is said

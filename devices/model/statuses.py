"""OPC UA StatusCodes: names, the quality that one means, and which of them speak of a request instead of the
device.

Belongs here: numbers and names (OPC 10000-6 annex A.2). Never: who said one (sim/accounts/quality.py decides
what it means for a sample).
"""

from __future__ import annotations

from functools import cache

BAD = 1 << 31
"""from here on Bad (OPC 10000-4 section 7.39.1)"""
UNCERTAIN = 1 << 30
"""from here up to BAD Uncertain"""
NO_NUMBER = 1 << 32
"""beside the StatusCodes: a reading that was said to be Good and holds no number"""

STATUS_CODES = {
    "Good": 0x00000000,
    "UncertainLastUsableValue": 0x40900000,
    "UncertainSensorNotAccurate": 0x40930000,
    "BadUnexpectedError": 0x80010000,
    "BadInternalError": 0x80020000,
    "BadOutOfMemory": 0x80030000,
    "BadCommunicationError": 0x80050000,
    "BadTimeout": 0x800A0000,
    "BadTooManyOperations": 0x80100000,
    "BadNodeIdUnknown": 0x80340000,
    "BadNotReadable": 0x803A0000,
    "BadNotWritable": 0x803B0000,
    "BadOutOfRange": 0x803C0000,
    "BadTypeMismatch": 0x80740000,
    "BadNotConnected": 0x808A0000,
    "BadDeviceFailure": 0x808B0000,
    "BadSensorFailure": 0x808C0000,
    "BadOutOfService": 0x808D0000,
    "BadWaitingForInitialData": 0x80320000,
    "BadNoCommunication": 0x80310000,
    "BadNoData": 0x809B0000,
}
"""those that a scenario may name"""
_OF_THE_REQUEST = dict.fromkeys(
    (
        0x80100000,  # BadTooManyOperations
        0x801F0000,  # BadUserAccessDenied
        0x80250000,
        0x80260000,
        0x80270000,  # BadSessionIdInvalid, BadSessionClosed, BadSessionNotActivated
        0x80330000,
        0x80340000,
        0x80350000,  # BadNodeIdInvalid, BadNodeIdUnknown, BadAttributeIdInvalid
        # BadIndexRangeInvalid, BadIndexRangeNoData, BadDataEncoding...
        0x80360000,
        0x80370000,
        0x80380000,
        0x80390000,
        0x803A0000,  # BadNotReadable
        0x80420000,  # BadMonitoredItemIdInvalid
    )
)
"""what a server answers about the request, not about the value: who asked like that has not read the
device"""


def of_the_request(status: int) -> bool:
    """Does a server say by this that it couldn't do what was asked, whatever the device shows?"""
    return status & 0xFFFF0000 in _OF_THE_REQUEST


def quality(status: int) -> str:
    """``good``, ``uncertain`` or ``bad`` (OPC 10000-4 section 7.39.1: the two highest bits)."""
    return "bad" if status >= BAD else "uncertain" if status >= UNCERTAIN else "good"


@cache
def status_name(status: int) -> str:
    """The standard's name of a StatusCode, without its info bits; a number that has none in hex."""
    if status == NO_NUMBER:
        return "no number"
    code = status & 0xFFFF0000
    for name, known in STATUS_CODES.items():
        if known == code:
            return name
    from asyncua.ua import status_codes  # slow to import, and rarely needed

    found = status_codes.code_to_name_doc.get(code)
    return f"0x{status:08X}" if found is None else str(found[0])


def status_code(name: str) -> int | None:
    """The StatusCode of that name in the standard; None for no name."""
    if name in STATUS_CODES:
        return STATUS_CODES[name]
    from asyncua.ua import status_codes  # slow to import, and rarely needed

    return next((code for code, (known, _) in status_codes.code_to_name_doc.items() if known == name), None)


def is_status_name(name: str) -> bool:
    """Is it the standard's name of a StatusCode?"""
    return status_code(name) is not None

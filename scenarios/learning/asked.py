"""What of a device is to be probed: ``holding:0..199,input:0..99``.

Belongs here: the flag ``--registers``. Never: asking (mapping.py).
"""

from __future__ import annotations

import re

from twinloop.devices.model.points import TABLES
from twinloop.scenarios.text.errors import ScenarioError, unknown

_RANGE = re.compile(r"([a-z]+):(0[xX][0-9a-fA-F]+|[0-9]+)(?:\.\.(0[xX][0-9a-fA-F]+|[0-9]+))?")
_ADDRESSES = 65_536
DEFAULT = "holding:0..199,input:0..199,coil:0..99,discrete:0..99"


def ranges(text: str) -> dict[str, list[tuple[int, int]]]:
    """table -> (first, last address) of each range; raises ScenarioError."""
    found: dict[str, list[tuple[int, int]]] = {}
    for part in text.split(","):
        one = _RANGE.fullmatch(part.strip())
        if one is None:
            raise ScenarioError(
                "--registers",
                None,
                "",
                f'expected ranges such as holding:0..199,coil:0..15, got "{part.strip()}"',
            )
        if one[1] not in TABLES:
            raise ScenarioError("--registers", None, "", unknown("table", one[1], TABLES))
        first = int(one[2], 0) if one[2][:2].lower() == "0x" else int(one[2])
        last = first if one[3] is None else int(one[3], 0) if one[3][:2].lower() == "0x" else int(one[3])
        if not first <= last < _ADDRESSES:
            raise ScenarioError(
                "--registers",
                None,
                "",
                f"{part.strip()}: expected the lower address first, and 65535 at most",
            )
        found.setdefault(one[1], []).append((first, last))
    return found

"""A workbench whose measures are given by the test: nothing is run, boards are the shipped ones."""

from __future__ import annotations

from typing import Any

from twinloop.scenarios.claims.plants import Banded, Ran
from twinloop.scenarios.claims.workbench import Crowd, Workbench

MS = 1e6
LINEAR = 327_680
"""five pages, as modbus-driver.wasm has"""


def banded(value: float, band: float = 2.0) -> Banded:
    return Banded(value, value / band, value * band)


RAN = Ran(banded(2 * MS), banded(1 * MS), banded(0.01 * MS), banded(2 * MS))


class Bench(Workbench):
    """``given`` replaces measures by name."""

    def __init__(self, *boards: str, **given: Any) -> None:
        super().__init__(None, boards, quick=True)  # type: ignore[arg-type]
        self.given = {
            "instantiate_ns": 0.07 * MS,
            "crowd": Crowd(150 * MS, 47_000.0),
            "python_ns": 65 * MS,
            "decide_ns": 0.03 * MS,
            "ran": RAN,
            **given,
        }

    def _of(self, name: str) -> Any:
        found = self.given[name]
        if isinstance(found, Exception):
            raise found
        return found

    def instantiate_ns(self) -> float:
        return float(self._of("instantiate_ns"))

    def crowd(self) -> Crowd:
        found = self._of("crowd")
        assert isinstance(found, Crowd)
        return found

    def python_ns(self) -> float:
        return float(self._of("python_ns"))

    def decide_ns(self, rego: bool) -> float:
        return float(self._of("decide_ns"))

    def driver_bytes(self) -> int:
        return LINEAR

    def ran(self, board: str, host: str, rego: bool = False) -> Ran:
        found = self._of("ran")
        assert isinstance(found, Ran)
        return found

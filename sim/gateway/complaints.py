"""What components' faults and errors said, in their own words: each kind once, how often, where first.

Belongs here: the notes that reports show. Never: what follows a fault (supervisor.py) or an error
(pipeline.py), which is counted there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twinloop.components.host.outcome import Fault
from twinloop.sim.gateway.slot import Slot

KINDS_MAX = 32
"""kinds of faults, and of errors, that one gateway keeps the words of; the others are counted"""
ERROR_TEXT_MAX = 200
MESSAGE_MAX = 200
"""characters of a fault's message that the trace has"""
STDERR_MAX = 2000
"""characters of standard error that a report has: its end"""


@dataclass(slots=True)
class FaultNote:
    """Faults of one component with one cause and message, in the same functions: the first of them, how many
    there were, and which instances had them."""

    component: str
    slot: str
    first_ns: int
    fault: Fault
    stderr: str
    instances: dict[str, None]
    count: int = 1


@dataclass(slots=True)
class ErrorNote:
    """Errors that one component has answered with the same words: where first, and how many."""

    component: str
    device: str
    first_ns: int
    text: str
    count: int = 1


class Complaints:
    """Of one gateway's components."""

    def __init__(self) -> None:
        self._faults: dict[tuple[str, str, str, tuple[str, ...]], FaultNote] = {}
        self._errors: dict[tuple[str, str], ErrorNote] = {}
        self.other_faults = self.other_errors = 0
        """of kinds beyond KINDS_MAX"""
        self.on_fault: list[Callable[[int, Slot, Fault], None]] = []
        """told of each fault, just before the trace is"""

    @property
    def faults(self) -> list[FaultNote]:
        """In the order in which their kinds came."""
        return list(self._faults.values())

    @property
    def errors(self) -> list[ErrorNote]:
        """In the order in which their kinds came."""
        return list(self._errors.values())

    def fault(self, now_ns: int, slot: Slot, fault: Fault) -> None:
        """A component has faulted; call it before the instance is dropped."""
        for told in self.on_fault:
            told(now_ns, slot, fault)
        key = slot.spec.name, fault.cause.value, fault.message, fault.functions
        note = self._faults.get(key)
        if note is not None:
            note.count += 1
            note.instances[slot.name] = None
        elif len(self._faults) < KINDS_MAX:
            wasi = slot.imports.wasi
            stderr = "" if wasi is None else wasi.stderr[-STDERR_MAX:]
            self._faults[key] = FaultNote(slot.spec.name, slot.name, now_ns, fault, stderr, {slot.name: None})
        else:
            self.other_faults += 1

    def error(self, now_ns: int, slot: Slot, device: str, error: Any) -> None:
        """A component has answered with an error of its own (tag, payload)."""
        text = in_words(error)
        key = slot.spec.name, text
        note = self._errors.get(key)
        if note is not None:
            note.count += 1
        elif len(self._errors) < KINDS_MAX:
            self._errors[key] = ErrorNote(slot.spec.name, device, now_ns, text)
        else:
            self.other_errors += 1


def in_words(error: Any) -> str:
    """``malformed("unit 3")`` for an error of the contract."""
    tag, payload = error
    if payload is None:
        return str(tag)
    if isinstance(payload, tuple):
        return f"{tag}({in_words(payload)})"
    text = f'"{payload}"' if isinstance(payload, str) else str(payload)
    return f"{tag}({text})"[:ERROR_TEXT_MAX]

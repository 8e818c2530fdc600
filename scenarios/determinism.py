"""``--check``: the trace of one run kept on disk, and a second run held against it, record by record.

Belongs here: the comparison. Never: why two runs could differ.
"""

from __future__ import annotations

import ast
import tempfile

from twinloop.sim.kernel.trace import KINDS, Record

_CONTEXT = 3
"""records before the first difference that are shown"""


class RecordedTrace:
    """A sink for the first run: one line a record, in a temporary file that is gone when closed."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", prefix="twinloop-check-")  # noqa: SIM115  # closed by close()

    def take(self, records: list[Record]) -> None:
        """Keep records."""
        self._file.writelines(f"{record!r}\n" for record in records)

    def comparison(self) -> Comparison:
        """What holds a second run against this one."""
        self._file.seek(0)
        return Comparison(self._file)

    def close(self) -> None:
        """Give the file up."""
        self._file.close()


class Comparison:
    """A sink for the second run."""

    def __init__(self, lines: object) -> None:
        self._lines = iter(lines)  # type: ignore[call-overload]  # an open text file
        self._last: list[str] = []
        self._difference: str | None = None
        self.count = 0
        """events that were the same"""

    def take(self, records: list[Record]) -> None:
        """Compare records with those of the first run."""
        if self._difference is not None:
            return
        for record in records:
            line = next(self._lines, None)
            mine = repr(record)
            if line is None or line.rstrip("\n") != mine:
                self._differs(None if line is None else line.rstrip("\n"), mine)
                return
            self.count += 1
            self._last = [*self._last[1 - _CONTEXT :], mine]

    def _differs(self, first: str | None, second: str | None) -> None:
        before = "".join(f"\n    both     {_shown(line)}" for line in self._last)
        self._difference = (
            f"event {self.count + 1} is the first that differs:{before}\n    run 1    {_shown(first)}\n    "
            f"run 2    {_shown(second)}"
        )

    def finish(self) -> str | None:
        """The first difference, None when the runs are equal."""
        if self._difference is None:
            line = next(self._lines, None)
            if line is not None:
                self._differs(line.rstrip("\n"), None)
        return self._difference


def _shown(line: str | None) -> str:
    return "has ended" if line is None else explain(ast.literal_eval(line))


def explain(record: Record) -> str:
    """A record with the names of its fields."""
    now_ns, kind, *values = record
    fields = ", ".join(f"{name}={value}" for name, value in zip(KINDS[kind], values, strict=True))
    return f"{now_ns / 1e9:.9f} s {kind} {fields}"

"""A file of exchanges is read: line by line, so that it may be larger than this machine's memory.

Belongs here: what makes a line one of ours, and what is said of one that isn't. Never: what is done with it.
A file that a killed process has left ends anywhere, even within a line: what is whole is read, and that it
was broken off is said.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from twinloop.components.contract.contract import Result
from twinloop.scenarios.exchanges.lines import (
    ABORTED,
    EXPORTS,
    FINISHED,
    KIND,
    OPERATIONS,
    VERSION,
    Call,
    Exchange,
    Header,
    Place,
    Terms,
    frame_of,
    settings_of,
)
from twinloop.scenarios.text.errors import ScenarioError, unknown

LINE_BYTES_MAX = 64 << 20
"""of one line: a call of a hundred thousand exchanges, about"""
CURE = "record it again, or repair that line (docs/replay.md describes them)"


class Recorded:
    """A file; ``calls`` reads it from the beginning, as often as one wants. ``end``: how it ended, known when
    ``calls`` has come to its end. Raises ScenarioError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places: dict[int, Place] = {}
        self.end = ""
        if not os.path.isfile(path):
            why = "it is no file" if os.path.exists(path) else "no such file"
            text = f"{why}; expected one that twinloop run or attach --exchanges has written"
            raise ScenarioError(str(path), None, "", text)
        self.header = self._header()

    def _header(self) -> Header:
        with self._open() as file:
            data, _ = self._parsed(file.readline(LINE_BYTES_MAX), 1)
        if not isinstance(data, dict) or data.get("twinloop") != KIND:
            text = f'expected a first line with "twinloop": "{KIND}": it is no file of exchanges'
            raise ScenarioError(str(self.path), 1, "", f"{text}; twinloop run --exchanges FILE writes one")
        if data.get("version") != VERSION:
            text = f"format {data.get('version')}; this twinloop reads format {VERSION}: record it again"
            raise ScenarioError(str(self.path), 1, "$.version", text)
        try:
            keys = ("by", "scenario", "digest", "seed", "clock", "epoch_ns")
            header = Header(*(data[key] for key in keys))
        except KeyError as missing:
            self._fail(1, str(missing.args[0]), "it is missing")
        if type(header.epoch_ns) is not int:
            self._fail(1, "epoch_ns", f"expected ns since 1970, got {header.epoch_ns!r}")
        return header

    def calls(self) -> Iterator[Call]:
        """All of them, in the order in which they are in the file; places are known when their first call
        comes."""
        self.end = ""
        number = 1
        with self._open() as file:
            file.readline(LINE_BYTES_MAX)
            while line := file.readline(LINE_BYTES_MAX):
                number += 1
                if self.end:
                    self._fail(number, "", "a line behind the one that ends the recording")
                data, whole = self._parsed(line, number)
                if not whole:
                    break
                if not isinstance(data, dict):
                    self._fail(number, "", f"expected a JSON object, got {str(data)[:40]}")
                if "call" in data:
                    yield self._call(data, number)
                elif "place" in data:
                    place = self._place(data, number)
                    self.places[place.number] = place
                elif "end" in data:
                    if data["end"] not in (FINISHED, ABORTED):
                        self._fail(number, "end", unknown("end", str(data["end"]), (FINISHED, ABORTED)))
                    self.end = data["end"]
                else:
                    self._fail(number, "", "expected a line with call, place or end")

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            with self.path.open("rb") as file:
                yield file
        except OSError as error:
            raise ScenarioError(str(self.path), None, "", error.strerror or str(error)) from error

    def _parsed(self, line: bytes, number: int) -> tuple[Any, bool]:
        """(what stands in a line, is it whole): the last one of a killed process may not be."""
        try:
            return json.loads(line), True
        except (ValueError, RecursionError) as error:
            if not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX and number > 1:
                return None, False
            why = "longer than a line may be" if len(line) >= LINE_BYTES_MAX else f"no JSON: {error}"
            self._fail(number, "", why)

    def _fail(self, number: int, key: str, text: str) -> NoReturn:
        raise ScenarioError(str(self.path), number, f"$.{key}" if key else "", f"{text}; {CURE}")

    # ---- lines -----------------------------------------------------------------------------------
    def _place(self, data: dict[str, Any], number: int) -> Place:
        try:
            given = dict(data["terms"])
            terms = Terms(
                **{
                    **given,
                    "prices": tuple(given["prices"]),
                    "grants": tuple(given["grants"]),
                    "wasi": tuple(given["wasi"]),
                    "environment": tuple((str(name), str(value)) for name, value in given["environment"]),
                    "arguments": tuple(given["arguments"]),
                    "folders": tuple(_folder(*one) for one in given["folders"]),
                }
            )
            for name in ("deadline_ns", "start_ns", "memory_bytes", "state_bytes"):
                _natural(getattr(terms, name))
            if len(terms.prices) not in (4, 6) or not all(type(price) is int for price in terms.prices):
                raise ValueError("terms.prices: expected six whole numbers")
            settings = settings_of(data["settings"])
            return Place(
                number=_natural(data["place"]),
                device=str(data["device"]),
                gateway=str(data["gateway"]),
                component=str(data["component"]),
                sha256=str(data["sha256"]),
                protocol=str(data["protocol"]),
                terms=terms,
                settings=settings,
                sockets=bool(data.get("sockets")),
            )
        except KeyError as missing:
            self._fail(number, "", f'"{missing.args[0]}" is missing in the line of a place')
        except (TypeError, ValueError) as error:
            self._fail(number, "", f"the line of a place that can't be read ({error})")

    def _call(self, data: dict[str, Any], number: int) -> Call:
        if data["call"] not in EXPORTS:
            self._fail(number, "call", unknown("function", str(data["call"]), EXPORTS))
        if data.get("place") not in self.places:
            known = ", ".join(map(str, self.places)) or "none"
            self._fail(
                number, "place", f"no line before it describes place {data.get('place')} ({known} so far)"
            )
        try:
            call = Call(data["place"], _natural(data["instance"]), data["call"], _whole(data["at_ns"]))
            call.took_ns = _natural(data.get("took_ns", 0))
        except KeyError as missing:
            self._fail(number, str(missing.args[0]), "it is missing")
        except ValueError as error:
            self._fail(number, "", str(error))
        kinds = {"arguments": dict, "given": dict, "fault": dict, "then": dict, "cut": str}
        for key, kind in kinds.items():
            if key in data:
                if not isinstance(data[key], kind):
                    self._fail(number, key, f"expected {'a text' if kind is str else 'an object'}")
                setattr(call, key, data[key])
        if not all(isinstance(some, list) for some in call.given.values()):
            self._fail(number, "given", "expected a list of answers for each import")
        call.gives, call.line = data.get("gives"), number
        bus = data.get("bus", [])
        if not isinstance(bus, list):
            self._fail(number, "bus", "expected a list of exchanges")
        for index, one in enumerate(bus):
            try:
                call.bus.append(_exchange(one))
            except KeyError as missing:
                self._fail(number, f"bus[{index}]", f'"{missing.args[0]}" is missing')
            except (TypeError, ValueError, AttributeError) as error:
                self._fail(number, f"bus[{index}]", f"no exchange that can be read ({error})")
        return call


def _folder(path: str, read_only: bool, quota: int, files: list[list[str]]) -> Any:
    for _, content in files:
        bytes.fromhex(content)
    return str(path), bool(read_only), _natural(quota), tuple((str(name), text) for name, text in files)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"expected a whole number, got {value!r}")
    return value


def _natural(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a whole number from 0 on, got {value!r}")
    return value


def _exchange(data: Any) -> Exchange:
    op = data["op"]
    if op not in OPERATIONS:
        raise ValueError(unknown("operation", str(op), OPERATIONS))
    asks = bytes.fromhex(data["asks"]) if op in ("transact", "send") else b""
    frame = frame_of(data["frame"]) if op in ("transact", "receive") else None
    timeout_ns = 0 if op == "reset" else _natural(data["timeout_ns"])
    return Exchange(
        op, asks, frame, timeout_ns, _natural(data["at_ns"]), _gets(op, data), _natural(data["after_ns"])
    )


def _gets(op: str, data: Any) -> Result | None:
    if "gets" in data:
        return True, bytes.fromhex(data["gets"])
    if "error" not in data:
        if op in ("transact", "receive"):
            raise KeyError("gets")
        return True, None
    error = data["error"]
    if error is None:
        return None
    case, payload = (
        next(iter(error.items())) if isinstance(error, dict) and len(error) == 1 else (error, None)
    )
    kinds = {"timeout": type(None), "disconnected": type(None), "too-long": int, "other": str}
    if case not in kinds or type(payload) is not kinds[case]:
        raise ValueError(f"{error!r} is no bus-error")
    return False, (case, payload)

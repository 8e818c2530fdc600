"""A scenario's devices, served by a process of their own as long as a test lasts.

Belongs here: that process seen from the test's. Never: serving (field_process.py). A process, because devices
keep the wall's pace whatever the test does, and their libraries' clocks are theirs alone.
"""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import twinloop
from twinloop.scenarios.testing.running import scenario_of
from twinloop.scenarios.text.errors import MachineError, ScenarioError

START_S = 120.0
"""for the process to come up, on a busy machine"""
STOP_S = 20.0


@dataclass(frozen=True)
class Address:
    """Where a device is. ``url``: ``tcp://host:port/unit``, ``rtu:///dev/pts/3?unit=1``,
    ``ascii:///dev/pts/3?unit=1``, ``rtu+tcp://host:port/unit``, ``opc.tcp://host:port/`` or
    ``mqtt://host:port/topic``."""

    device: str
    protocol: str
    url: str

    @property
    def host(self) -> str:
        """Empty for a serial line."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """0 for a serial line."""
        return urlsplit(self.url).port or 0

    @property
    def unit(self) -> int:
        """Of Modbus; 0 for other protocols."""
        parts = urlsplit(self.url)
        if parts.scheme in ("tcp", "rtu+tcp"):
            return int(parts.path.strip("/") or 0)
        return int(parse_qs(parts.query).get("unit", ["0"])[0])

    @property
    def path(self) -> str:
        """Of a serial line its device, e.g. ``/dev/pts/3``; of MQTT the topic."""
        return urlsplit(self.url).path


class ServedScenario:
    """Devices that can be reached, until ``stop``. ``addresses``: device -> where it is; ``left_out``: what
    of the scenario isn't served, in words."""

    def __init__(
        self, scenario: Any, folder: Path, seed: int | None = None, broker: tuple[str, int] | None = None
    ) -> None:
        """Returns when they can be reached. ``scenario``: as ``scenario_of`` takes it. Raises ScenarioError
        for a mistake in it, MachineError when the process doesn't come up."""
        loaded = scenario_of(scenario, folder)
        given: dict[str, Any] = {"file": str(loaded.file), "seed": seed, "broker": broker}
        if isinstance(scenario, str) and "\n" in scenario:
            given["text"] = scenario
        elif not isinstance(scenario, str | Path):
            given["data"] = loaded.data
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "twinloop.scenarios.testing.field_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": _python_path()},
            start_new_session=True,  # Ctrl-C is the test's; this ends when its stdin does
        )
        try:
            told = self._ask(given, START_S)
        except BaseException:
            self._end()
            raise
        self.addresses = {device: Address(device, *where) for device, *where in told["endpoints"]}
        self.left_out = tuple(told["left_out"])

    def __getitem__(self, device: str) -> Address:
        if device not in self.addresses:
            known = ", ".join(self.addresses)
            raise KeyError(f'no device "{device}" is served; there are: {known}')
        return self.addresses[device]

    @property
    def requests(self) -> int:
        """Of clients, so far."""
        return int(self._ask({}, STOP_S)["requests"])

    @property
    def limits(self) -> dict[str, int]:
        """Named limits that clients have met, and how often."""
        return dict(self._ask({}, STOP_S)["limits"])

    def stop(self) -> None:
        """Close all sockets; a second time it does nothing. Raises RuntimeError when serving had failed."""
        told = self._end()
        if "error" in told:
            raise RuntimeError(f"serving failed: {told['error']['text']}")

    def _ask(self, question: dict[str, Any], patience_s: float) -> dict[str, Any]:
        """A line there, a line back."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        late = threading.Timer(patience_s, self._process.kill)
        late.start()
        try:
            stdin.write(json.dumps(question) + "\n")
            stdin.flush()
            line = stdout.readline()
        except (BrokenPipeError, ValueError):  # it has ended, or was stopped
            line = ""
        finally:
            late.cancel()
        if not line:
            raise MachineError("the process that serves the devices has ended; its stderr says why")
        return _answer(json.loads(line))

    def _end(self) -> dict[str, Any]:
        """What it said last."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        if stdin.closed:
            return {}
        late = threading.Timer(STOP_S, self._process.kill)
        late.start()
        try:
            try:
                stdin.close()
            except BrokenPipeError:
                return {}
            told = stdout.read()
        finally:
            stdout.close()
            self._process.wait()
            late.cancel()
        return dict(json.loads(told.splitlines()[-1])) if told else {}


def _python_path() -> str:
    """The process finds this twinloop, also where none is installed. It isn't given the whole of sys.path: a
    folder of tests may have modules with names of Python's own."""
    home = str(Path(twinloop.__file__).parents[1])
    given = [os.environ.get("PYTHONPATH", ""), "" if home in site.getsitepackages() else home]
    return os.pathsep.join(filter(None, given))


def _answer(told: dict[str, Any]) -> dict[str, Any]:
    """Raises what the process has raised."""
    error = told.get("error")
    if error is None:
        return told
    if error["kind"] == "ScenarioError":
        raise ScenarioError(error["file"], error["line"], error["path"], error["text"])
    raise MachineError(error["text"])

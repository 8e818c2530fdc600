"""Processes of ``python -m MODULE`` without what each of them costs before it does anything: imports, and OPC
UA's standard nodes, two seconds of CPU time.

One process a test worker imports all of that and then does nothing but fork: a fork is a process of its own,
with its own arguments, streams, signals and exit code. For tests that need another process to talk to. How
Python itself begins (PYTHONHASHSEED, Ctrl-C during the imports, what is imported at all) is tested with
``subprocess``, which begins from nothing.

Belongs here: the process that forks (``python -m tests.processes``), what a test holds of a fork, and
who of a session still runs. Never: what is run in it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

ROOT = Path(__file__).parents[1]
IMPORTED = (
    "twinloop.scenarios.cli.main",
    "twinloop.scenarios.runner",
    "twinloop.scenarios.wire.wire",
    "twinloop.scenarios.wire.hil",
    "asyncua",
    "pymodbus.client",
    "twinloop.tui.engine.process",
)
REQUEST_BYTES_MAX, DESCRIPTORS_MAX = 1 << 16, 8


# ---- the process that forks ----------------------------------------------------------------------
def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Forks until nobody asks any more. Comes back in each fork with what is to be run, and with None in the
    end."""
    while True:
        data, found, _, _ = socket.recv_fds(requests, REQUEST_BYTES_MAX, DESCRIPTORS_MAX)
        if not data:
            with contextlib.suppress(ChildProcessError):
                while True:
                    os.wait()  # their CPU time is ours, and so the suite's
            return None
        if os.fork() == 0:
            requests.close()
            return _kept(json.loads(data), *found)
        for descriptor in found:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _kept(wanted: dict[str, Any], out: int, errors: int, told: int, *more: int) -> dict[str, Any]:
    """In a process between: it tells the fork's id, waits for it, tells how it ended. Comes back in the fork,
    whose streams are its own."""
    number = os.fork()
    if number:
        for descriptor in (out, errors, *more):
            os.close(descriptor)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.write(told, f"{number}\n".encode())
        _, status, used = os.wait4(number, 0)
        with contextlib.suppress(BrokenPipeError):  # nobody may be interested any more
            os.write(
                told, json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime]).encode()
            )
        os._exit(0)
    os.close(told)
    for descriptor, stream in ((out, 1), (errors, 2)):
        os.dup2(descriptor, stream)
        os.close(descriptor)
    os.chdir(wanted["folder"])
    wanted["arguments"] += map(str, more)
    return wanted


def _main() -> None:
    for module in IMPORTED:
        importlib.import_module(module)
    importlib.import_module("twinloop.devices.opcua.server").standard_space()
    gc.collect()
    gc.freeze()  # the collector would touch, and so copy, all that is shared
    wanted = _serve(socket.socket(fileno=int(sys.argv[1])))
    if wanted is not None:
        sys.argv = [wanted["module"], *wanted["arguments"]]
        runpy.run_module(wanted["module"], run_name="__main__", alter_sys=True)


# ---- what a test holds ---------------------------------------------------------------------------
class Forked:
    """As subprocess.Popen with pipes and text; ``cpu_s`` is what it has used, when it has ended. Its last
    arguments are its numbers of ``descriptors``."""

    def __init__(
        self, module: str, arguments: Sequence[str], folder: Path = ROOT, descriptors: Sequence[int] = ()
    ) -> None:
        self.returncode: int | None = None
        self.cpu_s = 0.0
        pipes = [os.pipe() for _ in range(3)]
        _FORKS.ask(
            {"module": module, "arguments": list(arguments), "folder": str(folder)},
            [*(written for _, written in pipes), *descriptors],
        )
        for _, written in pipes:
            os.close(written)
        self.stdout: TextIO = os.fdopen(pipes[0][0], encoding="utf-8")
        self.stderr: TextIO = os.fdopen(pipes[1][0], encoding="utf-8")
        self._told = os.fdopen(pipes[2][0], "rb", buffering=0)
        first = self._told.readline()
        if not first:
            raise RuntimeError("the process that forks is gone")
        self.pid = int(first)

    def poll(self) -> int | None:
        """Its exit code, or less than 0 by a signal; None while it runs."""
        return self._ended(0)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], timeout)[0]:
            self.returncode, self.cpu_s = json.loads(self._told.read())
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("fork", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Nothing, when it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has still to say on both streams, until it has ended."""
        said = ["", ""]

        def read(index: int, stream: TextIO) -> None:
            said[index] = stream.read()

        ends = None if timeout is None else time.monotonic() + timeout
        readers = [
            threading.Thread(target=read, args=pair, daemon=True)
            for pair in enumerate((self.stdout, self.stderr))
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if ends is None else max(0.0, ends - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired("fork", timeout or 0)
        self.wait(None if ends is None else max(0.0, ends - time.monotonic()))
        return said[0], said[1]

    def __enter__(self) -> Forked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        self.wait()
        self.close()

    def close(self) -> None:
        """The pipes."""
        for stream in (self.stdout, self.stderr, self._told):
            stream.close()

    def __del__(self) -> None:
        if hasattr(self, "_told"):
            self.close()


class _Forks:
    """The process that forks: begun when somebody asks for the first time, ended with the tests."""

    def __init__(self) -> None:
        self._requests: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, wanted: dict[str, Any], descriptors: Sequence[int]) -> None:
        if self._requests is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            command = [sys.executable, "-m", "tests.processes", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
            theirs.close()
            self._requests = ours
        socket.send_fds(self._requests, [json.dumps(wanted).encode()], descriptors)

    def close(self) -> None:
        if self._requests is not None and self._process is not None:
            self._requests.close()
            self._process.wait(60)
            self._requests = self._process = None


_FORKS = _Forks()


def twinloop(*arguments: str, folder: Path = ROOT) -> Forked:
    """``python -m twinloop ARGUMENTS``."""
    return Forked("twinloop", arguments, folder)


def close() -> None:
    """Ends the process that forks, when there is one."""
    _FORKS.close()


def of_session(session: int) -> list[int]:
    """Processes of a session that still run, as /proc has them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


if __name__ == "__main__":
    _main()

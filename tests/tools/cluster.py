"""A Dask cluster of real processes, for tests: a scheduler, workers that come and are killed.

Belongs here: processes. Never: assertions.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Processes:
    """A scheduler and its workers; ``address``: the scheduler's."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._all = folder, list[subprocess.Popen[bytes]]()
        file = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler", "dask_scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard",
            "--scheduler-file", str(file),
        )  # fmt: skip
        self.file = file
        self.address = self._address()

    def _address(self) -> str:
        import json

        for _ in range(300):
            with contextlib.suppress(OSError, ValueError):
                return str(json.loads(self.file.read_text())["address"])
            time.sleep(0.1)
        raise AssertionError((self._folder / "scheduler.log").read_text())

    def worker(
        self, name: str, *arguments: str, env: dict[str, str] | None = None, threads: int = 1
    ) -> subprocess.Popen[bytes]:
        """One more, without a nanny: its process is the worker; ``env``: beside this process's."""
        return self._start(
            name, "dask_worker", self.address, "--nthreads", str(threads), "--no-nanny", "--no-dashboard",
            "--name", name, "--local-directory", str(self._folder / f"{name}.d"), *arguments, env=env,
        )  # fmt: skip

    def _start(
        self, name: str, module: str, *arguments: str, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        home = self._folder / f"{name}.home"  # nothing of the scenario's lies beside it
        home.mkdir()
        search = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *arguments],
                cwd=home, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": search, **(env or {})},
            )  # fmt: skip
        self._all.append(process)
        return process

    def log(self, name: str) -> str:
        """What a process has written."""
        return (self._folder / f"{name}.log").read_text()

    def until(self, name: str, word: str) -> None:
        """Wait until a process has written a word."""
        for _ in range(600):
            if word in self.log(name):
                return
            time.sleep(0.1)
        raise AssertionError(self.log(name))

    def close(self) -> None:
        """All are killed."""
        for process in self._all:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
        for process in self._all:
            process.wait()


@contextlib.contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    """A scheduler without workers."""
    folder.mkdir()
    found = Processes(folder)
    try:
        yield found
    finally:
        found.close()

"""A real terminal that is closed, and its window: nobody is left behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.processes import of_session
from tests.tui.scene import WAIT_S

pty = pytest.importorskip("pty")
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="who is there is read in /proc")


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_nobody_is_left_when_the_terminal_goes(file: Path, how: str) -> None:
    """Nor any of their files."""
    (file.parent / "tmp").mkdir()
    process, terminal = pty.fork()
    if process == 0:
        os.environ["TMPDIR"] = str(file.parent / "tmp")
        os.execv(sys.executable, [sys.executable, "-m", "twinloop", "tui", str(file)])
    ends, shown = time.monotonic() + WAIT_S, b""
    while b"paused" not in shown:
        assert time.monotonic() < ends, shown
        shown += os.read(terminal, 65_536)
    assert len(of_session(process)) >= 4, "the screen, the engine's root, who is awake, one mark at least"
    if how == "killed":
        os.kill(process, signal.SIGKILL)
    os.close(terminal)
    ends = time.monotonic() + WAIT_S
    while left := of_session(process):
        if time.monotonic() >= ends:
            for one in left:  # nobody is to compute on for hours because a test has failed
                os.kill(one, signal.SIGKILL)
        assert time.monotonic() < ends, left
        time.sleep(0.02)
    os.waitpid(process, 0)
    assert list((file.parent / "tmp").iterdir()) == []

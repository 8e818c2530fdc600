"""``twinloop serve`` and mbpoll (Debian's), a client that nobody here wrote: over TCP and over a
pseudo-terminal.

Skipped where mbpoll isn't installed; in `.ci/run`, which installs it (TWINLOOP_NEEDS_MBPOLL), that is a
failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.scenarios.wire.test_serve import SCENARIO, command

MISSING = shutil.which("mbpoll") is None
pytestmark = pytest.mark.skipif(
    MISSING and not os.environ.get("TWINLOOP_NEEDS_MBPOLL"), reason="mbpoll isn't installed"
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Device -> URL, of a served scenario in another process."""
    file = tmp_path_factory.mktemp("mbpoll") / "served.yaml"
    file.write_text(SCENARIO)
    with command(file) as process:
        yield dict(process.stdout.readline().split() for _ in range(7))
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def mbpoll(url: str, *flags: str, values: tuple[str, ...] = (), unit: str = "") -> str:
    """Once, addresses from 0; what it prints."""
    if url.startswith("rtu://"):
        path, own = url.removeprefix("rtu://").split("?unit=")
        where = ["-m", "rtu", "-b", "19200", "-P", "even", "-a", unit or own, *flags, path]
    else:
        port, own = url.removeprefix("tcp://127.0.0.1:").split("/")
        where = ["-m", "tcp", "-p", port, "-a", unit or own, *flags, "127.0.0.1"]
    done = subprocess.run(
        ["mbpoll", "-0", "-1", *where, *values], capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout + done.stderr


def test_it_reads_and_writes_over_tcp(found: dict[str, str]) -> None:
    assert "[4]:" in mbpoll(found["presses/1"], "-t", "4:float", "-B", "-r", "0", "-c", "3")
    setpoint = ("-t", "4:float", "-B", "-r", "14")
    assert "Written 1 references" in mbpoll(found["presses/1"], *setpoint, values=("4.5",))
    assert "[14]: \t4.5" in mbpoll(found["presses/1"], *setpoint, "-c", "1")
    assert "[14]: \t4.5" not in mbpoll(found["presses/3"], *setpoint, "-c", "1"), (
        "another unit of the same port"
    )


def test_it_reads_over_a_terminal(found: dict[str, str]) -> None:
    for device in ("meters/1", "meters/2", "meters/1"):
        assert "[0]:" in mbpoll(found[device], "-t", "3", "-r", "0", "-c", "2")


def test_a_wrong_request_gets_the_exception_that_the_specification_names(found: dict[str, str]) -> None:
    assert "Illegal data address" in mbpoll(found["presses/1"], "-t", "4", "-r", "9000")
    assert "Illegal data address" in mbpoll(found["presses/1"], "-t", "4", "-r", "9000", values=("1",))
    assert "Illegal data address" in mbpoll(found["meters/1"], "-t", "4", "-r", "9000")
    assert "Slave device or server failure" in mbpoll(found["presses/2"], "-t", "4"), (
        "its fault, of the timeline: code 4"
    )
    assert "Target device failed to respond" in mbpoll(found["presses/1"], "-t", "4", unit="200")
    assert "timed out" in mbpoll(found["meters/1"], "-t", "4", "-o", "0.2", unit="9"), (
        "on a line a stranger is silence"
    )

"""Garbage of one run doesn't stay while the next ones go on, and isn't looked for before each of them."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import weakref
from typing import Any

import pytest

from twinloop.scenarios.cli.main import main
from twinloop.scenarios.collector import GROWTH_BYTES, Collector


class Circle:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.me = self


def old_garbage() -> weakref.ref[Circle]:
    """It has come to the oldest generation before it died."""
    circle = Circle()
    gc.collect()
    return weakref.ref(circle)


def test_all_garbage_goes_when_the_process_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    size: list[int | None] = [10**9]
    monkeypatch.setattr("twinloop.scenarios.collector.resident_bytes", lambda: size[0])
    collector = Collector()
    collector.collect()
    gc.freeze()  # what the suite holds is looked at by nobody meanwhile
    gc.disable()
    try:
        collector.collect()
        found = old_garbage()
        size[0] = 10**9 + GROWTH_BYTES - 1
        collector.collect()
        assert found() is not None, "a little is left to itself"
        size[0] = 10**9 + GROWTH_BYTES
        collector.collect()
        assert found() is None
        size[0] = None
        found = old_garbage()
        collector.collect()
        assert found() is None, "where nobody knows it is looked for each time"
    finally:
        gc.enable()
        gc.unfreeze()


def test_before_the_first_run_nothing_is_looked_for() -> None:
    collector = Collector()
    gc.freeze()
    gc.disable()
    try:
        young = weakref.ref(Circle())
        collector.collect()
        assert young() is not None
        collector.collect()
        assert young() is None
    finally:
        gc.enable()
        gc.unfreeze()


def test_a_command_runs_with_a_collector_that_works() -> None:
    """``twinloop`` begins without one, until the command's modules are there."""
    code = (
        "import atexit, gc, sys\n"
        "from twinloop.scenarios.cli.start import script\n"
        "sys.argv = ['twinloop', 'list', 'links']\n"
        "atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 10_000))\n"
        "script()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "lan" in done.stdout
    assert done.stdout.endswith("True True\n")


def test_a_process_that_looks_for_no_garbage_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    was, frozen = gc.isenabled(), gc.get_freeze_count()
    gc.disable()
    try:
        assert main(["list", "links"]) == 0
        assert not gc.isenabled()
        assert gc.get_freeze_count() == frozen
    finally:
        if was:
            gc.enable()
    assert "lan" in capsys.readouterr().out


def test_afterwards_all_is_as_before() -> None:
    before: Any = gc.get_threshold()
    with contextlib.suppress(KeyError), Collector().calm():
        assert gc.get_freeze_count() > 1000
        assert gc.get_threshold() != before
        raise KeyError
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0

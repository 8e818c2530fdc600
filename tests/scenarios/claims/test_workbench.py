"""What is measured here is measured: the shipped components come up, decide, and take what they take."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest

from twinloop.components.contract.contract import Settings
from twinloop.components.host.host import Host
from twinloop.scenarios.claims import workbench
from twinloop.scenarios.claims.workbench import FUEL, MeasureFailedError, Workbench
from twinloop.scenarios.file.boards.reading import shipped


@pytest.fixture
def bench(host: Host, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    monkeypatch.setattr(workbench, "INSTANCES", 20)
    return Workbench(host, ("raspberry-pi-4",), quick=True)


def test_instances_leave_nothing_behind(bench: Workbench) -> None:
    before = bench.host.live
    assert bench.instantiate_ns() > 0
    assert bench.crowd().cpu_ns > 0
    assert bench.crowd() is bench.crowd()
    assert bench.driver_bytes() % (64 << 10) == 0
    assert bench.host.live == before


def test_policies_decide(bench: Workbench) -> None:
    assert bench.decide_ns(False) > 0
    assert bench.decide_ns(True) > 0


def test_settings_that_are_refused_are_no_measure(bench: Workbench) -> None:
    instance = bench.host.instantiate(bench.linked("route", "policy", ["log"]), {}, FUEL)
    with pytest.raises(MeasureFailedError, match="refused its settings"):
        workbench._configured(instance, Settings("d", [], [("no-such-option", "1")]))
    instance.close()


def test_a_run_is_made_once(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def run_plant(host: Host, scenario: Any) -> Any:
        made.append(scenario)
        return object()

    monkeypatch.setattr(workbench, "run_plant", run_plant)
    assert bench.ran("raspberry-pi-4", "c-api") is bench.ran("raspberry-pi-4", "c-api")
    bench.ran("raspberry-pi-4", "c-api", rego=True)
    assert len(made) == 2
    assert [one.name for one in bench.programs(shipped("raspberry-pi-4"))] == ["rust-typed", "c-api"]


def test_the_clock_is_read_or_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError

    monkeypatch.setattr(builtins, "open", missing)
    assert workbench.clock_mhz() is None


def test_a_process_is_timed() -> None:
    assert workbench.wall_ns([sys.executable, "-S", "-c", ""], 1) > 1e6
    with pytest.raises(OSError, match="no-such-program"):
        workbench.wall_ns(["no-such-program"], 1)

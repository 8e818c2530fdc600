"""Containers against instances and processes."""

from __future__ import annotations

import pytest

from tests.scenarios.claims.benches import Bench
from twinloop.scenarios.claims import containers
from twinloop.scenarios.claims.claim import Verdict, verdict
from twinloop.scenarios.claims.measured import Kept

KEPT = {
    ("containers", "crun", "start_ns"): 20e6,
    ("containers", "runc", "start_ns"): 40e6,
    ("containers", "instance_ns"): 50e3,
    ("process", "start_ns"): 2e6,
}


def keep(monkeypatch: pytest.MonkeyPatch, **changed: float | None) -> None:
    def kept(*path: str) -> Kept:
        value = changed.get("_".join(path), KEPT[path])
        return Kept(value, "kept" if value is not None else "no rights")

    monkeypatch.setattr(containers, "kept", kept)


def test_ratios() -> None:
    assert containers.ratio(20e6, 50e3) == 400
    assert containers.ratio(None, 50e3) is containers.ratio(20e6, None) is None


def test_true_of_an_instance_and_not_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(monkeypatch)
    figures = containers.faster(Bench())
    assert [one.value for one in figures] == [400, 10, 800, 20]
    assert verdict(figures) is Verdict.DEPENDS
    assert containers.why_faster(figures) == (
        "True of an instance in a program that runs already: 400 to 800 times, against an empty container without a "
        "daemon and an image to unpack. Not true where each module is a process of its own: 10 to 20 times."
    )


def test_quick_containers_make_it_false(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(monkeypatch, containers_crun_start_ns=2e6, containers_runc_start_ns=3e6)
    figures = containers.faster(Bench())
    assert verdict(figures) is Verdict.FALSE
    assert containers.why_faster(figures).startswith("Not always true of an instance")


def test_without_containers_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(monkeypatch, containers_crun_start_ns=None, containers_runc_start_ns=None)
    figures = containers.faster(Bench())
    assert verdict(figures) is Verdict.OPEN
    assert containers.why_faster(figures).endswith("no rights")

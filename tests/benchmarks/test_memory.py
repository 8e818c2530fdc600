"""What a device weighs: a device that gets heavier fails here before `make bench` says so."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from benchmarks.memory import ALIKE, ITEMS, items_kb, reached, weight
from benchmarks.ratios import Plant
from twinloop.components.host.host import Host
from twinloop.components.native.choice import CHOICE, COMPILED, PURE
from twinloop.devices.model import fleet

FEW, MANY = 4, 24
WEIGHT_MAX = {COMPILED: 13_900, PURE: 15_200}
"""bytes of Python objects of a device with its driver, on 64 bits: 12 750 and 14 010 with Python 3.11, 14 870
pure with 3.13 (2026-11-29)"""
OBJECTS_MAX = {COMPILED: 172, PURE: 186}
"""167 and 181, with any of them"""


def of_plant(host: Host, count: int) -> tuple[Counter[str], int]:
    plant = Plant(host, count)
    assert plant.world.polls >= count
    found = weight(plant.world), sum(1 for _ in reached(plant.world))
    plant.world.close()
    return found


def test_a_device_is_no_heavier_than_it_was(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "LOOKS_MIN", 1)  # they move in one pass, as the devices of a large fleet do
    for _ in range(2):  # what a host has once is there then, images of memories among it
        of_plant(host, FEW)
    (few, few_objects), (many, many_objects) = of_plant(host, FEW), of_plant(host, MANY)
    each = {name: (size - few[name]) / (MANY - FEW) for name, size in many.items()}
    heaviest = sorted(each.items(), key=lambda item: -item[1])[:12]
    assert 5_000 < sum(each.values()) < WEIGHT_MAX[CHOICE.word], heaviest
    assert (many_objects - few_objects) / (MANY - FEW) < OBJECTS_MAX[CHOICE.word], heaviest


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux only")
def test_drivers_of_a_fleet_share_pages(host: Host) -> None:
    plant = Plant(host, 6)
    found = items_kb(host)
    plant.world.close()
    assert found[ALIKE] >= 6 * 4, "KB: at least a page of each driver, by the kernel's account"
    assert all(found[item] > 0 for item in ITEMS)


def test_a_walk_sees_what_is_added_and_counts_nothing_twice() -> None:
    shared = bytes(1000)
    before = sum(weight([shared]).values())
    assert sum(weight([shared, shared, [shared]]).values()) < before + 200
    assert sum(weight([shared, bytes(2000)]).values()) > before + 2000
    assert sum(weight([Counter, __import__("sys")]).values()) < 200, "types and modules are there once"

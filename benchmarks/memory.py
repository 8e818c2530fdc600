"""What a device takes of this machine's memory, item by item: `make bench` bounds the sum, ARCHITECTURE.md
says what the items are.

Belongs here: measuring. Never: bounds (ratios.py, tests/benchmarks/test_memory.py). To see the items (Linux):

    python -m benchmarks.memory [devices]
    python -m benchmarks.memory --instances [count]     only driver instances, started and never called
    python -m benchmarks.memory --objects [devices]     Python's objects by the file that made them

Pages that several memories share count by their share (Pss), as the machine has them once. It is measured in
a process of its own: one that has run something before has room left over, which would take some of it.
"""

from __future__ import annotations

import ctypes
import gc
import re
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.hosts.cases import WASM
from twinloop.components.host.engines import STACK_BYTES
from twinloop.components.host.host import Host

GUEST, STACKS, HEAP, REST = "guest memory", "stacks of calls", "malloc", "Python's objects and the rest"
ITEMS = (GUEST, STACKS, HEAP, REST)
TABLES = "page tables"
"""of the kernel: they are in no process's resident memory"""
ALIKE = "guest pages that are shared"
FUEL = 1_000_000_000
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+\s*(\S*)")


def items_kb(host: Host) -> Counter[str]:
    """This process's memory by item; of its files (libraries) nothing, which all devices share."""
    gc.collect()
    guests = {memory.address for memory in host.memory.memories()}
    found: Counter[str] = Counter()
    item: str | None = None
    for line in Path("/proc/self/smaps").read_text().splitlines():
        mapping = _MAPPING.match(line)
        if mapping:
            item = _item(int(mapping[1], 16), int(mapping[2], 16), mapping[3], guests)
        elif item and line.startswith("Pss:"):
            found[item] += int(line.split()[1])
        elif item == GUEST and line.startswith("Shared_"):
            found[ALIKE] += int(line.split()[1])
    status = Path("/proc/self/status").read_text()
    found[TABLES] = int(re.search(r"VmPTE:\s+(\d+)", status)[1])  # type: ignore[index]  # every Linux says it
    return found


def _item(begins: int, ends: int, name: str, guests: set[int]) -> str | None:
    if begins in guests:
        return GUEST
    if name == "[heap]":
        return HEAP
    if name:
        return None
    return STACKS if ends - begins == STACK_BYTES else REST


def of_one_device(count: int) -> dict[str, float]:
    """KB of each item that a device takes among ``count`` of them. To be asked in a process that has done
    nothing else."""
    from benchmarks.ratios import Plant

    host = Host(fibers=False)
    Plant(host, 10)  # what is there once
    _trim()
    before = items_kb(host)
    plant = Plant(host, count)
    _trim()
    after = items_kb(host)
    plant.world.close()
    return _each(before, after, count)


def of_one_instance(count: int) -> dict[str, float]:
    """The same of a driver's instance that has been started and never called: no device, no gateway."""
    host = Host(fibers=False)
    driver = host.load(WASM / "modbus-driver.wasm", "driver")
    linked = host.link(driver, ("fieldbus", "clock", "log"))
    kept = [host.instantiate(linked, {}, FUEL)]
    _trim()
    before = items_kb(host)
    kept += [host.instantiate(linked, {}, FUEL) for _ in range(count)]
    _trim()
    after = items_kb(host)
    if any(instance.fault for instance in kept):
        raise RuntimeError("an instance didn't start")
    return _each(before, after, count)


def _each(before: Counter[str], after: Counter[str], count: int) -> dict[str, float]:
    return {item: (after[item] - before[item]) / count for item in (*ITEMS, ALIKE, TABLES)}


def _trim() -> None:
    """What was freed goes back to the system, so that it isn't taken for somebody's."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def kb_each(count: int) -> float:
    """The sum of ITEMS, by ``of_one_device`` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", str(count)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(told.splitlines()[-1].split()[0])


def by_file(count: int) -> Counter[str]:
    """Bytes of Python's objects that a device takes among ``count``, by the file whose line made them."""
    from benchmarks.ratios import Plant

    host = Host(fibers=False)
    Plant(host, 10)
    gc.collect()
    tracemalloc.start()
    plant = Plant(host, count)
    gc.collect()
    taken = tracemalloc.take_snapshot().statistics("filename")
    tracemalloc.stop()
    plant.world.close()
    return Counter({_inside(one.traceback[0].filename): round(one.size / count) for one in taken})


def _inside(path: str) -> str:
    return path.rpartition("/twinloop/")[2] if "/twinloop/" in path else "/".join(path.split("/")[-2:])


def reached(root: Any) -> Iterator[Any]:
    """Every Python object that ``root`` leads to, once; not what a process has once: modules, types, what
    they hold."""
    seen: set[int] = set()
    todo = [root]
    for module in list(sys.modules.values()):
        seen |= {id(module), id(getattr(module, "__dict__", None))}
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, type | ModuleType):
            continue
        seen.add(id(one))
        yield one
        todo += gc.get_referents(one)


def weight(root: Any) -> Counter[str]:
    """Bytes of all that it leads to, by type."""
    found: Counter[str] = Counter()
    for one in reached(root):
        found[type(one).__name__] += sys.getsizeof(one)
    return found


def main(asked: list[str]) -> int:
    """Measure and print; the exit code."""
    alone, counts = "--instances" in asked, [int(one) for one in asked if one.isdecimal()]
    count = counts[0] if counts else 5000
    if "--objects" in asked:
        files = by_file(count)
        for path, size in files.most_common(40):
            print(f"{size:6} B  {path}")
        print(f"{sum(files.values()):6} B  a device")
        return 0
    kb = of_one_instance(count) if alone else of_one_device(count)
    for item, value in kb.items():
        print(f"{value:6.1f} KB  {item}")
    what = "an instance" if alone else "a device"
    print(f"{sum(kb[item] for item in ITEMS):.2f} KB {what}: {' + '.join(ITEMS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

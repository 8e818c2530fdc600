"""The measure: runners take turns, each sample is CPU time, the smallest counts.

Belongs here: how samples are taken and put together. Other processes of the machine disturb in one direction
only, and for seconds at a time: hence turns, hence the smallest, hence ratios within a round as a check.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.runtimes.modes import REFERENCE, Mode
from benchmarks.runtimes.runners import Runner

KERNELS = (
    "crc16", "crc32", "base64", "sha256", "json", "fmt", "topics", "sort", "filter", "registers", "maths",
    "tlv", "states", "rules",
)  # fmt: skip
SAMPLE_NS = 4_000_000
"""how long a sample shall last"""
WARM_NS = 60_000_000
"""how long a kernel runs before it is measured: V8 compiles it better meanwhile"""
INSTANTIATE, INSTANCES, MEMORY_PROCESSES = 100, 200, 3
TOUCHED = "fmt"
"""the kernel that each instance whose memory is measured is called with"""
WORD_N = 3
"""the n of the result word that all must agree on"""


def times(runner: Runner, question: str) -> int:
    """How often in one sample, found by doubling; warms up meanwhile."""
    count, spent = 1, 0
    while True:
        took = runner.numbers(f"{question} {count}")[0]
        spent += took
        if took >= SAMPLE_NS and spent >= WARM_NS:
            return count
        if took < SAMPLE_NS:
            count = max(2 * count, count * SAMPLE_NS // max(took, 1) // 2)


def _questions() -> list[str]:
    return ["compile", "instantiate", "calls", *(f"kernel {name}" for name in KERNELS)]


def rounds(
    runners: list[Runner], count: int, say: Callable[[str], None]
) -> dict[str, dict[str, list[float]]]:
    """mode -> question -> ns a time, a sample a round."""
    often: dict[tuple[str, str], int] = {}
    for runner in runners:
        say(f"warming up {runner.mode.name}")
        for question in _questions():
            fixed = {"compile": 1, "instantiate": INSTANTIATE}.get(question)
            often[runner.mode.name, question] = fixed or times(runner, question)
    samples: dict[str, dict[str, list[float]]] = {
        runner.mode.name: {question: [] for question in _questions()} for runner in runners
    }
    for number in range(count):
        say(f"round {number + 1} of {count}")
        for question in _questions():
            turn = number % len(runners)  # nobody is always the one after the same other
            for runner in [*runners[turn:], *runners[:turn]]:
                name = runner.mode.name
                took = runner.numbers(f"{question} {often[name, question]}")[0]
                samples[name][question].append(took / often[name, question])
    return samples


def memory(mode: Mode) -> tuple[int, int]:
    """Addresses and memory in bytes of one more instance: the median of fresh processes."""
    found = []
    for _ in range(MEMORY_PROCESSES):
        runner = Runner(mode)
        try:
            found.append(runner.numbers(f"memory {TOUCHED} {INSTANCES}"))
        finally:
            runner.close()
    addresses, resident = zip(*found, strict=True)
    return int(statistics.median(addresses)) // INSTANCES, int(statistics.median(resident)) // INSTANCES


def words(runner: Runner) -> dict[str, int]:
    """kernel -> its result, which is the same in all runtimes."""
    return {name: runner.numbers(f"kernel {name} {WORD_N}")[1] for name in KERNELS}


def summary(samples: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, Any]]:
    """mode -> the smallest sample of each question, and the median of the ratios within a round."""
    found: dict[str, dict[str, Any]] = {}
    for mode, asked in samples.items():
        kernels, paired = {}, {}
        for name in KERNELS:
            own, reference = asked[f"kernel {name}"], samples[REFERENCE][f"kernel {name}"]
            kernels[name] = round(min(own), 1)
            paired[name] = round(
                statistics.median(one / other for one, other in zip(own, reference, strict=True)), 3
            )
        found[mode] = {
            "compile_us": round(min(asked["compile"]) / 1000, 1),
            "instantiate_us": round(min(asked["instantiate"]) / 1000, 2),
            "call_ns": round(min(asked["calls"]), 1),
            "kernels_ns": kernels,
            "paired_ratios": paired,
        }
    return found


def measure(
    modes: Iterable[Mode], count: int, version: Callable[[Runner], str], say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Everything of each mode. Raises RuntimeError when a runner fails, or results differ."""
    runners: list[Runner] = []
    try:
        runners += [Runner(mode) for mode in modes]
        versions = {runner.mode.name: version(runner) for runner in runners}
        results = {runner.mode.name: words(runner) for runner in runners}
        for mode, found in results.items():
            if found != results[REFERENCE]:
                raise RuntimeError(f"{mode} computes other results than {REFERENCE}: {found}")
        measured = summary(rounds(runners, count, say))
        for runner in runners:
            name = runner.mode.name
            say(f"memory of {name}")
            addresses, resident = memory(runner.mode)
            measured[name] = {
                "version": versions[name],
                **measured[name],
                "addresses_bytes": addresses,
                "memory_bytes": resident,
            }
        return measured
    finally:
        for runner in runners:
            runner.close()

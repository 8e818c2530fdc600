"""The claim that WebAssembly starts a hundred times faster than containers.

Belongs here: that claim. Never: starting a container (benchmarks/claims), which needs one and its rights.
"""

from __future__ import annotations

from collections.abc import Sequence

from twinloop.scenarios.claims.claim import KEPT, Bound, Claim, Figure, Holds, of_what, shown
from twinloop.scenarios.claims.measured import kept
from twinloop.scenarios.claims.workbench import Workbench

_HUNDRED = Bound(least=100)
RUNTIMES = ("crun", "runc")
INSTANCE = "a container's start in times of an instance's, {}"
PROCESS = "a container's start in times of a process of its own with a runtime, {}"


def ratio(container_ns: float | None, other_ns: float | None) -> float | None:
    """How many times as long; None where either wasn't measured."""
    return None if container_ns is None or not other_ns else container_ns / other_ns


def faster(bench: Workbench) -> list[Figure]:
    """Containers that make claims started, against an instance and a process that it started in the same
    minutes: times of two machines aren't divided by each other."""
    bench.say("containers: as kept")
    process = kept("process", "start_ns")
    found = []
    for name in RUNTIMES:
        container = kept("containers", name, "start_ns")
        same_day = kept("containers", "instance_ns")
        how = container.how
        if container.value is not None:
            how = (
                f"{shown(container.value, 'ns')} until a program that does nothing has ended; {container.how}"
            )
        what = INSTANCE.format(name)
        value = ratio(container.value, same_day.value)
        found.append(Figure(what, KEPT, value, "times", _HUNDRED, how=how))
        what = PROCESS.format(name)
        value = ratio(container.value, process.value)
        found.append(Figure(what, KEPT, value, "times", _HUNDRED, how=how if value is None else process.how))
    return found


def why_faster(figures: Sequence[Figure]) -> str:
    """The reason of the verdict."""
    instance = [one for name in RUNTIMES for one in of_what(figures, INSTANCE.format(name))]
    process = [one for name in RUNTIMES for one in of_what(figures, PROCESS.format(name))]
    if not instance:
        missing = next((one.how for one in figures if one.value is None), "")
        return f"No container could be started where make claims ran: {missing}"
    words = []
    least = min(one.value or 0 for one in instance)
    most = max(one.value or 0 for one in instance)
    kind = "True" if all(one.holds is Holds.YES for one in instance) else "Not always true"
    words.append(
        f"{kind} of an instance in a program that runs already: {least:.0f} to {most:.0f} times, against an "
        f"empty container without a daemon and an image to unpack."
    )
    if process:
        low, high = min(one.value or 0 for one in process), max(one.value or 0 for one in process)
        kind = "True" if low >= 100 else "Not true"
        words.append(
            f"{kind} where each module is a process of its own: {shown(low, 'count')} to "
            f"{shown(high, 'times')}."
        )
    return " ".join(words)


CLAIMS = (
    Claim(
        "containers",
        "WebAssembly starts 100 times faster than a container",
        'https://agentskb.com/kb/wasm_cold_start_comparison: "40-100x faster"; others: '
        "https://zenriotech.com/blog/wasm-component-model-portability-vs-container-overhead-edge-computing: "
        "1000 times",
        faster,
        why_faster,
    ),
)

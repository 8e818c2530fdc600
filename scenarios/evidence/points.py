"""One scenario with other values in it: variants, each run under the same seeds.

Belongs here: what a sweep and a size have in common. Never: which values are tried (sweep.py, size.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from twinloop.scenarios.evidence.seeds_report import progress
from twinloop.scenarios.evidence.summary import Asked, summary
from twinloop.scenarios.evidence.workers import Entry, Task, Work, processes, run_tasks, unfinished
from twinloop.scenarios.file.load import Loaded, load
from twinloop.scenarios.file.settings import Setting, path_of
from twinloop.scenarios.interrupts import Interrupts
from twinloop.scenarios.judging.thresholds import read_expectations
from twinloop.scenarios.judging.unspoken import unspoken_text
from twinloop.scenarios.runner import Options
from twinloop.scenarios.text.document import Location


@dataclass(frozen=True)
class Point:
    """One variant after its runs: what was set, the entry of each seed, what they say together."""

    settings: tuple[Setting, ...]
    entries: list[Entry]
    summary: dict[str, Any]


def beside(point: Point) -> str:
    """What a PASS of this variant doesn't say by itself; empty: nothing went wrong beside it."""
    found: dict[str, int] = {}
    for entry in point.entries:
        for name, count in entry.get("unspoken", {}).items():
            found[name] = found.get(name, 0) + count
    return f"{unspoken_text(found)} of which no expectation speaks" if found else ""


def setting_of(path: Location, value: Any) -> Setting:
    """The setting that puts this plain value there; its text is what a command line would say."""
    text = yaml.safe_dump(value, default_flow_style=True, width=1 << 20, allow_unicode=True)
    return Setting(path, value, f"{path_of(path)}={text.strip().removesuffix('...').strip()}")


def variants(file: Path, fixed: Sequence[Setting], varied: Sequence[Sequence[Setting]]) -> list[Loaded]:
    """The scenario with ``fixed`` and each of ``varied`` in it, checked with its expectations: a value that
    can't be is found before anything runs. Raises ScenarioError."""
    found = [load(file, (*fixed, *settings)) for settings in varied]
    for loaded in found:
        read_expectations(loaded)
    return found


def run_points(
    scenarios: Sequence[Loaded],
    varied: Sequence[Sequence[Setting]],
    seeds: list[int] | None,
    options: Options,
    jobs: int | None,
    interrupts: Interrupts,
) -> list[Point]:
    """Run each variant under each seed (None: the scenario's own); what is interrupted has the runs that had
    ended."""
    asked = [seeds or [one.scenario.seed] for one in scenarios]
    tasks: list[Task] = [(index, seed) for index, own in enumerate(asked) for seed in own]
    entries: list[list[Entry]] = [[] for _ in scenarios]
    with progress(scenarios[0].scenario.name, len(tasks), "run") as told:

        def tell(task: Task, entry: Entry) -> None:
            entries[task[0]].append(entry)
            told(entry)

        run_tasks(Work(tuple(scenarios), options), tasks, processes(jobs, len(tasks)), tell, interrupts)
    points = []
    for loaded, settings, own, found in zip(scenarios, varied, asked, entries, strict=True):
        done = [entry["seed"] for entry in found]
        found += [unfinished(loaded.file, seed) for seed in own if seed not in done]
        found.sort(key=lambda entry: int(entry["seed"]))
        text = f"{own[0]}..{own[-1]}" if own == list(range(own[0], own[-1] + 1)) else ",".join(map(str, own))
        points.append(Point(tuple(settings), found, summary(found, Asked(text, "", options.strict))))
    return points

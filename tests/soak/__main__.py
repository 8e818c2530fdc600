"""``python -m tests.soak``: so many random scenarios, each twice, some in another folder and paced; goes on
where it was stopped.

Belongs here: which ones, remembering. Never: what a scenario holds (plants.py, trouble.py), how it is run
(trial.py). Exit code 1 when something is
wrong: then the file of the scenario lies in the folder, and its line in ``results.jsonl`` says what.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

from tests.soak.trial import calm, folder_for, work

ROOT = Path(__file__).parents[2]
TRIES = 40
"""scenarios before a process makes room for a new one"""


@cache
def tree() -> str:
    """A digest of everything that a result depends on: the rooms' sources, the guests, and what draws
    scenarios."""
    digest = hashlib.sha256()
    for folder in ("components", "devices", "scenarios", "sim", "tests/soak"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".py", ".wasm", ".json") and file.is_file():
                digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def known(results: Path) -> dict[int, dict[str, Any]]:
    """What was found before, of this very tree, and wasn't wrong; a last line that was cut off is
    forgotten."""
    found = {}
    for line in results.read_text(encoding="utf-8").splitlines() if results.exists() else ():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if one.get("tree") == tree() and not one["wrong"]:
            found[one["seed"]] = one
    return found


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 when anything was wrong, or is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("out/soak"),
        help="where results are kept; a second call goes on there",
    )
    chosen = parser.parse_args(arguments)
    folder = folder_for(chosen.folder)
    results = folder / "results.jsonl"
    seeds = range(chosen.first, chosen.first + chosen.count)
    found = known(results)
    results.write_text("".join(json.dumps(one) + "\n" for one in found.values()), encoding="utf-8")
    left = [(seed, str(folder)) for seed in seeds if seed not in found]
    print(
        f"{len(seeds)} scenarios, {len(seeds) - len(left)} known from before, {len(left)} to run", flush=True
    )
    began = time.monotonic()
    with (
        results.open("a", encoding="utf-8") as file,
        multiprocessing.get_context("spawn").Pool(chosen.jobs, calm, maxtasksperchild=TRIES) as pool,
    ):
        for done, one in enumerate(pool.imap_unordered(work, left), 1):
            found[one["seed"]] = one = {**one, "tree": tree()}
            file.write(json.dumps(one) + "\n")
            file.flush()
            if one["wrong"]:
                print(f"random-{one['seed']}: {one['wrong']}", flush=True)
            if done % 100 == 0:
                print(f"{done} of {len(left)} in {time.monotonic() - began:.0f} s", flush=True)
    return summary([found[seed] for seed in seeds if seed in found], len(seeds))


def summary(found: list[dict[str, Any]], wanted: int) -> int:
    """Prints what came of it; the exit code."""
    verdicts: dict[str, int] = {}
    for one in found:
        verdicts[one.get("verdict", "none")] = verdicts.get(one.get("verdict", "none"), 0) + 1
    wrong = [one for one in found if one["wrong"]]
    due, paced, watched, misread, banded = (
        sum(one.get(key, 0) for one in found) for key in ("due", "paced", "watched", "misread", "banded")
    )
    told = ", ".join(f"{count} {name}" for name, count in sorted(verdicts.items()))
    print(
        f"{len(found)} of {wanted} scenarios ({told}); {due} samples, {misread} readings wrong; {paced} also paced in another folder, {watched} with captures and spans, {banded} at the ends of their bands; {len(wrong)} scenarios wrong"
    )
    return int(bool(wrong) or len(found) < wanted)


if __name__ == "__main__":
    sys.exit(main())

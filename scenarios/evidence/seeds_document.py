"""Many seeds in the result document: an entry for each seed, as if it had been run alone, and the summaries
beside them.

Belongs here: the shape, and putting the documents of shards together. Never: figures (summary.py).
``{"format": 1, "results": [...], "seeds": [summary, ...]}``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twinloop.scenarios.evidence.many import Seeded
from twinloop.scenarios.evidence.seeds import Shard, read_seeds, read_shard
from twinloop.scenarios.evidence.summary import Asked, summary
from twinloop.scenarios.outcome import Ran
from twinloop.scenarios.report import document
from twinloop.scenarios.text.errors import ScenarioError, shown_path
from twinloop.scenarios.text.words import number_of

Entry = dict[str, Any]
_SAME = ("asked", "strict", "require")
"""of a summary, equal in all shards"""
MISSING_SHOWN = 5


def written(done: Sequence[Seeded | Ran]) -> str:
    """The document of scenarios under many seeds, and of those that died before a seed was run."""
    entries: list[Entry] = []
    summaries: list[dict[str, Any]] = []
    for one in done:
        if isinstance(one, Ran):
            entries.append(document.entry(one.file, one.outcome, one.code))
        else:
            entries += one.entries
            summaries.append(one.summary)
    return text(entries, summaries)


def text(entries: list[Entry], summaries: list[dict[str, Any]]) -> str:
    """The document as it is written."""
    whole = {"format": document.FORMAT, "results": entries, "seeds": summaries}
    return json.dumps(whole, indent=2) + "\n"


def merged(files: Sequence[Path]) -> list[Seeded]:
    """The documents of all shards as one command would have written them, scenario by scenario.

    Raises:
        ScenarioError: when one is no document of many seeds, when shards are of different scenarios or
            commands, when a shard is there twice or missing.
    """
    parts: dict[str, list[tuple[Path, dict[str, Any], list[Entry]]]] = {}
    for file in files:
        data = _read(file)
        for one in data["seeds"]:
            entries = [entry for entry in data["results"] if entry["file"] == one["file"]]
            parts.setdefault(one["file"], []).append((file, one, entries))
        for entry in data["results"]:
            if entry["seed"] is None:
                raise _error(file, f"{entry['file']} ended before a seed was run: {entry['error']}")
    return [_whole(name, found) for name, found in parts.items()]


def _whole(name: str, parts: list[tuple[Path, dict[str, Any], list[Entry]]]) -> Seeded:
    first_file, first, _ = parts[0]
    for file, one, _ in parts[1:]:
        for key in _SAME:
            if one[key] != first[key]:
                raise _error(file, f"{key} is {one[key]} for {name}, and {first[key]} in {first_file}")
    by_seed: dict[int, tuple[Path, Entry]] = {}
    for file, _, entries in parts:
        for entry in entries:
            other = by_seed.setdefault(int(entry["seed"]), (file, entry))
            if other[1] is not entry:
                raise _error(file, f"seed {entry['seed']} of {name} is in {shown_path(other[0])}, too")
    _require_one_scenario(name, by_seed)
    asked = read_seeds(first["asked"])
    missing = [seed for seed in asked if seed not in by_seed]
    if missing:
        raise _error(first_file, _missing(name, missing, asked, [one for _, one, _ in parts]))
    entries = [by_seed[seed][1] for seed in asked]
    return Seeded(
        Path(name),
        entries,
        summary(entries, Asked(first["asked"], first["require"] or "", bool(first["strict"]))),
    )


def _require_one_scenario(name: str, by_seed: dict[int, tuple[Path, Entry]]) -> None:
    results = [(file, entry) for file, entry in by_seed.values() if entry["kind"] == "result"]
    for file, entry in results[1:]:
        first = _decisive(results[0][1])
        for key, value in _decisive(entry).items():
            if value != first[key]:
                other = shown_path(results[0][0])
                raise _error(file, f"{name} is another scenario there than in {other}: {key} differs")


def _decisive(entry: Entry) -> dict[str, Any]:
    """What decides a run beside its seed; boards may come from a flag, which no digest of a file knows."""
    return {
        **{key: entry[key] for key in ("scenario_digest", "components", "recordings")},
        "board": {gateway: one["board"] for gateway, one in entry["bands"].items()},
        **{f"version of {package}": entry["versions"][package] for package in ("twinloop", "wasmtime")},
    }


def _missing(name: str, missing: list[int], asked: list[int], summaries: list[dict[str, Any]]) -> str:
    """Which shards weren't given, where that can be told from one that was."""
    counts = {read_shard(one["shard"]).count for one in summaries if one["shard"]}
    told = number_of(len(missing), "seed")
    shown = ", ".join(map(str, missing[:MISSING_SHOWN])) + (", …" if len(missing) > MISSING_SHOWN else "")
    text = f"{told} of {name} {'has' if len(missing) == 1 else 'have'} no result: {shown}"
    if len(counts) == 1:
        (count,) = counts
        gone = [
            f"{number}/{count}"
            for number in range(1, count + 1)
            if set(Shard(number, count).of(asked)) & set(missing)
        ]
        text += f"; missing {'shard' if len(gone) == 1 else 'shards'} {', '.join(gone)}"
    return text


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _error(file, str(error.strerror)) from error
    except ValueError as error:
        raise _error(
            file, f"expected what twinloop run --seeds … --json writes; it is no JSON: {error}"
        ) from error
    if not isinstance(data, dict) or data.get("format") != document.FORMAT or "results" not in data:
        raise _error(file, "expected what twinloop run --seeds … --json writes")
    if "seeds" not in data:
        raise _error(
            file, "it is the result of single runs: merge puts those of --seeds with --shard together"
        )
    return data


def _error(file: Path, text: str) -> ScenarioError:
    return ScenarioError(shown_path(file), None, "", text)

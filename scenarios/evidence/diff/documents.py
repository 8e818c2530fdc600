"""The results that a user names: ``--json`` documents and ``--out`` folders, read and checked.

Belongs here: both shapes of a document, folders, what is wrong with a file and the cure. Never: comparing.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.report.document import FORMAT
from twinloop.scenarios.text.errors import ScenarioError, shown_path

_CURE = "write it with twinloop run SCENARIO --json FILE"
_SHAPE: dict[str, type] = {
    "scenario": str,
    "seed": int,
    "verdict": str,
    "scenario_digest": str,
    "digest": str,
    "components": dict,
    "versions": dict,
    "expectations": list,
    "ledger": dict,
    "latency": dict,
    "gateways": dict,
}
"""what a comparison needs of a result"""


@dataclass(frozen=True)
class Run:
    """One result. ``folder``: the --out folder that has its samples."""

    source: str
    data: dict[str, Any]
    folder: Path | None = None

    @property
    def scenario(self) -> str:
        """Its name."""
        return str(self.data["scenario"])

    @property
    def seed(self) -> int:
        """That was run."""
        return int(self.data["seed"])


@dataclass
class Side:
    """A or B: all that was named for it."""

    named: list[str]
    runs: list[Run] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    """(scenario file and seed, error) of what couldn't be run"""

    def of(self, scenario: str) -> dict[int, Run]:
        """The runs of a scenario, by seed, in order."""
        return {
            one.seed: one for one in sorted(self.runs, key=lambda one: one.seed) if one.scenario == scenario
        }


def results_of(document: dict[str, Any]) -> list[Any]:
    """The results of a document, of whichever shape: a list ``results`` (one entry a scenario and seed), a
    list ``runs``, or entries of the first that hold the second."""
    entries: list[Any] = []
    for key in ("results", "runs"):
        listed = document.get(key)
        if isinstance(listed, list):
            entries += listed
    out: list[Any] = []
    for one in entries:
        if isinstance(one, dict) and "ledger" not in one and isinstance(one.get("runs"), list):
            out += one["runs"]
        else:
            out.append(one)
    return out


def read(names: list[str]) -> Side:
    """A side from what was given for it: files and folders, each possibly several separated by commas.

    Raises ScenarioError for what isn't there, isn't ours, or holds one scenario and seed twice.
    """
    side = Side([])
    for name in names:
        # a comma may be part of a name
        for one in [name] if os.path.exists(name) else name.split(","):
            if one.strip():
                side.named.append(shown_path(Path(one.strip())))
                _read(Path(one.strip()), side)
    seen: dict[tuple[str, int], str] = {}
    for run in side.runs:
        key = run.scenario, run.seed
        if key in seen:
            raise ScenarioError(
                run.source,
                None,
                "",
                f'scenario "{run.scenario}" with seed {run.seed} is in {seen[key]}, too; give each run once',
            )
        seen[key] = run.source
    return side


def _read(path: Path, side: Side) -> None:
    if not os.path.isdir(path):
        _read_document(path, None, side)
        return
    if (path / "result.json").exists():
        _read_document(path / "result.json", path, side)
        return
    below = sorted(one.parent for one in path.glob("*/result.json"))
    if not below:
        raise ScenarioError(
            shown_path(path),
            None,
            "",
            "expected a folder that twinloop run --out has written, got one without result.json (a run that "
            "was broken off has none: run it again)",
        )
    for one in below:
        _read_document(one / "result.json", one, side)


def _read_document(path: Path, folder: Path | None, side: Side) -> None:
    file = shown_path(path)
    document = _loaded(path, file)
    if document.get("format") != FORMAT:
        raise ScenarioError(
            file,
            None,
            "$.format",
            f"expected {FORMAT}, got {json.dumps(document.get('format'))[:60]}; results of different formats "
            "aren't compared: run the scenario again with the twinloop that compares",
        )
    entries = results_of(document)
    if not entries:
        raise ScenarioError(file, None, "", f"expected results or runs, got a document without any; {_CURE}")
    for number, one in enumerate(entries):
        if isinstance(one, dict) and one.get("kind") == "error":
            seed = f" with seed {one['seed']}" if one.get("seed") is not None else ""
            side.errors.append((f"{one.get('file')}{seed}", str(one.get("error"))))
            continue
        side.runs.append(Run(file, _checked(one, file, number), folder))


def _loaded(path: Path, file: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ScenarioError(file, None, "", f"no such file; {_CURE}") from error
    except OSError as error:
        raise ScenarioError(file, None, "", f"it can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ScenarioError(
            file, None, "", f"expected JSON, got something else ({error}); {_CURE}"
        ) from error
    if not isinstance(document, dict):
        raise ScenarioError(
            file, None, "", f"expected a document of twinloop, got a JSON {type(document).__name__}; {_CURE}"
        )
    return document


def _checked(one: Any, file: str, number: int) -> dict[str, Any]:
    """A result that has what is compared; raises ScenarioError with the place."""
    where = f"$.results[{number}]"
    if not isinstance(one, dict):
        raise ScenarioError(file, None, where, f"expected a result, got {type(one).__name__}; {_CURE}")
    for key, kind in _SHAPE.items():
        if not isinstance(one.get(key), kind):
            got = "nothing" if key not in one else type(one[key]).__name__
            raise ScenarioError(file, None, f"{where}.{key}", f"expected {_NAMES[kind]}, got {got}; {_CURE}")
    if one["verdict"] not in list(Verdict):
        raise ScenarioError(
            file,
            None,
            f"{where}.verdict",
            f'expected one of {", ".join(Verdict)}, got "{one["verdict"][:60]}"',
        )
    for i, told in enumerate(one["expectations"]):
        if (
            not isinstance(told, dict)
            or not isinstance(told.get("expression"), str)
            or told.get("verdict") not in list(Verdict)
        ):
            raise ScenarioError(
                file,
                None,
                f"{where}.expectations[{i}]",
                f"expected an expression with a verdict, got something else; {_CURE}",
            )
    return one


_NAMES = {str: "a text", int: "a whole number", dict: "an object", list: "a list"}

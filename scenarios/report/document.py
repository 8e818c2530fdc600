"""The JSON that run, attach and a judged serving write: one shape, whatever came of how many scenarios.

Belongs here: the envelope and its entries' first fields. Never: what a result holds
(scenarios/report/result.py). ``{"format": 1, "results": [{"kind": "result" | "error", "file", "seed",
"verdict", "code", ...}]}``; its JSON Schema is ``result.schema.json`` beside this file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twinloop.scenarios.report.result import Result
from twinloop.scenarios.text.errors import shown_path

FORMAT = 1
SCHEMA = Path(__file__).with_name("result.schema.json")


def entry(file: Path, result: Result | Exception, code: int) -> dict[str, Any]:
    """A scenario that was run, or what it died of. ``code``: the exit code that it alone would have."""
    if isinstance(result, Exception):
        error = str(result) or type(result).__name__
        return {
            "kind": "error",
            "file": shown_path(file),
            "seed": None,
            "verdict": None,
            "code": code,
            "error": error,
        }
    first = {
        "kind": "result",
        "file": shown_path(file),
        "seed": result.data["seed"],
        "verdict": result.verdict.value,
        "code": code,
    }
    return first | {key: value for key, value in result.data.items() if key not in first and key != "format"}


def text(entries: list[dict[str, Any]]) -> str:
    """The whole document."""
    return json.dumps({"format": FORMAT, "results": entries}, indent=2) + "\n"

"""``shipped/x.expect``: what a run of the shipped scenario ``x.yaml`` must come to.

Belongs here: the format and the comparison. Keys: ``verdict``, ``exit``; ``figures``: path into the JSON
result -> ``{min, max}``; ``says``: texts of the report; ``warns``: texts of ``twinloop check``. No digests:
they change with any improvement of the engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from twinloop.scenarios.text.errors import ScenarioError, shown_path

SHIPPED = Path(__file__).parent / "shipped"
_KEYS = ("verdict", "exit", "figures", "says", "warns")


def read_expect(path: Path) -> dict[str, Any]:
    """The file's content; raises ScenarioError for an unknown key."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if (
        not isinstance(data, dict)
        or any(key not in _KEYS for key in data)
        or "verdict" not in data
        or "exit" not in data
    ):
        raise ScenarioError(
            shown_path(path),
            None,
            "",
            f"expected a mapping with verdict and exit, and of {', '.join(_KEYS)} only",
        )
    return data


def differences(
    expected: dict[str, Any], result: dict[str, Any], exit_code: int, report: str, warnings: str = ""
) -> list[str]:
    """What a run came to otherwise, in words; empty when it is as expected."""
    out = []
    if result["verdict"] != expected["verdict"]:
        out.append(f"verdict {result['verdict']}, expected {expected['verdict']}")
    if exit_code != expected["exit"]:
        out.append(f"exit code {exit_code}, expected {expected['exit']}")
    for path, bounds in expected.get("figures", {}).items():
        value = figure(result, path)
        if value is None or not bounds.get("min", value) <= value <= bounds.get("max", value):
            out.append(f"{path} is {value}, expected {bounds}")
    flat = " ".join(report.split())
    out += [f"the report doesn't say {text!r}" for text in expected.get("says", []) if text not in flat]
    out += [f"check doesn't warn {text!r}" for text in expected.get("warns", []) if text not in warnings]
    return out


def figure(result: dict[str, Any], path: str) -> float | None:
    """A number in the result by dotted path (a key may hold dots or slashes); None when there is none."""
    if path in result:
        value = result[path]
        return value if isinstance(value, int | float) else None
    for end in range(len(path), 0, -1):
        head, rest = path[:end], path[end + 1 :]
        if head in result and isinstance(result[head], dict) and path[end : end + 1] == ".":
            return figure(result[head], rest)
    return None

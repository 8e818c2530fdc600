"""The reference pages of docs/: the keys of a scenario file, and what ``twinloop list`` prints, as tables.
``python -m twinloop.scenarios.cli.reference`` writes them.

Belongs here: tables. Never: what stands in them (the schema, the verbs' classes, the metrics' rows, the lists
of the command).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from twinloop.scenarios.cli.list_ import rows
from twinloop.scenarios.file.json_schema import json_schema
from twinloop.scenarios.judging.metrics.table import METRICS
from twinloop.scenarios.text.quantities import KIND
from twinloop.sim.trouble.verbs import VERBS, all_keys

WRITTEN_BY = "<!-- written by `python -m twinloop.scenarios.cli.reference`; a test compares -->"


def pages() -> dict[str, str]:
    """File name -> text."""
    return {"keys.md": _keys(), "metrics.md": _metrics(), "troubles.md": _troubles(), "parts.md": _parts()}


def _table(head: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    shown = [head, tuple("---" for _ in head), *lines]
    return (
        "\n".join(
            "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |"
            for line in shown
        )
        + "\n"
    )


def _metrics() -> str:
    table = _table(
        ("metric", "kind, unit", "meaning", "keys", "statistics"),
        [
            (
                f"`{name}`",
                f"{one.kind}, {one.unit}",
                one.meaning,
                ", ".join(one.keys) or "none",
                ", ".join(one.statistics) or "stands alone",
            )
            for name, one in METRICS.items()
        ],
    )
    text = (
        "What an expectation can measure: `statistic(metric{key=value}) <= bound`. Keys in braces choose "
        "fleets, devices, gateways, phases.\n"
        "One that stands alone is written without a statistic: `gateway.cpu <= 60 %`. `twinloop list "
        "metrics` prints the same.\n"
    )
    return f"{WRITTEN_BY}\n# Metrics\n\n{text}\n{table}"


def _keys() -> str:
    schema = json_schema()
    shown = {
        name: block
        for name, block in {"Scenario": schema, **schema["$defs"]}.items()
        if name not in ("Deed", "Degradation")
    }
    verbs = [*VERBS, *(key.name for key in all_keys())]
    out = (
        f"{WRITTEN_BY}\n# Keys of a scenario file\n\nEvery block of a file with its keys; those that "
        f"aren't needed may be left out.\n"
        "`twinloop schema` prints the same as JSON Schema, for editors: [how to attach "
        "it](../howto/editor.md).\n"
    )
    for name, block in shown.items():
        needed = block.get("required", [])
        lines = [
            (
                f"`{key}`",
                _type(one),
                "needed" if key in needed else _default(one),
                one.get("description", block.get("title", "")),
            )
            for key, one in block["properties"].items()
            if name != "Entry" or key not in verbs
        ]
        text = " ".join(block.get("description", "").split()).replace("``", "`")
        out += f"\n## {name}\n\n{text}\n\n{_table(('key', 'type', 'default', 'meaning'), lines)}"
        if name == "Entry":
            out += "\nBeside these a verb with its target, and the verb's own keys: [trouble](troubles.md).\n"
    return out


def _default(one: dict[str, Any]) -> str:
    value = one.get("default")
    return "" if value in (None, "") else f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _type(one: dict[str, Any]) -> str:
    """What a value may be, in words."""
    several = one.get("anyOf", one.get("oneOf", []))
    if several and ("anyOf" in one or not any("$ref" in single for single in several)):
        return " or ".join(dict.fromkeys(filter(None, map(_type, several))))
    if "$ref" in one:
        name = one["$ref"].rpartition("/")[2]
        return (
            "[trouble](troubles.md), without times" if name == "Deed" else f"[{name}](keys.md#{name.lower()})"
        )
    if KIND in one:
        return f"{one[KIND]}, e.g. `{one['examples'][0]}`"
    if "enum" in one:
        return ", ".join(f"`{value}`" for value in one["enum"])
    kind = one.get("type")
    if kind == "null":
        return ""
    if kind == "array":
        return f"list of {_type(one.get('items', {'type': 'text'}))}"
    if kind == "object":
        inner = one.get("additionalProperties") or next(
            reversed(one.get("patternProperties", {"": {"type": "string"}}).values())
        )
        return f"by name, each {_type(inner)}"
    if kind in ("integer", "number"):
        low = one.get("minimum", one.get("exclusiveMinimum"))
        high = one.get("maximum", one.get("exclusiveMaximum"))
        if low == high is not None:
            return f"`{low}`"
        high = "2^63 - 1" if high == 1 << 63 else high
        span = (
            f", {low} to {high}"
            if low is not None and high is not None
            else f", {low} or more"
            if low is not None
            else ""
        )
        return f"{'whole number' if kind == 'integer' else 'number'}{span}"
    if kind == "boolean":
        return "`true` or `false`"
    return "name" if str(one.get("pattern", "")).startswith("^[a-z]") else "text"


def _troubles() -> str:
    out = (
        f"{WRITTEN_BY}\n# Trouble\n\nWhat a timeline can do: each entry has one of these verbs with its "
        f"target. `for` says how long it lasts,\n"
        "where a verb has an end. Kinds of `device-fault` are at the end of this page. `twinloop list "
        "troubles` prints the same in short.\n"
    )
    for name, verb in VERBS.items():
        lasts = "needs `for`" if verb.must_end else "may have `for`" if verb.lasts else "has no end"
        out += f"\n## `{name}`\n\n{verb.help()[0].upper()}{verb.help()[1:]}. It {lasts}.\n"
        lines = [
            (f"`{key.name}`", _type(_properties()[key.name]), "needed" if key.needed else "", key.help)
            for key in verb.own_keys()
        ]
        out += f"\n{_table(('key', 'type', '', 'meaning'), lines)}" if lines else ""
    kinds = [
        (f"`{name.removeprefix('device-fault ')}`", text)
        for name, text in rows("troubles")
        if name.startswith("device-fault ")
    ]
    return f"{out}\n## Kinds of device faults\n\n{_table(('kind', 'what happens; keys'), kinds)}"


@cache
def _properties() -> dict[str, Any]:
    found: dict[str, Any] = json_schema()["$defs"]["Entry"]["properties"]
    return found


def _parts() -> str:
    out = (
        f"{WRITTEN_BY}\n# Devices, links, stores, components\n\nWhat a scenario can be built from. `twinloop "
        f"list KIND` prints the same. A source that is `ours` was chosen by the authors of twinloop; "
        f"`unchecked`: a "
        f"figure whose document was not read.\n"
    )
    for kind in ("devices", "links", "stores", "components"):
        listed = [(f"`{name}`" if name.strip() else "", text) for name, text in rows(kind)]
        out += f"\n## {kind.capitalize()}\n\n{_table(('name', 'what it is'), listed)}"
    return out


def main(folder: Path) -> None:
    """Write them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path("docs/reference"))

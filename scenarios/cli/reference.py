"""The reference pages of docs/: what ``twinloop list`` prints, as tables. ``python -m twinloop.scenarios.cli.reference`` writes them.

Belongs here: tables. Never: what stands in them (the lists of the command).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from twinloop.scenarios.cli.list_ import rows
from twinloop.scenarios.judging.metrics.table import METRICS

WRITTEN_BY = "<!-- written by `python -m twinloop.scenarios.cli.reference`; a test compares -->"


def pages() -> dict[str, str]:
    """File name -> text."""
    return {"metrics.md": _metrics(), "troubles.md": _troubles(), "parts.md": _parts()}


def _table(head: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    shown = [head, tuple("---" for _ in head), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in shown) + "\n"


def _metrics() -> str:
    table = _table(
        ("metric", "kind, unit", "meaning", "keys", "statistics"),
        [
            (f"`{name}`", f"{one.kind}, {one.unit}", one.meaning, ", ".join(one.keys) or "none", ", ".join(one.statistics) or "stands alone")
            for name, one in METRICS.items()
        ],
    )  # fmt: skip
    text = (
        "What an expectation can measure: `statistic(metric{key=value}) <= bound`. Keys in braces choose fleets, devices, gateways, phases.\n"
        "`twinloop list metrics` prints the same.\n"
    )
    return f"{WRITTEN_BY}\n# Metrics\n\n{text}\n{table}"


def _troubles() -> str:
    table = _table(("verb or fault", "what happens; keys"), [(f"`{name}`", text) for name, text in rows("troubles")])
    text = "What a timeline can do. `fault` has kinds: each of them is a row. `twinloop list troubles` prints the same.\n"
    return f"{WRITTEN_BY}\n# Trouble\n\n{text}\n{table}"


def _parts() -> str:
    out = f"{WRITTEN_BY}\n# Devices, links, stores, components\n\nWhat a scenario can be built from. `twinloop list KIND` prints the same.\n"
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

"""What stands in docs/claims.md and in the README between the markers, from measured.json alone.

Belongs here: text and tables. Never: measuring. So a test can hold both pages to the measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BEGIN, END = "<!-- begin: make claims -->", "<!-- end: make claims -->"
README_CLAIMS = ("policy", "native", "containers")
"""what the README quotes"""


def between(text: str, new: str) -> str:
    """``text`` with ``new`` between its markers; raises ValueError without them."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"expected one {BEGIN} and one {END} in the page")
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n\n{new}\n{END}{rest.split(END)[1]}"


def page(text: str, found: dict[str, Any]) -> str:
    """docs/claims.md."""
    return between(text, tables(found))


def readme(text: str, found: dict[str, Any]) -> str:
    """README.md."""
    lines = [
        f"- *{one['claim']}*: **{one['verdict']}**. {one['why']}"
        for one in found["claims"]
        if one["id"] in README_CLAIMS
    ]
    lines.append(f"\nMeasured on {found['machine']}, {found['date']}; boards are modelled, with bands.")
    return between(text, "\n".join(lines) + "\n")


def tables(found: dict[str, Any]) -> str:
    """All that is generated of the page."""
    load = found["load"]
    out = [
        f"Measured on {found['machine']}, {found['date']}; the machine's load was {load[0]} at the start and "
        f"{load[1]} after what needs tools.",
        "",
        *row_lines(["claim", "verdict", "why"]),
        *(row(one["claim"], f"**{one['verdict']}**", one["why"]) for one in found["claims"]),
    ]
    for one in found["claims"]:
        out += [
            "",
            f"### {one['claim']}",
            "",
            f"Said by: {source(one['source'])}",
            "",
            *_figures(one["figures"]),
        ]
    out += ["", "### Kernels", "", *_kernels(found["native"])]
    return "\n".join(out) + "\n"


def source(text: str) -> str:
    """Addresses as links."""
    words = []
    for word in text.split():
        stop = word[-1] if word[-1] in ":;," else ""
        bare = word.removesuffix(stop) if stop else word
        words.append(f"<{bare}>{stop}" if bare.startswith("https://") else word)
    return " ".join(words)


def row(*cells: str) -> str:
    """A row of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def row_lines(head: Sequence[str]) -> list[str]:
    """A table's head."""
    return [row(*head), row(*("---" for _ in head))]


def _figures(figures: list[dict[str, Any]]) -> list[str]:
    out: list[str] = []
    for what in dict.fromkeys(one["what"] for one in figures):
        ones = [one for one in figures if one["what"] == what]
        out += ["", *row_lines([what, "host program", "value (band)", "holds"])]
        out += [row(_where(one["where"]), one.get("host", ""), one["text"], one["holds"]) for one in ones]
        out += ["", *_hows(ones)]
    return out[1:]


def _where(name: str) -> str:
    return {"here": "measured", "kept": "measured with tools"}.get(name, name)


def _hows(figures: list[dict[str, Any]]) -> list[str]:
    """How figures of one quantity were found, each way once; of boards with their names where they differ."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in figures:
        kind = one["kind"] if one["kind"] == "modelled" else _where(one["where"])
        found.setdefault((kind, one["how"]), []).append(one["where"])
    several = sum(kind == "modelled" for kind, _ in found) > 1
    lines = []
    for (kind, how), names in found.items():
        of = f", {', '.join(dict.fromkeys(names))}" if several and kind == "modelled" else ""
        lines.append(f"{kind.capitalize()}{of}: {how}.  ")
    return lines


def _kernels(part: dict[str, Any]) -> list[str]:
    if "missing" in part:
        return [f"Not measured: {part['missing']}"]
    out = [f"{part['how']}; {part['compiler']}; {part['rounds']} rounds. Times of one turn, in ns.", ""]
    out += row_lines(["kernel", "native", "guest", "times", "guest, counted", "times"])
    for name, one in part["kernels"].items():
        native, plain, counted = one["native_ns"], one["wasm_ns"], one["metered_ns"]
        cells = (
            f"{native:g}",
            f"{plain:g}",
            f"{plain / native:.2f}",
            f"{counted:g}",
            f"{counted / native:.2f}",
        )
        out.append(row(name, *cells))
    return out

"""``python -m benchmarks.hosts``: count, fit, print. ``--fit`` takes the counts that are committed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.arm64 import CannotRun
from benchmarks.hosts.counting import counted
from benchmarks.hosts.fitting import (
    COUNTED,
    FITTED,
    PRICES,
    Fitted,
    Row,
    by_host,
    fitted,
    load,
    named,
    report,
    shape,
)


def said(price: float) -> str:
    """With spaces between thousands."""
    return f"{price:,.0f}".replace(",", " ") if price >= 1000 else f"{price:g}"


def points(rows: Sequence[Row], found: Fitted) -> list[str]:
    """A line for each point of a host: counted, and how the price misses it."""
    prices = [np.dot(shape(row), found.prices) / row["instructions"] for row in rows]
    return [
        f"  {named(row):34} {row['instructions']:>11} {ratio:>6.2f}"
        for row, ratio in zip(rows, prices, strict=True)
    ]


def summary(data: dict[str, Any]) -> list[str]:
    """The table of prices, and what lies around it."""
    head = "  ".join(f"{name:>26}" for name in PRICES)
    lines = [
        "",
        "A64 instructions, x/÷ band (x/÷ of 90 % of its points, each left out)",
        f"{'host':12}{head}",
    ]
    for host, one in data["hosts"].items():
        cells = [
            f"{said(p['instructions'])} x/÷{p['band']:g} ({p['left_out']:g})" for p in one["prices"].values()
        ]
        lines.append(f"{host:12}" + "  ".join(f"{cell:>26}" for cell in cells))
    for host, one in data["hosts"].items():
        lines.append(
            f"{host}: 90 % of all points within x/÷ {one['left_out']:g} when left out,"
            f" x/÷ {one['left_out_by_export']:g} when all of their export are;"
            f" the largest miss is {one['worst']['point']}, x {one['worst']['ratio']:g}"
        )
    for mode, own in data["guest"].items():
        lines.append(
            f"guests' compiled code, {mode}: {own['call']:g} a call + {own['import']:g} an import"
            f" + {own['fuel']:g} a unit of fuel, x/÷ {own['band']:g};"
            f" in all {own['least']:g} to {own['most']:g} a unit of fuel"
        )
    return lines


def markdown(data: dict[str, Any]) -> list[str]:
    """The table of prices as the README has it."""
    lines = ["| host | " + " | ".join(name.replace("_", " ") for name in PRICES) + " |"]
    lines.append("| --- |" + " --: |" * len(PRICES))
    for host, one in data["hosts"].items():
        cells = [f"{said(p['instructions'])} x/÷ {p['band']:g}" for p in one["prices"].values()]
        lines.append(f"| {host} | " + " | ".join(cells) + " |")
    return lines


def _json(data: object) -> str:
    """Rows on a line each, the rest indented."""
    if isinstance(data, list):
        return "[\n" + ",\n".join(json.dumps(row) for row in data) + "\n]\n"
    return json.dumps(data, indent=2) + "\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hosts", description=__doc__)
    parser.add_argument("--fit", action="store_true", help="fit counted.json again, without counting")
    if not parser.parse_args().fit:
        try:
            COUNTED.write_text(_json(counted(lambda line: print(line, flush=True))))
        except CannotRun as cannot:
            sys.exit(f"benchmarks.hosts: {cannot}")
    rows = load()
    data = report(rows)
    FITTED.write_text(_json(data))
    for host, own in by_host(rows).items():
        print(f"{host}: instructions of the host for a call; price / count")
        print("\n".join(points(own, fitted(own))))
    print("\n".join([*summary(data), "", *markdown(data)]))


if __name__ == "__main__":
    main()

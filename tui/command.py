"""``twinloop tui [SCENARIO] [--seed N]``, found by its entry point.

Belongs here: the command line. Never: the application.
"""

from __future__ import annotations

import sys
from pathlib import Path


def command(arguments: list[str]) -> int:
    """Run it; returns the exit code: 0, or 3 for a wrong command line."""
    seed: int | None = None
    names: list[str] = []
    rest = list(arguments)
    while rest:
        one = rest.pop(0)
        if one in ("--help", "-h"):
            print("twinloop tui SCENARIO [--seed N]\n\nSee the plant, hold the clock, cause the trouble. ? shows the keys.")
            return 0
        if one == "--seed":
            text = rest.pop(0) if rest else ""
            if not text.isascii() or not text.isdigit() or int(text) >= 1 << 63:
                print(f'error: --seed: expected a number from 0 to {(1 << 63) - 1}, got "{text}"', file=sys.stderr)
                return 3
            seed = int(text)
        elif one.startswith("-"):
            print(f'error: unknown option "{one}"; known: --seed, --help', file=sys.stderr)
            return 3
        else:
            names.append(one)
    return _run(names, seed)


def _run(names: list[str], seed: int | None) -> int:
    from scenarios.errors import ScenarioError
    from scenarios.load import find, library_names

    if len(names) != 1:
        print(f"error: expected one scenario, got {len(names)}; shipped: {', '.join(library_names())}", file=sys.stderr)
        return 3
    try:
        file = find(names[0])
    except ScenarioError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    if not file.is_file():
        print(f"error: {names[0]}: no such scenario file", file=sys.stderr)
        return 3
    from tui.app import Twinloop

    return Twinloop(Path(file), seed).run() or 0

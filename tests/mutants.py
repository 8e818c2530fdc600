"""``python -m tests.mutants``, after ``mutmut run``: of the changes to each module the share that its own
tests notice, and those that they don't.

Belongs here: counting. Never: which modules and tests (pyproject.toml). What is left has its reason in
ARCHITECTURE.md.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

LEAST = 0.97
"""of all changes"""
FOLDER = Path("mutants/twinloop/sim")
NOTICED = {
    1: "killed",
    3: "killed",
    36: "timeout",
    -24: "timeout",
    152: "timeout",
    24: "timeout",
    255: "timeout",
}
"""exit code of a test run -> what came of the change: a loop that never ends is noticed, too"""


def main() -> int:
    """Exit code 1: too few are noticed, or nothing was run."""
    noticed: Counter[str] = Counter()
    slow = 0
    left: dict[str, list[str]] = {}
    for file in sorted(FOLDER.rglob("*.meta")):
        module = file.name.removesuffix(".py.meta")
        for name, code in json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"].items():
            if code in NOTICED:
                noticed[module] += 1
                slow += NOTICED[code] == "timeout"
            else:
                left.setdefault(module, []).append(name)
    for module in sorted({*noticed, *left}):
        count = noticed[module] + len(left.get(module, ()))
        print(f"{module}: {noticed[module]} of {count} noticed")
    for names in left.values():
        for name in names:
            print(f"\n{name}\n{changed(name)}")
    whole = noticed.total() + sum(map(len, left.values()))
    print(
        f"\n{noticed.total()} of {whole} changes noticed, {slow} of them by a test that never ended"
        + (f", {noticed.total() / whole:.1%}; at least {LEAST:.0%} are wanted" if whole else "")
    )
    return int(not whole or noticed.total() < LEAST * whole)


def changed(name: str) -> str:
    """The lines that a change takes away and puts in."""
    shown = subprocess.run(
        [Path(sys.executable).with_name("mutmut"), "show", name], capture_output=True, text=True, check=True
    ).stdout
    return "\n".join(line for line in shown.splitlines() if re.match(r"[-+](?![-+])", line))


if __name__ == "__main__":
    sys.exit(main())

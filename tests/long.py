"""Which tests are long: `make test` leaves them to `make test-long`, so that it stays under 5 minutes on 2 cores.

Belongs here: the list (long.txt) and how it is made. Never: a test. A test is long that takes more than CPU_MAX_S
of CPU time, that of the processes that it starts included. To make the list anew:

    python -m pytest -n 2 --cpu-times=build/cpu-times.txt && python -m tests.long build/cpu-times.txt
"""

from __future__ import annotations

import sys
from pathlib import Path

CPU_MAX_S = 0.35
LIST = Path(__file__).parent / "long.txt"
_ELSEWHERE = "tests/tools/"
"""`make test-tools` runs these"""


def long_tests() -> frozenset[str]:
    """The ids of the long tests."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def main(times: Path) -> None:
    """Write the list from what ``--cpu-times`` has written: seconds, a tab, a test's id. What was on the list and
    wasn't measured stays there."""
    found, measured = [], set[str]()
    for line in times.read_text(encoding="utf-8").splitlines():
        seconds, _, test = line.partition("\t")
        measured.add(test)
        if float(seconds) > CPU_MAX_S and not test.startswith(_ELSEWHERE):
            found.append(test)
    found += [test for test in long_tests() if test not in measured]
    head = f"# tests of more than {CPU_MAX_S} s of CPU time; made by: python -m tests.long"
    LIST.write_text("\n".join([head, *sorted(dict.fromkeys(found))]) + "\n", encoding="utf-8")
    print(f"{len(found)} long tests")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

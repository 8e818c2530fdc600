"""Pictures of what commands print, for the documentation: ``make pictures-html`` writes docs/pictures/cluster.svg and
docs/pictures/pytest.svg. The commands are run: a scheduler with three workers, of which one is killed; pytest.

Belongs here: which commands, and their pictures. It needs ``twinloop[cluster]``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.tools.cluster import processes

DOCS = Path(__file__).parents[2] / "docs"
COLUMNS = 112


def scenario(page: str, name: str) -> str:
    """The scenario of that name that a page shows."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"^```yaml\n# {re.escape(name)}: \S+\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} shows no {name}"
    return found[1]


def pictured(name: str, shown: str, command: list[str], folder: Path, word: str) -> None:
    """Run it, and draw ``shown`` and what it has printed, which must have that word in it."""
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)},
    )  # fmt: skip
    assert word in done.stdout, done.stdout
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(f"$ {shown}", highlight=False, markup=False, style="bold")
        console.print(Text.from_ansi(done.stdout.rstrip()))
        svg = console.export_svg(title="", unique_id=name)
    (DOCS / "pictures" / f"{name}.svg").write_text(svg, encoding="utf-8")


def cluster(folder: Path) -> None:
    """200 seeds on three workers; one is killed when it has run some."""
    (folder / "luck.yaml").write_text(scenario("many-runs.md", "luck.yaml"), encoding="utf-8")
    with processes(folder / "cluster") as all_:
        workers = {name: all_.worker(name) for name in ("a", "b", "c")}
        for name in workers:
            all_.until(name, "Registered to")

        def kill() -> None:
            all_.until("a", "Starting Worker plugin twinloop-")
            time.sleep(1)
            workers["a"].kill()

        killer = threading.Thread(target=kill)
        killer.start()
        flags = ["run", "luck.yaml", "--seeds", "1..200", "--cluster"]
        program = [sys.executable, "-m", "twinloop"]
        pictured(
            "cluster",
            f"twinloop {' '.join(flags)} {all_.address}",
            [*program, *flags, all_.address],
            folder,
            "was lost",
        )
        killer.join()


def pytest(folder: Path) -> None:
    """A scenario under four seeds."""
    (folder / "luck.twinloop.yaml").write_text(scenario("many-runs.md", "luck.yaml"), encoding="utf-8")
    flags = ["luck.twinloop.yaml", "--twinloop-seeds", "1..4", "-v", "--no-header", "-p", "no:cacheprovider"]
    shown = f"pytest {' '.join(flags[:-2])}"
    pictured(
        "pytest",
        shown,
        [str(shutil.which("pytest", path=str(Path(sys.executable).parent))), *flags],
        folder,
        "1 failed",
    )


if __name__ == "__main__":
    for make in (cluster, pytest):
        with tempfile.TemporaryDirectory() as home:
            make(Path(home))

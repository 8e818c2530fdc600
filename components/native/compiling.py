"""Builds the compiled part with the C compiler that built Python, or says why it can't.

Belongs here: which modules it has, the command line of the compiler, and where a tree keeps what it has
built. Never: anything of twinloop (the wheel's build hook loads this file by its path, before there is a
package), a choice of what runs (choice.py). Each module's sources lie in the room whose Python they are the
twins of. ``python -m twinloop.components.native.compiling`` builds them into the tree's ``build/``.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOMS = Path(__file__).absolute().parents[2]
"""the folder of twinloop's rooms, in a tree and in an installation"""
MODULES = {
    "crossing": (
        "components/native/crossing.c",
        "components/native/canonical.h",
        "components/native/direct.h",
        "components/native/calling.h",
        "components/native/stacks.h",
        "components/native/stage.h",
    ),
    "engine": (
        "sim/native/engine.c",
        "sim/native/timeline.c",
        "sim/native/streams.c",
        "sim/native/accounts.c",
        "sim/native/calls.c",
        "sim/native/frames.c",
        "sim/native/writing.c",
        "sim/native/engine.h",
    ),
    "signals": ("devices/native/signals.c", "devices/native/answers.c"),
}
"""each compiled module's sources, below ROOMS; the first has the name of the module"""
SUFFIX = EXTENSION_SUFFIXES[0]
"""of a library's name: it says for which Python and machine it is"""
FILES = {name: f"{name}{SUFFIX}" for name in MODULES}
"""module -> the name of its library; all lie in one folder"""
PURE = "TWINLOOP_PURE"
"""environment: 1 has everything done in Python, whatever was compiled"""
FLAGS = (
    "-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=off",
    "-Wall", "-Wextra", "-Werror=vla",
)  # fmt: skip
"""no a * b + c in one rounding: doubles are those of Python on every machine"""
QUIET = ("-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Wno-cast-function-type")
"""what CPython's own tables of methods are full of"""
COMPILER_S = 300
"""after which a compiler is taken for stuck"""


class NotCompiled(Exception):
    """There is no compiled part; the message says why."""


def tree() -> Path | None:
    """The source tree that this package runs from; None for an installed one."""
    found = Path(__file__).absolute().parents[3]  # beside ``twinloop``, whose rooms are links in a tree
    return found if (found / "pyproject.toml").is_file() and (found / "Makefile").is_file() else None


def place() -> Path:
    """The folder where the compiled part lies, or would: in a tree's ``build``, never among its sources;
    beside this file otherwise."""
    root = tree()
    return Path(__file__).parent if root is None else root / "build" / "native"


def version_here() -> str:
    """Of twinloop as it is installed; empty where it isn't."""
    try:
        return version("twinloop")
    except PackageNotFoundError:
        return ""


def stamp(of_version: str) -> str:
    """What a compiled part has in it that was built for this version from these sources: one for all of its
    modules."""
    every = hashlib.sha256()
    for sources in MODULES.values():
        for source in sources:
            every.update((ROOMS / source).read_bytes())
    return f"{of_version} {every.hexdigest()}"


def compiled(into: Path, of_version: str) -> list[Path]:
    """Build every module for a version of twinloop into a folder, all or none; raises NotCompiled."""
    import shlex  # what only a compilation needs no run should wait for
    import shutil
    import sysconfig
    import tempfile

    words = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(words[0]) is None:
        words = ["cc", *words[1:]]
    if shutil.which(words[0]) is None:
        raise NotCompiled("there is no C compiler (set CC, or install one)")
    header = Path(sysconfig.get_path("include"))
    if not (header / "Python.h").is_file():
        raise NotCompiled(f"there is no Python.h in {header} (Debian: python3-dev)")
    into.mkdir(parents=True, exist_ok=True)
    linked = ("-undefined", "dynamic_lookup") if sys.platform == "darwin" else ()
    command = [*words, *FLAGS, *QUIET, *linked, f"-I{header}", f'-DSTAMP="{stamp(of_version)}"']
    with tempfile.TemporaryDirectory(dir=into) as folder:  # on one file system, so that each appears whole
        for name, sources in MODULES.items():
            _module(
                command, [source for source in sources if source.endswith(".c")], Path(folder) / FILES[name]
            )
        for name in MODULES:
            os.replace(Path(folder) / FILES[name], into / FILES[name])
    return [into / FILES[name] for name in MODULES]


def _module(command: list[str], sources: list[str], made: Path) -> None:
    import subprocess

    try:
        done = subprocess.run(
            [*command, *(str(ROOMS / source) for source in sources), "-o", str(made)],
            capture_output=True,
            text=True,
            timeout=COMPILER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotCompiled(f"{command[0]} can't be run: {error}") from error
    if done.returncode or not made.is_file():
        names = ", ".join(Path(source).name for source in sources)
        raise NotCompiled(f"{command[0]} refused {names}:\n{(done.stdout + done.stderr).strip()}")


def main() -> int:
    """Build it where this tree looks for it; returns the exit code."""
    try:
        print(*compiled(place(), version_here()), sep="\n")
    except NotCompiled as why:
        print(f"twinloop stays pure: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Builds the compiled part with the C compiler that built Python, or says why it can't.

Belongs here: the command line of the compiler, and where a tree keeps what it has built. Never: anything of
twinloop (the wheel's build hook loads this file by its path, before there is a package), a choice of what
runs (choice.py). ``python -m twinloop.components.native.compiling`` builds it into the tree's ``build/``.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SOURCE = Path(__file__).with_name("crossing.c")
PARTS = tuple(
    Path(__file__).with_name(name) for name in ("crossing.c", "canonical.h", "direct.h", "calling.h")
)
"""of which it is made"""
FILE = f"crossing{sysconfig.get_config_var('EXT_SUFFIX') or '.so'}"
"""its name says for which Python and machine it is"""
PURE = "TWINLOOP_PURE"
"""environment: 1 has everything done in Python, whatever was compiled"""
FLAGS = ("-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror=vla")
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
    """Where the compiled part lies, or would: in a tree's ``build``, never among its sources; beside this
    file otherwise."""
    root = tree()
    return Path(__file__).with_name(FILE) if root is None else root / "build" / "native" / FILE


def version_here() -> str:
    """Of twinloop as it is installed; empty where it isn't."""
    try:
        return version("twinloop")
    except PackageNotFoundError:
        return ""


def stamp(of_version: str) -> str:
    """What a compiled part has in it that was built for this version from this source."""
    return f"{of_version} {hashlib.sha256(b''.join(part.read_bytes() for part in PARTS)).hexdigest()}"


def compiled(into: Path, of_version: str) -> Path:
    """Build it for a version of twinloop into a folder; raises NotCompiled."""
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
    with tempfile.TemporaryDirectory(dir=into) as folder:  # on one file system, so that it appears whole
        made = Path(folder) / FILE
        command = [
            *words, *FLAGS, *QUIET, *linked, f"-I{header}", f'-DSTAMP="{stamp(of_version)}"',
            str(SOURCE), "-o", str(made),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILER_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotCompiled(f"{words[0]} can't be run: {error}") from error
        if done.returncode or not made.is_file():
            raise NotCompiled(f"{words[0]} refused crossing.c:\n{(done.stdout + done.stderr).strip()}")
        os.replace(made, into / FILE)
    return into / FILE


def main() -> int:
    """Build it where this tree looks for it; returns the exit code."""
    try:
        print(compiled(place().parent, version_here()))
    except NotCompiled as why:
        print(f"twinloop stays pure: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a cluster's machines run: which differences would change results, and which are only told.

Belongs here: versions as data, and the table of who has what. Never: asking for them (cluster.py), nor
anything of Dask.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

import twinloop

Versions = dict[str, str]
ASKED = ("twinloop", "wasmtime", "simpy", "numpy")
"""packages"""
SAME = ("twinloop", "wasmtime")
"""of which another version may give other results: refused"""
TOLD = ("simpy", "numpy", "Python")
"""of which another version is told, and allowed"""
NONE = "not installed"
_CODE = (".py", ".wasm", ".lark", ".json", ".yaml", ".xml", ".csv", ".wit")
_NOT_RUN = ("guests", "starters", "__pycache__")


def differing(ours: Versions, workers: dict[str, Versions], names: tuple[str, ...]) -> list[str]:
    """Those of ``names`` of which some worker has another version than this process."""
    return [name for name in names if any(one.get(name, NONE) != ours[name] for one in workers.values())]


def table(ours: Versions, workers: dict[str, Versions]) -> str:
    """Who has what: a row for this machine, one for each worker."""
    shown = Table(box=None, padding=(0, 2, 0, 0))
    shown.add_column("")
    for name in (*SAME, *TOLD):
        shown.add_column(name)
    for who, versions in (("this machine", ours), *sorted(workers.items())):
        shown.add_row(who, *(versions.get(name, NONE) for name in (*SAME, *TOLD)))
    out = io.StringIO()
    Console(file=out, width=200).print(shown)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def code_digest() -> str:
    """SHA-256 of twinloop's own files: two machines may have one version number and different code."""
    root, digest = Path(twinloop.__file__).parent, hashlib.sha256()
    for path in _code(root):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _code(root: Path) -> Iterator[Path]:
    for at, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(one for one in folders if one not in _NOT_RUN)
        yield from (Path(at, file) for file in sorted(files) if file.endswith(_CODE))

"""Environments of foreign clients: what clients.toml names, a folder of its own for each.

Belongs here: how a client comes to be installed. Never: what it is asked to do (check.py).
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FOLDER = ROOT / "build" / "foreign"


class Missing(Exception):
    """A client isn't to be had on this machine; the words say why."""


@dataclass(frozen=True)
class Client:
    """One of clients.toml."""

    name: str
    origin: str
    version: str
    beside: tuple[str, ...]


def clients() -> dict[str, Client]:
    """By name."""
    data = tomllib.loads((HERE / "clients.toml").read_text(encoding="utf-8"))
    return {
        name: Client(name, one["from"], one["version"], tuple(one.get("with", ())))
        for name, one in data.items()
    }


def python_of(client: Client) -> Path:
    """The interpreter of its environment, which is made when it isn't there or has another version. Raises
    Missing."""
    folder = FOLDER / client.name
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    wanted = [f"{client.name}=={client.version}", *client.beside]
    if stamp.exists() and stamp.read_text(encoding="utf-8").split() == wanted:
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Missing(f"pip can't get {' '.join(wanted)}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    stamp.write_text("\n".join(wanted) + "\n", encoding="utf-8")
    return python

"""Containers: how long crun and runc take to start one that does nothing, and to clean up after it.

Belongs here: making a bundle, running it, saying why it can't be. It wants the rights to make namespaces. The
runtimes are called directly, without a daemon and without an image: the quickest container that there is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RUNTIMES = ("crun", "runc")
_NOTHING = "int main(void) { return 0; }\n"
_PRIVATE = (
    "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "
    '"$0" -m benchmarks.claims.containers "$@"'
)
"""crun refuses control groups of both versions side by side: in mounts of its own it sees one version"""
HOW = "run of a bundle with one static program that returns 0; wall time until it has ended, the shortest"


def bundle(folder: Path, runtime: str) -> None:
    """A bundle for that runtime; raises OSError or CalledProcessError."""
    root = folder / "rootfs" / "bin"
    root.mkdir(parents=True)
    source = folder / "nothing.c"
    source.write_text(_NOTHING, encoding="ascii")
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", "-static", "-O2", "-s"]
    subprocess.run([*compiler, "-o", str(root / "nothing"), str(source)], check=True, capture_output=True)
    subprocess.run([runtime, "spec"], check=True, capture_output=True, cwd=folder)
    config = folder / "config.json"
    found = json.loads(config.read_text(encoding="utf-8"))
    found["process"].update(terminal=False, args=["/bin/nothing"])
    config.write_text(json.dumps(found), encoding="utf-8")


def command(runtime: str, folder: Path, name: str) -> list[str]:
    """What runs the bundle once."""
    extra = ["--cgroup-manager=disabled"] if runtime == "crun" else []
    return [runtime, "--root", str(folder / "state"), *extra, "run", "--bundle", str(folder), name]


def runs(runtime: str, folder: Path, times: int) -> list[int]:
    """Wall ns of each run; raises CalledProcessError with what the runtime said."""
    took = []
    for number in range(times):
        words = command(runtime, folder, f"claims-{os.getpid()}-{number}")
        began = time.perf_counter_ns()
        subprocess.run(words, check=True, capture_output=True, text=True)
        took.append(time.perf_counter_ns() - began)
    return took


def measure_one(runtime: str, times: int) -> dict[str, Any]:
    """The part of one runtime; ``missing`` in it says why there is none."""
    if shutil.which(runtime) is None:
        return {"missing": f"{runtime} isn't installed"}
    version = subprocess.run([runtime, "--version"], capture_output=True, text=True, check=False).stdout
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            bundle(folder, runtime)
            took = _taken(runtime, folder, times)
        except (OSError, subprocess.CalledProcessError) as error:
            said = str(getattr(error, "stderr", "") or error).strip()
            return {"missing": f"{runtime} can't start a container here: {said}"}
    plain = _nothing_ns(times)
    return {
        "version": version.splitlines()[0] if version else "unknown",
        "how": HOW,
        "times": times,
        "start_ns": min(took),
        "median_ns": sorted(took)[len(took) // 2],
        "process_ns": plain,
    }


def _taken(runtime: str, folder: Path, times: int) -> list[int]:
    try:
        return runs(runtime, folder, times)
    except subprocess.CalledProcessError:
        if runtime != "crun":
            raise
    words = ["unshare", "-m", "sh", "-c", _PRIVATE, sys.executable, runtime, str(folder), str(times)]
    ran = subprocess.run(words, check=True, capture_output=True, text=True)
    return [int(one) for one in ran.stdout.split()]


def _nothing_ns(times: int) -> int:
    """A process that does nothing, started in the same way without a container."""
    took = []
    for _ in range(times):
        began = time.perf_counter_ns()
        subprocess.run(["/bin/true"], check=True, capture_output=True)
        took.append(time.perf_counter_ns() - began)
    return min(took)


if __name__ == "__main__":
    print(*runs(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))

"""From Rego source to a component, with the user's own `opa`.

Belongs here: finding and running `opa build`. Never: reading what it makes (splice.py).
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from twinloop.components.rego.splice import BUILD, ENTRYPOINT, PolicyRefused, component_of

OPA_MODULE = "github.com/open-policy-agent/opa@v1.22.4"
TIMEOUT_S = 120


def rego_to_wasm(path: Path) -> bytes:
    """The component of a policy in Rego, a file or a folder of files; raises PolicyRefused, with opa's words
    where it has any."""
    opa = shutil.which("opa")
    if opa is None:
        raise PolicyRefused(
            f"building from Rego needs opa, which is not on the path: go install {OPA_MODULE}; or build it "
            f"elsewhere ({BUILD}) and give the bundle.tar.gz"
        )
    if not path.exists():
        raise PolicyRefused("no such file")
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle.tar.gz"
        # Run beside the source: its path becomes part of the policy's bytes.
        where, what = (path, ".") if path.is_dir() else (path.parent, path.name)
        # A starter's recorded calls lie beside its policy, and are no data of it.
        calls = ("--ignore", "*.cases.yaml")
        command = [opa, "build", "-t", "wasm", "-e", ENTRYPOINT, *calls, "-o", str(bundle), what]
        try:
            done = subprocess.run(
                command, cwd=where, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PolicyRefused(f"opa build can't be run: {error}") from error
        if done.returncode or not bundle.exists():
            words = " ".join((done.stderr or done.stdout).split())[:500]
            raise PolicyRefused(f"opa build refuses it: {words or f'exit status {done.returncode}'}")
        return component_of(bundle.read_bytes())

"""``python -m twinloop.components.rego SOURCE OUT``: a policy in Rego or built by opa, to a component.

Belongs here: the command line. Never: the work.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twinloop.components.rego.compiling import rego_to_wasm
from twinloop.components.rego.splice import PolicyRefused, component_of


def main(arguments: list[str]) -> int:
    """0, or 2 with what is wrong."""
    if len(arguments) != 2:
        print("usage: python -m twinloop.components.rego SOURCE OUT", file=sys.stderr)
        return 2
    source, out = Path(arguments[0]), Path(arguments[1])
    try:
        in_rego = source.is_dir() or source.suffix == ".rego"
        data = rego_to_wasm(source) if in_rego else component_of(source.read_bytes())
    except (PolicyRefused, OSError) as error:
        print(f"{source}: {error}", file=sys.stderr)
        return 2
    out.write_bytes(data)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

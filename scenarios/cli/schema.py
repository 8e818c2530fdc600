"""``twinloop schema``: the JSON Schema of a scenario file, for editors."""

from __future__ import annotations

import json


def schema() -> int:
    """Print the JSON Schema of a scenario file."""
    from twinloop.scenarios.file.json_schema import json_schema  # --help must not wait for pydantic

    print(json.dumps(json_schema(), indent=2))
    return 0

"""``twinloop schema``: the JSON Schema of a scenario file or a model file, for editors."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def schema(
    model: Annotated[
        bool, typer.Option("--model", help="of a model file: a device as its datasheet has it")
    ] = False,
) -> int:
    """Print the JSON Schema of a scenario file, or of a model file."""
    from twinloop.scenarios.file.json_schema import json_schema, model_file_schema  # --help must not wait

    print(json.dumps(model_file_schema() if model else json_schema(), indent=2))
    return 0

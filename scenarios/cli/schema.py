"""``twinloop schema``: the JSON Schema of a scenario file, a model file or a board file, for editors."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from twinloop.scenarios.text.errors import ScenarioError


def schema(
    model: Annotated[
        bool, typer.Option("--model", help="of a model file: a device as its datasheet has it")
    ] = False,
    board: Annotated[bool, typer.Option("--board", help="of a board file")] = False,
) -> int:
    """Print the JSON Schema of a scenario file, of a model file, or of a board file."""
    from twinloop.scenarios.file import json_schema  # --help must not wait

    if model and board:
        raise ScenarioError("--model", None, "", "one schema at a time: --model or --board")
    of = json_schema.model_file_schema if model else json_schema.board_file_schema if board else None
    print(json.dumps(json_schema.json_schema() if of is None else of(), indent=2))
    return 0

"""The JSON Schemas of a scenario file and of a model file, for editors.

Belongs here: what pydantic's own doesn't say of the files. Never: shapes (schema.py, datasheet/blocks.py).
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from twinloop.devices.catalogue import catalog
from twinloop.devices.catalogue.sunspec_any import SYNTAX
from twinloop.scenarios.file.block import Block
from twinloop.scenarios.file.boards.blocks import BoardFile
from twinloop.scenarios.file.boards.programs import hosts, runtimes
from twinloop.scenarios.file.boards.reading import names
from twinloop.scenarios.file.datasheet.blocks import ModelFile
from twinloop.scenarios.file.schema import Scenario
from twinloop.scenarios.text import units
from twinloop.scenarios.text.quantities import KIND
from twinloop.sim.model.store_presets import STORE_PRESETS
from twinloop.sim.network.presets import PRESETS


def _blocks(of: type[Block]) -> Iterator[type[Block]]:
    for block in of.__subclasses__():
        yield block
        yield from _blocks(block)


@functools.cache
def _said(block: type[Block]) -> dict[str, str]:
    """Key -> the docstring below it, of the keys that the block has by itself."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(block))).body
    assert isinstance(body, ast.ClassDef)
    return {
        key.target.id: inspect.cleandoc(said.value.value)
        for key, said in zip(body.body, body.body[1:], strict=False)
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)
        if isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant)
        if isinstance(said.value.value, str)
    }


@functools.cache
def _described() -> None:
    """Give each key of each block its docstring as its description. To find them the sources are read and
    parsed, which no run of a scenario waits for: pydantic's ``use_attribute_docstrings`` would do it whenever
    a block is imported."""
    for block in _blocks(Block):
        for key, field in block.__pydantic_fields__.items():
            owners = (one for one in block.__mro__ if issubclass(one, Block) and one is not Block)
            field.description = field.description or next(
                (_said(one)[key] for one in owners if key in _said(one)), None
            )
    for block in _blocks(Block):
        block.model_rebuild(force=True)


def _schema(of: type[BaseModel]) -> dict[str, Any]:
    _described()
    return of.model_json_schema(by_alias=True)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file."""
    schema = _schema(Scenario)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "twinloop scenario, format 2"
    schema["properties"].pop("overrides", None)
    fleets = schema["properties"]["fleets"]
    fleets["patternProperties"] = {r"^[a-z][a-z0-9-]*/[1-9][0-9]*$": {"$ref": "#/$defs/Override"}}
    fleets["patternProperties"][r"^[a-z][a-z0-9-]*$"] = {"$ref": "#/$defs/Fleet"}
    fleets["additionalProperties"] = False
    fleets.pop("propertyNames", None)
    _name_what_there_is(schema["$defs"])
    _drop_internal_defaults(schema)
    return schema


def model_file_schema() -> dict[str, Any]:
    """The JSON Schema of a model file."""
    schema = _schema(ModelFile)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "twinloop model of a device, format 1"
    schema["properties"]["response"]["anyOf"].insert(0, {"type": "string", "examples": ["20 ms"]})
    _drop_internal_defaults(schema)
    return schema


def board_file_schema() -> dict[str, Any]:
    """The JSON Schema of a board file."""
    schema = _schema(BoardFile)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "twinloop board, format 1"
    _drop_internal_defaults(schema)
    return schema


def _name_what_there_is(blocks: dict[str, Any]) -> None:
    """What ships is offered by name; a user's own devices come from files."""
    links, stores = list(PRESETS), list(STORE_PRESETS)
    named = (
        ("Gateway", "host", list(hosts())),
        ("Gateway", "runtime", list(runtimes())),
        ("Link", "preset", links),
        ("Change", "preset", links),
        ("Store", "preset", stores),
    )
    for block, key, known in named:
        field = blocks[block]["properties"][key]
        for one in field.get("anyOf", [field]):
            if one.get("type") == "string":
                one.pop("pattern", None)
                one.pop("maxLength", None)
                one["enum"] = known
    board = blocks["Gateway"]["properties"]["board"]
    board["anyOf"] = [
        {"type": "string", "enum": list(names())},
        {"type": "string", "pattern": r"^.*(/.*|\.ya?ml)$"},
    ]
    del board["type"]
    device = blocks["Fleet"]["properties"]["device"]
    described = [
        {"type": "string", "pattern": pattern} for pattern in (SYNTAX, r"^(model|nodeset|recording)/.+$")
    ]
    device["anyOf"] = [{"type": "string", "enum": catalog.names()}, *described]
    del device["type"]


def _default_text(kind: str, value: Any) -> str | None:
    """A default as a file would have it; None when that can't be written without rounding."""
    read: Callable[[Any], float]
    if kind.startswith("duration"):
        shown, read = units.show_duration(value), units.duration
    elif kind.startswith("size"):
        shown, read = units.show_size(value), units.size
    elif kind.startswith("percentage"):
        shown, read = units.show_ratio(value), units.ratio
    elif kind.startswith("number in"):
        return f"{value[0]} in {units.show_duration(value[1])}"
    else:
        return None
    return shown if read(shown) == value else None


def _drop_internal_defaults(node: Any) -> None:
    """A default in nanoseconds beside a type that is text would mislead an editor: it is said as a file would
    have it."""
    if isinstance(node, dict):
        if KIND in node and "default" in node:
            text = _default_text(node[KIND], node["default"])
            if text is None:
                del node["default"]
            else:
                node["default"] = text
        if node.get("type") == "string" and "default" in node and not isinstance(node["default"], str):
            del node["default"]
        if isinstance(node.get("default"), dict | list):
            del node["default"]
        for value in list(node.values()):
            _drop_internal_defaults(value)
    elif isinstance(node, list):
        for value in node:
            _drop_internal_defaults(value)

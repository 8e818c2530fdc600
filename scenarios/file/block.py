"""What all blocks of a file have in common: unknown keys are refused with the nearest known one.

Belongs here: the base of blocks. Never: keys (blocks.py, gateway_blocks.py, schema.py and others).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from twinloop.scenarios.file import format_1
from twinloop.scenarios.text.errors import nearest

UNSAID = ("behind", "converters", "host", "runtime")
"""keys that stand in no dump while nothing is said: files that know nothing of them keep their digest"""


_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"


@contextmanager
def _without_plugins() -> Iterator[None]:
    before = os.environ.get(_PLUGINS)
    os.environ[_PLUGINS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PLUGINS]
        else:
            os.environ[_PLUGINS] = before


class Block(BaseModel):
    """A mapping of the file: unknown keys are refused with the nearest known one."""

    # what a block is to pydantic is built once, as a part of the file's: most runs need nothing else of it
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, populate_by_name=True, defer_build=True
    )

    @classmethod
    def unsaid(cls) -> Self:
        """One of which a file says nothing: every key has its default. Nothing has to be checked for that,
        and so pydantic builds nothing for this block alone."""
        return cls.model_construct()

    @classmethod
    def model_rebuild(cls, **asked: Any) -> bool | None:
        """As pydantic's, which looks for plugins among all installed packages first; a scenario means the
        same wherever it is read."""
        with _without_plugins():
            return super().model_rebuild(**asked)

    @model_serializer(mode="wrap")
    def _said(self, usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        told: dict[str, Any] = usual(self)
        for key in UNSAID:
            if key in told and not told[key]:
                del told[key]
        return told

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise PydanticCustomError("not_a_mapping", "expected a mapping, got {got}", {"got": _named(data)})
        known = [field.alias or name for name, field in cls.model_fields.items() if not field.exclude]
        for key in data:
            if key not in known and key != "overrides":
                close = nearest(key, known)
                hint = f'; did you mean "{close}"?' if close else ";"
                if format_1.WORDS.get(key) in known:
                    hint = f', which is "{format_1.WORDS[key]}" since format 2;'
                text = f'unknown key "{key}"{hint} known: {", ".join(known)}'
                raise PydanticCustomError("unknown_key", "{text}", {"text": text, "key": key})
        return data


def as_yaml(value: Any) -> str:
    """A scalar as the file spells it."""
    return (
        {True: "true", False: "false", None: "null"}.get(value, str(value))
        if isinstance(value, bool | None)
        else str(value)
    )


def _named(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {value!r}"

"""Paths into JSON messages (RFC 9535), each of which must lead to one value.

Belongs here: reading a path, following it. Never: what the value means (observation.py).
"""

from __future__ import annotations

from functools import cache
from itertools import islice
from typing import Any

from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError

NOTHING = object()
"""what a path leads to where nothing lies"""
SEVERAL = object()
"""what a path leads to where more than one value lies"""

_ENVIRONMENT = JSONPathEnvironment(strict=True)
for _name in ("match", "search"):  # a regular expression could keep this process busy for good
    del _ENVIRONMENT.function_extensions[_name]


class JsonPath:
    """One path, as ``$.seq``, ``$.readings[0].v`` or ``$.readings[?@.name == 'flow'].v``. Raises ValueError
    for text that is none."""

    def __init__(self, text: str) -> None:
        try:
            self._path: JSONPath = _compiled(text)
        except (JSONPathError, RecursionError) as error:
            # its own text shows the place in the path, for which a path that is cut off has no room
            why = str(error.args[0]) if error.args else "it is nested too deeply"
            raise ValueError(
                f'expected a path like $.seq or $.values.x or $[0], got "{text}": {why}'
            ) from error

    def of(self, data: Any) -> Any:
        """The value in ``data``, NOTHING, or SEVERAL. Raises ValueError where nobody can tell: a status that
        can't be looked for must not count as Good."""
        if isinstance(data, str):  # the library would parse it once more, as if it had come as JSON
            return data if str(self._path) == "$" else NOTHING
        try:
            found = [match.value for match in islice(self._path.finditer(data), 2)]
        except (JSONPathError, RecursionError) as error:
            raise ValueError(f"it is nested too deeply to look for {self._path}") from error
        return NOTHING if not found else found[0] if len(found) == 1 else SEVERAL


@cache
def json_path(text: str) -> JsonPath:
    """The path of a text, made once; raises ValueError."""
    return JsonPath(text)


def _compiled(text: str) -> JSONPath:
    path = _ENVIRONMENT.compile(text)
    assert isinstance(path, JSONPath)  # strict: no compound of several paths
    return path


def with_point(text: str, point: str) -> str:
    """The path of one point: ``{point}`` as a step of its own (``$.values.{point}``) or within quotes
    (``$[?@.name == '{point}']``)."""
    quoted = point.replace("\\", "\\\\").replace("'", "\\'")
    step = f"['{quoted}']"
    for written in (".{point}", "[{point}]"):
        text = text.replace(written, step)
    return text.replace("{point}", quoted)

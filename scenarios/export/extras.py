"""Packages that only an export needs: loaded when a flag asks for them, and named with their cure when they
are missing.

Belongs here: loading. Never: what is done with them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from twinloop.scenarios.text.errors import ScenarioError


def needed(flag: str, extra: str, *modules: str) -> list[Any]:
    """The modules, in order. Raises ScenarioError, which names the flag and the extra to install, when one of
    them isn't installed or can't be loaded."""
    try:
        return [import_module(name) for name in modules]
    except ImportError as error:
        raise ScenarioError(
            flag,
            None,
            "",
            f'needs the Python package "{modules[0].partition(".")[0]}", which can\'t be loaded ({error}): '
            f'install it with pip install "twinloop[{extra}]"',
        ) from error

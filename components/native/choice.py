"""Which of the two this process uses: the compiled part, or Python alone.

Belongs here: the choice, told once. Never: wasmtime (host/capi.py hands its functions over), a build
(compiling.py). Both give the same digests; ``TWINLOOP_PURE=1`` takes Python alone.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any, NamedTuple

from twinloop.components.native import compiling

COMPILED, PURE = "compiled", "pure"
CURE = "build it anew: make compiled in a source tree, else install twinloop again"


class Choice(NamedTuple):
    """Each compiled module by its name, None for none: all or none. ``why``: in words, where there are
    none."""

    crossing: Any
    """of components: the calls into wasmtime"""
    engine: Any
    """of sim: the timeline, and what is written of it"""
    signals: Any
    """of devices: what physical values do over time"""
    why: str

    @property
    def word(self) -> str:
        """compiled or pure, as the result and ``--version`` have it."""
        return PURE if self.crossing is None else COMPILED


def none(why: str) -> Choice:
    """Python alone, and why."""
    return Choice(None, None, None, why)


def found(folder: Path, environment: dict[str, str] | None = None) -> Choice:
    """The compiled part in that folder, if it is there, was built for this twinloop, and is wanted. What
    can't be used although it is there is warned of."""
    asked = (os.environ if environment is None else environment).get(compiling.PURE, "")
    if asked not in ("", "0"):
        return none(f"{compiling.PURE} is set")
    libraries = {name: folder / file for name, file in compiling.FILES.items()}
    if not any(at.is_file() for at in libraries.values()):
        return none("nothing was compiled")
    modules = {}
    for name, at in libraries.items():
        if not at.is_file():
            return _refused(at, "is missing beside its others")
        try:
            modules[name] = _loaded(name, at)
        except ImportError as error:
            return _refused(at, f"can't be loaded ({error})")
        if getattr(modules[name], "STAMP", "") != compiling.stamp(compiling.version_here()):
            return _refused(at, "was built for another twinloop")
    return Choice(**modules, why="")


def _loaded(name: str, at: Path) -> Any:
    name = f"twinloop.components.native.{name}"
    loader = ExtensionFileLoader(name, str(at))
    spec = importlib.util.spec_from_file_location(name, at, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _refused(at: Path, why: str) -> Choice:
    told = f"the compiled part {at} {why} and isn't used; {CURE}"
    warnings.warn_explicit(told, RuntimeWarning, "twinloop", 0)  # one line, without our source
    return none(told)


CHOICE = found(compiling.place())
"""of this process"""

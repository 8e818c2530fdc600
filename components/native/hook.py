"""What hatch runs when it builds a wheel: the compiled part goes into it where there is a compiler.

Belongs here: the hook, which is loaded by its path and knows nothing of twinloop. Never: how it is compiled
(compiling.py). Without a compiler, or with TWINLOOP_PURE=1, the wheel is pure, for every machine, and says
so; an editable installation compiles nothing (``make compiled`` does).
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INTO = "twinloop/components/native"
"""where it lies in a wheel"""


def _compiling() -> Any:
    spec = importlib.util.spec_from_file_location("compiling", Path(__file__).with_name("compiling.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class CompiledPart(BuildHookInterface):
    """Named in pyproject.toml."""

    PLUGIN_NAME = "custom"
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """``version``: standard or editable."""
        if version != "standard":
            return
        compiling = _compiling()
        if os.environ.get(compiling.PURE, "") not in ("", "0"):
            return
        self._folder = tempfile.TemporaryDirectory(prefix="twinloop-native-")
        try:
            made = compiling.compiled(Path(self._folder.name), self.metadata.version)
        except compiling.NotCompiled as why:
            self.app.display_warning(f"twinloop: a pure wheel, whose polls are slower: {why}")
            return
        for library in made:
            build_data["force_include"][str(library)] = f"{INTO}/{library.name}"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """It is packed."""
        if self._folder is not None:
            self._folder.cleanup()

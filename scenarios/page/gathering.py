"""From a run to its page: who listens while it goes on, and what is written when it is over.

Belongs here: the order of things for ``--html``. Never: what is gathered (series.py, watched.py) or shown.
"""

from __future__ import annotations

from pathlib import Path

from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.judging.thresholds import read_expectations
from twinloop.scenarios.page.figures import figures
from twinloop.scenarios.page.page import page
from twinloop.scenarios.page.series import Series
from twinloop.scenarios.page.watched import Watched
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.text.errors import MachineError, shown_path
from twinloop.scenarios.text.units import show_duration
from twinloop.sim.world import World


class Gathering:
    """Of one scenario. A run that begins anew is gathered anew."""

    def __init__(self) -> None:
        self._loaded: Loaded | None = None
        self._series: Series | None = None
        self._watched: Watched | None = None

    def loaded(self, loaded: Loaded) -> None:
        """The scenario has been read."""
        self._loaded = loaded

    def started(self, world: World) -> None:
        """A world is about to run."""
        assert self._loaded is not None
        self._series = Series(world)
        self._watched = Watched(self._series, read_expectations(self._loaded))

    def text(self, result: Result) -> str:
        """The page of a run that has ended."""
        assert self._loaded is not None
        assert self._series is not None
        assert self._watched is not None
        file = shown_path(self._loaded.file)
        return page(figures(result, self._series, self._watched.curves(), file), machine(result))

    def write(self, target: Path, result: Result) -> None:
        """The page, as a file; raises MachineError when this machine can't."""
        try:
            target.write_text(self.text(result), encoding="utf-8")
        except OSError as error:
            raise MachineError(f"--html {target}: {error.strerror}") from error


def machine(result: Result) -> str:
    """What is of this machine and this time alone."""
    run = result.data["run"]
    named = ", ".join(f"{name} {text}" for name, text in result.data["versions"].items())
    simulated = show_duration(run["simulated_ns"])
    return f"{simulated} of simulated time took {run['wall_s']:.2f} s of wall time. Versions: {named}."

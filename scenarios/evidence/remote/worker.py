"""What twinloop does in a worker of a Dask cluster: unpack the scenarios once, then run one seed after the
other.

Belongs here: what runs there. Never: the command's side (cluster.py). A worker that fits offers a resource of
the run's own name, and only who offers it gets seeds; so one that joins late is looked at like the others. No
handler of signals is set: seeds run in the one thread of the worker, which is not its main thread.
"""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

from distributed import Worker, WorkerPlugin

from twinloop.components.host.host import Host
from twinloop.scenarios.evidence.remote.parcel import Parcel, Unpacked
from twinloop.scenarios.evidence.remote.versions import code_digest
from twinloop.scenarios.evidence.workers import Entry, Task, Work
from twinloop.scenarios.judging.thresholds import read_expectations
from twinloop.scenarios.runner import Options

FITS, UNFIT = "fits", "unfit"
"""what a worker says of itself, under the run's name"""


class Kept:
    """What a process keeps from seed to seed of one run; ``host`` holds compiled components. Its files lie in
    the worker's own folder, which Dask clears away, that of a killed worker, too."""

    of: dict[str, Kept] = {}

    def __init__(self, parcel: Parcel, options: Options, folder: Path) -> None:
        self.unpacked = Unpacked(parcel, folder)
        self.work = Work(self.unpacked.scenarios, options)
        self.host: Host | None = None

    def one(self, task: Task) -> Entry:
        """The entry of one run, with files named as where it was asked for."""
        if self.host is None:
            self.host = Host(fibers=False)
        entry = self.work.one(task, self.host)
        if entry["kind"] == "error":  # what it died of may have left something in the host
            self.close()
        renamed: Entry = self.unpacked.as_sent(task[0], entry)
        return renamed

    def close(self) -> None:
        """The host goes; the next seed has a new one."""
        if self.host is not None:
            self.host.close()
            self.host = None


class Seeds(WorkerPlugin):  # type: ignore[misc]  # Dask's classes have no types where it isn't installed
    """Makes a worker ready for the seeds of one run, or says why it isn't used.

    ``name``: the run's, and the resource's; ``code``: the digest of twinloop's code that is expected;
    ``sent``: the parcel and the options, pickled, so that a worker with other code fails with a sentence.
    """

    def __init__(self, name: str, code: str, sent: bytes) -> None:
        self.name, self._code, self._sent = name, code, sent

    async def setup(self, worker: Worker) -> None:
        """When the worker has joined; raises RuntimeError with the reason for which it isn't used."""
        try:
            self._begin(worker)
        except Exception as error:  # whatever it is, the command tells it
            worker.log_event(self.name, [UNFIT, worker.address, str(error) or type(error).__name__])
            raise RuntimeError(f"{worker.address}: {error}") from error
        await worker.set_resources(**{self.name: 1})
        worker.log_event(self.name, [FITS, worker.address, ""])

    def _begin(self, worker: Worker) -> None:
        threads = worker.state.nthreads
        if threads != 1:
            raise RuntimeError(
                f"it has {threads} threads, and twinloop runs in one: start it with --nthreads 1 (and with "
                f"--nworkers {threads} for as many processes)"
            )
        if code_digest() != self._code:
            raise RuntimeError(
                "its twinloop has the same version number and other code, so that results would differ: "
                "install the same there"
            )
        parcel, options = pickle.loads(self._sent)  # noqa: S301  # from the client, whose code a worker runs anyway
        if any(one.needs_opa for one in parcel.scenarios) and shutil.which("opa") is None:
            raise RuntimeError(
                "the scenario has a policy in Rego, which needs opa, and that isn't on its path"
            )
        kept = Kept(parcel, options, Path(worker.local_directory))
        try:
            for loaded in kept.work.scenarios:
                read_expectations(loaded)
        except Exception:
            kept.unpacked.remove()
            raise
        Kept.of[self.name] = kept

    async def teardown(self, worker: Worker) -> None:
        """When the run is over, or the worker goes."""
        kept = Kept.of.pop(self.name, None)
        if kept is not None:
            kept.unpacked.remove()
        if self.name in worker.state.total_resources and worker.status.name == "running":
            await worker.set_resources(**{self.name: 0})


def run_task(name: str, task: Task) -> Any:
    """One run of the command of that name, in a worker that has been made ready for it."""
    return Kept.of[name].one(task)

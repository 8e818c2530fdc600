"""Seeds on a Dask cluster: connect, look at who has what, send the scenario, hand out seeds, gather entries.

Belongs here: the command's side. Never: what runs in a worker (remote/worker.py), which seeds are still to
be run (remote/runs.py), what is sent (remote/parcel.py). Dask's scheduler says where a seed runs, and runs
those of a worker that died again. Dask is imported when a cluster is asked for, and not before.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import pickle
import re
import signal
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinloop.components.host.host import Host
from twinloop.records import dataclass
from twinloop.scenarios.evidence.remote.parcel import Parcel, packed
from twinloop.scenarios.evidence.remote.versions import (
    ASKED,
    NONE,
    SAME,
    TOLD,
    Versions,
    code_digest,
    differing,
    table,
)
from twinloop.scenarios.evidence.workers import Task, Tell, Work, processes, run_tasks
from twinloop.scenarios.file.boards.reading import is_file
from twinloop.scenarios.interrupts import Interrupts
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.text.errors import MachineError, ScenarioError
from twinloop.scenarios.text.words import number_of

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"
CONNECT_S = 5
"""for the scheduler to answer, so that one that doesn't is told within 10 s"""
WORKERS_S = 10
"""for a first worker to be there"""
CLOSE_S = 5


@dataclass(frozen=True)
class Cluster:
    """Which cluster. ``address``: of its scheduler, or ``local`` for worker processes of this command's own;
    ``jobs``: how many of those, None: as many as are worth it."""

    address: str
    jobs: int | None = None

    def check(self) -> None:
        """Before anything runs: is it an address, and is Dask installed? Raises ScenarioError."""
        if self.address != LOCAL and not re.fullmatch(r"(tcp|tls)://[^\s/]+:\d{1,5}", self.address):
            raise ScenarioError(
                "--cluster", None, "", f"expected the address of a Dask scheduler, such as "
                f'tcp://scheduler:8786, or local; got "{self.address}"'
            )  # fmt: skip
        if self.address != LOCAL and self.jobs is not None:
            raise ScenarioError(
                "--jobs", None, "", f"--jobs and --cluster {self.address} don't go together: a cluster has "
                f"the workers that were started for it; --jobs goes with --cluster local"
            )  # fmt: skip
        if importlib.util.find_spec("distributed") is None:
            raise ScenarioError(
                "--cluster", None, "", "it needs Dask, which isn't installed: "
                "python -m pip install 'twinloop[cluster]'"
            )  # fmt: skip


def run_on_cluster(
    work: Work, tasks: list[Task], cluster: Cluster, tell: Tell, interrupts: Interrupts
) -> None:
    """Run them on a cluster; ``tell`` gets the entry of each, in the order in which they end. A signal ends
    it, and what has ended by then was told. What can't be planned runs nowhere: that is told as without a
    cluster.

    Raises:
        ScenarioError: for a file that can't be sent.
        MachineError: when the cluster can't be reached, has no workers, or workers that would give other
            results.
    """
    interrupts.load()
    if not _planned(work):
        run_tasks(work, tasks, 1, tell, interrupts)
        return
    parcel = packed(work.scenarios, filter(is_file, work.options.boards.values()))
    _require_whole(work, parcel)
    from twinloop.scenarios.evidence.remote.runs import Runs

    with _quiet(), _connected(cluster, len(tasks)) as client:
        _require_workers(client, cluster)
        with _made_ready(client, work, parcel) as runs_of:
            interrupts.over()  # from now on a signal only says that it came: what has ended is told
            Runs(client, runs_of, work, tell).run(tasks, lambda: interrupts.asked)


def _planned(work: Work) -> bool:
    """Can all be planned on this machine, where their files are?"""
    host = Host(fibers=False)
    try:
        for loaded in work.scenarios:
            Planner(loaded, host, work.options.seed, work.options.boards).world()
    except ScenarioError:
        return False
    finally:
        host.close()
    return True


def _require_whole(work: Work, parcel: Parcel) -> None:
    """Each file of which the plan has told the digest is in the parcel, as it was."""
    for loaded, sent in zip(work.scenarios, parcel.scenarios, strict=True):
        for name, digest in loaded.models.digests.items():
            found = next((sent.files[one] for one in sent.files if Path(one) == Path(name)), None)
            if found != digest:
                raise MachineError(f"{name} was changed while it was read; run it again")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What Dask logs in this process isn't written: what matters of it is told in words of our own."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _connected(cluster: Cluster, seeds: int) -> Iterator[Client]:
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        target: Any = cluster.address
        if cluster.address == LOCAL:
            folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            with _unheard_below():
                target = LocalCluster(
                    n_workers=processes(cluster.jobs, seeds),
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address="127.0.0.1:0",  # None is a port that all others want, too
                    memory_limit=0,  # as with --jobs: nobody kills a seed for its memory but the system
                    silence_logs=logging.CRITICAL,
                    local_directory=folder,
                )
                stack.callback(_closed, target)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of versions: told by a table of our own
                client = Client(target, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise MachineError(
                f"no Dask scheduler answers at {cluster.address} ({_first_line(error)}); is it started "
                f"there, and does a firewall let this machine through?"
            ) from error
        stack.callback(_closed, client)
        yield client


@contextlib.contextmanager
def _unheard_below() -> Iterator[None]:
    """A terminal's signals reach the whole group: threads and processes that begin in here, and what these
    begin, don't hear them. One that comes meanwhile is heard by this thread afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # begun later, it would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _closed(one: Any) -> None:
    with contextlib.suppress(Exception):  # what is left of it nobody needs
        one.close(timeout=CLOSE_S)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _require_workers(client: Client, cluster: Cluster) -> None:
    """There are some, and they would give this machine's results; raises MachineError."""
    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
        found = client.get_versions(packages=list(ASKED))
    except (TimeoutError, OSError) as error:
        raise MachineError(
            f"the scheduler {cluster.address} has no workers; start some with: "
            f"dask worker {cluster.address} --nthreads 1"
        ) from error
    ours = _versions(found["client"])
    workers = {address: _versions(one) for address, one in found["workers"].items()}
    refused = differing(ours, workers, SAME)
    if refused:
        raise MachineError(
            f"workers have another {' and another '.join(refused)}, so that their results would differ; "
            f"install the same there:\n{table(ours, workers)}"
        )
    told = differing(ours, workers, TOLD)
    if told:
        print(
            f"note: workers have another {' and another '.join(told)}, which is allowed:\n"
            f"{table(ours, workers)}",
            file=sys.stderr,
        )


def _versions(told: dict[str, Any]) -> Versions:
    packages = told["packages"]
    python = ".".join(str(packages["python"]).split(".")[:3])
    return {name: packages.get(name) or NONE for name in ASKED} | {"Python": python}


@contextlib.contextmanager
def _made_ready(client: Client, work: Work, parcel: Parcel) -> Iterator[str]:
    """Workers have the scenarios, those that join later, too; the value is the run's name. Raises
    MachineError for a worker that can't be used."""
    from twinloop.scenarios.evidence.remote.worker import Seeds

    name = f"twinloop-{uuid.uuid4().hex[:12]}"
    plugin = Seeds(name, code_digest(), pickle.dumps((parcel, work.options)))
    try:
        try:
            client.register_plugin(plugin, name=name)
        except Exception as error:
            threads = client.nthreads()
            raise MachineError(
                f"a worker of the cluster, which has {number_of(len(threads), 'worker')}, can't run the "
                f"seeds: {_first_line(error)}"
            ) from error
        yield name
    finally:
        with contextlib.suppress(Exception):  # the scheduler may be gone, and the plugin with it
            client.unregister_worker_plugin(name)

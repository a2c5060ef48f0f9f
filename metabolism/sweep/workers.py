"""Sweeps: one study over any design, in this process, in several, or on a cluster, with the same table to the last bit.

Runs are dealt out in parts of fixed size. Workers only compute; this process alone writes, so a worker may die at
any time and a finished part is written once.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from metabolism.dosing import Regimen, Schedule
from metabolism.errors import InvalidValue, MetabolismError, UsageError, needs
from metabolism.processes import following
from metabolism.progress import Progress, show, silent, unseen
from metabolism.sbml import KineticModel
from metabolism.simulation import Study, code_versions, make_study
from metabolism.sweep.rows import inputs, run_rows
from metabolism.sweep.samples import Grid, Table, as_samples
from metabolism.sweep.store import Store, Sweep, open_store
from metabolism.types import Array

Done = tuple[int, Array, list[str]]

#: How long a cluster may have no worker before the sweep gives up [s].
PATIENCE = 60.0

#: How long a scheduler may take to answer [s].
CONNECT = 10.0


def scan(
    model: KineticModel,
    design: Any,
    regimen: Regimen | Schedule | str | None = None,
    until: float | str = "16 weeks",
    *,
    endpoints: Sequence[str] | None = None,
    store: str | Path | None = None,
    workers: int = 1,
    cluster: Any = None,
    chunk: int | None = None,
    progress: Progress | bool = False,
    **options: Any,
) -> Sweep:
    """Run a study for every row of a design.

    Parameters
    ----------
    model : KineticModel
    design : mapping, DataFrame, xarray.Dataset, path, Grid or Table
        A mapping of parameter id to values is a grid of all combinations, the last one varying fastest; a table is
        one run per row (samples, posterior draws, patients); or a ``.csv`` or ``.parquet`` file [model units].
    regimen : Regimen or str, optional
        Doses and exposures; none by default.
    until : float or str
        End of each run [h], or text with a unit.
    endpoints : sequence of str, optional
        E.g. ``"percent_change(hcy_plasma)"``, or names of `metabolism.simulation.NAMED`; all of those by default.
    store : path, optional
        Folder for the results; an unfinished sweep in it is continued. A temporary folder by default.
    workers : int
        Processes on this machine.
    cluster : str or distributed.Client, optional
        Scheduler address or client of a Dask cluster, in place of `workers`.
    chunk : int, optional
        Runs per part file.
    progress : bool or callable
        True shows progress and the time left on stderr; or ``progress(label, total)`` returning a function of the
        number of runs done.
    **options
        ``own_baseline``, ``start``, ``engine`` and ``rtol`` as in `metabolism.simulate`; ``closed=True`` derives
        capacities anew for every run, so that its reference state rests (`metabolism.simulation.study.Study`).

    Returns
    -------
    Sweep
        The table does not depend on `workers`, `cluster` or interruptions.

    Raises
    ------
    UsageError
        For a request, design or store that does not fit, before anything runs.
    """
    study = make_study(model, regimen, until, endpoints, **options)
    chosen = as_samples(design, inputs(study), model.least)
    clash = set(chosen.names) & {e.text for e in study.endpoints}
    if clash:
        raise InvalidValue(f"'{clash.pop()}' is both a parameter and an endpoint; write the endpoint out.")
    for name, value in (("workers", workers), ("chunk", chunk)):
        if value is not None and value < 1:
            raise InvalidValue(f"{name} = {value} must be at least 1.")
    folder = Path(tempfile.mkdtemp(prefix="als-methionine-")) if store is None else Path(store)
    drop = weakref.finalize(study, shutil.rmtree, folder, True) if store is None else None
    about: dict[str, Any] = {"kind": chosen.kind, "columns": list(chosen.names)}
    about |= {"runs": len(chosen), "digest": chosen.digest}
    if chosen.kind == "grid" and not isinstance(design, Table):
        axes = design.values if isinstance(design, Grid) else design
        about["values"] = {str(k): np.atleast_1d(np.asarray(v, dtype=float)).tolist() for k, v in axes.items()}
    shown = show() if progress is True else nullcontext(progress or silent)
    with _connected(cluster) as client, open_store(folder, study.identity(), about, chunk) as target, shown as report:
        todo = target.missing()
        left = sum(end - begin for begin, end in map(target.span, todo))
        tick = report("runs", left) if left else unseen
        if client is not None:
            done = _on_cluster(client, study, chosen, target, todo)
        elif workers > 1 and len(todo) > 1:
            done = _in_processes(study, chosen, target, todo, min(workers, len(todo)))
        else:
            done = ((part, *run_rows(study, chosen.names, chosen.rows(*target.span(part)))) for part in todo)
        for part, values, reasons in done:
            begin, end = target.span(part)
            target.write(part, chosen.rows(begin, end), values, reasons)
            tick(end - begin)
    sweep = Sweep(folder)
    if drop is not None:
        # a temporary folder lives as long as the result that reads from it
        drop.detach()
        weakref.finalize(sweep, shutil.rmtree, folder, True)
    return sweep


def run_part(study: Study, columns: Sequence[str], rows: Array, versions: dict[str, str]) -> tuple[Array, list[str]]:
    """Run one part in a worker, which must have the same software as the sender."""
    mine = code_versions()
    differ = [f"{k} {mine.get(k)} (not {v})" for k, v in versions.items() if mine.get(k) != v]
    if differ:
        raise UsageError(f"a worker has other versions: {', '.join(differ)}; install the same everywhere.")
    return run_rows(study, columns, rows)


def _in_processes(study: Study, design: Table, store: Store, todo: Sequence[int], workers: int) -> Iterator[Done]:
    from concurrent.futures import BrokenExecutor, Future, wait

    from loky import get_reusable_executor

    left, lost = dict.fromkeys(todo), 0
    while left:
        before = len(left)
        executor = get_reusable_executor(max_workers=workers, **following())
        queue, running = iter(list(left)), dict[Future[tuple[Array, list[str]]], int]()
        try:
            while True:
                for part in itertools.islice(queue, 2 * workers - len(running)):
                    rows = design.rows(*store.span(part))
                    running[executor.submit(run_rows, study, design.names, rows)] = part
                if not running:
                    break
                for future in wait(running, return_when="FIRST_COMPLETED").done:
                    part = running.pop(future)
                    values, reasons = future.result()
                    del left[part]
                    yield part, values, reasons
        except BrokenExecutor:
            lost = 0 if len(left) < before else lost + 1
            if lost == 2:
                raise MetabolismError(
                    "worker processes keep being killed (out of memory?); finished runs are kept: repeat the request "
                    "with the same store and fewer workers."
                ) from None
        finally:
            for future in running:
                future.cancel()


@contextmanager
def _connected(cluster: Any) -> Iterator[Any]:
    """A client of a Dask cluster, closed at the end if it was opened here; nothing without a cluster."""
    if cluster is None:
        yield None
        return
    with needs("cluster", "a cluster"):
        from distributed import Client
    with ExitStack() as opened:
        client = cluster
        if not isinstance(cluster, Client):
            try:
                client = opened.enter_context(Client(cluster, timeout=CONNECT, set_as_default=False))
            except (OSError, ValueError, TypeError) as error:
                text = " ".join(str(error).split())
                raise UsageError(
                    f"no Dask scheduler answers at '{cluster}' ({text}); start one with `dask scheduler`."
                ) from None
        _check_workers(client)
        yield client


def _check_workers(client: Any) -> None:
    """Every worker must have this package, and the same versions of what can change a number."""
    begun = time.monotonic()
    while not client.scheduler_info(n_workers=-1)["workers"]:
        if time.monotonic() - begun > PATIENCE:
            raise UsageError(f"the cluster had no worker for {PATIENCE:.0f} s; start one with `dask worker ADDRESS`.")
        time.sleep(0.2)
    try:
        theirs = client.run(code_versions)
    except ImportError as error:
        raise UsageError(f"the workers lack this package ({error}); install als-methionine on every worker.") from None
    mine = code_versions()
    for address, versions in theirs.items():
        differ = [f"{k} {versions.get(k)} (here {v})" for k, v in mine.items() if versions.get(k) != v]
        if differ:
            raise UsageError(f"worker {address} has other versions: {', '.join(differ)}; install the same everywhere.")


def _on_cluster(client: Any, study: Study, design: Table, store: Store, todo: Sequence[int]) -> Iterator[Done]:
    with needs("cluster", "a cluster"):
        from distributed import wait
        from distributed.scheduler import KilledWorker

    versions = code_versions()
    # as the result of a task the study outlives the worker that holds it: the scheduler can make it again
    shared = client.submit(_itself, study, pure=False)
    queue, running = iter(todo), dict[Any, int]()
    seen = time.monotonic()
    try:
        while True:
            threads = sum(w["nthreads"] for w in client.scheduler_info(n_workers=-1)["workers"].values())
            for part in itertools.islice(queue, max(max(2 * threads, 2) - len(running), 0)):
                rows = design.rows(*store.span(part))
                running[client.submit(run_part, shared, design.names, rows, versions, pure=False)] = part
            if not running:
                return
            seen = time.monotonic() if threads else seen
            if client.status != "running" or time.monotonic() - seen > PATIENCE:
                raise MetabolismError(
                    "the cluster has gone; finished runs are kept: repeat the request with the same store."
                )
            try:
                with client.as_current():
                    finished = wait(list(running), timeout=2, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                continue
            for future in finished:
                part = running[future]
                try:
                    values, reasons = future.result(timeout=PATIENCE)
                except TimeoutError:
                    # it was done, and its worker died with it: if there is another, it is made again
                    continue
                except KilledWorker:
                    raise MetabolismError(
                        f"runs {store.span(part)[0]} to {store.span(part)[1] - 1} killed several workers (out of "
                        "memory?); finished runs are kept: repeat the request with the same store."
                    ) from None
                del running[future]
                yield part, values, reasons
    finally:
        if client.status == "running":
            client.cancel([shared, *running])


def _itself(study: Study) -> Study:
    return study

"""One problem laid out for the compiled code: chunks of patients, and for each the parts of the model in turn.

If the model has two parts, the first records its course and the second reads it. Patients are taken in chunks,
so that the records of one chunk stay small.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from metabolism.engines.contract import Problem, Solution
from metabolism.engines.ensemble.compile import Kernel
from metabolism.engines.ensemble.laid import ROWS, Laid
from metabolism.engines.ensemble.layout import (
    DONE,
    FIELDS,
    FULL,
    KINDS,
    MORE_FIELDS,
    TURNED,
    Arrays,
    Integers,
    context,
    whole,
)
from metabolism.engines.ensemble.loop.record import width
from metabolism.engines.ensemble.reasons import MEMORY, failures_of
from metabolism.errors import InvalidValue, ModelError, UnknownName
from metabolism.types import Array

Request = tuple[str, str] | tuple[str, str, float]


Tick = Callable[[int], None]


#: Most patients that are handled together because they share courses of the driving part.
CROWD = 256


#: Memory of records that threads have done with: where pages are slow to come, fresh ones cost as much as the
#: integration.
_SPARE: list[Array] = []


#: How often progress is reported [s].
_REPORT = 0.1


#: Arrays with one row per patient.
_PER_PATIENT = (
    "parameters",
    "loaded",
    "setting_offset",
    "initial",
    "dose_scale",
    "delivered",
    "values",
    "pre",
    "final",
    "status",
    "failed_at",
    "rates",
    "steps",
    "results",
)


#: Those of them that the last part alone writes.
_OUTPUTS = ("values", "pre", "results")


#: The same, of a model that is anybody's.
_MORE_PER_PATIENT = ("passed", "next_row", "horizon")


def check_requests(requests: Sequence[Request], known: Iterable[str]) -> None:
    """Refuse endpoints that do not exist, of outputs among `known`.

    Raises
    ------
    UnknownName, InvalidValue
    """
    names = set(known)
    if not requests:
        raise InvalidValue("no endpoint is asked for; ask e.g. for ('max', 'cbl_free').")
    for kind, output, *level in requests:
        if kind not in KINDS:
            raise UnknownName("endpoint", kind, KINDS)
        if output not in names:
            raise UnknownName("output", output, names, "List them with `metabolism list outputs`.")
        if (kind == "time_above") != bool(level):
            raise InvalidValue(f"{(kind, output, *level)}: 'time_above' needs a level, and nothing else takes one.")


class Run(Laid):
    """One problem laid out for the kernel, and run."""

    def __init__(self, problem: Problem, compiled: Kernel, leads: Integers | None = None) -> None:
        super().__init__(problem, compiled)
        #: Number of each patient's course of the driving part, in order: those who share one stand beside each other.
        self.leads = np.arange(len(problem.initial)) if leads is None else leads
        self._counts = [np.zeros(len(problem.initial), np.int64)]

    @property
    def counts(self) -> list[float]:
        """Mean number of steps in each part."""
        return [float(steps.mean()) for steps in self._counts]

    @property
    def steps(self) -> Integers:
        """Steps each patient took, of all parts, refused ones included, once it has been integrated; 0 before."""
        total = np.zeros_like(self._counts[0])
        for steps in self._counts:
            total += steps
        return total

    def solve(self, tick: Tick | None, workers: int, linked: bool = False) -> Solution:
        """Integrate; with `linked`, every group of lanes takes the steps of its first patient."""
        self._check(linked)
        problem = self.problem
        patients, breadth = len(problem.initial), len(problem.outputs)
        before = problem.bolus_times
        values = np.full((patients, len(problem.times), breadth), np.nan)
        pre_dose = np.full((patients, len(before), breadth), np.nan)
        rows = np.searchsorted(problem.times, self.stops)
        found = np.append(problem.times, np.inf)[rows] == self.stops
        return self._call(
            problem.outputs,
            workers,
            tick,
            linked,
            values,
            pre_dose,
            pre_row=whole(before.index(s) if s in before else -1 for s in self.stops.tolist()),
            out_row=np.where(found, rows, -1),
            out_next=np.searchsorted(problem.times, self.stops, side="right"),
            times=np.append(problem.times, np.inf),
            rows=len(problem.times),
            values=values,
            pre=pre_dose,
            pres=len(before),
        )

    def _check(self, linked: bool) -> None:
        if linked and self.course:
            raise ModelError(
                "this model has events or rates that jump, so its patients cannot share their steps; take differences "
                "of whole runs for its sensitivities."
            )

    def endpoints(self, requests: Sequence[Request], tick: Tick | None, workers: int, linked: bool = False) -> Solution:
        """Compute endpoints; with `linked`, every group of lanes takes the steps of its first patient."""
        self._check(linked)
        check_requests(requests, self.code)
        outputs = sorted(dict.fromkeys(output for _, output, *_ in requests), key=self._fine)
        none = np.full(len(self.stops), -1)
        results = np.full((len(self.problem.initial), len(requests)), np.nan)
        return self._call(
            outputs,
            workers,
            tick,
            linked,
            results[:, None],
            np.empty((len(results), 0, len(requests))),
            pre_row=none,
            out_row=none,
            out_next=np.zeros(len(self.stops), np.int64),
            times=np.array([np.inf]),
            rows=0,
            requests=len(requests),
            kind=whole(KINDS.index(kind) for kind, *_ in requests),
            slot=whole(outputs.index(output) for _, output, *_ in requests),
            level=np.array([float(level[0]) if level else 0.0 for _, _, *level in requests]),
            results=results,
        )

    def _call(
        self,
        outputs: Sequence[str],
        workers: int,
        tick: Tick | None,
        linked: bool,
        answer: Array,
        before: Array,
        **more: Any,
    ) -> Solution:
        """Run the kernel over all patients; `more` holds what depends on the kind of answer."""
        shared = self._shared(outputs, linked) | more
        parts = [self._of_part(part) for part in self.kernel.parts]
        self._counts = [arrays["steps"] for arrays in parts]
        if len(parts) > 1:
            # long courses leave room for few patients at once, once their records have grown twice
            fit = MEMORY // (32 * ROWS * len(self.stops) * width(shared["keeps"])) - 1
            lanes = self.kernel.lanes
            self.chunk = min(self.chunk, len(answer), max(lanes, fit // lanes * lanes))
        rows = list(self._chunks())
        chunks = iter(rows)
        threads = max(1, min(workers, len(rows)))
        with ThreadPoolExecutor(threads) as pool:
            jobs = [pool.submit(self._work, shared, parts, chunks) for _ in range(threads)]
            _watch(jobs, shared, tick)
        final = np.full(self.problem.initial.shape, np.nan)
        for part, arrays in zip(self.kernel.parts, parts, strict=True):
            final[:, part.states] = arrays["final"]
        last = parts[-1]
        status, failed_at = last["status"], last["failed_at"]
        failures = failures_of(self, parts, final)
        final[status != DONE] = np.nan
        delivered = {t: shared["delivered"][:, i].copy() for i, t in enumerate(self.targets)}
        self._add_infusions(delivered, np.where(status == DONE, np.inf, failed_at))
        return Solution(answer, before, delivered, final, failures)

    def _chunks(self) -> Iterator[slice]:
        """Patients that are handled together: as many courses of the driving part as there is room for."""
        begin, size = 0, len(self.leads)
        while begin < size:
            end = int(np.searchsorted(self.leads, self.leads[begin] + self.chunk))
            end = min(end, begin + max(self.chunk, CROWD))
            yield slice(begin, end)
            begin = end

    def _work(self, shared: Arrays, parts: list[Arrays], chunks: Iterator[slice]) -> None:
        """Integrate chunks of patients until none is left."""
        _memory, address = self.kernel.memory(shared["codes"], shared["requests"])
        rooms = ROWS * len(self.stops)
        records, memory = self._records(shared, rooms)
        # taking from an iterator over a list is atomic
        for rows in itertools.takewhile(lambda _: not shared["halt"][0], chunks):
            leads = self.leads[rows] - self.leads[rows.start]
            first = np.unique(leads, return_index=True)[1]

            def prepare(
                n: int, more: Arrays, rows: slice = rows, first: Integers | None = None, leads: Integers = leads
            ) -> tuple[Arrays, Integers]:
                arrays = {**shared, **parts[n], **more}
                arrays |= {name: arrays[name][rows] for name in _PER_PATIENT + _MORE_PER_PATIENT}
                if first is not None:
                    # outputs belong to the last part
                    arrays |= {n: arrays[n][first] for n in _PER_PATIENT + _MORE_PER_PATIENT if n not in _OUTPUTS}
                    leads = np.arange(len(first))
                arrays |= {"patients": len(arrays["initial"]), "counter": np.zeros(1, np.int64)}
                arrays["leader"] = whole([*leads.tolist(), leads[-1] + 1])
                return arrays, context((*FIELDS, *MORE_FIELDS), arrays)

            def integrate(n: int, more: Arrays, first: Integers | None = None) -> Arrays:
                arrays, words = prepare(n, more, first=first)
                self.kernel.parts[n].run(words.ctypes.data, address)
                return arrays

            if self.course:
                self._with_turns(*prepare(0, {}), address, np.arange(rows.start, rows.stop))
                continue

            more: Arrays = {}
            if len(parts) > 1:
                silent = {
                    "codes": 0,
                    "requests": 0,
                    "done": np.zeros(1, np.int64),
                    **dict.fromkeys(("pre_row", "out_row"), np.full(len(self.stops), -1)),
                }
                while True:
                    found = integrate(0, silent | records, first=first)
                    if not np.any(found["status"] == FULL) or 2 * records["record"].nbytes > MEMORY:
                        break
                    rooms *= 2
                    # the old ones go before there are new ones
                    found = records = {}
                    del memory
                    records, memory = self._records(shared, rooms)
                for name in ("final", "status", "failed_at", "rates", "steps"):
                    parts[0][name][rows] = found[name][leads]
                shared["delivered"][rows] = found["delivered"][leads]
                until = np.where(found["status"] == DONE, np.inf, found["failed_at"])
                more = records | {"until": until[leads]}
            integrate(len(parts) - 1, more)
        if 0 < memory.nbytes <= MEMORY // 8:
            _SPARE.append(memory)

    def _with_turns(self, found: Arrays, words: Integers, address: int, rows: Integers) -> None:
        """Integrate a chunk, attending to patients where something turns, until all are through."""
        assert self.course is not None
        self.course.attend(rows, np.full(len(rows), self.problem.start))
        while True:
            found["counter"][0] = 0
            self.kernel.parts[0].run(words.ctypes.data, address)
            turned = np.flatnonzero(found["status"] == TURNED)
            if not len(turned) or found["halt"][0]:
                return
            self.course.attend(rows[turned], found["failed_at"][turned])

    def _records(self, shared: Arrays, rooms: int) -> tuple[Arrays, Array]:
        """Room for the records of a chunk, and the memory it lies in."""
        if len(self.kernel.parts) == 1:
            return {}, np.empty(0)
        # one more than patients, for lanes at rest
        places, breadth = self.chunk + 1, width(shared["keeps"])
        rows = places * rooms
        memory = _SPARE.pop() if _SPARE else np.empty(0)
        if memory.size < rows * (1 + breadth):
            memory = np.empty(rows * (1 + breadth))
        return {
            "rooms": rooms,
            "begins": memory[:rows],
            "marks": np.zeros((places, len(self.stops)), np.int64),
            "record": memory[rows : rows * (1 + breadth)],
        }, memory

    def _add_infusions(self, delivered: dict[str, Array], reached: Array) -> None:
        """Amounts infused: the rate in force x the time it was in force, as far as each patient got."""
        plan = self.problem.plan
        for parameter, species in plan.infused.items():
            changes = [(s[0], 0.0 if s[2] else s[3]) for s in plan.settings if s[1] == parameter]
            rate: float | Array = 0.0
            since = self.problem.start
            for stop in self.stops.tolist():
                delivered[species] += np.where(reached >= stop, rate * (stop - since), 0.0)
                since = stop
                for time, value in changes:
                    rate = value if time == stop else rate


def _watch(jobs: Sequence[Any], arrays: Arrays, tick: Tick | None) -> None:
    """Wait for the threads and report progress; an interruption stops them after their present patients."""
    reported, left = 0, set(jobs)
    try:
        while left:
            finished, left = wait(left, timeout=_REPORT)
            for job in finished:
                job.result()
            done = int(arrays["done"][0])
            if tick and done > reported:
                tick(done - reported)
            reported = done
    finally:
        arrays["halt"][0] = 1

"""One problem as the arrays that compiled code reads: what all parts of a model receive, and what each does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from metabolism.engines.contract import Problem
from metabolism.engines.ensemble.compile import Kernel, Part
from metabolism.engines.ensemble.layout import WAITING, Arrays, Integers, real, whole
from metabolism.types import Array

if TYPE_CHECKING:
    from metabolism.engines.ensemble.events import Course

#: Steps after which a patient is given up, for each dose or setting and for the start.
LIMIT = 50_000


#: Share of the tolerance that a driven part gets: its steps are as long as its error allows, and none is there for the
#: sake of another state.
DRIVEN = 0.03


#: Steps of a patient whose rates jump or whose model has events, at least: what turns and turns back is not
#: stepped over.
LOOKS = 50


#: Patients per lane that are handled together, in a model of one part and of two; a record's first rows per stop.
TOGETHER, ROWS = (32, 4), 400


class Laid:
    """One problem laid out for the kernel."""

    def __init__(self, problem: Problem, compiled: Kernel) -> None:
        self.problem, self.kernel = problem, compiled
        system, plan = problem.equations, problem.plan
        self.parameter = {n: i for i, n in enumerate(system.parameters)}
        # the last part computes outputs; the states of the one before stand after its own
        self.order = [i for part in reversed(compiled.parts) for i in part.states]
        held = [""] * compiled.held
        names = [*(system.states[i] for i in self.order), *system.parameters, *held, *compiled.derived]
        self.code = {n: i for i, n in enumerate(names)}
        self.stops = np.array(sorted({problem.start, *plan.boundaries, problem.end}))
        self.targets = list(plan.asked)
        self.chunk = TOGETHER[len(compiled.parts) - 1] * compiled.lanes
        self.course: Course | None = None
        if compiled.held:
            # with it wakes sympy, which a model that never jumps does without
            from metabolism.engines.ensemble.events import Course

            self.course = Course(problem, compiled)

    def _shared(self, outputs: Sequence[str], linked: bool) -> Arrays:
        """What all parts receive."""
        problem, last = self.problem, self.kernel.parts[-1]
        changes = [s for s in problem.plan.settings if s[0] >= problem.start]
        offsets = np.empty((len(problem.initial), len(changes)))
        for n, (*_, offset) in enumerate(changes):
            offsets[:, n] = offset
        codes, own = whole(self.code[o] for o in outputs), len(last.states)
        needs = sorted(set().union(*(self._needs(o) for o in outputs)))
        need = [n for n in needs if n < own]
        keep = list(dict.fromkeys(n - own for n in [*map(self.order.index, last.inputs), *needs] if n >= own))
        return {
            "done": np.zeros(1, np.int64),
            "halt": np.zeros(1, np.int64),
            "parameters": self._padded(problem.parameters),
            "stops": len(self.stops),
            "stop_times": self.stops,
            "targets": len(self.targets),
            "delivered": np.zeros((len(problem.initial), len(self.targets))),
            "loaded": self.course.parameters if self.course else self._padded(problem.loaded),
            "settings": len(changes),
            "setting_begin": self._begins([s[0] for s in changes]),
            "setting_parameter": whole(self.parameter[s[1]] for s in changes),
            "setting_factor": real([s[2] for s in changes]),
            "setting_offset": offsets,
            "codes": len(codes),
            "code": codes,
            "needs": len(need),
            "need": whole(need),
            "values": np.zeros(0),
            "pre": np.zeros(0),
            "pres": 0,
            "limit": LIMIT * len(self.stops),
            "linked": int(linked),
            "requests": 0,
            "kind": np.zeros(0, np.int64),
            "slot": np.zeros(0, np.int64),
            "level": np.zeros(0),
            "results": np.zeros(0),
            "keeps": len(keep),
            "keep": whole(keep),
            "rooms": 0,
            "begins": np.zeros(0),
            "record": np.zeros(0),
            "marks": np.zeros(0, np.int64),
            "until": np.zeros(0),
            "coarse": sum(not self._fine(output) for output in outputs),
        }

    @cached_property
    def _zero(self) -> set[str]:
        """States and parameters that are zero throughout, in every patient: nothing is given, made or changed."""
        system, plan = self.problem.equations, self.problem.plan
        loaded, changed = self.problem.loaded, {s[1] for s in plan.settings} | {b[1] for b in plan.boluses}
        zero = {n for n, column in zip(system.parameters, loaded.T, strict=True) if not column.any()}
        zero |= {n for n, column in zip(system.states, self.problem.initial.T, strict=True) if not column.any()}
        zero -= changed | (set(system.states) if self.course else set())
        while moved := {
            s for s in zero & self.kernel.rests.keys() if not all(zero & {*t} for t in self.kernel.rests[s])
        }:
            zero -= moved
        return zero

    def _padded(self, parameters: Array) -> Array:
        """Parameters and room for what is held of the guards."""
        return real(np.pad(parameters, ((0, 0), (0, self.kernel.held)))) if self.kernel.held else real(parameters)

    def _needs(self, output: str) -> set[int]:
        """Positions in `order` of the states an output holds."""
        code = self.code[output]
        held = self.kernel.derived.get(output, [self.order[code]] if code < len(self.order) else [])
        return set(map(self.order.index, held))

    def _fine(self, output: str) -> bool:
        """Whether an output holds states that are read from a record, and so moves within a step of the last part."""
        return max(self._needs(output), default=0) >= len(self.kernel.parts[-1].states)

    def _of_part(self, part: Part) -> Arrays:
        """What one part receives."""
        problem, plan, patients = self.problem, self.problem.plan, len(self.problem.initial)
        names, share = problem.equations.states, DRIVEN if part.inputs else 1.0
        index = {names[state]: n for n, state in enumerate(part.states)}
        own = [n for n, (_, species, _) in enumerate(plan.boluses) if species in index]
        boluses = [plan.boluses[n] for n in own]
        volume = [problem.equations.volume.get(species) for _, species, _ in boluses]
        course, live = self.course, [n for n, state in enumerate(part.states) if names[state] not in self._zero]
        return {
            "initial": course.states if course else real(problem.initial[:, part.states]),
            "passed": np.zeros(patients, np.int64),
            "next_row": np.zeros(patients, np.int64),
            "horizon": course.horizon if course else np.full(patients, np.inf),
            "lives": len(live),
            "live": whole(live),
            "unit": float(min(1.0, problem.end - problem.start)),
            "longest": float(problem.end - problem.start) / LOOKS,
            "rtol": float(problem.rtol * share),
            "atol": real(problem.atol[part.states] * share),
            "dose_scale": real(problem.dose_scale[:, own]),
            "boluses": len(own),
            "bolus_begin": self._begins([b[0] for b in boluses]),
            "bolus_state": whole(index[species] for _, species, _ in boluses),
            "bolus_volume": whole(-1 if v is None else self.parameter[v] for v in volume),
            "bolus_amount": real([amount for _, _, amount in boluses]),
            "bolus_target": whole(self.targets.index(species) for _, species, _ in boluses),
            "final": np.full((patients, len(part.states)), np.nan),
            "status": course.status if course else np.full(patients, WAITING),
            "failed_at": np.full(patients, problem.start),
            "rates": np.zeros((patients, len(part.states))),
            "steps": np.zeros(patients, np.int64),
        }

    def _begins(self, times: Sequence[float]) -> Integers:
        """First item at each stop, and the number of items."""
        return np.append(np.searchsorted(times, self.stops), len(times)).astype(np.int64)

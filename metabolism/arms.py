"""Arms of a study: one group of people, matched to its baseline and treated, for many candidate patients at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from metabolism.baseline import Patients, outputs_of, rest_patients
from metabolism.engines import Array, Problem, get_engine
from metabolism.equations import Equations, equations
from metabolism.interventions import Hold, Treatment
from metabolism.model import Model
from metabolism.regimen import Plan, Regimen, plan
from metabolism.request import ATOL_FRACTION
from metabolism.simulation import verify_doses

#: Overrides of what a parameter set says, per patient: ``"set name/parameter"`` to values.
SetColumns = dict[str, Array]


@dataclass(eq=False)
class Curves:
    """Outputs of one arm over time.

    Attributes
    ----------
    baseline : ndarray, shape (patients, outputs)
        Just before anything of time 0 happens.
    times : ndarray, shape (times,)
        [h]
    before, after : ndarray, shape (patients, times, outputs)
        Values just before and just after a dose or a change at the same time.
    dosed : dict of str to float
        Amount given per substance by the end of the run [umol].
    failures : dict of int to str
        Why a patient has no values.
    """

    outputs: tuple[str, ...]
    baseline: Array
    times: Array
    before: Array
    after: Array
    dosed: dict[str, float]
    failures: dict[int, str] = field(default_factory=dict)


def changed(
    system: Equations, parameters: Array, holds: Iterable[Hold], columns: SetColumns, time: float = -math.inf
) -> Array:
    """Return the parameters with every hold in force just after a time applied, in order.

    Parameters
    ----------
    parameters : ndarray, shape (patients, parameters)
        The patients' own values.
    columns : dict
        Values that replace those of a parameter set.
    time : float
        [h]; minus infinity for what is there for life.
    """
    result = parameters.copy()
    for hold in holds:
        if hold.start <= time < hold.end:
            column = system.parameters.index(hold.parameter)
            value = columns.get(f"{hold.origin}/{hold.parameter}", hold.value)
            if hold.how == "=":
                result[:, column] = value
            elif hold.how == "x":
                result[:, column] *= value
            else:
                result[:, column] += value
    return result


def run_arm(
    model: Model, people: Patients, treatment: Treatment, outputs: Sequence[str], times: Array, columns: SetColumns,
    rtol: float = 1e-7,
) -> Curves:  # fmt: skip
    """Rest, then dose and change, and read outputs.

    Parameters
    ----------
    people : Patients
        Matched and at rest, before any intervention.
    times : ndarray
        Times to read, >= 0 [h].

    Returns
    -------
    Curves
    """
    system, names = equations(model), tuple(outputs)
    own = people.parameters
    lasting = changed(system, own, treatment.holds, columns)
    if any(h.start == -math.inf for h in treatment.holds):
        people = rest_patients(model, lasting, people.states, people.failures)
    times = np.unique(np.append(times, 0.0))
    begin = treatment.start
    doses = treatment.regimen(begin, float(times[-1])).doses
    # an infusion that is still running at the last reading is run to its end
    end = max([float(times[-1]), *(begin + d.time + d.duration for d in doses)])
    count, failures = len(people.states), dict(people.failures)
    before = np.full((count, len(times), len(names)), np.nan)
    after = before.copy()
    state = people.states.copy()
    before[:, times == begin] = outputs_of(system, names, state, lasting)[:, None]
    after[:, times == begin] = before[:, times == begin]
    full = plan(Regimen(doses), 0.0, end - begin) if end > begin else Plan()
    edges = {begin, 0.0, end, *(e for h in treatment.holds for e in (h.start, h.end) if begin < e < end)}
    for a, b in pairwise(sorted(edges)):
        now = changed(system, own, treatment.holds, columns, a)
        alive = np.array([i for i in range(count) if i not in failures], dtype=int)
        if not len(alive):
            break
        inside = (times >= a) & (times <= b)
        grid = np.unique(np.append(times[inside], b)) - begin
        steps = _slice(full, a - begin, b - begin)
        problem = Problem(
            system, steps, a - begin, b - begin, grid, names, now[alive], state[alive],
            np.ones((len(alive), len(steps.boluses))), rtol,
            rtol * ATOL_FRACTION * np.array([model.table[s].scale for s in system.states]),
        )  # fmt: skip
        solution = get_engine("fast").solve(problem)
        verify_doses(problem, solution)
        for row, failure in solution.failures.items():
            failures[int(alive[row])] = failure.message
        state[alive] = solution.final
        values = solution.values[:, np.searchsorted(grid, times[inside] - begin)]
        after[np.ix_(alive, inside)] = values
        pre = values.copy()
        for i, t in enumerate(problem.bolus_times):
            pre[:, np.isclose(times[inside] - begin, t, rtol=0, atol=1e-9)] = solution.pre_dose[:, i][:, None]
        # what is there just before a segment begins belongs to the segment that ends there
        late = times[inside] > a
        before[np.ix_(alive, np.flatnonzero(inside)[late])] = pre[:, late]
    given: dict[str, float] = {}
    for dose in doses:
        given[dose.substance] = given.get(dose.substance, 0.0) + dose.amount
    for i in failures:
        before[i] = after[i] = np.nan
    return Curves(names, before[:, times == 0.0][:, 0], times, before, after, given, failures)


def _slice(whole: Plan, start: float, end: float) -> Plan:
    """The part of a plan with start <= time < end, with infusions that run on carried over [h]."""
    boluses = tuple(b for b in whole.boluses if start <= b[0] < end)
    running: dict[str, float | None] = {}
    for time, name, value in whole.settings:
        if time < start:
            running[name] = value
    carried = tuple((start, name, value) for name, value in running.items() if value is not None)
    settings = tuple(s for s in whole.settings if start <= s[0] < end)
    carried = tuple(c for c in carried if not any(s[:2] == c[:2] for s in settings))
    settings = tuple(sorted(carried + settings, key=lambda s: s[:2]))
    asked: dict[str, float] = {}
    for _, species, amount in boluses:
        asked[species] = asked.get(species, 0.0) + amount
    times = {t for t, *_ in boluses} | {t for t, *_ in settings}
    return Plan(boluses, settings, asked, {}, tuple(sorted(t for t in times if start < t < end)))

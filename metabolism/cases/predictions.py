"""Predictions of case rows, for one model or for many candidate parameter vectors at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism.cases.baseline import match
from metabolism.cases.metrics import Reading
from metabolism.cases.people import Arm
from metabolism.cases.rows import Row
from metabolism.dosing import Regimen, plan
from metabolism.engines import Problem, get_engine, kernel
from metabolism.errors import InvalidValue, UnknownName
from metabolism.model import Model, equations
from metabolism.progress import Tick, unseen
from metabolism.sbml import Equations
from metabolism.simulation import ATOL_FRACTION, Patients, rest_patients, verify_doses
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd


Key = tuple[object, ...]


@dataclass(eq=False)
class Predictions:
    """Simulated values of rows.

    Attributes
    ----------
    rows : list of Row
    values : ndarray, shape (rows, candidates)
        In the unit of each row. Of several reading times, the value that is furthest outside (or nearest the edge of)
        the band. NaN where a simulation failed.
    failures : dict of (row, candidate) to str
        Why a value is missing.
    refused : set of (row, candidate)
        Failures that are a baseline which cannot be met.
    """

    rows: list[Row]
    values: Array
    failures: dict[tuple[int, int], str] = field(default_factory=dict)
    refused: set[tuple[int, int]] = field(default_factory=set)


def predict(
    model: Model,
    rows: Sequence[Row],
    columns: Mapping[str, ArrayLike] | pd.DataFrame | None = None,
    *,
    workers: int = 1,
    rtol: float = 1e-7,
    tick: Tick = unseen,
) -> Predictions:
    """Simulate every row for every candidate; arms and baselines that rows share are simulated once.

    Of a mixture of people every member is simulated, and the curves are averaged with the shares before any metric is
    taken: a change in per cent is that of the mean, as a study reports it.

    Parameters
    ----------
    model : Model
    rows : sequence of Row
        From `metabolism.cases.rows.read_cases`.
    columns : mapping or DataFrame, optional
        Parameter or state id to one value per candidate [model units]. ``"set name/parameter"`` replaces what a
        parameter set says of it.
    workers : int
        Threads that share the arms; the result does not depend on it.
    rtol : float
        Relative tolerance of the integrations.
    tick : callable, optional
        Called with the number of arms finished.

    Returns
    -------
    Predictions

    Raises
    ------
    UnknownName, InvalidValue
        For columns that are no parameters or states.
    """
    system = equations(model)
    kernel(system)  # compiled before the threads share it
    parameters, states, overrides = _candidates(model, columns)
    wanted = arms_of(rows)
    groups: dict[Key, list[Arm]] = {}
    for arm in wanted:
        groups.setdefault(_group(arm), []).append(arm)

    def people(key: Key) -> tuple[Patients, dict[int, str]]:
        arm = groups[key][0]
        own, starts = _people(system, arm, parameters, states, overrides)
        members = _repeated(overrides, len(arm.members))

        def measure(names: Sequence[str], who: Patients) -> Array:
            assert arm.before is not None
            return run_arm(model, who, arm.before, names, np.zeros(1), members, rtol).baseline

        resting = rest_patients(model, own, starts)
        matched = match(model, resting, arm.targets, arm.members, measure if arm.before else None)
        new = matched.failures.keys() - resting.failures.keys()
        return matched, {i // len(arm.members): matched.failures[i] for i in new}

    def curves(arm: Arm) -> Curves:
        outputs, times = wanted[arm]
        who, size = matched[_group(arm)][0], len(arm.members)
        all_ = run_arm(
            model, who, arm.treatment, sorted(outputs), np.array(sorted(times)), _repeated(overrides, size), rtol
        )
        tick(1)
        return _averaged(all_, np.array([m.share for m in arm.members]))

    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            matched = dict(zip(groups, pool.map(people, groups), strict=True))
            simulated = dict(zip(wanted, pool.map(curves, wanted), strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    made = Predictions(list(rows), np.full((len(rows), len(parameters)), np.nan))
    for i, row in enumerate(rows):
        arms = [simulated[arm] for arm in row.arms]
        failed = {k: text for curve in arms for k, text in curve.failures.items()}
        unmet = {k: text for arm in row.arms for k, text in matched[_group(arm)][1].items()}
        made.values[i] = _reduce(row, arms)
        for k in range(len(parameters)):
            if k in unmet:
                made.refused.add((i, k))
                own = any(t.text in unmet[k] for arm in row.arms for m in arm.members for t in m.targets)
                failed[k] = f"{row.where('mixture' if own else 'match')}: {unmet[k]}"
            elif k not in failed and not np.isfinite(made.values[i, k]):
                failed[k] = f"'{row.text['metric']}' has no value: the curve does not allow it"
            if k in failed:
                made.values[i, k], made.failures[i, k] = np.nan, failed[k]
    return made


def _people(
    system: Equations, arm: Arm, parameters: Array, states: Array, overrides: SetColumns
) -> tuple[Array, Array]:
    """Own parameters and start states of the members of an arm, for every candidate; members vary fastest."""
    own, starts = [], []
    for member in arm.members:
        holds = member.population.holds
        start = states.copy()
        for hold in holds:
            if hold.parameter in system.states:
                start[:, system.states.index(hold.parameter)] = hold.value
        starts.append(start)
        lasting = Regimen((), tuple(h for h in holds if h.parameter in system.parameters))
        own.append(plan(lasting, 0.0, 1.0, overrides).lasting(system.parameters, parameters))
    return tuple(np.stack(each, axis=1).reshape(-1, each[0].shape[1]) for each in (own, starts))  # type: ignore[return-value]


def _repeated(overrides: SetColumns, size: int) -> SetColumns:
    return {name: np.repeat(column, size) if len(column) > 1 else column for name, column in overrides.items()}


def _averaged(curves: Curves, shares: Array) -> Curves:
    """Mean of the members of each group, whose rows follow each other."""
    size = len(shares)
    if size == 1:
        return curves
    baseline, before, after = (
        np.einsum("gm...,m->g...", values.reshape(-1, size, *values.shape[1:]), shares)
        for values in (curves.baseline, curves.before, curves.after)
    )
    failures = {i // size: text for i, text in curves.failures.items()}
    return Curves(curves.outputs, baseline, curves.times, before, after, curves.dosed, failures)


def _candidates(
    model: Model, columns: Mapping[str, ArrayLike] | pd.DataFrame | None
) -> tuple[Array, Array, SetColumns]:
    """Parameters and start states per candidate, and what replaces values of parameter sets."""
    system = equations(model)
    states, parameters = system.vectors(model.values)
    given: dict[str, Any] = {} if columns is None else {str(n): columns[n] for n in columns}  # type: ignore[index]
    table = {n: np.atleast_1d(np.asarray(c, dtype=float)) for n, c in given.items()}
    count = max((len(c) for c in table.values()), default=1)
    many, starts = np.tile(parameters, (count, 1)), np.tile(states, (count, 1))
    overrides: SetColumns = {}
    for name, column in table.items():
        if len(column) != count or not np.isfinite(column).all():
            raise InvalidValue(f"the candidates of '{name}' differ in number from the others, or are not finite.")
        key = name.rsplit("/", 1)[-1]
        if "/" in name and key in system.parameters:
            overrides[name] = column
        elif name in system.parameters:
            many[:, system.parameters.index(name)] = column
        elif name in system.states:
            starts[:, system.states.index(name)] = column
        else:
            raise UnknownName("parameter or state", name, {*system.parameters, *system.states})
    return many, starts, overrides


def _group(arm: Arm) -> Key:
    return (arm.members, arm.targets, arm.before)


def arms_of(rows: Sequence[Row]) -> dict[Arm, tuple[set[str], set[float]]]:
    """Return the distinct arms of some rows, with the outputs and times [h] needed of each."""
    wanted: dict[Arm, tuple[set[str], set[float]]] = {}
    for row in rows:
        for arm in row.arms:
            outputs, times = wanted.setdefault(arm, (set(), set()))
            outputs.update(name for _, name in (*row.terms, *row.below))
            times.update(row.grid.tolist())
    return wanted


def _reduce(row: Row, arms: Sequence[Curves]) -> Array:
    """The row's number for each candidate."""
    readings = []
    for curves in arms:
        place = np.searchsorted(curves.times, row.grid)
        empty = np.empty((len(curves.baseline), 0))
        readings.append(
            Reading(
                _observed(row, curves, curves.baseline),
                empty if row.window else _observed(row, curves, curves.before[:, place]),
                row.grid,
                _observed(row, curves, curves.after[:, place]) if row.window else empty,
            )
        )
    factor = row.factor
    if math.isnan(factor):
        total = sum(arms[0].dosed.values())
        factor = 100.0 / total if total else math.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        values = row.metric.compute(readings) * factor
    # of several readings, the one that is furthest from the band, or nearest its edge from within; a limit has one edge
    above, below = values - row.low, row.high - values
    inside = above if row.observed == row.low else below if row.observed == row.high else np.minimum(above, below)
    worst = np.where(np.isnan(values), -np.inf, inside).argmin(axis=1)
    return np.asarray(values[np.arange(len(values)), worst])


def _observed(row: Row, curves: Curves, values: Array) -> Array:
    """The observable of a row from the outputs of an arm, which are the last axis."""
    sums = []
    for terms in (row.terms, row.below):
        weights = np.zeros(len(curves.outputs))
        for sign, name in terms:
            weights[curves.outputs.index(name)] += sign
        sums.append(values @ weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[0] / sums[1] if row.below else sums[0])


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


def run_arm(
    model: Model,
    people: Patients,
    treatment: Regimen,
    outputs: Sequence[str],
    times: Array,
    columns: SetColumns,
    rtol: float = 1e-7,
) -> Curves:
    """Rest, then dose and change, and read outputs.

    Parameters
    ----------
    model : Model
    people : Patients
        Matched and at rest, before any intervention.
    treatment : Regimen
        What is done, from its first negative time on.
    outputs : sequence of str
    times : ndarray
        Times to read, >= 0 [h].
    columns : dict
        Values that replace those of a parameter set, one per patient.
    rtol : float
        Relative tolerance of the integration.

    Returns
    -------
    Curves
    """
    system, names, begin = equations(model), tuple(outputs), treatment.start
    times = np.unique(np.append(times, 0.0))
    given = treatment.until(float(times[-1]))
    # an infusion that is still running at the last reading is run to its end
    end = max(float(times[-1]), given.last_time)
    steps = plan(given, begin, end, columns)
    times = np.unique(steps.snapped(times))
    lasting = steps.lasting(system.parameters, people.parameters)
    if any(h.start == -math.inf for h in treatment.holds):
        people = replace(rest_patients(model, lasting, people.states, people.failures), parameters=people.parameters)
    failures = dict(people.failures)
    alive = np.array([i for i in range(len(people.states)) if i not in failures], dtype=int)
    after = np.full((len(people.states), len(times), len(names)), np.nan)
    if end <= begin or not len(alive):
        after[:] = system.evaluate(names, people.states, lasting)[:, None]
        return Curves(names, after[:, 0], times, after, after, {}, failures)
    problem = Problem(
        system,
        steps.take(alive),
        begin,
        end,
        times,
        names,
        people.parameters[alive],
        people.states[alive],
        np.ones((len(alive), len(steps.boluses))),
        rtol,
        rtol * ATOL_FRACTION * model.scale,
    )
    solution = get_engine("fast").solve(problem)
    verify_doses(problem, solution)
    failures |= {int(alive[row]): failure.message for row, failure in solution.failures.items()}
    after[alive] = solution.values
    before = after.copy()
    for i, jump in enumerate(problem.bolus_times):
        before[np.ix_(alive, times == jump)] = solution.pre_dose[:, i][:, None]
    for i in failures:
        before[i] = after[i] = np.nan
    dosed: dict[str, float] = {}
    for dose in given.doses:
        dosed[dose.substance] = dosed.get(dose.substance, 0.0) + dose.amount
    return Curves(names, before[:, times == 0.0][:, 0], times, before, after, dosed, failures)

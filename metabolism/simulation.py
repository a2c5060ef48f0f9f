"""Simulate one patient or many: rest first, then doses, on any engine, with a ledger and a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism.engines import Array, Problem, Solution, get_engine
from metabolism.equations import Equations, equations
from metabolism.errors import InvalidValue, MetabolismError, SolverFailed, UnknownName, UsageError
from metabolism.model import Model
from metabolism.regimen import Plan, Regimen, plan
from metabolism.resting import rest
from metabolism.result import Result, manifest_text, versions
from metabolism.units import magnitude

if TYPE_CHECKING:
    import pandas as pd

#: What is reported when nothing else is asked for.
DEFAULT_OUTPUTS = (
    "hcy_plasma", "met_plasma", "mma_plasma", "folate_plasma", "cbl_plasma", "cbl_free", "holo_tc", "motor_units",
    "alsfrs_r",
)  # fmt: skip
EVENT_SEMANTICS = 1
#: Absolute tolerance of a state = rtol x this x its physiological scale.
ATOL_FRACTION = 1e-2
Progress = Callable[[int], None]


def simulate(
    model: Model,
    regimen: Regimen | str | None = None,
    until: float | str = "16 weeks",
    *,
    outputs: Sequence[str] | None = None,
    times: ArrayLike | None = None,
    patients: Mapping[str, ArrayLike] | pd.DataFrame | None = None,
    own_baseline: Mapping[str, str] | None = None,
    start: str = "rest",
    dose_scale: ArrayLike | None = None,
    engine: str = "auto",
    rtol: float = 1e-8,
    workers: int = 1,
    progress: Progress | None = None,
) -> Result:
    """Run a model under a dosing regimen.

    Parameters
    ----------
    model : Model
    regimen : Regimen or str, optional
        Doses and exposures, e.g. ``"50 mg im every 3.5 d x 32"``; none by default.
    until : float or str
        End of the run [h], or text with a unit.
    outputs : sequence of str, optional
        Ids of species, derived quantities, reactions or parameters.
    times : array_like, optional
        Output times [h]; by default a grid with extra points after each dose.
    patients : mapping or DataFrame, optional
        Parameter id to one value per patient [model units]; columns that are no parameters are ignored
        in a DataFrame and refused in a mapping.
    own_baseline : mapping of str to str, optional
        Parameters to set to a resting value of the same patient, e.g. ``{"MN_hcy_ref": "hcy_plasma"}``.
    start : {"rest", "initial"}
        Start each patient at its own resting state, or at the table's initial values.
    dose_scale : array_like, shape (patients, boluses), optional
        Factor on each merged bolus: 0 for a missed dose.
    engine : str
        ``"auto"`` (libRoadRunner for one patient, fast for many), ``"roadrunner"``, ``"scipy"`` or ``"fast"``; the
        manifest says which ran.
    rtol : float
        Relative tolerance.
    workers : int
        Threads (fast engine) or processes to share patients among; the result does not depend on it.
    progress : callable, optional
        Called with the number of patients finished.

    Returns
    -------
    Result

    Raises
    ------
    UnknownName, InvalidValue, InvalidRegimen, UnitMismatch
        For wrong requests, before anything runs.
    SolverFailed
        If a single run fails; in a run of many patients failures are flagged in the result instead.
    """
    system = equations(model)
    many = patients is not None
    if engine == "auto":
        engine = "fast" if many else "roadrunner"
    solver = get_engine(engine)
    end = magnitude(until, "h", "until")
    if end <= 0:
        raise InvalidValue(f"until = {until} must be after 0 h.")
    if not 1e-13 < rtol < 1e-2:
        raise InvalidValue(f"rtol = {rtol} must lie between 1e-13 and 1e-2.")
    names = tuple(outputs or DEFAULT_OUTPUTS)
    _check_outputs(names, system)
    schedule = Regimen.parse(regimen) if isinstance(regimen, str) else regimen or Regimen()
    steps = plan(schedule, 0.0, end)
    _check_plan(steps, system)
    grid = _grid(times, steps, end)
    cohort = _cohort(model, system, patients, own_baseline or {}, start, engine)
    scale = np.ones((len(cohort.initial), len(steps.boluses)))
    if dose_scale is not None:
        scale = np.broadcast_to(np.asarray(dose_scale, dtype=float), scale.shape).copy()
        if not (np.isfinite(scale) & (scale >= 0)).all():
            raise InvalidValue("dose_scale must be finite and >= 0; use 0 for a missed dose.")
    problem = Problem(
        system, steps, 0.0, end, grid, names, cohort.parameters, cohort.initial, scale, rtol,
        rtol * ATOL_FRACTION * np.array([model.table[s].scale for s in system.states]),
    )  # fmt: skip
    solution = solver.solve(problem, progress, workers)
    _verify_doses(problem, solution)
    if not many and (solution.failures or cohort.failures):
        message = cohort.failures.get(0) or solution.failures[0].message
        raise SolverFailed(message, *(_where(solution)))
    entries = {
        "model": model.id,
        "model_hash": model.structure_hash,
        "parameter_hash": model.parameter_hash,
        "sets": list(model.sets),
        "changed": dict(model.changed),
        "patients": len(cohort.initial) if many else None,
        "own_baseline": dict(own_baseline or {}),
        "regimen": str(schedule),
        "start": start,
        "until_h": end,
        "engine": engine,
        "rtol": rtol,
        "atol": f"rtol x {ATOL_FRACTION} x scale of each state (parameters.csv)",
        "event_semantics": EVENT_SEMANTICS,
        "versions": versions(),
        "seed": None,
    }
    return Result(_dataset(problem, solution, cohort, entries, many, model))


@dataclass(frozen=True, eq=False)
class _Cohort:
    parameters: Array
    initial: Array
    failures: dict[int, str]


def _cohort(
    model: Model,
    system: Equations,
    patients: Mapping[str, ArrayLike] | pd.DataFrame | None,
    own_baseline: Mapping[str, str],
    start: str,
    engine: str,
) -> _Cohort:
    if start not in ("rest", "initial"):
        raise UsageError(f"start = '{start}' must be 'rest' or 'initial'.")
    states0, constants0 = system.vectors(model.values)
    table = _patient_table(system, patients)
    count = len(next(iter(table.values()))) if table else 1
    parameters, initial = np.tile(constants0, (count, 1)), np.tile(states0, (count, 1))
    place = {n: (parameters, i) for i, n in enumerate(system.parameters)}
    place |= {n: (initial, i) for i, n in enumerate(system.states)}
    for name, column in table.items():
        array, index = place[name]
        array[:, index] = column
    for name, source in own_baseline.items():
        if name not in system.parameters:
            raise UnknownName("parameter", name, system.parameters)
        _check_outputs([source], system)
    failures: dict[int, str] = {}
    if start == "rest":
        scale = np.array([model.table[s].scale for s in system.states])
        waiting = np.arange(count)
        if engine == "fast":
            from metabolism.engines.fast_engine import rest_many

            found, _, ok = rest_many(system, parameters, initial, scale, model.not_at_rest)
            initial[ok] = found[ok]
            waiting = np.flatnonzero(~ok)
        # one by one where the batch found no rest: a second try, or the reason
        for i in waiting.tolist():
            try:
                initial[i], _, _ = rest(system, initial[i], parameters[i], scale, model.not_at_rest)
            except SolverFailed as error:
                failures[i] = str(error)
                initial[i] = np.nan
    for name, source in own_baseline.items():
        for i in set(range(count)) - failures.keys():
            parameters[i, system.parameters.index(name)] = _value(system, source, initial[i], parameters[i])
    return _Cohort(parameters, initial, failures)


def _patient_table(system: Equations, patients: Mapping[str, ArrayLike] | pd.DataFrame | None) -> dict[str, Array]:
    if patients is None:
        return {}
    known = {*system.parameters, *system.states}
    names = [str(c) for c in patients]
    if not isinstance(patients, Mapping):
        names = [n for n in names if n in known]
    table: dict[str, Array] = {}
    for name in names:
        if name not in known:
            raise UnknownName("parameter", name, known, "Columns of `patients` are parameter ids.")
        table[name] = np.atleast_1d(np.asarray(patients[name], dtype=float))
        if not (np.isfinite(table[name]) & (table[name] >= 0)).all():
            raise InvalidValue(f"patients['{name}'] has values that are negative or not finite.")
    if not table:
        raise InvalidValue("patients has no column that is a parameter of the model.")
    if len({len(c) for c in table.values()}) > 1:
        raise InvalidValue("the columns of `patients` differ in length.")
    return table


def _value(system: Equations, name: str, x: Array, p: Array) -> float:
    if name in system.states:
        return float(x[system.states.index(name)])
    return float(system.derived(x.tolist(), p.tolist())[list(system.expanded).index(name)])


def _check_outputs(names: Sequence[str], system: Equations) -> None:
    known = {*system.states, *system.expanded, *system.parameters}
    for name in names:
        if name not in known:
            raise UnknownName("output", name, known, "List them with `metabolism list outputs`.")


def _check_plan(steps: Plan, system: Equations) -> None:
    for target in steps.asked:
        if target not in system.states:
            raise UnknownName("dose target", target, system.states)
    for _, name, _ in steps.settings:
        if name not in system.parameters:
            raise UnknownName("parameter", name, system.parameters, "An exposure holds a parameter.")


def _grid(times: ArrayLike | None, steps: Plan, end: float) -> Array:
    if times is not None:
        grid = np.unique(np.asarray(times, dtype=float))
        if grid.size == 0 or not np.isfinite(grid).all() or grid[0] < 0 or grid[-1] > end:
            raise InvalidValue(f"times must be finite and lie between 0 and {end:g} h.")
        return grid
    spacing = next((s for s in (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 168) if end / s <= 600), end / 600)
    grid = np.append(np.arange(0, end, spacing), end)
    doses = np.array([t for t, _, _ in steps.boluses])
    if 0 < len(doses) <= 120:
        # absorption and the peak are over within hours: a coarse grid would miss them
        after = np.array([0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4, 6, 8])
        grid = np.concatenate([grid, (doses[:, None] + after).ravel()])
    return np.unique(grid[grid <= end])


def _asked(problem: Problem) -> dict[str, Array]:
    """Amount each patient should receive per target [µmol]: merged boluses as scaled, plus infusions."""
    bolus = {t: np.zeros(len(problem.initial)) for t in problem.plan.asked}
    planned = dict.fromkeys(problem.plan.asked, 0.0)
    for i, (_, target, amount) in enumerate(problem.plan.boluses):
        bolus[target] += amount * problem.dose_scale[:, i]
        planned[target] += amount
    return {t: bolus[t] + (problem.plan.asked[t] - planned[t]) for t in bolus}


def _verify_doses(problem: Problem, solution: Solution) -> None:
    """Refuse a result whose measured ledger is not what was asked, to 1e-9."""
    for target, asked in _asked(problem).items():
        good = [i for i in range(len(asked)) if i not in solution.failures]
        gap = np.abs(solution.delivered[target][good] - asked[good])
        if good and (gap > 1e-9 * np.maximum(asked[good], 1e-30)).any():
            raise MetabolismError(
                f"dose ledger: '{target}' was to receive {asked[good].max():.9g} umol and the engine delivered "
                f"{solution.delivered[target][good].max():.9g}; please report this."
            )


def _where(solution: Solution) -> tuple[float | None, str | None]:
    failure = solution.failures.get(0)
    return (failure.time, failure.state) if failure else (None, None)


def _dataset(
    problem: Problem, solution: Solution, cohort: _Cohort, entries: Mapping[str, Any], many: bool, model: Model
) -> Any:
    import xarray as xr

    pick: Any = slice(None) if many else 0
    lead = ("patient",) if many else ()
    data: dict[str, Any] = {}
    names = {p.id: p.name for p in model.table.values()}
    for i, output in enumerate(problem.outputs):
        attrs = {"units": problem.equations.units[output], "long_name": names.get(output, output)}
        data[output] = ((*lead, "time"), solution.values[:, :, i][pick], attrs)
        if problem.bolus_times:
            data[f"{output}_pre_dose"] = ((*lead, "dose_time"), solution.pre_dose[:, :, i][pick], attrs)
    targets = list(problem.plan.asked)
    asked = _asked(problem)
    # netCDF cannot hold an empty dimension: without doses there is no ledger
    ledgers = (("asked", asked), ("delivered", solution.delivered)) if targets else ()
    for name, amounts in ledgers:
        ledger = np.zeros((len(problem.initial), len(targets)))
        for i, target in enumerate(targets):
            ledger[:, i] = amounts[target]
        data[name] = ((*lead, "target"), ledger[pick], {"units": "umol"})
    coordinates: dict[str, Any] = {"time": ("time", problem.times, {"units": "h"})}
    if targets:
        coordinates["target"] = ("target", np.array(targets, dtype="U64"))
    if problem.bolus_times:
        coordinates["dose_time"] = ("dose_time", np.array(problem.bolus_times), {"units": "h"})
    if many:
        failed = np.zeros(len(problem.initial), dtype="i1")
        reached = np.full(len(problem.initial), np.nan)
        for i, failure in solution.failures.items():
            failed[i], reached[i] = 1, failure.time
        for i in cohort.failures:
            failed[i], reached[i] = 1, problem.start
        data["failed"] = ("patient", failed)
        data["failure_time"] = ("patient", reached, {"units": "h"})
        coordinates["patient"] = ("patient", np.arange(len(problem.initial)))
    return xr.Dataset(data, coordinates, {"manifest": manifest_text(entries)})

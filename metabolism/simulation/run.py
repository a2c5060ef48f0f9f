"""Simulate one patient or many: rest first, then doses, on any engine, with a ledger and a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism.dosing import Regimen
from metabolism.engines import Problem, Solution, get_engine
from metabolism.errors import InvalidValue, MetabolismError, SolverFailed, UnknownName, UsageError
from metabolism.files import manifest_text
from metabolism.model import Model, draws
from metabolism.sbml import RESIDUAL, Equations
from metabolism.simulation.request import Prepared, output_names, prepare
from metabolism.simulation.result import Result
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from metabolism.engines import Direction


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
    uncertainty: int | None = None,
    start: str = "rest",
    dose_scale: ArrayLike | None = None,
    engine: str = "auto",
    rtol: float | None = None,
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
    uncertainty : int, optional
        Run this many draws of the fitted parameters instead of `patients`; `Result.band` gives the interval. They
        are one person under uncertain parameters, not a population.
    start : {"rest", "initial"}
        Start each patient at its own resting state, or at the table's initial values.
    dose_scale : array_like, shape (patients, boluses), optional
        Factor on each merged bolus: 0 for a missed dose.
    engine : str
        ``"auto"`` (fast), ``"fast"``, or a referee by name: ``"roadrunner"`` or ``"scipy"``.
    rtol : float, optional
        Relative tolerance; by default `DEFAULT_RTOL` of the engine.
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
    if uncertainty is not None:
        if patients is not None:
            raise UsageError("give either patients or uncertainty: draws of parameters are no patients.")
        patients = draws(model, uncertainty)
    ready = prepare(
        model,
        regimen,
        until,
        outputs=outputs,
        times=times,
        patients=patients,
        own_baseline=own_baseline,
        start=start,
        dose_scale=dose_scale,
        engine=engine,
        rtol=rtol,
        workers=workers,
    )
    problem, unrested, many = ready.problem, ready.failures, patients is not None
    solution = get_engine(ready.engine).solve(problem, progress, workers)
    verify_doses(problem, solution)
    if not many and (solution.failures or unrested):
        message = unrested.get(0) or solution.failures[0].message
        raise SolverFailed(message, *(_where(solution)))
    entries = {**ready.manifest, "uncertainty": uncertainty}
    curves = {
        name: solution.values[:, :, i] if many else solution.values[0, :, i] for i, name in enumerate(problem.outputs)
    }
    return Result(
        lambda: _dataset(problem, solution, unrested, entries, many, model), {"time": problem.times, **curves}
    )


def _asked(problem: Problem) -> dict[str, Array]:
    """Amount each patient should receive per target [µmol]: merged boluses as scaled, plus infusions."""
    bolus = {t: np.zeros(len(problem.initial)) for t in problem.plan.asked}
    planned = dict.fromkeys(problem.plan.asked, 0.0)
    for i, (_, target, amount) in enumerate(problem.plan.boluses):
        bolus[target] += amount * problem.dose_scale[:, i]
        planned[target] += amount
    return {t: bolus[t] + (problem.plan.asked[t] - planned[t]) for t in bolus}


def verify_doses(problem: Problem, solution: Solution) -> None:
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
    problem: Problem,
    solution: Solution,
    unrested: Mapping[int, str],
    entries: Mapping[str, Any],
    many: bool,
    model: Model,
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
        for i in unrested:
            failed[i], reached[i] = 1, problem.start
        data["failed"] = ("patient", failed)
        data["failure_time"] = ("patient", reached, {"units": "h"})
        coordinates["patient"] = ("patient", np.arange(len(problem.initial)))
    return xr.Dataset(data, coordinates, {"manifest": manifest_text(entries)})


#: Relative step of a sensitivity: its square is the truncation error, rounding over it the noise.
NUDGE = 1e-4


Endpoint = tuple[str, str] | tuple[str, str, float]


def endpoints_of(
    model: Model,
    endpoints: Mapping[str, Endpoint],
    regimen: Regimen | str | None = None,
    until: float | str = "16 weeks",
    *,
    patients: Mapping[str, ArrayLike] | pd.DataFrame,
    own_baseline: Mapping[str, str] | None = None,
    start: str = "rest",
    dose_scale: ArrayLike | None = None,
    rtol: float | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Compute endpoints of many patients without storing their curves.

    Extremes, areas and times above a level are taken from the dense output of every step, so no output grid
    can miss a peak.

    Parameters
    ----------
    model, regimen, until, patients, own_baseline, start, dose_scale, rtol, workers, progress
        As in `metabolism.simulate`.
    endpoints : mapping of str to tuple
        Name to what is wanted over the whole run: ``("final" | "max" | "min" | "auc", output)`` or
        ``("time_above", output, level)``, e.g. ``{"Cmax": ("max", "cbl_free")}``.

    Returns
    -------
    DataFrame, shape (patients, endpoints + 2)
        One column per endpoint [output unit; x h for ``"auc"``; h for ``"time_above"``], NaN where a patient
        failed, then ``failed`` and ``failure_time`` [h]. Units are in ``attrs["units"]``, the manifest in
        ``attrs["manifest"]``.

    Raises
    ------
    UnknownName, InvalidValue, InvalidRegimen, UnitMismatch
        For wrong requests, before anything runs.
    """
    import pandas as pd

    from metabolism.engines import FastEngine, check_requests

    check_requests(list(endpoints.values()), output_names(model))
    ready = prepare(
        model,
        regimen,
        until,
        patients=patients,
        own_baseline=own_baseline,
        start=start,
        dose_scale=dose_scale,
        engine="fast",
        rtol=rtol,
        times=[0.0],
        workers=workers,
    )
    solution = FastEngine().endpoints(ready.problem, list(endpoints.values()), workers, progress)
    verify_doses(ready.problem, solution)
    frame = pd.DataFrame(solution.values[:, 0], columns=list(endpoints))
    failed = {**dict.fromkeys(ready.failures, 0.0), **{i: f.time for i, f in solution.failures.items()}}
    frame["failed"] = [i in failed for i in range(len(frame))]
    frame["failure_time"] = [failed.get(i, np.nan) for i in range(len(frame))]
    units = {name: _unit(ready.problem.equations, wanted) for name, wanted in endpoints.items()}
    frame.attrs |= {"units": units, "manifest": ready.manifest}
    return frame


def sensitivities(
    model: Model,
    parameters: Sequence[str],
    regimen: Regimen | str | None = None,
    until: float | str = "16 weeks",
    *,
    endpoints: Mapping[str, Endpoint] | None = None,
    outputs: Sequence[str] | None = None,
    times: ArrayLike | None = None,
    patients: Mapping[str, ArrayLike] | pd.DataFrame | None = None,
    own_baseline: Mapping[str, str] | None = None,
    start: str = "rest",
    rtol: float | None = None,
    workers: int = 1,
) -> xr.Dataset:
    """Differentiate outputs or endpoints by parameters.

    The derivative counts everything that follows from a parameter: the resting state a patient starts from
    (implicit function theorem) and baselines set by `own_baseline` included.

    Parameters
    ----------
    model, regimen, until, patients, own_baseline, start, rtol, workers
        As in `metabolism.simulate`; without `patients` the model itself is the patient.
    parameters : sequence of str
        Parameter ids; no value may be 0.
    endpoints : mapping of str to tuple, optional
        As in `endpoints_of`.
    outputs, times : optional
        Without `endpoints`: outputs and times [h] as in `metabolism.simulate`.

    Returns
    -------
    Dataset
        Each output (patient, time) or endpoint (patient), and ``d_<name>`` (patient, parameter, ...) with its
        derivative [unit of the output / unit of the parameter]; NaN where a patient failed. Without `patients`
        there is no patient dimension.

    Raises
    ------
    UnknownName, InvalidValue, InvalidRegimen, UnitMismatch
    """
    import xarray as xr

    from metabolism.engines import check_requests, slopes

    if endpoints is not None:
        if outputs is not None or times is not None:
            raise UsageError("ask for endpoints, or for outputs and times, not for both at once.")
        check_requests(list(endpoints.values()), output_names(model))
        times = [0.0]
    ready = prepare(
        model,
        regimen,
        until,
        outputs=outputs,
        times=times,
        patients=patients,
        own_baseline=own_baseline,
        start=start,
        engine="fast",
        rtol=rtol,
        workers=workers,
    )
    problem = ready.problem
    directions = [_direction(model, ready, name, own_baseline or {}, start) for name in parameters]
    solution, found = slopes(problem, directions, None if endpoints is None else list(endpoints.values()), workers)
    verify_doses(problem, solution)
    for i in solution.failures:
        found[i] = np.nan
    if patients is None and (ready.failures or solution.failures):
        raise SolverFailed(ready.failures.get(0) or solution.failures[0].message)
    pick: Any = 0 if patients is None else slice(None)
    lead = () if patients is None else ("patient",)
    last = ("time",) if endpoints is None else ()
    units = {o: problem.equations.units[o] for o in problem.outputs}
    if endpoints is not None:
        units = {name: _unit(problem.equations, wanted) for name, wanted in endpoints.items()}
    data: dict[str, Any] = {}
    for i, (name, unit) in enumerate(units.items()):
        value, slope = solution.values[pick, ..., i], found[pick, ..., i]
        if endpoints is not None:
            value, slope = value[..., 0], slope[..., 0]
        data[name] = ((*lead, *last), value, {"units": unit})
        data[f"d_{name}"] = ((*lead, "parameter", *last), slope, {"units": f"{unit} per unit of the parameter"})
    coordinates: dict[str, Any] = {"parameter": ("parameter", list(parameters))}
    if endpoints is None:
        coordinates["time"] = ("time", problem.times, {"units": "h"})
    return xr.Dataset(data, coordinates, {"manifest": manifest_text(ready.manifest)})


def steady_states(
    model: Model, patients: Mapping[str, ArrayLike] | pd.DataFrame, outputs: Sequence[str] | None = None
) -> pd.DataFrame:
    """Find the resting states of many patients.

    Parameters
    ----------
    model : Model
    patients : mapping or DataFrame
        As in `metabolism.simulate`.
    outputs : sequence of str, optional
        Ids of states, derived quantities, reactions or parameters; by default every state.

    Returns
    -------
    DataFrame, shape (patients, outputs + 3)
        One column per output [model units], then ``residual``, the largest scaled rate of change [1/h] evaluated
        outside the search; ``failed``; and ``reason``. A patient whose residual exceeds
        `metabolism.sbml.resting.RESIDUAL` has failed, and its outputs are NaN.

    Raises
    ------
    UnknownName, InvalidValue
    """
    import pandas as pd

    ready = prepare(model, None, 1.0, outputs=outputs, patients=patients, engine="fast")
    problem, system = ready.problem, ready.problem.equations
    names = list(outputs or system.states)
    keep = np.array([s not in model.not_at_rest for s in system.states])
    floor = 1e-3 * model.scale
    rows, residuals, reasons = [], [], []
    for i, (x, p) in enumerate(zip(problem.initial, problem.parameters, strict=True)):
        reason, residual = ready.failures.get(i, ""), np.nan
        if not reason:
            residual = float((np.abs(system.f(x, p)) / np.maximum(np.abs(x), floor))[keep].max())
            # NaN fails too
            if not residual < RESIDUAL:
                reason = f"the residual {residual:.1e} per hour is above {RESIDUAL:.0e}"
        rows.append([np.nan] * len(names) if reason else system.evaluate(names, x, p).tolist())
        residuals.append(residual)
        reasons.append(reason)
    frame = pd.DataFrame(rows, columns=names)
    frame["residual"], frame["failed"], frame["reason"] = residuals, [bool(r) for r in reasons], reasons
    frame.attrs |= {"units": {n: system.units[n] for n in names}, "manifest": ready.manifest}
    return frame


def _direction(model: Model, ready: Prepared, name: str, own_baseline: Mapping[str, str], start: str) -> Direction:
    """How parameters and start of every patient move with one parameter."""
    from metabolism.engines import Direction

    problem, system = ready.problem, ready.problem.equations
    if name not in system.parameters:
        raise UnknownName("parameter", name, system.parameters)
    if name in own_baseline:
        raise InvalidValue(f"'{name}' is set by own_baseline, so nothing can be differentiated by it.")
    column = system.parameters.index(name)
    values = problem.parameters[:, column]
    if (values == 0).any():
        raise InvalidValue(f"a sensitivity needs values other than 0, and '{name}' is 0: a relative step has no size.")
    parameters, initial = np.zeros_like(problem.parameters), np.zeros_like(problem.initial)
    parameters[:, column] = 1.0
    step = NUDGE * np.abs(values)
    keep = np.array([i for i, s in enumerate(system.states) if s not in model.not_at_rest])
    for i in sorted(set(range(len(values))) - ready.failures.keys()):
        x, p = problem.initial[i], problem.loaded[i]
        if start == "rest":
            # implicit function theorem: J dx + df/dp = 0, where a change for life has a share of the own value
            share = (
                problem.plan.lasting([name], np.ones((1, 1)))[0, 0]
                - problem.plan.lasting([name], np.zeros((1, 1)))[0, 0]
            )
            moved = share * np.array(system.parameter_slope(name)(x.tolist(), p.tolist()))
            initial[i, keep] = np.linalg.solve(system.J(x, p)[np.ix_(keep, keep)], -moved[keep])
        for target, source in own_baseline.items():
            up, down = (
                system.evaluate([source], x + s * initial[i], p + s * parameters[i])[0] for s in (step[i], -step[i])
            )
            parameters[i, system.parameters.index(target)] = (up - down) / (2 * step[i])
    return Direction(parameters, initial, step)


def _unit(system: Equations, wanted: Endpoint) -> str:
    kind, output, *_ = wanted
    return "h" if kind == "time_above" else f"{system.units[output]} h" if kind == "auc" else system.units[output]

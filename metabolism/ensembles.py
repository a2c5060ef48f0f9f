"""Many patients without their curves: endpoints, sensitivities and resting states on the fast engine.

`metabolism.simulate` stores every output at every time. A fit, a sensitivity study or a large virtual trial
needs a few numbers per patient; here they are computed while the patient is integrated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from metabolism.equations import Equations
from metabolism.errors import InvalidValue, SolverFailed, UnknownName, UsageError
from metabolism.model import Model
from metabolism.regimen import Regimen
from metabolism.request import Prepared, output_names, prepare, values_of
from metabolism.resting import RESIDUAL
from metabolism.result import manifest_text
from metabolism.simulation import Progress, verify_doses

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from metabolism.engines.fast_sensitivity import Direction

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

    from metabolism.engines.fast_engine import FastEngine
    from metabolism.engines.fast_run import check_requests

    check_requests(list(endpoints.values()), output_names(model))
    ready = prepare(
        model, regimen, until, patients=patients, own_baseline=own_baseline, start=start, dose_scale=dose_scale,
        engine="fast", rtol=rtol, times=[0.0], workers=workers,
    )  # fmt: skip
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

    from metabolism.engines.fast_run import check_requests
    from metabolism.engines.fast_sensitivity import slopes

    if endpoints is not None:
        if outputs is not None or times is not None:
            raise UsageError("ask for endpoints, or for outputs and times, not for both at once.")
        check_requests(list(endpoints.values()), output_names(model))
        times = [0.0]
    ready = prepare(
        model, regimen, until, outputs=outputs, times=times, patients=patients, own_baseline=own_baseline, start=start,
        engine="fast", rtol=rtol, workers=workers,
    )  # fmt: skip
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
        `metabolism.resting.RESIDUAL` has failed, and its outputs are NaN.

    Raises
    ------
    UnknownName, InvalidValue
    """
    import pandas as pd

    ready = prepare(model, None, 1.0, outputs=outputs, patients=patients, engine="fast")
    problem, system = ready.problem, ready.problem.equations
    names = list(outputs or system.states)
    keep = np.array([s not in model.not_at_rest for s in system.states])
    floor = 1e-3 * np.array([model.table[s].scale for s in system.states])
    rows, residuals, reasons = [], [], []
    for i, (x, p) in enumerate(zip(problem.initial, problem.parameters, strict=True)):
        reason, residual = ready.failures.get(i, ""), np.nan
        if not reason:
            residual = float((np.abs(system.f(x, p)) / np.maximum(np.abs(x), floor))[keep].max())
            # NaN fails too
            if not residual < RESIDUAL:
                reason = f"the residual {residual:.1e} per hour is above {RESIDUAL:.0e}"
        rows.append([np.nan] * len(names) if reason else values_of(system, names, x, p))
        residuals.append(residual)
        reasons.append(reason)
    frame = pd.DataFrame(rows, columns=names)
    frame["residual"], frame["failed"], frame["reason"] = residuals, [bool(r) for r in reasons], reasons
    frame.attrs |= {"units": {n: system.units[n] for n in names}, "manifest": ready.manifest}
    return frame


def _direction(model: Model, ready: Prepared, name: str, own_baseline: Mapping[str, str], start: str) -> Direction:
    """How parameters and start of every patient move with one parameter."""
    from metabolism.engines.fast_sensitivity import Direction

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
        x, p = problem.initial[i], problem.parameters[i]
        if start == "rest":
            # implicit function theorem: J dx + df/dp = 0
            moved = np.array(system.parameter_slope(name)(x.tolist(), p.tolist()))
            initial[i, keep] = np.linalg.solve(system.J(x, p)[np.ix_(keep, keep)], -moved[keep])
        for target, source in own_baseline.items():
            up, down = (
                values_of(system, [source], x + s * initial[i], p + s * parameters[i])[0] for s in (step[i], -step[i])
            )
            parameters[i, system.parameters.index(target)] = (up - down) / (2 * step[i])
    return Direction(parameters, initial, step)


def _unit(system: Equations, wanted: Endpoint) -> str:
    kind, output, *_ = wanted
    return "h" if kind == "time_above" else f"{system.units[output]} h" if kind == "auc" else system.units[output]

"""Local sensitivity: exact slopes of endpoints and curves, control of the reference state, and one factor at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.dosing import Regimen, Schedule
from metabolism.errors import InvalidValue, SolverFailed
from metabolism.model import Model, equations
from metabolism.sbml import Control, KineticModel, control_at
from metabolism.sensitivity.factors import Factors, as_factors
from metabolism.simulation import Study, make_study, sensitivities, steady_state
from metabolism.sweep import Table, scan

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

#: Probabilities at which a factor is tried alone.
ENDS = (0.1, 0.9)

#: Largest violation of a theorem of control analysis that is accepted.
THEOREM = 1e-6


def slopes(
    model: KineticModel,
    parameters: Sequence[str],
    regimen: Regimen | Schedule | str | None = None,
    until: float | str = "16 weeks",
    *,
    endpoints: Sequence[str] | None = None,
    own_baseline: Mapping[str, str] | None = None,
    rtol: float | None = None,
    workers: int = 1,
) -> pd.DataFrame:
    """Differentiate endpoints by parameters, along the solution.

    Everything that follows from a parameter counts: the resting state (implicit function theorem), baselines set by
    `own_baseline`, and the treated and untreated arm.

    Parameters
    ----------
    parameters : sequence of str
        Parameter ids; no value may be 0.
    regimen, until, endpoints, own_baseline
        As in `metabolism.scan`.
    rtol : float, optional
        Relative tolerance of the solution.
    workers : int
        Threads.

    Returns
    -------
    DataFrame
        endpoint, parameter, value [unit of the endpoint], slope [per unit of the parameter], per_percent (change of
        the endpoint when the parameter rises by 1 %, to first order), elasticity (d ln value / d ln parameter).

    Raises
    ------
    UnknownName, InvalidValue
    """
    import pandas as pd

    options: dict[str, Any] = {"own_baseline": own_baseline} | ({} if rtol is None else {"rtol": rtol})
    study = make_study(model, regimen, until, endpoints, **options)
    if not parameters:
        raise InvalidValue("give at least one parameter.")
    derivatives = sensitivities(
        model,
        parameters,
        study.regimen,
        study.until,
        endpoints={e.text: e.text for e in study.endpoints},
        own_baseline=own_baseline,
        rtol=rtol,
        workers=workers,
    )
    p = np.array([model.values[n] for n in parameters])
    rows = []
    for text in (e.text for e in study.endpoints):
        value = float(derivatives[text])
        for name, own, slope in zip(parameters, p, derivatives[f"d_{text}"].values, strict=True):
            rows.append((text, name, value, slope, slope * own / 100, slope * own / value if value else np.nan))
    return pd.DataFrame(rows, columns=["endpoint", "parameter", "value", "slope", "per_percent", "elasticity"])


def curves(
    model: KineticModel,
    parameters: Sequence[str],
    regimen: Regimen | Schedule | str | None = None,
    until: float | str = "16 weeks",
    *,
    outputs: Sequence[str],
    times: Any = None,
    own_baseline: Mapping[str, str] | None = None,
    rtol: float | None = None,
) -> xr.Dataset:
    """Scaled forward sensitivities over time: d ln output / d ln parameter.

    Returns
    -------
    Dataset
        One variable per output, dimensions (parameter, time) with time in hours; NaN where the output is 0.
    """
    options: dict[str, Any] = {"outputs": outputs, "times": times, "own_baseline": own_baseline, "rtol": rtol}
    raw = sensitivities(model, parameters, regimen, until, **options)
    p = raw["parameter"].copy(data=[model.values[n] for n in parameters])
    scaled = {o: (raw[f"d_{o}"] * p / raw[o].where(raw[o] != 0)).transpose("parameter", "time") for o in outputs}
    for array in scaled.values():
        array.attrs = {"units": "dimensionless", "long_name": "d ln output / d ln parameter"}
    return raw.assign(scaled)[list(outputs)]


def reference_control(
    model: KineticModel, *, parameters: Sequence[str] | None = None, outputs: Sequence[str] | None = None
) -> dict[str, pd.DataFrame]:
    """Metabolic control analysis of the resting state, its theorems checked.

    Parameters
    ----------
    parameters, outputs : sequence of str, optional
        Of the response coefficients: diet, clearance or kinetic parameters; states, fluxes or rules.

    Returns
    -------
    dict of str to DataFrame
        ``flux_control`` and ``concentration_control`` (rows respond to columns), ``elasticities`` (rows are rates),
        ``response`` (rows are outputs), all scaled; ``theorems`` with the violation of each.

    Raises
    ------
    SolverFailed
        If a summation or connectivity theorem is violated by more than 1e-6.
    """
    import pandas as pd

    coefficients = control(model)
    theorems = coefficients.theorems()
    broken = {k: v for k, v in theorems.items() if not v < THEOREM}
    if broken:
        raise SolverFailed(f"control coefficients violate {', '.join(f'{k} by {v:.1e}' for k, v in broken.items())}.")
    names, wanted = list(parameters or coefficients.system.parameters), list(outputs or coefficients.states)
    states, processes = coefficients.states, coefficients.processes
    return {
        "flux_control": pd.DataFrame(coefficients.flux_control, processes, processes),
        "concentration_control": pd.DataFrame(coefficients.concentration_control, states, processes),
        "elasticities": pd.DataFrame(coefficients.scaled_elasticities, processes, states),
        "response": pd.DataFrame(coefficients.response(names, wanted), wanted, names),
        "theorems": pd.DataFrame({"theorem": list(theorems), "violation": list(theorems.values())}),
    }


def tornado(
    model: KineticModel,
    regimen: Regimen | Schedule | str | None = None,
    until: float | str = "16 weeks",
    *,
    factors: Factors | Mapping[str, Any] | Sequence[str] | None = None,
    endpoints: Sequence[str] | None = None,
    ends: tuple[float, float] = ENDS,
    **options: Any,
) -> pd.DataFrame:
    """Move one factor at a time to the ends of its distribution, the others at their present values.

    Parameters
    ----------
    factors : Factors or sequence of str, optional
        By default every parameter of the table that may vary on its own.
    ends : tuple of float
        Probabilities of the two ends.
    **options
        As in `metabolism.scan`.

    Returns
    -------
    DataFrame
        endpoint, factor, low, high (values of the factor), at_low, at_high, base, swing (at_high - at_low; NaN where a
        run failed) [unit of the endpoint], largest swing of each endpoint first.
    """
    import pandas as pd

    if not 0 <= ends[0] < ends[1] <= 1:
        raise InvalidValue(f"ends = {ends} must be two increasing probabilities.")
    factors = as_factors(model, factors)
    base = np.array([_present(model, n) for n in factors.names])
    rows = np.tile(base, (2 * len(factors) + 1, 1))
    tried = np.array([factor.quantile(np.array(ends)) for factor in factors])
    for i, pair in enumerate(tried):
        rows[2 * i : 2 * i + 2, i] = pair
    sweep = scan(model, Table(factors.names, rows), regimen, until, endpoints=endpoints, **options)
    parts = []
    for endpoint, values in zip(sweep.endpoints, sweep.values().T, strict=True):
        low, high = values[:-1:2], values[1:-1:2]
        swings = {"at_low": low, "at_high": high, "base": values[-1], "swing": high - low}
        names = {"endpoint": endpoint, "factor": factors.names, "low": tried[:, 0], "high": tried[:, 1]}
        # the largest swing first, failed runs last
        parts.append(pd.DataFrame(names | swings).iloc[np.argsort(-np.abs(high - low), kind="stable")])
    return pd.concat(parts, ignore_index=True)


def _present(model: KineticModel, name: str) -> float:
    return model.values[name] if name in model.values or not isinstance(model, Model) else model.table[name].value


def screen(study: Study, count: int) -> Factors:
    """Return the parameters that move the endpoints of a study most, one at a time.

    Each endpoint counts its swings relative to its largest; a parameter is ranked by its best endpoint.
    """
    everything = as_factors(study.model, None)
    options = {k: getattr(study, k) for k in ("own_baseline", "start", "engine", "rtol")}
    endpoints = [e.text for e in study.endpoints]
    swings = tornado(study.model, study.regimen, study.until, factors=everything, endpoints=endpoints, **options)
    size = swings["swing"].abs()
    share = (size / size.groupby(swings["endpoint"]).transform("max")).groupby(swings["factor"]).max()
    top = set(share.sort_values(ascending=False).index[:count])
    dependence = (
        f"{everything.dependence} The {count} factors were chosen by moving each of {len(everything)} parameters alone "
        "through its prior: one that acts only together with others can be missed."
    )
    return Factors(tuple(f for f in everything if f.name in top), dependence=dependence)


def control(model: KineticModel) -> Control:
    """Return the control coefficients of a model at its own resting state.

    Raises
    ------
    SolverFailed
        If there is no resting state, or it is not isolated (singular Jacobian).
    """
    system, rest = equations(model), steady_state(model)
    _, p = system.vectors(model.values)
    return control_at(system, np.array([rest.values[s] for s in system.states]), p, model.not_at_rest)

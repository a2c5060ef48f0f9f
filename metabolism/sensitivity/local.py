"""Local sensitivity: exact slopes of endpoints and curves, control of the reference state, and one factor at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.dosing import Regimen
from metabolism.errors import InvalidValue, SolverFailed
from metabolism.model import Model, equations
from metabolism.sbml import Control, control_at
from metabolism.sensitivity.factors import Factors, choose
from metabolism.simulation import Endpoint, Study, make_study, sensitivities, steady_state
from metabolism.sweep import Table, scan
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

#: Probabilities at which a factor is tried alone.
ENDS = (0.1, 0.9)

#: Largest violation of a theorem of control analysis that is accepted.
THEOREM = 1e-6


_Slope = tuple[float, Array]


def slopes(
    model: Model,
    parameters: Sequence[str],
    regimen: Regimen | str | None = None,
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
    shared = {"own_baseline": own_baseline, "rtol": rtol, "workers": workers}
    treated = _atoms(model, parameters, study.regimen, study.until, study.endpoints, shared)
    versus = [e for e in study.endpoints if e.versus]
    untreated = _atoms(model, parameters, Regimen(), study.until, versus, shared) if versus else {}
    p = np.array([model.values[n] for n in parameters])
    rows = []
    for endpoint in study.endpoints:
        value, slope = _chain(endpoint, treated, study.until)
        if endpoint.versus:
            less, down = _chain(endpoint, untreated, study.until)
            value, slope = value - less, slope - down
        for name, own, s in zip(parameters, p, slope, strict=True):
            ratio = s * own / value if value else np.nan
            rows.append((endpoint.text, name, value, s, s * own / 100, ratio))
    return pd.DataFrame(rows, columns=["endpoint", "parameter", "value", "slope", "per_percent", "elasticity"])


def curves(
    model: Model,
    parameters: Sequence[str],
    regimen: Regimen | str | None = None,
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
    found = sensitivities(
        model, parameters, regimen, until, outputs=outputs, times=times, own_baseline=own_baseline, rtol=rtol
    )
    p = found["parameter"].copy(data=[model.values[n] for n in parameters])
    scaled = {o: (found[f"d_{o}"] * p / found[o].where(found[o] != 0)).transpose("parameter", "time") for o in outputs}
    for array in scaled.values():
        array.attrs = {"units": "dimensionless", "long_name": "d ln output / d ln parameter"}
    return found.assign(scaled)[list(outputs)]


def reference_control(
    model: Model, *, parameters: Sequence[str] | None = None, outputs: Sequence[str] | None = None
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

    found = control(model)
    theorems = found.theorems()
    broken = {k: v for k, v in theorems.items() if not v < THEOREM}
    if broken:
        raise SolverFailed(f"control coefficients violate {', '.join(f'{k} by {v:.1e}' for k, v in broken.items())}.")
    names = list(parameters or found.system.parameters)
    wanted = list(outputs or found.states)
    return {
        "flux_control": pd.DataFrame(found.flux_control, found.processes, found.processes),
        "concentration_control": pd.DataFrame(found.concentration_control, found.states, found.processes),
        "elasticities": pd.DataFrame(found.scaled_elasticities, found.processes, found.states),
        "response": pd.DataFrame(found.response(names, wanted), wanted, names),
        "theorems": pd.DataFrame({"theorem": list(theorems), "violation": list(theorems.values())}),
    }


def tornado(
    model: Model,
    regimen: Regimen | str | None = None,
    until: float | str = "16 weeks",
    *,
    factors: Factors | Sequence[str] | None = None,
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
    if not isinstance(factors, Factors):
        factors = choose(model, factors)
    base = np.array([model.values.get(n, model.table[n].value) for n in factors.names])
    rows = np.tile(base, (2 * len(factors) + 1, 1))
    for i, factor in enumerate(factors):
        rows[2 * i : 2 * i + 2, i] = factor.quantile(np.array(ends))
    found = scan(model, Table(factors.names, rows), regimen, until, endpoints=endpoints, **options)
    values = found.values()
    table = []
    for j, endpoint in enumerate(found.endpoints):
        for i, name in enumerate(factors.names):
            low, high = values[2 * i, j], values[2 * i + 1, j]
            table.append((endpoint, name, rows[2 * i, i], rows[2 * i + 1, i], low, high, values[-1, j], high - low))
    columns = ["endpoint", "factor", "low", "high", "at_low", "at_high", "base", "swing"]
    frame = pd.DataFrame(table, columns=columns)
    order = frame["swing"].abs().groupby(frame["endpoint"], sort=False).rank(ascending=False, method="first")
    place = frame["endpoint"].map({e: i for i, e in enumerate(found.endpoints)})
    return frame.iloc[np.lexsort([order, place])].reset_index(drop=True)


def screen(study: Study, count: int) -> Factors:
    """Return the parameters that move the endpoints of a study most, one at a time.

    Each endpoint counts its swings relative to its largest; a parameter is ranked by its best endpoint.
    """
    everything = choose(study.model)
    found = tornado(
        study.model,
        study.regimen,
        study.until,
        factors=everything,
        endpoints=[e.text for e in study.endpoints],
        own_baseline=study.own_baseline,
        start=study.start,
        engine=study.engine,
        rtol=study.rtol,
    )
    size = found["swing"].abs()
    share = (size / size.groupby(found["endpoint"]).transform("max")).groupby(found["factor"]).max()
    top = set(share.sort_values(ascending=False).index[:count])
    return Factors(
        tuple(f for f in everything if f.name in top),
        dependence=f"{everything.dependence} The {count} factors were chosen by moving each of {len(everything)} "
        "parameters alone through its prior: one that acts only together with others can be missed.",
    )


def _atoms(
    model: Model,
    parameters: Sequence[str],
    regimen: Regimen,
    until: float,
    endpoints: Sequence[Endpoint],
    shared: Mapping[str, Any],
) -> dict[tuple[Any, ...], _Slope]:
    """Value and slopes of everything the endpoints are made of."""
    requests = list(dict.fromkeys(r for e in endpoints for r in e.requests()))
    found: dict[tuple[Any, ...], _Slope] = {}
    running = {str(i): r for i, r in enumerate(requests) if r[0] != "initial"}
    if running:
        data = sensitivities(model, parameters, regimen, until, endpoints=running, **shared)
        found |= {r: (float(data[k]), data[f"d_{k}"].values) for k, r in running.items()}
    first = [r[1] for r in requests if r[0] == "initial"]
    if first:
        data = sensitivities(model, parameters, None, 1.0, outputs=first, times=[0.0], **shared)
        found |= {("initial", o): (float(data[o][0]), data[f"d_{o}"].values[:, 0]) for o in first}
    return found


def _chain(endpoint: Endpoint, atoms: Mapping[tuple[Any, ...], _Slope], span: float) -> _Slope:
    """Value and slopes of an endpoint, by the chain rule."""

    def of(kind: str) -> _Slope:
        level = () if endpoint.level is None else (endpoint.level,)
        value, slope = atoms[kind, endpoint.output, *level]
        if endpoint.over:
            under, other = atoms[kind, endpoint.over]
            return value / under, slope / under - value * other / under**2
        return value, slope

    if endpoint.kind in ("change", "percent_change"):
        (last, end), (first, begin) = of("final"), of("initial")
        if endpoint.kind == "change":
            return last - first, end - begin
        return 100 * (last / first - 1), 100 * (end / first - last * begin / first**2)
    if endpoint.kind == "mean":
        value, slope = of("auc")
        return value / span, slope / span
    return of(endpoint.kind)


def control(model: Model) -> Control:
    """Return the control coefficients of a model at its own resting state.

    Raises
    ------
    SolverFailed
        If there is no resting state, or it is not isolated (singular Jacobian).
    """
    system, rest = equations(model), steady_state(model)
    _, p = system.vectors(model.values)
    return control_at(system, np.array([rest.values[s] for s in system.states]), p, model.not_at_rest)

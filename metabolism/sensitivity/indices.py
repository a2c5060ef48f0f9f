"""Global sensitivity: Morris, Sobol, eFAST, PAWN, delta and PRCC, with intervals, convergence and failed runs.

Samples and estimators are SALib's (Iwanaga et al. 2022, doi:10.18174/sesmo.18155), except the partial rank
correlation (Marino et al. 2008, doi:10.1016/j.jtbi.2008.04.011). Runs go through `metabolism.scan`: they can be
stored, resumed and sent to a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metabolism.dosing import Regimen
from metabolism.errors import InvalidValue, SolverFailed, UnknownName, UsageError
from metabolism.model import Model
from metabolism.sensitivity.estimators import MAIN, METHODS, Estimate, Method
from metabolism.sensitivity.factors import Factors
from metabolism.sensitivity.local import screen
from metabolism.simulation import Study, make_study
from metabolism.sweep import Sweep, Table, scan
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd


#: Largest share of failed runs for which indices are given.
MAX_FAILED = 0.01


#: Largest share of the sample that may be set aside because of failed runs in its blocks.
MAX_DROPPED = 0.25


#: Runs tried before a study, to find endpoints that are constant or not finite.
PROBES = 8


#: Relative change below which an endpoint counts as constant.
CONSTANT = 1e-6


#: Factors of a study that names none.
DEFAULT_FACTORS = 10


@dataclass(frozen=True, eq=False)
class Indices:
    """Sensitivity indices and everything needed to judge them.

    Attributes
    ----------
    method : str
    table : DataFrame
        endpoint, factor, index, value, low, high (confidence interval).
    interactions : DataFrame
        Second-order indices of pairs, in the same columns with ``other``; empty for most methods.
    convergence : DataFrame
        Main index from growing parts of the sample: endpoint, factor, n, value, low, high.
    factors : Factors
    n, runs, seed : int
        Base sample size, model runs, and seed.
    failed : DataFrame
        Failed runs with their parameters and the reason.
    notes : list of str
        What a reader must know: dependence, failures, estimates out of range, noise floor.
    sweep : Sweep or None
        The runs.
    """

    method: str
    table: pd.DataFrame
    interactions: pd.DataFrame
    convergence: pd.DataFrame
    factors: Factors
    n: int
    runs: int
    seed: int
    confidence: float
    failed: pd.DataFrame
    notes: list[str]
    units: dict[str, str] = field(default_factory=dict)
    sweep: Sweep | None = None

    @property
    def main(self) -> str:
        """The index that ranks factors: ``ST``, ``mu_star``, ``median``, ``delta`` or ``PRCC``."""
        return MAIN[self.method]

    def ranking(self, endpoint: str | None = None) -> pd.DataFrame:
        """Return the factors of one endpoint, most influential first (the first endpoint by default)."""
        known = list(dict.fromkeys(self.table["endpoint"]))
        if endpoint is not None and endpoint not in known:
            raise UnknownName("endpoint", endpoint, known)
        part = self.table[(self.table["endpoint"] == (endpoint or known[0])) & (self.table["index"] == self.main)]
        return part.sort_values("value", key=abs, ascending=False, ignore_index=True)

    def converged(self, endpoint: str, width: float = 0.1) -> str:
        """Say in a sentence whether the ranking can be trusted.

        Parameters
        ----------
        width : float
            Largest accepted half-width of an interval, relative to the largest index.
        """
        top = self.ranking(endpoint)
        largest = float(top["value"].abs().max())
        half = float(((top["high"] - top["low"]) / 2).max()) / largest if largest else np.inf
        course = self.convergence[self.convergence["endpoint"] == endpoint]
        sizes = sorted(course["n"].unique())
        words, good = f"intervals are up to ±{half:.0%} of the largest index", half <= width
        if len(sizes) > 1:
            before = course[course["n"] == sizes[-2]].sort_values("value", key=abs, ascending=False)
            same = list(top["factor"][:3]) == list(before["factor"][:3])
            words += f", and the first three factors {'are the same' if same else 'differ'} at half the sample"
            good &= same
        return f"Converged: {words}." if good else f"Not converged: {words}. Repeat with a larger n."


def sobol(
    model: Model,
    regimen: Regimen | str | None = None,
    until: float | str = "16 weeks",
    *,
    n: int = 256,
    second_order: bool = True,
    **options: Any,
) -> Indices:
    """Shares of the variance of an endpoint by factor: first order, total, and pairs.

    Needs n (2 k + 2) runs for k factors, or n (k + 2) without `second_order` (Saltelli et al. 2010,
    doi:10.1016/j.cpc.2009.09.018; sampling by scrambled Sobol points).

    Parameters
    ----------
    model, regimen, until
        As in `metabolism.scan`.
    n : int
        Base sample, a power of 2.
    second_order : bool
    **options
        As in `study`.

    Returns
    -------
    Indices
    """
    return study("sobol" if second_order else "sobol_first", model, regimen, until, n=n, **options)


def morris(
    model: Model, regimen: Regimen | str | None = None, until: float | str = "16 weeks", *, n: int = 20, **options: Any
) -> Indices:
    """Elementary effects: mean size ``mu_star`` and spread ``sigma``, for screening many factors.

    Needs n (k + 1) runs for k factors and n trajectories (Morris 1991, doi:10.1080/00401706.1991.10484804).
    Effects are changes of the endpoint over the whole range of a factor [unit of the endpoint]. Options as in `study`.
    """
    return study("morris", model, regimen, until, n=n, **options)


def efast(
    model: Model, regimen: Regimen | str | None = None, until: float | str = "16 weeks", *, n: int = 129, **options: Any
) -> Indices:
    """First-order and total shares of the variance by extended Fourier amplitudes.

    Needs 4 n k runs: n points on each of 4 search curves per factor, whose scatter gives the interval (Saltelli
    et al. 1999, doi:10.1080/00401706.1999.10485594). A failed run breaks a curve, so none is allowed. Options as in
    `study`.
    """
    return study("efast", model, regimen, until, n=n, **options)


def pawn(
    model: Model,
    regimen: Regimen | str | None = None,
    until: float | str = "16 weeks",
    *,
    n: int = 1024,
    **options: Any,
) -> Indices:
    """How far fixing a factor moves the distribution of an endpoint (largest distance of its cumulative curves).

    Needs n runs of any sample (Pianosi and Wagener 2018, doi:10.1016/j.envsoft.2018.07.019). Options as in `study`.
    """
    return study("pawn", model, regimen, until, n=n, **options)


def delta(
    model: Model,
    regimen: Regimen | str | None = None,
    until: float | str = "16 weeks",
    *,
    n: int = 1024,
    **options: Any,
) -> Indices:
    """How far fixing a factor moves the density of an endpoint (Borgonovo's delta).

    Needs n runs of any sample (Plischke et al. 2013, doi:10.1016/j.ejor.2012.11.047). Options as in `study`.
    """
    return study("delta", model, regimen, until, n=n, **options)


def prcc(
    model: Model, regimen: Regimen | str | None = None, until: float | str = "16 weeks", *, n: int = 512, **options: Any
) -> Indices:
    """Rank correlation of a factor and an endpoint with the other factors held: sign and monotone strength.

    Needs n runs of any sample (Marino et al. 2008, doi:10.1016/j.jtbi.2008.04.011). Options as in `study`.
    """
    return study("prcc", model, regimen, until, n=n, **options)


def study(
    method: str,
    model: Model,
    regimen: Regimen | str | None = None,
    until: float | str = "16 weeks",
    *,
    n: int,
    factors: Factors | Sequence[str] | None = None,
    endpoints: Sequence[str] | None = None,
    seed: int = 1,
    confidence: float = 0.95,
    store: str | Path | None = None,
    workers: int = 1,
    cluster: Any = None,
    progress: Any = False,
    **options: Any,
) -> Indices:
    """Run a global sensitivity study by any method.

    Parameters
    ----------
    method : str
        ``sobol``, ``sobol_first``, ``morris``, ``efast``, ``pawn``, ``delta`` or ``prcc``.
    factors : Factors or sequence of str, optional
        From `metabolism.sensitivity.factors`, or parameter ids; by default the 10 that move the endpoints most when each
        parameter of the table is moved through its prior alone.
    endpoints : sequence of str, optional
        As in `metabolism.scan`.
    seed : int
        Of the sample and of the resampling behind intervals.
    confidence : float
        Level of the intervals.
    store, workers, cluster, progress, **options
        As in `metabolism.scan`.

    Raises
    ------
    UsageError
        For wrong requests, and endpoints that are constant or not finite, before the study runs.
    SolverFailed
        If more than 1 % of the runs fail; the message says where. They stay in the store.
    """
    chosen = _method(method)
    if seed < 0 or not 0 < confidence < 1:
        raise InvalidValue(f"seed = {seed} must be 0 or more, and confidence = {confidence} between 0 and 1.")
    target = make_study(model, regimen, until, endpoints, **options)
    if factors is None:
        factors = screen(target, DEFAULT_FACTORS)
    elif not isinstance(factors, Factors):
        from metabolism.sensitivity.factors import choose

        factors = choose(model, factors)
    unit, values = _sample(chosen, factors, n, seed)
    _probe(target, factors.names, values)
    sweep = scan(
        model,
        Table(factors.names, values),
        regimen,
        until,
        endpoints=endpoints,
        store=store,
        workers=workers,
        cluster=cluster,
        progress=progress,
        **options,
    )
    numbers = sweep.values()
    return _indices(
        chosen,
        factors,
        unit,
        values,
        numbers,
        sweep.endpoints,
        n,
        seed,
        confidence,
        sweep=sweep,
        failed=sweep.failures,
        units=sweep.units,
    )


def of_function(
    method: str,
    function: Callable[[Array], Array],
    factors: Factors,
    *,
    n: int,
    seed: int = 1,
    confidence: float = 0.95,
) -> Indices:
    """Return the indices of any function of a matrix, shape (runs, factors) to (runs,); NaN marks a failed run."""
    import pandas as pd

    chosen = _method(method)
    unit, values = _sample(chosen, factors, n, seed)
    numbers = np.asarray(function(values), dtype=float).reshape(-1, 1)
    table = pd.DataFrame(values, columns=list(factors.names)).rename_axis("run").reset_index()
    failed = table[np.isnan(numbers[:, 0])].assign(failure="the function returned NaN")
    return _indices(chosen, factors, unit, values, numbers, ["function"], n, seed, confidence, failed=failed)


def _method(name: str) -> Method:
    if name not in METHODS:
        raise UnknownName("sensitivity method", name, METHODS)
    return METHODS[name]


def _sample(method: Method, factors: Factors, n: int, seed: int) -> tuple[Array, Array]:
    """Return the points of the unit cube and their values."""
    reason = method.refuses(n, len(factors))
    if reason:
        raise InvalidValue(f"n = {n}: {reason}")
    if method.given and factors.joint is not None:
        if n > len(factors.joint):
            raise InvalidValue(f"n = {n}, but the cohort has {len(factors.joint)} patients; draw a larger one.")
        values = factors.joint[:n]
        unit = (np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0) + 0.5) / n
    else:
        unit = method.sample(len(factors), n, seed)
        values = factors.quantile(unit)
    if not np.isfinite(values).all():
        raise InvalidValue("the sample has values that are not finite; check the ranges of the factors.")
    if method.given and len(np.unique(values, axis=0)) < len(values):
        raise InvalidValue("the sample repeats runs, so intervals would be too narrow; check the factors.")
    return unit, values


def _probe(target: Study, names: Sequence[str], values: Array) -> None:
    """Refuse endpoints that cannot be analysed before the work begins."""
    few = values[np.unique(np.linspace(0, len(values) - 1, PROBES).astype(int))]
    numbers, reasons = target.run(names, few)
    if all(reasons):
        raise UsageError(f"every one of {len(few)} runs tried failed ({reasons[0]}); narrow the factors.")
    good = numbers[[not r for r in reasons]]
    for endpoint, column in zip(target.endpoints, good.T, strict=True):
        if np.ptp(column) <= max(CONSTANT, 10 * target.rtol) * np.abs(column).max() or np.abs(column).max() < 1e-12:
            raise UsageError(
                f"endpoint '{endpoint.text}' is constant ({column[0]:.6g}) in {len(column)} runs tried: none of the "
                "factors moves it. Choose another endpoint, regimen or factors."
            )


def _indices(
    method: Method,
    factors: Factors,
    unit: Array,
    values: Array,
    numbers: Array,
    endpoints: Sequence[str],
    n: int,
    seed: int,
    confidence: float,
    *,
    failed: pd.DataFrame,
    sweep: Sweep | None = None,
    units: dict[str, str] | None = None,
) -> Indices:
    import pandas as pd

    notes = factors.notes
    bad = np.asarray(np.isnan(numbers).any(axis=1))
    kept = np.ones(len(unit), dtype=bool)
    if bad.any():
        where = _where(factors, unit, bad)
        share = f"{int(bad.sum())} of {len(bad)} runs failed ({bad.mean():.2%}); {where}"
        if bad.mean() > MAX_FAILED:
            raise SolverFailed(f"{share}. Indices are refused above {MAX_FAILED:.0%}: narrow the factors.")
        block = method.block(len(factors))
        kept = np.repeat(~bad.reshape(-1, block).any(axis=1), block)
        if method.complete:
            raise SolverFailed(f"{share}. {method.name} needs every run: narrow the factors, or use another method.")
        if kept.mean() < 1 - MAX_DROPPED:
            raise SolverFailed(f"{share}. They touch {1 - kept.mean():.0%} of the sample: narrow the factors.")
        notes.append(f"{share}. {len(kept) - int(kept.sum())} runs were left out with them.")
    rows, pairs, course = [], [], []
    for i, endpoint in enumerate(endpoints):
        found = method.estimate(unit[kept], values[kept], numbers[kept, i], seed, confidence)
        rows += _rows(found, factors.names, endpoint)
        for (a, b), value, half in found.pairs:
            pairs.append(
                {
                    "endpoint": endpoint,
                    "factor": factors.names[a],
                    "other": factors.names[b],
                    "index": "S2",
                    "value": value,
                    "low": value - half,
                    "high": value + half,
                }
            )
        notes += [f"{endpoint}: {note}" for note in found.notes]
        main = MAIN[method.name]
        for part, size in method.parts(int(kept.sum()), len(factors), n):
            less = (
                found
                if part == int(kept.sum())
                else method.estimate(unit[kept][:part], values[kept][:part], numbers[kept, i][:part], seed, confidence)
            )
            course += [
                {"n": size, **{k: r[k] for k in ("endpoint", "factor", "value", "low", "high")}}
                for r in _rows(less, factors.names, endpoint)
                if r["index"] == main
            ]
    columns = ["endpoint", "factor", "other", "index", "value", "low", "high"]
    return Indices(
        method.name,
        pd.DataFrame(rows),
        pd.DataFrame(pairs, columns=columns),
        pd.DataFrame(course),
        factors,
        n,
        len(unit),
        seed,
        confidence,
        failed,
        notes,
        dict(units or {}),
        sweep,
    )


def _rows(found: Estimate, names: Sequence[str], endpoint: str) -> list[dict[str, Any]]:
    return [
        {
            "endpoint": endpoint,
            "factor": name,
            "index": index,
            "value": float(value),
            "low": float(low),
            "high": float(high),
        }
        for index, triple in found.values.items()
        for name, value, low, high in zip(names, *triple, strict=True)
    ]


def _where(factors: Factors, unit: Array, bad: NDArray[np.bool_]) -> str:
    """Say in which corner failed runs gather."""
    mean = unit[bad].mean(axis=0) - unit[~bad].mean(axis=0) if (~bad).any() else unit[bad].mean(axis=0) - 0.5
    worst = int(np.abs(mean).argmax())
    factor = factors.items[worst]
    values = factor.quantile(unit[bad, worst])
    side = "high" if mean[worst] > 0 else "low"
    return f"they gather at {side} {factor.name} ({values.min():.4g} to {values.max():.4g} {factor.unit})"


#: The methods as users name them.
METHODS_BY_NAME: dict[str, Callable[..., Indices]] = {
    "sobol": sobol,
    "morris": morris,
    "efast": efast,
    "pawn": pawn,
    "delta": delta,
    "prcc": prcc,
}

"""Global sensitivity: all factors at once, with intervals, convergence and failed runs.

Runs go through `metabolism.sweep.scan`: they can be stored, resumed and sent to a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metabolism.dosing import Regimen, Schedule
from metabolism.errors import InvalidValue, SolverFailed, UnknownName, UsageError
from metabolism.sbml import KineticModel
from metabolism.sensitivity.factors import Factors, as_factors
from metabolism.sensitivity.local import screen
from metabolism.sensitivity.methods import METHODS, known
from metabolism.simulation import Study, make_study
from metabolism.sweep import Sweep, Table, run_rows, scan
from metabolism.types import Array, in_brief

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
    factors : Factors
    n, runs, seed : int
        Base sample size, model runs, and seed.
    confidence : float
        Level of the intervals.
    table : DataFrame
        endpoint, factor, index, value, low, high (confidence interval).
    interactions : DataFrame
        Second-order indices of pairs, in the same columns with ``other``; empty for most methods.
    convergence : DataFrame
        Main index from growing parts of the sample: endpoint, factor, n, value, low, high.
    failed : DataFrame
        Failed runs with their parameters and the reason.
    notes : list of str
        What a reader must know: dependence, failures, estimates out of range, noise floor.
    units : dict of str to str
        Unit of each endpoint.
    sweep : Sweep or None
        The runs.
    """

    method: str
    factors: Factors
    n: int
    runs: int
    seed: int
    confidence: float
    table: pd.DataFrame
    interactions: pd.DataFrame
    convergence: pd.DataFrame
    failed: pd.DataFrame
    notes: list[str]
    units: dict[str, str] = field(default_factory=dict)
    sweep: Sweep | None = None

    def __repr__(self) -> str:
        lines = [f"{self.method}, n = {self.n}, {self.runs} runs, {len(self.failed)} failed; {self.main} in .table"]
        for endpoint in dict.fromkeys(self.table["endpoint"]):
            first = self.ranking(endpoint).head(8).itertuples()
            shown = ", ".join(f"{row.factor} {row.value:.2g} ({row.low:.2g} to {row.high:.2g})" for row in first)
            lines.append(f"{endpoint}: {shown}")
        return in_brief(self, *lines, *self.notes)

    @property
    def main(self) -> str:
        """The index that ranks factors: ``ST``, ``mu_star``, ``median``, ``delta`` or ``PRCC``."""
        return METHODS[self.method].main

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
        endpoint : str
        width : float
            Largest accepted half-width of an interval, relative to the largest index.
        """
        top = self.ranking(endpoint)
        largest = float(top["value"].abs().max())
        half = float(((top["high"] - top["low"]) / 2).max()) / largest if largest else np.inf
        course = self.convergence[self.convergence["endpoint"] == endpoint]
        sizes = sorted(course["n"].unique())
        words, good = f"intervals are up to ±{100 * half:.0f} % of the largest index", half <= width
        if len(sizes) > 1:
            before = course[course["n"] == sizes[-2]].sort_values("value", key=abs, ascending=False)
            same = list(top["factor"][:3]) == list(before["factor"][:3])
            words += f", and the first three factors {'are the same' if same else 'differ'} at half the sample"
            good &= same
        return f"Converged: {words}." if good else f"Not converged: {words}. Repeat with a larger n."


def indices(
    method: str,
    model: KineticModel,
    regimen: Regimen | Schedule | str | None = None,
    until: float | str = "16 weeks",
    *,
    n: int | None = None,
    factors: Factors | Mapping[str, Any] | Sequence[str] | None = None,
    endpoints: Sequence[str] | None = None,
    seed: int = 1,
    confidence: float = 0.95,
    store: Any = None,
    workers: int = 1,
    cluster: Any = None,
    progress: Any = False,
    **options: Any,
) -> Indices:
    """Run a global sensitivity study by any method; each has a name of its own too.

    Parameters
    ----------
    method : str
        ``sobol``, ``sobol_first``, ``morris``, ``efast``, ``pawn``, ``delta`` or ``prcc``.
    model, regimen, until, endpoints
        As in `metabolism.scan`.
    n : int, optional
        Base sample; its meaning and default are those of the method.
    factors : Factors, mapping or sequence of str, optional
        From `choose` or `from_cohort`, words as `vary` takes, or parameter ids; by default the 10 that move the
        endpoints most when each parameter of the table is moved through its prior alone.
    seed : int
        Of the sample and of the resampling behind intervals.
    confidence : float
        Level of the intervals.
    store, workers, cluster, progress, **options
        As in `metabolism.scan`.

    Returns
    -------
    Indices

    Raises
    ------
    UsageError
        For wrong requests, and endpoints that are constant or not finite, before the study runs.
    SolverFailed
        If more than 1 % of the runs fail; the message says where. They stay in the store.
    """
    known(method)
    if seed < 0 or not 0 < confidence < 1:
        raise InvalidValue(f"seed = {seed} must be 0 or more, and confidence = {confidence} between 0 and 1.")
    study = make_study(model, regimen, until, endpoints, **options)
    factors = screen(study, DEFAULT_FACTORS) if factors is None else as_factors(model, factors)
    sample = _Sample.of(method, factors, n, seed, confidence)
    _probe(study, factors.names, sample.values)
    rows, running = Table(factors.names, sample.values), {"workers": workers, "cluster": cluster, "progress": progress}
    sweep = scan(model, rows, regimen, until, endpoints=endpoints, store=store, **running, **options)
    return sample.indices(sweep.values(), sweep.endpoints, sweep.failures, units=sweep.units, sweep=sweep)


def sobol(model: KineticModel, *treatment: Any, second_order: bool = True, **options: Any) -> Indices:
    """Shares of the variance of an endpoint by factor: first order, total, and pairs; arguments as in `indices`.

    Needs n (2 k + 2) runs for k factors, or n (k + 2) without `second_order`, n a power of 2, 256 by default (Saltelli
    et al. 2010, doi:10.1016/j.cpc.2009.09.018; sampling by scrambled Sobol points).
    """
    return indices("sobol" if second_order else "sobol_first", model, *treatment, **options)


def morris(model: KineticModel, *treatment: Any, **options: Any) -> Indices:
    """Elementary effects: mean size ``mu_star`` and spread ``sigma``, for screening; arguments as in `indices`.

    Needs n (k + 1) runs for k factors and n trajectories, 20 by default (Morris 1991,
    doi:10.1080/00401706.1991.10484804). Effects are changes of the endpoint over the whole range of a factor [unit of
    the endpoint].
    """
    return indices("morris", model, *treatment, **options)


def efast(model: KineticModel, *treatment: Any, **options: Any) -> Indices:
    """First-order and total shares of the variance by extended Fourier amplitudes; arguments as in `indices`.

    Needs 4 n k runs: n points, 129 by default, on each of 4 search curves per factor, whose scatter gives the interval
    (Saltelli et al. 1999, doi:10.1080/00401706.1999.10485594). A failed run breaks a curve, so none is allowed.
    """
    return indices("efast", model, *treatment, **options)


def pawn(model: KineticModel, *treatment: Any, **options: Any) -> Indices:
    """How far fixing a factor moves the cumulative distribution of an endpoint; arguments as in `indices`.

    Needs n runs, 1,024 by default, of any sample (Pianosi and Wagener 2018, doi:10.1016/j.envsoft.2018.07.019).
    """
    return indices("pawn", model, *treatment, **options)


def delta(model: KineticModel, *treatment: Any, **options: Any) -> Indices:
    """How far fixing a factor moves the density of an endpoint (Borgonovo's delta); arguments as in `indices`.

    Needs n runs, 1,024 by default, of any sample (Plischke et al. 2013, doi:10.1016/j.ejor.2012.11.047).
    """
    return indices("delta", model, *treatment, **options)


def prcc(model: KineticModel, *treatment: Any, **options: Any) -> Indices:
    """Rank correlation of a factor and an endpoint with the other factors held; arguments as in `indices`.

    Sign and monotone strength from n runs, 512 by default, of any sample (Marino et al. 2008,
    doi:10.1016/j.jtbi.2008.04.011).
    """
    return indices("prcc", model, *treatment, **options)


def of_function(
    method: str,
    function: Callable[[Array], Array],
    factors: Factors,
    *,
    n: int | None = None,
    seed: int = 1,
    confidence: float = 0.95,
) -> Indices:
    """Return the indices of any function of a matrix.

    Parameters
    ----------
    method, n, seed, confidence
        As in `indices`.
    function : callable
        From values, shape (runs, factors), to numbers, shape (runs,); NaN marks a failed run.
    factors : Factors

    Examples
    --------
    The share of each term in the variance of x + 2 y, both uniform, is 1/5 and 4/5.

    >>> from metabolism.sensitivity import Factor, Factors, of_function
    >>> square = Factors((Factor("x", "", 0.0, 1.0), Factor("y", "", 0.0, 1.0)))
    >>> indices = of_function("sobol_first", lambda u: u[:, 0] + 2 * u[:, 1], square, n=1024)
    >>> indices.ranking()[["factor", "value"]].round(2).to_numpy().tolist()
    [['y', 0.8], ['x', 0.2]]
    """
    import pandas as pd

    known(method)
    sample = _Sample.of(method, factors, n, seed, confidence)
    numbers = np.asarray(function(sample.values), dtype=float).reshape(-1, 1)
    table = pd.DataFrame(sample.values, columns=list(factors.names)).rename_axis("run").reset_index()
    failed = table[np.isnan(numbers[:, 0])].assign(failure="the function returned NaN")
    return sample.indices(numbers, ["function"], failed)


@dataclass(frozen=True, eq=False)
class _Sample:
    """Points of the unit cube with their values, and what was asked of them."""

    method: str
    factors: Factors
    n: int
    seed: int
    confidence: float
    unit: Array
    values: Array

    @classmethod
    def of(cls, name: str, factors: Factors, n: int | None, seed: int, confidence: float) -> _Sample:
        """Draw a sample, or take it from the cohort behind the factors where the method can."""
        method, size = METHODS[name], len(factors)
        n = method.n if n is None else n
        method.check(n, size)
        if method.given and factors.joint is not None:
            if n > len(factors.joint):
                raise InvalidValue(f"n = {n}, but the cohort has {len(factors.joint)} patients; draw a larger one.")
            values = factors.joint[:n]
            unit = (np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0) + 0.5) / n
        else:
            unit = method.sample(size, n, seed)
            values = factors.quantile(unit)
        if not np.isfinite(values).all():
            raise InvalidValue("the sample has values that are not finite; check the ranges of the factors.")
        if method.given and len(np.unique(values, axis=0)) < len(values):
            raise InvalidValue("the sample repeats runs, so intervals would be too narrow; check the factors.")
        return cls(name, factors, n, seed, confidence, unit, values)

    def indices(self, numbers: Array, endpoints: Sequence[str], failed: pd.DataFrame, **about: Any) -> Indices:
        """Estimate from the numbers of all runs, shape (runs, endpoints), and from growing parts of them."""
        import pandas as pd

        method, names = METHODS[self.method], self.factors.names
        kept, notes = self._kept(numbers)
        unit, values, numbers = self.unit[kept], self.values[kept], numbers[kept]
        tables, pairs, course = [], [], []
        for endpoint, column in zip(endpoints, numbers.T, strict=True):
            for runs, base in method.parts(len(unit), len(names)):
                estimate = method.estimate(unit[:runs], values[:runs], column[:runs], self.seed, self.confidence)
                table = estimate.frame(names, endpoint)
                main = table[table["index"] == method.main].drop(columns="index")
                course.append(main.assign(n=base))
            # the last part is the whole sample
            tables.append(table)
            pairs += [(endpoint, names[i], names[j], "S2", s, s - half, s + half) for i, j, s, half in estimate.pairs]
            notes += [f"{endpoint}: {note}" for note in estimate.notes]
        columns = ["endpoint", "factor", "other", "index", "value", "low", "high"]
        order = ["n", "endpoint", "factor", "value", "low", "high"]
        return Indices(
            self.method,
            self.factors,
            self.n,
            len(self.unit),
            self.seed,
            self.confidence,
            pd.concat(tables, ignore_index=True),
            pd.DataFrame(pairs, columns=columns),
            pd.concat(course, ignore_index=True)[order],
            failed,
            notes,
            **about,
        )

    def _kept(self, numbers: Array) -> tuple[NDArray[np.bool_], list[str]]:
        """Runs whose whole block succeeded, and the notes; refuses a sample with too many holes."""
        bad = np.asarray(np.isnan(numbers).any(axis=1))
        if not bad.any():
            return ~bad, self.factors.notes
        method = METHODS[self.method]
        share = f"{int(bad.sum())} of {len(bad)} runs failed ({100 * bad.mean():.2f} %); {self._where(bad)}"
        if bad.mean() > MAX_FAILED:
            raise SolverFailed(f"{share}. Indices are refused above {100 * MAX_FAILED:.0f} %: narrow the factors.")
        if method.complete:
            raise SolverFailed(f"{share}. {self.method} needs every run: narrow the factors, or use another method.")
        block = method.block(len(self.factors))
        kept = np.repeat(~bad.reshape(-1, block).any(axis=1), block)
        if kept.mean() < 1 - MAX_DROPPED:
            raise SolverFailed(
                f"{share}. They touch {100 * (1 - kept.mean()):.0f} % of the sample: narrow the factors."
            )
        return kept, [*self.factors.notes, f"{share}. {int((~kept).sum())} runs were left out with them."]

    def _where(self, bad: NDArray[np.bool_]) -> str:
        """Say in which corner failed runs gather."""
        mean = self.unit[bad].mean(axis=0) - (self.unit[~bad].mean(axis=0) if (~bad).any() else 0.5)
        worst = int(np.abs(mean).argmax())
        factor = self.factors.items[worst]
        values, side = factor.quantile(self.unit[bad, worst]), "high" if mean[worst] > 0 else "low"
        spread = f"{values.min():.4g} to {values.max():.4g} {factor.unit}".rstrip()
        return f"they gather at {side} {factor.name} ({spread})"


def _probe(study: Study, names: Sequence[str], values: Array) -> None:
    """Refuse endpoints that cannot be analysed before the work begins."""
    few = values[np.unique(np.linspace(0, len(values) - 1, PROBES).astype(int))]
    numbers, reasons = run_rows(study, names, few)
    if all(reasons):
        raise UsageError(f"every one of {len(few)} runs tried failed ({reasons[0]}); narrow the factors.")
    good = numbers[[not r for r in reasons]]
    for endpoint, column in zip(study.endpoints, good.T, strict=True):
        if np.ptp(column) <= max(CONSTANT, 10 * study.rtol) * np.abs(column).max() or np.abs(column).max() < 1e-12:
            raise UsageError(
                f"endpoint '{endpoint.text}' is constant ({column[0]:.6g}) in {len(column)} runs tried: none of the "
                "factors moves it. Choose another endpoint, regimen or factors."
            )

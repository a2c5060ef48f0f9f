"""Calibration: residuals from case rows and priors, multistart bounded least squares on log parameters.

A residual is the distance from the published value in units of the band: half a band stands for
``band_sd`` standard deviations. Positive quantities whose band spans more than a factor of three are compared
on a log scale. A row without a published value, or with a limit (a value at the edge of its band), is compared with
the middle of its band. Inside a band that is open on one side a residual is zero; outside, a factor of two (or, beside
an edge of zero, one unit) stands for ``band_sd`` standard deviations. Every candidate is closed again
(`metabolism.model.reference`), so each has its reference state at rest.

Rows marked ``must_pass`` are constraints of the search: outside its band such a row costs as if it were `STIFF` times
as precise. Likelihood, profiles and draws leave the constraints out: they are requirements, not data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabolism.cases import Predictions, Row, predict, read_cases
from metabolism.data import experiments_dir
from metabolism.errors import InvalidValue, ModelError
from metabolism.files import Parts
from metabolism.fit.definition import STARTS, Definition
from metabolism.model import MODEL_KINDS, Model, closure
from metabolism.progress import Progress, silent
from metabolism.types import Array

#: Step of the finite-difference Jacobian on the log scale; residuals are smooth to far below it.
STEP = 0.01

#: Residual of a row that could not be simulated [standard deviations].
FAILED = 6.0

#: How much stiffer a must-pass row is outside its band, and the share of the band kept clear of its edges.
STIFF, CLEAR = 25.0, 0.02

#: A fitted value this near a bound, relative to the log range, counts as a bound hit.
NEAR = 0.01


class Objective:
    """Residuals of many candidates at once.

    Parameters
    ----------
    model : Model
    definition : Definition
    workers : int
        Threads.

    Attributes
    ----------
    centre, sd : ndarray, shape (parameters,)
        Log-normal priors: mean and standard deviation of the logarithm.
    low, high : ndarray, shape (parameters,)
        Bounds of the logarithm.
    rows : list of Row
    evaluations : int
        Candidates evaluated so far.
    """

    def __init__(self, model: Model, definition: Definition, workers: int = 1) -> None:
        self.model, self.definition, self.workers = model, definition, workers
        self.names = definition.parameters
        files = [experiments_dir() / "cases" / name for name in definition.cases]
        self.rows: list[Row] = [r for r in read_cases(model, files) if r.role == definition.role]
        if len(self.rows) <= len(self.names):
            counts = f"{len(self.names)} parameters and {len(self.rows)} rows"
            raise InvalidValue(f"fit '{definition.id}' has {counts}; fit fewer.")
        rows = [model.table[name] for name in self.names]
        for row in rows:
            if row.prior != "log-normal" or not row.lower > 0:
                needs = "it needs a log-normal prior and a lower bound above 0"
                raise InvalidValue(f"'{row.id}' cannot be fitted: {needs}.")
        priors = np.array([[float(x) for x in row.prior_parameters.split(";")] for row in rows])
        self.centre, self.sd = priors[:, 0], priors[:, 1]
        self.low, self.high = (np.log([getattr(row, side) for row in rows]) for side in ("lower", "upper"))
        self.evaluations = 0
        self._memo: dict[bytes, Array] = {}

    @property
    def request(self) -> list[Any]:
        """Everything a finished start or round depends on: model, definition, priors and every cell of the data."""
        d = self.definition
        priors = [a.tolist() for a in (self.centre, self.sd, self.low, self.high)]
        data = [dict(row.text) for row in self.rows]
        hashes = [self.model.structure_hash, self.model.parameter_hash]
        return [*hashes, d.id, d.parameters, d.band_sd, d.seed, priors, data]

    @cached_property
    def scales(self) -> list[tuple[bool, float, float]]:
        """Per row: whether it is compared on a log scale, the target and one standard deviation."""
        scales = []
        for row in self.rows:
            wide = row.low > 0 and row.high / row.low >= 3
            turn = math.log if wide else float
            if not math.isfinite(row.high - row.low):
                target = turn(row.low if math.isfinite(row.low) else row.high)
                half = math.log(2) if wide else abs(target) or 1.0
            else:
                low, high = turn(row.low), turn(row.high)
                inside = row.low < row.observed < row.high and (row.observed > 0 or not wide)
                target, half = turn(row.observed) if inside else (low + high) / 2, (high - low) / 2
            scales.append((wide, target, half / self.definition.band_sd))
        return scales

    def columns(self, x: Array) -> dict[str, Array]:
        """Model values of candidates: shape (candidates, parameters) of logs -> one array per parameter or state.

        A candidate whose reference state could rest only with a negative constant, or with none, is not possible: it is
        all NaN.
        """
        closed, table = closure(self.model.table), self.model.table
        records = []
        for row in np.exp(x):
            given = dict(zip(self.names, row.tolist(), strict=True))
            try:
                values = {**given, **closed.values(given)}
            except ModelError:
                values = dict.fromkeys([*given, *closed.names], -1.0)
            possible = min(values.values()) >= 0
            records.append({k: v if possible else math.nan for k, v in values.items() if table[k].kind in MODEL_KINDS})
        return {k: np.array([r[k] for r in records]) for k in records[0]}

    def predictions(self, x: Array) -> Predictions:
        """Predict every row for candidates of shape (candidates, parameters); NaN where a candidate is not possible."""
        self.evaluations += len(x)
        columns = self.columns(x)
        possible = np.isfinite(next(iter(columns.values())))
        values = np.full((len(self.rows), len(x)), np.nan)
        if not possible.any():
            return Predictions(self.rows, values, {})
        some = {k: v[possible] for k, v in columns.items()}
        made = predict(self.model, self.rows, some, workers=self.workers, rtol=1e-6)
        values[:, possible] = made.values
        places = np.flatnonzero(possible)
        return Predictions(self.rows, values, {(i, int(places[k])): text for (i, k), text in made.failures.items()})

    def distances(self, values: Array) -> Array:
        """Signed distance of predicted values from their targets: (rows, candidates) -> (candidates, rows) [SD]."""
        away = np.empty(values.T.shape)
        for i, (wide, target, sd) in enumerate(self.scales):
            with np.errstate(invalid="ignore", divide="ignore"):
                value = np.log(np.maximum(values[i], 1e-300)) if wide else values[i]
            away[:, i] = (value - target) / sd
        return np.clip(np.nan_to_num(away, nan=FAILED), -4 * FAILED, 4 * FAILED)

    def data_residuals(self, values: Array) -> Array:
        """Residuals of predicted values: (rows, candidates) -> (candidates, rows) [standard deviations]."""
        worked, away = ~np.isnan(values.T), self.distances(values)
        above, below = (np.isinf([getattr(row, side) for row in self.rows]) for side in ("high", "low"))
        away = np.where(above & worked, np.minimum(away, 0), away)
        return np.where(below & worked, np.maximum(away, 0), away)

    def residuals(self, x: Array) -> Array:
        """Residuals of data, then of priors: (candidates, parameters) -> (candidates, rows + parameters)."""
        return self._residuals(x, self.predictions(x).values)

    def _residuals(self, x: Array, values: Array) -> Array:
        return np.hstack([self.data_residuals(values), (x - self.centre) / self.sd])

    @cached_property
    def walls(self) -> tuple[NDArray[np.intp], Array, Array]:
        """Must-pass rows: their places, and the lowest and highest distance that is free of cost [SD]."""
        places = np.array([i for i, row in enumerate(self.rows) if row.must_pass], dtype=np.intp)
        low, high = self.distances(np.array([[r.low, r.high] for r in self.rows]).reshape(-1, 2))[:, places]
        clear = CLEAR * 2 * self.definition.band_sd
        return places, low + clear, high - clear

    def constrained(self, x: Array) -> Array:
        """Residuals as in `residuals`, and after them those of the constraints, one per must-pass row."""
        values = self.predictions(x).values
        places, low, high = self.walls
        away = self.distances(values)[:, places]
        walls = STIFF * (np.maximum(away - high, 0) + np.minimum(away - low, 0))
        return np.hstack([self._residuals(x, values), walls])

    def one(self, x: Array) -> Array:
        """Constrained residuals of one candidate, remembered: many refits begin at the same one."""
        key = x.tobytes()
        if key not in self._memo:
            self._memo[key] = self.constrained(x[None])[0]
        return self._memo[key]

    def jacobian(self, x: Array) -> Array:
        """Forward-difference Jacobian of `one`, all columns in one batch, remembered: (residuals, parameters)."""
        key = b"J" + x.tobytes()
        if key not in self._memo:
            steps = np.where(x + STEP <= self.high, STEP, -STEP)
            moved = self.constrained(x + np.diag(steps))
            self._memo[key] = ((moved - self.one(x)) / steps[:, None]).T
        return self._memo[key]


@dataclass(eq=False)
class Fit:
    """The best of several starts.

    Attributes
    ----------
    x : ndarray, shape (parameters,)
        Logs of the fitted values.
    cost : float
        Half the sum of squared residuals, constraints included.
    residuals, jacobian : ndarray, shape (rows + parameters,) and (rows + parameters, parameters)
        Without the constraints.
    starts : list of dict
        Cost and point of each start.
    """

    definition: Definition
    x: Array
    cost: float
    residuals: Array
    jacobian: Array
    starts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def covariance(self) -> Array:
        """Covariance of the log parameters: inverse of J'J, priors included (Laplace approximation)."""
        return np.asarray(np.linalg.inv(self.jacobian.T @ self.jacobian))


def least_squares(
    objective: Objective, folder: Path, progress: Progress = silent, starts: int | None = None, limit: int = 25
) -> Fit:
    """Fit from several starts; finished starts are kept in `folder` and not repeated.

    The first start is the present table, the others are a scrambled Sobol sample of the priors (half their width).

    Parameters
    ----------
    folder : Path
        Holds ``start_<n>.json``; made if missing.
    limit : int
        Largest number of steps per start.

    Raises
    ------
    InvalidValue
        For too many starts.
    UsageError
        If the folder holds starts of another definition, other data or another model.
    """
    from scipy.stats import norm, qmc

    d = objective.definition
    count = starts or d.starts
    if not 1 <= count <= STARTS:
        raise InvalidValue(f"{count} starts; give 1 to {STARTS}.")
    parts = Parts(folder, [objective.request, limit])
    table = np.log([objective.model.table[n].value for n in d.parameters])
    uniform = qmc.Sobol(len(d.parameters), rng=np.random.default_rng(d.seed)).random_base2(6)
    spread = objective.centre + 0.5 * objective.sd * norm.ppf(np.clip(uniform, 1e-6, 1 - 1e-6))
    points = [np.clip(p, objective.low + 1e-9, objective.high - 1e-9) for p in [table, *spread[: count - 1]]]
    tick = progress(f"fit {d.id}", count)

    def start(point: Array) -> dict[str, Any]:
        x, cost = minimise(objective, point, limit)
        return {"cost": cost, "x": x.tolist()}

    tried = []
    for number, point in enumerate(points):
        tried.append(parts.made(f"start_{number}", partial(start, point)))
        tick(1)
    best = min(tried, key=lambda e: float(e["cost"]))
    x = np.array(best["x"])
    free = len(objective.one(x)) - len(objective.walls[0])
    return Fit(d, x, best["cost"], objective.one(x)[:free], objective.jacobian(x)[:free], tried)


def relaxed(objective: Objective, fit: Fit, limit: int = 25) -> Fit:
    """Fit again from a fit without the constraints of the must-pass rows: what the data alone would choose."""
    free = np.arange(len(fit.residuals))
    x, cost = minimise(objective, fit.x, limit, free)
    return Fit(fit.definition, x, cost, objective.one(x)[free], objective.jacobian(x)[free])


def minimise(
    objective: Objective,
    point: Array,
    limit: int,
    rows: NDArray[np.intp] | None = None,
    fixed: int | None = None,
    ftol: float = 1e-4,
) -> tuple[Array, float]:
    """Least squares from a point (logs) over some of the constrained residuals, in at most `limit` points tried.

    Of the residuals `rows` count, all by default; the parameter `fixed` stays where it is; a step that gains less than
    the share `ftol` is the last. Returns the best point, and half its sum of squares.
    """
    from scipy.optimize import least_squares

    kept = slice(None) if rows is None else rows
    free = np.array([i for i in range(len(point)) if i != fixed])

    def whole(z: Array) -> Array:
        x = point.copy()
        x[free] = z
        return x

    def residuals(z: Array) -> Array:
        return objective.one(whole(z))[kept]

    def jacobian(z: Array) -> Array:
        return objective.jacobian(whole(z))[kept][:, free]

    bounds = objective.low[free], objective.high[free]
    ends: Any = {"ftol": ftol, "xtol": 1e-4, "gtol": 1e-6, "max_nfev": limit}
    solved = least_squares(residuals, point[free], jac=jacobian, bounds=bounds, x_scale=objective.sd[free], **ends)
    return whole(np.asarray(solved.x)), float(solved.cost)
